//! KollectScope and KollectClusterScope: what pipelines may do.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::shared::Interval;

/// Limits what the targets, inventories and sinks of a namespace may do. Where there are several, all must allow it; where there is
/// none, everything is allowed but what needs to be allowed expressly.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectScope",
    plural = "kollectscopes",
    shortname = "kscope",
    category = "kollect",
    namespaced,
    derive = "PartialEq",
    doc = "A scope limits what the targets, inventories and sinks of its namespace may do.",
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.allowedNamespaces"),
    printcolumn(name = "Kinds", type_ = "string", json_path = ".spec.allowedGVKs[*].kind"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct KollectScopeSpec {
    /// What is allowed.
    #[serde(flatten)]
    pub limits: Limits,
}

/// Limits what cluster targets and cluster inventories may do. Where there are several, all must allow it; where there is none,
/// everything is allowed.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectClusterScope",
    plural = "kollectclusterscopes",
    shortname = "kcscope",
    category = "kollect",
    derive = "PartialEq",
    doc = "A cluster scope limits what cluster targets and cluster inventories may do.",
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.allowedNamespaces"),
    printcolumn(name = "Kinds", type_ = "string", json_path = ".spec.allowedGVKs[*].kind"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct KollectClusterScopeSpec {
    /// What is allowed.
    #[serde(flatten)]
    pub limits: Limits,
    /// The namespaces whose profiles and sinks may be referred to; all when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub allowed_static_ref_namespaces: Vec<String>,
}

/// What a scope allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The kinds that may be collected; all when it is empty.
    #[serde(default, rename = "allowedGVKs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub allowed_gvks: Vec<GvkPattern>,
    /// The namespaces from which objects may be collected; all, and objects without a namespace, when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub allowed_namespaces: Vec<String>,
    /// The namespaces from which no objects may be collected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub denied_namespaces: Vec<String>,
    /// Names of the KollectSnapshotSinks to which may be exported; all when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::resource_names")]
    pub snapshot_sink_refs: Vec<String>,
    /// Names of the KollectDatabaseSinks to which may be exported; all when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::resource_names")]
    pub database_sink_refs: Vec<String>,
    /// Names of the KollectEventSinks to which may be exported; all when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::resource_names")]
    pub event_sink_refs: Vec<String>,
    /// The least time after which unchanged content is verified again: inventories that ask for less get this. Changes are exported
    /// at once, whatever this says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_export_interval: Option<Interval>,
    /// Whether objects may be exported whole, by profiles with `spec.export.mode: Resource`; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_resource_export: Option<bool>,
    /// The namespaces whose Secrets the sinks may refer to, beside their own. For this, a scope must name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub allowed_secret_namespaces: Vec<String>,
}

/// Kinds: each part may be `*`, which stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GvkPattern {
    /// API group, for example `apps`; empty for the core group, `*` for all groups.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = schema::API_GROUP_OR_ALL))]
    pub group: String,
    /// Version within the group, for example `v1`; `*` for all.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::API_VERSION_OR_ALL))]
    pub version: String,
    /// Kind, for example `Deployment`; `*` for all.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::KIND_OR_ALL))]
    pub kind: String,
}

impl GvkPattern {
    /// Whether a kind is among them.
    pub fn matches(&self, group: &str, version: &str, kind: &str) -> bool {
        let is = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        is(&self.group, group) && is(&self.version, version) && is(&self.kind, kind)
    }
}
