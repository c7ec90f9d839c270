# shellcheck shell=bash
# What install.sh, start.sh and stop.sh share; to be sourced.

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

OLDEST=13 # the oldest major version that will do

# PostgreSQL refuses to run as root. Root's servers run as the user RUN_AS instead; for anybody else it is
# empty. AS_SERVER goes before a command to run it as that user; the process stays the same one.
choose_user() {
  RUN_AS='' AS_SERVER=()
  ((EUID == 0)) || return 0
  if getent passwd postgres > /dev/null; then RUN_AS=postgres; else RUN_AS=nobody; fi
  AS_SERVER=(setpriv --reuid "$RUN_AS" --regid "$(id -g "$RUN_AS")" --init-groups)
}
choose_user

# embedded_dir: where install.sh puts PostgreSQL when the system's package manager can't. Root's cache is
# usually out of reach for RUN_AS; then it is in /var/cache.
embedded_dir() {
  local cache; cache=$(cache_dir)
  if [[ $RUN_AS ]] && ! "${AS_SERVER[@]}" test -x "$cache/servers" 2> /dev/null; then cache=/var/cache/kollect; fi
  echo "$cache/servers/postgres-$EMBEDDED"
}
EMBEDDED=17.10.0

# major_version BIN: sets REPLY to the major version of the programs in BIN, if they are all there and
# run as the server's user.
major_version() {
  [[ -x $1/initdb && -x $1/postgres ]] || return 1
  REPLY=$(cd / && "${AS_SERVER[@]}" "$1/postgres" --version 2> /dev/null) || return 1
  [[ $REPLY =~ \)\ ([0-9]+) ]] || return 1
  REPLY=${BASH_REMATCH[1]}
  ((REPLY >= OLDEST))
}

# find_postgres: sets REPLY to the folder of the newest PostgreSQL there is (PGBIN, if set, is the only one
# looked at).
find_postgres() {
  local bin name best='' version=0 found=()
  if [[ ${PGBIN:-} ]]; then
    major_version "$PGBIN" || die "PGBIN=$PGBIN has no PostgreSQL $OLDEST or newer${RUN_AS:+ that user $RUN_AS can run}"
    REPLY=$PGBIN
    return
  fi
  for name in postgres initdb; do
    # links lead to where both are
    if bin=$(type -P "$name"); then found+=("$(dirname "$(readlink -f "$bin")")"); fi
  done
  for bin in "${found[@]}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin "$(embedded_dir)/bin"; do
    if major_version "$bin" && ((REPLY > version)); then best=$bin version=$REPLY; fi
  done
  REPLY=$best
  [[ $best ]]
}
