//! From the state of things to conditions. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::engine::{InventoryReport, TargetReport};
use crate::export::{BindingStatus, Phase, Refusal};

/// Why something does not work: a documented reason, and a message that says what to do.
pub type Why = (String, String);

/// The conditions of one resource under construction.
pub struct Conditions {
    generation: Option<i64>,
    now: Timestamp,
    built: Vec<Condition>,
}

impl Conditions {
    /// Conditions about a generation of a resource. They are dated now; the writer puts earlier dates where a status is
    /// what it was.
    pub fn new(generation: Option<i64>, now: Timestamp) -> Self {
        Self { generation, now, built: Vec::new() }
    }

    /// Adds a condition.
    pub fn set(&mut self, type_: &str, status: bool, reason: &str, message: impl Into<String>) {
        self.add(type_, if status { "True" } else { "False" }, reason, message);
    }

    /// Adds a condition of which it is not known whether it holds.
    pub fn unknown(&mut self, type_: &str, reason: &str, message: impl Into<String>) {
        self.add(type_, "Unknown", reason, message);
    }

    /// Adds a condition as it is stored.
    pub fn keep(&mut self, stored: Condition) {
        self.built.push(stored);
    }

    fn add(&mut self, type_: &str, status: &str, reason: &str, message: impl Into<String>) {
        self.built.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            observed_generation: self.generation,
            last_transition_time: Time(self.now),
        });
    }

    /// The conditions, by type.
    pub fn finish(mut self) -> Vec<Condition> {
        self.built.sort_by(|a, b| a.type_.cmp(&b.type_));
        self.built
    }
}

/// The conditions of a target. `problem` is what the catalog has against it, if anything.
pub(super) fn target_conditions(conditions: &mut Conditions, problem: Option<Why>, report: &TargetReport) {
    let source = report.source_problem.as_ref();
    let not_ready = problem
        .or_else(|| source.map(|problem| (problem.reason.to_owned(), problem.to_string())))
        .or_else(|| {
            let message = "the objects are being listed for the first time; nobody has to act";
            (!report.hydrated).then(|| ("Hydrating".to_owned(), message.to_owned()))
        });
    let failures = report.failures;
    match &not_ready {
        Some((reason, message)) => {
            conditions.set("Ready", false, reason, message);
            conditions.set("Synced", false, reason, message);
        }
        None => {
            let message = format!("{} collected", rows(report.rows));
            conditions.set("Ready", true, "Collecting", message.clone());
            conditions.set("Synced", true, "Collecting", message);
        }
    }
    match not_ready {
        Some((reason, message)) if reason != "Hydrating" && reason != "Suspended" => {
            conditions.set("Degraded", true, &reason, message);
        }
        _ if failures > 0 => {
            let last = report.last_failure.as_deref().unwrap_or_default();
            let attributes = if failures == 1 { "1 attribute" } else { &format!("{failures} attributes") };
            let message = format!(
                "{attributes} could not be evaluated, the last: {last}; fix the profile or the objects"
            );
            conditions.set("Degraded", true, "ExtractionFailed", message);
        }
        // What is waited for is said here too: it is what `kubectl get` shows.
        Some((_, message)) => conditions.set("Degraded", false, "Collecting", message),
        None => conditions.set("Degraded", false, "Collecting", "nothing needs attention"),
    }
}

/// Whether a binding is up to date, and if not, why.
pub fn binding_state(status: &BindingStatus) -> Result<(), Why> {
    let why = |message: &str| Err((status.reason().to_owned(), message.to_owned()));
    match &status.phase {
        Phase::Connecting => why("connecting to the destination; nobody has to act"),
        Phase::Hydrating => why("waiting until the targets' objects are listed; nobody has to act"),
        Phase::Resuming => why("comparing the destination with the inventory; nobody has to act"),
        Phase::Live if status.set_aside.count > 0 => {
            let first = status.set_aside.shown.first();
            let first =
                first.map(|row| format!(", the first: {}: {}", row.key, row.message)).unwrap_or_default();
            let (what, remedy) = match status.set_aside.cause {
                Refusal::Destination => (
                    "that the destination refuses",
                    "correct the objects, or the profile so that it leaves that out",
                ),
                Refusal::Size => (
                    "larger than maxExportBytes",
                    "raise that, or change the profile so that it leaves something out",
                ),
            };
            let count = rows(status.set_aside.count);
            why(&format!("{count} {what}{first}; {remedy}; the others are exported"))
        }
        Phase::Live => Ok(()),
        Phase::Retrying { message, .. }
        | Phase::CircuitOpen { message, .. }
        | Phase::Stopped { message, .. } => why(message),
    }
}

