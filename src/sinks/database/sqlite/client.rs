//! The database file of one binding.

use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use kollect_dataflows::data::{Digest, Row, RowHash, RowKey};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::config::Config;
use super::encode::{Statements, Stored, incomplete};
use super::error::{Doing, Stopped};
use super::schema;
use crate::sinks::blocking::{self, Gate};
use crate::sinks::database::position::Position;
use crate::sinks::path::place_for;
use crate::sinks::{BindingName, Change, Claim, HeldRow, Provisioning, Receipt, RowSink, SinkError, Term};

/// How many rows are handed over at a time when rows are read.
const READ_ROWS: usize = 256;

/// A binding in a SQLite file.
pub struct Client {
    config: Config,
    binding: BindingName,
    term: Term,
    file: Option<File>,
    gate: Gate,
}

impl Client {
    /// A client that has not opened its file yet.
    pub fn new(config: Config, binding: BindingName, term: Term) -> Self {
        Self { config, binding, term, file: None, gate: Gate::default() }
    }

    fn not_open(&self) -> SinkError {
        SinkError::Unreachable { message: format!("{} is not open", self.config.path().display()) }
    }

    /// Runs `work` on a blocking thread with the open file, which is kept after success only.
    async fn with_file<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut File) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let Some(mut file) = self.file.take() else { return Err(self.not_open()) };
        let work = move || {
            // One that was removed while it was open would go on taking rows that nobody ever sees.
            file.identity.check(&file.config)?;
            let value = work(&mut file)?;
            Ok((file, value))
        };
        let (file, value) = self.gate.run(work).await?;
        self.file = Some(file);
        Ok(value)
    }
}

#[async_trait]
impl RowSink for Client {
    async fn connect(&mut self) -> Result<(), SinkError> {
        self.file = None;
        self.term.check()?;
        let (config, binding, term) = (self.config.clone(), self.binding.clone(), self.term.clone());
        self.file = Some(self.gate.run(move || File::open(config, binding, term.claim())).await?);
        Ok(())
    }

    async fn held(&mut self) -> Result<BoxStream<'_, Result<HeldRow, SinkError>>, SinkError> {
        // A connection of its own, so that the other one is at hand whenever the reader stops.
        let (config, binding) = (self.config.clone(), self.binding.clone());
        let identity = self.file.as_ref().ok_or_else(|| self.not_open())?.identity;
        let (sender, receiver) = mpsc::channel(4);
        let read = move || {
            identity.check(&config)?;
            read_rows(&config, &binding, &sender)
        };
        let reader = self.gate.begin(read).await;
        let chunks = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|chunk| (Ok(stream::iter(chunk).map(Ok)), receiver))
        });
        let end = stream::once(async move {
            let sum = reader.end().await?;
            self.with_file(move |file| file.compare(sum)).await?;
            Ok(stream::iter(Vec::new()).map(Ok as fn(HeldRow) -> Result<HeldRow, SinkError>))
        });
        let rows = chunks.map_ok(|rows| rows.left_stream()).chain(end.map_ok(|rows| rows.right_stream()));
        Ok(rows.try_flatten().boxed())
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Receipt, SinkError> {
        let changes = changes.to_vec();
        self.with_file(move |file| file.apply(&changes)).await
    }

    async fn clear(&mut self) -> Result<Receipt, SinkError> {
        self.with_file(File::clear).await
    }
}

/// See [`crate::sinks::SinkConfig::probe`].
///
/// # Errors
/// What a binding would run into.
pub async fn probe(config: &Config) -> Result<(), SinkError> {
    let config = config.clone();
    blocking::probe(move || look(&config)).await
}

