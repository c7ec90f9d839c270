//! Inputs that differ in status alone are told from others.

use std::sync::Arc;

use serde_json::json;

use super::{input, put};
use crate::catalog::{Input, Namespace, ResourceName, SecretData};

const INVENTORY: &str = "
kind: KollectInventory
metadata: {namespace: a, name: all}
spec: {databaseSinkRefs: [db]}
";

/// The resources, with a change of an inventory.
fn changed(change: impl FnOnce(&mut crate::api::KollectInventory)) -> Input {
    let mut input = input(INVENTORY);
    let name = ResourceName::new("a", "all");
    change(Arc::make_mut(input.inventories.get_mut(&name).unwrap()));
    input
}

#[test]
fn a_status_that_is_written_changes_no_plan() {
    let before = input(INVENTORY);
    assert!(before.plans_like(&input(INVENTORY)));
    let written = changed(|inventory| {
        inventory.metadata.resource_version = Some("2".to_owned());
        inventory.metadata.managed_fields = Some(Vec::new());
        let status = json!({"itemCount": 7, "conditions": [], "sinkExports": []});
        inventory.status = Some(serde_json::from_value(status).unwrap());
    });
    assert!(before.plans_like(&written));
}

#[test]
fn whatever_a_plan_may_depend_on_counts() {
    let before = input(INVENTORY);
    let differ = |case: &str, after: Input| {
        assert!(!before.plans_like(&after), "{case}");
        assert!(!after.plans_like(&before), "{case}");
    };
    differ("spec", changed(|inventory| inventory.spec.suspend = true));
    differ(
        "labels",
        changed(|inventory| inventory.metadata.labels = Some([("a".into(), "b".into())].into())),
    );
    differ("generation", changed(|inventory| inventory.metadata.generation = Some(2)));
    differ(
        "finalizers",
        changed(|inventory| inventory.metadata.finalizers = Some(vec!["kollect.dev/a".to_owned()])),
    );
    differ(
        "sinks that it has exported to",
        changed(|inventory| {
            let status = json!({"sinkExports": [{"name": "database/a/db"}]});
            inventory.status = Some(serde_json::from_value(status).unwrap());
        }),
    );
    let with = |change: &dyn Fn(&mut Input)| {
        let mut input = input(INVENTORY);
        change(&mut input);
        input
    };
    differ("one less", with(&|input| input.targets.clear()));
    differ(
        "another name",
        with(&|input| {
            let (_, target) = input.targets.pop_first().unwrap();
            input.targets.insert(ResourceName::new("a", "other"), target);
        }),
    );
    differ(
        "one more",
        with(&|input| put(input, "{kind: KollectScope, metadata: {namespace: a, name: s}, spec: {}}")),
    );
    differ("a namespace", with(&|input| _ = input.namespaces.insert("a".to_owned(), Namespace::default())));
    differ(
        "a Secret",
        with(&|input| drop(input.secrets.insert(ResourceName::new("a", "s"), SecretData::default()))),
    );
    differ("an option", with(&|input| input.options.allow_local_sinks = false));
}
