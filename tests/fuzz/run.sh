#!/usr/bin/env bash
# Fuzzes: `run.sh SECONDS TARGET…`. Fails on the first finding, and says where its input is; the target's binary takes that
# file as an argument. Inputs that led somewhere new are kept between runs, beside what is built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=$1
shift
host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
kept=$target_dir/fuzz-corpus
log=$target_dir/fuzz.log

# The flags of cargo-fuzz, which make code tell libFuzzer where it has been and what it compares. No sanitizer is among them:
# those need a nightly toolchain, and look for what code without `unsafe` does not do.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
cargo build --package kollect-fuzz --bins --profile fuzz --target "$host" --locked --jobs "${JOBS:-2}"

# What a thread has that Rust starts.
ulimit -s 2048

for target in "$@"; do
  mkdir -p "$kept/$target" "$target_dir/fuzz-findings"
  # No evaluation takes a second; an input leads to some dozens of them.
  "$target_dir/$host/fuzz/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 \
    -dict="tests/fuzz/dictionaries/$target.dict" -artifact_prefix="$target_dir/fuzz-findings/$target-" -print_final_stats=1 \
    "$kept/$target" "tests/fuzz/corpus/$target" &> "$log" || {
    status=$?
    tail -n 40 "$log"
    echo "$target: a finding, see above and $log" >&2
    exit "$status"
  }
  echo "$target: $(sed -n 's/^Done \(.*\) second(s)$/\1 seconds, nothing found/p' "$log")"
done
