#!/usr/bin/env bash
# Ends the PostgreSQL server that start.sh started in DIR, with its clients' connections.
#
#   stop.sh DIR              keeps DIR and the data, so that it can be started again
#   stop.sh DIR --remove     removes both
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[[ $# == 1 || ($# == 2 && $2 == --remove) ]] || die "usage: stop.sh DIR [--remove]"
[[ -d $1 ]] || exit 0
end_all "$1" INT # a "fast" shutdown
if [[ ${2:-} ]]; then
  [[ -d $1/log ]] || die "$1 is not a server's folder: not removed"
  data=$(readlink -f "$1/data" || :)
  rm -rf "$1"
  # start.sh puts the data elsewhere when DIR is out of reach for the server's user
  if [[ $data == /tmp/kollect-postgres.* ]]; then rm -rf "$data"; fi
fi
