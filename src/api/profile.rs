//! KollectProfile: which attributes a row gets from an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::schema::{self, rule};
use super::shared::{Gvk, is_false};

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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.attributes) && size(self.attributes) > 0", "the profile has no attributes; give at least one"),
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
