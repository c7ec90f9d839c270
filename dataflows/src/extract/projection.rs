//! Reading only what profiles need of an object.
//!
//! Most of an object's bytes are of no interest to any profile. The paths that the profiles of a kind read are merged into one
//! tree of [`Reads`], and reading an object follows that tree: what it does not name is skipped without being built.
//!
//! Whatever is named is built so that no profile can tell the difference to the whole object: of a list that only
//! some keys are read of, the elements are all there, with these keys; of a value that only the type matters of, the type is there.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::node::{Members, Node};
use super::path::Step;
use super::profile::Profile;
use super::selection::Selection;

/// What a set of profiles reads of an object.
#[derive(Clone, Debug)]
pub struct Projection {
    reads: Reads,
}

impl Projection {
    /// What these profiles and selections read, and what identity, labels and the protection of Secrets need.
    pub fn new<'p>(
        profiles: impl IntoIterator<Item = &'p Profile>,
        selections: impl IntoIterator<Item = &'p Selection>,
    ) -> Self {
        let mut reads = Reads::default();
        let key = |key: &str| Step::Key(key.to_owned());
        reads.add_all(&[key("apiVersion")]);
        reads.add_all(&[key("kind")]);
        for field in ["name", "namespace", "uid", "labels"] {
            reads.add_all(&[key("metadata"), key(field)]);
        }
        for profile in profiles {
            profile.add_reads(&mut reads);
        }
        for selection in selections {
            selection.add_reads(&mut reads);
        }
        reads.settle();
        Self { reads }
    }

    /// Reads the wanted parts of one JSON document.
    pub(super) fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Node<'a>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let node = Wanted(&self.reads).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(node)
    }
}

/// What is read of one value. The default reads its type, and the value itself if it is no list or map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// Everything is read.
    whole: bool,
    /// What is read of single members.
    members: Vec<(String, Reads)>,
    /// What is read of every element, and of every member.
    every: Option<Box<Reads>>,
    /// Everything is read but of these members; of them, what the rest says.
    all_but: Option<Vec<String>>,
}

static WHOLE: Reads = Reads { whole: true, members: Vec::new(), every: None, all_but: None };

impl Reads {
    /// Adds the value that `steps` lead to, with everything in it.
    pub(super) fn add_all(&mut self, steps: &[Step]) {
        self.at(steps).whole = true;
    }

    /// What is read of the value that `steps` lead to.
    pub(super) fn at(&mut self, steps: &[Step]) -> &mut Self {
        steps.iter().fold(self, |reads, step| match step {
            Step::Key(key) => reads.member(key),
            // Elements keep their positions only if all are there.
            Step::Index(_) | Step::Every => reads.every.get_or_insert_default(),
        })
    }

    /// Adds everything but what these members hold.
    pub(super) fn add_all_but(&mut self, keys: &[&str]) {
        self.all_but = Some(match self.all_but.take() {
            None => keys.iter().map(|key| (*key).to_owned()).collect(),
            Some(spared) => spared.into_iter().filter(|key| keys.contains(&key.as_str())).collect(),
        });
    }