/// Looks at the file and its tables without changing either.
fn look(config: &Config) -> Result<(), SinkError> {
    let path = config.path();
    if !path.exists() {
        if config.provisioning() == Provisioning::Existing {
            return Err(no_file(config));
        }
        return place_for(path.parent().unwrap_or(path));
    }
    let doing = Doing { config, what: "opening" };
    // To be able to read is not enough.
    std::fs::OpenOptions::new().write(true).open(path).map_err(|error| SinkError::Denied {
        message: format!("the file {} can't be written: {error}", path.display()),
        hint: "let this process write to it, or choose another spec.endpoint".to_owned(),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| doing.failed(&error))?;
    connection.busy_timeout(config.busy_timeout()).map_err(|error| doing.failed(&error))?;
    // Which tables there are to be depends on the inventory; each binding looks at its own.
    if config.has_one_table() { schema::verify(&connection, config) } else { Ok(()) }
}

fn no_file(config: &Config) -> SinkError {
    SinkError::Shape {
        message: format!("there is no file {}", config.path().display()),
        hint: "create it, or set spec.provisioning.mode to ensure".to_owned(),
    }
}

/// Sends the binding's rows in key order; gives back what they add up to.
fn read_rows(
    config: &Config,
    binding: &BindingName,
    sender: &mpsc::Sender<Vec<HeldRow>>,
) -> Result<Position, SinkError> {
    let doing = Doing { config, what: "reading rows" };
    let read = || -> rusqlite::Result<Position> {
        let connection = open_existing(config)?;
        let sql = Statements::new(config.table());
        // One state of the table for both statements.
        connection.execute_batch("BEGIN")?;
        let mut order = connection.prepare(&sql.order)?;
        let mut fetch = connection.prepare(&sql.fetch)?;
        let mut rows =
            order.query(params![binding.cluster, binding.inventory_namespace, binding.inventory_name])?;
        let mut sum = Position::default();
        let mut chunk = Vec::with_capacity(READ_ROWS);
        while let Some(row) = rows.next()? {
            let stored = fetch.query_row([row.get::<_, i64>(0)?], Stored::read)?;
            sum.rows += 1;
            sum.digest.add(stored.hash);
            let hash = if stored.is_as_written() { stored.hash } else { RowHash(0) };
            chunk.push(HeldRow { key: stored.key, hash });
            if chunk.len() == READ_ROWS {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(READ_ROWS));
                if sender.blocking_send(full).is_err() {
                    return Ok(sum);
                }
            }
        }
        // Nobody listens any more: then nobody needs the rest.
        _ = sender.blocking_send(chunk);
        Ok(sum)
    };
    read().map_err(|error| doing.failed(&error))
}

fn open_existing(config: &Config) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        config.path(),
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(config.busy_timeout())?;
    // There may be no directory for temporary files: the root of a container's file system is often read-only.
    connection.execute_batch("PRAGMA temp_store = MEMORY")?;
    Ok(connection)
}

/// Switches the file to a write-ahead log. Some file systems don't do that; the mode that remains is slower, and as safe.
///
/// The switch turns a reader into a writer, and where somebody else is about to do the same SQLite does not wait as it does
/// elsewhere: the two would wait for each other. So the one that is refused steps back and tries again.
fn use_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let begin = Instant::now();
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begin.elapsed() < patience =>
            {
                std::thread::sleep(Duration::from_millis(fastrand::u64(1..20)));
            }
            done => return done,
        }
    }
}

/// What tells one file at a path from its successor there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity(Option<(u64, u64)>);

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self(std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
    }

    /// Elsewhere an open file can't be replaced.
    #[cfg(not(unix))]
    fn of(path: &Path) -> Self {
        Self(path.exists().then_some((0, 0)))
    }

    /// Whether the file is still the one that was opened.
    fn check(self, config: &Config) -> Result<(), SinkError> {
        if Self::of(config.path()) == self {
            return Ok(());
        }
        Err(SinkError::Interrupted {
            message: format!("the file {} was removed or replaced", config.path().display()),
        })
    }
}

/// An open database.
struct File {
    connection: Connection,
    identity: Identity,
    sql: Statements,
    config: Config,
    binding: BindingName,
    claim: Claim,
}

