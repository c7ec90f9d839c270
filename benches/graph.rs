//! The graph under load: initial load, one change, batches, relist; with resident memory.
//!
//! `cargo bench --bench graph` writes its figures to docs/benchmarks.md. Figures in the docs come from here and
//! nowhere else. With `--test` (as `cargo test --benches` passes) it runs everything once at a small size and writes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use kollect_dataflows::data::{Gvk, InventoryId, TargetId, TargetName, WatchId};
use kollect_dataflows::extract::{AttributeSpec, Gates, Profile, ProfileSpec, Selection};
use kollect_dataflows::graph::{
    self, Change, Dedupe, Epochs, GateSetting, Handle, ListScope, Options, Scope, TargetPlan,
};
use support::memory::Memory;
use support::objects::{ATTRIBUTES, Deployment, deployment, mix};
use support::{docs, memory};

const WATCH: WatchId = WatchId(1);
const TARGET: TargetId = TargetId(1);
const INVENTORY: InventoryId = InventoryId(1);
struct Subject {
    handle: Handle,
    epochs: Epochs,
}

impl Subject {
    /// A graph with one target of eight attributes that feeds one inventory.
    fn start(workers: usize) -> Self {
        let (handle, epochs) = graph::start(Options { workers, ..Options::default() }).unwrap();
        let attributes = ATTRIBUTES
            .map(|(name, path)| AttributeSpec {
                name: name.into(),
                path: path.into(),
                ..AttributeSpec::default()
            })
            .into();
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let profile = Profile::compile(&ProfileSpec { gvk, attributes, ..ProfileSpec::default() }).unwrap();
        let setting = GateSetting::default();
        let plan = TargetPlan {
            id: TARGET,
            name: Arc::new(TargetName::new("platform", "deployments")),
            watch: WATCH,
            profile: Arc::new(profile),
            selection: Arc::new(Selection::everything()),
            setting,
        };
        let everywhere = Scope::Everywhere;
        handle
            .change([
                Change::See { target: TARGET, setting, scope: everywhere, gates: Some(Gates::ALL) },
                Change::Feed { target: TARGET, inventory: INVENTORY, dedupe: Some(Dedupe::KeepAll) },
                Change::SetTarget(Arc::new(plan)),
            ])
            .unwrap();
        Self { handle, epochs }
    }

    /// Feeds a complete list from another thread, as sources do, and waits until its end is out. Returns the number of
    /// deltas.
    fn list(&mut self, rows: u64, version: u64) -> u64 {
        let handle = self.handle.clone();
        let feeder = std::thread::spawn(move || {
            let list = handle.list_begin(WATCH, ListScope::Watch).unwrap();
            for number in 0..rows {
                let Deployment { namespace, name, json } = deployment(number, version);
                handle.object(WATCH, Some(list), &namespace, &name, version + 1, json).unwrap();
            }
            handle.list_end(WATCH, list).unwrap();
        });
        let mut deltas = 0;
        loop {
            let epoch = self.epochs.recv().unwrap();
            deltas += epoch.inventories.values().map(|changed| changed.deltas.len() as u64).sum::<u64>();
            if !epoch.lists.is_empty() {
                feeder.join().unwrap();
                return deltas;
            }
        }
    }

    /// Feeds one change and waits for its delta.
    fn change(&mut self, number: u64, version: u64) -> Duration {
        let Deployment { namespace, name, json } = deployment(number, version);
        let start = Instant::now();
        self.handle.object(WATCH, None, &namespace, &name, version + 1, json).unwrap();
        self.receive(1);
        start.elapsed()
    }

    /// Feeds many changes from another thread, as sources do, and waits until all their deltas are out.
    fn changes(&mut self, numbers: impl Iterator<Item = u64>, version: u64) -> Duration {
        let objects: Vec<_> = numbers.map(|number| deployment(number, version)).collect();
        let (handle, count) = (self.handle.clone(), objects.len());
        let start = Instant::now();
        let feeder = std::thread::spawn(move || {
            for Deployment { namespace, name, json } in objects {
                handle.object(WATCH, None, &namespace, &name, version + 1, json).unwrap();
            }
        });
        self.receive(count);
        let elapsed = start.elapsed();
        feeder.join().unwrap();
        elapsed
    }

