//! The tables: what they must look like, how they are made, how what is there is checked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tokio_postgres::Transaction;

use super::config::Config;
use super::encode::{literal, quote};
use super::error::Doing;
use crate::sinks::{Provisioning, SinkError};

/// One column: its name, its type as `format_type` spells it, and what follows the type in its definition.
struct Column {
    name: &'static str,
    ty: &'static str,
    rest: &'static str,
}

impl Column {
    /// Whether a table of before may get it: what is there already takes the default.
    fn can_be_added(&self) -> bool {
        self.rest.contains("DEFAULT")
    }
}

const fn column(name: &'static str, ty: &'static str, rest: &'static str) -> Column {
    Column { name, ty, rest }
}

/// Key columns compare bytewise: that is the order of row keys.
const KEY: &str = "COLLATE \"C\" NOT NULL";

/// A table as it must be.
struct Table {
    name: String,
    columns: &'static [Column],
    primary_key: &'static [&'static str],
    /// What the sink does with it.
    privileges: &'static [&'static str],
}

static ROWS: [Column; 17] = [
    column("cluster", "text", KEY),
    column("inventory_namespace", "text", KEY),
    column("inventory_name", "text", KEY),
    column("target_namespace", "text", KEY),
    column("target_name", "text", KEY),
    column("source_uid", "text", KEY),
    column("resource_namespace", "text", KEY),
    column("resource_name", "text", KEY),
    column("api_group", "text", "NOT NULL"),
    column("api_version", "text", "NOT NULL"),
    column("kind", "text", "NOT NULL"),
    column("attributes", "jsonb", "NOT NULL"),
    column("incomplete", "jsonb", ""),
    column("row_hash", "uuid", "NOT NULL"),
    column("content_check", "bigint", "NOT NULL"),
    column("first_seen_at", "timestamp with time zone", "NOT NULL"),
    column("updated_at", "timestamp with time zone", "NOT NULL"),
];

static CHANGES: [Column; 17] = [
    column("cluster", "text", KEY),
    column("inventory_namespace", "text", KEY),
    column("inventory_name", "text", KEY),
    column("seq", "bigint", "NOT NULL"),
    column("op", "text", "NOT NULL"),
    column("target_namespace", "text", "NOT NULL"),
    column("target_name", "text", "NOT NULL"),
    column("source_uid", "text", "NOT NULL"),
    column("resource_namespace", "text", "NOT NULL"),
    column("resource_name", "text", "NOT NULL"),
    column("api_group", "text", "NOT NULL"),
    column("api_version", "text", "NOT NULL"),
    column("kind", "text", "NOT NULL"),
    column("before", "jsonb", ""),
    column("after", "jsonb", ""),
    column("incomplete", "jsonb", ""),
    column("changed_at", "timestamp with time zone", "NOT NULL"),
];

static EXPORTS: [Column; 8] = [
    column("cluster", "text", KEY),
    column("inventory_namespace", "text", KEY),
    column("inventory_name", "text", KEY),
    column("position", "bigint", "NOT NULL"),
    column("row_count", "bigint", "NOT NULL"),
    column("digest", "text", "NOT NULL"),
    column("exported_at", "timestamp with time zone", "NOT NULL"),
    // Of the last leader that connected; 0 when none has held a lease. Tables of before have no such column.
    column("writer_term", "bigint", "NOT NULL DEFAULT 0"),
];

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
            privileges: &["SELECT", "INSERT", "UPDATE", "DELETE"],
        },
        Table {
            name: config.table().changes(),
            columns: &CHANGES,
            primary_key: &["cluster", "inventory_namespace", "inventory_name", "seq"],
            privileges: &["SELECT", "INSERT"],
        },
        Table {
            name: config.table().exports(),
            columns: &EXPORTS,
            primary_key: &["cluster", "inventory_namespace", "inventory_name"],
            privileges: &["SELECT", "INSERT", "UPDATE"],
        },
    ]
}

