//! Shows what a SQLite sink holds, for the demo: `show FILE rows [KIND]`, `show FILE changes [AFTER]`, `show FILE last`.
//!
//! It reads the tables as any consumer may: `inventory` has the rows, `inventory_changes` what happened to them.

#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::error::Error;

use anstyle::{AnsiColor, Style};
use kollect::cli::table::{Cell, Table};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value};

type Attributes = Map<String, Value>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let open = |file| Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let text = match arguments[..] {
        [file, "rows"] => rows(&open(file)?, "%")?,
        [file, "rows", kind] => rows(&open(file)?, kind)?,
        [file, "changes"] => changes(&open(file)?, 0)?,
        [file, "changes", after] => changes(&open(file)?, after.parse()?)?,
        [file, "last"] => format!("{}\n", last(&open(file)?)?),
        _ => return Err("usage: show FILE rows [KIND] | changes [AFTER] | last".into()),
    };
    anstream::print!("{text}");
    Ok(())
}

/// The rows of the kinds that match, with a column an attribute.
fn rows(database: &Connection, kind: &str) -> Result<String, Box<dyn Error>> {
    let mut query = database.prepare(
        "SELECT kind, resource_namespace, resource_name, attributes FROM inventory
         WHERE kind LIKE ?1 ORDER BY kind, resource_namespace, resource_name",
    )?;
    let rows = query.query_map([kind], |row| {
        Ok(([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?], row.get::<_, String>(3)?))
    })?;
    let rows = rows
        .map(|row| {
            row.map_err(Box::from).and_then(|(identity, json)| Ok((identity, serde_json::from_str(&json)?)))
        })
        .collect::<Result<Vec<([String; 3], Attributes)>, Box<dyn Error>>>()?;
    let names: BTreeSet<&String> = rows.iter().flat_map(|(_, attributes)| attributes.keys()).collect();
    // A column that says the same on every line says nothing.
    let identity = if kind == "%" { &["kind", "namespace", "name"][..] } else { &["namespace", "name"] };
    let headers = identity.iter().copied().chain(names.iter().map(|name| name.as_str()));
    let skipped = 3 - identity.len();
    let mut table = Table::new(headers);
    for (identity, attributes) in &rows {
        let values = names.iter().map(|name| Cell::from(attributes.get(*name).map(text).unwrap_or_default()));
        table.row(identity.iter().skip(skipped).cloned().map(Cell::from).chain(values));
    }
    Ok(table.render())
}

/// The change log after a sequence number: what happened to which object, and which attributes differ.
fn changes(database: &Connection, after: i64) -> Result<String, Box<dyn Error>> {
    let mut query = database.prepare(
        "SELECT seq, op, resource_namespace, kind, resource_name, before, after FROM inventory_changes
         WHERE seq > ?1 ORDER BY seq",
    )?;
    let mut found = query.query([after])?;
    let mut table = Table::new(["seq", "op", "object", "attribute", "before", "after"]).right([0]);
    while let Some(change) = found.next()? {
        let (seq, op): (i64, String) = (change.get(0)?, change.get(1)?);
        let object = [change.get::<_, String>(2)?, change.get(3)?, change.get(4)?].join("/");
        let (old, new) = (attributes(change.get(5)?)?, attributes(change.get(6)?)?);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let (op, style) = operation(&op);
        for (i, name) in names.into_iter().filter(|name| old.get(*name) != new.get(*name)).enumerate() {
            let first = |text: String| if i == 0 { Cell::styled(text, style) } else { Cell::default() };
            let value = |of: &Attributes| Cell::from(of.get(name).map(text).unwrap_or_default());
            table.row([
                first(seq.to_string()),
                first(op.to_owned()),
                first(object.clone()),
                name.clone().into(),
                value(&old),
                value(&new),
            ]);
        }
    }
    Ok(table.render())
}

/// The last sequence number of the change log.
fn last(database: &Connection) -> rusqlite::Result<i64> {
    database.query_row("SELECT coalesce(max(seq), 0) FROM inventory_changes", [], |row| row.get(0))
}

/// The attributes in one version of a row; none when there was no row.
fn attributes(json: Option<String>) -> Result<Attributes, Box<dyn Error>> {
    Ok(match json {
        Some(json) => serde_json::from_str(&json)?,
        None => Attributes::new(),
    })
}

/// The operation in words, and its colour.
fn operation(op: &str) -> (&str, Style) {
    let (word, color) = match op {
        "c" => ("insert", AnsiColor::Green),
        "d" => ("delete", AnsiColor::Red),
        "u" => ("update", AnsiColor::Yellow),
        other => return (other, Style::new()),
    };
    (word, color.on_default())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
