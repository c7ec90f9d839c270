//! Changes as `kollect collect --watch` prints them: a line each, or a JSON or YAML document each.
//!
//! ```text
//! + shop/Deployment/cart
//! ~ shop/Deployment/web  image: nginx:1.27 → nginx:1.28
//! - shop/Deployment/old
//! ```

use std::fmt::Write as _;
use std::io;

use anstyle::{AnsiColor, Style};
use kollect_dataflows::data::Delta;
use serde::Serialize;
use serde_json::Value;

use super::output::Format;
use super::rows::{RowView, value_text};
use super::table::{printable, shorten};

/// Columns that one value may take on a line.
const VALUE_WIDTH: usize = 60;

/// What stands for a value that is not there.
const NOTHING: &str = "(none)";

/// One change of one row in one inventory.
#[derive(Clone, Debug, Serialize)]
pub struct Change<'a> {
    /// Namespace and name of the inventory.
    pub inventory: &'a str,
    /// What happened.
    pub op: Op,
    /// The row before, null for an insert.
    pub before: Option<RowView>,
    /// The row after, null for a delete.
    pub after: Option<RowView>,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Op {
    /// It is new.
    Insert,
    /// Its content changed.
    Update,
    /// It is gone.
    Delete,
}

impl<'a> Change<'a> {
    /// A delta of an inventory.
    pub fn new(inventory: &'a str, delta: &Delta) -> Self {
        let op = match delta {
            Delta::Insert(_) => Op::Insert,
            Delta::Update { .. } => Op::Update,
            Delta::Delete(_) => Op::Delete,
        };
        Self { inventory, op, before: delta.before().map(Into::into), after: delta.after().map(Into::into) }
    }

    /// The change in the given format. `named` says whether the line for people names the inventory.
    ///
    /// # Errors
    /// The change can't be written in that format, which is a fault of the program.
    pub fn render(&self, format: Format, named: bool) -> io::Result<String> {
        match format {
            Format::Table => Ok(self.line(named)),
            // One document a line, so that a reader can take them as they come.
            Format::Json => serde_json::to_string(self).map(|json| json + "\n").map_err(io::Error::other),
            Format::Yaml => {
                serde_saphyr::to_string(self).map(|yaml| format!("---\n{yaml}")).map_err(io::Error::other)
            }
        }
    }

    fn line(&self, named: bool) -> String {
        let (sign, color) = match self.op {
            Op::Insert => ('+', AnsiColor::Green),
            Op::Update => ('~', AnsiColor::Yellow),
            Op::Delete => ('-', AnsiColor::Red),
        };
        let (style, dim) = (color.on_default(), Style::new().dimmed());
        let object = self.after.as_ref().or(self.before.as_ref()).map(RowView::object).unwrap_or_default();
        let mut line = format!("{style}{sign} {}{style:#}", printable(&object));
        if named {
            let _ = write!(line, "  {dim}in {}{dim:#}", printable(self.inventory));
        }
        for (name, before, after) in self.differences() {
            let text = |value: &str| shorten(&printable(value), VALUE_WIDTH).into_owned();
            let _ = write!(line, "  {dim}{}:{dim:#} {} → {}", printable(&name), text(&before), text(&after));
        }
        line.push('\n');
        line
    }

    /// Name, value before and value after of everything that an update changed.
    fn differences(&self) -> Vec<(String, String, String)> {
        let (Some(before), Some(after)) = (&self.before, &self.after) else {
            return Vec::new();
        };
        let mut names: Vec<&String> = before.attributes.keys().chain(after.attributes.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let mut differences: Vec<_> = names
            .into_iter()
            .map(|name| (name, before.attributes.get(name), after.attributes.get(name)))
            .filter(|(_, old, new)| old != new)
            .map(|(name, old, new)| (name.clone(), shown(old), shown(new)))
            .collect();
        let mut other = |name: &str, old: String, new: String| {
            if old != new {
                differences.push((name.to_owned(), old, new));
            }
        };
        other("apiVersion", api_version(before), api_version(after));
        other("incomplete", list(&before.incomplete), list(&after.incomplete));
        differences
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => NOTHING.to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "\"\"".to_owned(),
        Some(value) => match value_text(value) {
            text if text.is_empty() => value.to_string(),
            text => text,
        },
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { NOTHING.to_owned() } else { names.join(", ") }
}

fn api_version(row: &RowView) -> String {
    if row.group.is_empty() { row.version.clone() } else { format!("{}/{}", row.group, row.version) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::Arc;

    use kollect_dataflows::data::{Gvk, Row, RowParts, TargetName};

    use super::*;

    fn row(attributes: &str, incomplete: &[&str]) -> Row {
        Row::new(RowParts {
            target: &Arc::new(TargetName::new("shop", "all")),
            gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
            namespace: "shop",
            name: "web",
            uid: "u-1",
            attributes,
            incomplete,
        })
    }

    fn line(delta: &Delta, named: bool) -> String {
        let text = Change::new("shop/fleet", delta).render(Format::Table, named).unwrap();
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn inserts_and_deletes_name_the_object() {
        assert_eq!(line(&Delta::Insert(row("{}", &[])), false), "+ shop/Deployment/web\n");
        assert_eq!(line(&Delta::Delete(row("{}", &[])), true), "- shop/Deployment/web  in shop/fleet\n");
    }

    #[test]
    fn an_update_shows_what_changed_and_nothing_else() {
        let delta = Delta::Update {
            before: row(r#"{"image":"nginx:1.27","replicas":2}"#, &[]),
            after: row(r#"{"image":"nginx:1.28","replicas":2}"#, &[]),
        };
        assert_eq!(line(&delta, false), "~ shop/Deployment/web  image: nginx:1.27 → nginx:1.28\n");
    }

    #[test]
    fn values_that_come_go_and_fail_are_told_apart() {
        let delta = Delta::Update {
            before: row(r#"{"a":1,"b":"","c":[]}"#, &[]),
            after: row(r#"{"b":"x","c":["y","z"],"d":null}"#, &["d"]),
        };
        assert_eq!(
            line(&delta, false),
            "~ shop/Deployment/web  a: 1 → (none)  b: \"\" → x  c: [] → y, z  d: (none) → null  \
             incomplete: (none) → d\n"
        );
    }

    #[test]
    fn json_is_one_line_with_whole_rows() {
        let delta = Delta::Update { before: row(r#"{"a":1}"#, &[]), after: row(r#"{"a":2}"#, &[]) };
        let text = Change::new("shop/fleet", &delta).render(Format::Json, false).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["op"], "update");
        assert_eq!(json["before"]["attributes"]["a"], 1);
        assert_eq!(json["after"]["attributes"]["a"], 2);
    }
}
