//! KollectInventory: which rows are exported, and where to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rollup::Rollup;
use super::schema::{self, rule};
use super::shared::{Interval, LabelSelector, is_false};

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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
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
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub database_sink_refs: Vec<SinkRef>,
    /// KollectSnapshotSinks in the inventory's namespace to export to: names, or names with settings. At most 20 sinks
    /// over all lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub snapshot_sink_refs: Vec<SinkRef>,
    /// How often unchanged content is verified again: a time span from 0 to 24h, for example `30s`; `0s`: only when
    /// something changes. Changes are exported at once, whatever this says.
    #[serde(default = "default_interval")]
    pub export_min_interval: Interval,
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
            export_min_interval: default_interval(),
            suspend: false,
        }
    }
}

fn default_interval() -> Interval {
    Interval::from("30s")
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

/// A sink to export to: its name alone, or with settings for this inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SinkRef {
    /// Name of the sink.
    Name(String),
    /// Name of the sink, and settings.
    #[serde(rename_all = "camelCase")]
    Settings {
        /// Name of the sink.
        name: String,
        /// Replaces the inventory's `exportMinInterval` for this sink.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        export_min_interval: Option<Interval>,
        /// Fields that are not known. The API server can't refuse them here, so they are kept and reported.
        #[serde(flatten)]
        unknown: BTreeMap<String, Value>,
    },
    /// A null: the API server can't refuse it here, so it is kept and reported.
    Nothing,
}

impl SinkRef {
    /// Name of the sink; empty when there is none.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Settings { name, .. } => name,
            Self::Nothing => "",
        }
    }

    /// The interval that replaces the inventory's, if there is one.
    pub fn export_min_interval(&self) -> Option<&Interval> {
        match self {
            Self::Name(_) | Self::Nothing => None,
            Self::Settings { export_min_interval, .. } => export_min_interval.as_ref(),
        }
    }

    /// Names of fields that are not known.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Name(_) | Self::Nothing => None,
            Self::Settings { unknown, .. } => Some(unknown.keys().map(String::as_str)),
        }
        .into_iter()
        .flatten()
    }
}

/// A structural schema has no unions, so the type is left open, and each other keyword says something about the types
/// it applies to: the lengths and the pattern about strings, properties about objects; the rest keeps all other
/// types out.
impl JsonSchema for SinkRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SinkRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({
            "description": "Name of the sink.",
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "pattern": schema::SUBDOMAIN,
        });
        let mut interval = Interval::json_schema(generator);
        // CEL rules can't stand below a schema without a type; the catalog checks the interval.
        interval.remove("x-kubernetes-validations");
        interval.insert(
            "description".to_owned(),
            "Replaces the inventory's `exportMinInterval` for this sink; at most 24h.".into(),
        );
        json_schema!({
            "description": "Name of the sink; or its name and settings.",
            "x-kubernetes-preserve-unknown-fields": true,
            "minLength": 1,
            "maxLength": 253,
            "pattern": schema::SUBDOMAIN,
            "required": ["name"],
            "properties": { "name": name, "exportMinInterval": interval },
            "not": { "anyOf": [{ "enum": [true, false] }] },
            "minItems": 1,
            "maxItems": 0,
            "minimum": 1,
            "maximum": 0,
        })
    }
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
    /// When something was last exported, to whichever sink.
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
    /// How many rows have changes that the sink does not have yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_rows: Option<i64>,
    /// For how many seconds the oldest of these changes has been waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// How many rows have been written since the operator started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_written: Option<i64>,
    /// `Synced`: the sink has all rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
