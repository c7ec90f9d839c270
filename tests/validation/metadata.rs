//! What all kinds have: metadata, and the document itself.

use kollect::api;
use serde_json::{Value, json};

use crate::{accepts, rejects};

/// A target whose metadata is this beside its namespace.
fn metadata(metadata: &Value) -> String {
    let mut all = json!({ "namespace": "default" });
    for (key, value) in metadata.as_object().unwrap() {
        all[key] = value.clone();
    }
    json!({
        "apiVersion": api::API_VERSION,
        "kind": "KollectTarget",
        "metadata": all,
        "spec": { "profileRef": "pods" },
    })
    .to_string()
}

#[test]
fn accepts_labels_and_annotations() {
    accepts(&metadata(&json!({
        "name": "a.b-1",
        "labels": { "app.kubernetes.io/name": "web", "empty": "", "A_b.c": "A_b.c" },
        "annotations": { "note": "any text\nof any form" },
        "finalizers": ["example.com/f"],
    })));
}

#[test]
fn accepts_a_status_and_leaves_it_aside() {
    let manifest = metadata(&json!({ "name": "a" }));
    let mut object: Value = serde_json::from_str(&manifest).unwrap();
    object["status"] = json!({ "rowCount": 1 });
    accepts(&object.to_string());
}

#[test]
fn rejects_names_that_no_resource_can_have() {
    for name in ["A", "a_b", "a b", "-a", "a..b"] {
        rejects(&metadata(&json!({ "name": name })), "metadata.name", "lower-case");
    }
    rejects(&metadata(&json!({ "name": "" })), "metadata.name", "empty");
    rejects(&metadata(&json!({})), "metadata.name", "missing");
    rejects(&metadata(&json!({ "name": "a".repeat(254) })), "metadata.name", "at most 253");
}

#[test]
fn rejects_labels_that_no_resource_can_have() {
    rejects(
        &metadata(&json!({ "name": "a", "labels": { "k": "a b" } })),
        "metadata.labels[k]",
        "value of a label",
    );
    rejects(
        &metadata(&json!({ "name": "a", "labels": { "a b": "v" } })),
        "metadata.labels[a b]",
        "key of a label",
    );
    rejects(&metadata(&json!({ "name": "a", "labels": { "k": 1 } })), "metadata.labels[k]", "text");
    rejects(
        &metadata(&json!({ "name": "a", "annotations": { "k": true } })),
        "metadata.annotations[k]",
        "text",
    );
}

#[test]
fn rejects_unknown_fields() {
    rejects(&metadata(&json!({ "name": "a", "label": { "k": "v" } })), "metadata.label", "`labels`?");
    let mut object: Value = serde_json::from_str(&metadata(&json!({ "name": "a" }))).unwrap();
    object["specs"] = json!({});
    rejects(&object.to_string(), "specs", "`spec`?");
}

#[test]
fn rejects_a_resource_without_a_spec() {
    let mut object: Value = serde_json::from_str(&metadata(&json!({ "name": "a" }))).unwrap();
    object.as_object_mut().unwrap().remove("spec");
    rejects(&object.to_string(), "spec", "missing");
}
