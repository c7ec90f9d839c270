//! The exports of an inventory, one entry a sink: those under way, those that rest, and what is left of those that have ended.
//!
//! An entry stays until nothing of what was exported to the sink is left to see to: whoever leads next knows from it what is to be cleaned up.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::conditions::{Conditions, Why, sink_conditions};
use super::resources::All;
use crate::api::{ClusterInventoryStatus, InventoryStatus, SinkExport};
use crate::catalog::{BindingKey, ResourceName, SinkName, reason};
use crate::export::BindingStatus;
use crate::runtime::LeftoverState;

/// Entries that a status has at most.
const MOST: usize = 20;

/// The condition's reason where what was exported can't be removed.
const CLEANUP_TERMINAL: &str = "CleanupTerminal";

/// The condition's reason of what is going.
pub(super) const TERMINATING: &str = "Terminating";

impl All<'_> {
    /// The entries of an inventory. `running` are its bindings with what keeps each from being up to date; `stored` the
    /// entries that its status has.
    pub(super) fn exports(
        &self,
        inventory: &ResourceName,
        generation: Option<i64>,
        running: &[(&BindingKey, &BindingStatus, Result<(), Why>)],
        stored: &[SinkExport],
    ) -> Vec<SinkExport> {
        let mut exports: BTreeMap<&SinkName, SinkExport> = BTreeMap::new();
        // What was left behind counts first: it is remembered nowhere else.
        let stored: Vec<(SinkName, &SinkExport)> =
            stored.iter().filter_map(|export| Some((export.name.parse().ok()?, export))).collect();
        let of_stored =
            |sink: &SinkName| stored.iter().find(|(name, _)| name == sink).map(|(_, export)| *export);
        let rests = self.resting(inventory, &stored);
        for (sink, why) in &rests {
            let mut conditions = Conditions::new(generation, self.now);
            sink_conditions(&mut conditions, Some(why.clone()), ("", String::new()));
            let export = of_stored(sink).cloned().unwrap_or_default();
            let (pending_rows, lag_seconds) = (None, None);
            let (name, conditions) = (sink.to_string(), conditions.finish());
            let namespace = Some(sink.name.namespace.clone());
            exports.insert(
                sink,
                SinkExport { name, namespace, pending_rows, lag_seconds, conditions, ..export },
            );
        }
        for (key, status, state) in running {
            let leaves_something = exports.contains_key(&key.sink);
            if leaves_something || exports.len() < MOST {
                exports.insert(&key.sink, self.export(generation, &key.sink, status, state));
            }
        }
        exports.into_values().take(MOST).collect()
    }

    /// The entry of a binding that runs.
    fn export(
        &self,
        generation: Option<i64>,
        sink: &SinkName,
        status: &BindingStatus,
        state: &Result<(), Why>,
    ) -> SinkExport {
        let mut conditions = Conditions::new(generation, self.now);
        let ready = ("Exported", "the destination holds the rows of the inventory".to_owned());
        sink_conditions(&mut conditions, state.clone().err(), ready);
        let to_time = |at| Timestamp::try_from(at).ok().map(Time);
        SinkExport {
            name: sink.to_string(),
            namespace: Some(sink.name.namespace.clone()),
            last_export_time: status.last_export.and_then(to_time),
            last_checksum: status.settled.map(|settled| settled.digest.to_string()),
            position: status.position.and_then(|position| i64::try_from(position).ok()),
            pending_rows: i64::try_from(status.backlog.changes).ok(),
            lag_seconds: i64::try_from(status.backlog.lag().as_secs()).ok(),
            rows_written: i64::try_from(status.totals.rows()).ok(),
            conditions: conditions.finish(),
        }
    }

    /// Sinks that nothing is exported to at present, but where something is that was, and why that is so.
    fn resting(
        &self,
        inventory: &ResourceName,
        stored: &[(SinkName, &SinkExport)],
    ) -> BTreeMap<SinkName, Why> {
        let mut resting = BTreeMap::new();
        if let Some(plan) = self.plan.inventories.get(inventory) {
            let why = match &plan.held {
                Some(held) => {
                    (held.reason.to_owned(), format!("{}; what is exported stays as it is", held.message))
                }
                None if plan.suspended => suspended(),
                None => {
                    let message = "the sink can't be used; what was exported to it stays as it is";
                    (reason::SINK_INVALID.to_owned(), message.to_owned())
                }
            };
            let stays = |sink: &SinkName| plan.held.is_some() || plan.references.contains(sink);
            let known = stored.iter().map(|(sink, _)| sink).filter(|sink| stays(sink));
            resting.extend(known.map(|sink| (sink.clone(), why.clone())));
        }
        for (sink, state) in self.leftovers(inventory) {
            if let Some(why) = of_leftover(state) {
                resting.entry(sink.clone()).or_insert(why);
            }
        }
        resting
    }

    fn leftovers(&self, inventory: &ResourceName) -> impl Iterator<Item = (&SinkName, &LeftoverState)> {
        let of_inventory = self.report.leftovers.iter().filter(move |(key, _)| key.inventory == *inventory);
        of_inventory.map(|(key, state)| (&key.sink, state))
    }

    /// What can't be removed of what an inventory exported.
    pub(super) fn stuck_leftover(&self, inventory: &ResourceName) -> Option<Why> {
        self.leftovers(inventory).find_map(|(sink, state)| match state {
            LeftoverState::Failing { hopeless: true, .. } => {
                let (reason, message) = of_leftover(state)?;
                Some((reason, format!("{sink}: {message}")))
            }
            _ => None,
        })
    }

    /// The status of an inventory that is being deleted, if there is anything to say.
    pub(super) fn ending_inventory(
        &self,
        name: &ResourceName,
        generation: Option<i64>,
        stored: InventoryStatus,
    ) -> Option<InventoryStatus> {
        let sink_exports = self.exports(name, generation, &[], &stored.sink_exports);
        let first = sink_exports.first()?;
        let mut message = "what was exported is being removed; nobody has to act".to_owned();
        let failing = self.leftovers(name).any(|(_, state)| matches!(state, LeftoverState::Failing { .. }));
        if let Some(condition) = first.conditions.first().filter(|_| failing) {
            message = format!("{}: {}", first.name, condition.message);
        }
        let mut conditions = Conditions::new(generation, self.now);
        conditions.set("Ready", false, TERMINATING, message.clone());
        conditions.set("Synced", false, TERMINATING, message.clone());
        conditions.set("Degraded", failing, TERMINATING, message);
        let conditions = conditions.finish();
        Some(InventoryStatus { observed_generation: generation, sink_exports, conditions, ..stored })
    }

    /// As [`All::ending_inventory`], for one of the cluster.
    pub(super) fn ending_cluster_inventory(
        &self,
        name: &ResourceName,
        generation: Option<i64>,
        stored: ClusterInventoryStatus,
    ) -> Option<ClusterInventoryStatus> {
        let known = InventoryStatus { sink_exports: stored.sink_exports, ..InventoryStatus::default() };
        let InventoryStatus { observed_generation, sink_exports, conditions, .. } =
            self.ending_inventory(name, generation, known)?;
        Some(ClusterInventoryStatus { observed_generation, sink_exports, conditions, ..stored })
    }
}

/// Why an inventory that is suspended is not ready.
pub(super) fn suspended() -> Why {
    (reason::SUSPENDED.to_owned(), "spec.suspend is true: what is exported stays as it is".to_owned())
}

/// What there is to say of something that was left behind.
fn of_leftover(state: &LeftoverState) -> Option<Why> {
    Some(match state {
        // Nobody can see to what is lost, so it is told once, in an event.
        LeftoverState::Settled | LeftoverState::Lost => return None,
        LeftoverState::Kept => {
            let message = "what was exported stays until every sink of the inventory can be used";
            (TERMINATING.to_owned(), message.to_owned())
        }
        LeftoverState::Removing => {
            (TERMINATING.to_owned(), "what was exported is being removed; nobody has to act".to_owned())
        }
        LeftoverState::Failing { reason, message, hopeless: false } => {
            ((*reason).to_owned(), format!("what was exported could not be removed yet: {message}"))
        }
        LeftoverState::Failing { message, hopeless: true, .. } => {
            let message = format!(
                "what was exported could not be removed: {message}; put that right, or remove it by hand and set the sink's \
                 deletionPolicy to Retain"
            );
            (CLEANUP_TERMINAL.to_owned(), message)
        }
    })
}
