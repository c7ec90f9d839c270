//! Reading an inventory's rows at an epoch, in key order, in chunks.
//!
//! The inventories' arrangement is the only copy of the rows; a snapshot is a lease on it. While a snapshot is open,
//! the workers do not compact past its epoch, so all its chunks show one and the same state, however much changes
//! meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use differential_dataflow::trace::{Cursor, TraceReader};
use timely::progress::frontier::AntichainRef;

use super::GraphClosed;
use super::dataflow::{Epoch, InventoryTrace};
use super::queue::Queue;
use crate::data::{InventoryId, Row};

/// Rows in a chunk that one worker gives.
const CHUNK: usize = 2048;

/// A request to all workers for the rows of an inventory that come after a row.
#[derive(Clone)]
pub(super) struct Read {
    pub(super) worker: usize,
    pub(super) inventory: InventoryId,
    pub(super) epoch: Epoch,
    pub(super) after: Option<Row>,
    pub(super) reply: Sender<Vec<Row>>,
}

/// The epochs that may be read: the receiver's, and those of open snapshots.
#[derive(Default)]
pub(super) struct Leases {
    state: Mutex<LeaseState>,
}

#[derive(Default)]
struct LeaseState {
    received: Epoch,
    open: BTreeMap<Epoch, usize>,
}

impl Leases {
    /// The receiver has taken this epoch.
    pub(super) fn received(&self, epoch: Epoch) {
        self.lock().received = epoch;
    }

    /// The earliest epoch that may still be read; the workers may forget what was before.
    pub(super) fn since(&self) -> Epoch {
        let state = self.lock();
        state.open.keys().next().copied().unwrap_or(state.received).min(state.received)
    }

    fn open(&self) -> Epoch {
        let mut state = self.lock();
        let epoch = state.received;
        *state.open.entry(epoch).or_default() += 1;
        epoch
    }

    fn close(&self, epoch: Epoch) {
        let mut state = self.lock();
        if let Some(count) = state.open.get_mut(&epoch) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&epoch);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's share of a snapshot.
struct Share {
    rows: VecDeque<Row>,
    /// The last row of the last chunk, where the next begins.
    last: Option<Row>,
    done: bool,
}

/// All rows of one inventory at one epoch, in key order. Dropping it gives the lease back.
pub struct Snapshot {
    queue: Arc<Queue>,
    leases: Arc<Leases>,
    inventory: InventoryId,
    epoch: Epoch,
    shares: Vec<Share>,
}

impl Snapshot {
    pub(super) fn open(
        queue: Arc<Queue>,
        leases: Arc<Leases>,
        inventory: InventoryId,
        workers: usize,
    ) -> Self {
        let epoch = leases.open();
        let shares = (0..workers).map(|_| Share { rows: VecDeque::new(), last: None, done: false }).collect();
        Self { queue, leases, inventory, epoch, shares }
    }

    /// The epoch whose state this is.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The next rows, a few thousand at the most; empty after the last. Waits for the workers.
    ///
    /// # Errors
    /// [`GraphClosed`] when the graph has ended.
    pub fn next_chunk(&mut self) -> Result<Vec<Row>, GraphClosed> {
        self.fill()?;
        let mut chunk = Vec::new();
        // Rows may go out as long as every share that is not exhausted has its next row at hand.
        while chunk.len() < CHUNK && self.shares.iter().all(|share| share.done || !share.rows.is_empty()) {
            let heads = self.shares.iter().enumerate();
            let least = heads.filter_map(|(at, share)| Some((share.rows.front()?, at))).min();
            let Some((_, at)) = least else { break };
            chunk.extend(self.shares[at].rows.pop_front());
        }
        Ok(chunk)
    }

    /// Asks each worker whose share has run dry for more.
    fn fill(&mut self) -> Result<(), GraphClosed> {
        let mut replies: Vec<(usize, Receiver<Vec<Row>>)> = Vec::new();
        for (worker, share) in self.shares.iter_mut().enumerate() {
            if share.rows.is_empty() && !share.done {
                let (reply, answer) = channel();
                let read = Read {
                    worker,
                    inventory: self.inventory,
                    epoch: self.epoch,
                    after: share.last.take(),
                    reply,
                };
                if !self.queue.read(read) {
                    return Err(GraphClosed);
                }
                replies.push((worker, answer));
            }
        }
        for (worker, answer) in replies {
            let rows = answer.recv().map_err(|_| GraphClosed)?;
            let share = &mut self.shares[worker];
            share.done = rows.len() < CHUNK;
            share.last = rows.last().cloned();
            share.rows = rows.into();
        }
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.leases.close(self.epoch);
    }
}

/// Answers a read from a worker's arrangement.
pub(super) fn answer(trace: &mut InventoryTrace, read: &Read) {
    let (mut cursor, storage) = trace.cursor();
    let mut rows = Vec::new();
    let first = (read.inventory, read.after.clone().unwrap_or_else(Row::least));
    cursor.seek_key(&storage, &first);
    if cursor.get_key(&storage) == Some(&first) {
        cursor.step_key(&storage);
    }
    while rows.len() < CHUNK {
        let Some((inventory, row)) = cursor.get_key(&storage) else { break };
        if *inventory != read.inventory {
            break;
        }
        let mut count = 0;
        cursor.map_times(&storage, |time, diff| {
            if *time <= read.epoch {
                count += diff;
            }
        });
        if count > 0 {
            rows.push(row.clone());
        }
        cursor.step_key(&storage);
    }
    // The reader may have gone away; that is its own affair.
    let _ = read.reply.send(rows);
}

/// Lets a worker's arrangement forget what nobody can read any more.
pub(super) fn compact(trace: &mut InventoryTrace, since: Epoch, complete: Epoch) {
    trace.set_logical_compaction(AntichainRef::new(&[since]));
    trace.set_physical_compaction(AntichainRef::new(&[complete]));
}
