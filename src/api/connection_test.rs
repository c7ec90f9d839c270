//! KollectConnectionTest: one test of a sink or a profile.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, rule};
use super::shared::yes;

/// Says what is tested: a sink, a profile, or one of each.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectConnectionTest",
    plural = "kollectconnectiontests",
    shortname = "kconntest",
    category = "kollect",
    namespaced,
    status = "ConnectionTestStatus",
    derive = "PartialEq",
    doc = "A connection test tries a sink or a profile once, says in its status what came of it, and is removed some time later.",
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
    printcolumn(name = "Completed", type_ = "boolean", json_path = ".status.completed"),
    printcolumn(name = "Latency ms", type_ = "integer", json_path = ".status.latencyMs"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.sinkRef) || has(self.profileRef)", "nothing is named that could be tested; give sinkRef or profileRef"),
]))]
pub struct KollectConnectionTestSpec {
    /// The sink to test: it is connected to, and what is there is looked at. Nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink_ref: Option<TestedSink>,
    /// Name of the KollectProfile to test: it is compiled and evaluated on one object of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub profile_ref: Option<String>,
    /// Whether the test is removed with its sink.
    #[serde(default = "yes")]
    pub owner_sink: bool,
    /// After so many seconds a test that has come to its end is removed.
    #[serde(default = "default_ttl")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: i32,
}

/// The sink to test: exactly one, of the test's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "(has(self.snapshotSinkRef) ? 1 : 0) + (has(self.databaseSinkRef) ? 1 : 0) + (has(self.eventSinkRef) ? 1 : 0) == 1",
        "the test names no sink or several; give exactly one of snapshotSinkRef, databaseSinkRef and eventSinkRef",
    ),
]))]
pub struct TestedSink {
    /// Name of a KollectSnapshotSink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub snapshot_sink_ref: Option<String>,
    /// Name of a KollectDatabaseSink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub database_sink_ref: Option<String>,
    /// Name of a KollectEventSink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub event_sink_ref: Option<String>,
}

fn default_ttl() -> i32 {
    300
}

/// The state of a connection test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionTestStatus {
    /// The generation of the test that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether the test has come to its end; it is never run again then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<bool>,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completed_at: Option<Time>,
    /// How long the last attempt took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<i64>,
    /// What came of the last attempt, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub message: Option<String>,
    /// `ConnectionVerified`: the last attempt succeeded. `Ready`: the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
