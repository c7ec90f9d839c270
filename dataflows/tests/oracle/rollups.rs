//! Rollups: their definitions, as the graph is given them, and what follows from them, from scratch.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use kollect_dataflows::rollup::{Aggregate, Field, Op, RollupSpec};
use serde_json::Value;

/// How many groups of a rollup come out.
pub(crate) const LIMIT: usize = 3;

/// What rows are grouped by, and the aggregates.
type Definition = (&'static [&'static str], &'static [(Op, Option<&'static str>)]);

pub(crate) const DEFINITIONS: [Definition; 5] = [
    (&["namespace"], &[(Op::Count, None), (Op::Sum, Some("v"))]),
    (
        &["kind", "w"],
        &[(Op::Count, Some("n")), (Op::Min, Some("w")), (Op::Max, Some("v")), (Op::Distinct, Some("v"))],
    ),
    (&[], &[(Op::Count, None), (Op::Distinct, Some("name")), (Op::Min, Some("name")), (Op::Sum, Some("vq"))]),
    (&["n", "team"], &[(Op::Max, Some("targetName"))]),
    (&["uid"], &[]),
];

/// A rollup as the graph is given it.
pub(crate) fn spec(number: usize) -> RollupSpec {
    let (group_by, aggregates) = DEFINITIONS[number];
    RollupSpec {
        group_by: group_by.iter().map(|name| Field::parse(name)).collect(),
        aggregates: aggregates
            .iter()
            .map(|(op, field)| Aggregate { op: *op, field: field.map(Field::parse) })
            .collect(),
    }
}

/// The groups that come out, and how many there are: each with what it is grouped by and its values, as JSON.
pub(crate) type Groups = (BTreeMap<String, String>, u64);

/// All groups of a rollup, from the JSON of its rows.
pub(crate) fn groups<'a>(number: usize, rows: impl IntoIterator<Item = &'a String>) -> Groups {
    let (group_by, aggregates) = DEFINITIONS[number];
    let mut groups: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    for row in rows {
        let row: Value = serde_json::from_str(row).unwrap();
        let key: Vec<Value> = group_by.iter().map(|name| field(&row, name)).collect();
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    groups.sort_by(|(a, _), (b, _)| {
        let pairs = a.iter().zip(b).map(|(a, b)| compare(a, b));
        pairs.fold(Ordering::Equal, Ordering::then)
    });
    let count = groups.len() as u64;
    let first = groups.into_iter().take(LIMIT).map(|(key, rows)| {
        let values = aggregates.iter().map(|(op, name)| aggregate(*op, *name, &rows)).collect();
        (Value::Array(key).to_string(), Value::Array(values).to_string())
    });
    (first.collect(), count)
}

fn field(row: &Value, name: &str) -> Value {
    row["attributes"].get(name).or_else(|| row.get(name)).cloned().unwrap_or(Value::Null)
}

fn aggregate(op: Op, name: Option<&str>, rows: &[Value]) -> Value {
    let Some(name) = name else { return rows.len().into() };
    let values: Vec<Value> =
        rows.iter().map(|row| field(row, name)).filter(|value| !value.is_null()).collect();
    let or_null = |value: Option<&Value>| value.cloned().unwrap_or(Value::Null);
    match op {
        Op::Count => values.len().into(),
        Op::Sum => {
            let numbers: Vec<i64> = values.iter().filter_map(number).collect();
            if numbers.is_empty() { Value::Null } else { numbers.iter().sum::<i64>().into() }
        }
        Op::Min => or_null(values.iter().min_by(|a, b| compare(a, b))),
        Op::Max => or_null(values.iter().max_by(|a, b| compare(a, b))),
        Op::Distinct => values.iter().map(Value::to_string).collect::<BTreeSet<_>>().len().into(),
    }
}

/// The number that a value is; the histories have whole ones only.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn compare(a: &Value, b: &Value) -> Ordering {
    let rank =
        |value: &Value| (u8::from(!value.is_null()) + u8::from(number(value).is_none()), number(value));
    let by_rank = match (a.is_null(), b.is_null()) {
        (false, false) => rank(a).cmp(&rank(b)),
        (a, b) => b.cmp(&a),
    };
    by_rank.then_with(|| a.to_string().cmp(&b.to_string()))
}
