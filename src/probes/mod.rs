//! Probes: whether a sink can be reached and used, or a profile be evaluated, without writing anything.
//!
//! ```text
//! plan ─► wanted probes ─► schedule: which is due ─► attempts, so many at a time ─► report: outcomes
//!                             ▲                                   │
//!                             └───────── again, later ◄───────────┘
//! ```
//!
//! One task does all of it beside whoever wants the probes, and nobody waits for it: a sink that does not answer costs one
//! of [`AT_ONCE`] places for [`PATIENCE`] at most. What was found out is kept for as long as the probe is wanted and its subject
//! stays the same.

mod attempt;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kollect_dataflows::extract::Profile;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::catalog::{ResourceName, SinkName};
use crate::latest;
use crate::sinks::SinkConfig;
use crate::sources::Source;
use schedule::Schedule;

/// So many attempts are under way at a time.
pub const AT_ONCE: usize = 8;

/// How long one attempt may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a probe is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKey {
    /// A sink's own probe.
    Sink(SinkName),
    /// A connection test; one that is created anew under the same name is another.
    Test(ResourceName, String),
}

/// What is tried.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Changes with the spec of the resource.
    pub generation: Option<i64>,
    /// The sink to connect to.
    pub sink: Option<SinkConfig>,
    /// The profile to evaluate on an object.
    pub profile: Option<Arc<Profile>>,
    /// Why there is nothing to try: a reason, and a message.
    pub impediment: Option<(String, String)>,
}

/// Profiles can't be compared, but one that did not change is the same.
impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        let Self { generation, sink, profile, impediment } = self;
        let same_profile = match (profile, &other.profile) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same_profile && (generation, sink, impediment) == (&other.generation, &other.sink, &other.impediment)
    }
}

/// When a probe is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At each change of its subject, and again while it fails.
    Always,
    /// Only when it is asked for, once.
    OnRequest,
    /// Until it succeeds, and for so long at most; then never again.
    Until(Duration),
}

/// A probe that somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What is tried.
    pub subject: Subject,
    /// When.
    pub pace: Pace,
    /// One more attempt is asked for. It is made once; asking again takes a moment of not asking.
    pub requested: bool,
}

/// What came of the last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was found, or a reason and why it does not work: sentences without credentials.
    pub result: Result<String, (String, String)>,
    /// How long it took.
    pub latency: Duration,
    /// When it ended.
    pub at: Timestamp,
    /// Whether there is no other attempt to come.
    pub last: bool,
}

/// What is known of all probes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The outcomes that there are.
    pub outcomes: BTreeMap<ProbeKey, Outcome>,
    /// The probes that were asked for, and made.
    pub answered: BTreeSet<ProbeKey>,
}

/// Runs probes in a task of its own.
pub struct Probes {
    wanted: watch::Sender<BTreeMap<ProbeKey, Wanted>>,
    report: watch::Receiver<Report>,
}

impl Probes {
    /// Starts the task; it ends with `stop`. Objects for profiles come from the source.
    pub fn start(source: Arc<dyn Source>, stop: &CancellationToken) -> Self {
        let (wanted, receiver) = watch::channel(BTreeMap::new());
        let (sender, report) = watch::channel(Report::default());
        let (stop, task) = (stop.clone(), run(source, receiver, sender));
        tokio::spawn(async move { stop.run_until_cancelled(task).await });
        Self { wanted, report }
    }

    /// Says which probes are wanted from now on; the others are forgotten.
    pub fn want(&self, wanted: BTreeMap<ProbeKey, Wanted>) {
        latest::replace(&self.wanted, wanted);
    }

    /// What is known.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Tells when more is known.
    pub fn changes(&self) -> watch::Receiver<Report> {
        self.report.clone()
    }
}

async fn run(
    source: Arc<dyn Source>,
    mut wanted: watch::Receiver<BTreeMap<ProbeKey, Wanted>>,
    report: watch::Sender<Report>,
) {
    let mut schedule = Schedule::default();
    let mut attempts = JoinSet::new();
    loop {
        let next = schedule.next_due().filter(|_| attempts.len() < AT_ONCE);
        let pause = async {
            match next {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = wanted.borrow_and_update().clone();
                schedule.want(wanted, Instant::now());
            }
            Some(ended) = attempts.join_next() => {
                // A panic of an attempt is its own affair; the others go on.
                if let Ok((key, number, result, latency)) = ended {
                    schedule.end(&key, number, result, latency, Instant::now());
                }
            }
            () = pause => {}
        }
        while attempts.len() < AT_ONCE
            && let Some((key, number, subject)) = schedule.begin(Instant::now())
        {
            let source = Arc::clone(&source);
            attempts.spawn(async move {
                let begin = Instant::now();
                let result = attempt::attempt(&subject, source.as_ref()).await;
                (key, number, result, begin.elapsed())
            });
        }
        latest::replace(&report, schedule.report());
    }
}
