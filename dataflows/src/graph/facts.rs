//! Facts: the small relations that say which pipelines there are.
//!
//! Pipelines are data, not dataflows: a target that starts to feed an inventory, or a namespace that a target may
//! now see, is one fact more. From facts follows where the rows of each view go (see [`super::views`]), and that is joined with
//! rows, so a new fact costs what it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{InventoryId, RollupId, TargetId, TargetName, WatchId};
use crate::extract::{Gates, Profile, Selection};
use crate::rollup::RollupSpec;

/// Where a fact about a target's sight holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everywhere, in namespaces of which there is no other fact.
    Everywhere,
    /// In this namespace (the empty one holds cluster-scoped objects).
    Namespace(Arc<str>),
}

/// What an inventory does with rows that several targets extracted from one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dedupe {
    /// Keeps them all.
    #[default]
    KeepAll,
    /// Keeps one a source object: the row whose target comes first by namespace and name.
    ByResource,
}

/// What the gates of a target mean: it changes whenever the groups of the target's rules mean something else. Rows keep the meaning
/// with which they were selected until their objects are read anew, so facts of both may hold at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GateSetting(pub u64);

/// A change of pipelines: see [`super::Handle::change`].
#[derive(Clone, Debug)]
pub enum Change {
    /// A target is new, or reads objects in another way, or those of another watch. Rows that it has stay until its objects are
    /// listed anew: the caller must see to a list for it. Those of another watch then come all at once.
    SetTarget(Arc<TargetPlan>),
    /// The target stops reading objects; its rows stay as they are.
    HoldTarget(TargetId),
    /// The target is no more, and neither are its rows and the facts about it.
    RemoveTarget(TargetId),
    /// Nobody reads the watch any more: what is known of its objects is forgotten.
    ForgetWatch(WatchId),
    /// The target's rows belong to the inventory, or not any more.
    Feed {
        /// The target.
        target: TargetId,
        /// The inventory.
        inventory: InventoryId,
        /// How the inventory treats several rows of one object; the same for all its targets. `None`: the target does not
        /// feed it.
        dedupe: Option<Dedupe>,
    },
    /// These of the target's gates are open there. What is said of [`Scope::Everywhere`] holds in all namespaces but those of
    /// which something else is said, be it that no gate is open.
    See {
        /// The target.
        target: TargetId,
        /// What the gates mean.
        setting: GateSetting,
        /// Where.
        scope: Scope,
        /// The gates that are open. `None`: nothing is said of this place any more.
        gates: Option<Gates>,
    },
    /// The inventory takes the rows of objects of these namespaces alone. `None`: it takes those of all, and those of objects without a
    /// namespace.
    Take {
        /// The inventory.
        inventory: InventoryId,
        /// The namespaces.
        namespaces: Option<Arc<BTreeSet<String>>>,
    },
    /// The rows of the inventory are rolled up, or not any more. A number stands for one definition: to define a rollup anew, take it
    /// back and give another.
    Rollup {
        /// The rollup.
        rollup: RollupId,
        /// The inventory whose rows it is about.
        inventory: InventoryId,
        /// Its definition. `None`: there is no such rollup any more.
        spec: Option<Arc<RollupSpec>>,
    },
    /// No row was selected with another setting of the target's gates any more: what was said of those is forgotten.
    KeepSetting {
        /// The target.
        target: TargetId,
        /// The setting that stays.
        setting: GateSetting,
    },
}

/// The facts that hold. Every worker keeps them all: they are few, and of each the worker needs those of its own views.
#[derive(Debug, Default)]
pub(super) struct Facts {
    rollups: BTreeMap<RollupId, (InventoryId, Arc<RollupSpec>)>,
    feeds: BTreeMap<TargetId, BTreeMap<InventoryId, Dedupe>>,
    /// The namespaces whose rows inventories take, of those that do not take all.
    takes: BTreeMap<InventoryId, Arc<BTreeSet<String>>>,
    sights: BTreeMap<(TargetId, GateSetting), Sight>,
}

/// Where which gates of a target are open.
#[derive(Debug, Default)]
struct Sight {
    everywhere: Option<Gates>,
    /// What is said of a namespace stands in place of what is said of everywhere.
    namespaces: BTreeMap<Arc<str>, Gates>,
}

/// A rollup, by the inventory whose rows it is about.
pub(super) type Definition = (InventoryId, (RollupId, Arc<RollupSpec>));

/// For whose rows another fact may hold than before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) target: TargetId,
    /// Only for rows of this namespace.
    pub(super) namespace: Option<Arc<str>>,
}

impl Facts {
    /// Rows of the target belong to the inventory, or not any more.
    pub(super) fn feed(
        &mut self,
        target: TargetId,
        inventory: InventoryId,
        dedupe: Option<Dedupe>,
    ) -> Option<Touched> {
        let feeds = self.feeds.entry(target).or_default();
        let changed = replace(feeds, inventory, dedupe);
        if feeds.is_empty() {
            self.feeds.remove(&target);
        }
        changed.then_some(Touched { target, namespace: None })
    }

