//! Rows as the command line shows them.

use kollect_dataflows::data::{Gvk, PlainValue, Row};
use serde::Serialize;
use serde_json::{Map, Value};

/// A row with its attributes as a tree; as JSON it has the keys of an export, in their order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowView {
    /// Namespace of the target, empty for a cluster target.
    pub target_namespace: String,
    /// Name of the target.
    pub target_name: String,
    /// Namespace of the object, empty for a cluster-scoped one.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// API group, empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// The object's uid.
    pub uid: String,
    /// The attributes by name.
    pub attributes: Map<String, Value>,
    /// Names of required attributes that could not be evaluated, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

impl From<&Row> for RowView {
    fn from(row: &Row) -> Self {
        let Gvk { group, version, kind } = row.gvk().as_ref().clone();
        // A row's attributes are canonical JSON by construction, and a map.
        let attributes = match PlainValue::parse(row.attributes()) {
            Ok(Value::Object(attributes)) => attributes,
            _ => Map::new(),
        };
        Self {
            target_namespace: row.target().namespace.clone(),
            target_name: row.target().name.clone(),
            namespace: row.namespace().to_owned(),
            name: row.name().to_owned(),
            group,
            version,
            kind,
            uid: row.uid().to_owned(),
            attributes,
            incomplete: row.incomplete(),
        }
    }
}

impl RowView {
    /// The object for people: `namespace/Kind/name`, or `Kind/name` for a cluster-scoped one.
    pub fn object(&self) -> String {
        let Self { namespace, kind, name, .. } = self;
        if namespace.is_empty() { format!("{kind}/{name}") } else { format!("{namespace}/{kind}/{name}") }
    }
}

/// A value for people: text bare, nothing for null, everything else as JSON.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(is_plain) => {
            items.iter().map(value_text).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Whether a value reads well in a list without brackets and quotes.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty() && !text.contains([',', '\n']),
        Value::Number(_) | Value::Bool(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::Arc;

    use kollect_dataflows::data::{RowParts, TargetName};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_has_the_keys_of_an_export_in_their_order() {
        let row = Row::new(RowParts {
            target: &Arc::new(TargetName::new("shop", "all")),
            gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
            namespace: "shop",
            name: "web",
            uid: "u-1",
            attributes: r#"{"image":null,"replicas":2}"#,
            incomplete: &["image"],
        });
        let mut canonical = Vec::new();
        row.write_json(&mut canonical);
        assert_eq!(
            serde_json::to_string(&RowView::from(&row)).unwrap(),
            String::from_utf8(canonical).unwrap()
        );
    }

    #[test]
    fn values_read_well() {
        for (value, text) in [
            (json!("nginx:1.27"), "nginx:1.27"),
            (json!(null), ""),
            (json!(3), "3"),
            (json!(["a", "b"]), "a, b"),
            (json!([]), ""),
            (json!(["a,b", "c"]), r#"["a,b","c"]"#),
            (json!({"a": 1}), r#"{"a":1}"#),
        ] {
            assert_eq!(value_text(&value), text);
        }
    }
}
