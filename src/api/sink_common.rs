//! What every sink has, of whatever family.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::files::{LayoutSpec, SerializationSpec};
use super::schema::{self, rule};
use super::shared::{DeletionPolicy, Interval, ProvisioningSpec, SecretRef, TlsSpec, yes};

/// The settings that the three kinds of sinks share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkCommon {
    /// Where the destination is, if the settings of the type do not say it. For local: the absolute path of a directory. For sqlite: the
    /// absolute path of the file. For nats: the URL of a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = schema::ONE_LINE),
        extend("x-kubernetes-validations" = [
            rule("!self.matches('(^|/)[.][.](/|$)')", "the path leads through `..`; give a direct path"),
        ])
    )]
    pub endpoint: Option<String>,
    /// The Secret with the credentials, if the settings of the type name none. For postgres: the one with the connection string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// How the connection is encrypted, and who the two sides are to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Whether the connection is tested at each change of the sink or its Secret, and tried again while that fails; else only
    /// on demand: with a KollectConnectionTest, or the annotation `kollect.dev/test-connection`.
    #[serde(default = "yes")]
    pub connection_test: bool,
    /// Name of the cluster that the rows come from: a part of keys, paths and contents, so that clusters can share a destination.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = schema::ONE_LINE))]
    pub cluster: String,
    /// How often unchanged content is verified again: a time span from 0 to 24h, `0s` only after errors; replaces the inventory's. It
    /// never delays a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_min_interval: Option<Interval>,
    /// For files: path of the inventory below the endpoint; default `inventory/{namespace}/{name}{extension}`. Holds `{namespace}`
    /// and `{name}`, and may hold `{cluster}`, `{generation}` (of a document: how many contents it has had) and `{extension}`. Without effect for
    /// databases and event streams.
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
                "self.matches('^([^{}]|[{](cluster|namespace|name|generation|extension)[}])*$')",
                "the path has an unknown placeholder or a brace too many; the placeholders are {cluster}, {namespace}, {name}, {generation} and {extension}",
            ),
        ])
    )]
    pub path_template: Option<String>,
    /// For files: how rows are written. Without effect for databases and event streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialization: Option<SerializationSpec>,
    /// For files: how an inventory is spread over them; default: one file. Without effect for databases and event streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<LayoutSpec>,
    /// What may be created at the destination, and under which names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<ProvisioningSpec>,
    /// Further settings of the type, none of them secret. For postgres: `applicationName` (default `kollect`), `connectTimeout` (default
    /// `10s`, or what the connection string says; at most `1m`) and `statementTimeout` (default `5m`, at most that). For sqlite: `busyTimeout`, how
    /// long to wait for another writer (default `10s`, at most `1m`). For local: none. Keys that a type does not know, and keys that look like
    /// secrets, are refused: what is secret belongs into a Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "options")]
    pub options: BTreeMap<String, String>,
    /// What becomes of exported content when the inventory, or its reference to this sink, goes: `Delete` (default of databases
    /// and event streams) removes it, `Retain` (default of files) leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: Option<DeletionPolicy>,
}

impl Default for SinkCommon {
    fn default() -> Self {
        Self {
            endpoint: None,
            secret_ref: None,
            tls: None,
            connection_test: true,
            cluster: String::new(),
            export_min_interval: None,
            path_template: None,
            serialization: None,
            layout: None,
            provisioning: None,
            options: BTreeMap::new(),
            deletion_policy: None,
        }
    }
}

/// Keys that look as if their values were secret.
const SECRET_KEY: &str =
    "(?i)(passw(or)?d|passphrase|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|credential)";

fn options(_: &mut SchemaGenerator) -> Schema {
    let keys = format!("self.all(key, !key.matches('{SECRET_KEY}'))");
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
        "x-kubernetes-validations": [
            rule(&keys, "a key looks like that of a secret; put what is secret into a Secret and name it in secretRef"),
        ],
    })
}
