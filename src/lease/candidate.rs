//! What to do about the lease as it is; no I/O.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

use super::{Settings, TERM};

/// A process that wants the lease.
pub(super) struct Candidate {
    settings: Settings,
    /// The lease as last seen, and when it was first seen to be so.
    seen: Option<(LeaseSpec, Instant)>,
    /// The term in which this process leads.
    term: Option<u64>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Create this lease: there is none.
    Create(Box<Lease>),
    /// Put this in place of what was seen.
    Replace(Box<Lease>),
    /// Look again later; this one holds it.
    Wait(String),
    /// This process was the leader; now this one is.
    Lost(String),
}

impl Candidate {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, seen: None, term: None }
    }

    /// What was written stands: from now on this process is the leader, in the term that is returned.
    pub(super) fn leads(&mut self, lease: &Lease) -> u64 {
        let term = term(lease).unwrap_or_default();
        self.term = Some(term);
        term
    }

    /// What to do about the lease that was read `now`. `held` is the highest term that a destination is known to hold.
    pub(super) fn step(&mut self, lease: Option<Lease>, held: u64, now: Instant) -> Step {
        let Some(lease) = lease else {
            self.seen = None;
            // A leader whose lease was deleted is quick enough, or it is not: creating it succeeds for one.
            let number = self.term.unwrap_or_else(since_1970).max(held.saturating_add(1));
            return Step::Create(Box::new(self.held(Lease::default(), number, 0)));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder == self.settings.identity {
            return self.renew(lease, held);
        }
        if self.term.is_some() {
            return Step::Lost(holder);
        }
        let changed = match &self.seen {
            Some((seen, changed)) if *seen == spec => *changed,
            _ => now,
        };
        let free = holder.is_empty() || changed + self.lasts(&spec) <= now;
        let transitions = spec.lease_transitions.unwrap_or_default();
        self.seen = Some((spec, changed));
        if !free {
            return Step::Wait(holder);
        }
        let number = term(&lease).map_or_else(since_1970, |last| last.saturating_add(1));
        let number = number.max(held.saturating_add(1));
        Step::Replace(Box::new(self.held(lease, number, transitions.saturating_add(1))))
    }

    /// The renewal of a lease that is this process's own.
    pub(super) fn renew(&self, lease: Lease, held: u64) -> Step {
        let number = self.term.or_else(|| term(&lease)).unwrap_or_else(since_1970);
        // A destination that holds more than this process's number was told so by an earlier leader: it holds the lease now, so
        // it may go above that.
        let number = if held > number { held.saturating_add(1) } else { number };
        let spec = lease.spec.as_ref();
        let transitions = spec.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        let acquired = spec.and_then(|spec| spec.acquire_time.clone());
        let mut lease = self.held(lease, number, transitions);
        if let (Some(spec), Some(acquired)) = (&mut lease.spec, acquired) {
            spec.acquire_time = Some(acquired);
        }
        Step::Replace(Box::new(lease))
    }

    /// The lease as whoever leaves leaves it; nothing if it is not this process's own.
    pub(super) fn release(&self, mut lease: Lease) -> Option<Lease> {
        let spec = lease.spec.as_mut()?;
        if spec.holder_identity.as_ref() != Some(&self.settings.identity) {
            return None;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(present());
        Some(lease)
    }

    fn held(&self, mut lease: Lease, number: u64, transitions: i32) -> Lease {
        lease.metadata.name = Some(self.settings.name.clone());
        lease.metadata.namespace = Some(self.settings.namespace.clone());
        lease.metadata.annotations.get_or_insert_default().insert(TERM.to_owned(), number.to_string());
        // Others count whole seconds; rounded up, they wait longer rather than shorter.
        let seconds = self.settings.duration.as_secs_f64().ceil();
        let now = present();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(seconds as i32),
            lease_transitions: Some(transitions),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..lease.spec.unwrap_or_default()
        });
        lease
    }

    /// How long a lease lasts without a renewal, as whoever holds it says.
    fn lasts(&self, spec: &LeaseSpec) -> Duration {
        match spec.lease_duration_seconds {
            Some(seconds @ 1..) => Duration::from_secs(u64::from(seconds.unsigned_abs())),
            _ => self.settings.duration,
        }
    }
}

/// The term that a lease names.
pub(super) fn term(lease: &Lease) -> Option<u64> {
    lease.metadata.annotations.as_ref()?.get(TERM)?.parse().ok()
}

/// Milliseconds: a lease that is deleted and made anew begins above where the last one was, unless that changed hands more than
/// a thousand times a second.
fn since_1970() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs()
}

fn present() -> MicroTime {
    MicroTime(jiff::Timestamp::now())
}
