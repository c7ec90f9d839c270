//! A destination in memory: one server that keeps the rows of several bindings, and fails on demand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kollect_dataflows::data::{Row, RowHash, RowKey, TargetName};
use tokio::time::Instant;

use crate::sinks::{Change, DocumentSink, HeldRow, Receipt, Replaced, RowSink, Rows, Sink, SinkError};

pub(super) type Key = RowKey<String>;

/// What goes wrong next, when the binding comes to that point.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Connect(SinkError),
    /// Reading breaks after so many rows.
    Read(usize, SinkError),
    /// Nothing of a batch is applied.
    Before(SinkError),
    /// All of a batch is applied, but the reply is lost.
    LostReply,
}

pub(super) fn unreachable() -> SinkError {
    SinkError::Unreachable { message: "connection refused".into() }
}

pub(super) fn interrupted() -> SinkError {
    SinkError::Interrupted { message: "connection reset".into() }
}

type Disorder = Box<dyn Fn(&mut Vec<Result<HeldRow, SinkError>>) + Send>;

/// What the server holds and what has happened to it.
#[derive(Default)]
pub(super) struct State {
    pub(super) tables: BTreeMap<&'static str, BTreeMap<Key, RowHash>>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) latency: Duration,
    /// When each attempt to connect was made.
    pub(super) connects: Vec<Instant>,
    /// How many changes each batch had that was applied.
    pub(super) batches: Vec<usize>,
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
    pub(super) reads: u64,
    /// Makes reading yield something else than what is there.
    pub(super) disorder: Option<Disorder>,
    /// Rows that somebody has edited by hand and no comparison has seen since.
    pub(super) edited: BTreeSet<Key>,
    /// Rows that may be deleted: known to be gone.
    pub(super) gone: BTreeSet<Key>,
    /// Whether deletes are checked against `gone`.
    pub(super) checks_deletes: bool,
    /// What no binding should ever do.
    pub(super) violations: Vec<String>,
    /// Targets whose rows the last document was to keep.
    pub(super) keep: Vec<TargetName>,
}

impl State {
    pub(super) fn table(&mut self, binding: &'static str) -> &mut BTreeMap<Key, RowHash> {
        self.tables.entry(binding).or_default()
    }

    pub(super) fn writes(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    fn fault(&mut self, matches: impl Fn(&Fault) -> bool) -> Option<Fault> {
        self.faults.pop_front_if(|fault| matches(fault))
    }

    fn write(&mut self, binding: &'static str, change: &Change, receipt: &mut Receipt) {
        let key = change.key().to_owned();
        let after = match change {
            Change::Upsert(row) => Some(row.hash()),
            Change::Delete(_) => None,
        };
        let table = self.tables.entry(binding).or_default();
        let before = match after {
            Some(hash) => table.insert(key.clone(), hash),
            None => table.remove(&key),
        };
        let edited = self.edited.remove(&key);
        match (before, after) {
            (None, Some(_)) => receipt.inserted += 1,
            (Some(before), Some(after)) if before != after => receipt.updated += 1,
            (Some(_), None) => {
                receipt.deleted += 1;
                if self.checks_deletes && !edited && !self.gone.contains(&key) {
                    self.violations.push(format!("deleted {key}, which is not known to be gone"));
                }
            }
            _ if edited => {}
            _ => self.violations.push(format!("wrote {key} without need")),
        }
    }
}

/// The server; clones are the same server.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

impl Server {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A sink for single rows.
    pub(super) fn rows(&self, binding: &'static str) -> Sink {
        Sink::Rows(Box::new(self.client(binding)))
    }

    /// A sink for whole inventories.
    pub(super) fn document(&self, binding: &'static str) -> Sink {
        Sink::Document(Box::new(self.client(binding)))
    }

    fn client(&self, binding: &'static str) -> Client {
        Client { server: self.clone(), binding, connected: false }
    }

    pub(super) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    pub(super) fn holds(&self, binding: &'static str) -> Vec<(Key, RowHash)> {
        self.lock().table(binding).iter().map(|(key, hash)| (key.clone(), *hash)).collect()
    }

    /// Puts rows there as if an earlier process had written them.
    pub(super) fn has(&self, binding: &'static str, rows: &[Row]) {
        let entries = rows.iter().map(|row| (row.key().to_owned(), row.hash()));
        self.lock().table(binding).extend(entries);
    }
}

struct Client {
    server: Server,
    binding: &'static str,
    connected: bool,
}

impl Client {
    fn connect(&mut self) -> Result<(), SinkError> {
        let mut server = self.server.lock();
        server.connects.push(Instant::now());
        self.connected = false;
        if let Some(Fault::Connect(error)) = server.fault(|fault| matches!(fault, Fault::Connect(_))) {
            return Err(error);
        }
        self.connected = true;
        Ok(())
    }

