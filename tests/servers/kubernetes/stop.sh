#!/usr/bin/env bash
# Ends the cluster that start.sh started in DIR, and nothing else.
#
#   stop.sh DIR              keeps DIR, so that the cluster can be looked at or started again
#   stop.sh DIR --remove     removes DIR as well
#
# They are killed outright: etcd loses nothing by it, and an orderly end of kube-apiserver takes seconds.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
[[ $# == 1 || ($# == 2 && $2 == --remove) ]] || die "usage: stop.sh DIR [--remove]"
[[ -d $1 ]] || exit 0
end_all "$1" KILL
if [[ ${2:-} ]]; then
  [[ -d $1/certs && -d $1/log ]] || die "$1 is not a cluster's folder: not removed"
  rm -rf "$1"
fi
