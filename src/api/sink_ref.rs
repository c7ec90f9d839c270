//! References to sinks, as inventories have them.

use std::collections::BTreeMap;

use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;
use super::shared::Interval;

/// A sink to export to: its name alone, or with settings for this inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SinkRef {
    /// Name of the sink.
    Name(String),
    /// Name of the sink, and settings.
    #[serde(rename_all = "camelCase")]
    Settings {
        /// Name of the sink.
        name: String,
        /// Namespace of the sink, in cluster inventories.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Replaces the inventory's `exportMinInterval` for this sink.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        export_min_interval: Option<Interval>,
        /// Replaces the inventory's `maxExportBytes` for this sink.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_export_bytes: Option<i64>,
        /// How long changes are held for this sink, so that several become one batch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        coalesce_window: Option<Interval>,
        /// Fields that are not known. The API server can't refuse them here, so they are kept and reported.
        #[serde(flatten)]
        unknown: BTreeMap<String, Value>,
    },
    /// A null: the API server can't refuse it here, so it is kept and reported.
    Nothing,
}

impl SinkRef {
    /// Name of the sink; empty when there is none.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Settings { name, .. } => name,
            Self::Nothing => "",
        }
    }

    /// Namespace of the sink, if one is given.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Name(_) | Self::Nothing => None,
            Self::Settings { namespace, .. } => namespace.as_deref(),
        }
    }

    /// The interval that replaces the inventory's, if there is one.
    pub fn export_min_interval(&self) -> Option<&Interval> {
        match self {
            Self::Name(_) | Self::Nothing => None,
            Self::Settings { export_min_interval, .. } => export_min_interval.as_ref(),
        }
    }

    /// How long changes are held, if that is given.
    pub fn coalesce_window(&self) -> Option<&Interval> {
        match self {
            Self::Name(_) | Self::Nothing => None,
            Self::Settings { coalesce_window, .. } => coalesce_window.as_ref(),
        }
    }

    /// The limit that replaces the inventory's, if there is one.
    pub fn max_export_bytes(&self) -> Option<i64> {
        match self {
            Self::Name(_) | Self::Nothing => None,
            Self::Settings { max_export_bytes, .. } => *max_export_bytes,
        }
    }

    /// Names of fields that are not known.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Name(_) | Self::Nothing => None,
            Self::Settings { unknown, .. } => Some(unknown.keys().map(String::as_str)),
        }
        .into_iter()
        .flatten()
    }
}

/// A list of references to sinks of the inventory's namespace.
pub(super) fn own(generator: &mut SchemaGenerator) -> Schema {
    list(generator, false)
}

/// A list of references to sinks of any namespace.
pub(super) fn any(generator: &mut SchemaGenerator) -> Schema {
    list(generator, true)
}

/// A structural schema has no unions, so the type is left open, and each other keyword says something about the types
/// it applies to: the lengths and the pattern about strings, properties about objects; the rest keeps all other
/// types out.
fn list(generator: &mut SchemaGenerator, of_any_namespace: bool) -> Schema {
    let mut interval = |description: &str| {
        let mut interval = Interval::json_schema(generator);
        // CEL rules can't stand below a schema without a type; the catalog checks the interval.
        interval.remove("x-kubernetes-validations");
        interval.insert("description".to_owned(), description.into());
        interval
    };
    let min_interval =
        interval("Replaces the inventory's `exportMinInterval` for this sink: a time span from 0 to 24h.");
    let window = interval(
        "Holds changes for up to so long after the first of them, so that several become one batch, as in one commit an hour: a time \
         span from 0 to 24h; default 0, at once. The first export, and what is waiting when the operator stops, is not held.",
    );
    let mut item = json_schema!({
        "description": "Name of the sink; or its name and settings.",
        "x-kubernetes-preserve-unknown-fields": true,
        "minLength": 1,
        "maxLength": 253,
        "pattern": schema::SUBDOMAIN,
        "required": ["name"],
        "properties": {
            "name": {
                "description": "Name of the sink.",
                "type": "string",
                "minLength": 1,
                "maxLength": 253,
                "pattern": schema::SUBDOMAIN,
            },
            "exportMinInterval": min_interval,
            "coalesceWindow": window,
            "maxExportBytes": {
                "description": "Replaces the inventory's `maxExportBytes` for this sink.",
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "maximum": 1_099_511_627_776_i64,
            },
        },
        "not": { "anyOf": [{ "enum": [true, false] }] },
        "minItems": 1,
        "maxItems": 0,
        "minimum": 1,
        "maximum": 0,
    });
    if of_any_namespace && let Some(Value::Object(properties)) = item.get_mut("properties") {
        properties.insert(
            "namespace".to_owned(),
            serde_json::json!({
                "description": "Namespace of the sink; default: the inventory's `sinkNamespace`.",
                "type": "string",
                "minLength": 1,
                "maxLength": 63,
                "pattern": schema::LABEL,
            }),
        );
    }
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "maxItems": 20,
        "items": item,
    })
}
