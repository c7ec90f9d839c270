//! What waits for a binding: deltas from the dispatcher, and the answer to its request for a look.
//!
//! The inbox is closed until a look is answered, and again after every error: deltas are then counted and dropped, for the
//! look that is to come has them. From the epoch of a look on they are kept, and handed out after it: the destination must
//! first be brought to that epoch, or older content would be written over newer.
//!
//! All of it happens under one lock that is never held while waiting, so a look is answered and deltas begin to be
//! kept in one step. The binding of a [`DocumentSink`](crate::sinks::DocumentSink) has no use for single rows; its inbox
//! counts deltas and keeps none.
//!
//! Changes may be held for a window of time, so that several become one batch. The window begins with the first of them; at its end
//! all that are there go. A look has them all, so whatever asks for one ends the wait; verifying, which is never urgent, waits for
//! the changes instead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kollect_dataflows::data::Delta;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Resumption;
use super::pending::Changes;
use super::status::Backlog;
use crate::sinks::Sink;

/// Holds what a binding has still to deliver: of each row one change, from what the destination has to what it should
/// have. Written by the dispatcher, read by the binding.
pub struct Inbox {
    state: Mutex<State>,
    wake: Notify,
}

struct State {
    /// How long changes are held.
    window: Duration,
    /// Whether changes are kept row by row.
    by_row: bool,
    /// Whether deltas are kept.
    open: bool,
    /// The last epoch heard of.
    epoch: u64,
    /// The epoch of the last look.
    looked: u64,
    /// The epoch up to which everything is at the destination, when open.
    settled: u64,
    pending: Changes,
    /// Deltas since the last batch that are not in `pending`.
    uncounted: u64,
    waiting_since: Option<Instant>,
    /// What the binding is busy with.
    in_flight: Backlog,
    /// The look that has been asked for and not been answered.
    asked: Option<u64>,
    tickets: u64,
    answer: Option<Answer>,
    refused: bool,
    again: bool,
}

/// A look, and the changes that were waiting when it was opened: the look has them, so they are not handed out.
pub(super) struct Answer {
    pub(super) resumption: Resumption,
    pub(super) superseded: Changes,
    /// How many deltas waited that were not kept row by row.
    pub(super) uncounted: u64,
    backlog: Backlog,
}

/// What the binding is to do next.
pub(super) enum Event {
    /// Compare with this look.
    Look(Box<Answer>),
    /// Apply these changes; they lead up to the end of the epoch.
    Changes { epoch: u64, changes: Changes },
    /// Ask for a look.
    LookAgain,
    /// The time has come to verify.
    Due,
    /// Nothing is left to be done, and nothing more will come.
    Done,
}