    /// The inventory takes rows of these namespaces alone, or of all.
    pub(super) fn take(
        &mut self,
        inventory: InventoryId,
        namespaces: Option<Arc<BTreeSet<String>>>,
    ) -> Vec<Touched> {
        let old = match namespaces.clone() {
            Some(namespaces) => self.takes.insert(inventory, namespaces),
            None => self.takes.remove(&inventory),
        };
        // Only where another namespace is taken; anywhere, when all are taken before or after.
        let places: Vec<Option<Arc<str>>> = match (old, namespaces) {
            (None, None) => Vec::new(),
            (Some(old), Some(new)) => {
                old.symmetric_difference(&new).map(|name| Some(name.as_str().into())).collect()
            }
            _ => vec![None],
        };
        let fed = self.feeds.iter().filter(|(_, inventories)| inventories.contains_key(&inventory));
        let touched = |target: TargetId| {
            places.iter().map(move |namespace| Touched { target, namespace: namespace.clone() })
        };
        fed.flat_map(|(target, _)| touched(*target)).collect()
    }

    /// The inventory is rolled up so, or not any more. Gives the definitions that came (+1) and went (-1).
    pub(super) fn roll_up(
        &mut self,
        rollup: RollupId,
        inventory: InventoryId,
        spec: Option<Arc<RollupSpec>>,
    ) -> impl Iterator<Item = (Definition, isize)> {
        let new = spec.map(|spec| (inventory, spec));
        let old = match new.clone() {
            Some(new) => self.rollups.insert(rollup, new),
            None => self.rollups.remove(&rollup),
        };
        let definition = move |(inventory, spec)| (inventory, (rollup, spec));
        let (old, new) = if old == new { (None, None) } else { (old, new) };
        old.map(|old| (definition(old), -1)).into_iter().chain(new.map(|new| (definition(new), 1)))
    }

    /// These gates of the target are open there, or nothing is said of the place any more.
    pub(super) fn see(
        &mut self,
        target: TargetId,
        setting: GateSetting,
        scope: Scope,
        gates: Option<Gates>,
    ) -> Option<Touched> {
        let sight = self.sights.entry((target, setting)).or_default();
        let (changed, namespace) = match scope {
            Scope::Everywhere => (std::mem::replace(&mut sight.everywhere, gates) != gates, None),
            Scope::Namespace(namespace) => {
                (replace(&mut sight.namespaces, Arc::clone(&namespace), gates), Some(namespace))
            }
        };
        if sight.everywhere.is_none() && sight.namespaces.is_empty() {
            self.sights.remove(&(target, setting));
        }
        changed.then_some(Touched { target, namespace })
    }

    /// Forgets what was said of other settings of the target.
    pub(super) fn keep_setting(&mut self, target: TargetId, setting: GateSetting) -> Option<Touched> {
        let before = self.sights.len();
        self.sights.retain(|(of, other), _| *of != target || *other == setting);
        (self.sights.len() != before).then_some(Touched { target, namespace: None })
    }

    /// Forgets all facts about a target.
    pub(super) fn remove(&mut self, target: TargetId) -> Option<Touched> {
        self.feeds.remove(&target);
        self.sights.retain(|(of, _), _| *of != target);
        Some(Touched { target, namespace: None })
    }

    /// The gates of a target that are open in a namespace.
    pub(super) fn open(&self, target: TargetId, setting: GateSetting, namespace: &str) -> Gates {
        let Some(sight) = self.sights.get(&(target, setting)) else { return Gates::NONE };
        sight.namespaces.get(namespace).copied().or(sight.everywhere).unwrap_or(Gates::NONE)
    }

    /// The inventories that a target feeds with rows of a namespace.
    pub(super) fn feeds(
        &self,
        target: TargetId,
        namespace: &str,
    ) -> impl Iterator<Item = (InventoryId, Dedupe)> {
        let takes = move |inventory| {
            self.takes.get(inventory).is_none_or(|namespaces| namespaces.contains(namespace))
        };
        let fed = self.feeds.get(&target).into_iter().flatten();
        fed.filter(move |(inventory, _)| takes(inventory)).map(|(inventory, dedupe)| (*inventory, *dedupe))
    }
}

/// Puts a value, or none, in place of what a map has. Whether that is another.
fn replace<K: Ord, V: Copy + PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> bool {
    let old = match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
    old != value
}

/// What a target extracts from the objects of one watch.
#[derive(Debug)]
pub struct TargetPlan {
    /// The number of the target.
    pub id: TargetId,
    /// Its name, which every row carries.
    pub name: Arc<TargetName>,
    /// The watch whose objects it reads.
    pub watch: WatchId,
    /// The compiled profile.
    pub profile: Arc<Profile>,
    /// Which objects it selects, and through which gates.
    pub selection: Arc<Selection>,
    /// What these gates mean.
    pub setting: GateSetting,
}