    fn receive(&mut self, mut deltas: usize) {
        while deltas > 0 {
            let epoch = self.epochs.recv().unwrap();
            deltas -= epoch.inventories.values().map(|changed| changed.deltas.len()).sum::<usize>();
        }
    }
}

fn percentile(sorted: &[Duration], p: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * p) as usize].as_secs_f64() * 1e6
}

/// Everything at one size, once; a row of the table.
fn measure(rows: u64, workers: usize, table: &mut String) {
    let before = memory::of("self").unwrap().now;
    let mut subject = Subject::start(workers);
    let start = Instant::now();
    assert_eq!(subject.list(rows, 0), rows);
    let load = start.elapsed();
    let Memory { now: resident, peak } = memory::of("self").unwrap();

    let mut one: Vec<Duration> = (0..2_000).map(|i| subject.change(mix(i) % rows, 1 + i)).collect();
    one.sort_unstable();
    let mut batch: Vec<Duration> = (0..20)
        .map(|i| {
            let numbers: BTreeSet<u64> = (0..1_000).map(|j| mix(i * 1_000 + j) % rows).collect();
            subject.changes(numbers.into_iter(), 3_000 + i)
        })
        .collect();
    batch.sort_unstable();
    // A relist with one new version of everything: the heaviest there is.
    let start = Instant::now();
    subject.list(rows, 5_000);
    let relist = start.elapsed();
    let Memory { now: after, peak: relist_peak } = memory::of("self").unwrap();
    writeln!(
        table,
        "| {rows} | {workers} | {:.0} | {:.0} | {:.0} | {:.0} / {:.0} | {:.1} | {:.2} s | {:.0} | {:.0} |",
        rows as f64 / load.as_secs_f64(),
        resident - before,
        peak - before,
        percentile(&one, 0.5),
        percentile(&one, 0.99),
        percentile(&batch, 0.5) / 1e3,
        relist.as_secs_f64(),
        after - before,
        relist_peak - before,
    )
    .unwrap();
}

const HEAD: &str = "## The graph

Written by `cargo bench --bench graph`. Objects are Deployments of 5.7 KB as JSON bytes, of which eight attributes are extracted. Memory is
the resident memory of the process above what it was before the graph was started; the generator of the objects is in the same
process and takes part of the load time.

| rows | workers | load, rows/s | resident, MiB | peak, MiB | one change, p50 / p99, µs | 1,000 changes, ms | relist, all changed | resident then, MiB | peak then, MiB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(rows) = arguments.iter().position(|a| a == "--measure") {
        // A child of ours: one size in a process of its own, so that sizes don't share a heap.
        let mut table = String::new();
        measure(arguments[rows + 1].parse().unwrap(), arguments[rows + 2].parse().unwrap(), &mut table);
        print!("{table}");
        return;
    }
    if arguments.iter().any(|a| a == "--test") {
        let mut table = String::new();
        measure(2_000, 1, &mut table);
        measure(2_000, 2, &mut table);
        println!("{table}");
        return;
    }
    let mut text = HEAD.to_owned();
    for (rows, workers) in [(10_000, 1), (100_000, 1), (100_000, 2)] {
        let own = std::env::current_exe().unwrap();
        let child = std::process::Command::new(own)
            .args(["--measure", &rows.to_string(), &workers.to_string()])
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        let line = String::from_utf8(child.stdout).unwrap();
        print!("{line}");
        text.push_str(&line);
    }
    writeln!(text, "\nOn {}.", docs::machine()).unwrap();
    docs::write_section("graph", &text);

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("initial load");
    group.sample_size(10);
    for rows in [10_000, 100_000] {
        group.throughput(Throughput::Elements(rows));
        group.bench_function(format!("{rows} rows"), |bench| {
            bench.iter_batched(
                || Subject::start(1),
                |mut subject| subject.list(rows, 0),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("one change");
    let mut subject = Subject::start(1);
    subject.list(100_000, 0);
    let mut count = 0;
    group.bench_function("at 100000 rows", |bench| {
        bench.iter_custom(|iterations| {
            (0..iterations)
                .map(|_| {
                    count += 1;
                    subject.change(mix(count) % 100_000, count)
                })
                .sum()
        });
    });
    group.finish();
    criterion.final_summary();
}
