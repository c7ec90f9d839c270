//! What inventories merge, and where they go.

use std::time::Duration;

use super::{input, inventory, plan};
use crate::api::Dedupe;
use crate::catalog::{Catalog, Input, InventoryPlan, SinkFamily};
use crate::sinks::SinkConfig;

const TARGETS: &str = "
---
kind: KollectTarget
metadata: {namespace: a, name: held, labels: {tier: base, x: v}}
spec: {profileRef: missing}
---
kind: KollectTarget
metadata: {namespace: a, name: other}
spec: {profileRef: pods}
---
kind: KollectTarget
metadata: {namespace: b, name: foreign, labels: {tier: base}}
spec: {profileRef: pods}
";

fn with(spec: &str) -> InventoryPlan {
    let documents =
        format!("kind: KollectInventory\nmetadata: {{namespace: a, name: i}}\nspec: {{{spec}}}{TARGETS}");
    inventory(&plan(&documents), "i").clone()
}

fn targets(spec: &str) -> Vec<String> {
    with(spec).targets.iter().map(ToString::to_string).collect()
}

#[test]
fn an_inventory_merges_the_targets_of_its_namespace() {
    assert_eq!(targets(""), ["a/held", "a/other", "a/pods"]);
    assert_eq!(targets("targetRefs: [pods]"), ["a/pods"]);
    assert_eq!(targets("targetRefs: [pods, missing, held]"), ["a/held", "a/pods"]);
    assert_eq!(targets("targetRefs: [foreign]"), [""; 0]);
    assert_eq!(targets("targetSelector: {}"), ["a/held", "a/other", "a/pods"]);
    assert_eq!(targets("targetSelector: {matchLabels: {tier: base}}"), ["a/held", "a/pods"]);
    assert_eq!(targets("targetSelector: {matchLabels: {tier: base, x: v}}"), ["a/held"]);
    assert_eq!(
        targets("targetSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}"),
        ["a/other"]
    );
    assert_eq!(targets("targetRefs: [pods], targetSelector: {matchLabels: {x: v}}"), ["a/pods"]);
}

#[test]
fn settings_are_passed_on() {
    assert_eq!(with("").dedupe, Dedupe::KeepAll);
    assert_eq!(with("dedupe: byResourceUID").dedupe, Dedupe::ByResourceUid);
    assert!(!with("").suspended);
    let suspended = with("suspend: true, databaseSinkRefs: [db]");
    assert!(suspended.suspended);
    assert_eq!((suspended.bindings.len(), suspended.references.len()), (1, 1));
}

#[test]
fn an_inventory_is_bound_to_the_sinks_that_can_be_used() {
    let plan = with("databaseSinkRefs: [missing, db], snapshotSinkRefs: [files]");
    let sinks: Vec<_> = plan.bindings.iter().map(|binding| binding.sink.to_string()).collect();
    assert_eq!(sinks, ["database/a/db", "snapshot/a/files"]);
    let references: Vec<_> = plan.references.iter().map(ToString::to_string).collect();
    assert_eq!(references, ["database/a/db", "database/a/missing", "snapshot/a/files"]);
    assert_eq!(plan.bindings[0].name.to_string(), "a/i");
    assert_eq!(plan.bindings[0].config.describe(), "sqlite /var/lib/a.db inventory");
}

#[test]
fn the_interval_is_that_of_the_reference_or_the_sink_or_the_inventory() {
    let intervals = |spec: &str| -> Vec<u64> {
        with(spec).bindings.iter().map(|binding| binding.min_interval.as_secs()).collect()
    };
    assert_eq!(intervals("databaseSinkRefs: [db], snapshotSinkRefs: [files]"), [30, 120]);
    assert_eq!(
        intervals("exportMinInterval: 1m, databaseSinkRefs: [db], snapshotSinkRefs: [files]"),
        [60, 120]
    );
    assert_eq!(
        intervals(
            "exportMinInterval: 1m, databaseSinkRefs: [{name: db, exportMinInterval: 0s}],
             snapshotSinkRefs: [{name: files, exportMinInterval: 1h}]"
        ),
        [0, 3600]
    );
    // One that can't be used is as good as none.
    assert_eq!(
        intervals("exportMinInterval: bad, databaseSinkRefs: [{name: db, exportMinInterval: bad}]"),
        [30]
    );
    assert_eq!(with("databaseSinkRefs: [db]").bindings[0].min_interval, Duration::from_secs(30));
}

#[test]
fn of_too_many_sinks_the_first_are_used() {
    let names: Vec<String> = (0..25).map(|i| format!("s{i}")).collect();
    let sinks: String = names
        .iter()
        .map(|name| {
            format!("---\nkind: KollectDatabaseSink\nmetadata: {{namespace: a, name: {name}}}\nspec: {{type: sqlite, endpoint: /{name}.db}}\n")
        })
        .collect();
    let plan = plan(&format!(
        "kind: KollectInventory\nmetadata: {{namespace: a, name: i}}\nspec: {{snapshotSinkRefs: [files], databaseSinkRefs: [{}]}}\n{sinks}",
        names.join(", ")
    ));
    assert_eq!(inventory(&plan, "i").bindings.len(), 20);
    assert_eq!(super::briefly(&plan), ["KollectInventory a/i spec.databaseSinkRefs[20] SpecInvalid"]);
    // What is exported to the others stays.
    assert_eq!(inventory(&plan, "i").references.len(), 26);
}

fn with_options(options: impl FnOnce(&mut Input)) -> InventoryPlan {
    let mut input = input(
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db, pg], exportMinInterval: 5m}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: a, name: db}\nspec: {type: sqlite, endpoint: /a.db, cluster: own}",
    );
    options(&mut input);
    inventory(&Catalog::default().plan(&input), "i").clone()
}

#[test]
fn the_cluster_is_that_of_the_process_or_the_sink() {
    assert_eq!(with_options(|_| {}).bindings[0].name.cluster, "own");
    let other = with_options(|input| input.options.cluster = Some("other".into()));
    assert_eq!(other.bindings[0].name.cluster, "other");
}

#[test]
fn an_output_directory_stands_in_for_all_sinks() {
    let mut input = input(
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [missing]}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: a, name: broken}\nspec: {type: sqlite}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: none}\nspec: {}",
    );
    input.options.output = Some("/out".into());
    input.options.cluster = Some("c".into());
    input.options.allow_local_sinks = false;
    let plan = Catalog::default().plan(&input);
    assert_eq!(super::briefly(&plan), [""; 0]);
    assert!(plan.sinks.is_empty());
    for name in ["i", "none"] {
        let [binding] = &inventory(&plan, name).bindings[..] else { panic!("one binding") };
        assert_eq!((binding.name.cluster.as_str(), binding.sink.family), ("c", SinkFamily::Snapshot));
        assert!(matches!(binding.config, SinkConfig::Local(_)), "{:?}", binding.config);
    }
}
