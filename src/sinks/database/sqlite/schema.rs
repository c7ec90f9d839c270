//! The tables: what they must look like, how they are made, how what is there is checked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rusqlite::Connection;

use super::config::Config;
use super::encode::quote;
use super::error::Doing;
use crate::sinks::{Provisioning, SinkError};

struct Column {
    name: &'static str,
    ty: &'static str,
    required: bool,
    /// Given to rows of before by whom the column is added.
    default: Option<&'static str>,
}

impl Column {
    fn definition(&self) -> String {
        let null = if self.required { " NOT NULL" } else { "" };
        let default = self.default.map(|value| format!(" DEFAULT {value}")).unwrap_or_default();
        format!("{} {}{null}{default}", quote(self.name), self.ty)
    }
}

const fn text(name: &'static str) -> Column {
    Column { name, ty: "TEXT", required: true, default: None }
}

const fn optional(name: &'static str) -> Column {
    Column { name, ty: "TEXT", required: false, default: None }
}

const fn integer(name: &'static str) -> Column {
    Column { name, ty: "INTEGER", required: true, default: None }
}

static ROWS: [Column; 16] = [
    text("cluster"),
    text("inventory_namespace"),
    text("inventory_name"),
    text("target_namespace"),
    text("target_name"),
    text("source_uid"),
    text("resource_namespace"),
    text("resource_name"),
    text("api_group"),
    text("api_version"),
    text("kind"),
    text("attributes"),
    optional("incomplete"),
    text("row_hash"),
    text("first_seen_at"),
    text("updated_at"),
];

static CHANGES: [Column; 17] = [
    text("cluster"),
    text("inventory_namespace"),
    text("inventory_name"),
    integer("seq"),
    text("op"),
    text("target_namespace"),
    text("target_name"),
    text("source_uid"),
    text("resource_namespace"),
    text("resource_name"),
    text("api_group"),
    text("api_version"),
    text("kind"),
    optional("before"),
    optional("after"),
    optional("incomplete"),
    text("changed_at"),
];

static EXPORTS: [Column; 8] = [
    text("cluster"),
    text("inventory_namespace"),
    text("inventory_name"),
    integer("position"),
    integer("row_count"),
    text("digest"),
    text("exported_at"),
    // Of the last leader that connected; 0 when none has held a lease. Tables of before have no such column.
    Column { default: Some("0"), ..integer("writer_term") },
];

struct Table {
    name: String,
    columns: &'static [Column],
    primary_key: &'static [&'static str],
    suffix: &'static str,
}

fn tables(config: &Config) -> [Table; 3] {
    [
        Table {
            name: config.table().as_str().to_owned(),
            columns: &ROWS,
            primary_key: &[
                "cluster",
                "inventory_namespace",
                "inventory_name",
                "target_namespace",
                "target_name",
                "source_uid",
            ],
            suffix: "",
        },
        Table {
            name: config.table().changes(),
            columns: &CHANGES,
            primary_key: &["cluster", "inventory_namespace", "inventory_name", "seq"],
            // Written in the order of its key, so it needs no second tree.
            suffix: " WITHOUT ROWID",
        },
        Table {
            name: config.table().exports(),
            columns: &EXPORTS,
            primary_key: &["cluster", "inventory_namespace", "inventory_name"],
            suffix: " WITHOUT ROWID",
        },
    ]
}

fn definition(table: &Table) -> String {
    let mut sql = format!("CREATE TABLE {} (\n", quote(&table.name));
    for column in table.columns {
        _ = writeln!(sql, "  {},", column.definition());
    }
    _ = write!(sql, "  PRIMARY KEY ({})\n){}", table.primary_key.join(", "), table.suffix);
    sql
}

fn view_definition(config: &Config) -> String {
    format!(
        "CREATE VIEW IF NOT EXISTS {view} AS
         WITH content AS (
           SELECT *, json_object('targetNamespace', target_namespace, 'targetName', target_name, 'namespace',
                                 resource_namespace, 'name', resource_name, 'version', api_version, 'kind', kind,
                                 'uid', source_uid, 'attributes', json(attributes)) AS object
           FROM {table}
         ), with_group AS (
           SELECT *, iif(api_group = '', object, json_insert(object, '$.group', api_group)) AS grouped FROM content
         )
         SELECT cluster, inventory_namespace, inventory_name, target_name, source_uid, resource_namespace,
                iif(incomplete IS NULL, grouped, json_insert(grouped, '$.incomplete', json(incomplete))) AS payload,
                updated_at AS exported_at
         FROM with_group",
        view = quote(&config.table().view()),
        table = quote(config.table().as_str()),
    )
}

/// Everything that `ensure` mode creates, as SQL for somebody who would rather do it by hand.
pub fn definitions(config: &Config) -> String {
    let mut sql: Vec<String> = tables(config).iter().map(definition).collect();
    sql.push(view_definition(config));
    sql.join(";\n") + ";\n"
}

