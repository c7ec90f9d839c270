//! The parsed tree of an object.
//!
//! Made for extraction rather than for general use: texts are borrowed from the object's bytes where they have no
//! escapes, integers keep their whole range, and the members of an object are kept sorted by key, each key once
//! (the last one wins, as in the API server). So two spellings of the same object give the same tree, and writing a tree
//! gives canonical JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A JSON value.
#[derive(Clone, Default, PartialEq)]
pub(super) enum Node<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    Float(f64),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Members<'a>),
}

impl<'a> Node<'a> {
    pub(super) fn from_u64(value: u64) -> Self {
        i64::try_from(value).map_or(Self::UInt(value), Self::Int)
    }

    /// The member of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        match self {
            Self::Object(members) => members.get(key),
            _ => None,
        }
    }

    /// The element of an array; a negative position counts from the end.
    pub(super) fn at(&self, position: i64) -> Option<&Node<'a>> {
        let Self::Array(items) = self else { return None };
        let distance = usize::try_from(position.unsigned_abs()).ok()?;
        items.get(if position < 0 { items.len().checked_sub(distance)? } else { distance })
    }

    /// The text of a string.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Never shows content: an object's content belongs in no log.
impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::UInt(_) | Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        })
    }
}

/// The members of an object, sorted by key, each key once.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Members<'a> {
    /// Of members with the same key the last one stays.
    pub(super) fn new(mut members: Vec<(Cow<'a, str>, Node<'a>)>) -> Self {
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            // The sort is stable, so that the last of equal keys comes last; dedup keeps the first, hence the swap.
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    std::mem::swap(next, kept);
                }
                same
            });
        }
        Self(members)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        // Objects are small: comparing lengths first beats a binary search on nearly all of them.
        const SMALL: usize = 16;
        if self.0.len() <= SMALL {
            return self.0.iter().find(|(name, _)| name == key).map(|(_, node)| node);
        }
        let position = self.0.binary_search_by(|(name, _)| name.as_ref().cmp(key)).ok()?;
        self.0.get(position).map(|(_, node)| node)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node<'a>> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The members in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.0.iter().map(|(name, node)| (name.as_ref(), node))
    }
}

impl<'a> Members<'a> {
    /// The members, to change their values.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node<'a>)> {
        self.0.iter_mut().map(|(name, node)| (&**name, node))
    }
}

impl From<&serde_json::Value> for Node<'static> {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), _, _) => Self::Int(value),
                (None, Some(value), _) => Self::from_u64(value),
                (None, None, Some(value)) => Self::Float(value),
                (None, None, None) => Self::Null,
            },
            Value::String(text) => Self::String(Cow::Owned(text.clone())),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(members) => Self::Object(Members::new(
                members.iter().map(|(name, value)| (Cow::Owned(name.clone()), Self::from(value))).collect(),
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::from_u64(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Node::Array(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Key(name)) = entries.next_key()? {
            members.push((name, entries.next_value()?));
        }
        Ok(Node::Object(Members::new(members)))
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::UInt(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members.iter()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Random JSON: small keys that collide, integers at the edges, texts with escapes.
    pub(in super::super) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop_oneof![Just(i64::MAX as u64), Just(u64::MAX), 0..5u64].prop_map(Value::from),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            any_key().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any_key(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    pub(in super::super) fn any_key() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => prop::sample::select(vec![
                "a", "b", "c", "name", "spec", "metadata", "app.kubernetes.io/name", "it's", "\"q\"", "back\\slash", "", "ü",
                "new\nline", "0",
            ]).prop_map(str::to_owned),
            1 => any::<String>(),
        ]
    }

    fn canonical(json: &str) -> String {
        serde_json::to_string(&serde_json::from_str::<Node<'_>>(json).unwrap()).unwrap()
    }

    #[test]
    fn integers_and_floats_come_back_exactly() {
        for number in [
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "18446744073709551615",
            "0.1",
            "1.5",
            "-0.0",
            "1.7976931348623157e308",
            "2.2250738585072014e-308",
            "51.24817837550540",
        ] {
            let back: Value = serde_json::from_str(&canonical(number)).unwrap();
            assert_eq!(back, serde_json::from_str::<Value>(number).unwrap(), "{number}");
        }
        assert_eq!(canonical("18446744073709551615"), "18446744073709551615");
        assert_eq!(canonical("51.24817837550540"), "51.2481783755054");
    }

    #[test]
    fn keys_are_sorted_and_the_last_of_equal_keys_wins() {
        assert_eq!(
            canonical(r#" { "b" : 1, "a" : {"z":1,"y":[ 2 , 3 ]}, "b" : 2, "a\u0031": 4, "b": 3 } "#),
            r#"{"a":{"y":[2,3],"z":1},"a1":4,"b":3}"#
        );
    }

    #[test]
    fn nesting_is_bounded_by_the_parser() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(serde_json::from_str::<Node<'_>>(&deep(120)).is_ok());
        assert!(serde_json::from_str::<Node<'_>>(&deep(100_000)).is_err());
    }

    #[test]
    fn debug_output_shows_no_content() {
        let node = Node::from(&json!({"password": "canary"}));
        assert!(!format!("{node:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn canonical_json_parses_back_equal_with_sorted_keys(value in any_json()) {
            let written = canonical(&value.to_string());
            prop_assert_eq!(&serde_json::from_str::<Value>(&written).unwrap(), &value);
            prop_assert_eq!(&canonical(&written), &written);
            prop_assert_eq!(serde_json::to_string(&Node::from(&value)).unwrap(), written.clone());
            // serde_json keeps its maps sorted as this crate builds it: equal text means sorted keys.
            prop_assert_eq!(sorted(&value).to_string(), written);
        }

        #[test]
        fn members_are_found_by_key_in_objects_of_any_size(size in 0..60usize, missing in "[x-z]{1,3}") {
            let members: Members<'_> =
                Members::new((0..size).rev().map(|i| (format!("k{i}").into(), Node::Int(i as i64))).collect());
            for i in 0..size {
                prop_assert_eq!(members.get(&format!("k{i}")), Some(&Node::Int(i as i64)));
            }
            prop_assert_eq!(members.get(&missing), None);
        }
    }

    /// The same value with every object's members inserted in the order of their keys.
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(sorted).collect(),
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Object(members.into_iter().collect())
            }
            other => other.clone(),
        }
    }
}