impl File {
    fn open(config: Config, binding: BindingName, claim: Claim) -> Result<Self, SinkError> {
        let doing = Doing { config: &config, what: "opening" };
        let failed = |error: rusqlite::Error| doing.failed(&error);
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if config.provisioning() == Provisioning::Ensure {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
            if let Some(directory) = config.path().parent() {
                std::fs::create_dir_all(directory).map_err(|error| SinkError::Denied {
                    message: format!("the directory {} can't be created: {error}", directory.display()),
                    hint: "create it, or let this process write above it".to_owned(),
                })?;
            }
        } else if !config.path().exists() {
            return Err(no_file(&config));
        }
        let mut connection = Connection::open_with_flags(config.path(), flags).map_err(failed)?;
        connection.busy_timeout(config.busy_timeout()).map_err(failed)?;
        use_wal(&connection, config.busy_timeout())
            .and_then(|()| {
                connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864")
            })
            .map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(16);
        schema::prepare(&mut connection, &config)?;
        let sql = Statements::new(config.table());
        connection
            .execute(
                &sql.register,
                params![binding.cluster, binding.inventory_namespace, binding.inventory_name],
            )
            .map_err(failed)?;
        let BindingName { cluster, inventory_namespace, inventory_name } = &binding;
        if claim.number() > 0 {
            // Before anything is read: whoever wrote in an earlier term has come to the end of its batch then, and begins no other.
            connection
                .execute(
                    &sql.claim,
                    params![cluster, inventory_namespace, inventory_name, claim.number().cast_signed()],
                )
                .map_err(failed)?;
        }
        read_position(&connection, &sql, &binding, &config, &claim).map_err(|why| doing.stopped(why))?;
        Ok(Self { identity: Identity::of(config.path()), connection, sql, binding, config, claim })
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Receipt, SinkError> {
        let doing = Doing { config: &self.config, what: "writing rows" };
        let mut write = || -> Result<Receipt, Stopped> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut batch = Batch::begin(&transaction, &self.sql, &self.binding, &self.config, &self.claim)?;
            for change in changes {
                batch.take(change)?;
            }
            batch.finish()
        };
        write().map_err(|why| doing.stopped(why))
    }

    fn clear(&mut self) -> Result<Receipt, SinkError> {
        let doing = Doing { config: &self.config, what: "removing rows" };
        let mut clear = || -> Result<Receipt, Stopped> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut batch = Batch::begin(&transaction, &self.sql, &self.binding, &self.config, &self.claim)?;
            let BindingName { cluster, inventory_namespace, inventory_name } = &self.binding;
            let mut some = transaction.prepare(&self.sql.some)?;
            loop {
                // Read first: a row must not be removed under the statement that walks over it.
                let rows = some
                    .query_map(params![cluster, inventory_namespace, inventory_name], Stored::read)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                if rows.is_empty() {
                    break;
                }
                for stored in rows {
                    batch.take(&Change::Delete(Box::new(stored.key)))?;
                }
            }
            batch.finish()
        };
        clear().map_err(|why| doing.stopped(why))
    }

    /// Brings row count and digest in line with what was read: rows may have been changed by hand.
    fn compare(&mut self, sum: Position) -> Result<(), SinkError> {
        let doing = Doing { config: &self.config, what: "comparing rows" };
        let compare = || -> Result<(), Stopped> {
            let position =
                read_position(&self.connection, &self.sql, &self.binding, &self.config, &self.claim)?;
            if (position.rows, position.digest) != (sum.rows, sum.digest) {
                let BindingName { cluster, inventory_namespace, inventory_name } = &self.binding;
                self.connection.execute(
                    &self.sql.correct,
                    params![
                        cluster,
                        inventory_namespace,
                        inventory_name,
                        position.seq.cast_signed(),
                        sum.rows.cast_signed(),
                        sum.digest.to_string()
                    ],
                )?;
            }
            Ok(())
        };
        compare().map_err(|why| doing.stopped(why))
    }
}

/// Where the binding is. Refuses writers of an earlier term than the one that is stored.
fn read_position(
    connection: &Connection,
    sql: &Statements,
    binding: &BindingName,
    config: &Config,
    claim: &Claim,
) -> Result<Position, Stopped> {
    claim.check().map_err(Stopped::Fenced)?;
    let (position, stored) = connection.prepare_cached(&sql.position)?.query_row(
        params![binding.cluster, binding.inventory_namespace, binding.inventory_name],
        |row| {
            let position = Position {
                seq: row.get::<_, i64>(0)?.unsigned_abs(),
                rows: row.get::<_, i64>(1)?.unsigned_abs(),
                // Whatever else stands there is corrected when the rows are read.
                digest: Digest(u128::from_str_radix(&row.get::<_, String>(2)?, 16).unwrap_or_default()),
            };
            Ok((position, row.get::<_, i64>(3)?.unsigned_abs()))
        },
    )?;
    claim.admit(stored, config.describe()).map_err(Stopped::Fenced)?;
    Ok(position)
}

/// One transaction.
struct Batch<'a> {
    transaction: &'a Transaction<'a>,
    sql: &'a Statements,
    binding: &'a BindingName,
    claim: &'a Claim,
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    log: CachedStatement<'a>,
    position: Position,
    receipt: Receipt,
}

