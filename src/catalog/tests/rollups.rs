//! Rollups of inventories and metrics of profiles.

use kollect_dataflows::data::TargetName;
use kollect_dataflows::rollup::{Aggregate, Field, Op};

use super::{briefly, inventory, plan};
use crate::catalog::ResourceName;

fn with(rollups: &str) -> super::Plan {
    plan(&format!(
        "
kind: KollectInventory
metadata: {{namespace: a, name: all}}
spec: {{databaseSinkRefs: [db], rollups: [{rollups}]}}
"
    ))
}

#[test]
fn a_rollup_is_planned_as_it_is_written() {
    let plan = with(
        "{name: by-phase, groupBy: [namespace, phase], aggregates: [{name: pods, op: count}, {name: names, op: distinct, attribute: name}]}",
    );
    assert_eq!(briefly(&plan), [""; 0]);
    let rollup = &inventory(&plan, "all").rollups["by-phase"];
    assert_eq!(rollup.group_by, ["namespace", "phase"]);
    assert_eq!(rollup.aggregates, ["pods", "names"]);
    assert_eq!(rollup.spec.group_by, [Field::parse("namespace"), Field::Attribute("phase".into())]);
    let names = Aggregate { op: Op::Distinct, field: Some(Field::parse("name")) };
    assert_eq!(rollup.spec.aggregates, [Aggregate { op: Op::Count, field: None }, names]);
}

#[test]
fn an_attribute_that_no_target_has_is_reported() {
    let plan = with(
        "{name: r, groupBy: [phase, fase], aggregates: [{name: pods, op: count}, {name: m, op: max, attribute: attributes.name}]}",
    );
    assert_eq!(
        briefly(&plan),
        [
            "KollectInventory a/all spec.rollups[0].aggregates[1].attribute AttributeNotFound",
            "KollectInventory a/all spec.rollups[0].groupBy[1] AttributeNotFound",
        ]
    );
    // The others are worked out all the same.
    assert_eq!(inventory(&plan, "all").rollups.len(), 1);
}

fn measured(metrics: &str) -> super::Plan {
    plan(&format!(
        "
kind: KollectProfile
metadata: {{namespace: a, name: pods}}
spec:
  targetGVK: {{version: v1, kind: Pod}}
  attributes: [{{name: phase, path: .status.phase}}, {{name: size, path: .spec.size, type: int}}, {{name: l, path: .spec.l, type: list}}]
  metrics: [{metrics}]
---
kind: KollectTarget
metadata: {{namespace: a, name: others}}
spec: {{profileRef: pods}}
"
    ))
}

#[test]
fn the_metrics_of_a_profile_are_about_all_its_targets() {
    let plan = measured(
        "{name: size_total, path: size, labels: [namespace, phase]}, {name: lists, path: l, type: count}",
    );
    assert_eq!(briefly(&plan), [""; 0]);
    let metrics = &plan.metrics[&ResourceName::new("a", "pods")];
    assert_eq!(metrics.targets, [TargetName::new("a", "others"), TargetName::new("a", "pods")].into());
    let total = &metrics.metrics["size_total"];
    assert_eq!((total.group_by.len(), &total.aggregates[..]), (2, &["value".to_owned()][..]));
    assert_eq!(total.spec.aggregates[0].op, Op::Sum);
    assert_eq!(metrics.metrics["lists"].spec.aggregates[0].op, Op::Count);
}

#[test]
fn a_metric_of_nothing_makes_the_profile_invalid() {
    for (metric, field) in [
        ("{name: m, path: none}", "path"),
        ("{name: m, path: l}", "path"),
        ("{name: m, path: size, labels: [phase, none]}", "labels[1]"),
    ] {
        let plan = measured(metric);
        let expected = format!("KollectProfile a/pods spec.metrics[0].{field} ProfileInvalid");
        assert!(briefly(&plan).contains(&expected), "{:?}", briefly(&plan));
        assert!(!plan.profiles[&ResourceName::new("a", "pods")].usable);
    }
}
