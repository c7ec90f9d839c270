//! Targets and inventories of the cluster.

use kollect_dataflows::data::TargetName;

use super::{briefly, plan};
use crate::catalog::{InventoryPlan, Plan, ResourceName, TargetPlan};

const NAMESPACES: &str = "
---
kind: Namespace
metadata: {name: a, labels: {team: a}}
---
kind: Namespace
metadata: {name: b, labels: {team: b}}
---
kind: KollectClusterTarget
metadata: {name: all, labels: {tier: one}}
spec: {profileRef: {namespace: a, name: pods}}
---
kind: KollectClusterTarget
metadata: {name: some}
spec: {profileRef: {namespace: a, name: pods}, namespaceSelector: {matchLabels: {team: b}}}
";

fn with(documents: &str) -> Plan {
    plan(&format!("{documents}{NAMESPACES}"))
}

/// A plan with a cluster inventory of this spec, and the inventory.
fn with_inventory(spec: &str) -> (Plan, InventoryPlan) {
    let plan = with(&format!("kind: KollectClusterInventory\nmetadata: {{name: i}}\nspec: {{{spec}}}"));
    let inventory = plan.inventories[&ResourceName::new("", "i")].clone();
    (plan, inventory)
}

fn targets(inventory: &InventoryPlan) -> String {
    inventory.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn cluster_targets_read_profiles_of_any_namespace() {
    let plan = with(
        "kind: KollectClusterTarget\nmetadata: {name: lost}\nspec: {profileRef: {namespace: b, name: pods}}",
    );
    assert_eq!(briefly(&plan), ["KollectClusterTarget lost spec.profileRef ProfileNotFound"]);
    let selected = |name: &str| match &plan.targets[&TargetName::new("", name)] {
        TargetPlan::Active(active) => {
            active.sight.selected().map(|names| names.collect::<Vec<_>>().join(" "))
        }
        held => panic!("{held:?}"),
    };
    assert_eq!((selected("all"), selected("some")), (None, Some("b".to_owned())));
    assert_eq!(plan.profiles[&ResourceName::new("a", "pods")].targets, 3);
}

#[test]
fn cluster_inventories_merge_cluster_targets_and_inventories_those_of_their_namespace() {
    for (spec, expected) in [
        ("", "all some"),
        ("targetRefs: [some]", "some"),
        ("targetSelector: {matchLabels: {tier: one}}", "all"),
        ("targetSelector: {}", "all some"),
    ] {
        assert_eq!(targets(&with_inventory(spec).1), expected, "{spec}");
    }
    let plan =
        with("kind: KollectInventory\nmetadata: {namespace: a, name: own}\nspec: {databaseSinkRefs: [db]}");
    assert_eq!(targets(&plan.inventories[&ResourceName::new("a", "own")]), "a/pods");
    let (plan, _) = with_inventory("targetRefs: [pods], databaseSinkRefs: [{name: db, namespace: a}]");
    assert_eq!(briefly(&plan), ["KollectClusterInventory i spec.targetRefs[0] TargetNotFound"]);
}

#[test]
fn namespaces_are_named_and_selected() {
    for (spec, expected) in [
        ("", None),
        ("namespaces: [a, later]", Some("a later")),
        ("namespaceSelector: {matchLabels: {team: b}}", Some("b")),
        ("namespaceSelector: {}", Some("a b")),
        ("namespaceSelector: {}, namespaces: [b, later]", Some("b")),
        ("namespaceSelector: {matchLabels: {team: z}}", Some("")),
    ] {
        let (_, inventory) = with_inventory(spec);
        let namespaces = inventory.namespaces.map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(namespaces.as_deref(), expected, "{spec}");
    }
}

#[test]
fn sinks_are_found_in_the_namespaces_that_references_name() {
    let (plan, inventory) = with_inventory("sinkNamespace: a, databaseSinkRefs: [db]");
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    assert_eq!(inventory.bindings[0].sink.to_string(), "database/a/db");
    assert_eq!(inventory.bindings[0].name.inventory_namespace, "");
    let (plan, inventory) = with_inventory("databaseSinkRefs: [{name: db, namespace: a}]");
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    assert_eq!(inventory.bindings.len(), 1);
    let (plan, _) = with_inventory("databaseSinkRefs: [db, {name: db, namespace: a, color: red}]");
    assert_eq!(
        briefly(&plan),
        [
            "KollectClusterInventory i spec.databaseSinkRefs[0] SinkNotFound",
            "KollectClusterInventory i spec.databaseSinkRefs[1].color SpecInvalid",
        ]
    );
    let plan = with(
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [{name: db, namespace: a}]}",
    );
    assert_eq!(briefly(&plan), ["KollectInventory a/i spec.databaseSinkRefs[0].namespace SpecInvalid"]);
}

