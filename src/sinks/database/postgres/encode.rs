//! Changes to statements and their parameters; no I/O.

use bytes::{BufMut, BytesMut};
use kollect_dataflows::data::RowHash;
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::config::Config;
use crate::sinks::{BindingName, Change};

/// The most changes in one chunk. Its intermediate result should stay in the server's `work_mem`.
const CHUNK_ROWS: usize = 1_000;

/// From this many bytes of attributes on, a chunk is full.
const CHUNK_BYTES: usize = 1 << 20;

/// A name as SQL.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Canonical JSON as a `jsonb` parameter.
#[derive(Debug)]
struct Jsonb<'a>(&'a str);

impl ToSql for Jsonb<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        // The version of the binary form: text follows.
        out.put_u8(1);
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }

    to_sql_checked!();
}

/// A row hash as a `uuid`, Postgres' type for 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(pub(super) RowHash);

impl ToSql for Hash {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u128(self.0.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Hash {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(RowHash(u128::from_be_bytes(raw.try_into()?))))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
}

/// Some changes as columns: the parameters of [`Statements::write`] after the binding.
#[derive(Default)]
pub(super) struct Chunk<'a> {
    target_namespace: Vec<&'a str>,
    target_name: Vec<&'a str>,
    source_uid: Vec<&'a str>,
    resource_namespace: Vec<&'a str>,
    resource_name: Vec<&'a str>,
    api_group: Vec<Option<&'a str>>,
    api_version: Vec<Option<&'a str>>,
    kind: Vec<Option<&'a str>>,
    attributes: Vec<Option<Jsonb<'a>>>,
    incomplete: Vec<Option<serde_json::Value>>,
    row_hash: Vec<Option<Hash>>,
}

impl<'a> Chunk<'a> {
    fn push(&mut self, change: &'a Change) {
        let key = change.key();
        self.target_namespace.push(key.target_namespace);
        self.target_name.push(key.target_name);
        self.source_uid.push(key.uid);
        self.resource_namespace.push(key.namespace);
        self.resource_name.push(key.name);
        let row = match change {
            Change::Upsert(row) => Some(row),
            Change::Delete(_) => None,
        };
        self.api_group.push(row.map(|row| row.gvk().group.as_str()));
        self.api_version.push(row.map(|row| row.gvk().version.as_str()));
        self.kind.push(row.map(|row| row.gvk().kind.as_str()));
        self.attributes.push(row.map(|row| Jsonb(row.attributes())));
        self.incomplete
            .push(row.map(|row| row.incomplete()).filter(|names| !names.is_empty()).map(Into::into));
        self.row_hash.push(row.map(|row| Hash(row.hash())));
    }

    /// The parameters in the order of the statement.
    pub(super) fn parameters<'b>(&'b self, binding: &'b BindingName) -> [&'b (dyn ToSql + Sync); 14] {
        [
            &binding.cluster,
            &binding.inventory_namespace,
            &binding.inventory_name,
            &self.target_namespace,
            &self.target_name,
            &self.source_uid,
            &self.resource_namespace,
            &self.resource_name,
            &self.api_group,
            &self.api_version,
            &self.kind,
            &self.attributes,
            &self.incomplete,
            &self.row_hash,
        ]
    }

    /// Whether there is no deletion among them.
    pub(super) fn is_all_rows(&self) -> bool {
        self.row_hash.iter().all(Option::is_some)
    }

    /// How many changes there are.
    pub(super) fn len(&self) -> usize {
        self.row_hash.len()
    }
}

/// Cuts a batch into chunks of bounded size, one at a time.
pub(super) fn chunks(changes: &[Change]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = changes;
    std::iter::from_fn(move || {
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        while let Some((change, after)) = rest.split_first() {
            if chunk.row_hash.len() == CHUNK_ROWS || bytes >= CHUNK_BYTES {
                break;
            }
            if let Change::Upsert(row) = change {
                bytes += row.attributes().len();
            }
            chunk.push(change);
            rest = after;
        }
        (!chunk.row_hash.is_empty()).then_some(chunk)
    })
}

/// A hash, computed by the server, of everything in the row `t` that is not part of the key. The functions are those of
/// the hash operator classes, which keep their values over versions of Postgres, because stored indexes depend on them.
fn check(t: &str) -> String {
    format!(
        "(jsonb_hash_extended({t}.attributes, 0) # hashtextextended(concat_ws(chr(31), {t}.resource_namespace, \
         {t}.resource_name, {t}.api_group, {t}.api_version, {t}.kind, {t}.incomplete::text), 0))"
    )
}

