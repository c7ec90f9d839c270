//! The custom resources: one file a kind; types only, with what their CRDs say about validity.
//!
//! ```text
//! KollectTarget ──profileRef──► KollectProfile           what is collected, and what of it
//!       ▲
//!       │ every target of the namespace, targetRefs or targetSelector
//! KollectInventory ──databaseSinkRefs──► KollectDatabaseSink
//!                  ├─snapshotSinkRefs──► KollectSnapshotSink
//!                  └─eventSinkRefs─────► KollectEventSink
//!
//! KollectScope                                            what all of them may do in its namespace
//!
//! KollectConnectionTest ──sinkRef, profileRef──►          whether a sink or a profile works
//! ```
//!
//! KollectClusterTarget, KollectClusterInventory and KollectClusterScope are the same for the whole cluster. They belong to no
//! namespace, and refer to profiles and sinks of any namespace that a scope allows.
//!
//! The CRDs in `crds/` are generated from these types ([`crds`]); what a schema and CEL rules can say stands there, next
//! to the field. What they can't say (a path that does not compile, a reference that leads nowhere) the
//! catalog says. Types are as lenient as a stored object may be: an object that an older schema let through must still
//! be readable, so that it can be reported.

// Each printer column has a type and a path. The message is the last, as it is long: what is wrong and whose turn it is to act. That of
// targets and inventories is of the condition Degraded, as one that is ready may still need attention.
#![allow(clippy::duplicated_attributes)]

mod cluster_inventory;
mod cluster_target;
mod connection_test;
mod crds;
mod database_sink;
mod event_sink;
mod files;
mod inventory;
mod profile;
mod reference;
mod rollup;
mod schema;
mod scope;
mod shared;
mod sink_common;
mod sink_ref;
mod snapshot_sink;
mod target;
mod target_filter;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use cluster_inventory::{
    ClusterInventoryStatus, KollectClusterInventory, KollectClusterInventorySpec, NamespaceShard,
};
pub use cluster_target::{KollectClusterTarget, KollectClusterTargetSpec};
pub use connection_test::{
    ConnectionTestStatus, KollectConnectionTest, KollectConnectionTestSpec, TestedSink,
};
pub use crds::{WriteError, crd_files, crds, write_crds};
pub use database_sink::{
    DatabaseSinkType, KollectDatabaseSink, KollectDatabaseSinkSpec, PostgresSpec, SqliteSpec,
};
pub use event_sink::{
    EventSinkType, KafkaSpec, KollectEventSink, KollectEventSinkSpec, NatsSpec, SaslMechanism,
};
pub use files::{
    Compression, FileFormat, FilenameSpec, GroupInPath, IndexSpec, LayoutContent, LayoutMode, LayoutSpec,
    SerializationSpec,
};
pub use inventory::{
    Dedupe, HttpEndpointSpec, InventoryStatus, KollectInventory, KollectInventorySpec, RollupStatus,
    SinkExport,
};
pub use profile::{
    Attribute, AttributeType, Export, ExportInclude, ExportMode, KollectProfile, KollectProfileSpec,
    ProfileStatus, PrunePreset, PruneSpec,
};
pub use reference::reference;
pub use rollup::{Aggregate, AggregateOp, Metric, MetricType, Rollup};
pub(crate) use schema::{LABEL, LABEL_KEY, LABEL_VALUE, SUBDOMAIN, explain_pattern};
pub use scope::{
    GvkPattern, KollectClusterScope, KollectClusterScopeSpec, KollectScope, KollectScopeSpec, Limits,
};
pub use shared::{
    DeletionPolicy, Gvk, Interval, IntervalError, LabelSelector, LabelSelectorOperator,
    LabelSelectorRequirement, NamespacedRef, NamingSpec, ProvisioningMode, ProvisioningSpec, SecretRef,
    SinkPreview, SinkStatus, TlsSpec,
};
pub use sink_common::SinkCommon;
pub use sink_ref::SinkRef;
pub use snapshot_sink::{KollectSnapshotSink, KollectSnapshotSinkSpec, SnapshotSinkType};
pub use target::{KollectTarget, KollectTargetSpec, TargetStatus};
pub use target_filter::{ResourceRule, TargetFilter, WatchMode};

/// Whether an annotation of a resource says `true`.
pub fn says_true(metadata: &ObjectMeta, annotation: &str) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(annotation)).is_some_and(|value| value == "true")
}

/// The plural of a kind of ours.
pub fn plural(kind: &str) -> String {
    let singular = kind.to_lowercase();
    match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{singular}s"),
    }
}

/// The API group of every custom resource.
pub const GROUP: &str = "kollect.dev";

/// The version of every custom resource.
pub const VERSION: &str = "v1alpha1";

/// `apiVersion` of every custom resource.
pub const API_VERSION: &str = "kollect.dev/v1alpha1";

#[cfg(test)]
mod tests {
    #[test]
    fn plurals_are_those_of_the_definitions() {
        for crd in super::crds() {
            assert_eq!(super::plural(&crd.spec.names.kind), crd.spec.names.plural);
        }
    }
}
