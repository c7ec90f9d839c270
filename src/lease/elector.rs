//! The task that keeps the lease, or tries to get it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::candidate::{Candidate, Step};
use super::store::{Store, StoreError};
use super::{Leadership, Settings};
use crate::sinks::Term;

/// How long giving the lease back may take.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);

/// A process's part in the election. Dropped, it stands down without giving the lease back.
pub struct Election {
    leadership: watch::Receiver<Leadership>,
    leave: CancellationToken,
    task: JoinHandle<()>,
}

impl Election {
    pub(super) fn start(store: impl Store, settings: Settings) -> Self {
        let (sender, leadership) = watch::channel(Leadership::Standby);
        let leave = CancellationToken::new();
        let elector = Elector {
            store: Arc::new(store),
            candidate: Candidate::new(settings.clone()),
            settings,
            leadership: sender,
            own: None,
            term: None,
            writing: false,
            last_said: String::new(),
        };
        let task = tokio::spawn(elector.run(leave.clone()));
        Self { leadership, leave, task }
    }

    /// What the process may do, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Ends the term and gives the lease back, so that another process need not wait for it to run out. Whatever wrote in the
    /// term must have come to its end.
    pub async fn leave(mut self) {
        self.leave.cancel();
        // A panic of the task leaves the lease to run out.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.task.abort();
        if let Leadership::Leading(term) = &*self.leadership.borrow() {
            term.end();
        }
    }
}

struct Elector<S> {
    store: Arc<S>,
    settings: Settings,
    candidate: Candidate,
    leadership: watch::Sender<Leadership>,
    /// The lease as this process wrote it last.
    own: Option<Lease>,
    term: Option<Term>,
    /// Whether the last attempt was to write.
    writing: bool,
    last_said: String,
}

/// What an attempt came to.
enum Attempt {
    /// The lease is this process's own, in this term.
    Held(u64),
    /// It is somebody else's.
    NotHeld(String),
    /// It was this process's own, and now is somebody else's.
    Lost(String),
}

impl<S: Store> Elector<S> {
    async fn run(mut self, leave: CancellationToken) {
        let message = tokio::select! {
            biased;
            () = leave.cancelled() => None,
            message = self.contend() => Some(message),
        };
        match message {
            Some(message) => {
                tracing::error!(message, "this process is no longer the leader");
                if let Some(term) = &self.term {
                    term.end();
                }
                self.leadership.send_replace(Leadership::Lost { message });
            }
            None => self.release().await,
        }
    }

    /// Tries to get the lease and keeps it; ends when it is lost, and says how.
    async fn contend(&mut self) -> String {
        loop {
            let begin = Instant::now();
            // Half of the deadline, so that one answer that never comes leaves time for another attempt.
            let patience = self.settings.renew_deadline / 2;
            let term = self.term.clone();
            let attempt = tokio::time::timeout(patience, self.attempt());
            let attempt = match &term {
                Some(term) => match term.during(attempt).await {
                    Some(attempt) => attempt,
                    None => return self.ran_out(),
                },
                None => attempt.await,
            };
            let failed = !matches!(attempt, Ok(Ok(_)));
            match attempt {
                Ok(Ok(Attempt::Held(number))) => self.hold(number, begin + self.settings.renew_deadline),
                Ok(Ok(Attempt::NotHeld(holder))) => {
                    self.say(format!("standing by: the lease is held by {holder}"));
                }
                Ok(Ok(Attempt::Lost(holder))) => {
                    return format!("the lease was taken by {holder}");
                }
                Ok(Err(StoreError::Conflict)) => {}
                Ok(Err(StoreError::Failed(message))) => self.warn(message),
                Err(_late) => self.warn("the API server does not answer in time".to_owned()),
            }
            if self.pause(failed).await.is_none() {
                return self.ran_out();
            }
        }
    }

    /// Waits for the next attempt; nothing if the term is over first. A destination with a higher term cuts the wait short, unless
    /// the last attempt failed.
    async fn pause(&mut self, failed: bool) -> Option<()> {
        let period = self.settings.retry_period;
        match &self.term {
            Some(term) => {
                let mut seen = term.seen();
                let number = term.number();
                let outdone = async {
                    if failed || seen.wait_for(|seen| *seen > number).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                let wait = async {
                    tokio::select! {
                        () = tokio::time::sleep(period) => {}
                        () = outdone => {}
                    }
                };
                term.during(wait).await
            }
            None => {
                // Several that wait don't come all at once.
                tokio::time::sleep(period.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
                Some(())
            }
        }
    }

    async fn attempt(&mut self) -> Result<Attempt, StoreError> {
        let held = self.term.as_ref().map_or(0, |term| *term.seen().borrow());
        if let Some(own) = self.own.take() {
            let step = self.candidate.renew(own, held);
            match self.take(step).await {
                // It was changed or deleted by somebody: what it is now decides.
                Err(StoreError::Conflict) => {}
                done => return done,
            }
        }
        let lease = self.store.get().await?;
        let step = self.candidate.step(lease, held, Instant::now());
        self.take(step).await
    }

    async fn take(&mut self, step: Step) -> Result<Attempt, StoreError> {
        self.writing = matches!(step, Step::Create(_) | Step::Replace(_));
        let lease = match step {
            Step::Create(lease) => self.store.create(&lease).await?,
            Step::Replace(lease) => self.store.replace(&lease).await?,
            Step::Wait(holder) => return Ok(Attempt::NotHeld(holder)),
            Step::Lost(holder) => return Ok(Attempt::Lost(holder)),
        };
        let number = self.candidate.leads(&lease);
        self.own = Some(lease);
        Ok(Attempt::Held(number))
    }

    fn hold(&mut self, number: u64, until: Instant) {
        if let Some(term) = &self.term {
            if term.number() < number {
                tracing::warn!(term = number, "a destination held a higher term; going on above it");
                term.raise(number);
            }
            term.extend(until);
            return;
        }
        tracing::info!(term = number, identity = self.settings.identity, "leading");
        let term = Term::new(number, until);
        self.term = Some(term.clone());
        self.leadership.send_replace(Leadership::Leading(term));
    }

    fn ran_out(&self) -> String {
        format!("the lease could not be renewed within {:?}", self.settings.renew_deadline)
    }

    fn say(&mut self, text: String) {
        if self.last_said != text {
            tracing::info!("{text}");
            self.last_said = text;
        }
    }

    fn warn(&mut self, text: String) {
        if self.last_said != text {
            tracing::warn!("{text}");
            self.last_said = text;
        }
    }

    /// Empties the lease, if it is this process's own.
    async fn release(&mut self) {
        match self.term.take() {
            Some(term) => term.end(),
            // A standby may have been about to take it, and nobody knows what came of that.
            None if self.writing => {}
            None => return,
        }
        let release = async {
            // Whatever was under way may have changed the lease, and so may somebody who touched it in between.
            for _ in 0..2 {
                let Some(lease) = self.store.get().await?.and_then(|lease| self.candidate.release(lease))
                else {
                    return Ok(());
                };
                match self.store.replace(&lease).await {
                    Err(StoreError::Conflict) => {}
                    done => return done.map(drop),
                }
            }
            Err(StoreError::Conflict)
        };
        match tokio::time::timeout(RELEASE_WITHIN, release).await {
            Ok(Ok(())) => tracing::info!("the lease is given back"),
            Ok(Err(error)) => tracing::warn!(%error, "the lease can't be given back; it runs out"),
            Err(_late) => tracing::warn!("the lease can't be given back in time; it runs out"),
        }
    }
}
