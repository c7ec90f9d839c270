//! KollectTarget: which objects are collected.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::shared::is_false;
use super::target_filter::TargetFilter;

/// Says which objects are collected, and with which profile.
///
/// The namespaces in effect are those in `includedNamespaces` that `namespaceSelector` selects, without those in
/// `excludedNamespaces` and those that `namespaceExcludeSelector` selects. Without any of the four, objects of all
/// namespaces and cluster-scoped objects are collected.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectTarget",
    plural = "kollecttargets",
    shortname = "ktgt",
    category = "kollect",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    selectable = ".spec.profileRef",
    doc = "A target selects objects and says with which profile their attributes are collected. Inventories merge the rows of targets.",
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
    printcolumn(name = "Profile", type_ = "string", json_path = ".spec.profileRef"),
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
pub struct KollectTargetSpec {
    /// Name of a KollectProfile in the target's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub profile_ref: String,
    /// Which objects are collected.
    #[serde(flatten)]
    pub filter: TargetFilter,
    /// Pauses the target: its rows stay as they are.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// The state of a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The generation of the target that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many objects the target selects, whether or not an inventory takes their rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_count: Option<i64>,
    /// How many rows the target has in the inventories that it feeds; the greatest number, where these differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_count: Option<i64>,
    /// How many of `spec.resourceRules` are for the profile's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_resource_rules: Option<i64>,
    /// Whether all objects have been taken in once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydrated: Option<bool>,
    /// The namespaces that the target selects, whatever scopes allow, the first 100 of them; absent when it does not select namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub matched_namespaces: Option<Vec<String>>,
    /// How many namespaces the target selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_namespace_count: Option<i64>,
    /// The namespaces in effect, which are those that the target selects and scopes allow, the first 100 of them; absent when neither narrows
    /// where it looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub effective_namespaces: Option<Vec<String>>,
    /// How many namespaces are in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_namespace_count: Option<i64>,
    /// How many rows have attributes that could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extraction_failures: Option<i64>,
    /// One attribute that could not be evaluated, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub last_extraction_error: Option<String>,
    /// `Ready`: objects are collected. `Synced`: the rows are up to date. `Degraded`: something needs attention.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