/// The SQL of one binding's work on one set of tables.
///
/// The first three parameters are the binding: cluster, inventory namespace, inventory name.
pub(super) struct Statements {
    /// Adds the binding's row to `rows_exports` if it is not there.
    pub(super) register: String,
    /// Stores the term $4, unless a later one stands there.
    pub(super) claim: String,
    /// Locks the binding's row until the end of the transaction: position, row count, digest, term.
    pub(super) lock: String,
    /// Applies a [`Chunk`]: answers with hash before and hash after, for each row that differed.
    pub(super) write: String,
    /// Does the same for a [`Chunk`] of rows that are expected to be new, at a good half of the cost; leaves out those that
    /// are not new after all.
    pub(super) write_new: String,
    /// Removes all rows and logs that: answers with hash before and null.
    pub(super) clear: String,
    /// Stores position ($4), row count ($5) and digest ($6).
    pub(super) advance: String,
    /// Corrects row count ($5) and digest ($6) if the position is still $4, in the term $7.
    pub(super) correct: String,
    /// Sends $2 to the channel $1.
    pub(super) notify: &'static str,
    /// The rows, in key order: names, stored hash, and whether the row is what was written.
    pub(super) held: String,
}

impl Statements {
    /// For the tables of `config`.
    pub(super) fn new(config: &Config) -> Self {
        let table = |name: &str| format!("{}.{}", quote(config.schema()), quote(name));
        let rows = table(config.table().as_str());
        let changes = table(&config.table().changes());
        let exports = table(&config.table().exports());
        let of_binding = |t: &str| {
            format!("{t}.cluster = $1 AND {t}.inventory_namespace = $2 AND {t}.inventory_name = $3")
        };
        // The sequence goes on after the last entry, or after the position where the log's beginning was cut off.
        let last = format!(
            "(SELECT greatest(e.position, (SELECT max(c.seq) FROM {changes} c WHERE {})) AS seq FROM {exports} e \
             WHERE {}) AS last",
            of_binding("c"),
            of_binding("e"),
        );
        let key_columns = "target_namespace, target_name, source_uid, resource_namespace, resource_name";
        let parameters = "$4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], \
                          $11::text[], $12::jsonb[], $13::jsonb[], $14::uuid[]";
        let log_columns = format!(
            "cluster, inventory_namespace, inventory_name, seq, op, {key_columns}, api_group, api_version, kind, \
             before, after, incomplete, changed_at"
        );
        // Each join leads over the primary key, whatever the planner believes of a table that was empty when it made
        // the plan: OFFSET makes it look up row by row, ON CONFLICT and ctid need no join.
        let write = format!(
            "WITH found AS MATERIALIZED (
               SELECT f.*, row_number() OVER (ORDER BY f.ord) AS n, t.row_hash AS old_hash,
                      t.attributes AS old_attributes, t.api_group AS old_group, t.api_version AS old_version,
                      t.kind AS old_kind, t.place
               FROM unnest({parameters})
                    WITH ORDINALITY AS f({key_columns}, api_group, api_version, kind, attributes, incomplete,
                                         row_hash, ord)
                    LEFT JOIN LATERAL (
                      SELECT t.*, t.ctid AS place FROM {rows} t
                      WHERE {binding_t} AND t.target_namespace = f.target_namespace
                            AND t.target_name = f.target_name AND t.source_uid = f.source_uid
                      OFFSET 0
                    ) t ON true
               WHERE t.row_hash IS DISTINCT FROM f.row_hash OR t.content_check <> {check_t}
             ), written AS (
               INSERT INTO {rows} AS t (cluster, inventory_namespace, inventory_name, {key_columns}, api_group,
                                        api_version, kind, attributes, incomplete, row_hash, content_check,
                                        first_seen_at, updated_at)
               SELECT $1, $2, $3, {key_columns}, api_group, api_version, kind, attributes, incomplete, row_hash,
                      {check_f}, statement_timestamp(), statement_timestamp()
               FROM found f WHERE row_hash IS NOT NULL
               ON CONFLICT (cluster, inventory_namespace, inventory_name, target_namespace, target_name, source_uid)
               DO UPDATE
               SET resource_namespace = excluded.resource_namespace, resource_name = excluded.resource_name,
                   api_group = excluded.api_group, api_version = excluded.api_version, kind = excluded.kind,
                   attributes = excluded.attributes, incomplete = excluded.incomplete, row_hash = excluded.row_hash,
                   content_check = excluded.content_check, updated_at = excluded.updated_at
             ), deleted AS (
               DELETE FROM {rows} WHERE ctid = ANY (ARRAY(SELECT place FROM found WHERE row_hash IS NULL))
            ), logged AS (
               INSERT INTO {changes} ({log_columns})
               SELECT $1, $2, $3, last.seq + n,
                      CASE WHEN row_hash IS NULL THEN 'd' WHEN old_hash IS NULL THEN 'c' ELSE 'u' END,
                      {key_columns}, coalesce(api_group, old_group), coalesce(api_version, old_version),
                      coalesce(kind, old_kind), old_attributes, attributes, incomplete, statement_timestamp()
               FROM found f, {last}
             )
             SELECT old_hash, row_hash FROM found",
            binding_t = of_binding("t"),
            check_t = check("t"),
            check_f = check("f"),
        );
        let write_new = format!(
            "WITH inserted AS (
               INSERT INTO {rows} AS t (cluster, inventory_namespace, inventory_name, {key_columns}, api_group,
                                        api_version, kind, attributes, incomplete, row_hash, content_check,
                                        first_seen_at, updated_at)
               SELECT $1, $2, $3, {key_columns}, api_group, api_version, kind, attributes, incomplete, row_hash,
                      {check_f}, statement_timestamp(), statement_timestamp()
               FROM unnest({parameters}) AS f({key_columns}, api_group, api_version, kind, attributes, incomplete,
                                              row_hash)
               ON CONFLICT DO NOTHING
               RETURNING {key_columns}, api_group, api_version, kind, attributes, incomplete, row_hash
             ), logged AS (
               INSERT INTO {changes} ({log_columns})
               SELECT $1, $2, $3, last.seq + row_number() OVER (), 'c', {key_columns}, api_group, api_version, kind,
                      NULL, attributes, incomplete, statement_timestamp()
               FROM inserted, {last}
             )
             SELECT NULL::uuid AS old_hash, row_hash FROM inserted",
            check_f = check("f"),
        );
        let clear = format!(
            "WITH gone AS (
               DELETE FROM {rows} t WHERE {} RETURNING t.*
             ), found AS MATERIALIZED (
               SELECT gone.*, row_number() OVER (ORDER BY {key_order}) AS n FROM gone
             ), logged AS (
               INSERT INTO {changes} ({log_columns})
               SELECT $1, $2, $3, last.seq + n, 'd', {key_columns}, api_group, api_version, kind, attributes, NULL,
                      NULL, statement_timestamp()
               FROM found, {last}
             )
             SELECT row_hash AS old_hash, NULL::uuid AS row_hash FROM found",
            of_binding("t"),
            key_order = order_by("gone"),
        );
        Self {
            register: format!(
                "INSERT INTO {exports} (cluster, inventory_namespace, inventory_name, position, row_count, digest, \
                 exported_at)
                 SELECT $1, $2, $3, coalesce((SELECT max(c.seq) FROM {changes} c WHERE {}), 0), 0, repeat('0', 32), \
                 statement_timestamp()
                 WHERE NOT EXISTS (SELECT FROM {exports} e WHERE {}) ON CONFLICT DO NOTHING",
                of_binding("c"),
                of_binding("e"),
            ),
            lock: format!(
                "SELECT position, row_count, digest, writer_term FROM {exports} e WHERE {} FOR UPDATE",
                of_binding("e")
            ),
            claim: format!(
                "UPDATE {exports} e SET writer_term = $4 WHERE {} AND writer_term < $4",
                of_binding("e")
            ),
            write,
            write_new,
            clear,
            advance: format!(
                "UPDATE {exports} e SET position = $4, row_count = $5, digest = $6, \
                 exported_at = statement_timestamp() WHERE {}",
                of_binding("e")
            ),
            correct: format!(
                "UPDATE {exports} e SET row_count = $5, digest = $6 WHERE {} AND position = $4 \
                 AND (row_count, digest) IS DISTINCT FROM ($5, $6) AND ($7::bigint = 0 OR writer_term <= $7::bigint)",
                of_binding("e")
            ),
            notify: "SELECT pg_notify($1, $2)",
            held: format!(
                "SELECT {key_columns}, row_hash, content_check = {} AS as_written FROM {rows} t WHERE {} ORDER BY {}",
                check("t"),
                of_binding("t"),
                order_by("t")
            ),
        }
    }
}

/// The order of row keys, whatever collation the columns have.
fn order_by(t: &str) -> String {
    ["target_namespace", "target_name", "resource_namespace", "resource_name", "source_uid"]
        .map(|column| format!("{t}.{column} COLLATE \"C\""))
        .join(", ")
}

/// The text of a notification: where the change log now ends.
pub(super) fn notification(binding: &BindingName, position: u64) -> String {
    serde_json::json!({
        "cluster": binding.cluster,
        "inventoryNamespace": binding.inventory_namespace,
        "inventoryName": binding.inventory_name,
        "position": position,
    })
    .to_string()
}
