//! The connection of one binding.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, FuturesOrdered};
use futures::{StreamExt, TryStreamExt};
use kollect_dataflows::data::{Digest, RowHash, RowKey};
use tokio_postgres::types::ToSql;
use tokio_postgres::{RowStream, Statement};
use tokio_util::task::AbortOnDropHandle;

use super::config::Config;
use super::connect::connect;
use super::encode::{Chunk, Hash, Statements, chunks, notification};
use super::error::Doing;
use super::schema;
use crate::sinks::database::position::Position;
use crate::sinks::{BindingName, Change, Claim, HeldRow, Provisioning, Receipt, RowSink, SinkError, Term};

/// How many chunks are on their way at a time: while the server works on one, the next is encoded.
const CHUNKS_UNDER_WAY: usize = 3;

/// The longest that one exchange with the server may take; the server itself gives up a little earlier.
const ANSWER_WITHIN: Duration = Duration::from_secs(330);

/// The longest that everything up to the end of the handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);

/// Session settings.
///
/// The limits see to it that no lock outlives a writer that vanished, or that was stopped in the middle of a batch: its
/// successor waits for no more than the one on idle transactions, in which nothing of ours ever takes seconds. The
/// planner is told to go by the primary key always: a batch names rows, and a plan that was made while the table was still empty would read all of it for each.
const SESSION: &str = "SET lock_timeout = '60s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET jit = off; SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// A binding in a Postgres table.
pub struct Client {
    config: Config,
    binding: BindingName,
    term: Term,
    session: Option<Session>,
}

impl Client {
    /// A client that is not connected yet.
    pub fn new(config: Config, binding: BindingName, term: Term) -> Self {
        Self { config, binding, term, session: None }
    }

    fn doing(&self, what: &'static str) -> Doing<'_> {
        Doing { config: &self.config, what }
    }

    /// The session, to be put back after success: after an error, or when the caller stops waiting in the middle, it
    /// is dropped, and the server rolls back what was begun.
    fn take_session(&mut self) -> Result<Session, SinkError> {
        self.session.take().ok_or_else(|| SinkError::Unreachable {
            message: format!("there is no connection to {}", self.config.server()),
        })
    }
}

#[async_trait]
impl RowSink for Client {
    async fn connect(&mut self) -> Result<(), SinkError> {
        self.session = None;
        self.term.check()?;
        let opened = Session::open(&self.config, &self.binding, self.term.claim());
        self.session = Some(in_time(&self.config, opened).await?);
        Ok(())
    }

    async fn held(&mut self) -> Result<BoxStream<'_, Result<HeldRow, SinkError>>, SinkError> {
        let doing = Doing { config: &self.config, what: "reading rows" };
        let session = self.session.as_mut().ok_or_else(|| SinkError::Unreachable {
            message: format!("there is no connection to {}", self.config.server()),
        })?;
        let rows = session
            .client
            .query_raw(&session.held, binding_parameters(&self.binding))
            .await
            .map_err(|error| doing.failed(&error))?;
        let reading = Reading {
            rows: Box::pin(rows),
            sum: Position::default(),
            session,
            binding: &self.binding,
            doing,
        };
        Ok(stream::try_unfold(reading, Reading::next).boxed())
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Receipt, SinkError> {
        self.term.check()?;
        let session = self.take_session()?;
        let batch = Batch { session: &session, binding: &self.binding, doing: self.doing("writing rows") };
        let (receipt, position) = batch.write(changes).await?;
        self.session = Some(Session { position, ..session });
        Ok(receipt)
    }