/// Checks what is there, and whether what is missing may be created.
pub(super) fn verify(connection: &Connection, config: &Config) -> Result<(), SinkError> {
    for table in &tables(config) {
        let lacks = check(connection, config, table)?;
        if config.provisioning() == Provisioning::Existing {
            let lacks = lacks.ok_or_else(|| not_all_there(config))?;
            lacks.first().map_or(Ok(()), |column| Err(no_column(config, table, column)))?;
        }
    }
    Ok(())
}

fn no_column(config: &Config, table: &Table, column: &Column) -> SinkError {
    SinkError::Shape {
        message: format!("table {} in {} has no column {}", table.name, config.path().display(), column.name),
        hint: format!("add it ({}), or set spec.provisioning.mode to ensure", column.definition()),
    }
}

fn not_all_there(config: &Config) -> SinkError {
    SinkError::Shape {
        message: format!(
            "the tables {0}, {0}_changes and {0}_exports are not all in {1}",
            config.table(),
            config.path().display()
        ),
        hint: "create them, or set spec.provisioning.mode to ensure".to_owned(),
    }
}

/// Creates what is missing, where the settings allow it, and checks what is there.
pub(super) fn prepare(connection: &mut Connection, config: &Config) -> Result<(), SinkError> {
    let tables = tables(config);
    let mut complete = true;
    for table in &tables {
        let lacks = check(connection, config, table)?;
        complete &= lacks.as_ref().is_some_and(Vec::is_empty);
        if config.provisioning() == Provisioning::Existing
            && let Some(column) = lacks.iter().flatten().next()
        {
            return Err(no_column(config, table, column));
        }
    }
    if complete {
        return Ok(());
    }
    if config.provisioning() == Provisioning::Existing {
        return Err(not_all_there(config));
    }
    let creating = Doing { config, what: "creating the tables" };
    let failed = |error: rusqlite::Error| creating.failed(&error);
    // Whoever else starts now waits here, and then finds the tables; somebody else may have been first, with other ideas.
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    for table in &tables {
        let sql = match check(&transaction, config, table)? {
            None => vec![definition(table)],
            Some(lacks) => lacks
                .iter()
                .map(|column| {
                    format!("ALTER TABLE {} ADD COLUMN {}", quote(&table.name), column.definition())
                })
                .collect(),
        };
        transaction.execute_batch(&sql.join(";\n")).map_err(failed)?;
    }
    transaction.execute_batch(&view_definition(config)).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// The columns that a table lacks because an older version made it; nothing when there is no table. An error when it has
/// another shape.
fn check(
    connection: &Connection,
    config: &Config,
    table: &Table,
) -> Result<Option<Vec<&'static Column>>, SinkError> {
    let doing = Doing { config, what: "reading the shape of the tables" };
    let failed = |error: rusqlite::Error| doing.failed(&error);
    let path = config.path().display();
    let name = &table.name;
    let hint = "rename it or drop it, or choose another spec.sqlite.table";
    let shape = |message: String| Err(SinkError::Shape { message, hint: hint.to_owned() });

    let mut look = connection.prepare("SELECT type FROM sqlite_schema WHERE name = ?1").map_err(failed)?;
    let mut kinds = look.query_map([name], |row| row.get::<_, String>(0)).map_err(failed)?;
    match kinds.next().transpose().map_err(failed)? {
        None => return Ok(None),
        Some(kind) if kind != "table" => {
            return shape(format!("{name} in {path} is not a table but a {kind}"));
        }
        Some(_) => {}
    }
    let mut info = connection
        .prepare("SELECT name, type, \"notnull\" AND dflt_value IS NULL, pk FROM pragma_table_info(?1)")
        .map_err(failed)?;
    let found = info
        .query_map([name], |row| {
            Ok((
                row.get::<_, String>(0)?,
                (row.get::<_, String>(1)?, row.get::<_, bool>(2)?, row.get::<_, i64>(3)?),
            ))
        })
        .and_then(Iterator::collect::<rusqlite::Result<BTreeMap<_, _>>>)
        .map_err(failed)?;
    let mut lacks = Vec::new();
    for column in table.columns {
        match found.get(column.name) {
            None if column.default.is_some() => lacks.push(column),
            None => {
                return shape(format!(
                    "table {name} in {path} has no column {} ({})",
                    column.name, column.ty
                ));
            }
            Some((ty, ..)) if !ty.eq_ignore_ascii_case(column.ty) => {
                return shape(format!(
                    "column {} of table {name} in {path} is of type {ty} where {} is expected",
                    column.name, column.ty
                ));
            }
            Some(_) => {}
        }
    }
    if let Some((column, _)) = found
        .iter()
        .find(|(name, (_, required, _))| *required && !table.columns.iter().any(|c| c.name == name.as_str()))
    {
        return shape(format!("column {column} of table {name} in {path} is not ours and must not be null"));
    }
    let mut key: Vec<&str> =
        found.iter().filter(|(_, (_, _, position))| *position > 0).map(|(name, _)| name.as_str()).collect();
    let mut expected = table.primary_key.to_vec();
    key.sort_unstable();
    expected.sort_unstable();
    if key != expected {
        return shape(format!(
            "table {name} in {path} does not have the primary key ({})",
            table.primary_key.join(", ")
        ));
    }
    Ok(Some(lacks))
}