/// The conditions of an inventory. `problem` is what the catalog has against it as a whole; `degraded` what is wrong
/// with some of its targets or sink references; `bindings` its bindings, by sink.
pub(super) fn inventory_conditions(
    conditions: &mut Conditions,
    problem: Option<Why>,
    degraded: Option<Why>,
    report: Option<&InventoryReport>,
    bindings: &[(String, Result<(), Why>)],
) {
    let failed: Vec<_> =
        bindings.iter().filter_map(|(sink, state)| Some((sink, state.as_ref().err()?))).collect();
    let reachable =
        failed.iter().find(|(_, (reason, _))| reason == "SinkUnreachable" || reason == "CircuitOpen");
    match reachable {
        Some((sink, (reason, message))) => {
            conditions.set("SinkReachable", false, reason, format!("{sink}: {message}"));
        }
        None => conditions.set("SinkReachable", true, "Exported", "all destinations answer"),
    }
    let state: Result<String, Why> = if let Some(problem) = problem {
        Err(problem)
    } else if let Some((sink, (reason, message))) = failed.first() {
        let message = format!("{sink}: {message}");
        let part = failed.len() < bindings.len() && reason != "Hydrating";
        Err((if part { "PartiallySynced".to_owned() } else { reason.clone() }, message))
    } else {
        let count = report.map(|report| report.rows).unwrap_or_default();
        Ok(format!("{} at {} destinations", rows(count), bindings.len()))
    };
    match &state {
        Ok(message) => {
            conditions.set("Ready", true, "Exported", message.clone());
            conditions.set("Synced", degraded.is_none(), "Exported", message.clone());
        }
        Err((reason, message)) => {
            conditions.set("Ready", false, reason, message.clone());
            conditions.set("Synced", false, reason, message.clone());
        }
    }
    let waits = |reason: &str| reason == "Hydrating" || reason == "Suspended";
    match (state.err(), degraded) {
        (Some((reason, message)), _) if !waits(&reason) => {
            conditions.set("Degraded", true, &reason, message);
        }
        (_, Some((reason, message))) => conditions.set("Degraded", true, &reason, message),
        (Some((_, message)), None) => conditions.set("Degraded", false, "Exported", message),
        (None, None) => conditions.set("Degraded", false, "Exported", "nothing needs attention"),
    }
}

/// The conditions of a sink or a profile: whether it can be used.
pub(super) fn sink_conditions(conditions: &mut Conditions, problem: Option<Why>, ready: (&str, String)) {
    match problem {
        Some((reason, message)) => conditions.set("Ready", false, &reason, message),
        None => conditions.set("Ready", true, ready.0, ready.1),
    }
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn ready(conditions: &[Condition]) -> &Condition {
        conditions.iter().find(|condition| condition.type_ == "Ready").unwrap()
    }

    fn target(problem: Option<Why>, report: &TargetReport) -> Vec<Condition> {
        let mut conditions = Conditions::new(Some(3), Timestamp::UNIX_EPOCH);
        target_conditions(&mut conditions, problem, report);
        conditions.finish()
    }

    #[test]
    fn a_target_is_ready_when_hydrated_unless_the_catalog_has_something_against_it() {
        assert_eq!(ready(&target(None, &TargetReport::default())).reason, "Hydrating");
        let hydrated = TargetReport { hydrated: true, active: true, rows: 7, ..TargetReport::default() };
        let fine = target(None, &hydrated);
        assert_eq!((ready(&fine).status.as_str(), ready(&fine).observed_generation), ("True", Some(3)));
        let missing = Some(("ProfileNotFound".to_owned(), "no profile".to_owned()));
        assert_eq!(ready(&target(missing, &hydrated)).reason, "ProfileNotFound");
    }

    #[test]
    fn a_target_with_failing_attributes_is_ready_and_degraded() {
        let report = TargetReport { hydrated: true, failures: 2, ..TargetReport::default() };
        let conditions = target(None, &report);
        assert_eq!(ready(&conditions).status, "True");
        let degraded = conditions.iter().find(|condition| condition.type_ == "Degraded").unwrap();
        assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", "ExtractionFailed"));
    }

    #[test]
    fn one_failing_destination_of_two_makes_an_inventory_partially_synced() {
        let failed = Err(("SinkUnreachable".to_owned(), "refused".to_owned()));
        let states = [("database/a/b".to_owned(), Ok(())), ("snapshot/a/c".to_owned(), failed.clone())];
        let mut conditions = Conditions::new(None, Timestamp::UNIX_EPOCH);
        inventory_conditions(&mut conditions, None, None, None, &states);
        let conditions = conditions.finish();
        assert_eq!(ready(&conditions).reason, "PartiallySynced");
        let mut conditions = Conditions::new(None, Timestamp::UNIX_EPOCH);
        inventory_conditions(&mut conditions, None, None, None, &[("a".to_owned(), failed)]);
        assert_eq!(ready(&conditions.finish()).reason, "SinkUnreachable");
    }
}