    fn broken(&mut self, error: SinkError) -> SinkError {
        self.connected = false;
        error
    }

    fn check_connected(&self, server: &mut State) {
        if !self.connected {
            server.violations.push("used without a connection".into());
        }
    }
}

#[async_trait]
impl RowSink for Client {
    async fn connect(&mut self) -> Result<(), SinkError> {
        Client::connect(self)
    }

    async fn held(&mut self) -> Result<BoxStream<'_, Result<HeldRow, SinkError>>, SinkError> {
        let mut server = self.server.lock();
        self.check_connected(&mut server);
        server.reads += 1;
        server.edited.clear();
        let rows = server.table(self.binding).iter();
        let mut rows: Vec<_> =
            rows.map(|(key, hash)| Ok(HeldRow { key: key.clone(), hash: *hash })).collect();
        if let Some(disorder) = &server.disorder {
            disorder(&mut rows);
        }
        if let Some(Fault::Read(after, error)) = server.fault(|fault| matches!(fault, Fault::Read(..))) {
            rows.truncate(after);
            rows.push(Err(error));
        }
        Ok(stream::iter(rows).boxed())
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Receipt, SinkError> {
        let latency = self.server.lock().latency;
        tokio::time::sleep(latency).await;
        let server = self.server.clone();
        let mut server = server.lock();
        self.check_connected(&mut server);
        if changes.is_empty() || !changes.is_sorted_by(|a, b| a.key() < b.key()) {
            server.violations.push("a batch is empty or not in key order".into());
        }
        if let Some(Fault::Before(error)) = server.fault(|fault| matches!(fault, Fault::Before(_))) {
            return Err(self.broken(error));
        }
        if changes
            .iter()
            .any(|change| matches!(change, Change::Upsert(row) if row.attributes().contains("bad")))
        {
            return Err(self.broken(SinkError::Row { message: "the value is out of range".into() }));
        }
        let mut receipt = Receipt::default();
        for change in changes {
            server.write(self.binding, change, &mut receipt);
        }
        server.inserted += receipt.inserted;
        server.updated += receipt.updated;
        server.deleted += receipt.deleted;
        server.batches.push(changes.len());
        receipt.position = Some(server.batches.len() as u64);
        if server.fault(|fault| matches!(fault, Fault::LostReply)).is_some() {
            return Err(self.broken(interrupted()));
        }
        Ok(receipt)
    }

    async fn clear(&mut self) -> Result<Receipt, SinkError> {
        let deleted = std::mem::take(self.server.lock().table(self.binding)).len() as u64;
        Ok(Receipt { deleted, ..Receipt::default() })
    }
}

#[async_trait]
impl DocumentSink for Client {
    async fn connect(&mut self) -> Result<(), SinkError> {
        Client::connect(self)
    }

    async fn replace(&mut self, rows: &mut dyn Rows, keep: &[TargetName]) -> Result<Replaced, SinkError> {
        let latency = self.server.lock().latency;
        tokio::time::sleep(latency).await;
        let mut document = BTreeMap::new();
        while let Some(chunk) = rows.next().await {
            document.extend(chunk.iter().map(|row| (row.key().to_owned(), row.hash())));
        }
        let server = self.server.clone();
        let mut server = server.lock();
        self.check_connected(&mut server);
        if let Some(Fault::Before(error)) = server.fault(|fault| matches!(fault, Fault::Before(_))) {
            return Err(self.broken(error));
        }
        server.keep = keep.to_vec();
        let held = server.table(self.binding);
        let kept =
            |key: &Key| keep.iter().any(|t| t.namespace == key.target_namespace && t.name == key.target_name);
        let stale = held.extract_if(.., |key, _| !kept(key) && !document.contains_key(key)).count();
        let mut receipt = Receipt { deleted: stale as u64, ..Receipt::default() };
        for (key, hash) in document {
            match held.insert(key, hash) {
                None => receipt.inserted += 1,
                Some(before) if before != hash => receipt.updated += 1,
                Some(_) => {}
            }
        }
        if receipt != Receipt::default() {
            receipt.files_written = 1;
            server.batches.push((receipt.inserted + receipt.updated + receipt.deleted) as usize);
        }
        if server.fault(|fault| matches!(fault, Fault::LostReply)).is_some() {
            return Err(self.broken(interrupted()));
        }
        Ok(Replaced { receipt, ..Replaced::default() })
    }

    async fn clear(&mut self) -> Result<Receipt, SinkError> {
        RowSink::clear(self).await
    }
}
