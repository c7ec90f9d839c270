//! What is there but can't be used is held as it was.

use std::collections::BTreeMap;

use super::{active, briefly, input, inventory, target};
use crate::catalog::{
    Catalog, Incomplete, Input, Plan, ResourceName, ResourceRef, TargetPlan, Unusable, reason,
};

const INVENTORIES: &str = "
kind: KollectInventory
metadata: {namespace: a, name: all}
spec: {databaseSinkRefs: [db]}
---
kind: KollectInventory
metadata: {namespace: a, name: named}
spec: {targetRefs: [pods], databaseSinkRefs: [db]}
---
kind: KollectInventory
metadata: {namespace: a, name: base}
spec: {targetSelector: {matchLabels: {tier: base}}, databaseSinkRefs: [db]}
---
kind: KollectInventory
metadata: {namespace: a, name: other}
spec: {targetSelector: {matchLabels: {tier: other}}, databaseSinkRefs: [db]}
";

fn with(unusable: &[(&str, &str, Option<&str>)]) -> Input {
    let mut input = input(INVENTORIES);
    for (kind, name, tier) in unusable {
        let labels = tier.map(|tier| BTreeMap::from([("tier".to_owned(), tier.to_owned())]));
        let (message, remedy) = ("it has a new field".into(), "correct it".into());
        let why = Unusable { labels, message, remedy, ..Unusable::default() };
        input.unusable.insert(ResourceRef::new(kind, &ResourceName::new("a", *name)), why);
    }
    input
}

fn plan(input: &Input) -> Plan {
    Catalog::default().plan(input)
}

fn targets(plan: &Plan, name: &str) -> Vec<String> {
    inventory(plan, name).targets.iter().map(ToString::to_string).collect()
}

#[test]
fn a_target_that_cannot_be_read_is_held_where_it_is_selected_and_nowhere_else() {
    let labelled = plan(&with(&[("KollectTarget", "new", Some("base"))]));
    assert!(matches!(target(&labelled, "new"), TargetPlan::Held { reason: reason::SPEC_INVALID, .. }));
    assert_eq!(targets(&labelled, "all"), ["a/new", "a/pods"]);
    assert_eq!(targets(&labelled, "named"), ["a/pods"]);
    assert_eq!(targets(&labelled, "base"), ["a/new", "a/pods"]);
    assert_eq!(targets(&labelled, "other"), [""; 0]);
    // Where its labels are not known either, it may be selected.
    let unknown = plan(&with(&[("KollectTarget", "new", None)]));
    assert_eq!(targets(&unknown, "other"), ["a/new"]);
    active(&unknown, "pods");
}

#[test]
fn a_target_that_is_not_sound_is_checked_and_held() {
    let plan = plan(&with(&[("KollectTarget", "pods", Some("base"))]));
    let TargetPlan::Held { reason, message } = target(&plan, "pods") else { panic!() };
    assert_eq!((*reason, message.as_str()), (reason::SPEC_INVALID, "it has a new field"));
    assert_eq!(plan.profiles[&ResourceName::new("a", "pods")].targets, 1);
}

#[test]
fn a_profile_that_cannot_be_used_holds_its_targets() {
    let plan = plan(&with(&[("KollectProfile", "pods", None)]));
    let TargetPlan::Held { reason, .. } = target(&plan, "pods") else { panic!() };
    assert_eq!(*reason, reason::PROFILE_INVALID);
}

#[test]
fn an_inventory_that_cannot_be_used_is_held_and_the_others_go_on() {
    let plan = plan(&with(&[("KollectInventory", "all", None), ("KollectInventory", "gone", None)]));
    for name in ["all", "gone"] {
        let held = inventory(&plan, name).held.as_ref().unwrap();
        assert_eq!((held.reason, held.message.as_str()), (reason::SPEC_INVALID, "it has a new field"));
    }
    assert!(inventory(&plan, "gone").bindings.is_empty());
    assert_eq!(inventory(&plan, "named").held, None);
}

#[test]
fn an_inventory_whose_selector_cannot_be_used_is_held() {
    let mut input = with(&[]);
    super::put(
        &mut input,
        "kind: KollectInventory
metadata: {namespace: a, name: i}
spec: {targetSelector: {matchExpressions: [{key: tier, operator: In}]}, databaseSinkRefs: [db]}",
    );
    let plan = plan(&input);
    assert_eq!(inventory(&plan, "i").held.as_ref().unwrap().reason, reason::SPEC_INVALID);
    assert_eq!(inventory(&plan, "i").references.len(), 1);
}

#[test]
fn a_sink_that_cannot_be_used_is_left_out_and_still_referred_to() {
    for name in ["db", "files"] {
        let kind = if name == "db" { "KollectDatabaseSink" } else { "KollectSnapshotSink" };
        let mut input = with(&[(kind, name, None)]);
        input.database_sinks.retain(|sink, _| sink.name != "gone");
        let plan = plan(&input);
        let all = inventory(&plan, "all");
        assert_eq!((all.bindings.len(), all.references.len()), (usize::from(name != "db"), 1));
        assert_eq!(all.held, None);
    }
    // One that can't even be read is not missing.
    let mut input = with(&[("KollectDatabaseSink", "db", None)]);
    input.database_sinks.clear();
    let problems = briefly(&plan(&input));
    assert!(problems.iter().all(|problem| !problem.ends_with("SinkNotFound")), "{problems:#?}");
}

#[test]
fn where_not_all_resources_are_known_only_inventories_that_name_their_targets_are_not_held() {
    let mut input = with(&[]);
    input.incomplete = Incomplete { targets: true, cluster_targets: false };
    super::put(
        &mut input,
        "kind: KollectInventory
metadata: {namespace: a, name: missing}
spec: {targetRefs: [pods, missing], databaseSinkRefs: [db]}",
    );
    let plan = plan(&input);
    for (name, held) in [("all", true), ("base", true), ("other", true), ("missing", true), ("named", false)]
    {
        let hold = inventory(&plan, name).held.as_ref();
        assert_eq!(hold.map(|hold| hold.reason), held.then_some(reason::UNREADABLE), "{name}");
    }
    active(&plan, "pods");
    // Those of the cluster are no targets of a namespace.
    input.incomplete = Incomplete { targets: false, cluster_targets: true };
    let plan = self::plan(&input);
    assert!(plan.inventories.values().all(|inventory| inventory.held.is_none()));
}