impl Table {
    fn definition(&self, schema: &str) -> String {
        let mut sql = format!("CREATE TABLE {}.{} (\n", quote(schema), quote(&self.name));
        for column in self.columns {
            _ = writeln!(sql, "  {} {} {},", quote(column.name), column.ty, column.rest);
        }
        _ = write!(sql, "  PRIMARY KEY ({})\n)", self.primary_key.join(", "));
        sql
    }
}

fn view_definition(config: &Config) -> String {
    format!(
        "CREATE VIEW {schema}.{view} AS
         SELECT cluster, inventory_namespace, inventory_name, target_name, source_uid, resource_namespace,
                jsonb_build_object('targetNamespace', target_namespace, 'targetName', target_name,
                                   'namespace', resource_namespace, 'name', resource_name, 'version', api_version,
                                   'kind', kind, 'uid', source_uid, 'attributes', attributes)
                  || CASE api_group WHEN '' THEN '{{}}' ELSE jsonb_build_object('group', api_group) END
                  || CASE WHEN incomplete IS NULL THEN '{{}}' ELSE jsonb_build_object('incomplete', incomplete) END
                  AS payload,
                updated_at AS exported_at
         FROM {schema}.{table}",
        schema = quote(config.schema()),
        view = quote(&config.table().view()),
        table = quote(config.table().as_str()),
    )
}

/// Everything that `ensure` mode creates, as SQL for somebody who would rather do it by hand.
pub fn definitions(config: &Config) -> String {
    let mut sql = String::new();
    for table in tables(config) {
        sql.push_str(&table.definition(config.schema()));
        sql.push_str(";\n");
    }
    sql.push_str(&view_definition(config));
    sql.push_str(";\n");
    sql
}

/// What is at the place of a table.
struct Found {
    kind: String,
    /// Column name → type, whether it must be given a value.
    columns: BTreeMap<String, (String, bool)>,
    primary_key: Vec<String>,
    missing_privileges: Vec<String>,
}

async fn look(
    transaction: &Transaction<'_>,
    doing: &Doing<'_>,
    schema: &str,
    table: &Table,
) -> Result<Option<Found>, SinkError> {
    let sql = "SELECT c.oid, c.relkind::text,
                      ARRAY(SELECT p FROM unnest($3::text[]) p WHERE NOT has_table_privilege(c.oid, p)),
                      ARRAY(SELECT a.attname::text FROM pg_index i
                            CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, ord)
                            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                            WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.ord)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = $2";
    let row = transaction
        .query_opt(sql, &[&schema, &table.name, &table.privileges])
        .await
        .map_err(|error| doing.failed(&error))?;
    let Some(row) = row else { return Ok(None) };
    let oid: u32 = row.get(0);
    let columns = transaction
        .query(
            "SELECT attname::text, format_type(atttypid, atttypmod),
                    attnotnull AND NOT atthasdef AND attidentity = ''
             FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped",
            &[&oid],
        )
        .await
        .map_err(|error| doing.failed(&error))?;
    Ok(Some(Found {
        kind: row.get(1),
        missing_privileges: row.get(2),
        primary_key: row.get(3),
        columns: columns.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect(),
    }))
}

impl Found {
    /// Whether this is a row table as the public implementation made it.
    fn is_older_shape(&self) -> bool {
        self.kind == "r"
            && ["payload", "exported_at", "inventory_name", "source_uid"]
                .iter()
                .all(|name| self.columns.contains_key(*name))
            && !self.columns.contains_key("row_hash")
    }

