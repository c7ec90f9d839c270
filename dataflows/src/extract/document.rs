//! An object as it came, read for extraction.

use std::cell::OnceCell;
use std::fmt;

use super::guard::{LAST_APPLIED, VALUES};
use super::helm::Release;
use super::node::{Members, Node};
use super::projection::Projection;

/// An object, read from its bytes.
///
/// How the bytes are read, and how much of them, is nobody's business but this module's and the profile's. What
/// everyone may rely on:
///
/// - identity and labels are always there;
/// - `data` and `stringData` of a core Secret are withheld, and so is the annotation in which `kubectl apply` repeats
///   them: no log or error can show them, and no profile but one that [may](super::ProfileSpec::allow_secrets). An object that does
///   not say its kind may be a Secret and is treated as one;
/// - its `Debug` output shows the identity and no content.
pub struct Document<'a> {
    /// What every profile may see.
    root: Node<'a>,
    /// What was taken out of a Secret.
    withheld: Option<Withheld<'a>>,
    /// A Secret with what was taken out of it, once it was asked for.
    entire: OnceCell<Node<'a>>,
    /// The Helm release in the object, once it was asked for.
    release: OnceCell<Result<Option<Release>, &'static str>>,
}

/// What is taken out of a Secret.
struct Withheld<'a> {
    values: Vec<(&'static str, Node<'a>)>,
    last_applied: Option<Node<'a>>,
}

impl<'a> Document<'a> {
    /// Reads an object from JSON bytes.
    ///
    /// # Errors
    /// The bytes are not a JSON object with `metadata.name`; the source of the object must act.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DocumentError> {
        Self::from_root(serde_json::from_slice(bytes)?)
    }

    /// Reads from JSON bytes only what some profiles need. Only these profiles may be evaluated on the document; to them it is
    /// the whole object. What they do not need is checked for JSON's syntax and skipped.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn parse_projected(bytes: &'a [u8], projection: &Projection) -> Result<Self, DocumentError> {
        Self::from_root(projection.parse(bytes)?)
    }

    fn from_root(root: Node<'a>) -> Result<Self, DocumentError> {
        let mut document = Self { root, withheld: None, entire: OnceCell::new(), release: OnceCell::new() };
        if !matches!(document.root, Node::Object(_)) {
            return Err(DocumentError::NotAnObject);
        }
        if document.name().is_empty() {
            return Err(DocumentError::NoName);
        }
        if document.may_be_secret() {
            document.withhold();
        }
        Ok(document)
    }

    fn may_be_secret(&self) -> bool {
        let secret = matches!(self.text(&["kind"]), Some("Secret") | None);
        let core = self.text(&["apiVersion"]).is_none_or(|api_version| !api_version.contains('/'));
        secret && core
    }

    fn withhold(&mut self) {
        let Node::Object(members) = &mut self.root else { return };
        let values: Vec<_> = VALUES.into_iter().filter_map(|key| Some((key, members.remove(key)?))).collect();
        let last_applied = annotations(members).and_then(|annotations| annotations.remove(LAST_APPLIED));
        if !values.is_empty() || last_applied.is_some() {
            self.withheld = Some(Withheld { values, last_applied });
        }
    }

    /// What every profile may see of the object.
    pub(super) fn root(&self) -> &Node<'a> {
        &self.root
    }

    /// The object with the values of a Secret: only for profiles that may read them.
    pub(super) fn entire(&self) -> &Node<'a> {
        let Some(withheld) = &self.withheld else { return &self.root };
        self.entire.get_or_init(|| {
            let mut root = self.root.clone();
            if let Node::Object(members) = &mut root {
                for (key, node) in &withheld.values {
                    members.insert(key, node.clone());
                }
                if let (Some(copy), Some(annotations)) = (&withheld.last_applied, annotations(members)) {
                    annotations.insert(LAST_APPLIED, copy.clone());
                }
            }
            root
        })
    }

    /// What can be asked of the Helm release in the object; nothing if it is none. A release is read once, whoever asks. Also of
    /// a Secret: none of its values come out but what a [`Release`] keeps.
    ///
    /// # Errors
    /// The object says that it is a release, and can't be read as one: a lowercase sentence.
    pub(super) fn release(&self) -> Result<Option<&Release>, &'static str> {
        let release = self.release.get_or_init(|| {
            let is_release =
                self.text(&["type"]) == Some("helm.sh/release.v1") || self.label("owner") == Some("helm");
            if !is_release {
                return Ok(None);
            }
            let withheld = self
                .withheld
                .as_ref()
                .and_then(|withheld| withheld.values.iter().find(|(key, _)| *key == "data"));
            let data = withheld.map(|(_, data)| data).or_else(|| self.root.get("data"));
            match data.and_then(|data| data.get("release")?.as_text()) {
                Some(text) => Release::decode(text).map(Some),
                None => Err("the object is labelled as a Helm release, but has no data.release"),
            }
        });
        release.as_ref().map(Option::as_ref).map_err(|error| *error)
    }

    fn text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().try_fold(&self.root, |node, key| node.get(key))?.as_text()
    }

    /// The API group: empty for the core group, and when the object does not say.
    pub fn group(&self) -> &str {
        self.api_version().rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// The version within the API group; empty when the object does not say.
    pub fn version(&self) -> &str {
        self.api_version().rsplit_once('/').map_or(self.api_version(), |(_, version)| version)
    }

    fn api_version(&self) -> &str {
        self.text(&["apiVersion"]).unwrap_or_default()
    }

    /// The kind; empty when the object does not say.
    pub fn kind(&self) -> &str {
        self.text(&["kind"]).unwrap_or_default()
    }

    /// The namespace; empty for a cluster-scoped object.
    pub fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"]).unwrap_or_default()
    }

    /// The name; never empty.
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"]).unwrap_or_default()
    }

    /// The uid; empty when the object has none (a manifest that was never in a cluster).
    pub fn uid(&self) -> &str {
        self.text(&["metadata", "uid"]).unwrap_or_default()
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.text(&["metadata", "labels", key])
    }

    /// The labels in the order of their keys. Values that are not texts are none to Kubernetes, and left out.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.root.get("metadata").and_then(|metadata| metadata.get("labels"));
        let members = match labels {
            Some(Node::Object(members)) => Some(members),
            _ => None,
        };
        members
            .into_iter()
            .flat_map(|members| members.iter())
            .filter_map(|(key, value)| Some((key, value.as_text()?)))
    }
}