    fn member(&mut self, key: &str) -> &mut Self {
        let position = self.members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            self.members.push((key.to_owned(), Self::default()));
            self.members.len() - 1
        });
        &mut self.members[position].1
    }

    /// Adds everything that `other` reads.
    pub(super) fn merge(&mut self, other: &Self) {
        self.whole |= other.whole;
        for (key, reads) in &other.members {
            self.member(key).merge(reads);
        }
        if let Some(every) = &other.every {
            self.every.get_or_insert_default().merge(every);
        }
        if let Some(spared) = &other.all_but {
            self.add_all_but(&spared.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    /// Whether anything is read of the value that `keys` lead to, and be it that it is there.
    pub(super) fn reach(&self, keys: &[&str]) -> bool {
        let Some((key, rest)) = keys.split_first() else { return true };
        self.whole
            || self.members.iter().any(|(name, reads)| name == key && reads.reach(rest))
            || self.every.as_ref().is_some_and(|reads| reads.reach(rest))
            || self.all_but.as_ref().is_some_and(|spared| !spared.iter().any(|spared| spared == key))
    }

    /// Adds what is read of every member to what is read of single ones, so that one look-up finds it all.
    fn settle(&mut self) {
        if self.whole {
            *self = Self { whole: true, ..Self::default() };
        }
        for (key, reads) in &mut self.members {
            if let Some(every) = &self.every {
                reads.merge(every);
            }
            reads.whole |= self.all_but.as_ref().is_some_and(|spared| !spared.contains(key));
            reads.settle();
        }
        if let Some(every) = &mut self.every {
            every.settle();
        }
    }

    fn of_member(&self, key: &str) -> Option<&Self> {
        let named = self.members.iter().find(|(name, _)| name == key).map(|(_, reads)| reads);
        match &self.all_but {
            Some(spared) if !spared.iter().any(|spared| spared == key) => Some(&WHOLE),
            _ => named.or(self.every.as_deref()),
        }
    }

    fn of_elements(&self) -> Option<&Self> {
        if self.all_but.is_some() { Some(&WHOLE) } else { self.every.as_deref() }
    }
}

/// Reads one value as far as it is wanted.
struct Wanted<'r>(&'r Reads);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        if self.0.whole {
            serde::Deserialize::deserialize(deserializer)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
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
        if let Some(reads) = self.0.of_elements() {
            while let Some(node) = items.next_element_seed(Wanted(reads))? {
                nodes.push(node);
            }
        } else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(Node::Array(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut members = Vec::with_capacity(self.0.members.len());
        while let Some(wanted) = entries.next_key_seed(WantedKey(self.0))? {
            match wanted {
                Some((key, reads)) => members.push((key, entries.next_value_seed(Wanted(reads))?)),
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Node::Object(Members::new(members)))
    }
}

/// Reads one key: with what is read of the member if it is wanted, else `None`.
struct WantedKey<'r>(&'r Reads);

impl<'de, 'r> DeserializeSeed<'de> for WantedKey<'r> {
    type Value = Option<(Cow<'de, str>, &'r Reads)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'r> Visitor<'de> for WantedKey<'r> {
    type Value = Option<(Cow<'de, str>, &'r Reads)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(self.0.of_member(key).map(|reads| (Cow::Borrowed(key), reads)))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.of_member(key).map(|reads| (Cow::Owned(key.to_owned()), reads)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::document::Document;
    use super::super::node::tests::any_json;
    use super::super::profile::{AttributeSpec, ProfileSpec};
    use super::*;
    use crate::data::Gvk;

    fn profile(paths: &[&str]) -> Profile {
        let attributes = paths
            .iter()
            .enumerate()
            .map(|(i, path)| AttributeSpec {
                name: format!("{i}"),
                path: (*path).to_owned(),
                ..AttributeSpec::default()
            })
            .collect();
        Profile::compile(&ProfileSpec {
            gvk: Gvk::new("apps", "v1", "Deployment"),
            attributes,
            ..ProfileSpec::default()
        })
        .unwrap()
    }

    fn projected(paths: &[&str], object: &Value) -> Value {
        let bytes = object.to_string();
        let node = Projection::new([&profile(paths)], []).parse(bytes.as_bytes()).unwrap();
        serde_json::to_value(node).unwrap()
    }

    fn object() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "uid": "u", "labels": {"a": "1"}, "annotations": {"n": "x"}, "managedFields": [1, 2]},
            "spec": {"replicas": 3, "containers": [
                {"name": "app", "image": "i", "env": [{"name": "E", "value": "v"}]}, {"name": "proxy", "image": "j"}]},
            "status": {"replicas": 2},
        })
    }

    /// What is there besides identity and labels.
    fn rest(paths: &[&str]) -> Value {
        let mut rest = projected(paths, &object());
        let members = rest.as_object_mut().unwrap();
        members.remove("apiVersion");
        members.remove("kind");
        for field in ["name", "uid", "labels"] {
            members.get_mut("metadata").unwrap().as_object_mut().unwrap().remove(field);
        }
        if members["metadata"] == json!({}) {
            members.remove("metadata");
        }
        rest
    }

    #[test]
    fn only_what_is_read_is_built() {
        for (paths, expected) in [
            (&[][..], json!({})),
            (&["$.spec.replicas"], json!({"spec": {"replicas": 3}})),
            (
                &["$.spec.replicas", "cel:object.status.replicas"],
                json!({"spec": {"replicas": 3}, "status": {"replicas": 2}}),
            ),
            (
                &["$.spec.containers[0].image"],
                json!({"spec": {"containers": [{"image": "i"}, {"image": "j"}]}}),
            ),
            (
                &["$.spec.containers[*].name"],
                json!({"spec": {"containers": [{"name": "app"}, {"name": "proxy"}]}}),
            ),
            (&["$.spec.*.deep"], json!({"spec": {"replicas": 3, "containers": []}})),
            (
                &["$.spec.containers[?@.name=='app'].image"],
                json!({"spec": {"containers": object()["spec"]["containers"]}}),
            ),
            (&["$.spec.containers.name"], json!({"spec": {"containers": []}})),
            (&["cel:object.metadata.annotations['n']"], json!({"metadata": {"annotations": {"n": "x"}}})),
            (&["cel:has(object.spec.containers) ? 1 : 2"], json!({"spec": {"containers": []}})),
            (&["cel:object.?spec.?replicas.orValue(1)"], json!({"spec": {"replicas": 3}})),
            (
                &["cel:object.spec.containers[1].image"],
                json!({"spec": {"containers": [{"image": "i"}, {"image": "j"}]}}),
            ),
            (
                &["cel:object.spec.containers.map(c, c.image)"],
                json!({"spec": {"containers": [{"image": "i"}, {"image": "j"}]}}),
            ),
            (
                &["cel:object.spec.containers.all(c, has(c.env) && c.name != '')"],
                json!({"spec": {"containers": [{"name": "app", "env": []}, {"name": "proxy"}]}}),
            ),
            (&["cel:object.spec.containers.all(c, true)"], json!({"spec": {"containers": [{}, {}]}})),
            (
                &["cel:object.spec.containers.map(c, c.?env.orValue([]).map(e, e.name))"],
                json!({"spec": {"containers": [{"env": [{"name": "E", "value": "v"}]}, {}]}}),
            ),
            (
                &["cel:object.spec.containers.filter(c, c.name == 'app').map(c, c.image)"],
                json!({"spec": {"containers": object()["spec"]["containers"]}}),
            ),
            (
                &["cel:object.spec.containers.sortBy(c, c.name)[0].image"],
                json!({"spec": {"containers": object()["spec"]["containers"]}}),
            ),
            (&["cel:[1].map(object, object)"], json!({})),
        ] {
            assert_eq!(rest(paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn a_use_that_can_not_be_analysed_gets_everything_it_may_read() {
        for path in [
            "$",
            "$..image",
            "$.spec.containers[?@.name==$.kind]",
            "cel:object",
            "cel:object == object",
            "cel:size(object)",
            "cel:[object][0].kind",
            "cel:object.map(k, object[k])",
            "cel:dyn(object).kind",
        ] {
            assert_eq!(projected(&[path], &object()), object(), "{path}");
        }
    }

    #[test]
    fn identity_and_labels_are_there_and_a_secret_is_stripped() {
        let projection = Projection::new([], []);
        let bytes = object().to_string();
        let document = Document::parse_projected(bytes.as_bytes(), &projection).unwrap();
        assert_eq!(
            [document.group(), document.kind(), document.name(), document.uid()],
            ["apps", "Deployment", "web", "u"]
        );
        assert_eq!(document.label("a"), Some("1"));

        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "canary"}})
                .to_string();
        let reads_data = profile(&["$.data.k", "cel:object.data"]);
        let projection = Projection::new([&reads_data], []);
        let document = Document::parse_projected(secret.as_bytes(), &projection).unwrap();
        assert!(!reads_data.evaluate(&document).attributes.contains("canary"));
    }

    #[test]
    fn bytes_that_are_no_json_are_refused_also_in_what_is_skipped() {
        let projection = Projection::new([], []);
        for bytes in [
            "",
            "{",
            "{\"metadata\":{\"name\":\"n\"}} x",
            "{\"metadata\":{\"name\":\"n\"},\"spec\":{]}",
            "[]",
            "{\"metadata\":{}}",
        ] {
            assert!(Document::parse_projected(bytes.as_bytes(), &projection).is_err(), "{bytes}");
        }
    }

    const SOURCES: [&str; 38] = [
        "$.spec.a",
        "$.spec.a.b",
        "$.spec[0].name",
        "$.spec[*].a",
        "$.spec.*.*",
        "$.a..a",
        "$.spec[?@.a == 1]",
        "$.spec[?@.a == $.a]",
        "$.metadata.a['app.kubernetes.io/name']",
        "cel:object.spec.a",
        "cel:object.spec['b'].c",
        "cel:object.spec[0].a",
        "cel:object.?spec.?a.?b",
        "cel:object.?a[?0].?name.orValue(object.spec)",
        "cel:has(object.spec.a) && !has(object.spec.b.c)",
        "cel:object.spec.map(x, x.a)",
        "cel:object.spec.map(x, has(x.b), x.b.c)",
        "cel:object.spec.filter(x, x.a != null)",
        "cel:object.spec.all(x, x.name == 'a' || has(x.a.b))",
        "cel:object.spec.exists(x, x.map(y, y.a) == [])",
        "cel:object.spec.exists_one(x, true)",
        "cel:object.spec.map(k, object.spec[k].a)",
        "cel:object.spec[object.metadata.a]",
        "cel:object.a[object.spec.name].b",
        "cel:size(object.spec.a) + size(object.a)",
        "cel:object.spec.a in object.a",
        "cel:(object.kind == 'x' ? object.spec : object.a).name",
        "cel:object.?spec.optMap(s, s.a)",
        "cel:object.a.optMap(s, s.a)",
        "cel:[object.spec.a, object.a.b].map(x, x.c)",
        "cel:type(object.spec.a) == type(object.a)",
        "cel:object.spec.a.b.map(object, object.a)",
        "cel:object.spec.sortBy(x, x.a).map(x, x.b)",
        "cel:object.spec.flatten().distinct()",
        "cel:object.spec.map(x, x.a).includes(object.a)",
        "cel:sets.intersects(object.spec.a, object.a.map(x, x.b))",
        "cel:object.spec.reverse()[0].a.name",
        "cel:'%s'.format([object.spec.a, object.a])",
    ];

    thread_local! {
        static PROFILES: Vec<(Profile, Projection)> = SOURCES
            .iter()
            .map(std::slice::from_ref)
            .chain([&SOURCES[..]])
            .map(profile)
            .map(|profile| { let projection = Projection::new([&profile], []); (profile, projection) })
            .collect();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn a_profile_can_not_tell_a_projected_object_from_a_whole_one(a in any_json(), b in any_json(), c in any_json()) {
            let bytes = json!({"kind": "Deployment", "metadata": {"name": "n", "a": a}, "spec": b, "a": c}).to_string();
            let whole = Document::parse(bytes.as_bytes()).unwrap();
            PROFILES.with(|profiles| {
                for (profile, projection) in profiles {
                    let projected = Document::parse_projected(bytes.as_bytes(), projection).unwrap();
                    prop_assert_eq!(profile.evaluate(&projected), profile.evaluate(&whole), "{:?}", profile);
                }
                Ok(())
            })?;
        }
    }
}
