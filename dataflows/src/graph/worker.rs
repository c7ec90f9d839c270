//! What a worker does: take the next epoch, step the dataflow until it is complete, say what it gave.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use timely::worker::Worker;

use super::Options;
use super::command::Command;
use super::compaction::Compaction;
use super::dataflow::{self, Dataflow, Epoch, Part};
use super::queue::{Queue, Work};
use super::snapshot::{self, Leases, Read};

/// What the first worker tells the others.
pub(super) enum Order {
    Epoch(Epoch, Vec<Command>),
    Read(Read),
}

/// One worker's part of one epoch, as it goes to the receiver.
pub(super) struct Done {
    pub(super) epoch: Epoch,
    pub(super) part: Part,
}

/// How a worker gets its orders.
pub(super) enum Role {
    /// Takes work from the queue and gives the other workers their share.
    First { queue: Arc<Queue>, others: Vec<Sender<Order>> },
    /// Follows the first.
    Other(Receiver<Order>),
}

/// Runs one worker until the queue is closed and worked off.
pub(super) fn run(worker: &mut Worker, role: Role, options: Options, leases: &Leases, out: &Sender<Done>) {
    let dataflow = worker.dataflow(dataflow::build);
    let mut state = State { dataflow, worker, options, leases, out, compaction: Compaction::default() };
    match role {
        Role::First { queue, others } => {
            let _close = CloseOnExit(Arc::clone(&queue));
            let mut epoch = 0;
            loop {
                match state.tidy_until(|| queue.try_take()).unwrap_or_else(|| queue.take()) {
                    Work::Closed => break,
                    Work::Reads(reads) => {
                        for read in reads {
                            match read.worker.checked_sub(1) {
                                None => state.read(&read),
                                // A worker that is gone has ended in panic; the reader sees its reply dropped.
                                Some(other) => drop(others[other].send(Order::Read(read))),
                            }
                        }
                    }
                    Work::Epoch(parts) => {
                        epoch += 1;
                        let mut parts = parts.into_iter();
                        let own = parts.next().unwrap_or_default();
                        for (other, part) in others.iter().zip(parts) {
                            drop(other.send(Order::Epoch(epoch, part)));
                        }
                        state.epoch(epoch, own);
                    }
                }
            }
        }
        Role::Other(orders) => {
            while let Some(order) = state.tidy_until(|| orders.try_recv().ok()).or_else(|| orders.recv().ok())
            {
                match order {
                    Order::Epoch(epoch, commands) => state.epoch(epoch, commands),
                    Order::Read(read) => state.read(&read),
                }
            }
        }
    }
}

/// Whatever ends the first worker, a panic too, nobody may wait for it for ever.
struct CloseOnExit(Arc<Queue>);

impl Drop for CloseOnExit {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct State<'a> {
    dataflow: Dataflow,
    worker: &'a mut Worker,
    options: Options,
    leases: &'a Leases,
    out: &'a Sender<Done>,
    compaction: Compaction,
}

impl State<'_> {
    fn epoch(&mut self, epoch: Epoch, commands: Vec<Command>) {
        let Dataflow { input, probe, part, rollups, inventories } = &mut self.dataflow;
        snapshot::compact(inventories, self.leases.since(), epoch);
        input.advance_to(epoch);
        input.send(commands);
        input.advance_to(epoch + 1);
        input.flush();
        if self.worker.peers() == 1 {
            while probe.less_than(&(epoch + 1)) {
                self.worker.step();
            }
        } else {
            self.worker.step_or_park_while(None, || probe.less_than(&(epoch + 1)));
        }
        let mut part = part.take();
        let deltas = part.deltas.iter().map(|(_, delta)| delta);
        let came = deltas.clone().filter(|delta| delta.after().is_some()).count();
        let went = deltas.filter(|delta| delta.before().is_some()).count();
        self.compaction.epoch(came, went);
        part.rollups = rollups.borrow_mut().settle(self.options.rollup_groups);
        // Without a receiver nobody misses the epoch.
        let _ = self.out.send(Done { epoch, part });
    }

    /// Merges what there is to merge, until there is something else to do; `None` when neither is left.
    fn tidy_until<T>(&mut self, next: impl Fn() -> Option<T>) -> Option<T> {
        loop {
            if !self.compaction.is_urgent()
                && let Some(something) = next()
            {
                return Some(something);
            }
            let step = || {
                self.worker.step();
            };
            if !self.compaction.merge(step) {
                return next();
            }
        }
    }

    fn read(&mut self, read: &Read) {
        snapshot::answer(&mut self.dataflow.inventories, read);
    }
}
