//! The receiving end: epochs of deltas, and snapshots that fit to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::GraphClosed;
use super::command::ListId;
use super::dataflow::Part;
use super::differences::Problem;
use super::queue::Queue;
use super::snapshot::{Leases, Snapshot};
use super::worker::Done;
use crate::data::{Delta, Digest, InventoryId, RollupId, TargetId};
use crate::rollup::GroupDelta;

/// Everything that one epoch changed.
#[derive(Debug, Default)]
pub struct Epoch {
    /// The epoch's number; they grow by one.
    pub number: u64,
    /// The inventories that changed.
    pub inventories: BTreeMap<InventoryId, InventoryDeltas>,
    /// Problems that appeared (+1) and vanished (-1), by target.
    pub problems: Vec<(TargetId, Problem, isize)>,
    /// By how much the number of objects that a target selects and sees has changed, whether or not it feeds an inventory.
    pub selected: BTreeMap<TargetId, isize>,
    /// The rollups of which groups changed.
    pub rollups: BTreeMap<RollupId, RollupDeltas>,
    /// What the epoch cost.
    pub work: Work,
    /// Lists that are complete as of this epoch.
    pub lists: Vec<ListId>,
    /// Marks (see [`super::Handle::mark`]) that are reached as of this epoch.
    pub marks: Vec<u64>,
}

/// What one epoch changed in one inventory.
#[derive(Clone, Debug, Default)]
pub struct InventoryDeltas {
    /// One delta a changed row, in key order.
    pub deltas: Vec<Delta>,
    /// How many rows the inventory has after the epoch.
    pub count: u64,
    /// The digest of these rows.
    pub digest: Digest,
}

/// How much an epoch had to do, step by step: what did not change has no part in the steps that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Objects that were fed, each as often as it came.
    pub objects: u64,
    /// How often attributes were extracted from an object; not from one that came in the version that is known.
    pub extractions: u64,
    /// Rows that entered and left views, an updated one counting as two; none for an object that gives the row that it gave before.
    pub row_differences: u64,
}

impl Work {
    pub(super) fn add(&mut self, other: Self) {
        let Self { objects, extractions, row_differences } = other;
        self.objects += objects;
        self.extractions += extractions;
        self.row_differences += row_differences;
    }
}

/// What one epoch changed in one rollup.
#[derive(Clone, Debug, Default)]
pub struct RollupDeltas {
    /// One delta a changed group, in the order of their keys.
    pub deltas: Vec<GroupDelta>,
    /// How many groups there are after the epoch, also those beyond [`super::Options::rollup_groups`].
    pub count: u64,
}

/// Receives the epochs, in order.
pub struct Epochs {
    done: Receiver<Done>,
    queue: Arc<Queue>,
    leases: Arc<Leases>,
    workers: usize,
    /// Parts of epochs that not all workers have completed yet.
    partial: BTreeMap<u64, (usize, Part)>,
    /// Count and digest of each inventory, kept from the deltas.
    totals: BTreeMap<InventoryId, (u64, Digest)>,
}

impl Epochs {
    pub(super) fn new(done: Receiver<Done>, queue: Arc<Queue>, leases: Arc<Leases>, workers: usize) -> Self {
        Self { done, queue, leases, workers, partial: BTreeMap::new(), totals: BTreeMap::new() }
    }

    /// The next epoch; waits for it.
    ///
    /// # Errors
    /// [`GraphClosed`] after the last epoch.
    pub fn recv(&mut self) -> Result<Epoch, GraphClosed> {
        loop {
            let done = self.done.recv().map_err(|_| GraphClosed)?;
            if let Some(epoch) = self.take_in(done) {
                return Ok(epoch);
            }
        }
    }

