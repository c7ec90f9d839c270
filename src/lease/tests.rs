//! The election on a clock that the tests turn, with a lease in memory that is as strict about versions as an API server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use super::candidate::{Candidate, Step, term};
use super::store::{Store, StoreError};
use super::{Election, Leadership, Settings, SettingsError, TERM};
use crate::sinks::Term;

const SECOND: Duration = Duration::from_secs(1);

fn settings(identity: &str) -> Settings {
    Settings {
        namespace: "kollect-system".to_owned(),
        name: "kollect-operator".to_owned(),
        identity: identity.to_owned(),
        duration: 15 * SECOND,
        renew_deadline: 10 * SECOND,
        retry_period: 2 * SECOND,
    }
}

#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
    /// Those that it does not answer.
    cut_off: Vec<&'static str>,
    /// Those whose writes it takes without an answer.
    unheard: Vec<&'static str>,
    writes: Vec<String>,
}

/// The API server as one process reaches it.
#[derive(Clone, Default)]
struct Api {
    server: Arc<Mutex<Server>>,
    process: &'static str,
}

impl Api {
    fn of(&self, process: &'static str) -> Self {
        Self { process, ..self.clone() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Server) -> T) -> T {
        look(&mut self.server.lock().unwrap())
    }

    fn holder(&self) -> String {
        self.with(|server| {
            let spec = server.lease.as_ref().and_then(|lease| lease.spec.clone());
            spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
        })
    }

