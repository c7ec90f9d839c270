//! Finalizers: a target or an inventory that is deleted stays until what it brought about is gone, however long nobody was there to
//! see to it, but never for good.
//!
//! | of | stays until | at most |
//! | --- | --- | --- |
//! | a target | the inventories that it fed are exported without its rows | 30 s from when this process saw it |
//! | an inventory | what it exported is removed from every sink whose `deletionPolicy` is `Delete` | 2 min of trying, and no longer than there is hope |
//!
//! In tenant mode no resource gets a finalizer, and what has one from before loses it: when a whole namespace is deleted, the Roles in it
//! may go first, and then nobody could take the finalizers away.
//!
//! What is left behind then is said in an event. Only metadata is looked at, so a resource that can't be read is let go of too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::errands::Errand;
use crate::catalog::{ResourceName, ResourceRef, SinkName};
use crate::export::Phase;
use crate::runtime::{LeftoverState, Report};
use crate::status::Told;

/// How long a target that is deleted waits for its rows to be removed from where they are exported to.
const PATIENCE: Duration = Duration::from_secs(30);

/// The reason of events that tell what is left behind.
const CLEANUP_TERMINAL: &str = "CleanupTerminal";

/// The kinds that are not let go of before they are cleaned up after, with their finalizers.
const KINDS: [(&str, &str); 4] = [
    ("KollectTarget", "kollect.dev/target-cleanup"),
    ("KollectClusterTarget", "kollect.dev/cluster-target-cleanup"),
    ("KollectInventory", "kollect.dev/inventory-cleanup"),
    ("KollectClusterInventory", "kollect.dev/cluster-inventory-cleanup"),
];

/// A resource of one of these kinds.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    kind: &'static (&'static str, &'static str),
    name: ResourceName,
    metadata: ObjectMeta,
}

impl Guarded {
    /// `None` when resources of the kind need no finalizer.
    pub(super) fn new(kind: &str, name: ResourceName, metadata: ObjectMeta) -> Option<Self> {
        let kind = KINDS.iter().find(|(known, ..)| *known == kind)?;
        Some(Self { kind, name, metadata })
    }

    fn resource(&self) -> ResourceRef {
        ResourceRef::new(self.kind.0, &self.name)
    }

    fn is_target(&self) -> bool {
        self.kind.0.ends_with("Target")
    }

    fn is_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn finalizers(&self) -> impl Iterator<Item = &String> {
        self.metadata.finalizers.iter().flatten()
    }

    fn has_ours(&self) -> bool {
        self.finalizers().any(|finalizer| finalizer == self.kind.1)
    }

    /// Gives the resource other finalizers, unless it has changed meanwhile: then this is thought over again.
    fn set(&self, finalizers: Vec<String>) -> Option<Errand> {
        Some(Errand::Finalizers {
            resource: self.resource(),
            uid: self.metadata.uid.clone()?,
            version: self.metadata.resource_version.clone()?,
            finalizers,
        })
    }

    fn add_ours(&self) -> Option<Errand> {
        self.set(self.finalizers().cloned().chain([self.kind.1.to_owned()]).collect())
    }

    fn remove_ours(&self) -> Option<Errand> {
        self.set(self.finalizers().filter(|finalizer| *finalizer != self.kind.1).cloned().collect())
    }

    fn warn(&self, message: String) -> Told {
        Told {
            key: self.resource(),
            uid: self.metadata.uid.clone(),
            warning: true,
            reason: CLEANUP_TERMINAL.to_owned(),
            message,
        }
    }
}

/// A target that is being deleted.
struct Departure {
    /// The mark that the graph reaches when it knows of it.
    mark: u64,
    /// The epoch that the mark came to.
    epoch: Option<u64>,
    since: Instant,
}

/// Decides which resources get finalizers, and which are let go of.
#[derive(Default)]
pub(super) struct Finalizers {
    /// Targets that are being deleted, by uid.
    departures: BTreeMap<String, Departure>,
    /// What was told of what is left behind, by uid of the inventory.
    told: BTreeSet<(String, String)>,
    /// Whether no resource is to have one.
    never: bool,
}

impl Finalizers {
    /// Those of an operator which adds them or, in tenant mode, takes them away.
    pub(super) fn new(tenant_mode: bool) -> Self {
        Self { never: tenant_mode, ..Self::default() }
    }

