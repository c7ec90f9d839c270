//! Extraction: from the bytes of an object to the attributes of its row, for each kind of attribute.
//!
//! `cargo bench --bench extract` writes its figures to docs/benchmarks.md. With a filter (`-- CEL`) only the benches of criterion that
//! match it run, and nothing is written; without `--bench` everything runs once, and nothing is written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "extract/kinds.rs"]
mod kinds;
mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;

use kinds::{EIGHT, Kind};
use support::calibration::Calibration;
use support::docs;
use support::run::{Call, progress, repeat};
use support::times::{Times, show};

/// Objects of which the percentiles are taken.
const OBJECTS: u64 = 20_000;
/// How long one kind is measured, at the most.
const LIMIT: Duration = Duration::from_secs(4);
/// The most that eight attributes may take.
const TARGET: Duration = Duration::from_micros(8);

const HEAD: &str = "## Extraction

Written by `cargo bench --bench extract`. From the JSON bytes of an object, a Deployment of 5.7 KB where nothing else is said, to the attributes
of its row; reading the bytes is part of it. As in the graph, only what the profile reads is built, and the rest of the bytes is checked and
skipped. *Plain* reads the whole object first, and evaluates the same profile on it.
";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let kinds = kinds::all();
    match Call::of(&arguments) {
        Call::Test => println!("{}", table(&kinds, 3, &mut Calibration::default()).0),
        Call::Full => measure(&kinds),
        Call::Filtered => {}
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for kind in &kinds {
        criterion.bench_function(&format!("extract: {}", kind.name), |bench| bench.iter(|| kind.extract()));
    }
    criterion.final_summary();
}

fn measure(kinds: &[Kind]) {
    let mut calibration = Calibration::default();
    let (table, eight) = table(kinds, OBJECTS, &mut calibration);
    let mut text = format!("{HEAD}\n{}\n\n{table}", calibration.describe());
    writeln!(text, "\n### Target\n\n| what | target | measured | calibrated |\n| --- | --- | --- | --- |")
        .unwrap();
    writeln!(
        text,
        "| {EIGHT}, p50 | ≤ {} | {} | {} |",
        show(TARGET),
        show(eight),
        show(eight.div_f64(calibration.factor()))
    )
    .unwrap();
    writeln!(text, "\nOn {}.", docs::machine()).unwrap();
    docs::write_section("extract", &text);
}

/// A line for each kind; and the median of eight attributes.
fn table(kinds: &[Kind], objects: u64, calibration: &mut Calibration) -> (String, Duration) {
    let mut text = "| attribute | path | p50 / p99 | plain, p50 / p99 | plain ÷ ours |\n| --- | --- | --- | --- | --- |\n".to_owned();
    let mut eight = Duration::ZERO;
    let progress = progress("extraction");
    for kind in kinds {
        progress.set_message(kind.name);
        calibration.measure();
        // In turns, so that whatever else the machine does falls on both.
        let both = repeat(objects, LIMIT, |_| (time(|| kind.extract()), time(|| kind.extract_from_whole())));
        let (ours, plain) = both.into_iter().unzip();
        let (ours, plain) = (Times::new(ours), Times::new(plain));
        if kind.name == EIGHT {
            eight = ours.p50();
        }
        // A bar would end the cell.
        let paths = kind.paths.replace('|', "\\|");
        let ratio = plain.p50().as_secs_f64() / ours.p50().as_secs_f64();
        let [ours, plain] =
            [ours, plain].map(|times| format!("{} / {}", show(times.p50()), show(times.p99())));
        writeln!(text, "| {} | {paths} | {ours} | {plain} | {ratio:.1} |", kind.name).unwrap();
    }
    progress.finish_and_clear();
    (text, eight)
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    drop(black_box(work()));
    start.elapsed()
}
