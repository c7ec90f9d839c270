//! The leader lease: which of several operators writes, and in which term.
//!
//! ```text
//!               get, create, update (only what was seen last)
//! Lease ◄──────────────────────────────────────────────────── elector ──► Leadership: Standby, Leading(Term), Lost
//! (API server)                                                   ▲
//!                                  Term::seen: a destination     │
//!                                  was told of a later term ─────┘
//! ```
//!
//! As in Kubernetes' own components:
//!
//! - A standby looks at the lease at each retry period. It takes the lease when it is free, or when for as long as the lease
//!   says nothing about it has changed **by the standby's own clock**: no two clocks are ever compared.
//! - Every write names the version that it is based on, so of several that try one succeeds.
//! - The leader renews at each retry period. What it may do ends by **its own clock** when so much time as the renew deadline
//!   has passed since it *began* its last renewal that succeeded. That is before any other clock can say that the lease has
//!   run out, as long as clocks run at about the same speed and none stands still; where one does, the terms' numbers help.
//! - Who ends in good order empties the lease, and another one takes it at its next look.
//!
//! The number of a term is in the annotation [`TERM`] of the lease, and each leader's is higher than that of the one before. So
//! that this also holds when somebody deletes the lease, a new one begins with the time (milliseconds since 1970); and should a
//! destination still hold a higher number (a clock was set back), the leader takes the next above that. It can do so only
//! while the lease is its own, so an old leader can't.
//!
//! Leadership that was lost does not come back: the process ends and is started again. Nothing of the old term is left then:
//! no connection, no thread that still writes a file.

mod candidate;
mod elector;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kube::Client;

use crate::sinks::Term;

pub use elector::Election;

/// The annotation of a lease that holds the number of the term.
pub const TERM: &str = "kollect.dev/term";

/// What the process may do.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Another process is the leader, or it is not known yet: nothing may be written.
    Standby,
    /// This process may write while the term lasts.
    Leading(Term),
    /// It was the leader and no longer is, and never will be again.
    Lost {
        /// How that came: a lowercase sentence.
        message: String,
    },
}

/// Which lease, and how long everything may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of the lease.
    pub namespace: String,
    /// Its name: operators with the same one take turns.
    pub name: String,
    /// Who this process is. No other process may have the same identity, earlier ones included.
    pub identity: String,
    /// After so long without a renewal others take the lease.
    pub duration: Duration,
    /// After so long without a renewal the leader gives up.
    pub renew_deadline: Duration,
    /// So often the leader renews, and the others look.
    pub retry_period: Duration,
}

/// Settings with which there could be two leaders, or none. Whoever starts the process must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The leader would give up after others have taken over.
    #[error(
        "lease duration: it must be longer than the renew deadline; a leader must have stopped before another one begins"
    )]
    Duration,
    /// There would be no second attempt.
    #[error(
        "lease renew deadline: it must be more than 1.2 times the retry period; otherwise one failed attempt ends a term"
    )]
    RenewDeadline,
    /// The API server would be asked all the time.
    #[error("lease retry period: it must be longer than zero; 2s is usual")]
    RetryPeriod,
    /// There is no lease without a name, nor one without a holder.
    #[error("lease {0}: it is empty; give one")]
    Empty(&'static str),
}

impl Settings {
    /// Looks whether they fit together.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn check(&self) -> Result<(), SettingsError> {
        for (name, value) in
            [("namespace", &self.namespace), ("name", &self.name), ("identity", &self.identity)]
        {
            if value.is_empty() {
                return Err(SettingsError::Empty(name));
            }
        }
        if self.duration <= self.renew_deadline {
            return Err(SettingsError::Duration);
        }
        if self.renew_deadline <= self.retry_period.mul_f64(1.2) {
            return Err(SettingsError::RenewDeadline);
        }
        if self.retry_period.is_zero() {
            return Err(SettingsError::RetryPeriod);
        }
        Ok(())
    }
}

/// Enters the election for a lease of a cluster, in a task of its own.
pub fn enter(client: Client, settings: Settings) -> Election {
    Election::start(store::Leases::new(client, &settings), settings)
}
