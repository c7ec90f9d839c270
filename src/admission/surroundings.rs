//! What of the operator's input concerns one resource.
//!
//! A plan of all resources for each request would cost what the cluster costs. So the resource is planned with what it can
//! refer to, and no more:
//!
//! | resource | with |
//! | --- | --- |
//! | profile | nothing |
//! | target | its profile; namespaces |
//! | inventory | the sinks that it names; the targets of its namespace, without what they select; their profiles where it has rollups |
//! | sink | its Secrets |
//!
//! What is not named here, kinds that govern others above all, is left in.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::api::{KollectTarget, KollectTargetSpec};
use crate::catalog::{Input, ResourceName, ResourceRef, wanted_secrets};

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

fn narrow(input: &mut Input, resource: &ResourceRef) {
    let ResourceRef { kind, name } = resource;
    let is_this = |other: &ResourceName| other == name;
    match kind.as_str() {
        "KollectProfile" => {
            input.profiles.retain(|other, _| is_this(other));
            input.targets.clear();
            input.inventories.clear();
            without_sinks(input);
        }
        "KollectTarget" => {
            input.targets.retain(|other, _| is_this(other));
            let profile = input.targets.get(name).map(|target| profile_of(name, target));
            input.profiles.retain(|other, _| Some(other) == profile.as_ref());
            input.inventories.clear();
            without_sinks(input);
        }
        "KollectInventory" => around_inventory(input, name),
        "KollectDatabaseSink" | "KollectSnapshotSink" => {
            let family = kind.as_str();
            input.database_sinks.retain(|other, _| is_this(other) && family == "KollectDatabaseSink");
            input.snapshot_sinks.retain(|other, _| is_this(other) && family == "KollectSnapshotSink");
            input.profiles.clear();
            input.targets.clear();
            input.inventories.clear();
        }
        _ => {}
    }
}

fn without_sinks(input: &mut Input) {
    input.database_sinks.clear();
    input.snapshot_sinks.clear();
}

fn around_inventory(input: &mut Input, name: &ResourceName) {
    input.inventories.retain(|other, _| other == name);
    let Some(inventory) = input.inventories.get(name).cloned() else { return };
    let spec = &inventory.spec;
    let is_near = |other: &ResourceName| other.namespace == name.namespace;
    let database: BTreeSet<&str> = spec.database_sink_refs.iter().map(|reference| reference.name()).collect();
    let snapshot: BTreeSet<&str> = spec.snapshot_sink_refs.iter().map(|reference| reference.name()).collect();
    input.database_sinks.retain(|other, _| is_near(other) && database.contains(other.name.as_str()));
    input.snapshot_sinks.retain(|other, _| is_near(other) && snapshot.contains(other.name.as_str()));
    // An inventory asks of targets whether they are there, how they are labelled, and which attributes they have.
    input.targets.retain(|other, _| is_near(other));
    for target in input.targets.values_mut() {
        *target = Arc::new(bare(target));
    }
    let profiles: BTreeSet<ResourceName> = match spec.rollups.is_empty() {
        true => BTreeSet::new(),
        false => input.targets.iter().map(|(name, target)| profile_of(name, target)).collect(),
    };
    input.profiles.retain(|other, _| profiles.contains(other));
    input.namespaces.clear();
}

/// A target without what it selects.
fn bare(target: &KollectTarget) -> KollectTarget {
    let spec = KollectTargetSpec {
        profile_ref: target.spec.profile_ref.clone(),
        suspend: target.spec.suspend,
        ..KollectTargetSpec::default()
    };
    KollectTarget { metadata: target.metadata.clone(), spec, status: None }
}

fn profile_of(name: &ResourceName, target: &KollectTarget) -> ResourceName {
    ResourceName::new(&name.namespace, &target.spec.profile_ref)
}