impl<'a> Batch<'a> {
    fn begin(
        transaction: &'a Transaction<'a>,
        sql: &'a Statements,
        binding: &'a BindingName,
        config: &Config,
        claim: &'a Claim,
    ) -> Result<Self, Stopped> {
        Ok(Self {
            position: read_position(transaction, sql, binding, config, claim)?,
            find: transaction.prepare_cached(&sql.find)?,
            insert: transaction.prepare_cached(&sql.insert)?,
            update: transaction.prepare_cached(&sql.update)?,
            delete: transaction.prepare_cached(&sql.delete)?,
            log: transaction.prepare_cached(&sql.log)?,
            transaction,
            sql,
            binding,
            claim,
            receipt: Receipt::default(),
        })
    }

    fn take(&mut self, change: &Change) -> rusqlite::Result<()> {
        let key = change.key();
        let BindingName { cluster, inventory_namespace, inventory_name } = self.binding;
        let found = {
            let mut rows = self.find.query(params![
                cluster,
                inventory_namespace,
                inventory_name,
                key.target_namespace,
                key.target_name,
                key.uid
            ])?;
            rows.next()?.map(Stored::read).transpose()?
        };
        match (found, change) {
            (None, Change::Delete(_)) => Ok(()),
            (Some(stored), Change::Delete(_)) => {
                self.delete.execute(params![stored.rowid])?;
                self.log("d", stored.key.as_ref(), Some(&stored), None)
            }
            (Some(stored), Change::Upsert(row)) => {
                if stored.hash == row.hash() && stored.is_as_written() {
                    return Ok(());
                }
                let gvk = row.gvk();
                self.update.execute(params![
                    stored.rowid,
                    key.namespace,
                    key.name,
                    gvk.group,
                    gvk.version,
                    gvk.kind,
                    row.attributes(),
                    incomplete(row),
                    row.hash().to_string()
                ])?;
                self.log("u", key, Some(&stored), Some(row))
            }
            (None, Change::Upsert(row)) => {
                let gvk = row.gvk();
                self.insert.execute(params![
                    cluster,
                    inventory_namespace,
                    inventory_name,
                    key.target_namespace,
                    key.target_name,
                    key.uid,
                    key.namespace,
                    key.name,
                    gvk.group,
                    gvk.version,
                    gvk.kind,
                    row.attributes(),
                    incomplete(row),
                    row.hash().to_string()
                ])?;
                self.log("c", key, None, Some(row))
            }
        }
    }

    /// Counts the change and adds it to the log.
    fn log(
        &mut self,
        op: &str,
        key: RowKey<&str>,
        before: Option<&Stored>,
        after: Option<&Row>,
    ) -> rusqlite::Result<()> {
        self.position.count(before.map(|row| row.hash), after.map(Row::hash), &mut self.receipt);
        let BindingName { cluster, inventory_namespace, inventory_name } = self.binding;
        let Some(gvk) = after.map(|row| row.gvk().as_ref()).or(before.map(|row| &row.gvk)) else {
            return Ok(());
        };
        self.log.execute(params![
            cluster,
            inventory_namespace,
            inventory_name,
            self.position.seq.cast_signed(),
            op,
            key.target_namespace,
            key.target_name,
            key.uid,
            key.namespace,
            key.name,
            gvk.group,
            gvk.version,
            gvk.kind,
            before.map(|row| row.attributes.as_str()),
            after.map(Row::attributes),
            after.and_then(incomplete),
        ])?;
        Ok(())
    }

    /// Stores the position and commits, or rolls back when nothing differed.
    fn finish(self) -> Result<Receipt, Stopped> {
        let Position { seq, rows, digest } = self.position;
        let receipt = Receipt { position: Some(seq), ..self.receipt };
        if self.receipt == Receipt::default() {
            self.transaction.execute_batch("ROLLBACK")?;
            return Ok(receipt);
        }
        let BindingName { cluster, inventory_namespace, inventory_name } = self.binding;
        self.transaction.prepare_cached(&self.sql.advance)?.execute(params![
            cluster,
            inventory_namespace,
            inventory_name,
            seq.cast_signed(),
            rows.cast_signed(),
            digest.to_string()
        ])?;
        self.claim.check().map_err(Stopped::Fenced)?;
        self.transaction.execute_batch("COMMIT")?;
        Ok(receipt)
    }
}