    /// What is to be done, and what is to be told. `report` is that of a runtime which has the plan in which those of `guarded` that
    /// are deleted are gone; `mark` marks its graph.
    pub(super) fn errands(
        &mut self,
        guarded: &[Guarded],
        report: &Report,
        mark: impl Fn() -> u64,
    ) -> (Vec<Errand>, Vec<Told>) {
        let (mut errands, mut told) = (Vec::new(), Vec::new());
        let leaving = |uid: &String| {
            guarded.iter().any(|one| one.is_deleted() && one.metadata.uid.as_ref() == Some(uid))
        };
        self.departures.retain(|uid, _| leaving(uid));
        let known = |uid: &String| guarded.iter().any(|one| one.metadata.uid.as_ref() == Some(uid));
        self.told.retain(|(uid, _)| known(uid));
        for one in guarded {
            match (one.is_deleted(), one.has_ours()) {
                (false, false) if !self.never => errands.extend(one.add_ours()),
                (false, true) if self.never => errands.extend(one.remove_ours()),
                (true, true) if one.is_target() => {
                    if self.has_departed(one, report, &mark) {
                        errands.extend(one.remove_ours());
                    }
                }
                (true, true) => {
                    if let Some(left) = left_of(&one.name, report) {
                        told.extend(self.tell(one, left));
                        errands.extend(one.remove_ours());
                    }
                }
                (false, _) | (true, false) => {}
            }
        }
        let lost = report.leftovers.iter().filter(|(_, state)| **state == LeftoverState::Lost);
        for (key, _) in lost {
            let of_inventory = |one: &&Guarded| !one.is_target() && one.name == key.inventory;
            for one in guarded.iter().filter(of_inventory).filter(|one| !one.is_deleted()) {
                told.extend(self.tell(one, vec![lost_at(&key.sink)]));
            }
        }
        (errands, told)
    }

    /// What of these messages about an inventory has not been told yet.
    fn tell(&mut self, one: &Guarded, messages: Vec<String>) -> Vec<Told> {
        let uid = one.metadata.uid.clone().unwrap_or_default();
        let new = messages.into_iter().filter(|message| self.told.insert((uid.clone(), message.clone())));
        new.map(|message| one.warn(message)).collect()
    }

    /// Whether no inventory is exported any more with a target's rows, or it has taken too long.
    fn has_departed(&mut self, target: &Guarded, report: &Report, mark: &impl Fn() -> u64) -> bool {
        let uid = target.metadata.uid.clone().unwrap_or_default();
        let new = || Departure { mark: mark(), epoch: None, since: Instant::now() };
        let departure = self.departures.entry(uid).or_insert_with(new);
        if departure.epoch.is_none() && report.engine.mark >= departure.mark {
            departure.epoch = Some(report.engine.mark_epoch);
        }
        let Some(epoch) = departure.epoch else { return departure.since.elapsed() >= PATIENCE };
        let mut fed =
            report.bindings.iter().filter(|(key, _)| key.inventory.namespace == target.name.namespace);
        let is_through = fed.all(|(_, (_, status))| match status.phase {
            Phase::Stopped { .. } | Phase::CircuitOpen { .. } => true,
            _ => status.settled.is_some_and(|settled| settled.epoch >= epoch),
        });
        is_through || departure.since.elapsed() >= PATIENCE
    }

    /// Waits until a target has been waiting for too long; for ever, when none waits.
    pub(super) async fn overdue(&self) {
        let longest = self.departures.values().map(|departure| departure.since + PATIENCE).min();
        match longest {
            Some(at) => {
                tokio::time::sleep_until(at.max(Instant::now() + Duration::from_secs(1)).into()).await
            }
            None => std::future::pending().await,
        }
    }
}

/// What is told of something that was exported to a sink that is gone.
fn lost_at(sink: &SinkName) -> String {
    format!("what was exported to {sink} is left there: there is no {} any more", sink.resource())
}