    async fn clear(&mut self) -> Result<Receipt, SinkError> {
        self.term.check()?;
        let session = self.take_session()?;
        let batch = Batch { session: &session, binding: &self.binding, doing: self.doing("removing rows") };
        let (receipt, position) = batch.clear(&self.config).await?;
        self.session = Some(Session { position, ..session });
        Ok(receipt)
    }
}

/// Gives a connection attempt so much time and no more.
async fn in_time<T>(
    config: &Config,
    attempt: impl Future<Output = Result<T, SinkError>>,
) -> Result<T, SinkError> {
    let too_long =
        || SinkError::Unreachable { message: format!("connecting to {} took too long", config.server()) };
    tokio::time::timeout(CONNECT_WITHIN, attempt).await.unwrap_or_else(|_| Err(too_long()))
}

/// See [`crate::sinks::SinkConfig::probe`].
///
/// # Errors
/// What a binding would run into.
pub async fn probe(config: &Config) -> Result<(), SinkError> {
    let looking = Doing { config, what: "looking at the tables" };
    let attempt = async {
        let (mut client, connection) = connect(config).await?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(async { _ = connection.await }));
        let failed = |error: tokio_postgres::Error| looking.failed(&error);
        let transaction = client.build_transaction().read_only(true).start().await.map_err(failed)?;
        // Which tables there are to be depends on the inventory; each binding looks at its own.
        if config.has_one_table() {
            schema::verify(&transaction, config).await?;
        }
        transaction.rollback().await.map_err(failed)
    };
    in_time(config, attempt).await
}

fn binding_parameters(binding: &BindingName) -> [&(dyn ToSql + Sync); 3] {
    [&binding.cluster, &binding.inventory_namespace, &binding.inventory_name]
}

/// A connection with its prepared statements.
struct Session {
    client: tokio_postgres::Client,
    lock: Statement,
    write: Statement,
    write_new: Statement,
    advance: Statement,
    notify: Statement,
    held: Statement,
    correct: Statement,
    channel: String,
    claim: Claim,
    /// The binding's position when it was last read or written.
    position: Position,
    _connection: AbortOnDropHandle<()>,
}

impl Session {
    async fn open(config: &Config, binding: &BindingName, claim: Claim) -> Result<Self, SinkError> {
        let connecting = Doing { config, what: "connecting" };
        let (mut client, connection) = connect(config).await?;
        // Whatever ends the connection, the statement under way hears of it.
        let connection = AbortOnDropHandle::new(tokio::spawn(async { _ = connection.await }));
        let failed = |error: tokio_postgres::Error| connecting.failed(&error);
        let statement_timeout = config.statement_timeout().as_millis();
        let session = format!("SET statement_timeout = {statement_timeout}; {SESSION}");
        client.batch_execute(&session).await.map_err(failed)?;
        let transaction = client.transaction().await.map_err(failed)?;
        schema::prepare(&transaction, config, config.provisioning() == Provisioning::Ensure).await?;
        transaction.commit().await.map_err(failed)?;

        let sql = Statements::new(config);
        client.execute(&sql.register, &binding_parameters(binding)).await.map_err(failed)?;
        if claim.number() > 0 {
            // Before anything is read: whoever wrote in an earlier term has come to the end of its batch then, and begins no other.
            let [cluster, namespace, name] = binding_parameters(binding);
            let number = as_bigint(claim.number());
            let told: [&(dyn ToSql + Sync); 4] = [cluster, namespace, name, &number];
            client.execute(&sql.claim, &told).await.map_err(failed)?;
        }
        let (lock, write, write_new, advance, notify, held, correct) = futures::try_join!(
            client.prepare(&sql.lock),
            client.prepare(&sql.write),
            client.prepare(&sql.write_new),
            client.prepare(&sql.advance),
            client.prepare(sql.notify),
            client.prepare(&sql.held),
            client.prepare(&sql.correct),
        )
        .map_err(failed)?;
        let mut session = Self {
            client,
            lock,
            write,
            write_new,
            advance,
            notify,
            held,
            correct,
            channel: config.table().as_str().to_owned(),
            claim,
            position: Position::default(),
            _connection: connection,
        };
        let rows = session.client.query(&session.lock, &binding_parameters(binding)).await.map_err(failed)?;
        session.position = read_position(&rows, &session.claim, &connecting)?;
        Ok(session)
    }
}

