//! Which objects a target collects; the same for targets of a namespace and of the cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::shared::{Gvk, LabelSelector, LabelSelectorRequirement, is_default, match_labels};

/// Which objects are collected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetFilter {
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
    #[schemars(extend("default" = "All"))]
    pub watch_mode: WatchMode,
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
