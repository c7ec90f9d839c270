//! How often memory is allocated, and how much of it is in use: for the work of the graph's bench, and for extraction.
//!
//! `cargo bench --bench allocations` writes its figures to docs/benchmarks.md; without `--bench` it does the same with fewer objects and
//! writes nothing. Counting costs time, so it has a program of its own, in which nothing is timed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]
#![allow(dead_code, reason = "what it shares with the other benches has more than it needs")]

#[path = "graph/churn.rs"]
mod churn;
#[path = "graph/dataflow.rs"]
mod dataflow;
#[path = "extract/kinds.rs"]
mod kinds;
#[path = "graph/subject.rs"]
mod subject;
mod support;

use std::alloc::System;
use std::fmt::Write as _;
use std::hint::black_box;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

use dataflow::Graph;
use subject::{List, Objects, Subject};
use support::docs;
use support::run::{Call, progress};
use support::times::digits;

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HEAD: &str = "## Allocations

Written by `cargo bench --bench allocations`: how often memory is allocated or moved to grow, and how many bytes that asks for, with 1 worker. What
making the objects takes is not counted. Unlike resident memory, *in use* knows nothing of what the allocator keeps for later.
";

/// How much of it.
struct Extent {
    rows: u64,
    updates: u64,
    /// Objects over which extraction is averaged.
    objects: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_test = Call::of(&arguments) == Call::Test;
    let extent = if is_test {
        Extent { rows: 2_000, updates: 2_000, objects: 10 }
    } else {
        Extent { rows: 100_000, updates: 1_000_000, objects: 1_000 }
    };
    let text = format!("{HEAD}\n{}\n{}\n{}", of_extraction(&extent), of_graph(&extent), of_churn(&extent));
    println!("{text}");
    if !is_test {
        docs::write_section("allocations", &text);
    }
}

/// Allocations and bytes of some work, of which one is counted for each of so many.
fn line(text: &mut String, what: &str, one: &str, count: u64, stats: Stats) {
    let each = |total: usize| digits(total as f64 / count as f64);
    let (times, bytes) = (stats.allocations + stats.reallocations, stats.bytes_allocated);
    writeln!(text, "| {what} | {one} | {} | {} |", each(times), each(bytes)).unwrap();
}

fn counted<T>(work: impl FnOnce() -> T) -> Stats {
    let region = Region::new(COUNTING);
    let result = work();
    let stats = region.change();
    drop(black_box(result));
    stats
}

/// Bytes that are allocated and not freed.
fn in_use() -> usize {
    let stats = COUNTING.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn of_extraction(extent: &Extent) -> String {
    let mut text = "| extraction | for each | allocations | bytes |\n| --- | --- | --- | --- |\n".to_owned();
    for kind in kinds::all() {
        kind.extract();
        let stats = counted(|| (0..extent.objects).for_each(|_| drop(black_box(kind.extract()))));
        line(&mut text, kind.name, "object", extent.objects, stats);
    }
    text
}

fn of_graph(extent: &Extent) -> String {
    let rows = extent.rows;
    let objects = Objects { rows };
    let list = List { objects, version: 1, content: 0 };
    let progress = progress("allocations");
    let mut text =
        format!("| the graph, {rows} rows | for each | allocations | bytes |\n| --- | --- | --- | --- |\n");
    // What makes the objects allocates the same for each list.
    let making = counted(|| (0..rows).for_each(|number| drop(black_box(objects.object(number, 0)))));
    let before = in_use();
    let mut graph = Graph::start(1);

    progress.set_message("lists");
    let lists = [
        ("initial load", list),
        ("relist, same versions", list),
        ("relist, same content in new versions", List { version: 2, ..list }),
        ("relist, all changed", List { version: 3, content: 1, ..list }),
    ];
    let mut loaded = 0;
    for (what, list) in lists {
        let stats = counted(|| graph.list(list));
        line(&mut text, what, "object", rows, stats - making);
        if loaded == 0 {
            loaded = in_use() - before;
        }
    }

    progress.set_message("namespaces and targets");
    let stats = counted(|| graph.see(false));
    line(&mut text, "a namespace closes", "row", objects.moved(), stats);
    let stats = counted(|| graph.see(true));
    line(&mut text, "a namespace opens", "row", objects.moved(), stats);
    let stats = counted(|| graph.add_target(List { version: 3, content: 1, ..list }));
    line(&mut text, "a target is added, and listed", "row", rows, stats - making);
    let stats = counted(|| graph.remove_target());
    line(&mut text, "a target is removed", "row", rows, stats);

    progress.set_message("changes");
    let (changes, batch) = (rows.min(2_000), rows.min(1_000));
    let singly: Vec<_> = (0..changes).map(|number| objects.object(number, 2)).collect();
    let stats = counted(|| singly.into_iter().map(|object| graph.change(vec![object])).sum::<u64>());
    line(&mut text, "one change", "change", changes, stats);
    let at_once: Vec<_> = (0..batch).map(|number| objects.object(number, 3)).collect();
    let stats = counted(|| graph.change(at_once));
    line(&mut text, "1,000 changes at once", "change", batch, stats);
    progress.finish_and_clear();
    let each = loaded as f64 / rows as f64;
    writeln!(text, "\nAfter the load {} bytes a row are in use.", digits(each)).unwrap();
    text
}

fn of_churn(extent: &Extent) -> String {
    let mut used = Vec::new();
    churn::run(extent.rows, extent.updates, &progress("a long run of changes"), || used.push(in_use()));
    let looks: Vec<String> = used.iter().map(|bytes| digits(*bytes as f64 / f64::from(1 << 20))).collect();
    format!(
        "In the long run of changes (see above), in use at the start and after each tenth of the updates, in MiB: {}.\n",
        looks.join(", ")
    )
}
