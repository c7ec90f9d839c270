//! The graph under load, at three sizes, beside the plain way of doing the same; with memory.
//!
//! `cargo bench --bench graph` writes its figures to docs/benchmarks.md. Figures in the docs come from the benches and
//! nowhere else. With a filter (`-- "one change"`) only the benches of criterion that match it run, and nothing is written; without
//! `--bench`, as `cargo test --benches` calls it, everything runs once at a small size, and nothing is written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

#[path = "graph/churn.rs"]
mod churn;
#[path = "graph/dataflow.rs"]
mod dataflow;
#[path = "graph/plain.rs"]
mod plain;
#[path = "graph/report.rs"]
mod report;
#[path = "graph/scenario.rs"]
mod scenario;
#[path = "graph/subject.rs"]
mod subject;
mod support;

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use serde::de::DeserializeOwned;

use churn::Churn;
use dataflow::Graph;
use plain::Plain;
use report::{Size, thousands};
use scenario::{Extent, Figure};
use subject::{List, Objects, Subject};
use support::calibration::Calibration;
use support::docs;
use support::objects::mix;
use support::run::{Call, progress};

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Rows and updates of the long run.
const CHURN: (u64, u64) = (100_000, 1_000_000);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, option, rest @ ..] = &arguments[..]
        && option == "--measure"
    {
        child(rest);
        return ExitCode::SUCCESS;
    }
    let call = Call::of(&arguments);
    let mut is_within = true;
    match call {
        Call::Test => test(),
        Call::Full => is_within = measure(),
        Call::Filtered => {}
    }
    criterion(if call == Call::Test { 500 } else { 10_000 });
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A child of ours: one measurement in a process of its own, so that they don't share a heap.
fn child(arguments: &[String]) {
    let (what, numbers) = arguments.split_first().unwrap();
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    let json = match (what.as_str(), &numbers[..]) {
        ("graph", [rows, workers]) => {
            let progress = progress(&format!("{} rows, workers: {workers}", thousands(*rows)));
            let mut graph = Graph::start(*workers as usize);
            serde_json::to_string(&scenario::run(&mut graph, Extent::full(*rows), &progress))
        }
        ("plain", [rows]) => {
            let progress = progress(&format!("{} rows, plain", thousands(*rows)));
            serde_json::to_string(&scenario::run(&mut Plain::start(), Extent::full(*rows), &progress))
        }
        ("churn", [rows, updates]) => {
            let progress = progress("a long run of changes");
            serde_json::to_string(&churn::measure(*rows, *updates, &progress))
        }
        _ => panic!("a child can't measure {arguments:?}"),
    };
    println!("{}", json.unwrap());
}

/// Has a child measure, and gives what it measured.
fn of_child<T: DeserializeOwned>(what: &str, numbers: &[u64]) -> T {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--measure", what])
        .args(numbers.iter().map(u64::to_string))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(child.status.success(), "measuring {what} {numbers:?} failed; see above");
    serde_json::from_slice(&child.stdout).unwrap()
}

fn test() {
    let hidden = indicatif::ProgressBar::hidden();
    let scenario = |subject: &mut dyn Subject| scenario::run(subject, Extent::test(), &hidden);
    let [one_worker, two_workers] = [1, 2].map(|workers| scenario(&mut Graph::start(workers)));
    let plain = scenario(&mut Plain::start());
    println!("{}", report::table(&Size { rows: Extent::test().rows, one_worker, two_workers, plain }));
    // So few updates say nothing about memory.
    churn::measure(500, 1_000, &hidden);
}

/// Measures everything and writes it; whether memory stayed within its bounds.
fn measure() -> bool {
    let mut calibration = Calibration::default();
    let mut of = |what: &str, numbers: &[u64]| -> Vec<Figure> {
        calibration.measure();
        of_child(what, numbers)
    };
    let mut sizes = Vec::new();
    for rows in SIZES {
        let (one_worker, two_workers) = (of("graph", &[rows, 1]), of("graph", &[rows, 2]));
        let size = Size { rows, one_worker, two_workers, plain: of("plain", &[rows]) };
        println!("{}", report::table(&size));
        sizes.push(size);
    }
    let churn: Churn = of_child("churn", &[CHURN.0, CHURN.1]);
    calibration.measure();
    docs::write_section("graph", &report::section(&sizes, &churn, &calibration));
    let growth = churn.growth();
    if growth > churn::ALLOWED {
        eprintln!(
            "memory grew by {:.0} % in {} updates of {} rows, and {:.0} % are allowed: {:.0?} MiB",
            growth * 100.0,
            churn.updates,
            churn.rows,
            churn::ALLOWED * 100.0,
            churn.resident
        );
    }
    growth <= churn::ALLOWED
}

/// The small ones, which criterion can do often enough to tell whether a change of ours made them slower.
fn criterion(rows: u64) {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let objects = Objects { rows };
    let list = List { objects, version: 1, content: 0 };

    let mut group = criterion.benchmark_group("initial load");
    group.throughput(Throughput::Elements(rows));
    group.bench_function(format!("{rows} rows"), |bench| {
        bench.iter_batched(|| Graph::start(1), |mut graph| graph.list(list), BatchSize::PerIteration);
    });
    group.finish();

    let mut graph = Graph::start(1);
    graph.list(list);
    let mut content = 0;
    for count in [1, rows / 10] {
        let mut group = criterion.benchmark_group(format!("changes: {count}"));
        group.throughput(Throughput::Elements(count)).sample_size(if count == 1 { 100 } else { 10 });
        group.bench_function(format!("{rows} rows"), |bench| {
            bench.iter_batched(
                || {
                    content += 1;
                    let first = mix(content) % rows;
                    (first..first + count).map(|number| objects.object(number % rows, content)).collect()
                },
                |changed| graph.change(changed),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
    criterion.bench_function(&format!("relist without change: {rows} rows"), |bench| {
        bench.iter(|| graph.list(List { version: 2, content, ..list }));
    });
    criterion.bench_function(&format!("a namespace closes and opens: {rows} rows"), |bench| {
        bench.iter(|| graph.see(false) + graph.see(true));
    });
    criterion.final_summary();
}
