//! Connection tests: what each of them is to try.

use kollect_dataflows::data;

use super::fields::Reporter;
use super::problem::{ResourceRef, reason};
use super::scopes::{Refusal, Scopes};
use super::{ConnectionTestPlan, Input, Plan, ResourceName, SinkFamily, SinkName, profiles};
use crate::api::{Gvk, KollectConnectionTest, TestedSink};

/// The kind of the resources.
pub(super) const KIND: &str = "KollectConnectionTest";

/// Plans every test that has not come to its end; profiles and sinks are planned already.
pub(super) fn plan(input: &Input, plan: &mut Plan) {
    for (name, test) in &input.connection_tests {
        let status = test.status.as_ref();
        if status.is_some_and(|status| status.completed == Some(true)) {
            continue;
        }
        let mut planned = ConnectionTestPlan::default();
        if refused(input, name, test, plan) {
            plan.connection_tests.insert(name.clone(), planned);
            continue;
        }
        if let Some(reference) = &test.spec.sink_ref {
            planned.sink = sink(input, name, reference, plan);
        }
        if let Some(profile) = &test.spec.profile_ref {
            let profile = ResourceName::new(&name.namespace, profile);
            let cause = ResourceRef::new(profiles::KIND, &profile);
            const FIELD: &str = "spec.profileRef";
            match plan.profiles.get(&profile).map(|profile| profile.usable) {
                Some(true) => planned.profile = Some(profile),
                Some(false) => pass_on(name, FIELD, cause, plan),
                None => {
                    let message = format!("there is no KollectProfile {profile}");
                    let remedy = "create it, or name one that exists in the test's namespace";
                    let mut reporter = reporter(name, plan);
                    reporter.report_cause(cause, FIELD, reason::PROFILE_NOT_FOUND, message, remedy);
                }
            }
        }
        plan.connection_tests.insert(name.clone(), planned);
    }
}

/// Whether scopes don't allow what is tested, which is reported: a test must not be a way around them.
fn refused(input: &Input, name: &ResourceName, test: &KollectConnectionTest, plan: &mut Plan) -> bool {
    let scopes = Scopes::of(input, &name.namespace);
    let mut refusals = vec![("spec", scopes.unknown())];
    if let Some(profile) = &test.spec.profile_ref
        && let Some(profile) = input.profiles.get(&ResourceName::new(&name.namespace, profile))
    {
        let Gvk { group, version, kind } = &profile.spec.target_gvk;
        refusals.push(("spec.profileRef", scopes.kind(&data::Gvk::new(group, version, kind))));
    }
    if let Some(TestedSink { database_sink_ref, snapshot_sink_ref, event_sink_ref }) = &test.spec.sink_ref {
        let tested = [database_sink_ref, snapshot_sink_ref, event_sink_ref];
        for (family, sink) in SinkFamily::ALL.into_iter().zip(tested) {
            let sink = sink.as_ref().map(|sink| ResourceName::new(&name.namespace, sink));
            let refusal = sink.and_then(|name| scopes.sink(&SinkName { family, name }));
            refusals.push(("spec.sinkRef", refusal));
        }
    }
    let before = plan.problems.len();
    for (field, refusal) in refusals {
        if let Some(Refusal { reason, message, remedy }) = refusal {
            reporter(name, plan).report(field, reason, message, remedy);
        }
    }
    plan.problems.len() > before
}

fn reporter<'a>(name: &ResourceName, plan: &'a mut Plan) -> Reporter<'a> {
    Reporter { resource: ResourceRef::new(KIND, name), problems: &mut plan.problems }
}

/// The sink to test; `None` when it can't be used, which is reported.
fn sink(input: &Input, name: &ResourceName, reference: &TestedSink, plan: &mut Plan) -> Option<SinkName> {
    if input.options.output.is_some() {
        return None;
    }
    let missing = |kind: &str, sink: &str| {
        format!("there is no {}", ResourceRef::new(kind, &ResourceName::new(&name.namespace, sink)))
    };
    let remedy = "create it, or name one that exists in the test's namespace";
    let (family, field, sink) = match reference {
        TestedSink { database_sink_ref: Some(sink), .. } => {
            (SinkFamily::Database, "spec.sinkRef.databaseSinkRef", sink)
        }
        TestedSink { snapshot_sink_ref: Some(sink), .. } => {
            (SinkFamily::Snapshot, "spec.sinkRef.snapshotSinkRef", sink)
        }
        TestedSink { event_sink_ref: Some(sink), .. } => {
            (SinkFamily::Event, "spec.sinkRef.eventSinkRef", sink)
        }
        TestedSink { .. } => {
            let remedy = "give databaseSinkRef, snapshotSinkRef or eventSinkRef";
            reporter(name, plan).report("spec.sinkRef", reason::SINK_NOT_FOUND, "no sink is named", remedy);
            return None;
        }
    };
    let sink = SinkName { family, name: ResourceName::new(&name.namespace, sink) };
    let usable = plan.sinks.get(&sink).map(|sink| sink.config.is_some());
    match usable {
        Some(true) => return Some(sink),
        Some(false) => pass_on(name, field, sink.resource(), plan),
        None => {
            let message = missing(family.kind(), &sink.name.name);
            let mut reporter = reporter(name, plan);
            reporter.report_cause(sink.resource(), field, reason::SINK_NOT_FOUND, message, remedy);
        }
    }
    None
}

/// What is tested can't even be tried: its first problem is the test's too. It may have none, when its Secret is elsewhere.
fn pass_on(name: &ResourceName, field: &str, cause: ResourceRef, plan: &mut Plan) {
    let Some(problem) = plan.problems.iter().filter(|problem| problem.resource == cause).min().cloned()
    else {
        return;
    };
    let message = format!("{cause} {}: {}", problem.field, problem.message);
    reporter(name, plan).report_cause(cause, field, problem.reason, message, problem.remedy);
}
