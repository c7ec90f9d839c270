//! What of the operator's input concerns one resource.
//!
//! A plan of all resources for each request would cost what the cluster costs. So the resource is planned with what it can
//! refer to, and no more:
//!
//! | resource | with |
//! | --- | --- |
//! | profile | nothing |
//! | target | its profile; namespaces |
//! | inventory | the sinks that it names; the targets of its namespace, without what they select; their profiles where it has rollups; namespaces |
//! | sink | its Secrets |
//! | connection test | what it tests |
//! | scope | nothing |
//!
//! With any of them the scopes that limit it. For kinds of the cluster it is the same, with those of the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::api::{KollectTarget, TargetFilter};
use crate::catalog::{
    Input, ResourceName, ResourceRef, SinkFamily, SinkName, sink_references, wanted_secrets,
};

/// The input with a resource in place of the one of its name, and without what does not concern it. `None` when plans don't
/// depend on its kind.
///
/// # Errors
/// The resource can't be read as its kind. The text may quote it.
pub(super) fn surroundings(
    input: &Input,
    resource: &ResourceRef,
    object: Value,
) -> Result<Option<Input>, serde_json::Error> {
    let looked_up = wanted_secrets(input);
    let mut input = input.clone();
    if !input.put(&resource.kind, resource.name.clone(), object)? {
        return Ok(None);
    }
    input.unusable.remove(resource);
    narrow(&mut input, resource);
    let wanted = wanted_secrets(&input);
    input.secrets.retain(|name, _| wanted.contains(name));
    for name in wanted {
        // Nobody has looked whether it is there.
        if !looked_up.contains(&name) {
            input.secrets_unreadable.entry(name).or_insert_with(|| "it has not been read yet".to_owned());
        }
    }
    Ok(Some(input))
}

/// The resources that one resource is planned with. What else the input has, namespaces and Secrets above all, stays.
#[derive(Default)]
struct Kept {
    profiles: BTreeSet<ResourceName>,
    sinks: BTreeSet<SinkName>,
    /// The namespace of targets, without what they select.
    targets_of: Option<String>,
}

fn narrow(input: &mut Input, resource: &ResourceRef) {
    let kept = kept(input, resource);
    let is = |kind: &str, name: &ResourceName| resource.kind == kind && resource.name == *name;
    let has_sink = |family: SinkFamily, name: &ResourceName| {
        is(family.kind(), name) || kept.sinks.contains(&SinkName { family, name: name.clone() })
    };
    input.profiles.retain(|name, _| is("KollectProfile", name) || kept.profiles.contains(name));
    input.database_sinks.retain(|name, _| has_sink(SinkFamily::Database, name));
    input.snapshot_sinks.retain(|name, _| has_sink(SinkFamily::Snapshot, name));
    input.event_sinks.retain(|name, _| has_sink(SinkFamily::Event, name));
    let is_near = |name: &ResourceName| kept.targets_of.as_ref() == Some(&name.namespace);
    input.targets.retain(|name, _| is("KollectTarget", name) || is_near(name));
    input.cluster_targets.retain(|name, _| is("KollectClusterTarget", name) || is_near(name));
    // An inventory asks of targets whether they are there, how they are labelled, and which attributes they have.
    if kept.targets_of.is_some() {
        for target in input.targets.values_mut() {
            let target = Arc::make_mut(target);
            target.spec.filter = TargetFilter::default();
        }
        for target in input.cluster_targets.values_mut() {
            let target = Arc::make_mut(target);
            target.spec.filter = TargetFilter::default();
        }
    }
    input.inventories.retain(|name, _| is("KollectInventory", name));
    input.cluster_inventories.retain(|name, _| is("KollectClusterInventory", name));
    input.connection_tests.retain(|name, _| is("KollectConnectionTest", name));
}

fn kept(input: &Input, resource: &ResourceRef) -> Kept {
    let ResourceRef { kind, name } = resource;
    let mut kept = Kept::default();
    match kind.as_str() {
        "KollectTarget" => {
            kept.profiles.extend(input.targets.get(name).map(|target| profile_of(name, target)));
        }
        "KollectClusterTarget" => {
            kept.profiles.extend(input.cluster_targets.get(name).map(|target| {
                let profile = &target.spec.profile_ref;
                ResourceName::new(&profile.namespace, &profile.name)
            }));
        }
        "KollectInventory" => {
            let Some(inventory) = input.inventories.get(name) else { return kept };
            let spec = &inventory.spec;
            let lists = [&spec.database_sink_refs, &spec.snapshot_sink_refs, &spec.event_sink_refs];
            kept.sinks = sink_references(lists, &name.namespace, false);
            kept.targets_of = Some(name.namespace.clone());
            if !spec.rollups.is_empty() {
                let near = input.targets.iter().filter(|(other, _)| other.namespace == name.namespace);
                kept.profiles = near.map(|(name, target)| profile_of(name, target)).collect();
            }
        }
        "KollectClusterInventory" => {
            let Some(inventory) = input.cluster_inventories.get(name) else { return kept };
            let spec = &inventory.spec;
            let lists = [&spec.database_sink_refs, &spec.snapshot_sink_refs, &spec.event_sink_refs];
            kept.sinks = sink_references(lists, &spec.sink_namespace, true);
            kept.targets_of = Some(String::new());
            let of_targets = input.cluster_targets.values().map(|target| &target.spec.profile_ref);
            let of_targets = of_targets.filter(|_| !spec.rollups.is_empty());
            let profiles = of_targets.chain(&spec.profile_ref);
            kept.profiles =
                profiles.map(|profile| ResourceName::new(&profile.namespace, &profile.name)).collect();
        }
        "KollectConnectionTest" => {
            let Some(test) = input.connection_tests.get(name) else { return kept };
            let near = |other: &String| ResourceName::new(&name.namespace, other);
            kept.profiles.extend(test.spec.profile_ref.as_ref().map(near));
            if let Some(tested) = &test.spec.sink_ref {
                let references = [
                    (SinkFamily::Database, &tested.database_sink_ref),
                    (SinkFamily::Snapshot, &tested.snapshot_sink_ref),
                    (SinkFamily::Event, &tested.event_sink_ref),
                ];
                let named =
                    references.into_iter().filter_map(|(family, sink)| Some((family, near(sink.as_ref()?))));
                kept.sinks = named.map(|(family, name)| SinkName { family, name }).collect();
            }
        }
        _ => {}
    }
    kept
}

fn profile_of(name: &ResourceName, target: &KollectTarget) -> ResourceName {
    ResourceName::new(&name.namespace, &target.spec.profile_ref)
}
