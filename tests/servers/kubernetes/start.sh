#!/usr/bin/env bash
# Starts a Kubernetes control plane (etcd and kube-apiserver) on 127.0.0.1 and waits until it is ready.
#
#   start.sh DIR        one independent cluster a DIR; prints the path of its kubeconfig
#
# Afterwards DIR holds: kubeconfig (cluster administrator), url and etcd-url, certs/ (ca.crt, token, …),
# log/ and etcd/. Started again after stop.sh, it is the same cluster with the same data, certificates
# and, where they are still free, ports.
#
# Environment:
#   KCM=1            with kube-controller-manager: default ServiceAccounts, namespaces that end when deleted,
#                    garbage collection, and what Deployments and Jobs create. Without it these do not
#                    happen, and pods need no ServiceAccount.
#   APISERVER_ARGS   more arguments for kube-apiserver, for example --feature-gates=ShardedListAndWatch=true
#   APISERVER_PORT   default: a free one
#   OWNER=PID        stop when that process is gone
#   BIN              the folder of the programs; default: what build.sh gives
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
[[ $# == 1 && $1 != -* ]] || die "usage: start.sh DIR"
BIN=${BIN:-$("$here/build.sh")}
umask 077
unset "${!ETCD_@}" # etcd would take them for settings
fresh_dir "$1"; dir=$REPLY
trap 'end_all "$dir" KILL' EXIT

failed() { # NAME
  local log=$dir/log/$1.log
  [[ ${APISERVER_PORT:-} ]] || again_if_port_taken "$dir" "$log" "$here/start.sh" "$dir"
  echo "$1 did not get ready; the end of $log:" >&2
  tail -n 15 "$log" >&2
  exit 1
}

pick_port "$dir" etcd; etcd=http://127.0.0.1:$REPLY
pick_port "$dir" etcd-peer; peer=http://127.0.0.1:$REPLY
pick_port "$dir" apiserver "${APISERVER_PORT:-}"; port=$REPLY; url=https://127.0.0.1:$port

certs=$dir/certs
"$BIN/helper" certs "$certs"
echo "$url" > "$dir/url"
echo "$etcd" > "$dir/etcd-url"
cat > "$dir/kubeconfig" <<K
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {server: "$url", certificate-authority-data: "$(base64 -w0 < "$certs/ca.crt")"}
users:
- name: admin
  user: {token: "$(< "$certs/token")"}
contexts:
- name: test
  context: {cluster: test, user: admin}
current-context: test
K

# All are started at once: each waits by itself for the one before it.
launch "$dir" etcd "$BIN/etcd" --name=etcd --data-dir="$dir/etcd" --log-level=warn --unsafe-no-fsync \
  --heartbeat-interval=20 --election-timeout=100 \
  --listen-client-urls="$etcd" --advertise-client-urls="$etcd" \
  --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="etcd=$peer"

arguments=()
if [[ ${KCM:-0} != 1 ]]; then arguments+=(--disable-admission-plugins=ServiceAccount); fi
# shellcheck disable=SC2206 # words on purpose
arguments+=(${APISERVER_ARGS:-})
launch "$dir" kube-apiserver "$BIN/kube-apiserver" --etcd-servers="$etcd" \
  --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$port" --endpoint-reconciler-type=none \
  --tls-cert-file="$certs/apiserver.crt" --tls-private-key-file="$certs/apiserver.key" --client-ca-file="$certs/ca.crt" \
  --token-auth-file="$certs/tokens.csv" --authorization-mode=RBAC --allow-privileged=true \
  --service-account-issuer=https://kubernetes.default.svc \
  --service-account-key-file="$certs/sa.pub" --service-account-signing-key-file="$certs/sa.key" \
  --service-cluster-ip-range=10.0.0.0/24 "${arguments[@]}"

controller_manager() {
  launch "$dir" kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$dir/kubeconfig" \
    --leader-elect=false --secure-port=0 --kube-api-qps=1000 --kube-api-burst=2000 \
    --service-account-private-key-file="$certs/sa.key" --root-ca-file="$certs/ca.crt"
}
ready() { # NAME PATH: waits, and fails with the log of whatever has died
  local pids name
  pids=$(awk -v name="$1" '$3 ~ /^(etcd|kube-apiserver)$/ || $3 == name { pid[$3] = $1 } END { for (n in pid) print pid[n] }' "$dir/pids")
  # shellcheck disable=SC2086 # words on purpose
  "$BIN/helper" ready "$url$2" "$certs/ca.crt" $pids && return 0
  for name in etcd kube-apiserver "$1"; do
    running "$dir" "$name" || failed "$name"
  done
  failed "$1"
}
if [[ ${KCM:-0} == 1 ]]; then
  # It gives up when it finds no healthy API server for 10 s. So it is started as soon as there is
  # one that answers at all, and once more in the rare case that this was too early.
  ready kube-apiserver /version
  controller_manager
fi
ready kube-apiserver /readyz
if [[ ${KCM:-0} == 1 ]]; then
  running "$dir" kube-controller-manager || controller_manager
  ready kube-controller-manager /api/v1/namespaces/default/serviceaccounts/default
fi

trap - EXIT
follow_owner "$dir" "$here/stop.sh"
echo "$dir/kubeconfig"
