//! Destinations: one folder a family, in it one folder a backend.
//!
//! A sink knows one binding (one inventory at one destination) and nothing of where rows come from. There are
//! two shapes of sink, by the smallest unit that the destination's format has:
//!
//! - a [`RowSink`] takes changes of single rows (a database, one file a row);
//! - a [`DocumentSink`] takes the whole inventory (one file an inventory).
//!
//! Each backend folder has the same files: `mod.rs` (what it is), `config.rs` (settings resolved and checked),
//! `encode.rs` (pure: changes to statements or files), `client.rs` (I/O), `tests.rs`.

mod blocking;
mod config;
pub mod database;
mod error;
mod guard;
mod path;
mod place;
mod preview;
pub mod snapshot;
mod term;

use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;
use kollect_dataflows::data::{Row, RowHash, RowKey, TargetName};

pub use config::{ClientCertificate, DeletionPolicy, Provisioning, SinkConfig, TlsSettings};
pub use error::{ConfigError, SinkError};
pub use guard::{EndpointPolicy, Network, NetworkError, Refused, ResolveError};
pub use place::Place;
pub use preview::Preview;
pub use term::{Claim, Term};

/// Whose rows a sink writes: part of every key at every destination, so that inventories and clusters that share
/// a destination never touch each other's rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingName {
    /// The cluster id from the sink's settings; may be empty.
    pub cluster: String,
    /// Namespace of the inventory, empty for a cluster inventory.
    pub inventory_namespace: String,
    /// Name of the inventory.
    pub inventory_name: String,
}

impl fmt::Display for BindingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.cluster, &self.inventory_namespace] {
            if !part.is_empty() {
                write!(f, "{part}/")?;
            }
        }
        f.write_str(&self.inventory_name)
    }
}

/// What a destination must do about one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The row is to be there with this content.
    Upsert(Row),
    /// The row is not to be there.
    Delete(Box<RowKey<String>>),
}

impl Change {
    /// The row's identity.
    pub fn key(&self) -> RowKey<&str> {
        match self {
            Self::Upsert(row) => row.key(),
            Self::Delete(key) => key.as_ref().as_ref(),
        }
    }
}

/// One row as a destination holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// The row's identity.
    pub key: RowKey<String>,
    /// The content hash that was stored with the row.
    pub hash: RowHash,
}

/// What a sink answers for what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Rows that are new at the destination.
    pub inserted: u64,
    /// Rows whose content was replaced.
    pub updated: u64,
    /// Rows that were removed.
    pub deleted: u64,
    /// Files written (a destination that keeps files).
    pub files_written: u64,
    /// Files removed (a destination that keeps files).
    pub files_removed: u64,
    /// The binding's position after the batch: for a database the last sequence number of its change log.
    pub position: Option<u64>,
}

/// What a sink answers for a whole inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// What was written.
    pub receipt: Receipt,
    /// Rows that were not.
    pub too_large: TooLarge,
}

/// Rows that are larger than a file may be. Older versions of them, if they are not, stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TooLarge {
    /// How many there are.
    pub count: u64,
    /// The first of them, in key order, with the bytes that each takes.
    pub shown: Vec<(RowKey<String>, u64)>,
}

impl TooLarge {
    /// So many are shown.
    const SHOWN: usize = 5;

    /// One more.
    pub fn add(&mut self, key: RowKey<&str>, bytes: u64) {
        self.count += 1;
        if self.shown.len() < Self::SHOWN {
            self.shown.push((key.to_owned(), bytes));
        }
    }
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All rows of an inventory at one epoch, in key order, in chunks.
#[async_trait]
pub trait Rows: Send {
    /// The next rows; `None` after the last.
    async fn next(&mut self) -> Option<Vec<Row>>;
}

/// A destination that takes changes of single rows.
///
/// It writes in a [`Term`], which it is opened with. Once that is over nothing is written, nor is a batch that has begun
/// committed. A destination that can keep a number is told that of the term by [`RowSink::connect`], and from then on refuses
/// writers of earlier terms, within the same transaction as what they write.
#[async_trait]
pub trait RowSink: Send {
    /// Connects, creates what is missing and checks that what is there has the expected shape. Called first, and again
    /// after every error; drops an older connection.
    async fn connect(&mut self) -> Result<(), SinkError>;

    /// The binding's rows as the destination holds them, in key order. Rows that are there but can't be told from
    /// their content hash (written by an older version, say) come with a hash of zero, so that they are written again.
    async fn held(&mut self) -> Result<BoxStream<'_, Result<HeldRow, SinkError>>, SinkError>;

    /// Applies all changes, which are in key order and name each row once, or none of them: one transaction, where the destination has them.
    async fn apply(&mut self, changes: &[Change]) -> Result<Receipt, SinkError>;

    /// Removes everything that the binding wrote. Other bindings' rows stay.
    async fn clear(&mut self) -> Result<Receipt, SinkError>;
}

/// A destination whose unit is the whole inventory.
#[async_trait]
pub trait DocumentSink: Send {
    /// As [`RowSink::connect`].
    async fn connect(&mut self) -> Result<(), SinkError>;

    /// Makes the destination hold exactly `rows`, and beside them those rows of the targets in `keep` that it holds
    /// already (targets whose objects are not known at present). Writes nothing when nothing differs. The receipt counts the rows
    /// by which the old and the new content differ.
    async fn replace(&mut self, rows: &mut dyn Rows, keep: &[TargetName]) -> Result<Replaced, SinkError>;

    /// As [`RowSink::clear`].
    async fn clear(&mut self) -> Result<Receipt, SinkError>;
}

/// A sink of either shape.
pub enum Sink {
    /// Takes changes of single rows.
    Rows(Box<dyn RowSink>),
    /// Takes the whole inventory.
    Document(Box<dyn DocumentSink>),
}

impl Sink {
    /// As [`RowSink::connect`].
    ///
    /// # Errors
    /// Those of the destination.
    pub async fn connect(&mut self) -> Result<(), SinkError> {
        match self {
            Self::Rows(sink) => sink.connect().await,
            Self::Document(sink) => sink.connect().await,
        }
    }

    /// As [`RowSink::clear`].
    ///
    /// # Errors
    /// Those of the destination.
    pub async fn clear(&mut self) -> Result<Receipt, SinkError> {
        match self {
            Self::Rows(sink) => sink.clear().await,
            Self::Document(sink) => sink.clear().await,
        }
    }
}
