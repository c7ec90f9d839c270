//! KollectClusterTarget: which objects of the whole cluster are collected.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{NamespacedRef, is_false};
use super::target::TargetStatus;
use super::target_filter::TargetFilter;

/// Says which objects of the cluster are collected, and with which profile.
///
/// As a KollectTarget, but it belongs to no namespace: its rows have no target namespace, and KollectClusterInventories merge them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectClusterTarget",
    plural = "kollectclustertargets",
    shortname = "kctgt",
    category = "kollect",
    status = "TargetStatus",
    derive = "PartialEq",
    selectable = ".spec.profileRef.name",
    selectable = ".spec.profileRef.namespace",
    doc = "A cluster target selects objects of the whole cluster and says with which profile their attributes are collected. Cluster inventories merge the rows of cluster targets.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Profile namespace", type_ = "string", json_path = ".spec.profileRef.namespace"),
    printcolumn(name = "Profile", type_ = "string", json_path = ".spec.profileRef.name"),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.rowCount"),
    printcolumn(name = "Failures", type_ = "integer", json_path = ".status.extractionFailures"),
    printcolumn(
        name = "Degraded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Degraded')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Degraded')].message"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct KollectClusterTargetSpec {
    /// The KollectProfile that says what is collected of each object.
    pub profile_ref: NamespacedRef,
    /// Which objects are collected.
    #[serde(flatten)]
    pub filter: TargetFilter,
    /// Pauses the target: its rows stay as they are.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}
