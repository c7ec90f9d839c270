//! Plans of small sets of resources, written as manifests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod alike;
mod cluster;
mod connection_tests;
mod held;
mod inventories;
mod leftovers;
mod order;
mod problems;
mod rollups;
mod scopes;
mod sinks;
mod targets;
mod tenancy;

use std::collections::BTreeMap;
use std::sync::Arc;

use kollect_dataflows::data::TargetName;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    ActiveTarget, Catalog, Input, InventoryPlan, Namespace, Options, Plan, ResourceName, SecretData,
    TargetPlan,
};

/// A profile, a target and two sinks, in namespace `a`.
pub(super) const BASE: &str = "
kind: KollectProfile
metadata: {namespace: a, name: pods}
spec: {targetGVK: {version: v1, kind: Pod}, attributes: [{name: phase, path: .status.phase}]}
---
kind: KollectTarget
metadata: {namespace: a, name: pods, labels: {tier: base}}
spec: {profileRef: pods}
---
kind: KollectDatabaseSink
metadata: {namespace: a, name: db}
spec: {type: sqlite, endpoint: /var/lib/a.db}
---
kind: KollectSnapshotSink
metadata: {namespace: a, name: files}
spec: {type: local, endpoint: /var/lib/files, exportMinInterval: 2m}
";

/// The resources of some documents, over those of the base.
pub(super) fn input(documents: &str) -> Input {
    let mut input =
        Input { options: Options { allow_local_sinks: true, ..Options::default() }, ..Input::default() };
    for document in BASE.split("---\n").chain(documents.split("---\n")) {
        put(&mut input, document);
    }
    input
}

/// Puts one resource in, in place of one of the same name.
pub(super) fn put(input: &mut Input, document: &str) {
    fn add<T: DeserializeOwned>(
        all: &mut BTreeMap<ResourceName, Arc<T>>,
        name: ResourceName,
        mut value: Value,
    ) {
        value["apiVersion"] = crate::api::API_VERSION.into();
        all.insert(name, Arc::new(serde_json::from_value(value).unwrap()));
    }
    if document.trim().is_empty() {
        return;
    }
    let value: Value = serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{document}: {error}"));
    let metadata = &value["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    let name = ResourceName::new(text("namespace"), text("name"));
    let pairs = |value: &Value| -> BTreeMap<String, String> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap().into()))
            .collect()
    };
    match value["kind"].as_str().unwrap() {
        "KollectProfile" => add(&mut input.profiles, name, value),
        "KollectTarget" => add(&mut input.targets, name, value),
        "KollectClusterTarget" => add(&mut input.cluster_targets, name, value),
        "KollectInventory" => add(&mut input.inventories, name, value),
        "KollectClusterInventory" => add(&mut input.cluster_inventories, name, value),
        "KollectScope" => add(&mut input.scopes, name, value),
        "KollectClusterScope" => add(&mut input.cluster_scopes, name, value),
        "KollectEventSink" => add(&mut input.event_sinks, name, value),
        "KollectConnectionTest" => add(&mut input.connection_tests, name, value),
        "KollectDatabaseSink" => add(&mut input.database_sinks, name, value),
        "KollectSnapshotSink" => add(&mut input.snapshot_sinks, name, value),
        "Secret" => {
            let data = pairs(&value["stringData"]).into_iter().map(|(k, v)| (k, v.into_bytes())).collect();
            input.secrets.insert(name, SecretData(data));
        }
        "Namespace" => {
            let namespace = Namespace::new(pairs(&metadata["labels"]), &pairs(&metadata["annotations"]));
            input.namespaces.insert(name.name, namespace);
        }
        other => panic!("unknown kind {other}"),
    }
}

pub(super) fn plan(documents: &str) -> Plan {
    Catalog::default().plan(&input(documents))
}

/// Problems as `KollectTarget a/pods spec.profileRef ProfileNotFound`.
pub(super) fn briefly(plan: &Plan) -> Vec<String> {
    plan.problems.iter().map(|p| format!("{} {} {}", p.resource, p.field, p.reason)).collect()
}

pub(super) fn target<'p>(plan: &'p Plan, name: &str) -> &'p TargetPlan {
    &plan.targets[&TargetName::new("a", name)]
}

pub(super) fn active<'p>(plan: &'p Plan, name: &str) -> &'p ActiveTarget {
    match target(plan, name) {
        TargetPlan::Active(active) => active,
        held => panic!("{name}: {held:?}"),
    }
}

pub(super) fn inventory<'p>(plan: &'p Plan, name: &str) -> &'p InventoryPlan {
    &plan.inventories[&ResourceName::new("a", name)]
}
