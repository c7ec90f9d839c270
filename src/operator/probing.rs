//! What is to be probed, and what is to be done about connection tests and requests: from resources, plan and outcomes. Pure, but
//! for the time.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::errands::{Errand, Owner};
use super::previews;
use crate::api::{KollectConnectionTest, says_true};
use crate::catalog::{
    Catalog, Input, Plan, Problem, ResourceName, ResourceRef, SinkFamily, SinkName, reason,
};
use crate::probes::{Pace, ProbeKey, Report, Subject, Wanted};

/// Asks for a preview of a sink for as long as it says `true`.
const PREVIEW: &str = "kollect.dev/preview";

/// Asks for one probe of a sink when it says `true`.
const TEST_CONNECTION: &str = "kollect.dev/test-connection";

/// So long a connection test is tried at most.
const TEST_LIMIT: Duration = Duration::from_secs(300);

/// The probes that sinks and connection tests want.
pub(super) fn wanted(input: &Input, plan: &Plan, catalog: &Catalog) -> BTreeMap<ProbeKey, Wanted> {
    let mut all = BTreeMap::new();
    for (name, metadata) in sinks(input) {
        if let Some(wanted) = of_sink(&name, metadata, plan) {
            all.insert(ProbeKey::Sink(name), wanted);
        }
    }
    for (name, planned) in &plan.connection_tests {
        let Some(test) = input.connection_tests.get(name) else { continue };
        let sink = planned.sink.as_ref().and_then(|sink| plan.sinks.get(sink)?.config.clone());
        let profile = planned.profile.as_ref().and_then(|profile| catalog.profile(profile));
        let nothing = sink.is_none() && profile.is_none();
        let impediment = plan.problems_of(&resource(name)).next().map(why).or_else(|| {
            // Whoever wrote the test to the API server had to name something, so there is always a problem then.
            nothing.then(|| (reason::SPEC_INVALID.to_owned(), "there is nothing to test".to_owned()))
        });
        let subject = Subject { generation: test.metadata.generation, sink, profile, impediment };
        let wanted = Wanted { subject, pace: Pace::Until(TEST_LIMIT), requested: false };
        all.insert(key(name, test), wanted);
    }
    all
}

/// The previews that sinks want.
pub(super) fn previews(input: &Input, plan: &Plan) -> BTreeMap<SinkName, previews::Wanted> {
    let asking = sinks(input).filter(|(_, metadata)| says_true(metadata, PREVIEW));
    asking.filter_map(|(name, _)| Some((name.clone(), previews::Wanted::of(&name, plan)?))).collect()
}

/// The probe that a sink wants, if it wants one.
fn of_sink(name: &SinkName, metadata: &ObjectMeta, plan: &Plan) -> Option<Wanted> {
    let planned = plan.sinks.get(name)?;
    let requested = is_requested(metadata);
    let problem = plan.problems_of(&name.resource()).next();
    let (pace, impediment) = match (&planned.config, problem) {
        (Some(_), _) if planned.connection_test => (Pace::Always, None),
        (Some(_), _) => (Pace::OnRequest, None),
        // In a moment it is known what its Secret holds.
        (None, Some(problem)) if problem.reason == reason::SECRET_UNREADABLE => return None,
        // There is nothing to probe, but who asks gets an answer.
        (None, problem) => (Pace::OnRequest, Some(problem.filter(|_| requested).map(why)?)),
    };
    let generation = metadata.generation;
    let subject = Subject { generation, sink: planned.config.clone(), impediment, ..Subject::default() };
    Some(Wanted { subject, pace, requested })
}

/// What is to be done in the API server, and from when on: requests that were answered are taken back, tests belong to their
/// sinks, and those whose time is over are removed.
pub(super) fn errands(input: &Input, probes: &Report) -> BTreeMap<Errand, Timestamp> {
    let mut all = BTreeMap::new();
    let now = Timestamp::UNIX_EPOCH;
    for (name, metadata) in sinks(input) {
        if is_requested(metadata) && probes.answered.contains(&ProbeKey::Sink(name.clone())) {
            let annotation = TEST_CONNECTION;
            all.insert(Errand::Unannotate { resource: name.resource(), annotation }, now);
        }
    }
    for (name, test) in &input.connection_tests {
        let Some(uid) = test.metadata.uid.clone() else { continue };
        if let Some(owner) = owner_to_be(input, name, test) {
            all.insert(Errand::Own { test: name.clone(), uid: uid.clone(), owner }, now);
        }
        let status = test.status.as_ref().filter(|status| status.completed == Some(true));
        if let Some(completed_at) = status.and_then(|status| status.completed_at.as_ref()) {
            let ttl = SignedDuration::from_secs(i64::from(test.spec.ttl_seconds_after_finished));
            let due = completed_at.0.checked_add(ttl).unwrap_or(Timestamp::MAX);
            all.insert(Errand::Remove { test: name.clone(), uid }, due);
        }
    }
    all
}

/// The sink that is to own a test and does not yet.
fn owner_to_be(input: &Input, name: &ResourceName, test: &KollectConnectionTest) -> Option<Owner> {
    let reference = test.spec.sink_ref.as_ref().filter(|_| test.spec.owner_sink)?;
    if test.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let references = [
        (SinkFamily::Database, &reference.database_sink_ref),
        (SinkFamily::Snapshot, &reference.snapshot_sink_ref),
        (SinkFamily::Event, &reference.event_sink_ref),
    ];
    let (family, sink) = references.into_iter().find_map(|(family, sink)| Some((family, sink.as_ref()?)))?;
    let sink = ResourceName::new(&name.namespace, sink);
    let uid = match family {
        SinkFamily::Database => input.database_sinks.get(&sink)?.metadata.uid.clone()?,
        SinkFamily::Snapshot => input.snapshot_sinks.get(&sink)?.metadata.uid.clone()?,
        SinkFamily::Event => input.event_sinks.get(&sink)?.metadata.uid.clone()?,
    };
    let owners = test.metadata.owner_references.iter().flatten();
    let is_owned = owners.map(|owner| &owner.uid).any(|owner| *owner == uid);
    (!is_owned).then(|| Owner { kind: family.kind(), name: sink.name, uid })
}

fn sinks(input: &Input) -> impl Iterator<Item = (SinkName, &ObjectMeta)> {
    let name = |family, name: &ResourceName| SinkName { family, name: name.clone() };
    let databases = input.database_sinks.iter();
    let databases =
        databases.map(move |(sink, resource)| (name(SinkFamily::Database, sink), &resource.metadata));
    let snapshots = input.snapshot_sinks.iter();
    let snapshots =
        snapshots.map(move |(sink, resource)| (name(SinkFamily::Snapshot, sink), &resource.metadata));
    let events = input.event_sinks.iter();
    let events = events.map(move |(sink, resource)| (name(SinkFamily::Event, sink), &resource.metadata));
    databases.chain(snapshots).chain(events)
}

fn is_requested(metadata: &ObjectMeta) -> bool {
    says_true(metadata, TEST_CONNECTION)
}

fn key(name: &ResourceName, test: &KollectConnectionTest) -> ProbeKey {
    ProbeKey::Test(name.clone(), test.metadata.uid.clone().unwrap_or_default())
}

fn resource(name: &ResourceName) -> ResourceRef {
    ResourceRef::new("KollectConnectionTest", name)
}

fn why(problem: &Problem) -> (String, String) {
    (problem.reason.to_owned(), format!("{}: {}; {}", problem.field, problem.message, problem.remedy))
}