    /// The columns that an older version did not make, and that can be added.
    fn lacks(&self, table: &Table) -> impl Iterator<Item = &'static Column> {
        let missing = |column: &&Column| column.can_be_added() && !self.columns.contains_key(column.name);
        table.columns.iter().filter(missing)
    }

    fn check(&self, config: &Config, table: &Table) -> Result<(), SinkError> {
        let name = format!("{}.{}", config.schema(), table.name);
        let hint = "rename it or drop it, or choose another spec.postgres.table";
        let shape = |message: String| Err(SinkError::Shape { message, hint: hint.to_owned() });
        if !matches!(self.kind.as_str(), "r" | "p") {
            return shape(format!("{name} in {} is not a table", config.server()));
        }
        for column in table.columns {
            match self.columns.get(column.name) {
                None if column.can_be_added() => {
                    return Err(SinkError::Shape {
                        message: format!("table {name} has no column {} ({})", column.name, column.ty),
                        hint: format!(
                            "add it ({} {} {}), or set spec.provisioning.mode to ensure",
                            column.name, column.ty, column.rest
                        ),
                    });
                }
                None => return shape(format!("table {name} has no column {} ({})", column.name, column.ty)),
                Some((ty, _)) if ty != column.ty => {
                    return shape(format!(
                        "column {} of table {name} is of type {ty} where {} is expected",
                        column.name, column.ty
                    ));
                }
                Some(_) => {}
            }
        }
        let foreign = self.columns.iter().find(|(name, (_, required))| {
            *required && !table.columns.iter().any(|column| column.name == name.as_str())
        });
        if let Some((column, _)) = foreign {
            return Err(SinkError::Shape {
                message: format!("column {column} of table {name} is not ours and must not be null"),
                hint: "give it a default, or allow nulls".to_owned(),
            });
        }
        let (mut found, mut expected) = (self.primary_key.clone(), table.primary_key.to_vec());
        found.sort_unstable();
        expected.sort_unstable();
        if found != expected {
            return Err(SinkError::Shape {
                message: if found.is_empty() {
                    format!("table {name} has no primary key")
                } else {
                    format!("table {name} has the primary key ({})", self.primary_key.join(", "))
                },
                hint: format!("make it ({})", table.primary_key.join(", ")),
            });
        }
        if !self.missing_privileges.is_empty() {
            let privileges = self.missing_privileges.join(", ");
            return Err(SinkError::Denied {
                message: format!("the user lacks {privileges} on table {name} in {}", config.server()),
                hint: format!(
                    "GRANT {privileges} ON {}.{} to it",
                    quote(config.schema()),
                    quote(&table.name)
                ),
            });
        }
        Ok(())
    }
}

/// Checks all tables; with `create`, makes those that are missing first, and the columns that an older version did not make.
pub(super) async fn prepare(
    transaction: &Transaction<'_>,
    config: &Config,
    create: bool,
) -> Result<(), SinkError> {
    let looking = Doing { config, what: "reading the shape of the tables" };
    let creating = Doing { config, what: "creating the tables" };
    let tables = tables(config);
    let mut missing = false;
    for table in &tables {
        match look(transaction, &looking, config.schema(), table).await? {
            Some(found) if create && (found.is_older_shape() || found.lacks(table).next().is_some()) => {
                missing = true
            }
            Some(found) => found.check(config, table)?,
            None if create => missing = true,
            None => {
                return Err(SinkError::Shape {
                    message: format!(
                        "there is no table {}.{} in {}",
                        config.schema(),
                        table.name,
                        config.server()
                    ),
                    hint: "create it, or set spec.provisioning.mode to ensure".to_owned(),
                });
            }
        }
    }
    if !missing {
        return Ok(());
    }
    // Whoever else starts now waits here, and then finds the tables.
    let lock = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended({}, 0))",
        literal(&format!("kollect {}.{}", config.schema(), config.table()))
    );
    let run = async |sql: &str| transaction.batch_execute(sql).await.map_err(|error| creating.failed(&error));
    run(&lock).await?;
    let schema = transaction
        .query_one("SELECT to_regnamespace($1) IS NULL", &[&quote(config.schema())])
        .await
        .map_err(|error| looking.failed(&error))?;
    if schema.get(0) {
        run(&format!("CREATE SCHEMA {}", quote(config.schema()))).await?;
    }
    for table in &tables {
        match look(transaction, &looking, config.schema(), table).await? {
            Some(found) if found.is_older_shape() => {
                set_aside(transaction, config, &table.name).await?;
                run(&table.definition(config.schema())).await?;
            }
            Some(mut found) => {
                let whole = format!("{}.{}", quote(config.schema()), quote(&table.name));
                for Column { name, ty, rest } in found.lacks(table).collect::<Vec<_>>() {
                    run(&format!("ALTER TABLE {whole} ADD COLUMN {} {ty} {rest}", quote(name))).await?;
                    found.columns.insert((*name).to_owned(), ((*ty).to_owned(), false));
                }
                found.check(config, table)?;
            }
            None => run(&table.definition(config.schema())).await?,
        }
    }
    let view = format!("{}.{}", quote(config.schema()), quote(&config.table().view()));
    let view = transaction
        .query_one("SELECT to_regclass($1) IS NULL", &[&view])
        .await
        .map_err(|error| looking.failed(&error))?;
    if view.get(0) {
        run(&view_definition(config)).await?;
    }
    Ok(())
}

