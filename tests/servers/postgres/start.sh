#!/usr/bin/env bash
# Starts a PostgreSQL server on 127.0.0.1 and waits until it is ready.
#
#   start.sh DIR [PORT]     prints the URL of its database postgres, where everybody is superuser `postgres`
#
# Afterwards DIR holds: url, log/postgres.log, and data. Started again after stop.sh, it has the same data and,
# where it is still free, the same port.
#
# It listens on TCP only: the path of a Unix socket may have just 107 characters, which a test's folder exceeds.
# Transactions behave as they do by default (synchronous_commit is on); only the disk is not waited for, which
# makes no difference unless the machine itself stops.
#
# Environment:
#   PG_ARGS      more arguments for postgres, for example "-c max_connections=20 -c log_statement=all"
#   PGBIN        the folder of the programs; default: the newest PostgreSQL there is (see install.sh)
#   OWNER=PID    stop when that process is gone
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
[[ ($# == 1 || $# == 2) && $1 != -* ]] || die "usage: start.sh DIR [PORT]"
if ! find_postgres; then REPLY=$("$here/install.sh"); fi
bin=$REPLY
fresh_dir "$1"; dir=$REPLY
trap 'end_all "$dir" KILL' EXIT

# new_database FOLDER: an empty database. initdb takes a good second, copying its result a tenth of that, so the result is
# kept in the cache.
new_database() {
  local flags=(--username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync) key template new
  key=$({ "$bin/postgres" --version; echo "$bin ${flags[*]}"; } | sha256sum)
  servers_dir
  template=$REPLY/postgres-data-${key:0:12}
  if [[ ! -d $template ]]; then
    # first where the server's user can write, then in the cache
    new=$(mktemp -d /tmp/kollect-initdb.XXXXXX)
    if [[ $RUN_AS ]]; then chown "$RUN_AS" "$new"; fi
    (cd / && "${AS_SERVER[@]}" "$bin/initdb" "${flags[@]}" -D "$new/data") > "$dir/log/initdb.log" 2>&1 ||
      { rm -rf "$new"; tail -n 15 "$dir/log/initdb.log" >&2; die "initdb failed"; }
    cp -a "$new/data" "$template.$$"
    rm -rf "$new"
    mv -T "$template.$$" "$template" 2> /dev/null || rm -rf "$template.$$" # somebody else was faster
  fi
  cp -a --no-preserve=ownership "$template/." "$1/"
}

if [[ ! -s $dir/data/PG_VERSION ]]; then
  data=$dir/data
  mkdir -p "$data"
  if [[ $RUN_AS ]] && ! "${AS_SERVER[@]}" test -x "$data" 2> /dev/null; then
    # A folder above DIR is closed to that user, as root's home usually is.
    rmdir "$data"
    data=$(mktemp -d /tmp/kollect-postgres.XXXXXX)
    ln -s "$data" "$dir/data"
    echo "postgres: PostgreSQL does not run as root, and user $RUN_AS can't reach $dir: the data is in $data" >&2
  fi
  new_database "$data"
  chmod 700 "$data"
  if [[ $RUN_AS ]]; then chown -R "$RUN_AS:" "$data"; fi
fi
data=$(readlink -f "$dir/data")

pick_port "$dir" postgres "${2:-}"; port=$REPLY
cd / # the server's user may not be allowed to be here
# shellcheck disable=SC2086 # words on purpose
launch "$dir" postgres "${AS_SERVER[@]}" "$bin/postgres" -D "$data" -h 127.0.0.1 -p "$port" -k '' \
  -c fsync=off -c full_page_writes=off ${PG_ARGS:-}

pid=$(cut -d' ' -f1 "$dir/pids")
for ((i = 0; ; i++)); do
  # the server's own statement of how it is: line 1 its process, line 8 its state
  state=()
  { mapfile -t state < "$data/postmaster.pid"; } 2> /dev/null || :
  if [[ ${state[0]:-} == "$pid" && ${state[7]:-} == ready* ]]; then break; fi
  if ((i == 3000)) || ! running "$dir" postgres; then
    [[ ${2:-} ]] || again_if_port_taken "$dir" "$dir/log/postgres.log" "$here/start.sh" "$dir"
    echo "postgres did not get ready; the end of $dir/log/postgres.log:" >&2
    tail -n 15 "$dir/log/postgres.log" >&2
    exit 1
  fi
  sleep 0.02
done

trap - EXIT
follow_owner "$dir" "$here/stop.sh"
url=postgres://postgres@127.0.0.1:$port/postgres
echo "$url" > "$dir/url"
echo "$url"