    /// As [`Epochs::recv`], but gives up after `limit` and then returns `None`.
    ///
    /// # Errors
    /// [`GraphClosed`] after the last epoch.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Option<Epoch>, GraphClosed> {
        let end = std::time::Instant::now() + limit;
        loop {
            let rest = end.saturating_duration_since(std::time::Instant::now());
            match self.done.recv_timeout(rest) {
                Ok(done) => {
                    if let Some(epoch) = self.take_in(done) {
                        return Ok(Some(epoch));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(GraphClosed),
            }
        }
    }

    /// Opens an inventory as it is after the epoch that was received last.
    pub fn snapshot(&self, inventory: InventoryId) -> Snapshot {
        Snapshot::open(Arc::clone(&self.queue), Arc::clone(&self.leases), inventory, self.workers)
    }

    /// Number of rows and digest of an inventory after the epoch that was received last.
    pub fn totals(&self, inventory: InventoryId) -> (u64, Digest) {
        self.totals.get(&inventory).copied().unwrap_or_default()
    }

    fn take_in(&mut self, done: Done) -> Option<Epoch> {
        let (parts, part) = self.partial.entry(done.epoch).or_default();
        *parts += 1;
        part.deltas.extend(done.part.deltas);
        part.problems.extend(done.part.problems);
        for (target, diff) in done.part.selected {
            *part.selected.entry(target).or_default() += diff;
        }
        part.rollups.extend(done.part.rollups);
        part.work.add(done.part.work);
        part.marks.extend(done.part.marks);
        part.lists.extend(done.part.lists);
        if *parts < self.workers {
            return None;
        }
        let (_, part) = self.partial.remove(&done.epoch)?;
        self.leases.received(done.epoch);
        self.queue.received();
        Some(self.assemble(done.epoch, part))
    }

    fn assemble(&mut self, number: u64, part: Part) -> Epoch {
        let Part { deltas, mut problems, selected, rollups, work, mut lists, mut marks } = part;
        // Every worker reports every list and mark.
        lists.sort_unstable();
        lists.dedup();
        marks.sort_unstable();
        marks.dedup();
        problems.sort();
        let mut inventories: BTreeMap<InventoryId, InventoryDeltas> = BTreeMap::new();
        for (inventory, delta) in deltas {
            inventories.entry(inventory).or_default().deltas.push(delta);
        }
        for (inventory, changed) in &mut inventories {
            if self.workers > 1 {
                changed.deltas = in_key_order(std::mem::take(&mut changed.deltas));
            }
            let (count, digest) = self.totals.entry(*inventory).or_default();
            for delta in &changed.deltas {
                if let Some(before) = delta.before() {
                    *count -= 1;
                    digest.remove(before.hash());
                }
                if let Some(after) = delta.after() {
                    *count += 1;
                    digest.add(after.hash());
                }
            }
            (changed.count, changed.digest) = (*count, *digest);
        }
        // Rows that only moved between workers have not changed.
        inventories.retain(|_, changed| !changed.deltas.is_empty());
        self.totals.retain(|_, (count, _)| *count > 0);
        let selected = selected.into_iter().filter(|(_, diff)| *diff != 0).collect();
        // Each is kept by one worker.
        let rollups = rollups
            .into_iter()
            .map(|of| (of.rollup, RollupDeltas { deltas: of.deltas, count: of.count }))
            .collect();
        Epoch { number, inventories, problems, selected, rollups, work, lists, marks }
    }
}

/// Puts the deltas of several workers in key order. A row that moves from one worker to another, as when its inventory begins to
/// dedupe, was deleted by one and inserted by the other: that is one delta, or none.
fn in_key_order(mut deltas: Vec<Delta>) -> Vec<Delta> {
    deltas.sort_by(|a, b| a.key().cmp(&b.key()));
    let mut merged: Vec<Delta> = Vec::with_capacity(deltas.len());
    for delta in deltas {
        let Some(other) = merged.pop_if(|last| last.key() == delta.key()) else {
            merged.push(delta);
            continue;
        };
        let before = other.before().or(delta.before()).cloned();
        let after = other.after().or(delta.after()).cloned();
        merged.extend(Delta::between(before, after));
    }
    merged
}
