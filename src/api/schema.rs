//! Pieces of schemas that several kinds use.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A DNS-1123 label: namespaces.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// A DNS-1123 subdomain: names of objects.
pub(crate) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// An API group: a subdomain, or nothing for the core group.
pub(super) const API_GROUP: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$";

/// A version of an API group.
pub(super) const API_VERSION: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";

/// A kind.
pub(super) const KIND: &str = "^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$";

/// As [`API_GROUP`], or all.
pub(super) const API_GROUP_OR_ALL: &str =
    r"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$";

/// As [`API_VERSION`], or all.
pub(super) const API_VERSION_OR_ALL: &str = "^([*]|[a-z]([-a-z0-9]*[a-z0-9])?)$";

/// As [`KIND`], or all.
pub(super) const KIND_OR_ALL: &str = "^([*]|[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?)$";

/// A duration as Go writes it, not negative.
pub(super) const DURATION: &str = r"^(0|([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)$";

/// Key of a label.
pub(crate) const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$";

/// Value of a label.
pub(crate) const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// Text on one line.
pub(super) const ONE_LINE: &str = r"^[^\x00-\x1f\x7f]*$";

/// The name of a part of a resource.
pub(super) const PART_NAME: &str = "^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$";

/// The name of a metric, or of a value of a rollup.
pub(super) const METRIC_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The name of a table or schema of a database.
pub(super) const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_$-]*$";

/// An address: a host, or an IPv6 address in brackets, and a port.
pub(super) const HOST_AND_PORT: &str =
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$";

/// The name of a topic of Kafka.
pub(super) const TOPIC: &str = "^[A-Za-z0-9._-]+$";

/// A subject of NATS, without wildcards.
pub(super) const SUBJECT: &str = r"^[^\s.*>\x00-\x1f\x7f]+(\.[^\s.*>\x00-\x1f\x7f]+)*$";

/// What is wrong with a text that does not match a pattern (to be read after the text), and what to do about it.
pub(crate) fn explain_pattern(pattern: &str) -> (&'static str, &'static str) {
    match pattern {
        LABEL => (
            "is not the name of a namespace",
            "use lower-case letters, digits and `-`, with a letter or digit at both ends",
        ),
        SUBDOMAIN => (
            "is not the name of a resource",
            "use lower-case letters, digits, `-` and `.`, with a letter or digit at both ends",
        ),
        API_GROUP => (
            "is not an API group",
            "give the group alone, for example `apps`; leave it out for the core group",
        ),
        API_VERSION => ("is not a version", "give the version alone, for example `v1`"),
        API_GROUP_OR_ALL => (
            "is not an API group",
            "give the group alone, for example `apps`, or `*` for all; leave it out for the core group",
        ),
        API_VERSION_OR_ALL => {
            ("is not a version", "give the version alone, for example `v1`, or `*` for all")
        }
        KIND_OR_ALL => {
            ("is not a kind", "use letters, digits and `-`, for example `Deployment`, or `*` for all")
        }
        KIND => ("is not a kind", "use letters, digits and `-`, for example `Deployment`"),
        DURATION => ("is not a time span", "give a number with a unit, from 0s to 24h: `30s`, `5m`, `1h30m`"),
        LABEL_KEY => (
            "is not the key of a label",
            "use letters, digits, `-`, `_` and `.`, with a domain and `/` in front if need be",
        ),
        LABEL_VALUE => (
            "is not the value of a label",
            "use letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        ),
        PART_NAME => (
            "is not a name that can be used",
            "use letters, digits, `-` and `_`, with a letter or digit at both ends",
        ),
        METRIC_NAME => {
            ("is not a name that can be used", "use letters, digits and `_`, and begin with a letter or `_`")
        }
        HOST_AND_PORT => ("is not an address", "give host and port: `kafka.example.com:9092`"),
        TOPIC => ("is not the name of a topic", "use letters, digits, `.`, `_` and `-`"),
        SUBJECT => (
            "is not a subject",
            "give names separated by dots, without spaces, `*` and `>`: `kollect.changes`",
        ),
        ONE_LINE => ("has line breaks or other control characters", "write it on one line"),
        IDENTIFIER => (
            "is not a name that can be used",
            "use letters, digits, `_`, `-` and `$`, and begin with a letter or `_`",
        ),
        _ => ("has another form than expected", "see `kubectl explain` for the field"),
    }
}

/// A CEL rule of a CRD: `expression` must hold, else `message` says what to do.
pub(super) fn rule(expression: &str, message: &str) -> Value {
    json!({ "rule": expression, "message": message })
}

/// A list of conditions, as apimachinery has them.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "maxItems": 32,
        "items": {
            "description": "One aspect of the resource's state.",
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {
                    "description": "Which aspect, for example `Ready`.",
                    "type": "string",
                    "maxLength": 316,
                },
                "status": {
                    "description": "Whether it holds: True, False or Unknown.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "description": "Why, as a word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Why, in a sentence for people, and what to do about it.",
                    "type": "string",
                    "maxLength": 32768,
                },
                "lastTransitionTime": {
                    "description": "When `status` last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "observedGeneration": {
                    "description": "The resource's generation that the condition is about.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
            },
        },
    })
}

/// A list of namespaces, each named once.
pub(super) fn namespaces(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "set",
        "maxItems": 4096,
        "items": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL },
    })
}

/// A list of names of resources, each named once.
pub(super) fn resource_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "set",
        "maxItems": 1024,
        "items": { "type": "string", "minLength": 1, "maxLength": 253, "pattern": SUBDOMAIN },
    })
}

/// A list of texts, such as paths.
pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "maxItems": 256,
        "items": { "type": "string", "minLength": 1, "maxLength": 16384 },
    })
}

/// Any JSON value.
pub(super) fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true, "nullable": true })
}

/// A time in RFC 3339.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}
