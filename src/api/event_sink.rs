//! KollectEventSink: a stream of events to export to.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, rule};
use super::shared::{SecretRef, SinkStatus};
use super::sink_common::SinkCommon;

/// A stream of events to export to: one event a change of a row.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kollect.dev",
    version = "v1alpha1",
    kind = "KollectEventSink",
    plural = "kollecteventsinks",
    shortname = "kevt",
    category = "kollect",
    namespaced,
    status = "SinkStatus",
    derive = "PartialEq",
    selectable = ".spec.type",
    doc = "A stream of events to which inventories are exported: each change of a row is an event.",
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
    rule("self.type != 'kafka' || has(self.kafka)", "type kafka needs spec.kafka; add it with brokers and topic"),
    rule("self.type == 'kafka' || !has(self.kafka)", "spec.kafka goes with type kafka only; remove it or change the type"),
    rule("self.type != 'nats' || has(self.nats)", "type nats needs spec.nats; add it with url and subject"),
    rule("self.type == 'nats' || !has(self.nats)", "spec.nats goes with type nats only; remove it or change the type"),
    rule(
        "self.type != 'nats' || !has(self.nats) || has(self.nats.url) || has(self.endpoint)",
        "type nats needs the URL of a server; give it in spec.nats.url",
    ),
]))]
pub struct KollectEventSinkSpec {
    /// The kind of stream: `kafka` or `nats`.
    #[serde(rename = "type")]
    pub type_: EventSinkType,
    /// Settings of Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSpec>,
    /// Settings of NATS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsSpec>,
    /// What every sink has.
    #[serde(flatten)]
    pub common: SinkCommon,
}

/// A kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventSinkType {
    /// A topic of Kafka.
    Kafka,
    /// A stream of NATS JetStream.
    Nats,
}

/// Settings of Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Addresses of brokers: `host:port`.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 512), regex(pattern = schema::HOST_AND_PORT)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub brokers: Vec<String>,
    /// Name of the topic.
    #[schemars(length(min = 1, max = 249), regex(pattern = schema::TOPIC))]
    pub topic: String,
    /// The Secret with `username` and `password`, or `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// How credentials are presented: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, or `OAUTHBEARER` for a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SaslMechanism")]
    pub sasl: Option<SaslMechanism>,
}

/// How credentials are presented to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// As they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// As a proof, by SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// As a proof, by SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// As a token.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

/// Settings of NATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsSpec {
    /// Where the server is: `nats://host:port` or `tls://host:port`, several separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = schema::ONE_LINE))]
    pub url: Option<String>,
    /// The subject to publish to; what belongs to a row is added behind it.
    #[schemars(length(min = 1, max = 255), regex(pattern = schema::SUBJECT))]
    pub subject: String,
    /// Name of the stream; default `kollect_events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = schema::PART_NAME))]
    pub stream: Option<String>,
    /// The Secret with `token`, `username` and `password`, `nkey` or `creds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}
