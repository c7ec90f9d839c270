//! KollectInventory: which rows are exported, and where to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rollup::Rollup;
use super::schema::{self, rule};
use super::shared::{Interval, LabelSelector, is_false};
use super::sink_ref::{self, SinkRef};

/// Says which targets' rows are merged, and where they are exported to.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectInventory",
    plural = "kollectinventories",
    shortname = "kinv",
    category = "kollect",
    namespaced,
    status = "InventoryStatus",
    derive = "PartialEq",
    doc = "An inventory merges the rows of targets and exports them to sinks.",
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
        "targetRefs and targetSelector exclude each other; give one of them, or none for every target of the namespace",
    ),
]))]
pub struct KollectInventorySpec {
    /// Names of KollectTargets in the inventory's namespace whose rows are merged; every target of the namespace when
    /// neither this nor `targetSelector` is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::resource_names")]
    pub target_refs: Vec<String>,
    /// Selects the targets of the namespace by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_selector: Option<LabelSelector>,
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
    /// KollectDatabaseSinks in the inventory's namespace to export to: names, or names with settings. At most 20 sinks
    /// over all lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sink_ref::own")]
    pub database_sink_refs: Vec<SinkRef>,
    /// KollectSnapshotSinks in the inventory's namespace to export to: names, or names with settings. At most 20 sinks
    /// over all lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sink_ref::own")]
    pub snapshot_sink_refs: Vec<SinkRef>,
    /// KollectEventSinks in the inventory's namespace to export to: names, or names with settings. At most 20 sinks
    /// over all lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sink_ref::own")]
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
    /// The read API of this inventory. In this version there is none: the field is taken, and has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_endpoint: Option<HttpEndpointSpec>,
    /// Pauses the inventory: what is exported stays as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

impl Default for KollectInventorySpec {
    fn default() -> Self {
        Self {
            target_refs: Vec::new(),
            target_selector: None,
            dedupe: Dedupe::default(),
            rollups: Vec::new(),
            database_sink_refs: Vec::new(),
            snapshot_sink_refs: Vec::new(),
            event_sink_refs: Vec::new(),
            export_min_interval: default_interval(),
            max_export_bytes: None,
            http_endpoint: None,
            suspend: false,
        }
    }
}

pub(super) fn default_interval() -> Interval {
    Interval::from("30s")
}

/// The read API of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpEndpointSpec {
    /// Whether the inventory can be read over HTTP; default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enabled: bool,
    /// The port to listen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// What happens to an object that several targets of an inventory select.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Dedupe {
    /// Each target's row is kept.
    #[default]
    #[serde(rename = "keepAll")]
    KeepAll,
    /// One row an object is kept.
    #[serde(rename = "byResourceUID")]
    ByResourceUid,
}

/// The state of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryStatus {
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
    /// How many groups each rollup has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
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
    /// attention. `SinkReachable`: every sink answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// The state of a rollup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RollupStatus {
    /// Name of the rollup.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How many groups it has.
    pub groups: i64,
}

/// The state of the export to one sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkExport {
    /// Family, namespace and name of the sink: `database/team-a/portal`.
    #[schemars(length(max = 512))]
    pub name: String,
    /// The namespace of the sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// When something was last exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_export_time: Option<Time>,
    /// The digest of the rows that the sink holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub last_checksum: Option<String>,
    /// The last sequence number of the sink's change log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// How many changes of rows the sink does not have yet; those that `coalesceWindow` holds are among them. Several of one row may count more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_rows: Option<i64>,
    /// For how many seconds the oldest of these changes has been waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// How many rows have been written since the operator started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_written: Option<i64>,
    /// `Ready`: the sink has all rows. While it has none to get any more, the reason says what becomes of those that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
