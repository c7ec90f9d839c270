//! When to try again after an error, and when to compare all rows again.

use std::time::Duration;

use tokio::time::Instant;

use super::status::Phase;
use crate::sinks::SinkError;

/// The longest pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so many failures in a row the circuit opens.
const TOLERATED: u32 = 5;
/// So long the circuit stays open before one attempt is made.
const OPEN: Duration = Duration::from_secs(30);
/// Between attempts when somebody must act at the destination, of which nothing tells us.
const SLOW: Duration = Duration::from_secs(60);

/// All rows are compared again no sooner than after so many times the duration of the last comparison.
const REST: u32 = 20;
/// A destination that is never idle is compared after so many times the pause of an idle one.
const BUSY: u32 = 10;
/// However often comparing is asked for, there is as much between two.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Counts failures in a row, and says what follows from the next one.
pub(super) struct Retry {
    failures: u32,
    random: fastrand::Rng,
}

impl Retry {
    pub(super) fn new() -> Self {
        Self { failures: 0, random: fastrand::Rng::new() }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Something was delivered, or there was nothing to deliver.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// What the binding does after this error, and when it tries again, if it does.
    pub(super) fn failed(&mut self, error: &SinkError) -> (Phase, Option<Instant>) {
        let (reason, message) = (error.reason(), error.to_string());
        let now = Instant::now();
        self.failures = self.failures.saturating_add(1);
        if !error.is_retryable() {
            // Whatever is wrong at the destination can be put right there, without a change of our configuration.
            let next = (!matches!(error, SinkError::Terminal { .. })).then(|| now + SLOW);
            return (Phase::Stopped { reason, message, next }, next);
        }
        if self.failures >= TOLERATED {
            let next = now + OPEN;
            return (Phase::CircuitOpen { reason, message, next }, Some(next));
        }
        let next = now + self.pause();
        (Phase::Retrying { reason, message, attempt: self.failures, next }, Some(next))
    }

    /// Anything up to a bound that doubles with each failure, so that many bindings of one destination don't return
    /// all at once.
    fn pause(&mut self) -> Duration {
        let bound = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST_PAUSE);
        bound.mul_f64(self.random.f64())
    }
}

/// When to compare all rows.
pub(super) struct Pace {
    min_interval: Duration,
    last_change: Instant,
    /// When the last comparison ended, and how long the destination is left alone after it.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    pub(super) fn new(min_interval: Duration) -> Self {
        let min_interval =
            if min_interval.is_zero() { min_interval } else { min_interval.max(SHORTEST_INTERVAL) };
        Self { min_interval, last_change: Instant::now(), last: None }
    }

    pub(super) fn changed(&mut self) {
        self.last_change = Instant::now();
    }

    pub(super) fn asked(&mut self) {
        self.last = None;
    }

    pub(super) fn compared(&mut self, begin: Instant) {
        self.last = Some((Instant::now(), self.min_interval.max(begin.elapsed() * REST)));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let (end, rest) = self.last?;
        let idle = (self.last_change + self.min_interval).max(end + rest);
        (!self.min_interval.is_zero()).then(|| idle.min(end + rest * BUSY))
    }
}
