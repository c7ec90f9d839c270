//! What a binding says about itself.

use std::time::{Duration, SystemTime};

use kollect_dataflows::data::Digest;
use tokio::time::Instant;

use crate::sinks::{Receipt, SinkError, TooLarge};

/// The state of one binding. Counters run from the start of the binding's task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BindingStatus {
    /// What it is doing.
    pub phase: Phase,
    /// What it has written.
    pub totals: Totals,
    /// When the destination was last brought up to date or found to be so.
    pub last_export: Option<SystemTime>,
    /// When all rows at the destination were last compared with the inventory.
    pub last_compared: Option<SystemTime>,
    /// The binding's position at the destination, where that keeps one.
    pub position: Option<u64>,
    /// Up to where everything is at the destination (set-aside rows apart).
    pub settled: Option<Settled>,
    /// What is not at the destination yet, as of the last batch; [`Inbox::backlog`](super::Inbox::backlog) has it as of now.
    pub backlog: Backlog,
    /// The last error, also when it is overcome.
    pub last_error: Option<LastError>,
    /// Rows that are not exported as they are.
    pub set_aside: SetAside,
}

impl BindingStatus {
    /// The reason that stands in the conditions of the inventory.
    pub fn reason(&self) -> &'static str {
        match &self.phase {
            Phase::Connecting | Phase::Hydrating | Phase::Resuming => "Hydrating",
            Phase::Live if self.set_aside.count > 0 => match self.set_aside.cause {
                Refusal::Destination => "ExportTerminal",
                Refusal::Size => "PayloadTooLarge",
            },
            Phase::Live => "Exported",
            Phase::CircuitOpen { .. } => "CircuitOpen",
            Phase::Retrying { reason, .. } | Phase::Stopped { reason, .. } => reason,
        }
    }
}

/// What a binding is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// It connects for the first time.
    #[default]
    Connecting,
    /// It waits until the inventory's targets are hydrated.
    Hydrating,
    /// It compares what the destination holds with the inventory, and writes the difference.
    Resuming,
    /// It delivers changes as they come.
    Live,
    /// The last attempt failed. Nobody has to act.
    Retrying {
        /// A reason as in conditions.
        reason: &'static str,
        /// What failed.
        message: String,
        /// How many attempts have failed since the last that went well.
        attempt: u32,
        /// When the next one begins.
        next: Instant,
    },
    /// Several attempts in a row have failed. After a longer pause there is one more, and so on.
    CircuitOpen {
        /// The reason of the last error.
        reason: &'static str,
        /// What failed.
        message: String,
        /// When the next attempt begins.
        next: Instant,
    },
    /// It can't go on by itself: the operator of the sink must act.
    Stopped {
        /// A reason as in conditions.
        reason: &'static str,
        /// What is wrong and what to do about it.
        message: String,
        /// When it looks whether that has been done; `None` when only another configuration helps.
        next: Option<Instant>,
    },
}

/// What has been written, as the destination's receipts say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows that were new at the destination.
    pub inserted: u64,
    /// Rows whose content was replaced.
    pub updated: u64,
    /// Rows that were removed.
    pub deleted: u64,
    /// Files written.
    pub files_written: u64,
    /// Files removed.
    pub files_removed: u64,
    /// Rows that somebody else had changed at the destination, and that were put right: part of the counts above.
    pub drift_repaired: u64,
}

impl Totals {
    /// Rows written: inserted, updated or removed.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    pub(super) fn add(&mut self, receipt: &Receipt) {
        self.inserted += receipt.inserted;
        self.updated += receipt.updated;
        self.deleted += receipt.deleted;
        self.files_written += receipt.files_written;
        self.files_removed += receipt.files_removed;
    }
}

/// A point in an inventory's history up to which everything is at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The epoch.
    pub epoch: u64,
    /// Rows of the inventory at the end of the epoch.
    pub rows: u64,
    /// Digest of the inventory at the end of the epoch.
    pub digest: Digest,
}

/// Changes that are not at the destination yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many, counted generously: several changes of one row may count as one or as several.
    pub changes: u64,
    /// When the oldest came in.
    pub since: Option<Instant>,
}

impl Backlog {
    /// How long the oldest has been waiting; zero when there is none.
    pub fn lag(&self) -> Duration {
        self.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    pub(super) fn merge(self, other: Self) -> Self {
        let since = match (self.since, other.since) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { changes: self.changes + other.changes, since }
    }
}

/// An error of the sink, and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// The error.
    pub error: SinkError,
    /// When it happened.
    pub at: SystemTime,
}

/// Why rows are set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// The destination does not take them.
    #[default]
    Destination,
    /// They are larger than the inventory's `maxExportBytes`.
    Size,
}

/// Rows that are not exported as they are. Each is tried again when it changes and whenever all rows are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// Why.
    pub cause: Refusal,
    /// How many there are.
    pub count: u64,
    /// The first of them, in key order.
    pub shown: Vec<Refused>,
}

impl SetAside {
    pub(super) fn too_large(rows: TooLarge) -> Self {
        let shown = rows.shown.into_iter();
        let shown = shown
            .map(|(key, bytes)| Refused { key: key.to_string(), message: format!("it takes {bytes} bytes") });
        Self { cause: Refusal::Size, count: rows.count, shown: shown.collect() }
    }
}

/// A row that is set aside. The author of the profile must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The row's identity.
    pub key: String,
    /// Why it is refused.
    pub message: String,
}
