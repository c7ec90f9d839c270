//! The rollups of one inventory, or the metrics of one profile: what the graph was told of them, and what came out.

use std::collections::BTreeMap;
use std::sync::Arc;

use kollect_dataflows::data::{InventoryId, RollupId};
use kollect_dataflows::graph::{Change, RollupDeltas};
use kollect_dataflows::rollup::{RollupSpec, Value};

use crate::catalog::RollupPlan;

/// By name.
#[derive(Default)]
pub(super) struct Rollups(BTreeMap<String, Rollup>);

struct Rollup {
    id: RollupId,
    spec: Arc<RollupSpec>,
    report: RollupReport,
}

/// The groups of a rollup, and the values of each, in the order in which the rollup names them.
pub type RollupGroups = BTreeMap<Arc<[Value]>, Arc<[Value]>>;

/// What is known of a rollup, or of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollupReport {
    /// What rows are grouped by.
    pub group_by: Vec<String>,
    /// The names of the values.
    pub aggregates: Vec<String>,
    /// The groups; the first of them, when there are very many.
    pub groups: Arc<RollupGroups>,
    /// How many groups there are.
    pub count: u64,
}

impl Rollups {
    /// Brings the graph in line with what is wanted.
    pub(super) fn apply(
        &mut self,
        inventory: InventoryId,
        wanted: &BTreeMap<String, RollupPlan>,
        last_number: &mut u32,
        changes: &mut Vec<Change>,
    ) {
        self.0.retain(|name, rollup| {
            let stays = wanted.get(name).is_some_and(|plan| plan.spec == rollup.spec);
            if !stays {
                changes.push(Change::Rollup { rollup: rollup.id, inventory, spec: None });
            }
            stays
        });
        for (name, plan) in wanted {
            let rollup = self.0.entry(name.clone()).or_insert_with(|| {
                *last_number += 1;
                let id = RollupId(*last_number);
                changes.push(Change::Rollup { rollup: id, inventory, spec: Some(Arc::clone(&plan.spec)) });
                Rollup { id, spec: Arc::clone(&plan.spec), report: RollupReport::default() }
            });
            rollup.report.group_by.clone_from(&plan.group_by);
            rollup.report.aggregates.clone_from(&plan.aggregates);
        }
    }

    /// Takes in what an epoch changed.
    pub(super) fn take_in(&mut self, changed: &mut BTreeMap<RollupId, RollupDeltas>) {
        for Rollup { id, report, .. } in self.0.values_mut() {
            let Some(changed) = changed.remove(id) else { continue };
            report.count = changed.count;
            // Copied only while somebody looks at a report.
            let groups = Arc::make_mut(&mut report.groups);
            for delta in changed.deltas {
                match delta.after {
                    Some(after) => groups.insert(delta.group, after),
                    None => groups.remove(&delta.group),
                };
            }
        }
    }

    /// What is known of each.
    pub(super) fn report(&self) -> BTreeMap<String, RollupReport> {
        self.0.iter().map(|(name, rollup)| (name.clone(), rollup.report.clone())).collect()
    }
}
