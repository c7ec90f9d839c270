//! The statements, and rows as the table holds them; no I/O.

use std::sync::Arc;

use kollect_dataflows::data::{Gvk, Row, RowHash, RowKey, RowParts, TargetName};
use rusqlite::types::ValueRef;

use crate::sinks::database::TableName;

/// The present, as times are stored.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

/// A name as SQL.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The SQL of the work on one set of tables. The first three parameters are the binding: cluster, inventory namespace,
/// inventory name.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// Adds the binding's row to `rows_exports` if it is not there.
    pub(super) register: String,
    /// Stores the term ?4, unless a later one stands there.
    pub(super) claim: String,
    /// The binding's position, row count, digest, term.
    pub(super) position: String,
    /// Stores them (?4, ?5, ?6).
    pub(super) advance: String,
    /// Corrects row count (?5) and digest (?6) if the position is still ?4.
    pub(super) correct: String,
    /// The row with the target namespace ?4, target name ?5, uid ?6: its rowid, then [`Stored::read`]'s columns.
    pub(super) find: String,
    /// The rowids of all rows, in key order. Only these and the keys are sorted, which takes little memory.
    pub(super) order: String,
    /// The row with rowid ?1, with the columns of `find`.
    pub(super) fetch: String,
    /// Some thousand rows, with the columns of `find`.
    pub(super) some: String,
    /// Adds a row.
    pub(super) insert: String,
    /// Replaces the content of the row with rowid ?1.
    pub(super) update: String,
    /// Removes the row with rowid ?1.
    pub(super) delete: String,
    /// Adds an entry to the change log.
    pub(super) log: String,
}

impl Statements {
    /// For the tables of that name.
    pub(super) fn new(table: &TableName) -> Self {
        let rows = quote(table.as_str());
        let changes = quote(&table.changes());
        let exports = quote(&table.exports());
        let binding = "cluster = ?1 AND inventory_namespace = ?2 AND inventory_name = ?3";
        let columns = "rowid, target_namespace, target_name, source_uid, resource_namespace, resource_name, api_group, \
                       api_version, kind, attributes, incomplete, row_hash";
        Self {
            register: format!(
                "INSERT OR IGNORE INTO {exports} (cluster, inventory_namespace, inventory_name, position, row_count, \
                 digest, exported_at) SELECT ?1, ?2, ?3, coalesce(max(seq), 0), 0, printf('%032d', 0), {NOW} \
                 FROM {changes} WHERE {binding}"
            ),
            // Where the log goes on after the stored position, somebody set the position back by hand.
            position: format!(
                "SELECT max(position, coalesce((SELECT max(seq) FROM {changes} WHERE {binding}), 0)), row_count, digest, \
                 writer_term FROM {exports} WHERE {binding}"
            ),
            claim: format!("UPDATE {exports} SET writer_term = ?4 WHERE {binding} AND writer_term < ?4"),
            advance: format!(
                "UPDATE {exports} SET position = ?4, row_count = ?5, digest = ?6, exported_at = {NOW} WHERE {binding}"
            ),
            correct: format!(
                "UPDATE {exports} SET row_count = ?5, digest = ?6 WHERE {binding} AND position = ?4"
            ),
            find: format!(
                "SELECT {columns} FROM {rows} WHERE {binding} AND target_namespace = ?4 AND target_name = ?5 \
                 AND source_uid = ?6"
            ),
            order: format!(
                "SELECT rowid FROM {rows} WHERE {binding} \
                 ORDER BY target_namespace, target_name, resource_namespace, resource_name, source_uid"
            ),
            fetch: format!("SELECT {columns} FROM {rows} WHERE rowid = ?1"),
            some: format!("SELECT {columns} FROM {rows} WHERE {binding} LIMIT 1000"),
            insert: format!(
                "INSERT INTO {rows} (cluster, inventory_namespace, inventory_name, target_namespace, target_name, \
                 source_uid, resource_namespace, resource_name, api_group, api_version, kind, attributes, incomplete, \
                 row_hash, first_seen_at, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, {NOW}, {NOW})"
            ),
            update: format!(
                "UPDATE {rows} SET resource_namespace = ?2, resource_name = ?3, api_group = ?4, api_version = ?5, \
                 kind = ?6, attributes = ?7, incomplete = ?8, row_hash = ?9, updated_at = {NOW} WHERE rowid = ?1"
            ),
            delete: format!("DELETE FROM {rows} WHERE rowid = ?1"),
            log: format!(
                "INSERT INTO {changes} (cluster, inventory_namespace, inventory_name, seq, op, target_namespace, \
                 target_name, source_uid, resource_namespace, resource_name, api_group, api_version, kind, before, \
                 after, incomplete, changed_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, {NOW})"
            ),
        }
    }
}

/// A row's content as the table holds it, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) rowid: i64,
    pub(super) key: RowKey<String>,
    pub(super) gvk: Gvk,
    pub(super) attributes: String,
    pub(super) incomplete: Option<String>,
    pub(super) hash: RowHash,
}

impl Stored {
    /// Reads the columns of [`Statements::find`]. A value of a type that was never written there reads as empty, and so
    /// does not match its hash.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let text = |column: usize| -> rusqlite::Result<Option<String>> {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => None,
                ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                _ => Some(String::new()),
            })
        };
        let required = |column| text(column).map(Option::unwrap_or_default);
        Ok(Self {
            rowid: row.get(0)?,
            key: RowKey {
                target_namespace: required(1)?,
                target_name: required(2)?,
                uid: required(3)?,
                namespace: required(4)?,
                name: required(5)?,
            },
            gvk: Gvk::new(required(6)?, required(7)?, required(8)?),
            attributes: required(9)?,
            incomplete: text(10)?,
            hash: RowHash::parse(&required(11)?).unwrap_or(RowHash(0)),
        })
    }

    /// Whether the row is what was once written: its hash is that of its content.
    pub(super) fn is_as_written(&self) -> bool {
        let incomplete: Vec<String> = match &self.incomplete {
            None => Vec::new(),
            Some(json) => match serde_json::from_str(json) {
                Ok(names) => names,
                Err(_) => return false,
            },
        };
        let incomplete: Vec<&str> = incomplete.iter().map(String::as_str).collect();
        let row = Row::new(RowParts {
            target: &Arc::new(TargetName::new(&*self.key.target_namespace, &*self.key.target_name)),
            gvk: &Arc::new(self.gvk.clone()),
            namespace: &self.key.namespace,
            name: &self.key.name,
            uid: &self.key.uid,
            attributes: &self.attributes,
            incomplete: &incomplete,
        });
        row.hash() == self.hash
    }
}

/// The names of attributes that failed, as they are stored: a JSON array, or nothing for a complete row.
pub(super) fn incomplete(row: &Row) -> Option<String> {
    let names = row.incomplete();
    if names.is_empty() { None } else { Some(serde_json::Value::from(names).to_string()) }
}