/// What [`Statements::lock`] answered.
fn read_position(
    rows: &[tokio_postgres::Row],
    claim: &Claim,
    doing: &Doing<'_>,
) -> Result<Position, SinkError> {
    let Some(row) = rows.first() else {
        return Err(SinkError::Interrupted {
            message: format!(
                "{} failed: the binding's row in {} is gone",
                doing.what,
                doing.config.table().exports()
            ),
        });
    };
    let (seq, rows, digest, stored): (i64, i64, String, i64) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    claim.admit(stored.unsigned_abs(), doing.config.describe())?;
    Ok(Position {
        seq: seq.unsigned_abs(),
        rows: rows.unsigned_abs(),
        // Whatever else stands there is corrected when the rows are read.
        digest: Digest(u128::from_str_radix(&digest, 16).unwrap_or_default()),
    })
}

fn as_bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The binding's rows on their way here.
struct Reading<'a> {
    rows: Pin<Box<RowStream>>,
    sum: Position,
    session: &'a mut Session,
    binding: &'a BindingName,
    doing: Doing<'a>,
}

impl Reading<'_> {
    async fn next(mut self) -> Result<Option<(HeldRow, Self)>, SinkError> {
        let row = tokio::time::timeout(ANSWER_WITHIN, self.rows.try_next())
            .await
            .map_err(|_| self.doing.timed_out())?
            .map_err(|error| self.doing.failed(&error))?;
        let Some(row) = row else {
            self.compare().await?;
            return Ok(None);
        };
        let Hash(hash) = row.get(5);
        let as_written: bool = row.get(6);
        self.sum.rows += 1;
        self.sum.digest.add(hash);
        let held = HeldRow {
            key: RowKey {
                target_namespace: row.get(0),
                target_name: row.get(1),
                uid: row.get(2),
                namespace: row.get(3),
                name: row.get(4),
            },
            hash: if as_written { hash } else { RowHash(0) },
        };
        Ok(Some((held, self)))
    }

    /// Brings row count and digest in line with what was read: rows may have been changed by hand.
    async fn compare(&mut self) -> Result<(), SinkError> {
        self.sum.seq = self.session.position.seq;
        if self.sum == self.session.position {
            return Ok(());
        }
        let (seq, rows) = (as_bigint(self.sum.seq), as_bigint(self.sum.rows));
        let (digest, term) = (self.sum.digest.to_string(), as_bigint(self.session.claim.number()));
        let [cluster, namespace, name] = binding_parameters(self.binding);
        self.session
            .client
            .execute(&self.session.correct, &[cluster, namespace, name, &seq, &rows, &digest, &term])
            .await
            .map_err(|error| self.doing.failed(&error))?;
        self.session.position = self.sum;
        Ok(())
    }
}

/// One transaction.
struct Batch<'a> {
    session: &'a Session,
    binding: &'a BindingName,
    doing: Doing<'a>,
}

/// What became of a chunk.
struct Sent {
    rows: usize,
    /// Hash before and hash after, for each row that differed.
    hashes: Vec<tokio_postgres::Row>,
}