fn annotations<'m, 'a>(members: &'m mut Members<'a>) -> Option<&'m mut Members<'a>> {
    let Some(Node::Object(metadata)) = members.get_mut("metadata") else { return None };
    match metadata.get_mut("annotations") {
        Some(Node::Object(annotations)) => Some(annotations),
        _ => None,
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("group", &self.group())
            .field("version", &self.version())
            .field("kind", &self.kind())
            .field("namespace", &self.namespace())
            .field("name", &self.name())
            .field("uid", &self.uid())
            .finish_non_exhaustive()
    }
}

/// Why bytes could not be taken as an object. Shows none of them.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The bytes are not JSON. The source of the object must act.
    #[error("the object is not valid JSON: {0}")]
    NotJson(serde_json::Error),
    /// What is read of the object nests too deep. The author of the object must act, or that of the profile.
    #[error("the object nests deeper than 127 levels where a profile reads it")]
    TooDeep,
    /// The bytes are JSON, but not an object. The source of the object must act.
    #[error("the object is a JSON value of another type, not a JSON object")]
    NotAnObject,
    /// The object has no name. The source of the object must act.
    #[error("the object has no metadata.name")]
    NoName,
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> Self {
        // The parser has no other sign of it.
        if error.to_string().starts_with("recursion limit exceeded") {
            Self::TooDeep
        } else {
            Self::NotJson(error)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;

    use super::*;

    fn written(object: &serde_json::Value) -> String {
        serde_json::to_string(Document::parse(object.to_string().as_bytes()).unwrap().root()).unwrap()
    }

    #[test]
    fn identity_and_labels_are_read() {
        let bytes = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "web", "namespace": "shop", "uid": "u-1", "labels": {"b": "2", "a": "1", "bad": 7}}})
        .to_string();
        let document = Document::parse(bytes.as_bytes()).unwrap();
        assert_eq!(
            [document.group(), document.version(), document.kind(), document.namespace(), document.name()],
            ["apps", "v1", "Deployment", "shop", "web"]
        );
        assert_eq!(document.uid(), "u-1");
        assert_eq!(document.label("a"), Some("1"));
        assert_eq!(document.label("bad"), None);
        assert_eq!(document.labels().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn what_an_object_does_not_say_is_empty() {
        let document = Document::parse(br#"{"apiVersion":"v1","metadata":{"name":"n"}}"#).unwrap();
        assert_eq!([document.group(), document.version()], ["", "v1"]);
        assert_eq!([document.kind(), document.namespace(), document.uid()], ["", "", ""]);
        assert_eq!(document.labels().count(), 0);
    }

    #[test]
    fn bytes_that_are_no_object_with_a_name_are_errors() {
        for (bytes, message) in [
            (&b""[..], "the object is not valid JSON: EOF while parsing a value at line 1 column 0"),
            (b"{\"a\":", "the object is not valid JSON: EOF while parsing a value at line 1 column 5"),
            (b"{} {}", "the object is not valid JSON: trailing characters at line 1 column 4"),
            (b"\"\xff\"", "the object is not valid JSON: invalid unicode code point at line 1 column 2"),
            (b"[]", "the object is a JSON value of another type, not a JSON object"),
            (b"null", "the object is a JSON value of another type, not a JSON object"),
            (b"{}", "the object has no metadata.name"),
            (b"{\"metadata\":{\"name\":\"\"}}", "the object has no metadata.name"),
            (b"{\"metadata\":{\"name\":7}}", "the object has no metadata.name"),
            (&[b'['; 200], "the object nests deeper than 127 levels where a profile reads it"),
        ] {
            assert_eq!(Document::parse(bytes).expect_err("refused").to_string(), message);
        }
    }

    #[test]
    fn a_secret_loses_its_data_and_the_annotation_that_repeats_it() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "data": {"k": "canary"}, "stringData": {"k": "canary"},
            "metadata": {"name": "s", "annotations": {LAST_APPLIED: "canary", "other": "stays"}}});
        let stripped = written(&secret);
        assert!(!stripped.contains("canary") && !stripped.contains("stringData"), "{stripped}");
        assert!(stripped.contains("stays") && stripped.contains("Opaque"));
        for incomplete in ["kind", "apiVersion"] {
            secret.as_object_mut().unwrap().remove(incomplete);
            assert!(!written(&secret).contains("canary"), "without {incomplete}");
        }
    }

    #[test]
    fn an_entire_secret_is_the_secret_as_it_came() {
        for secret in [
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"k": "v"}, "stringData": null,
                "metadata": {"name": "s", "annotations": {LAST_APPLIED: "copy", "a": "b", "z": "y"}}}),
            json!({"data": {}, "metadata": {"name": "s", "annotations": {}}, "immutable": true}),
            json!({"metadata": {"name": "s", "annotations": {LAST_APPLIED: null}}, "kind": "Secret", "apiVersion": "v1"}),
            json!({"kind": "Secret", "metadata": {"name": "s", "annotations": "none"}, "stringData": ["v"]}),
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"k": "v"}}),
        ] {
            let bytes = secret.to_string();
            let document = Document::parse(bytes.as_bytes()).unwrap();
            for _ in 0..2 {
                assert_eq!(serde_json::to_value(document.entire()).unwrap(), secret);
            }
            if secret["kind"] != "ConfigMap" {
                let shown = serde_json::to_value(document.root()).unwrap();
                assert!(shown.get("data").is_none() && shown.get("stringData").is_none(), "{shown}");
                assert_eq!(shown["metadata"]["annotations"].get(LAST_APPLIED), None);
            }
        }
    }

    #[test]
    fn other_kinds_keep_their_data() {
        for (api_version, kind) in [("v1", "ConfigMap"), ("example.com/v1", "Secret")] {
            let object = json!({"apiVersion": api_version, "kind": kind, "data": {"k": "v"},
                "metadata": {"name": "s", "annotations": {LAST_APPLIED: "copy"}}});
            assert_eq!(serde_json::from_str::<serde_json::Value>(&written(&object)).unwrap(), object);
        }
    }

    #[test]
    fn debug_output_shows_no_content() {
        let document = Document::parse(br#"{"metadata":{"name":"n"},"spec":"canary"}"#).unwrap();
        let shown = format!("{document:?}");
        assert!(shown.contains("\"n\"") && !shown.contains("canary"), "{shown}");
    }
}