/// What is left behind of an inventory's exports for good; `None` while there is hope that more can be removed.
fn left_of(inventory: &ResourceName, report: &Report) -> Option<Vec<String>> {
    let mut left = Vec::new();
    for (key, state) in report.leftovers.iter().filter(|(key, _)| key.inventory == *inventory) {
        match state {
            LeftoverState::Settled => {}
            LeftoverState::Lost => left.push(lost_at(&key.sink)),
            LeftoverState::Failing { message, hopeless: true, .. } => {
                left.push(format!("what was exported to {} is left there: {message}", key.sink));
            }
            LeftoverState::Kept | LeftoverState::Removing | LeftoverState::Failing { .. } => return None,
        }
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::catalog::{BindingKey, SinkFamily, SinkName};
    use crate::export::{BindingStatus, Settled};

    fn guarded(kind: &str, deleted: bool, finalizers: &[&str]) -> Guarded {
        let metadata = ObjectMeta {
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            deletion_timestamp: deleted.then_some(Time(Timestamp::UNIX_EPOCH)),
            finalizers: Some(finalizers.iter().map(ToString::to_string).collect()),
            ..ObjectMeta::default()
        };
        Guarded::new(kind, ResourceName::new("a", "x"), metadata).unwrap()
    }

    fn key(namespace: &str) -> BindingKey {
        let sink = SinkName { family: SinkFamily::Database, name: ResourceName::new("a", "db") };
        BindingKey { inventory: ResourceName::new(namespace, "x"), sink }
    }

    /// The finalizers that are set, if any are, and how much is told.
    fn decide(finalizers: &mut Finalizers, one: Guarded, report: &Report) -> (Option<Vec<String>>, usize) {
        let (errands, told) = finalizers.errands(&[one], report, || 5);
        let mut set = errands.into_iter().map(|errand| match errand {
            Errand::Finalizers { finalizers, .. } => finalizers,
            other => panic!("{other:?}"),
        });
        (set.next(), told.len())
    }

    #[test]
    fn a_tenants_resources_get_none_and_lose_ours() {
        let mut state = Finalizers::new(true);
        let mut get = |deleted, finalizers: &[&str]| {
            decide(&mut state, guarded("KollectInventory", deleted, finalizers), &Report::default()).0
        };
        assert_eq!(get(false, &["x"]), None);
        assert_eq!(get(false, &["x", "kollect.dev/inventory-cleanup"]), Some(vec!["x".to_owned()]));
        assert_eq!(get(true, &["x", "kollect.dev/inventory-cleanup"]), Some(vec!["x".to_owned()]));
    }

    #[test]
    fn what_is_there_gets_a_finalizer_beside_others() {
        let mut state = Finalizers::default();
        let mut get = |finalizers: &[&str]| {
            decide(&mut state, guarded("KollectInventory", false, finalizers), &Report::default()).0
        };
        assert_eq!(get(&[]).unwrap(), ["kollect.dev/inventory-cleanup"]);
        assert_eq!(get(&["x"]).unwrap(), ["x", "kollect.dev/inventory-cleanup"]);
        assert_eq!(get(&["kollect.dev/inventory-cleanup", "x"]), None);
        assert!(Guarded::new("KollectProfile", ResourceName::new("a", "x"), ObjectMeta::default()).is_none());
    }

    #[test]
    fn an_inventory_waits_for_what_it_left_while_there_is_hope() {
        let failing = |hopeless| LeftoverState::Failing { reason: "r", message: "m".to_owned(), hopeless };
        for (state, lets_go, told) in [
            (LeftoverState::Kept, false, 0),
            (LeftoverState::Removing, false, 0),
            (failing(false), false, 0),
            (failing(true), true, 1),
            (LeftoverState::Lost, true, 1),
            (LeftoverState::Settled, true, 0),
        ] {
            let report = Report { leftovers: [(key("a"), state.clone())].into(), ..Report::default() };
            let mut finalizers = Finalizers::default();
            let mut one = || {
                let deleted = guarded("KollectInventory", true, &["x", "kollect.dev/inventory-cleanup"]);
                decide(&mut finalizers, deleted, &report)
            };
            let expected = lets_go.then(|| vec!["x".to_owned()]);
            assert_eq!(one(), (expected.clone(), told), "{state:?}");
            assert_eq!(one(), (expected, 0), "{state:?}: it is told once");
        }
        // One that stays is told of too.
        let report = Report { leftovers: [(key("a"), LeftoverState::Lost)].into(), ..Report::default() };
        let live = || guarded("KollectInventory", false, &["kollect.dev/inventory-cleanup"]);
        let mut finalizers = Finalizers::default();
        let told: Vec<usize> = (0..2).map(|_| decide(&mut finalizers, live(), &report).1).collect();
        assert_eq!(told, [1, 0]);
        // What others left, or what is gone from here, is nothing to it.
        let report = Report { leftovers: [(key("b"), LeftoverState::Removing)].into(), ..Report::default() };
        let mut finalizers = Finalizers::default();
        let ours = guarded("KollectInventory", true, &["kollect.dev/inventory-cleanup"]);
        assert_eq!(decide(&mut finalizers, ours, &report).0, Some(vec![]));
        assert_eq!(decide(&mut finalizers, guarded("KollectInventory", true, &["x"]), &report).0, None);
    }

    #[test]
    fn a_target_waits_for_inventories_of_its_namespace_to_be_exported_without_it() {
        let report = |mark: u64, settled: Option<u64>, phase: Phase| {
            let settled = settled.map(|epoch| Settled { epoch, rows: 0, digest: Default::default() });
            let status = BindingStatus { settled, phase, ..BindingStatus::default() };
            let other = BindingStatus::default();
            let bindings = [(key("a"), (String::new(), status)), (key("b"), (String::new(), other))].into();
            let engine = crate::engine::Report { mark, mark_epoch: 9, ..Default::default() };
            Report { engine, bindings, ..Report::default() }
        };
        let stopped = || Phase::Stopped { reason: "r", message: String::new(), next: None };
        for (case, report, goes) in [
            ("the graph does not know yet", report(4, Some(20), Phase::Live), false),
            ("nothing is exported yet", report(5, None, Phase::Resuming), false),
            ("it is not through", report(5, Some(8), Phase::Live), false),
            ("it is through", report(5, Some(9), Phase::Live), true),
            ("it never will be", report(5, None, stopped()), true),
        ] {
            let target = guarded("KollectTarget", true, &["kollect.dev/target-cleanup"]);
            let set = decide(&mut Finalizers::default(), target, &report).0;
            assert_eq!(set.is_some(), goes, "{case}");
        }
    }
}
