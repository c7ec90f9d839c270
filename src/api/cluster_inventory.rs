//! KollectClusterInventory: which rows of cluster targets are exported, and where to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::inventory::{Dedupe, RollupStatus, SinkExport, default_interval};
use super::rollup::Rollup;
use super::schema::{self, rule};
use super::shared::{Interval, LabelSelector, NamespacedRef, is_false};
use super::sink_ref::{self, SinkRef};

/// Says which cluster targets' rows are merged, and where they are exported to.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectClusterInventory",
    plural = "kollectclusterinventories",
    shortname = "kcinv",
    category = "kollect",
    status = "ClusterInventoryStatus",
    derive = "PartialEq",
    doc = "A cluster inventory merges the rows of cluster targets and exports them to sinks.",
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
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.itemCount"),
    printcolumn(name = "Namespaces", type_ = "integer", json_path = ".status.namespaceShardCount"),
    printcolumn(name = "Targets", type_ = "integer", json_path = ".status.targetCount"),
    printcolumn(name = "Last export", type_ = "date", json_path = ".status.lastExportTime"),
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
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "!(has(self.targetRefs) && size(self.targetRefs) > 0 && has(self.targetSelector))",
        "targetRefs and targetSelector exclude each other; give one of them, or none for every cluster target",
    ),
]))]
pub struct KollectClusterInventorySpec {
    /// Names of KollectClusterTargets whose rows are merged; every cluster target when neither this nor `targetSelector` is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::resource_names")]
    pub target_refs: Vec<String>,
    /// Selects the cluster targets by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_selector: Option<LabelSelector>,
    /// The namespaces whose objects' rows are taken; all, and objects without a namespace, when neither this nor `namespaceSelector`
    /// is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub namespaces: Vec<String>,
    /// Selects, by their labels, the namespaces whose objects' rows are taken; of those in `namespaces`, where that is given too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// What happens to an object that several targets select: `keepAll` keeps a row for each target, `byResourceUID`
    /// keeps one row for the object, always of the same target.
    #[serde(default)]
    pub dedupe: Dedupe,
    /// Rollups of the inventory's rows: rows in groups, and numbers about each group, kept up to date as rows change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub rollups: Vec<Rollup>,
    /// A KollectProfile whose metrics are kept as rollups of this inventory too, under their names, unless `rollups` has one of that
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_ref: Option<NamespacedRef>,
    /// The namespace of the sinks whose references name none.
    #[serde(default = "default_sink_namespace")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::LABEL))]
    pub sink_namespace: String,
    /// KollectDatabaseSinks to export to: names, or names with namespaces and settings. At most 20 sinks over all lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sink_ref::any")]
    pub database_sink_refs: Vec<SinkRef>,
    /// KollectSnapshotSinks to export to: names, or names with namespaces and settings. At most 20 sinks over all lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sink_ref::any")]
    pub snapshot_sink_refs: Vec<SinkRef>,
    /// KollectEventSinks to export to: names, or names with namespaces and settings. At most 20 sinks over all lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sink_ref::any")]
    pub event_sink_refs: Vec<SinkRef>,
    /// How often unchanged content is verified again: a time span from 0 to 24h, for example `30s`; `0s`: only when
    /// something changes. Changes are exported at once, whatever this says, unless a sink's
    /// reference has a `coalesceWindow`.
    #[serde(default = "default_interval")]
    pub export_min_interval: Interval,
    /// A file that would hold a whole inventory and be larger than so many bytes becomes parts, and an index that lists them. A row
    /// that is larger by itself is set aside, with reason PayloadTooLarge. 0 is no limit, which is the default. What is written
    /// row by row (databases, event streams, a file a row) has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub max_export_bytes: Option<i64>,
    /// Pauses the inventory: what is exported stays as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

impl Default for KollectClusterInventorySpec {
    fn default() -> Self {
        Self {
            target_refs: Vec::new(),
            target_selector: None,
            namespaces: Vec::new(),
            namespace_selector: None,
            dedupe: Dedupe::default(),
            rollups: Vec::new(),
            profile_ref: None,
            sink_namespace: default_sink_namespace(),
            database_sink_refs: Vec::new(),
            snapshot_sink_refs: Vec::new(),
            event_sink_refs: Vec::new(),
            export_min_interval: default_interval(),
            max_export_bytes: None,
            suspend: false,
        }
    }
}

fn default_sink_namespace() -> String {
    "kollect-system".to_owned()
}

/// The state of a cluster inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInventoryStatus {
    /// The generation of the inventory that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many rows the inventory has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_count: Option<i64>,
    /// A hash of all rows, whatever their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub digest: Option<String>,
    /// How many targets the inventory merges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_count: Option<i64>,
    /// How many namespaces the inventory has rows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_shard_count: Option<i64>,
    /// The rows of each namespace, of the first 100 namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace"])
    )]
    pub namespace_shards: Vec<NamespaceShard>,
    /// How many groups each rollup has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub rollups: Vec<RollupStatus>,
    /// When something was last exported, to whichever sink, or what was exported was found to be up to date; the latter alone is
    /// shown up to five minutes late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_export_time: Option<Time>,
    /// The state of the export to each sink.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub sink_exports: Vec<SinkExport>,
    /// `Ready`: rows are collected and exported. `Synced`: every sink has all of them. `Degraded`: something needs
    /// attention. `SinkReachable`: every sink answers. `ExportSucceeded`: the last export to every sink went through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// The rows of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceShard {
    /// The namespace; `_cluster` stands for objects without one.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// How many rows it has.
    #[serde(default)]
    pub item_count: i64,
    /// How many targets these are of.
    #[serde(default)]
    pub target_count: i64,
    /// A hash of these rows, whatever their order.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub checksum: String,
}
