//! Planning: what a change of one custom resource costs with many of them, and how that grows.
//!
//! `cargo bench --bench catalog` writes its figures to docs/benchmarks.md; without `--bench` it does the same with few resources
//! and writes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use kollect::catalog::{Catalog, Input, Namespace, Options, ResourceName};
use kollect::probes;
use kollect::runtime::Report;
use kollect::status;
use serde_json::{Value, json};
use support::docs;
use support::run::{Call, progress, repeat};
use support::times::{Times, digits, show};

/// Targets of the smallest, and how often that is doubled twice.
const FIRST: usize = 500;
const STEPS: u32 = 3;

const HEAD: &str = "## Planning

Written by `cargo bench --bench catalog`. Ten targets and one inventory a team, which exports to one sink; each target looks at four namespaces by name
and at others by label. *Start* is the first plan, with everything compiled; *change* the plan after one target was edited, and *status* the statuses of all
resources after it. Where all costs are linear, four times as many resources take four times as long.

| targets | inventories | namespaces | start | change, p50 | status, p50 | start ÷ that of a quarter |
| --- | --- | --- | --- | --- | --- | --- |
";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_test = Call::of(&arguments) == Call::Test;
    let (first, steps, limit) = match is_test {
        true => (20, 2, Duration::ZERO),
        false => (FIRST, STEPS, Duration::from_secs(5)),
    };
    let bar = progress("catalog");
    let (mut text, mut before) = (HEAD.to_owned(), None);
    for step in 0..steps {
        let targets = first * 4_usize.pow(step);
        bar.set_message(format!("{targets} targets"));
        let mut input = input(targets);
        let start = Times::new(repeat(5, limit, |_| {
            let mut catalog = Catalog::default();
            timed(|| black_box(catalog.plan(&input)))
        }));
        let mut catalog = Catalog::default();
        let mut plan = catalog.plan(&input);
        assert_eq!((plan.targets.len(), plan.problems.len()), (targets, 0), "{:?}", plan.problems.first());
        let change = Times::new(repeat(50, limit, |number| {
            let edited = target("team-0", 0, &format!("edit-{number}"));
            assert!(input.put("KollectTarget", ResourceName::new("team-0", "t0"), edited).unwrap());
            timed(|| plan = catalog.plan(&input))
        }));
        let status = Times::new(repeat(50, limit, |_| {
            let report = (Report::default(), probes::Report::default());
            timed(|| black_box(status::statuses(&input, &plan, &report.0, &report.1, &BTreeMap::new())).len())
        }));
        let growth = before.map_or_else(
            || "–".to_owned(),
            |before: Duration| digits(start.p50().as_secs_f64() / before.as_secs_f64()),
        );
        before = Some(start.p50());
        let line = format!(
            "| {targets} | {} | {} | {} | {} | {} | {growth} |",
            input.inventories.len(),
            input.namespaces.len(),
            show(start.p50()),
            show(change.p50()),
            show(status.p50()),
        );
        println!("{line}");
        writeln!(text, "{line}").unwrap();
    }
    bar.finish_and_clear();
    if !is_test {
        writeln!(text, "\nOn {}.", docs::machine()).unwrap();
        docs::write_section("catalog", &text);
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// Ten targets a team.
fn input(targets: usize) -> Input {
    let options = Options { allow_local_sinks: true, ..Options::default() };
    let mut input = Input { options, ..Input::default() };
    for team in 0..targets / 10 {
        let namespace = format!("team-{team}");
        let mut put = |kind: &str, name: &str, resource: Value| {
            assert!(input.put(kind, ResourceName::new(&namespace, name), resource).unwrap());
        };
        let profile = json!({
            "targetGVK": { "group": "apps", "version": "v1", "kind": "Deployment" },
            "attributes": [
                { "name": "image", "path": "$.spec.template.spec.containers[*].image" },
                { "name": "large", "path": "cel:object.spec.replicas > 10" },
            ],
        });
        put("KollectProfile", "p", resource("KollectProfile", &namespace, "p", profile));
        for number in 0..10 {
            put("KollectTarget", &format!("t{number}"), target(&namespace, number, ""));
        }
        let sink = json!({ "type": "local", "endpoint": format!("/exports/{team}") });
        put("KollectSnapshotSink", "files", resource("KollectSnapshotSink", &namespace, "files", sink));
        let inventory = json!({ "snapshotSinkRefs": ["files"] });
        put("KollectInventory", "all", resource("KollectInventory", &namespace, "all", inventory));
        for name in 0..4 {
            let labels = [("team".to_owned(), namespace.clone())].into();
            let known = Namespace::new(labels, &BTreeMap::new());
            input.namespaces.insert(format!("{namespace}-{name}"), known);
        }
    }
    input
}

fn target(namespace: &str, number: usize, edit: &str) -> Value {
    let names: Vec<String> = (0..4).map(|name| format!("{namespace}-{name}")).collect();
    let spec = json!({
        "profileRef": "p",
        "includedNamespaces": names,
        "namespaceSelector": { "matchLabels": { "team": namespace } },
        "labelSelector": { "matchLabels": { "app": format!("app-{number}"), "edit": edit } },
    });
    resource("KollectTarget", namespace, &format!("t{number}"), spec)
}

fn resource(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({ "namespace": namespace, "name": name, "generation": 1 });
    json!({ "apiVersion": kollect::api::API_VERSION, "kind": kind, "metadata": metadata, "spec": spec })
}
