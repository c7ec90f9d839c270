#!/usr/bin/env bash
# Checks the servers themselves: that they start, are what the tests take them for, keep apart, and end.
#
#   smoke.sh            takes half a minute; prints a line a check, and the figures for README.md
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
work=$(mktemp -d /tmp/kollect-smoke.XXXXXX)
chmod 755 "$work" # for PostgreSQL's user
cleanup() {
  for dir in "$work"/k?; do "$here/kubernetes/stop.sh" "$dir" --remove; done
  for dir in "$work"/p?; do "$here/postgres/stop.sh" "$dir" --remove; done
  rm -rf "$work"
}
trap cleanup EXIT

failures=0
check() { # WHAT WANTED GOT
  if [[ $2 == "$3" ]]; then echo "ok    $1"; else echo "FAIL  $1: wanted '$2', got '$3'"; failures=$((failures + 1)); fi
}
timed() { # WHAT COMMAND…
  local what=$1 begin; begin=$(date +%s%N); shift
  "$@" > "$work/out" || { echo "FAIL  $what"; exit 1; }
  echo "      $what: $((($(date +%s%N) - begin) / 1000000)) ms"
}
eventually() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@" > /dev/null 2>&1; do ((SECONDS < end)) || return 1; sleep 0.1; done
}
memory() { # DIR
  local pid time name
  while read -r pid time name; do
    echo "      $name: $(awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$pid/status") MB"
  done < "$1/pids"
}

bin=$("$here/kubernetes/build.sh")
k() { "$bin/kubectl" --kubeconfig="$work/$1/kubeconfig" --cache-dir="$work/$1/kubectl" "${@:2}"; }

timed "start a cluster" "$here/kubernetes/start.sh" "$work/k1"
KCM=1 timed "start a cluster with controller manager" "$here/kubernetes/start.sh" "$work/k2"
check "kubectl and server versions" "$(k k1 version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | sort -u)" v1.36.3
k k1 create namespace smoke > "$work/out"
check "clusters are apart" "" "$(k k2 get namespace smoke --ignore-not-found -o name)"
cat > "$work/crd.yaml" <<'Y'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer}}
            x-kubernetes-validations: [{rule: "self.size < 10"}]
Y
widget() { printf '{"apiVersion":"example.test/v1","kind":"Widget","metadata":{"name":"w%s"},"spec":{"size":%s}}' "$1" "$1"; }
k k1 apply -f "$work/crd.yaml" > "$work/out"
k k1 wait --for=condition=Established crd/widgets.example.test > "$work/out"
check "a custom resource" "widget.example.test/w3 serverside-applied" "$(widget 3 | k k1 -n smoke apply --server-side -f -)"
check "a CEL rule of its schema" refused "$(widget 30 | k k1 -n smoke create -f - 2> /dev/null || echo refused)"
stream="/apis/example.test/v1/widgets?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
check "a streaming list" "ADDED BOOKMARK" "$(k k1 get --raw "$stream" | sed -n 's/^{"type":"\([A-Z]*\)".*/\1/p' | tr '\n' ' ' | sed 's/ $//')"
check "a pod needs no ServiceAccount" "pod/p created" \
  "$(echo '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}' | k k1 -n smoke create -f -)"
k k1 -n smoke create serviceaccount robot > "$work/out"
robot=$(k k1 -n smoke create token robot)
url=$(< "$work/k1/url")
as_robot() { "$bin/kubectl" --kubeconfig=/dev/null --cache-dir="$work/kubectl" --server="$url" --certificate-authority="$work/k1/certs/ca.crt" --token="$robot" -n smoke "$@"; }
check "RBAC denies" denied "$(as_robot get pods -o name 2> /dev/null || echo denied)"
k k1 -n smoke create role r --verb=get,list --resource=pods > "$work/out"
k k1 -n smoke create rolebinding r --role=r --serviceaccount=smoke:robot > "$work/out"
check "RBAC allows" yes "$(eventually 10 as_robot get pods && echo yes)"
k k2 create namespace smoke > "$work/out"
check "default ServiceAccounts (controller manager)" yes "$(eventually 20 k k2 -n smoke get serviceaccount default && echo yes)"
check "deleting a namespace (controller manager)" gone "$(k k2 delete namespace smoke --timeout=60s > "$work/out" && echo gone)"
memory "$work/k2"
pids=$(cut -d' ' -f1 "$work"/k?/pids)
timed "stop a cluster" "$here/kubernetes/stop.sh" "$work/k1"
timed "start it again" "$here/kubernetes/start.sh" "$work/k1"
check "it is the same cluster, at the same place" "$url w3" "$(< "$work/k1/url") $(k k1 -n smoke get widgets -o 'jsonpath={.items[*].metadata.name}')"

timed "start PostgreSQL" "$here/postgres/start.sh" "$work/p1"
timed "start another" "$here/postgres/start.sh" "$work/p2"
memory "$work/p1"
check "servers are apart" 2 "$(cat "$work"/p?/url | sort -u | wc -l)"
port=$(sed 's/.*:\([0-9]*\)\/.*/\1/' "$work/p1/url")
# the start-up message of the protocol: length, version 3.0, user postgres; the answer to it begins with R
check "it speaks PostgreSQL" R "$(exec 3<> "/dev/tcp/127.0.0.1/$port"; printf '\0\0\0\27\0\3\0\0user\0postgres\0\0' >&3; head -c 1 <&3)"
pids+=" $(cut -d' ' -f1 "$work"/p?/pids)"
timed "stop PostgreSQL" "$here/postgres/stop.sh" "$work/p1"
timed "start it again" "$here/postgres/start.sh" "$work/p1"

sleep 600 & owner=$!
OWNER=$owner "$here/postgres/start.sh" "$work/p3" > "$work/out"
kill "$owner"
check "a server follows its owner" gone "$(eventually 10 test ! -e "$work/p3/pids" && echo gone)"

pids+=" $(cat "$work"/{k,p}?/pids | cut -d' ' -f1)"
for dir in "$work"/k?; do "$here/kubernetes/stop.sh" "$dir" --remove; done
for dir in "$work"/p?; do "$here/postgres/stop.sh" "$dir" --remove; done
left=
for pid in $pids; do if started "$pid"; then left+=" $pid"; fi; done
check "no process is left" "" "$left"
check "no data is left" "" "$(ls -d "$work"/{k,p}? 2> /dev/null || :)"

((failures == 0)) || { echo "$failures failed"; exit 1; }
echo "All is well."