/// Checks all tables without making any; where some may be made, whether the user is allowed to.
pub(super) async fn verify(transaction: &Transaction<'_>, config: &Config) -> Result<(), SinkError> {
    if config.provisioning() == Provisioning::Existing {
        return prepare(transaction, config, false).await;
    }
    let doing = Doing { config, what: "reading the shape of the tables" };
    let mut missing = false;
    for table in &tables(config) {
        match look(transaction, &doing, config.schema(), table).await? {
            Some(found) if !found.is_older_shape() => found.check(config, table)?,
            _ => missing = true,
        }
    }
    if !missing {
        return Ok(());
    }
    let row = transaction
        .query_one(
            "SELECT to_regnamespace($1) IS NOT NULL,
                    coalesce(has_schema_privilege(to_regnamespace($1)::oid, 'CREATE'),
                             has_database_privilege(current_database(), 'CREATE'))",
            &[&quote(config.schema())],
        )
        .await
        .map_err(|error| doing.failed(&error))?;
    let (exists, allowed): (bool, bool) = (row.get(0), row.get(1));
    if allowed {
        return Ok(());
    }
    let (what, grant) = if exists {
        (format!("tables in schema {}", config.schema()), format!("ON SCHEMA {}", quote(config.schema())))
    } else {
        (format!("schema {}", config.schema()), "ON DATABASE".to_owned())
    };
    Err(SinkError::Denied {
        message: format!("the user may not create {what} in {}", config.server()),
        hint: format!(
            "GRANT CREATE {grant} to it, or create the tables and set spec.provisioning.mode to existing"
        ),
    })
}

/// Renames a row table of the older shape. Nothing is lost, and the first export fills its successor.
async fn set_aside(transaction: &Transaction<'_>, config: &Config, table: &str) -> Result<(), SinkError> {
    let doing = Doing { config, what: "setting the table of the older shape aside" };
    let aside = format!("{table}_v0");
    let taken = transaction
        .query_one(
            "SELECT to_regclass($1) IS NOT NULL",
            &[&format!("{}.{}", quote(config.schema()), quote(&aside))],
        )
        .await
        .map_err(|error| doing.failed(&error))?;
    if taken.get(0) {
        return Err(SinkError::Shape {
            message: format!(
                "table {0}.{table} has the shape of an older version, and the name {0}.{aside} is taken",
                config.schema()
            ),
            hint: "rename one of the two, or choose another spec.postgres.table".to_owned(),
        });
    }
    tracing::info!(
        table,
        schema = config.schema(),
        aside,
        "the table has the shape of an older version; renaming it"
    );
    transaction
        .batch_execute(&format!(
            "ALTER TABLE {}.{} RENAME TO {}",
            quote(config.schema()),
            quote(table),
            quote(&aside)
        ))
        .await
        .map_err(|error| doing.failed(&error))
}
