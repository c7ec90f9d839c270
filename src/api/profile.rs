//! KollectProfile: which attributes a row gets from an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::rollup::Metric;
use super::schema::{self, rule};
use super::shared::{Gvk, is_false, yes};

/// Says which kind of object is read and which of its attributes a row gets.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectProfile",
    plural = "kollectprofiles",
    shortname = "kprof",
    category = "kollect",
    namespaced,
    status = "ProfileStatus",
    derive = "PartialEq",
    doc = "A profile says which kind of object is read and which of its attributes are collected. Targets use it.",
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
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.targetGVK.kind"),
    printcolumn(name = "Targets", type_ = "integer", json_path = ".status.targetCount"),
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
        "(has(self.attributes) && size(self.attributes) > 0) || (has(self.export) && self.export.mode == 'Resource')",
        "the profile has no attributes; give at least one, or export the object itself with export.mode Resource",
    ),
    rule(
        "!has(self.export) || self.export.mode != 'Resource' || !has(self.attributes) || self.attributes.all(a, a.name != self.export.__as__)",
        "an attribute has the name under which the object is exported; give the object another one in export.as, or rename the attribute",
    ),
]))]
pub struct KollectProfileSpec {
    /// The kind of object that the profile reads.
    #[serde(rename = "targetGVK")]
    pub target_gvk: Gvk,
    /// The attributes of a row, each with a name of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub attributes: Vec<Attribute>,
    /// Exports the object itself as one more attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
    /// Metrics: numbers about the objects that the targets of the profile select, kept up to date as objects change. An object that
    /// several targets select counts once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub metrics: Vec<Metric>,
}

/// One named value of a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attribute {
    /// Name of the attribute.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::ONE_LINE))]
    pub name: String,
    /// Where the value comes from: `cel:` and an expression over `object`, for example
    /// `cel:object.spec.replicas > 1`; or a JSONPath: `$.spec.replicas`, `{.spec.replicas}` or `.spec.replicas`. A JSONPath with a wildcard, slice,
    /// filter or `..` gives a list, any other the value itself. For Secrets and ConfigMaps also a field of the Helm release in
    /// them: `helm:release.chartVersion`.
    #[schemars(length(min = 1, max = 16384))]
    pub path: String,
    /// The type of its values.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<AttributeType>,
    /// Leaves the attribute out of a row where it has no value. Without this a missing value is null.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// The value where there is none: any JSON value that fits `type`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "schema::any")]
    pub default: Option<Value>,
}

/// The type of an attribute's values: `string`, `int` (64 bits), `float`, `bool`, `list`, `map`, `timestamp` (RFC 3339 in UTC) or
/// `quantity` (as Kubernetes writes it). Values are converted to it; one that can't be is a problem of the row, and null is a value of
/// every type. Without a type, values stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// A text.
    String,
    /// An integer of 64 bits.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A list.
    List,
    /// A map.
    Map,
    /// A time in RFC 3339, in UTC.
    Timestamp,
    /// A quantity of Kubernetes, in canonical form.
    Quantity,
}

/// A value that is given, be it null, is not the same as none.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What is exported besides attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// `Attributes` exports the attributes alone, `Resource` the object itself too, pruned and without secrets.
    #[serde(default)]
    pub mode: ExportMode,
    /// Name of the attribute that holds the object.
    #[serde(rename = "as", default = "resource")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::ONE_LINE))]
    pub as_: String,
    /// The sections of the object that are exported: `MetadataOnly`, `SpecOnly`, `StatusOnly`, `SpecAndStatus` (with the metadata), or
    /// `All`. What an object without `spec` has beside metadata and status, as the data of a ConfigMap, stands for its spec.
    #[serde(default)]
    pub include: ExportInclude,
    /// Leaves out what the row says already: apiVersion, kind, and the metadata's name, namespace and uid.
    #[serde(default = "yes")]
    pub dedupe_identity: bool,
    /// What is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneSpec>,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            mode: ExportMode::default(),
            as_: resource(),
            include: ExportInclude::default(),
            dedupe_identity: true,
            prune: None,
        }
    }
}

fn resource() -> String {
    "resource".to_owned()
}

/// What is exported of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExportMode {
    /// The attributes alone.
    #[default]
    Attributes,
    /// The object itself, and attributes if there are any.
    Resource,
}

/// Sections of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExportInclude {
    /// The metadata.
    MetadataOnly,
    /// The spec.
    SpecOnly,
    /// The status.
    StatusOnly,
    /// Metadata, spec and status.
    #[default]
    SpecAndStatus,
    /// Everything.
    All,
}

/// What is left out of an exported object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PruneSpec {
    /// Leaves out metadata.managedFields, metadata.resourceVersion, metadata.generation, and the annotations in which
    /// `kubectl apply` and Argo CD keep book.
    #[serde(default = "yes")]
    pub defaults: bool,
    /// Places to leave out, as JSON pointers (RFC 6901): `/status/conditions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub json_pointers: Vec<String>,
    /// Places to leave out, as JSONPaths, with wildcards and filters if need be:
    /// `$.status.conditions[?@.type == 'Progressing']`. Elements of a list are removed, not set to null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub json_paths: Vec<String>,
    /// Keys whose values are replaced by a mark, beside those that are known, such as password and token. A key ending in one of these counts too;
    /// case and the characters `-`, `_` and `.` do not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub scrub_keys: Vec<String>,
    /// CEL expressions over `object` that say what to leave out: a JSON pointer or JSONPath, a list of them, or a map from them to bools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub cel: Vec<String>,
    /// A named list of places to leave out: `minimal` leaves what a manifest says, `argocd` and `flux` leave out what these note on
    /// objects, `status-noise` leaves out times and observed generations in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PrunePreset")]
    pub preset: Option<PrunePreset>,
}

impl Default for PruneSpec {
    fn default() -> Self {
        Self {
            defaults: true,
            json_pointers: Vec::new(),
            json_paths: Vec::new(),
            scrub_keys: Vec::new(),
            cel: Vec::new(),
            preset: None,
        }
    }
}

/// A named list of places to leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PrunePreset {
    /// Leaves what a manifest says.
    Minimal,
    /// What Argo CD notes.
    #[serde(rename = "argocd")]
    ArgoCd,
    /// What Flux notes.
    Flux,
    /// Times and observed generations in the status.
    StatusNoise,
}

/// The state of a profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// The generation of the profile that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many targets use the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_count: Option<i64>,
    /// `Ready`: every attribute compiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
