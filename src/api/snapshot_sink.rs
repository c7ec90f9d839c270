//! KollectSnapshotSink: files to export to.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::rule;
use super::shared::SinkStatus;
use super::sink_common::SinkCommon;

/// Files to export to.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectSnapshotSink",
    plural = "kollectsnapshotsinks",
    shortname = "ksnap",
    category = "kollect",
    namespaced,
    status = "SinkStatus",
    derive = "PartialEq",
    selectable = ".spec.type",
    doc = "Files to which inventories are exported: one file an inventory, or one file a row.",
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
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "self.type != 'local' || (has(self.endpoint) && self.endpoint.matches('^(file://)?/'))",
        "type local needs an absolute path; give that of a directory in spec.endpoint, for example /var/lib/kollect/exports",
    ),
    rule(
        "self.type != 'local' || !(has(self.tls) || has(self.secretRef))",
        "type local takes neither tls nor secretRef, since it is a directory; remove them",
    ),
]))]
pub struct KollectSnapshotSinkSpec {
    /// The kind of place: `local`.
    #[serde(rename = "type")]
    pub type_: SnapshotSinkType,
    /// What every sink has.
    #[serde(flatten)]
    pub common: SinkCommon,
}

/// A kind of place for files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotSinkType {
    /// A directory of the machine that the process runs on.
    Local,
}
