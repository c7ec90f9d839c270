//! KollectTarget: which objects are collected.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::shared::{Gvk, LabelSelector, LabelSelectorRequirement, is_default, is_false, match_labels};

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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct KollectTargetSpec {
    /// Name of a KollectProfile in the target's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub profile_ref: String,
    /// Selects the objects by their labels; all when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// Names of the objects; all when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4096),
        inner(length(min = 1, max = 253)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub names: Vec<String>,
    /// Selects namespaces by their labels. Namespaces that are created or relabelled later take part at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The namespaces to collect from; all when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub included_namespaces: Vec<String>,
    /// The namespaces not to collect from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub excluded_namespaces: Vec<String>,
    /// Selects, by their labels, the namespaces not to collect from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_exclude_selector: Option<LabelSelector>,
    /// Selects the objects by rules in place of `labelSelector` and `names`: those that fulfil any of the rules for the profile's
    /// kind. Rules for other kinds have no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    pub resource_rules: Vec<ResourceRule>,
    /// Whether objects are collected unless they or their namespaces ask not to be (`All`), or only those that ask for it
    /// (`OptIn`). They ask by the label `kollect.dev/watch`, `enabled` or `disabled`; an object's own label counts before that of its
    /// namespace.
    #[serde(default, skip_serializing_if = "is_default")]
    pub watch_mode: WatchMode,
    /// Pauses the target: its rows stay as they are.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// Which objects are collected of those that the selectors select.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WatchMode {
    /// All but those that ask not to be.
    #[default]
    All,
    /// Those that ask for it.
    OptIn,
}

/// A rule that selects objects: everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRule {
    /// The kind that the rule is for.
    pub gvk: Gvk,
    /// Selects, by their labels, the namespaces that the rule is for, among those of the target; all when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Labels that an object must have, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "match_labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions on the labels of an object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
    /// A CEL expression over `object` that must be true, for example `object.spec.replicas > 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub match_policy: Option<String>,
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
    /// The namespaces in effect, the first 100 of them; absent when the target does not select namespaces.
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
