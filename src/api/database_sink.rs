//! KollectDatabaseSink: a table to export to.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, rule};
use super::shared::{SecretRef, SinkStatus};
use super::sink_common::SinkCommon;

/// A database to export to: one row of a table a row of an inventory, and a log of changes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectDatabaseSink",
    plural = "kollectdatabasesinks",
    shortname = "kdb",
    category = "kollect",
    namespaced,
    status = "SinkStatus",
    derive = "PartialEq",
    selectable = ".spec.type",
    doc = "A database to which inventories are exported: rows go into a table, and each change into a log.",
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
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.type != 'postgres' || has(self.postgres)", "type postgres needs spec.postgres; add it with databaseRef and table"),
    rule(
        "self.type != 'postgres' || !has(self.postgres) || has(self.postgres.table) || (has(self.provisioning) && has(self.provisioning.naming) && has(self.provisioning.naming.template))",
        "type postgres needs a table; name it in spec.postgres.table, or say in spec.provisioning.naming.template how its name is made",
    ),
    rule("self.type == 'postgres' || !has(self.postgres)", "spec.postgres goes with type postgres only; remove it or change the type"),
    rule("self.type == 'sqlite' || !has(self.sqlite)", "spec.sqlite goes with type sqlite only; remove it or change the type"),
    rule(
        "self.type != 'postgres' || !has(self.postgres) || has(self.postgres.databaseRef) || has(self.secretRef)",
        "type postgres needs a Secret with the connection string; name it in spec.postgres.databaseRef",
    ),
    rule(
        "self.type != 'postgres' || !has(self.endpoint)",
        "type postgres takes no endpoint; put the connection string into the Secret that spec.postgres.databaseRef names",
    ),
    rule(
        "self.type != 'sqlite' || (has(self.endpoint) && self.endpoint.matches('^(file://)?/'))",
        "type sqlite needs an absolute path; give that of the database file in spec.endpoint, for example /var/lib/kollect/inventory.db",
    ),
    rule(
        "self.type != 'sqlite' || !(has(self.tls) || has(self.secretRef))",
        "type sqlite takes neither tls nor secretRef, since it is a file; remove them",
    ),
]))]
pub struct KollectDatabaseSinkSpec {
    /// The kind of database: `postgres` or `sqlite`.
    #[serde(rename = "type")]
    pub type_: DatabaseSinkType,
    /// Settings of a Postgres database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresSpec>,
    /// Settings of a SQLite database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<SqliteSpec>,
    /// What every sink has.
    #[serde(flatten)]
    pub common: SinkCommon,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseSinkType {
    /// A Postgres server.
    Postgres,
    /// A SQLite file.
    Sqlite,
}

/// Settings of a Postgres database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresSpec {
    /// The Secret with the connection string under `dsn`, `url`, `connectionString` or `DATABASE_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_ref: Option<SecretRef>,
    /// Name of the schema; default `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::IDENTIFIER))]
    pub schema: Option<String>,
    /// Name of the table for the rows; default: what `spec.provisioning.naming.template` gives. The log of changes is `<table>_changes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 55), regex(pattern = schema::IDENTIFIER))]
    pub table: Option<String>,
}

/// Settings of a SQLite database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SqliteSpec {
    /// Name of the table for the rows; default: what `spec.provisioning.naming.template` gives, and `inventory` without that. The log of changes is `<table>_changes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 55), regex(pattern = schema::IDENTIFIER))]
    pub table: Option<String>,
}
