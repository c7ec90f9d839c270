//! From the JSON of one document to objects with a known identity.
//!
//! A document is an object, a `List`, or something else that merely looks alike (a values file, a kustomization's
//! patch). Lists are taken apart, whatever their kind (`List`, `DeploymentList`, …); their elements may lack
//! `apiVersion` and `kind`, as those of a typed list do, and then get the list's.

use std::borrow::Cow;

use kollect_dataflows::data::Gvk;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::sources::ObjectName;
use crate::sources::identity::{Lacking, complete, derived_uid};

/// How deep lists may lie in lists.
const DEEPEST_LIST: usize = 8;

/// An object and its identity.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manifest {
    /// Its group, version and kind.
    pub(super) gvk: Gvk,
    /// Its namespace, empty where the manifest names none, and its name.
    pub(super) name: ObjectName,
    /// The whole object; it always has a uid.
    pub(super) json: String,
}

/// What a document turned out to hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// An object.
    Object(Manifest),
    /// Something that should be an object, and can't be taken as one.
    Flaw(Flaw),
    /// Well-formed, and not a Kubernetes object.
    Other,
}

/// Why something could not be taken as an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// The kind that it seems to have been; `None` where it might be of any.
    pub(super) kind: Option<String>,
    /// Line in the file, from 1.
    pub(super) line: Option<u64>,
    /// Column in the line, from 1.
    pub(super) column: Option<u64>,
    /// What is wrong: a lowercase sentence without any of the document's content but names.
    pub(super) message: String,
    /// What to do about it.
    pub(super) remedy: &'static str,
}

impl Flaw {
    /// A flaw that concerns every kind, and the whole file.
    pub(super) fn new(message: impl Into<String>, remedy: &'static str) -> Self {
        Self { kind: None, line: None, column: None, message: message.into(), remedy }
    }
}

/// The fields that decide what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline<'a> {
    #[serde(borrow, default)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    items: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    uid: Option<Cow<'a, str>>,
}

/// `apiVersion` and kind of a list, which its elements have when they say nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListType {
    /// The list's `apiVersion`.
    pub(super) api_version: String,
    /// The list's kind.
    pub(super) kind: String,
}

impl ListType {
    /// The kind of the elements; empty for a `List`, whose elements must say it themselves.
    fn element_kind(&self) -> &str {
        self.kind.strip_suffix("List").unwrap_or_default()
    }

    /// Whether a kind is that of a list.
    pub(super) fn is_list(kind: &str) -> bool {
        kind.ends_with("List")
    }
}

/// Takes the objects out of one JSON value. `list` is the list that the value is an element of.
pub(super) fn objects(json: &str, list: Option<&ListType>, take: &mut dyn FnMut(Found)) {
    nested(json, list, DEEPEST_LIST, take);
}

fn nested(json: &str, list: Option<&ListType>, depth: usize, take: &mut dyn FnMut(Found)) {
    if !json.starts_with('{') {
        return take(if list.is_some() {
            Found::Flaw(Flaw::new("an element of the list is not an object", "remove or repair it"))
        } else {
            Found::Other
        });
    }
    let outline = match serde_json::from_str::<Outline<'_>>(json) {
        Ok(outline) => outline,
        Err(error) => {
            let message = match error.classify() {
                serde_json::error::Category::Data => "apiVersion and kind must be strings".to_owned(),
                _ => error.to_string(),
            };
            return take(Found::Flaw(Flaw::new(message, "correct the manifest")));
        }
    };
    let own_type = (outline.api_version.as_deref(), outline.kind.as_deref());
    let (api_version, kind) = match (own_type, list) {
        ((Some(api_version), Some(kind)), _) => (api_version, kind),
        ((api_version, kind), Some(list)) if !list.element_kind().is_empty() => {
            (api_version.unwrap_or(&list.api_version), kind.unwrap_or(list.element_kind()))
        }
        ((None, Some(kind)), _) => {
            let mut flaw = Flaw::new(format!("{kind} has no apiVersion"), "add the field apiVersion");
            flaw.kind = Some(kind.to_owned());
            return take(Found::Flaw(flaw));
        }
        ((_, None), Some(_)) => {
            return take(Found::Flaw(Flaw::new(
                "an element of the list has no kind",
                "add apiVersion and kind",
            )));
        }
        ((_, None), None) => return take(Found::Other),
    };
    if let Some(items) = outline.items.filter(|items| ListType::is_list(kind) && items.get().starts_with('['))
    {
        let list = ListType { api_version: api_version.to_owned(), kind: kind.to_owned() };
        let Some(depth) = depth.checked_sub(1) else {
            return take(Found::Flaw(Flaw::new("lists lie too deep in lists", "take the inner lists apart")));
        };
        match serde_json::from_str::<Vec<&RawValue>>(items.get()) {
            Ok(items) => items.into_iter().for_each(|item| nested(item.get(), Some(&list), depth, take)),
            Err(error) => take(Found::Flaw(Flaw::new(error.to_string(), "correct the manifest"))),
        }
        return;
    }
    let gvk = Gvk::from_api_version(api_version, kind);
    if outline.items.is_none() && ListType::is_list(kind) && !has_name(&outline) {
        return; // an empty list
    }
    take(match object(json, &outline, gvk) {
        Ok(manifest) => Found::Object(manifest),
        Err(message) => Found::Flaw(Flaw {
            kind: Some(kind.to_owned()),
            line: None,
            column: None,
            message,
            remedy: "correct the object's metadata (in YAML, quote names such as y, no, on and 1e3)",
        }),
    });
}

