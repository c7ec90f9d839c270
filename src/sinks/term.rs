//! The right to write: a number that grows with each leader, and an end.
//!
//! ```text
//! lease ──► Term { number, until } ──► every sink
//!   ▲                                    │ what a destination holds
//!   └──── a higher number was seen ◄─────┘
//! ```
//!
//! Whoever holds the lease keeps the term up to date; a sink asks it before a batch begins and before it is committed. Two
//! things keep an old leader from writing:
//!
//! - its own clock: a term that was not renewed in time is over, and never begins again;
//! - the destination, where that can check: it keeps the highest number that it was told, and refuses lower ones. This
//!   also holds for a process that was stopped for a while and knows nothing of it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tokio::sync::watch;
use tokio::time::Instant;

use super::SinkError;

/// A writer's term. Clones are the same term.
#[derive(Clone, Debug)]
pub struct Term(Option<Arc<State>>);

#[derive(Debug)]
struct State {
    number: AtomicU64,
    /// When it is over unless it is extended; `None` when it has been ended.
    until: watch::Sender<Option<Instant>>,
    /// The highest number that a destination held instead of a lower one.
    seen: watch::Sender<u64>,
}

impl Term {
    /// The term of a writer that holds no lease. It never ends, and its number is 0: destinations neither keep nor
    /// compare it. Two such writers of one binding take turns, and what one has written the other takes for drift.
    pub fn unfenced() -> Self {
        Self(None)
    }

    /// A term that is over at `until` unless it is extended.
    pub fn new(number: u64, until: Instant) -> Self {
        Self(Some(Arc::new(State {
            number: AtomicU64::new(number),
            until: watch::Sender::new(Some(until)),
            seen: watch::Sender::new(0),
        })))
    }

