//! Answers of the API server, read only as far as the name and version of each object.

use std::borrow::Cow;
use std::sync::Arc;

use kollect_dataflows::data::Gvk;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::sources::ObjectName;
use crate::sources::identity::{Lacking, complete, derived_uid};

/// An object that can't be taken, because it has no name or is no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// An object as it came, with its name and version.
#[derive(Debug)]
pub(super) struct RawObject {
    pub(super) name: ObjectName,
    pub(super) resource_version: String,
    pub(super) json: Arc<[u8]>,
}

impl RawObject {
    /// The version as a number; zero if it is none.
    pub(super) fn version(&self) -> u64 {
        self.resource_version.parse().unwrap_or_default()
    }

    /// Takes an object; adds its type where it lacks it, as elements of lists do.
    pub(super) fn take(raw: &RawValue, gvk: &Gvk) -> Result<Self, Undecodable> {
        let outline: Outline<'_> = serde_json::from_str(raw.get()).map_err(|_| Undecodable)?;
        let metadata = outline.metadata;
        if metadata.name.is_empty() {
            return Err(Undecodable);
        }
        let name =
            ObjectName { namespace: metadata.namespace.into_owned(), name: metadata.name.into_owned() };
        let (api_version, kind) = (outline.api_version.is_none(), outline.kind.is_none());
        let has_uid = metadata.uid.is_some_and(|uid| !uid.is_empty());
        let json = if has_uid && !api_version && !kind {
            Arc::from(raw.get().as_bytes())
        } else {
            let uid = if has_uid {
                None
            } else {
                let whole: Whole<'_> = serde_json::from_str(raw.get()).map_err(|_| Undecodable)?;
                Some((derived_uid(gvk, &name), whole.metadata))
            };
            let whole = complete(raw.get(), gvk, &Lacking { api_version, kind, uid }).ok_or(Undecodable)?;
            Arc::from(whole.into_bytes())
        };
        Ok(Self { name, resource_version: metadata.resource_version.into_owned(), json })
    }
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline<'a> {
    #[serde(borrow, default)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Option<Cow<'a, str>>,
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

/// Where a list stands.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(super) next: String,
}

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct WatchLine<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) change: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// A bookmark: all changes up to a version have been sent.
#[derive(Deserialize)]
pub(super) struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    resource_version: String,
    #[serde(default)]
    annotations: Option<std::collections::HashMap<String, String>>,
}

impl Bookmark {
    pub(super) fn resource_version(self) -> String {
        self.metadata.resource_version
    }

    /// Whether all objects of the initial list have been sent.
    pub(super) fn ends_list(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get("k8s.io/initial-events-end")).is_some_and(|value| value == "true")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn take(json: &str) -> Result<(String, String, u64, String), Undecodable> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let object = RawObject::take(raw, &Gvk::new("apps", "v1", "Deployment"))?;
        let version = object.version();
        let json = String::from_utf8(object.json.to_vec()).unwrap();
        Ok((object.name.namespace, object.name.name, version, json))
    }

    #[test]
    fn objects_are_left_as_they_are() {
        let json = r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7"},"x":12345678901234567890123}"#;
        assert_eq!(take(json), Ok(("n".into(), "a".into(), 7, json.into())));
    }

    #[test]
    fn elements_of_lists_get_their_type() {
        let (_, _, version, json) =
            take(r#"{"metadata":{"name":"a","uid":"u","resourceVersion":"x"}}"#).unwrap();
        assert_eq!(version, 0);
        assert_eq!(
            json,
            r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","uid":"u","resourceVersion":"x"}}"#
        );
    }

    #[test]
    fn objects_without_a_uid_get_one_that_follows_from_their_identity() {
        for uid in ["", r#","uid":"""#, r#","uid":null"#] {
            let (_, _, _, json) =
                take(&format!(r#"{{"metadata":{{"name":"cart","namespace":"shop"{uid}}}}}"#)).unwrap();
            let object: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(object["metadata"]["uid"], "9d5b318c-aa3d-8bbc-a42d-19698bedfaa2", "{json}");
            assert_eq!(json.matches("uid").count(), 1);
        }
    }

    #[test]
    fn what_has_no_name_is_not_an_object() {
        for json in [
            "{}",
            "[]",
            "7",
            r#"{"metadata":{}}"#,
            r#"{"metadata":{"name":7}}"#,
            r#"{"metadata":{"name":""}}"#,
        ] {
            assert_eq!(take(json), Err(Undecodable), "{json}");
        }
    }

    #[test]
    fn only_the_marked_bookmark_ends_the_list() {
        for (json, ends) in [
            (r#"{"metadata":{"resourceVersion":"7"}}"#, false),
            (r#"{"metadata":{"resourceVersion":"7","annotations":{}}}"#, false),
            (
                r#"{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}"#,
                true,
            ),
        ] {
            let bookmark: Bookmark = serde_json::from_str(json).unwrap();
            assert_eq!(bookmark.ends_list(), ends);
            assert_eq!(bookmark.resource_version(), "7");
        }
    }
}