impl Batch<'_> {
    async fn limit<T>(
        &self,
        exchange: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, SinkError> {
        tokio::time::timeout(ANSWER_WITHIN, exchange)
            .await
            .map_err(|_| self.doing.timed_out())?
            .map_err(|error| self.doing.failed(&error))
    }

    /// Writes a chunk. `expect_new` is a guess that decides what it costs, not what it does.
    async fn send(&self, chunk: Chunk<'_>, expect_new: bool) -> Result<Sent, SinkError> {
        let parameters = chunk.parameters(self.binding);
        let rows = chunk.len();
        if !expect_new || !chunk.is_all_rows() {
            let hashes = self.limit(self.session.client.query(&self.session.write, &parameters)).await?;
            return Ok(Sent { rows, hashes });
        }
        let mut hashes = self.limit(self.session.client.query(&self.session.write_new, &parameters)).await?;
        if hashes.len() < rows {
            hashes.extend(self.limit(self.session.client.query(&self.session.write, &parameters)).await?);
        }
        Ok(Sent { rows, hashes })
    }

    async fn begin(&self) -> Result<(), SinkError> {
        self.limit(self.session.client.batch_execute("BEGIN")).await
    }

    async fn lock(&self) -> Result<Position, SinkError> {
        let parameters = binding_parameters(self.binding);
        let rows = self.limit(self.session.client.query(&self.session.lock, &parameters)).await?;
        read_position(&rows, &self.session.claim, &self.doing)
    }

    async fn write(&self, changes: &[Change]) -> Result<(Receipt, Position), SinkError> {
        let mut chunks = chunks(changes);
        let Some(first) = chunks.next() else {
            return Ok((receipt_at(self.session.position), self.session.position));
        };
        let mut expect_new = self.session.position.rows == 0;
        // Polled in this order, so sent in this order, without waiting for answers in between.
        let (begun, locked, first) = futures::join!(self.begin(), self.lock(), self.send(first, expect_new));
        begun?;
        let mut outcome = Outcome { position: locked?, receipt: Receipt::default() };
        let mut take = |sent: Sent| {
            let inserted = outcome.receipt.inserted;
            outcome.count(&sent.hashes);
            outcome.receipt.inserted - inserted == sent.rows as u64
        };
        expect_new = take(first?);
        let mut under_way = FuturesOrdered::new();
        loop {
            while under_way.len() < CHUNKS_UNDER_WAY
                && let Some(chunk) = chunks.next()
            {
                under_way.push_back(self.send(chunk, expect_new));
            }
            match under_way.next().await {
                Some(sent) => expect_new = take(sent?),
                None => break,
            }
        }
        self.finish(outcome).await
    }

    async fn clear(&self, config: &Config) -> Result<(Receipt, Position), SinkError> {
        let sql = Statements::new(config);
        let clear = self.limit(self.session.client.prepare(&sql.clear)).await?;
        let (begun, locked) = futures::join!(self.begin(), self.lock());
        begun?;
        let mut outcome = Outcome { position: locked?, receipt: Receipt::default() };
        let gone = self.session.client.query_raw(&clear, binding_parameters(self.binding));
        let mut gone = Box::pin(self.limit(gone).await?);
        while let Some(row) = self.limit(gone.try_next()).await? {
            outcome.count(&[row]);
        }
        self.finish(outcome).await
    }

    async fn finish(&self, outcome: Outcome) -> Result<(Receipt, Position), SinkError> {
        let Outcome { position, mut receipt } = outcome;
        let client = &self.session.client;
        receipt.position = Some(position.seq);
        if receipt == receipt_at(position) {
            self.limit(client.batch_execute("ROLLBACK")).await?;
            return Ok((receipt, position));
        }
        let (seq, rows, digest) =
            (as_bigint(position.seq), as_bigint(position.rows), position.digest.to_string());
        let [cluster, namespace, name] = binding_parameters(self.binding);
        let advance: [&(dyn ToSql + Sync); 6] = [cluster, namespace, name, &seq, &rows, &digest];
        let cursor = notification(self.binding, position.seq);
        let notify: [&(dyn ToSql + Sync); 2] = [&self.session.channel, &cursor];
        // The session is dropped with an error, and the server rolls back.
        self.session.claim.check()?;
        // Should one of the first two fail, COMMIT rolls back.
        let (advanced, notified, committed) = futures::join!(
            self.limit(client.execute(&self.session.advance, &advance)),
            self.limit(client.execute(&self.session.notify, &notify)),
            self.limit(client.batch_execute("COMMIT")),
        );
        // A statement that was refused turns COMMIT into ROLLBACK, which is no error; a reply that is missing may have
        // been either.
        committed.map_err(|error| match error {
            SinkError::Interrupted { message } => SinkError::Interrupted {
                message: format!("{message}; it is unknown whether the batch was committed"),
            },
            error => error,
        })?;
        advanced?;
        notified?;
        Ok((receipt, position))
    }
}

/// What a transaction has done so far.
struct Outcome {
    position: Position,
    receipt: Receipt,
}

impl Outcome {
    /// Takes in rows of hash before and hash after.
    fn count(&mut self, rows: &[tokio_postgres::Row]) {
        for row in rows {
            let hash = |column: usize| row.get::<_, Option<Hash>>(column).map(|hash| hash.0);
            self.position.count(hash(0), hash(1), &mut self.receipt);
        }
    }
}

/// The receipt of a batch that changed nothing.
fn receipt_at(position: Position) -> Receipt {
    Receipt { position: Some(position.seq), ..Receipt::default() }
}