    /// The number; 0 for a writer without a lease.
    pub fn number(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| state.number.load(Ordering::Acquire))
    }

    /// Lets the term last until then. One that is over stays over.
    pub fn extend(&self, until: Instant) {
        let Some(state) = &self.0 else { return };
        let now = Instant::now();
        state.until.send_if_modified(|current| match current {
            Some(end) if now < *end && *end < until => {
                *end = until;
                true
            }
            _ => false,
        });
    }

    /// Makes the number higher; sinks tell their destinations when they connect.
    pub fn raise(&self, number: u64) {
        if let Some(state) = &self.0 {
            state.number.fetch_max(number, Ordering::AcqRel);
        }
    }

    /// Ends it.
    pub fn end(&self) {
        if let Some(state) = &self.0 {
            state.until.send_replace(None);
        }
    }

    /// Whether it is over, by the clock as it is now.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.until.borrow().is_none_or(|until| until <= Instant::now()))
    }

    /// Waits until it is over.
    pub async fn over(&self) {
        let Some(state) = &self.0 else { return std::future::pending().await };
        let mut changes = state.until.subscribe();
        loop {
            let Some(until) = *changes.borrow_and_update() else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until) => if self.is_over() { return },
                _ = changes.changed() => {}
            }
        }
    }

    /// Does work only while the term lasts: `None` when it was over first. The clock is read before each step, so that a
    /// process that was stopped in the middle takes none when it goes on.
    pub async fn during<F: Future>(&self, work: F) -> Option<F::Output> {
        let (mut work, mut over) = (pin!(work), pin!(self.over()));
        std::future::poll_fn(|context| {
            if self.is_over() || over.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Refuses to write when the term is over.
    ///
    /// # Errors
    /// [`SinkError::Fenced`].
    pub fn check(&self) -> Result<(), SinkError> {
        if self.is_over() {
            return Err(SinkError::Fenced { message: "this process no longer holds the lease".to_owned() });
        }
        Ok(())
    }

    /// The term as it is to be told to a destination that a sink connects to.
    pub fn claim(&self) -> Claim {
        Claim { term: self.clone(), number: self.number() }
    }

    /// The highest number that a destination held instead of a lower one, as it changes; 0 when there was none.
    pub fn seen(&self) -> watch::Receiver<u64> {
        match &self.0 {
            Some(state) => state.seen.subscribe(),
            None => watch::channel(0).1,
        }
    }
}

/// The term as a destination was told of it. Its number stays the one that was told, though the term's own may be raised in
/// the meantime: the destination refuses others by the number that it knows.
#[derive(Clone, Debug)]
pub struct Claim {
    term: Term,
    number: u64,
}

impl Claim {
    /// The number to tell; 0 for a writer without a lease, which tells none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// See [`Term::check`].
    ///
    /// # Errors
    /// [`SinkError::Fenced`].
    pub fn check(&self) -> Result<(), SinkError> {
        self.term.check()
    }

    /// Refuses to write to a destination that has been told of a later term than this. Whoever holds the lease then takes a
    /// higher number, and tells that when it connects again; all others learn that they no longer hold it.
    ///
    /// # Errors
    /// [`SinkError::Fenced`].
    pub fn admit(&self, stored: u64, destination: impl fmt::Display) -> Result<(), SinkError> {
        let number = self.number;
        let Some(state) = self.term.0.as_ref().filter(|_| stored > number) else { return Ok(()) };
        if stored > self.term.number() {
            state.seen.send_if_modified(|seen| {
                let higher = *seen < stored;
                *seen = stored.max(*seen);
                higher
            });
        }
        Err(SinkError::Fenced {
            message: format!(
                "{destination} is written in term {stored} by another process; this is term {number}"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_term_lasts_as_long_as_it_is_extended_and_once_over_stays_over() {
        let begin = Instant::now();
        let term = Term::new(7, begin + 2 * SECOND);
        let waiting = tokio::spawn({
            let term = term.clone();
            async move { term.over().await }
        });
        tokio::time::advance(SECOND).await;
        term.extend(begin + 4 * SECOND);
        // Shorter it gets only by being ended.
        term.extend(begin + SECOND);
        tokio::time::advance(2 * SECOND).await;
        assert!(!term.is_over() && term.check().is_ok() && !waiting.is_finished());
        tokio::time::advance(SECOND).await;
        assert!(term.is_over());
        waiting.await.unwrap();
        term.extend(Instant::now() + 10 * SECOND);
        assert!(matches!(term.check(), Err(SinkError::Fenced { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn no_step_of_the_work_is_taken_after_the_end() {
        let term = Term::new(7, Instant::now() + SECOND);
        let mut steps = 0;
        let work = async {
            loop {
                tokio::task::yield_now().await;
                assert!(!term.is_over());
                steps += 1;
                if steps == 5 {
                    // As if the process had been stopped.
                    tokio::time::advance(5 * SECOND).await;
                }
            }
        };
        assert_eq!(term.during::<_>(work.map(|()| ())).await, None);
        assert_eq!(steps, 5);
        assert_eq!(Term::unfenced().during(async { 5 }).await, Some(5));
        let term = Term::new(7, Instant::now() + SECOND);
        term.end();
        assert_eq!(term.during(async { 5 }).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_higher_number_at_a_destination_is_refused_and_told() {
        let term = Term::new(7, Instant::now() + SECOND);
        let seen = term.seen();
        let told = term.claim();
        assert!(told.admit(6, "a").is_ok() && told.admit(7, "a").is_ok());
        assert_eq!(*seen.borrow(), 0);
        let error = told.admit(9, "a").unwrap_err();
        assert_eq!(error.reason(), "Fenced");
        assert!(told.admit(8, "b").is_err());
        assert_eq!(*seen.borrow(), 9);
        term.raise(11);
        // The destination knows nothing of the new number yet.
        assert!(told.admit(9, "a").is_err() && told.admit(10, "a").is_err());
        assert_eq!(*seen.borrow(), 9);
        assert!(term.claim().admit(9, "a").is_ok());
        assert!(Term::unfenced().claim().admit(9, "a").is_ok());
    }
}