fn has_name(outline: &Outline<'_>) -> bool {
    let metadata = outline.metadata.and_then(|raw| serde_json::from_str::<Metadata<'_>>(raw.get()).ok());
    metadata.is_some_and(|metadata| metadata.name.is_some())
}

/// Completes an object: type and uid are in its JSON afterwards.
fn object(json: &str, outline: &Outline<'_>, gvk: Gvk) -> Result<Manifest, String> {
    let kind = &gvk.kind;
    let Some(raw) = outline.metadata.filter(|raw| raw.get().starts_with('{')) else {
        return Err(format!("{kind} has no metadata"));
    };
    let metadata: Metadata<'_> = serde_json::from_str(raw.get())
        .map_err(|_| format!("metadata of {kind}: name, namespace and uid must be strings"))?;
    let name = metadata
        .name
        .filter(|name| !name.is_empty())
        .ok_or_else(|| format!("{kind} has no metadata.name"))?;
    let name = ObjectName {
        namespace: metadata.namespace.map(Cow::into_owned).unwrap_or_default(),
        name: name.into_owned(),
    };
    let uid = match metadata.uid {
        Some(uid) if !uid.is_empty() => None,
        _ => Some((derived_uid(&gvk, &name), raw)),
    };
    let (api_version, kind) = (outline.api_version.is_none(), outline.kind.is_none());
    let json = complete(json, &gvk, &Lacking { api_version, kind, uid })
        .ok_or_else(|| format!("metadata of {} can't be read", gvk.kind))?;
    Ok(Manifest { gvk, name, json })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn found(json: &str) -> Vec<Found> {
        let mut all = Vec::new();
        objects(json, None, &mut |found| all.push(found));
        all
    }

    fn names(json: &str) -> Vec<String> {
        found(json)
            .into_iter()
            .map(|found| match found {
                Found::Object(m) => format!("{} {}/{}", m.gvk, m.name.namespace, m.name.name),
                Found::Flaw(flaw) => format!("{:?}: {}", flaw.kind, flaw.message),
                Found::Other => "other".to_owned(),
            })
            .collect()
    }

    #[test]
    fn documents_are_told_apart() {
        for (json, expected) in [
            (
                r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n"}}"#,
                vec!["v1/Pod n/a"],
            ),
            (r#"{"apiVersion":"apps/v1","kind":"X","metadata":{"name":"a"}}"#, vec!["apps/v1/X /a"]),
            (
                r#"{"apiVersion":"v1","kind":"List","items":[
                    {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}},
                    {"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"b"}}]}]}"#,
                vec!["v1/Pod /a", "v1/Pod /b"],
            ),
            (
                r#"{"items":[{"metadata":{"name":"a"}}],"kind":"DeploymentList","apiVersion":"apps/v1"}"#,
                vec!["apps/v1/Deployment /a"],
            ),
            (
                r#"{"apiVersion":"x/v1","kind":"AccessList","metadata":{"name":"a"}}"#,
                vec!["x/v1/AccessList /a"],
            ),
            (r#"{"apiVersion":"v1","kind":"List","items":[]}"#, vec![]),
            (r#"{"apiVersion":"v1","kind":"List","items":null,"metadata":{"resourceVersion":""}}"#, vec![]),
            (r#"{"replicas":3}"#, vec!["other"]),
            (r#"{"apiVersion":"v2","name":"a chart"}"#, vec!["other"]),
            ("[1,2]", vec!["other"]),
            (r#"{"kind":"Pod","metadata":{"name":"a"}}"#, vec![r#"Some("Pod"): Pod has no apiVersion"#]),
            (r#"{"apiVersion":"v1","kind":"Pod"}"#, vec![r#"Some("Pod"): Pod has no metadata"#]),
            (
                r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#,
                vec![r#"Some("Pod"): Pod has no metadata.name"#],
            ),
            (
                r#"{"apiVersion":"v1","kind":"List","items":[{"metadata":{"name":"a"}}, 7]}"#,
                vec![
                    "None: an element of the list has no kind",
                    "None: an element of the list is not an object",
                ],
            ),
            (r#"{"apiVersion":7,"kind":"Pod"}"#, vec!["None: apiVersion and kind must be strings"]),
        ] {
            assert_eq!(names(json), expected, "{json}");
        }
    }

    #[test]
    fn an_object_is_completed_and_otherwise_left_as_it_is() {
        let json = r#"{"apiVersion":"v1","kind":"PodList","items":[{ "big": 12345678901234567890123, "metadata": {"name":"a"} }]}"#;
        let [Found::Object(manifest)] = &found(json)[..] else { panic!("one object") };
        let uid = derived_uid(&manifest.gvk, &manifest.name);
        assert_eq!(
            manifest.json,
            format!(
                r#"{{"apiVersion":"v1","kind":"Pod", "big": 12345678901234567890123, "metadata": {{"uid":"{uid}","name":"a"}} }}"#
            )
        );
    }

    #[test]
    fn a_uid_that_is_there_stays() {
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","uid":"u"}}"#;
        let [Found::Object(manifest)] = &found(json)[..] else { panic!("one object") };
        assert_eq!(manifest.json, json);
    }
}
