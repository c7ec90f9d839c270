//! What the engine can say about targets and inventories, for status and summaries.

use std::collections::{BTreeMap, HashMap};

use kollect_dataflows::data::{Digest, TargetName};

use super::shards::Shards;
use super::{Engine, InventoryName, RollupReport, ShardsReport};
use crate::catalog::ResourceName;
use crate::sources::SourceProblem;

/// The state of everything, as of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The epoch.
    pub epoch: u64,
    /// The last mark (see [`Engine::mark`]) that is dispatched.
    pub mark: u64,
    /// The epoch that carried it.
    pub mark_epoch: u64,
    /// Whether the graph has ended; nothing changes any more.
    pub ended: bool,
    /// All targets.
    pub targets: BTreeMap<TargetName, TargetReport>,
    /// The metrics of profiles.
    pub metrics: BTreeMap<ResourceName, BTreeMap<String, RollupReport>>,
    /// All inventories.
    pub inventories: BTreeMap<InventoryName, InventoryReport>,
}

/// The state of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetReport {
    /// Whether it reads objects.
    pub active: bool,
    /// Whether all its objects have been taken in.
    pub hydrated: bool,
    /// Whether its first list is under way, and nothing is known to keep it from coming to its end.
    pub pending: bool,
    /// Objects that it selects and sees, whether or not an inventory takes their rows.
    pub objects: u64,
    /// Rows that it has in the inventories that it feeds; the greatest number, where these differ.
    pub rows: u64,
    /// Attributes of its objects that could not be evaluated.
    pub failures: u64,
    /// The last of them.
    pub last_failure: Option<String>,
    /// What keeps its objects from being read.
    pub source_problem: Option<SourceProblem>,
    /// What could not be read among its objects, the first few.
    pub unreadable: Vec<SourceProblem>,
}

/// The state of one inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryReport {
    /// Number of rows.
    pub rows: u64,
    /// Digest of the rows.
    pub digest: Digest,
    /// The targets that feed it.
    pub targets: Vec<TargetName>,
    /// Whether all its targets are hydrated.
    pub hydrated: bool,
    /// Its rollups.
    pub rollups: BTreeMap<String, RollupReport>,
    /// Its rows by namespace, if it is one of the cluster.
    pub shards: Option<ShardsReport>,
}

impl Engine {
    /// The state of everything.
    pub fn report(&self) -> Report {
        let state = self.shared.lock();
        let mut report = Report {
            epoch: state.epoch,
            mark: state.mark,
            mark_epoch: state.mark_epoch,
            ended: state.ended,
            ..Report::default()
        };
        let mut rows: HashMap<&TargetName, u64> = HashMap::new();
        for (name, count) in state.inventories.values().flat_map(|inventory| &inventory.rows_by_target) {
            let most = rows.entry(name).or_default();
            *most = (*most).max(*count);
        }
        for (name, target) in &state.targets {
            let watch = target.plan.as_ref().and_then(|plan| state.watches.get(&plan.gvk));
            report.targets.insert(
                name.clone(),
                TargetReport {
                    active: target.plan.is_some(),
                    hydrated: target.hydrated,
                    pending: state.is_pending(name),
                    objects: target.objects,
                    rows: rows.get(name).copied().unwrap_or_default(),
                    failures: target.failures,
                    last_failure: target.last_failure.clone(),
                    source_problem: watch
                        .and_then(|watch| watch.problem_of(name))
                        .or(target.last_unreadable.as_ref())
                        .cloned(),
                    unreadable: watch.map(|watch| watch.unreadable.clone()).unwrap_or_default(),
                },
            );
        }
        for (name, inventory) in &state.inventories {
            let hydrated = |name| state.targets.get(name).is_some_and(|target| target.hydrated);
            report.inventories.insert(
                name.clone(),
                InventoryReport {
                    rows: inventory.count,
                    digest: inventory.digest,
                    targets: inventory.targets.iter().cloned().collect(),
                    hydrated: inventory.targets.iter().all(hydrated),
                    rollups: inventory.rollups.report(),
                    shards: inventory.shards.as_ref().map(Shards::report),
                },
            );
        }
        report.metrics =
            state.measured.iter().map(|(name, measured)| (name.clone(), measured.metrics.report())).collect();
        report
    }
}