#[test]
fn cluster_scopes_limit_what_is_referred_to() {
    const INVENTORY: &str = "
---
kind: KollectClusterInventory
metadata: {name: i}
spec: {databaseSinkRefs: [{name: db, namespace: a}], profileRef: {namespace: a, name: pods}}";
    let scope = |spec: &str| {
        with(&format!("kind: KollectClusterScope\nmetadata: {{name: s}}\nspec: {{{spec}}}{INVENTORY}"))
    };
    assert!(scope("allowedStaticRefNamespaces: [a]").problems.is_empty());
    assert_eq!(
        briefly(&scope("allowedStaticRefNamespaces: [b]")),
        [
            "KollectClusterInventory i spec.databaseSinkRefs[0] SinkNamespaceDenied",
            "KollectClusterInventory i spec.profileRef ProfileForbidden",
            "KollectClusterTarget all spec.profileRef ProfileForbidden",
            "KollectClusterTarget some spec.profileRef ProfileForbidden",
        ]
    );
    // Those of a namespace are limited by its own scopes.
    let plan = scope("allowedGVKs: [{version: v1, kind: Node}]");
    assert!(matches!(plan.targets[&TargetName::new("a", "pods")], TargetPlan::Active(_)));
    assert!(matches!(plan.targets[&TargetName::new("", "all")], TargetPlan::Held { .. }));
}

#[test]
fn metrics_of_a_profile_are_rollups_of_a_cluster_inventory() {
    const PROFILE: &str = "
---
kind: KollectProfile
metadata: {namespace: a, name: pods}
spec:
  targetGVK: {version: v1, kind: Pod}
  attributes: [{name: phase, path: .status.phase}, {name: size, path: .spec.size, type: int}]
  metrics: [{name: sizes, path: size, labels: [phase]}, {name: own, path: size}]
---
kind: KollectClusterInventory
metadata: {name: i}
spec:
  databaseSinkRefs: [{name: db, namespace: a}]
  profileRef: {namespace: a, name: pods}
  rollups: [{name: own, groupBy: [namespace], aggregates: [{name: rows, op: count}]}]
";
    let plan = with(PROFILE);
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    let rollups = &plan.inventories[&ResourceName::new("", "i")].rollups;
    let grouped = |name: &str| rollups[name].group_by.join(" ");
    assert_eq!(
        (rollups.len(), grouped("sizes").as_str(), grouped("own").as_str()),
        (2, "phase", "namespace")
    );
}

#[test]
fn event_sinks_are_known_and_not_yet_written_to() {
    let plan = with(
        "kind: KollectEventSink\nmetadata: {namespace: a, name: e}\nspec: {type: nats, nats: {url: 'nats://n:4222', subject: s}}
---
kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {eventSinkRefs: [e]}",
    );
    assert_eq!(
        briefly(&plan),
        [
            "KollectEventSink a/e spec.type BackendMissing",
            "KollectInventory a/i spec.eventSinkRefs[0] SinkInvalid",
        ]
    );
}
