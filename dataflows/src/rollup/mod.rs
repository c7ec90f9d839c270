//! Rollups: rows grouped by some of their fields, and a few numbers about each group.
//!
//! A [`RollupSpec`] says by what the rows of an inventory are grouped and what is worked out for each group. The graph turns each row
//! into what it adds to its group, and keeps the sum of that for each group: a row that comes, goes or changes costs what it changes in its
//! own groups, and what comes out is the groups that changed, with their values before and after.
//!
//! Rows that lack what an aggregate is about are left out of it, as in SQL: the sum, least and greatest of nothing are null.

mod groups;
mod value;

use std::borrow::Cow;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use smallvec::SmallVec;

pub use groups::GroupDelta;
pub(crate) use groups::Groups;
pub use value::Value;

use crate::data::Row;

/// By what rows are grouped, and what is worked out for each group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RollupSpec {
    /// Rows that agree in these are one group; none for a single group of all rows.
    pub group_by: Vec<Field>,
    /// What is worked out for each group, in this order.
    pub aggregates: Vec<Aggregate>,
}

/// One number (or value) about each group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Aggregate {
    /// How it is worked out.
    pub op: Op,
    /// From which values. Only [`Op::Count`] can do without: it counts rows then.
    pub field: Option<Field>,
}

/// How an aggregate is worked out from the values of a group's rows. Nulls and missing values have no part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    /// How many values there are.
    Count,
    /// The sum of those that are numbers or quantities (`500m` is 0.5), exact to a billionth; null when there are none, or one of
    /// them is greater than a 64-bit integer can be (7.9 × 10¹⁹).
    Sum,
    /// The least value: see [`Value`] for the order.
    Min,
    /// The greatest value.
    Max,
    /// How many different values there are.
    Distinct,
}

/// Something that each row has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Field {
    /// An attribute of the row.
    Attribute(String),
    /// A part of the row's identity.
    Identity(Identity),
}

/// The parts of a row's identity, named as in the row's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Identity {
    /// `targetNamespace`
    TargetNamespace,
    /// `targetName`
    TargetName,
    /// `namespace`
    Namespace,
    /// `name`
    Name,
    /// `group`
    Group,
    /// `version`
    Version,
    /// `kind`
    Kind,
    /// `uid`
    Uid,
}

impl Field {
    /// Reads a field: the name of a part of the identity, or of an attribute. An attribute that is named as a part of the identity can
    /// be written `attributes.name`.
    pub fn parse(text: &str) -> Self {
        let identity = match text {
            "targetNamespace" => Identity::TargetNamespace,
            "targetName" => Identity::TargetName,
            "namespace" => Identity::Namespace,
            "name" => Identity::Name,
            "group" => Identity::Group,
            "version" => Identity::Version,
            "kind" => Identity::Kind,
            "uid" => Identity::Uid,
            _ => return Self::Attribute(text.strip_prefix("attributes.").unwrap_or(text).to_owned()),
        };
        Self::Identity(identity)
    }

    /// The attribute that it is, if it is one.
    pub fn attribute(&self) -> Option<&str> {
        match self {
            Self::Attribute(name) => Some(name),
            Self::Identity(_) => None,
        }
    }
}

impl Identity {
    fn of(self, row: &Row) -> &str {
        match self {
            Self::TargetNamespace => &row.target().namespace,
            Self::TargetName => &row.target().name,
            Self::Namespace => row.namespace(),
            Self::Name => row.name(),
            Self::Group => &row.gvk().group,
            Self::Version => &row.gvk().version,
            Self::Kind => &row.gvk().kind,
            Self::Uid => row.uid(),
        }
    }
}

/// What one row adds to one rollup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Contribution {
    /// What the row is grouped by.
    pub(crate) group: Box<[Value]>,
    /// For each aggregate the value that the row adds to it.
    pub(crate) terms: Box<[(Op, Option<Value>)]>,
}

impl RollupSpec {
    /// What a row adds.
    pub(crate) fn contribution(&self, row: &Row) -> Contribution {
        let attributes = self.attributes(row);
        let value = |field: &Field| match field {
            Field::Identity(part) => Value::of_text(part.of(row)),
            Field::Attribute(name) => attributes
                .iter()
                .find(|(known, _)| known == name)
                .map_or_else(Value::null, |(_, json)| Value::of_json(json.get())),
        };
        let group = self.group_by.iter().map(value).collect();
        let term = |aggregate: &Aggregate| {
            let value = aggregate.field.as_ref().map_or_else(
                || Some(Value::truth()),
                |field| {
                    let value = value(field);
                    (!value.is_null()).then_some(value)
                },
            );
            let value = value.and_then(|value| match aggregate.op {
                // Rows that differ in nothing that counts add the same.
                Op::Count => Some(Value::truth()),
                Op::Sum => value.number(),
                Op::Min | Op::Max | Op::Distinct => Some(value),
            });
            (aggregate.op, value)
        };
        Contribution { group, terms: self.aggregates.iter().map(term).collect() }
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.group_by.iter().chain(self.aggregates.iter().filter_map(|aggregate| aggregate.field.as_ref()))
    }

