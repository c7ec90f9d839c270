# shellcheck shell=bash
# What the start and stop scripts share; to be sourced, Linux only (it reads /proc).
#
# A server's folder DIR holds everything about it: data, log/NAME.log, and `pids`, one line a
# process: pid, start time, name. The start time (in clock ticks since boot) is what makes it safe
# to end a process by its number later: a number that was given to another process meanwhile
# has another start time.

die() { echo "${0##*/}: $*" >&2; exit 1; }

# The folder for what is built or installed once and used by every clone.
cache_dir() { echo "${KOLLECT_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME, XDG_CACHE_HOME or KOLLECT_CACHE}/.cache}/kollect}"; }

# servers_dir: makes the part of it that is ours, and sets REPLY to it.
servers_dir() {
  REPLY=$(cache_dir)/servers
  mkdir -p "$REPLY" 2> /dev/null || :
  [[ -w $REPLY ]] || die "can't write to $REPLY: set KOLLECT_CACHE to a folder that you can write to"
}

# at_least VERSION WANTED: compares dotted versions.
at_least() { printf '%s\n%s\n' "$2" "$1" | sort -CV; }

# Sets REPLY to a port on 127.0.0.1 that nothing listens on: below the range from which the
# kernel takes ports for outgoing connections, so that none of those can get in between.
free_port() {
  while :; do
    REPLY=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null || return 0
  done
}

# started PID: sets REPLY to the start time of a process; fails when there is none, or only a zombie.
started() {
  local stat
  { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 1
  # after the name, which may itself hold blanks and parentheses: the state is field 3 of the
  # whole line, the start time field 22
  read -ra stat <<< "${stat##*) }"
  [[ ${stat[0]} != [ZX] ]] || return 1
  REPLY=${stat[19]}
}

# pick_port DIR NAME [PORT]: sets REPLY to the given port, or else to the one that this server had before,
# while nobody else has it (clients may still know it), or else to a free one; notes it in DIR/ports.
pick_port() {
  if [[ ${3:-} ]]; then
    REPLY=$3
  elif [[ -s $1/ports/$2 ]] && REPLY=$(< "$1/ports/$2") && ! (exec 3<>"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null; then
    return 0
  else
    free_port
  fi
  mkdir -p "$1/ports"
  echo "$REPLY" > "$1/ports/$2"
}

# again_if_port_taken DIR LOG SCRIPT ARGUMENT…: between the look for a free port and its use somebody else
# may take it. Then the script starts over with other ports, three times at most.
again_if_port_taken() {
  grep -qi 'address already in use' "$2" && ((${KOLLECT_ATTEMPT:-1} < 3)) || return 0
  end_all "$1" KILL
  rm -rf "$1/ports"
  trap - EXIT
  KOLLECT_ATTEMPT=$((${KOLLECT_ATTEMPT:-1} + 1)) exec "${@:3}"
}

# running DIR NAME: is the process of that name still there?
running() {
  local pid time name
  while read -r pid time name; do
    [[ $name == "$2" ]] && started "$pid" && [[ $REPLY == "$time" ]] && return 0
  done < "$1/pids"
  return 1
}

# launch DIR NAME COMMAND…: starts a server in a session of its own, so that it outlives the script and
# gets no ^C meant for the tests, and notes it in DIR/pids.
launch() {
  local dir=$1 name=$2 pid; shift 2
  [[ ! -s $dir/log/$name.log ]] || mv -f "$dir/log/$name.log" "$dir/log/$name.log.old"
  setsid "$@" > "$dir/log/$name.log" 2>&1 < /dev/null &
  pid=$!
  disown "$pid" # the shell need not report its end
  started "$pid" || die "$name did not start; see $dir/log/$name.log"
  echo "$pid $REPLY $name" >> "$dir/pids"
}

# end_all DIR SIGNAL: ends what was launched in DIR, all at once: SIGNAL first, and SIGKILL for
# what is still there after 5 s.
end_all() {
  local dir=$1 signal=$2 pid time name left i
  [[ -f $dir/pids ]] || return 0
  for ((i = 0; i <= 100; i++)); do
    left=
    while read -r pid time name; do
      started "$pid" && [[ $REPLY == "$time" ]] || continue
      left=1
      if ((i == 0)); then kill "-$signal" "$pid" 2>/dev/null || :; fi
      if ((i == 99)); then kill -KILL "$pid" 2>/dev/null || :; fi
    done < "$dir/pids"
    [[ $left ]] || break
    sleep 0.05
  done
  rm -f "$dir/pids"
  [[ ! $left ]] || die "could not end everything in $dir"
}

# fresh_dir DIR: makes DIR and sets REPLY to its full path; fails when a server runs there.
fresh_dir() {
  mkdir -p "$1/log"
  local dir pid time name; dir=$(cd "$1" && pwd)
  if [[ -s $dir/pids ]]; then
    while read -r pid time name; do
      ! running "$dir" "$name" || die "$name runs in $dir already; stop it first"
    done < "$dir/pids"
  fi
  : > "$dir/pids"
  REPLY=$dir
}

# follow_owner DIR STOP: with OWNER=PID in the environment, has the script STOP called for DIR as soon
# as that process is gone, so that a test run that is killed leaves nothing behind.
follow_owner() {
  [[ ${OWNER:-} ]] || return 0
  started "$OWNER" || die "OWNER=$OWNER is not a process"
  setsid bash "${BASH_SOURCE[0]}" "$OWNER" "$REPLY" "$1" "$(head -n 1 "$1/pids")" "$2" < /dev/null > /dev/null 2>&1 &
  disown
}

# This file as a program of its own is what follow_owner leaves behind. It ends with the server it is
# for: DIR may be stopped, and started again by somebody else.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  owner=$1 time=$2 dir=$3 server=$4 stop=$5
  same_server() { [[ -s $dir/pids && $(head -n 1 "$dir/pids") == "$server" ]]; }
  while same_server && started "$owner" && [[ $REPLY == "$time" ]]; do sleep 1; done
  if same_server; then exec "$stop" "$dir"; fi
fi