impl Inbox {
    /// The inbox for a binding to `sink`.
    pub(super) fn new(sink: &Sink, window: Duration) -> Arc<Self> {
        let state = State {
            window,
            by_row: matches!(sink, Sink::Rows(_)),
            open: false,
            epoch: 0,
            looked: 0,
            settled: 0,
            pending: Changes::default(),
            uncounted: 0,
            waiting_since: None,
            in_flight: Backlog::default(),
            asked: None,
            tickets: 0,
            answer: None,
            refused: false,
            again: true,
        };
        Arc::new(Self { state: Mutex::new(state), wake: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock leaves the state half changed, so a panic elsewhere does no harm to it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what changed in the inventory in one epoch. Never waits. Epochs come in order.
    ///
    /// Epochs in which nothing changed may be left out, or, to have [`Settled`](super::Settled) reach the last one, be
    /// offered without deltas.
    pub fn offer(&self, epoch: u64, deltas: &[Delta]) {
        {
            let mut state = self.lock();
            if epoch <= state.looked && state.open {
                return;
            }
            state.epoch = state.epoch.max(epoch);
            if !deltas.is_empty() {
                state.waiting_since.get_or_insert_with(Instant::now);
                if state.by_row && state.open {
                    state.pending.extend(deltas);
                } else {
                    state.uncounted += deltas.len() as u64;
                }
            }
        }
        self.wake.notify_one();
    }

    /// Has the binding compare again after its current batch: a target has become hydrated, or the inventory's targets
    /// have changed.
    pub fn look_again(&self) {
        self.lock().again = true;
        self.wake.notify_one();
    }

    /// What is not at the destination yet.
    pub fn backlog(&self) -> Backlog {
        let state = self.lock();
        state.in_flight.merge(state.waiting())
    }

    /// Makes out a request for a look, in place of any earlier one.
    pub(super) fn ask(self: &Arc<Self>) -> Look {
        let mut state = self.lock();
        state.tickets += 1;
        state.asked = Some(state.tickets);
        Look { inbox: Arc::clone(self), ticket: state.tickets }
    }

    /// Waits for something to do. What is due comes first, because asking costs nothing and a binding that is never idle
    /// must not be kept from it. With `stop`, what can still be delivered comes, and then [`Event::Done`].
    pub(super) async fn next(&self, due: Option<Instant>, stop: &CancellationToken) -> Event {
        loop {
            let (stopping, now) = (stop.is_cancelled(), Instant::now());
            let (held, event) = {
                let mut state = self.lock();
                let held = state.held_until().filter(|until| !stopping && *until > now);
                if due.is_some_and(|at| at <= now) && !stopping && held.is_none() {
                    return Event::Due;
                }
                (held, state.next(stopping, held.is_some()))
            };
            if let Some(event) = event {
                return event;
            }
            // What is due while changes are held is so when they go.
            let wake_at = held.or(due.filter(|_| !stopping));
            let at = wake_at.unwrap_or(now);
            tokio::select! {
                () = self.wake.notified() => {}
                () = stop.cancelled(), if !stopping => {}
                () = tokio::time::sleep_until(at), if wake_at.is_some() => {}
            }
        }
    }

    /// What was handed out last is at the destination, which is thereby at `epoch`.
    pub(super) fn settle(&self, epoch: u64) {
        let mut state = self.lock();
        state.settled = epoch;
        state.in_flight = Backlog::default();
    }

    /// From now on deltas are only counted, until the next look. What was waiting goes on to count.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        let unfinished = state.in_flight.merge(state.waiting());
        state.open = false;
        state.pending = Changes::default();
        state.uncounted = unfinished.changes;
        state.waiting_since = unfinished.since;
        state.in_flight = Backlog::default();
        state.asked = None;
        state.answer = None;
        state.again = true;
    }

    fn answer(&self, ticket: u64, resumption: Resumption) {
        {
            let mut state = self.lock();
            if state.asked != Some(ticket) {
                return;
            }
            state.asked = None;
            if resumption.epoch < state.epoch {
                // Deltas that this look lacks have been dropped or would be now: it is of no use.
                let (look, last) = (resumption.epoch, state.epoch);
                tracing::error!(
                    look,
                    last,
                    "a look at an inventory is older than its last deltas; asking anew"
                );
                state.again = true;
                drop(state);
                return self.wake.notify_one();
            }
            state.again = false;
            state.open = true;
            state.epoch = resumption.epoch;
            state.looked = resumption.epoch;
            let backlog = state.waiting();
            let keep_vanished = resumption.targets.values().any(|hydrated| !hydrated);
            let superseded = std::mem::replace(&mut state.pending, Changes::new(keep_vanished));
            let uncounted = std::mem::take(&mut state.uncounted);
            state.waiting_since = None;
            state.answer = Some(Answer { resumption, superseded, uncounted, backlog });
        }
        self.wake.notify_one();
    }

    fn refuse(&self, ticket: u64) {
        {
            let mut state = self.lock();
            if state.asked != Some(ticket) {
                return;
            }
            state.asked = None;
            state.refused = true;
        }
        self.wake.notify_one();
    }
}

impl State {
    /// What has come in and not been handed out.
    fn waiting(&self) -> Backlog {
        let kept = Backlog { changes: self.uncounted + self.pending.len() as u64, since: self.waiting_since };
        self.answer.as_ref().map(|answer| answer.backlog).unwrap_or_default().merge(kept)
    }

    /// Until when the changes that are there are held, if there are any and they are.
    fn held_until(&self) -> Option<Instant> {
        let until = self.waiting_since?.checked_add(self.window)?;
        (self.open && !self.window.is_zero()).then_some(until)
    }

    fn next(&mut self, stopping: bool, held: bool) -> Option<Event> {
        if let Some(answer) = self.answer.take() {
            self.in_flight = answer.backlog;
            return Some(Event::Look(Box::new(answer)));
        }
        // Before changes, of which there may always be some: asking costs nothing, and they go on while the look is awaited.
        if self.again && self.asked.is_none() && !self.refused && !stopping {
            return Some(Event::LookAgain);
        }
        // A document is written from a look only.
        let unwritten = self.open && self.uncounted > 0;
        if held && !self.refused {
            return None;
        }
        if self.open && !unwritten && (self.pending.len() > 0 || self.epoch > self.settled) {
            self.in_flight = self.waiting();
            self.waiting_since = None;
            return Some(Event::Changes { epoch: self.epoch, changes: self.pending.take() });
        }
        if self.refused {
            return Some(Event::Done);
        }
        if unwritten && self.asked.is_none() {
            return Some(Event::LookAgain);
        }
        (stopping && !unwritten).then_some(Event::Done)
    }
}

/// A binding's request for a look at its inventory. Dropped without an answer, it ends the binding.
pub struct Look {
    inbox: Arc<Inbox>,
    ticket: u64,
}

impl Look {
    /// Whether the binding still waits for the answer; it does not after an error of its sink, when it asks anew.
    pub fn is_wanted(&self) -> bool {
        self.inbox.lock().asked == Some(self.ticket)
    }

    /// Hands over the inventory as it is after the last epoch offered, before any later one is.
    pub fn answer(self, resumption: Resumption) {
        self.inbox.answer(self.ticket, resumption);
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.inbox.refuse(self.ticket);
    }
}
