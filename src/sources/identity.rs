//! What objects may come without, and get from their source: their type and a uid.

use std::fmt::Write as _;

use kollect_dataflows::data::Gvk;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::ObjectName;

/// What an object's text lacks.
pub(super) struct Lacking<'a> {
    pub(super) api_version: bool,
    pub(super) kind: bool,
    /// The uid that it gets, and its metadata, which must be a slice of the text.
    pub(super) uid: Option<(String, &'a RawValue)>,
}

/// Puts in what is missing, and leaves the rest of the text as it is, so that numbers keep all their digits. `None` if the
/// text is not that of an object with metadata.
pub(super) fn complete(json: &str, gvk: &Gvk, lacking: &Lacking<'_>) -> Option<String> {
    let rest = json.strip_prefix('{')?;
    let mut whole = String::with_capacity(json.len() + 128);
    whole.push('{');
    for (field, lacks, value) in
        [("apiVersion", lacking.api_version, gvk.api_version()), ("kind", lacking.kind, gvk.kind.clone())]
    {
        if lacks {
            let _ = write!(whole, "\"{field}\":{},", Value::String(value));
        }
    }
    let Some((uid, metadata)) = &lacking.uid else {
        whole.push_str(rest);
        return Some(whole);
    };
    let place: UidPlace<'_> = serde_json::from_str(metadata.get()).ok()?;
    let offset = |part: &RawValue| (part.get().as_ptr() as usize).checked_sub(rest.as_ptr() as usize);
    match place.uid {
        // An empty one gives way: of two equal fields the last would count.
        Some(empty) => {
            let begin = offset(empty)?;
            let after = rest.get(begin + empty.get().len()..)?;
            let _ = write!(whole, "{}\"{uid}\"{after}", rest.get(..begin)?);
        }
        None => {
            let begin = offset(metadata)? + 1;
            let _ = write!(whole, "{}\"uid\":\"{uid}\",{}", rest.get(..begin)?, rest.get(begin..)?);
        }
    }
    Some(whole)
}

#[derive(Deserialize)]
struct UidPlace<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    uid: Option<&'a RawValue>,
}

/// Takes a null for a value too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The uid of an object that has none: a UUID of version 8 made of the first bits of the SHA-256 of `kollect.dev/object`, group,
/// kind, namespace and name, a zero byte between each. The version of the API is not part of it, so the same object
/// has the same uid in whatever version it was written down.
pub(super) fn derived_uid(gvk: &Gvk, name: &ObjectName) -> String {
    let identity = ["kollect.dev/object", &gvk.group, &gvk.kind, &name.namespace, &name.name].join("\0");
    let hash = Sha256::digest(identity.as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_put_in_and_the_rest_stays_as_it_is() {
        let gvk = Gvk::new("apps", "v1", "Deployment");
        for (json, expected) in [
            (r#"{"metadata": {"name":"a"},"x":1e400}"#, r#"{"metadata": {"uid":"U","name":"a"},"x":1e400}"#),
            (
                r#"{"x":1,"metadata":{"name":"a","uid": "" ,"y":2}}"#,
                r#"{"x":1,"metadata":{"name":"a","uid": "U" ,"y":2}}"#,
            ),
            (r#"{"metadata":{"uid":null,"name":"a"}}"#, r#"{"metadata":{"uid":"U","name":"a"}}"#),
        ] {
            #[derive(Deserialize)]
            struct Outline<'a> {
                #[serde(borrow)]
                metadata: &'a RawValue,
            }
            let outline: Outline<'_> = serde_json::from_str(json).unwrap();
            let uid = Some(("U".to_owned(), outline.metadata));
            let lacking = Lacking { api_version: false, kind: false, uid };
            assert_eq!(complete(json, &gvk, &lacking).as_deref(), Some(expected));
            let typed = format!("{{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",{}", &json[1..]);
            let lacking = Lacking { api_version: true, kind: true, uid: None };
            assert_eq!(complete(json, &gvk, &lacking), Some(typed));
        }
    }

    #[test]
    fn derived_uids_follow_the_identity_and_not_the_version() {
        let uid = |group: &str, version: &str, kind: &str, namespace: &str, name: &str| {
            derived_uid(
                &Gvk::new(group, version, kind),
                &ObjectName { namespace: namespace.into(), name: name.into() },
            )
        };
        let first = uid("apps", "v1", "Deployment", "shop", "cart");
        assert_eq!(first, "9d5b318c-aa3d-8bbc-a42d-19698bedfaa2");
        assert_eq!(first, uid("apps", "v1beta1", "Deployment", "shop", "cart"));
        for other in [
            uid("app", "v1", "Deployment", "shop", "cart"),
            uid("apps", "v1", "DaemonSet", "shop", "cart"),
            uid("apps", "v1", "Deployment", "shopc", "art"),
            uid("apps", "v1", "Deployment", "", "cart"),
        ] {
            assert_ne!(first, other);
        }
    }
}
