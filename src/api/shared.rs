//! Types that several kinds use.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::schema::{self, rule};

/// Group, version and kind of the objects to read. The plural comes from the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gvk {
    /// API group, for example `apps`; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = schema::API_GROUP))]
    pub group: String,
    /// Version within the group, for example `v1`.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::API_VERSION))]
    pub version: String,
    /// Kind, for example `Deployment`.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::KIND))]
    pub kind: String,
}

/// A resource of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub name: String,
    /// Its namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::LABEL))]
    pub namespace: String,
}

/// A Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub name: String,
    /// Namespace of the Secret; default: that of the sink. Another one must be allowed by a KollectScope in the sink's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::LABEL))]
    pub namespace: Option<String>,
}

/// How the destination's certificate is checked, and which one is shown to it. Without it, the authorities of the operating system
/// are trusted, and none is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!(has(self.caBundle) && has(self.caSecretRef))", "caBundle and caSecretRef exclude each other; give one of them"),
]))]
pub struct TlsSpec {
    /// Takes any certificate. For tests only: whoever stands in between can read and change everything.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
    /// The certificate authorities to trust, as PEM in base64; at most 64 KiB of PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 87384), extend("format" = "byte"))]
    pub ca_bundle: Option<String>,
    /// The Secret that holds the certificate authorities to trust, as PEM, under `ca.crt`, `tls.crt` or `ca.pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretRef>,
    /// The Secret that holds the certificate to show to a server that asks for one (mutual TLS), as PEM, under `tls.crt`, and its private key
    /// under `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_secret_ref: Option<SecretRef>,
}

/// What may be created at a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProvisioningSpec {
    /// `ensure` (default) creates what is missing and destroys nothing; `existing` creates nothing and checks that what
    /// is there has the expected shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProvisioningMode")]
    pub mode: Option<ProvisioningMode>,
    /// What is created is called so, where the settings of the type name nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<NamingSpec>,
}

/// Names of what is created at a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamingSpec {
    /// The name, made for each inventory; for databases that of the table, where the settings of the type name none. `{cluster}` stands for
    /// the cluster (`default` without one), `{namespace}` and `{name}` for those of the inventory (a cluster inventory has the namespace
    /// `_cluster`). What the name of a table can't have becomes `_`; a name that is too long is cut off and gets a short hash. Inventories whose
    /// names come out the same share the table; each has rows of its own there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = schema::ONE_LINE),
        extend("x-kubernetes-validations" = [
            rule(
                "self.matches('^([^{}]|[{](cluster|namespace|name)[}])*$')",
                "the name has an unknown placeholder or a brace too many; the placeholders are {cluster}, {namespace} and {name}",
            ),
        ])
    )]
    pub template: Option<String>,
}

/// What may be created at a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProvisioningMode {
    /// Creates what is missing; destroys nothing.
    #[default]
    Ensure,
    /// Creates nothing.
    Existing,
}

/// What becomes of exported content when its inventory, or the reference to the sink, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is removed.
    Delete,
    /// It stays.
    Retain,
}

/// A time span as Go writes it: `30s`, `1h30m`; from 0 to 24 h.
///
/// The text is kept as it is, so that an object with a bad one can still be read and reported; [`Interval::parse`]
/// gives the time span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(pub String);

impl JsonSchema for Interval {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 32,
            "pattern": schema::DURATION,
            "x-kubernetes-validations": [rule("duration(self) <= duration('24h')", "the time span is longer than 24h; give at most 24h")],
        })
    }
}

/// A time span that can't be used. The author of the resource must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// It is not a number with a unit.
    #[error("`{0}` is not a time span")]
    Unreadable(String),
    /// It is longer than 24 h.
    #[error("`{0}` is longer than 24h")]
    TooLong(String),
}

impl Interval {
    /// The longest time span.
    pub const MAX: Duration = Duration::from_hours(24);

    /// The time span.
    ///
    /// # Errors
    /// When it is none, or longer than 24 h; negative ones are none.
    pub fn parse(&self) -> Result<Duration, IntervalError> {
        let unreadable = || IntervalError::Unreadable(self.0.clone());
        let mut rest = self.0.as_str();
        if rest == "0" {
            return Ok(Duration::ZERO);
        }
        if rest.is_empty() {
            return Err(unreadable());
        }
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(unreadable)?;
            let (number, after) = rest.split_at(unit_at);
            // `1.` and `.5` are refused by the schema as well.
            if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
                return Err(unreadable());
            }
            let number: f64 = number.parse().map_err(|_| unreadable())?;
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, next) = after.split_at(end);
            seconds += number
                * match unit {
                    "ns" => 1e-9,
                    "us" => 1e-6,
                    "ms" => 1e-3,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3600.0,
                    _ => return Err(unreadable()),
                };
            rest = next;
        }
        match Duration::try_from_secs_f64(seconds) {
            Ok(span) if span <= Self::MAX => Ok(span),
            _ => Err(IntervalError::TooLong(self.0.clone())),
        }
    }
}

impl From<&str> for Interval {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Selects by labels: everything in `matchLabels` and every requirement must hold. An empty selector selects
/// everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Labels and the values that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "match_labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

pub(super) fn match_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": schema::LABEL_VALUE },
    })
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)", "In and NotIn need values; give at least one"),
    rule("!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0", "Exists and DoesNotExist take no values; remove them"),
]))]
pub struct LabelSelectorRequirement {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::LABEL_KEY))]
    pub key: String,
    /// What must hold: `In` and `NotIn` compare the label's value with `values`, `Exists` and `DoesNotExist` ask whether
    /// the label is there.
    pub operator: LabelSelectorOperator,
    /// The values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(max = 63), regex(pattern = schema::LABEL_VALUE)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub values: Vec<String>,
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelSelectorOperator {
    /// The label is there and has one of the values.
    In,
    /// The label has none of the values, or is not there.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// The state of a sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkStatus {
    /// The generation of the sink that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is brought to the destination, while the sink has the annotation `kollect.dev/preview: "true"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<SinkPreview>,
    /// `Ready`: the settings can be used, and the probe succeeded if there was one. `ConnectionVerified`: what came of the
    /// last probe. `TLSInsecure`: certificates are not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// What is brought to the destination of a sink, of a row that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkPreview {
    /// The inventory that the row is from; the first by name, if several are exported to the sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub inventory: Option<String>,
    /// The path of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub path: Option<String>,
    /// The content of the file, or the row as it goes into the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub sample: Option<String>,
    /// What is created in a database that has nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub ddl: Option<String>,
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn intervals_are_read_as_go_reads_them() {
        for (text, seconds) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("30s", 30.0),
            ("1h30m", 5400.0),
            ("1.5h", 5400.0),
            ("100ms", 0.1),
            ("2us", 2e-6),
            ("1m0.5s", 60.5),
            ("24h", 86400.0),
        ] {
            assert_eq!(Interval::from(text).parse().unwrap(), Duration::from_secs_f64(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_without_a_panic() {
        for text in [
            "", "30", "-1s", "+1s", "1d", "s", ".s", "1.s", ".5s", "1s ", "30 s", "1e3s", "1..5s", "NaNs",
            "2µs",
        ] {
            assert_eq!(
                Interval::from(text).parse().unwrap_err(),
                IntervalError::Unreadable(text.to_owned()),
                "{text}"
            );
        }
        let endless = format!("{}h", "9".repeat(400));
        for text in ["24h1ns", "25h", "99999999999999999999999h", endless.as_str()] {
            assert_eq!(
                Interval::from(text).parse().unwrap_err(),
                IntervalError::TooLong(text.to_owned()),
                "{text}"
            );
        }
    }
}