    async fn reach(&self) {
        if self.with(|server| server.cut_off.contains(&self.process)) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    async fn write(&self, lease: &Lease, create: bool) -> Result<Lease, StoreError> {
        self.reach().await;
        let written = self.with(|server| {
            let found = server.lease.as_ref().map(|lease| lease.metadata.resource_version.clone());
            let expected = (!create).then(|| lease.metadata.resource_version.clone());
            if found != expected {
                return Err(StoreError::Conflict);
            }
            server.version += 1;
            let mut lease = lease.clone();
            lease.metadata.resource_version = Some(server.version.to_string());
            server.lease = Some(lease.clone());
            server.writes.push(self.process.to_owned());
            Ok(lease)
        });
        if self.with(|server| server.unheard.contains(&self.process)) {
            std::future::pending::<()>().await;
        }
        written
    }
}

#[async_trait]
impl Store for Api {
    async fn get(&self) -> Result<Option<Lease>, StoreError> {
        self.reach().await;
        Ok(self.with(|server| server.lease.clone()))
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.write(lease, true).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.write(lease, false).await
    }
}

fn enter(api: &Api, process: &'static str) -> Election {
    Election::start(api.of(process), settings(process))
}

/// Waits until the process leads.
async fn leads(election: &Election) -> Term {
    let mut leadership = election.leadership();
    let now = leadership.wait_for(|now| !matches!(now, Leadership::Standby)).await.unwrap().clone();
    match now {
        Leadership::Leading(term) => term,
        other => panic!("{other:?}"),
    }
}

async fn loses(election: &Election) -> String {
    let mut leadership = election.leadership();
    let now = leadership.wait_for(|now| matches!(now, Leadership::Lost { .. })).await.unwrap().clone();
    match now {
        Leadership::Lost { message } => message,
        other => panic!("{other:?}"),
    }
}

fn stands_by(election: &Election) -> bool {
    matches!(*election.leadership().borrow(), Leadership::Standby)
}

#[tokio::test(start_paused = true)]
async fn of_several_one_leads_and_renews_and_the_others_stand_by() {
    let api = Api::default();
    let (a, b, c) = (enter(&api, "a"), enter(&api, "b"), enter(&api, "c"));
    tokio::time::sleep(120 * SECOND).await;
    let leading = [&a, &b, &c].into_iter().filter(|election| !stands_by(election)).count();
    assert_eq!(leading, 1);
    let writes = api.with(|server| server.writes.clone());
    assert!((50..=62).contains(&writes.len()), "{}", writes.len());
    assert!(writes.iter().all(|process| *process == api.holder()));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_one_begins() {
    let api = Api::default();
    let a = enter(&api, "a");
    let old = leads(&a).await;
    let b = enter(&api, "b");
    tokio::time::sleep(7 * SECOND).await;
    api.with(|server| server.cut_off.push("a"));
    let begin = Instant::now();
    old.over().await;
    let stopped = Instant::now();
    assert!(stopped - begin <= 10 * SECOND);
    assert!(loses(&a).await.contains("renewed"));
    assert!(stands_by(&b), "two leaders at once");
    let new = leads(&b).await;
    assert!(new.number() > old.number());
    assert!(Instant::now() - stopped >= 3 * SECOND);
    // A lease that runs out and a look at each retry period.
    assert!(Instant::now() - begin <= (15 + 3) * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_renewals_are_taken_but_not_answered_stops_too() {
    let api = Api::default();
    let a = enter(&api, "a");
    let old = leads(&a).await;
    api.with(|server| server.unheard.push("a"));
    old.over().await;
    loses(&a).await;
    // Its last renewal, of which it does not know, counts for the others.
    let b = enter(&api, "b");
    let new = leads(&b).await;
    assert!(new.number() > old.number());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_got_without_an_answer_is_recognised() {
    let api = Api::default();
    api.with(|server| server.unheard.push("a"));
    let a = enter(&api, "a");
    tokio::time::sleep(4 * SECOND).await;
    assert!(stands_by(&a) && api.holder() == "a");
    api.with(|server| server.unheard.clear());
    let term = leads(&a).await;
    assert!(!term.is_over());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_gives_the_lease_back_and_the_next_one_need_not_wait() {
    let api = Api::default();
    let a = enter(&api, "a");
    let old = leads(&a).await;
    let b = enter(&api, "b");
    tokio::time::sleep(5 * SECOND).await;
    a.leave().await;
    assert!(old.is_over() && api.holder().is_empty());
    let begin = Instant::now();
    let new = leads(&b).await;
    assert!(begin.elapsed() <= 3 * SECOND);
    assert_eq!(new.number(), old.number() + 1);
    // A standby that leaves touches nothing.
    let c = enter(&api, "c");
    tokio::time::sleep(5 * SECOND).await;
    c.leave().await;
    assert_eq!(api.holder(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_or_edited_makes_no_two_leaders_and_no_lower_term() {
    let api = Api::default();
    let a = enter(&api, "a");
    let first = leads(&a).await;
    // Deleted under the leader: it makes it anew, unless somebody else does.
    api.with(|server| server.lease = None);
    tokio::time::sleep(3 * SECOND).await;
    assert!(!first.is_over() && api.holder() == "a");
    // Given to somebody else by hand.
    api.with(|server| {
        let spec = server.lease.as_mut().unwrap().spec.as_mut().unwrap();
        spec.holder_identity = Some("b".to_owned());
        server.version += 1;
        server.lease.as_mut().unwrap().metadata.resource_version = Some(server.version.to_string());
    });
    assert!(loses(&a).await.contains("taken by b"));
    assert!(first.is_over());
    // Deleted while nobody leads: a new one begins above the old one.
    api.with(|server| server.lease = None);
    // The wall clock goes on in tests too.
    std::thread::sleep(Duration::from_millis(5));
    let c = enter(&api, "c");
    let second = leads(&c).await;
    assert!(second.number() > first.number());
    // And where a destination holds an even higher one, the leader goes above that.
    let higher = second.number() + 1_000_000;
    assert!(second.claim().admit(higher, "a destination").is_err());
    tokio::time::sleep(SECOND).await;
    assert_eq!(second.number(), higher + 1);
    assert_eq!(api.with(|server| term(server.lease.as_ref().unwrap())), Some(higher + 1));
    c.leave().await;
    let d = enter(&api, "d");
    assert_eq!(leads(&d).await.number(), higher + 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_leader_cannot_go_above_the_new_ones_term() {
    let api = Api::default();
    let a = enter(&api, "a");
    let old = leads(&a).await;
    // `a` believes for a while that it still leads: the lease is another's, as after a clock that stood still.
    let b = {
        api.with(|server| server.lease.as_mut().unwrap().spec.as_mut().unwrap().holder_identity = None);
        enter(&api, "b")
    };
    let new = leads(&b).await;
    assert_eq!(new.number(), old.number() + 1);
    assert!(old.claim().admit(new.number(), "a destination").is_err());
    loses(&a).await;
    assert!(old.is_over() && old.number() < new.number());
    assert_eq!(api.holder(), "b");
}

fn lease(step: Step) -> Lease {
    match step {
        Step::Create(lease) | Step::Replace(lease) => *lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_runs_out_by_the_clock_of_whoever_looks() {
    let mut holder = Candidate::new(settings("a"));
    let held = lease(holder.step(None, 0, Instant::now()));
    holder.leads(&held);
    // Its times are of a clock that is years behind; that is nothing to the others.
    let mut held = held;
    let long_ago = jiff::Timestamp::from_second(1_000_000_000).unwrap();
    held.spec.as_mut().unwrap().renew_time =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(long_ago));
    let mut other = Candidate::new(settings("b"));
    let wait = Step::Wait("a".to_owned());
    assert_eq!(other.step(Some(held.clone()), 0, Instant::now()), wait);
    tokio::time::advance(14 * SECOND).await;
    assert_eq!(other.step(Some(held.clone()), 0, Instant::now()), wait);
    // It is renewed; what else is changed about the object is no renewal.
    let renewed = lease(holder.renew(held.clone(), 0));
    let mut labelled = renewed.clone();
    labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    assert_eq!(other.step(Some(renewed), 0, Instant::now()), wait);
    tokio::time::advance(14 * SECOND).await;
    assert_eq!(other.step(Some(labelled.clone()), 0, Instant::now()), wait);
    tokio::time::advance(SECOND).await;
    let taken = lease(other.step(Some(labelled.clone()), 0, Instant::now()));
    let spec = taken.spec.as_ref().unwrap();
    assert_eq!(
        (spec.holder_identity.as_deref(), spec.lease_transitions, spec.lease_duration_seconds),
        (Some("b"), Some(1), Some(15))
    );
    assert_eq!(term(&taken), term(&labelled).map(|number| number + 1));
    other.leads(&taken);
    assert_eq!(holder.step(Some(taken), 0, Instant::now()), Step::Lost("b".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_is_no_number_counts_as_none_and_the_holders_duration_counts() {
    let mut other = Candidate::new(settings("b"));
    let mut held = lease(Candidate::new(settings("a")).step(None, 0, Instant::now()));
    let first = term(&held).unwrap();
    held.metadata.annotations.as_mut().unwrap().insert(TERM.to_owned(), "soon".to_owned());
    held.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
    assert!(matches!(other.step(Some(held.clone()), 0, Instant::now()), Step::Wait(_)));
    tokio::time::advance(59 * SECOND).await;
    assert!(matches!(other.step(Some(held.clone()), 0, Instant::now()), Step::Wait(_)));
    tokio::time::advance(SECOND).await;
    assert!(term(&lease(other.step(Some(held), 0, Instant::now()))).unwrap() >= first);
}

#[test]
fn settings_with_which_two_could_lead_are_refused() {
    let check = |change: fn(&mut Settings)| {
        let mut settings = settings("a");
        change(&mut settings);
        settings.check()
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|settings| settings.duration = 10 * SECOND), Err(SettingsError::Duration));
    assert_eq!(check(|settings| settings.retry_period = 9 * SECOND), Err(SettingsError::RenewDeadline));
    assert_eq!(check(|settings| settings.retry_period = Duration::ZERO), Err(SettingsError::RetryPeriod));
    assert_eq!(check(|settings| settings.name = String::new()), Err(SettingsError::Empty("name")));
}
