#!/usr/bin/env bash
# Makes everything ready that the tests need; `make test` calls it first. When all is there already it takes a
# moment; the first time it builds Kubernetes, which takes minutes.
#
#   setup.sh              all servers
#   setup.sh NAME…        only these (a name is a folder here: kubernetes, postgres)
#   setup.sh --check …    only says what is missing
#
# What is missing is said all at once, with the remedy, before anything is built or installed. Each folder
# here has a build.sh or install.sh, which makes that server ready, and with --check says what it lacks.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

check=
if [[ ${1:-} == --check ]]; then check=1; shift; fi
makers=() # the scripts
if (($# == 0)); then
  makers=("$here"/*/build.sh "$here"/*/install.sh)
else
  for name in "$@"; do
    found=
    for maker in "$here/$name"/{build,install}.sh; do
      if [[ -x $maker ]]; then makers+=("$maker") found=1; fi
    done
    [[ $found ]] || die "no such server: $name"
  done
fi

missing=() packages=()
# need COMMAND PACKAGE PURPOSE
need() {
  command -v "$1" > /dev/null && return
  missing+=("$1: $3 (package $2)")
  packages+=("$2")
}
have_version() { # COMMAND WANTED: `COMMAND --version` is at least WANTED; sets REPLY to what it is
  REPLY=$("$1" --version 2> /dev/null | sed -n '1s/^[^0-9]*\([0-9.]*\).*/\1/p') || return 1
  at_least "${REPLY:-0}" "$2"
}

[[ $(uname -s) == Linux ]] || missing+=("Linux: the servers are started and ended by means of Linux's /proc")
rust=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$here/../../Cargo.toml" 2> /dev/null | head -n 1)
rust=${rust:-1}
if ! command -v cargo > /dev/null; then
  missing+=("Rust $rust or newer: there is no cargo in PATH (get it with rustup: https://rustup.rs)")
# asked in the workspace, where rustup switches to the version that it wants, and fetches it
elif ! (cd "$here" && have_version cargo "$rust"); then
  missing+=("Rust $rust or newer: $(command -v cargo) is $(cd "$here" && cargo --version 2>&1 | head -n 1) (get it with rustup: https://rustup.rs)")
fi
need cc build-essential "a C compiler and linker, which Rust crates need"
need git git "the Git sink's tests need it"
need setsid util-linux "starts the servers"
need flock util-linux "keeps two builds apart"
need base64 coreutils "writes the kubeconfig"
need awk mawk "reads the list of processes"
if ((EUID == 0)); then need setpriv util-linux "PostgreSQL does not run as root"; fi
for maker in "${makers[@]}"; do
  lacks=$("$maker" --check) || missing+=("${lacks:-$maker --check failed}")
done

if ((${#missing[@]})); then
  {
    echo "The tests need what is missing here:"
    printf '  - %s\n' "${missing[@]}"
    if ((${#packages[@]})) && command -v apt-get > /dev/null; then
      echo "Packages: apt-get install $(printf '%s\n' "${packages[@]}" | sort -u | tr '\n' ' ')"
    fi
  } >&2
  exit 1
fi
[[ ! $check ]] || exit 0

begin=$SECONDS
for maker in "${makers[@]}"; do
  name=${maker%/*} name=${name##*/}
  place=$("$maker")
  printf '%-12s %s\n' "$name" "$place"
done
echo "Test servers are ready ($((SECONDS - begin)) s)."
