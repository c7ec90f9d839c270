//! What the engine knows of targets, inventories and watches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kollect_dataflows::data::{Digest, Gvk, InventoryId, TargetId, TargetName, WatchId};
use kollect_dataflows::graph::{Dedupe, GateSetting, ListId};

use super::rollups::Rollups;
use super::shards::Shards;
use super::{InventoryName, Subscriber, ViewRequest};
use crate::catalog::{ResourceName, Sight};
use crate::sources::SourceProblem;

#[derive(Default)]
pub(super) struct State {
    pub(super) targets: BTreeMap<TargetName, Target>,
    /// The names of the targets, by what the graph calls them.
    pub(super) target_names: HashMap<TargetId, TargetName>,
    pub(super) inventories: BTreeMap<InventoryName, Inventory>,
    /// The metrics of profiles.
    pub(super) measured: BTreeMap<ResourceName, Measured>,
    pub(super) watches: BTreeMap<Gvk, Watch>,
    /// The number of each kind that was ever watched. A kind keeps its number, so that rows of targets on hold are still
    /// of the same watch when it begins again.
    pub(super) watch_ids: BTreeMap<Gvk, WatchId>,
    pub(super) lists: HashMap<ListId, Vec<(TargetName, u64)>>,
    /// The last number given to a target, inventory, watch or plan.
    pub(super) last_number: u32,
    /// The last epoch dispatched.
    pub(super) epoch: u64,
    /// The last mark dispatched.
    pub(super) mark: u64,
    /// The epoch that carried it.
    pub(super) mark_epoch: u64,
    /// Whether the graph has ended.
    pub(super) ended: bool,
}

impl State {
    /// Whether it is worth waiting for the target: its first list may still come to an end by itself.
    pub(super) fn is_pending(&self, name: &TargetName) -> bool {
        let Some(target) = self.targets.get(name) else { return false };
        let Some(plan) = &target.plan else { return false };
        !target.listed && self.watches.get(&plan.gvk).is_none_or(|watch| watch.problem_of(name).is_none())
    }
}

pub(super) struct Target {
    pub(super) id: TargetId,
    /// How it reads objects; none while it is on hold.
    pub(super) plan: Option<ActivePlan>,
    /// What the graph was told of where it looks, and of what its gates mean.
    pub(super) sight: Option<(GateSetting, Sight)>,
    /// Whether the graph still knows of an earlier meaning of its gates.
    pub(super) has_old_settings: bool,
    /// Grows with each plan, so that a list is known to belong to this one.
    pub(super) sequence: u64,
    /// Whether a list of this plan has come to its end.
    pub(super) listed: bool,
    /// Whether also none of its objects was unreadable then, or all of them have become readable since.
    pub(super) hydrated: bool,
    /// How many objects it selects and sees.
    pub(super) objects: u64,
    /// Attributes of its objects that could not be evaluated.
    pub(super) failures: u64,
    pub(super) last_failure: Option<String>,
    /// Objects that can't be read; their rows stay as they are.
    pub(super) unreadable: u64,
    /// The last of them.
    pub(super) last_unreadable: Option<SourceProblem>,
}

pub(super) struct ActivePlan {
    pub(super) gvk: Gvk,
    pub(super) fingerprint: u64,
}

pub(super) struct Inventory {
    pub(super) id: InventoryId,
    pub(super) targets: BTreeSet<TargetName>,
    pub(super) dedupe: Dedupe,
    pub(super) rollups: Rollups,
    pub(super) subscribers: Vec<Arc<dyn Subscriber>>,
    pub(super) requests: Vec<ViewRequest>,
    pub(super) count: u64,
    pub(super) digest: Digest,
    pub(super) rows_by_target: HashMap<Arc<TargetName>, u64>,
    /// The namespaces whose rows it takes, as the graph was told.
    pub(super) namespaces: Option<BTreeSet<String>>,
    /// Its rows by namespace, if it is one of the cluster.
    pub(super) shards: Option<Shards>,
}

/// A profile with metrics: in the graph it is an inventory that its targets feed, of which nothing but rollups is taken.
pub(super) struct Measured {
    pub(super) id: InventoryId,
    pub(super) targets: BTreeSet<TargetName>,
    pub(super) metrics: Rollups,
}

pub(super) struct Watch {
    pub(super) id: WatchId,
    /// Whether a list of its own has begun, which every target of the watch has a part in.
    pub(super) begun: bool,
    /// What keeps it from coming to the end of its list.
    pub(super) problem: Option<SourceProblem>,
    /// What keeps lists that are taken beside it, for these targets, from coming to their end.
    pub(super) list_problems: BTreeMap<Vec<TargetName>, SourceProblem>,
    /// What it could not read in its last list, the first few.
    pub(super) unreadable: Vec<SourceProblem>,
}

impl Watch {
    /// What keeps the objects of a target from being read.
    pub(super) fn problem_of(&self, target: &TargetName) -> Option<&SourceProblem> {
        let of_lists = || self.list_problems.iter().find(|(targets, _)| targets.contains(target));
        self.problem.as_ref().or_else(|| of_lists().map(|(_, problem)| problem))
    }
}
