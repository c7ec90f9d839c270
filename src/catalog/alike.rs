//! Tells whether two inputs give the same plan without making it.
//!
//! Status is written all the time, and every write comes back as a new version of the resource. Nothing follows from it for the
//! plan, so hundreds of resources must not be planned anew for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Input, ResourceName};
use crate::api::{
    KollectClusterInventory, KollectClusterScope, KollectClusterTarget, KollectConnectionTest,
    KollectDatabaseSink, KollectEventSink, KollectInventory, KollectProfile, KollectScope,
    KollectSnapshotSink, KollectTarget,
};

impl Input {
    /// Whether the plan for `other` is the same for all that can be told without making it: the two differ in nothing but what is
    /// counted and said in status.
    pub fn plans_like(&self, other: &Self) -> bool {
        // Each field is named, so that a new one is not forgotten.
        let Self {
            profiles,
            targets,
            inventories,
            cluster_targets,
            cluster_inventories,
            scopes,
            cluster_scopes,
            scopes_unknown,
            scopes_unknown_in,
            database_sinks,
            snapshot_sinks,
            event_sinks,
            sinks_unknown,
            connection_tests,
            unusable,
            incomplete,
            incomplete_in,
            secrets,
            secrets_unreadable,
            namespaces,
            namespaces_unknown,
            options,
        } = self;
        alike(profiles, &other.profiles)
            && alike(targets, &other.targets)
            && alike(inventories, &other.inventories)
            && alike(cluster_targets, &other.cluster_targets)
            && alike(cluster_inventories, &other.cluster_inventories)
            && alike(scopes, &other.scopes)
            && alike(cluster_scopes, &other.cluster_scopes)
            && *scopes_unknown == other.scopes_unknown
            && *scopes_unknown_in == other.scopes_unknown_in
            && alike(database_sinks, &other.database_sinks)
            && alike(snapshot_sinks, &other.snapshot_sinks)
            && alike(event_sinks, &other.event_sinks)
            && *sinks_unknown == other.sinks_unknown
            && alike(connection_tests, &other.connection_tests)
            && *unusable == other.unusable
            && *incomplete == other.incomplete
            && *incomplete_in == other.incomplete_in
            && *secrets == other.secrets
            && *secrets_unreadable == other.secrets_unreadable
            && *namespaces == other.namespaces
            && *namespaces_unknown == other.namespaces_unknown
            && *options == other.options
    }
}

fn alike<T: Planned>(
    before: &BTreeMap<ResourceName, Arc<T>>,
    after: &BTreeMap<ResourceName, Arc<T>>,
) -> bool {
    let same = |(before, after): (&Arc<T>, &Arc<T>)| Arc::ptr_eq(before, after) || before.plans_like(after);
    before.len() == after.len()
        && before.keys().eq(after.keys())
        && before.values().zip(after.values()).all(same)
}

/// A resource, as far as a plan may depend on it.
trait Planned {
    fn plans_like(&self, other: &Self) -> bool;
}

/// Everything but what changes with each write.
fn lasting(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta { managed_fields: None, resource_version: None, ..metadata.clone() }
}

/// Of the status of an inventory: the sinks that it speaks of, whatever it says of them.
macro_rules! sinks {
    ($inventory:expr) => {
        $inventory.status.iter().flat_map(|status| &status.sink_exports).map(|export| &export.name)
    };
}

macro_rules! planned {
    ($($kind:ty $(, $before:ident, $after:ident: $status:expr)?;)*) => {
        $(impl Planned for $kind {
            fn plans_like(&self, other: &Self) -> bool {
                $(let ($before, $after) = (self, other);)?
                self.spec == other.spec
                    && lasting(&self.metadata) == lasting(&other.metadata)
                    $(&& $status)?
            }
        })*
    };
}

planned! {
    KollectProfile;
    KollectTarget;
    KollectClusterTarget;
    KollectInventory, before, after: sinks!(before).eq(sinks!(after));
    KollectClusterInventory, before, after: sinks!(before).eq(sinks!(after));
    KollectScope;
    KollectClusterScope;
    KollectDatabaseSink;
    KollectSnapshotSink;
    KollectEventSink;
    // One that has come to its end is not planned.
    KollectConnectionTest, before, after: before.status == after.status;
}