    /// The attributes of a row that the rollup is about.
    fn attributes<'a>(&self, row: &'a Row) -> Attributes<'a> {
        let wanted: SmallVec<[&str; 4]> = self.fields().filter_map(Field::attribute).collect();
        if wanted.is_empty() {
            return Attributes::default();
        }
        // A row's attributes are an object that was written by this crate.
        let mut json = serde_json::Deserializer::from_str(row.attributes());
        json.deserialize_map(Wanted(&wanted)).unwrap_or_default()
    }
}

type Attributes<'a> = SmallVec<[(Cow<'a, str>, &'a RawValue); 4]>;

/// The name of an attribute, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Takes some members out of a JSON object.
struct Wanted<'a>(&'a [&'a str]);

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Attributes<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = SmallVec::new();
        while let Some(Name(name)) = map.next_key()? {
            if self.0.contains(&&*name) {
                found.push((name, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{Gvk, RowParts, TargetName};

    fn row(attributes: &str) -> Row {
        Row::new(RowParts {
            target: &Arc::new(TargetName::new("team", "apps")),
            gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
            namespace: "shop",
            name: "web",
            uid: "u-1",
            attributes,
            incomplete: &[],
        })
    }

    fn json(values: impl IntoIterator<Item = Value>) -> Vec<String> {
        values.into_iter().map(|value| value.as_json().to_owned()).collect()
    }

    #[test]
    fn a_row_is_grouped_by_its_identity_and_attributes() {
        let parse = |names: &[&str]| RollupSpec {
            group_by: names.iter().map(|name| Field::parse(name)).collect(),
            aggregates: Vec::new(),
        };
        let group =
            |names: &[&str], attributes: &str| json(parse(names).contribution(&row(attributes)).group);
        let identity =
            ["targetNamespace", "targetName", "namespace", "name", "group", "version", "kind", "uid"];
        let expected = [
            r#""team""#,
            r#""apps""#,
            r#""shop""#,
            r#""web""#,
            r#""apps""#,
            r#""v1""#,
            r#""Deployment""#,
            r#""u-1""#,
        ];
        assert_eq!(group(&identity, "{}"), expected);
        let attributes = r#"{"image":"a\"b","list":[1,{"b":2}],"n":3,"na\"me":4,"name":"own"}"#;
        assert_eq!(
            group(&["n", "na\"me", "image", "list", "none", "attributes.name"], attributes),
            ["3", "4", r#""a\"b""#, r#"[1,{"b":2}]"#, "null", r#""own""#]
        );
        assert_eq!(group(&[], attributes), Vec::<String>::new());
    }

    #[test]
    fn a_row_adds_what_it_has() {
        let terms = |op, field: Option<&str>, attributes: &str| {
            let spec = RollupSpec {
                group_by: Vec::new(),
                aggregates: vec![Aggregate { op, field: field.map(Field::parse) }],
            };
            json(spec.contribution(&row(attributes)).terms.into_iter().filter_map(|(_, value)| value))
        };
        let none = Vec::<String>::new();
        assert_eq!(terms(Op::Count, None, "{}").len(), 1);
        assert_eq!(terms(Op::Count, Some("n"), r#"{"n":7}"#), terms(Op::Count, Some("n"), r#"{"n":"x"}"#));
        assert_eq!(terms(Op::Count, Some("n"), r#"{"n":null}"#), none);
        assert_eq!(terms(Op::Count, Some("n"), "{}"), none);
        assert_eq!(terms(Op::Sum, Some("n"), r#"{"n":7}"#).len(), 1);
        assert_eq!(terms(Op::Sum, Some("n"), r#"{"n":"500m"}"#).len(), 1);
        assert_eq!(terms(Op::Sum, Some("n"), r#"{"n":"many"}"#), none);
        assert_eq!(terms(Op::Min, Some("n"), r#"{"n":"500m"}"#), [r#""500m""#]);
        assert_eq!(terms(Op::Distinct, Some("n"), r#"{"n":[1]}"#), ["[1]"]);
    }
}
