//! Rollups and metrics in the summary of `kollect collect`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kollect_dataflows::data::PlainValue;
use serde::Serialize;
use serde_json::{Map, Value};

use super::table::{Cell, Table, printable};
use crate::engine::RollupReport;

/// Groups of one rollup that the table shows; `-o json` has all that are kept.
const SHOWN_GROUPS: usize = 20;

/// A rollup of an inventory, or a metric of a profile.
#[derive(Clone, Debug, Serialize)]
pub struct RollupSummary {
    /// Kind, namespace and name of the resource that defines it: `KollectInventory shop/fleet`.
    pub resource: String,
    /// Its name there.
    pub name: String,
    /// How many groups it has.
    pub groups: u64,
    /// The groups, the first of them when there are very many.
    pub rows: Vec<GroupSummary>,
    /// The headings of the table.
    #[serde(skip)]
    columns: Vec<String>,
    /// How many of the columns say what the rows are grouped by.
    #[serde(skip)]
    grouped: usize,
}

/// One group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupSummary {
    /// What its rows agree in.
    pub group: Map<String, Value>,
    /// What is said about it.
    pub values: Map<String, Value>,
}

/// What is known of the rollups or metrics of a resource.
pub(super) fn summaries<'a>(
    resource: &'a str,
    reports: &'a BTreeMap<String, RollupReport>,
) -> impl Iterator<Item = RollupSummary> + 'a {
    reports.iter().map(move |(name, report)| {
        let named = |names: &[String], values: &[kollect_dataflows::rollup::Value]| {
            // Canonical JSON by construction.
            let value = |json: &str| PlainValue::parse(json).unwrap_or_default();
            names.iter().cloned().zip(values.iter().map(|json| value(json.as_json()))).collect()
        };
        let group = |(group, values): (&_, &_)| GroupSummary {
            group: named(&report.group_by, group),
            values: named(&report.aggregates, values),
        };
        RollupSummary {
            resource: resource.to_owned(),
            name: name.clone(),
            groups: report.count,
            rows: report.groups.iter().map(|(key, values)| group((key.as_ref(), values.as_ref()))).collect(),
            columns: report.group_by.iter().chain(&report.aggregates).cloned().collect(),
            grouped: report.group_by.len(),
        }
    })
}

/// A table a rollup, each with a heading.
pub(super) fn render(rollups: &[RollupSummary]) -> String {
    let mut out = String::new();
    for rollup in rollups {
        let RollupSummary { resource, name, groups, rows, columns, grouped } = rollup;
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{} of {}", printable(name), printable(resource));
        let mut table = Table::new(columns).right(*grouped..columns.len());
        for row in rows.iter().take(SHOWN_GROUPS) {
            let value = |name: &String, at: usize| {
                let values = if at < *grouped { &row.group } else { &row.values };
                Cell::from(match values.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Null) | None => "-".to_owned(),
                    Some(other) => other.to_string(),
                })
            };
            table.row(columns.iter().enumerate().map(|(at, name)| value(name, at)).collect::<Vec<_>>());
        }
        out.push_str(&table.render());
        let more = groups.saturating_sub(rows.len().min(SHOWN_GROUPS) as u64);
        if more > 0 {
            let _ = writeln!(out, "… and {more} more groups; -o json shows them");
        }
    }
    out
}
