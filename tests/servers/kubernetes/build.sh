#!/usr/bin/env bash
# Builds the control plane that the tests run against: etcd, kube-apiserver, kube-controller-manager
# and kubectl as one binary, plus start.sh's helper.
#
#   build.sh            prints the folder of the programs as its only line on standard output,
#                       and progress on standard error
#   build.sh --path     prints the folder without building
#   build.sh --check    prints what is missing instead of building; fails if it could not build
#
# It is built from source, because that works wherever the Go module proxy does, without
# containers and for every architecture, with versions and contents pinned by go.sum. The result is
# kept outside the clone, in ${KOLLECT_CACHE:-~/.cache/kollect}/servers/kubernetes-<hash of the sources>,
# so clones and branches share it; removing it costs a rebuild and nothing else.
# KOLLECT_BUILD_JOBS=N limits the number of compilers.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

cd "$here"
hash=$(cat go.mod go.sum main.go helper/main.go build.sh | sha256sum)
servers=$(cache_dir)/servers
out=$servers/kubernetes-${hash:0:12}
case ${1:-} in --path) echo "$out"; exit 0 ;; --check) check=1 ;; *) check= ;; esac
if [[ -d $out ]]; then [[ $check ]] || echo "$out"; exit 0; fi

say() { echo "kubernetes: $*" >&2; }

unset GOOS GOARCH
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly
wanted=$(sed -n 's/^go //p' go.mod)
missing=
if ! command -v go > /dev/null; then
  missing="Go $wanted or newer: there is no go in PATH"
# asked in this folder, where Go 1.21 or newer may switch to the version that go.mod wants
elif ! version=$(go env GOVERSION 2>&1) || ! version=${version##*go} || ! at_least "${version%% *}" "$wanted"; then
  missing="Go $wanted or newer: $(command -v go) is ${version:-unusable}"
fi
if [[ $missing ]]; then
  missing+=" (builds etcd and kube-apiserver; get it from https://go.dev/dl)"
  [[ ! $check ]] || { echo "$missing"; exit 1; }
  die "missing: $missing"
fi
[[ ! $check ]] || exit 0

servers_dir
exec 9> "$servers/kubernetes.lock"
if ! flock -n 9; then
  say "waiting for another build"
  flock 9
fi
if [[ -d $out ]]; then echo "$out"; exit 0; fi

rm -rf "$servers"/kubernetes.new.* # left by a build that was killed; the lock is ours
new=$(mktemp -d "$servers/kubernetes.new.XXXXXX")
log=$new/build.log
begin=$SECONDS
go_pid=
trap '[[ ! $go_pid ]] || kill "$go_pid" 2>/dev/null || :; rm -rf "$new"' EXIT

say "downloading modules"
go mod download >> "$log" 2>&1 || { tail -20 "$log" >&2; die "could not download the modules"; }

# kubectl and the servers report these as their version
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' go.mod)
IFS=. read -r major minor _ <<< "${version#v}"
ldflags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  ldflags+=" -X $package.gitTreeState=clean -X $package.gitCommit=unknown -X $package.buildDate=1970-01-01T00:00:00Z"
done
say "compiling Kubernetes $version (several minutes the first time)"
go build -v ${KOLLECT_BUILD_JOBS:+-p "$KOLLECT_BUILD_JOBS"} -trimpath -buildvcs=false -ldflags "$ldflags" \
  -o "$new/" . ./helper >> "$log" 2>&1 9>&- &
go_pid=$!
for ((i = 1; ; i++)); do
  kill -0 "$go_pid" 2>/dev/null || break
  sleep 0.2
  ((i % 100)) || say "compiled $(wc -l < "$log") packages in $((SECONDS - begin)) s"
done
wait "$go_pid" || { tail -20 "$log" >&2; die "the build failed"; }
go_pid=

mv "$new/kubernetes" "$new/control-plane"
for program in etcd kube-apiserver kube-controller-manager kubectl; do ln -s control-plane "$new/$program"; done
"$new/kubectl" version --client > /dev/null
rm -f "$log"
chmod 755 "$new"
mv -T "$new" "$out"
say "built in $((SECONDS - begin)) s: $out"
echo "$out"
