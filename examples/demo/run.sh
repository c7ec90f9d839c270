#!/usr/bin/env bash
# The demo: 78 manifests of a shop's platform in; a SQLite database and one file a row out; then two changes.
# Needs Rust and a C compiler. Everything it writes is in one temporary directory.
set -euo pipefail
demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$demo/../.."

if [[ -t 1 && ! ${NO_COLOR:-} ]]; then bold=$'\e[1m' dim=$'\e[2m' cyan=$'\e[36m' plain=$'\e[0m'
else bold='' dim='' cyan='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show_command() { printf '%s$ %s%s\n' "$cyan" "$*" "$plain"; }

# The development profile: it shares its dependencies with `make test`, and a release build takes several times as long.
say "Building (the first time this takes a few minutes)"
cargo build --quiet --locked ${JOBS:+--jobs "$JOBS"} --bin kollect --example show
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
kollect=$target/debug/kollect
show=$target/debug/examples/show

work=$(mktemp -d "${TMPDIR:-/tmp}/kollect-demo.XXXXXX")
watcher=
cleanup() {
  [[ ! $watcher ]] || kill "$watcher" 2>/dev/null || :
  rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "demo: $*" >&2; exit 1; }

cp -R "$demo/objects" "$demo/pipeline" "$work"
# Sinks name absolute paths; these belong into the temporary directory.
sed "s#/tmp/kollect-demo#$work#" "$demo/pipeline/sinks.yaml" > "$work/pipeline/sinks.yaml"
db=$work/inventory.db
cd "$work"
started=$SECONDS

say "1. A pipeline: profiles say what matters, targets where, an inventory puts it together, sinks keep it"
show_command "kollect validate pipeline/"
"$kollect" validate pipeline/

say "2. Collect: every object once, into SQLite and files"
show_command "kollect collect --config pipeline/ --objects objects/"
"$kollect" collect --config pipeline/ --objects objects/

say "3. What the database holds (only the Deployments, to be short)"
"$show" "$db" rows Deployment
printf '%s… and beside it one file a row, such as %s%s\n' "$dim" "$(cd files && find . -name 'web.yaml' | sort | head -n 1)" "$plain"

say "4. Watch: the same again, then every change as it happens"
show_command "kollect collect --config pipeline/ --objects objects/ --watch &"
before=$("$show" "$db" last)
"$kollect" collect --config pipeline/ --objects objects/ --watch > watch.log 2>&1 &
watcher=$!
# The summary says that the first export is done; after a restart with the same objects it has written nothing.
wait_for() {
  local what=$1 i; shift
  for ((i = 0; i < 150; i++)); do
    if "$@"; then return; fi
    kill -0 "$watcher" 2>/dev/null || { cat watch.log >&2; fail "the watcher has ended"; }
    sleep 0.1
  done
  cat watch.log >&2
  fail "waited in vain for $what"
}
wait_for "the summary of the first export" grep -q '^INVENTORY' watch.log
cat watch.log
shown=$(wc -l < watch.log)
[[ $("$show" "$db" last) == "$before" ]] || fail "a restart without changes has written to the change log"

say "5. Two changes: a new image for storefront/web, and the label printer goes"
show_command "sed s/web:4.18.2/web:4.19.0/ objects/storefront.yaml; rm objects/fulfilment-label-printer.yaml"
sed 's#storefront/web:4.18.2#storefront/web:4.19.0#' objects/storefront.yaml > storefront.new
mv storefront.new objects/storefront.yaml
rm objects/fulfilment-label-printer.yaml
two_changes() { (($("$show" "$db" last) >= before + 2)); }
wait_for "two entries of the change log" two_changes
kill -TERM "$watcher"
wait "$watcher" || fail "the watcher has ended with exit code $?"
watcher=
tail -n "+$((shown + 1))" watch.log

say "6. What reached the database's change log: these two, and nothing else"
"$show" "$db" changes "$before"
(($("$show" "$db" last) == before + 2)) || fail "the change log has more than two new entries"

say "Done in $((SECONDS - started)) s. What to try next"
cat <<END
  Look at the pipeline        examples/demo/pipeline/
  See what a profile gives    cargo run -- preview -f examples/demo/pipeline/profiles.yaml --objects examples/demo/objects
  Your own cluster            cargo run -- preview -f examples/demo/pipeline/profiles.yaml --kubeconfig ~/.kube/config
  Read on                     docs/getting-started.md
END
