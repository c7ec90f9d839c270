//! KollectSnapshotSink: files to export to.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, rule};
use super::shared::{DeletionPolicy, Interval, ProvisioningSpec, SinkStatus, yes};

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
]))]
pub struct KollectSnapshotSinkSpec {
    /// The kind of place: `local`.
    #[serde(rename = "type")]
    pub type_: SnapshotSinkType,
    /// Where the files go. For local: the absolute path of a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = schema::ONE_LINE),
        extend("x-kubernetes-validations" = [
            rule("!self.matches('(^|/)[.][.](/|$)')", "the path leads through `..`; give a direct path"),
        ])
    )]
    pub endpoint: Option<String>,
    /// Whether the connection is tested at each change of the sink or its Secret, and tried again while that fails; else only
    /// on demand: with a KollectConnectionTest, or the annotation `kollect.dev/test-connection`.
    #[serde(default = "yes")]
    pub connection_test: bool,
    /// Name of the cluster that the rows come from: a part of paths and contents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = schema::ONE_LINE))]
    pub cluster: String,
    /// How often unchanged content is verified again; replaces the inventory's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_min_interval: Option<Interval>,
    /// Path of the inventory below the endpoint; default `inventory/{namespace}/{name}{extension}`. Holds `{namespace}`
    /// and `{name}`, and may hold `{cluster}` and `{extension}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = schema::ONE_LINE),
        extend("x-kubernetes-validations" = [
            rule("!self.startsWith('/') && !self.contains('\\\\')", "the path is not relative; give one that is relative to the endpoint"),
            rule(
                "!self.matches('(^|/)[.]{0,2}(/|$)')",
                "a segment of the path is empty, `.` or `..`; use names and placeholders only",
            ),
            rule(
                "self.contains('{namespace}') && self.contains('{name}')",
                "the path is the same for several inventories; let it hold {namespace} and {name}",
            ),
            rule(
                "self.matches('^([^{}]|[{](cluster|namespace|name|extension)[}])*$')",
                "the path has an unknown placeholder or a brace too many; the placeholders are {cluster}, {namespace}, {name} and {extension}",
            ),
        ])
    )]
    pub path_template: Option<String>,
    /// How rows are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialization: Option<SerializationSpec>,
    /// How an inventory is spread over files; default: one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<LayoutSpec>,
    /// What may be created at the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<ProvisioningSpec>,
    /// What becomes of an inventory's files when the inventory, or its reference to this sink, goes: `Retain` (default)
    /// leaves them, `Delete` removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// A kind of place for files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotSinkType {
    /// A directory of the machine that the process runs on.
    Local,
}

/// How rows are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SerializationSpec {
    /// The format: `yaml` (default) or `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FileFormat")]
    pub format: Option<FileFormat>,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

/// How an inventory is spread over files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LayoutSpec {
    /// `document`: one file an inventory. `perResource`: one file a row.
    #[serde(default)]
    pub mode: LayoutMode,
    /// Path of a row's file below the inventory's path, in mode perResource; default
    /// `{cluster}/{sourceNamespace}/{kind}/{sourceName}{extension}`. Holds `{sourceName}`, `{name}` or `{uid}`, and may hold `{cluster}`, `{namespace}`,
    /// `{targetNamespace}`, `{targetName}`, `{sourceNamespace}`, `{group}`, `{kind}` and `{extension}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = schema::ONE_LINE),
        extend("x-kubernetes-validations" = [
            rule("!self.startsWith('/') && !self.contains('\\\\')", "the path is not relative; give one that is relative to the inventory's path"),
            rule(
                "!self.matches('(^|/)[.]{0,2}(/|$)')",
                "a segment of the path is empty, `.` or `..`; use names and placeholders only",
            ),
            rule(
                "self.contains('{sourceName}') || self.contains('{name}') || self.contains('{uid}')",
                "the path is the same for several rows; let it hold {sourceName}, {name} or {uid}",
            ),
            rule(
                "self.matches('^([^{}]|[{](cluster|namespace|name|targetNamespace|targetName|sourceNamespace|sourceName|group|kind|uid|extension)[}])*$')",
                "the path has an unknown placeholder or a brace too many; the placeholders are {cluster}, {namespace}, {name}, {targetNamespace}, {targetName}, {sourceNamespace}, {sourceName}, {group}, {kind}, {uid} and {extension}",
            ),
        ])
    )]
    pub path_template: Option<String>,
    /// How segments of paths are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<FilenameSpec>,
}

/// How an inventory is spread over files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LayoutMode {
    /// One file an inventory.
    #[default]
    Document,
    /// One file a row.
    PerResource,
}

/// How segments of paths are made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilenameSpec {
    /// Whether the segment of the kind names the API group: `auto` (default) where the group is not one of Kubernetes'
    /// own, `always`, `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GroupInPath")]
    pub group_in_path: Option<GroupInPath>,
    /// Writes the kind in lower case; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowercase_kind: Option<bool>,
    /// The most bytes that a segment may have; default 63. Longer ones are cut off and get a short hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub max_segment_length: Option<i32>,
}

/// Whether the segment of the kind names the API group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GroupInPath {
    /// Where the group is not one of Kubernetes' own.
    #[default]
    Auto,
    /// Wherever there is one.
    Always,
    /// Nowhere.
    Never,
}
