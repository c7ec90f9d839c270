//! The bounded queue between whoever feeds the graph and its workers.
//!
//! Commands wait here, already dealt out to workers, until the first worker takes all of them as the next epoch: the
//! busier the graph, the larger its epochs, and the less an update costs. Feeders wait while too many bytes wait. The
//! first worker in turn waits while the receiver is too many epochs behind, so that a slow receiver slows the sources
//! down rather than filling memory.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::command::Command;
use super::snapshot::Read;

/// Epochs that may be on their way to the receiver before the workers wait.
const EPOCHS_AHEAD: usize = 4;

#[derive(Default)]
struct State {
    /// Waiting commands, by worker.
    parts: Vec<Vec<Command>>,
    weight: usize,
    reads: Vec<Read>,
    /// Epochs that are taken and not yet received.
    outstanding: usize,
    closed: bool,
}

/// See the module's description.
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    limit: usize,
}

/// What the first worker takes.
pub(super) enum Work {
    /// The commands of the next epoch, by worker.
    Epoch(Vec<Vec<Command>>),
    /// Snapshot reads.
    Reads(Vec<Read>),
    /// Nobody feeds or reads any more.
    Closed,
}

impl Queue {
    /// A queue for this number of workers that holds about this many bytes.
    pub(super) fn new(workers: usize, limit: usize) -> Self {
        let state = State { parts: vec![Vec::new(); workers], ..State::default() };
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A feeder that panics in between leaves whole commands behind; the state is always valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(state: &State) -> usize {
        state.parts.len()
    }

    /// Whether an object may be added without waiting.
    pub(super) fn has_room(&self) -> bool {
        let state = self.lock();
        state.weight < self.limit || state.closed
    }

    /// Adds a command for the worker that `route` picks, or for all. An object waits while the queue is full; anything
    /// else is small and rare, and never waits. False when the graph is closed.
    pub(super) fn push(&self, route: Option<u128>, command: Command) -> bool {
        let mut state = self.lock();
        if matches!(command, Command::Object { .. }) {
            while state.weight >= self.limit && !state.closed {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if state.closed {
            return false;
        }
        state.weight += command.weight();
        match route {
            Some(key) => {
                let worker = (key as u64 % Self::workers(&state) as u64) as usize;
                state.parts[worker].push(command);
            }
            None => {
                for part in &mut state.parts {
                    part.push(command.clone());
                }
            }
        }
        self.work.notify_one();
        true
    }

    /// Adds commands for all workers, which take all of them in one epoch. Never waits. False when the graph is closed.
    pub(super) fn push_all(&self, commands: &[Command]) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.weight += commands.iter().map(Command::weight).sum::<usize>();
        for part in &mut state.parts {
            part.extend_from_slice(commands);
        }
        self.work.notify_one();
        true
    }

    /// Adds a snapshot read; false when the graph is closed.
    pub(super) fn read(&self, read: Read) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.reads.push(read);
        self.work.notify_one();
        true
    }

    /// Waits for work. Reads come before epochs, and while the receiver is behind only reads come.
    pub(super) fn take(&self) -> Work {
        let mut state = self.lock();
        loop {
            if let Some(work) = self.next(&mut state) {
                return work;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`Queue::take`], but `None` where that would wait.
    pub(super) fn try_take(&self) -> Option<Work> {
        self.next(&mut self.lock())
    }

    fn next(&self, state: &mut State) -> Option<Work> {
        if !state.reads.is_empty() {
            return Some(Work::Reads(std::mem::take(&mut state.reads)));
        }
        let waiting = state.parts.iter().any(|part| !part.is_empty());
        if waiting && (state.outstanding < EPOCHS_AHEAD || state.closed) {
            state.outstanding += 1;
            state.weight = 0;
            let workers = Self::workers(state);
            let parts = std::mem::replace(&mut state.parts, vec![Vec::new(); workers]);
            self.room.notify_all();
            return Some(Work::Epoch(parts));
        }
        state.closed.then_some(Work::Closed)
    }

    /// The receiver has taken one epoch.
    pub(super) fn received(&self) {
        let mut state = self.lock();
        state.outstanding = state.outstanding.saturating_sub(1);
        self.work.notify_one();
    }

    /// Takes no more commands; what waits is still worked off.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}
