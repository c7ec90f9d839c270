//! Facts: the small relations that say which pipelines there are.
//!
//! Pipelines are data, not dataflows: a target that starts to feed an inventory, or a namespace that a target may
//! now see, is one fact more. The graph joins facts with rows, so a new fact costs what it changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::data::{InventoryId, TargetId, TargetName, WatchId};
use crate::extract::{Gates, Profile, Selection};

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
    /// A target is new, or reads objects in another way. Rows that it has stay until its objects are listed anew: the
    /// caller must see to a list for it. Rows of another watch's objects are taken back at once.
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
    /// No row was selected with another setting of the target's gates any more: what was said of those is forgotten.
    KeepSetting {
        /// The target.
        target: TargetId,
        /// The setting that stays.
        setting: GateSetting,
    },
}

/// One fact, as it flows through the graph.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Fact {
    Feeds { target: TargetId, inventory: InventoryId, dedupe: Dedupe },
    Sees { target: TargetId, setting: GateSetting, scope: Scope, gates: Gates },
}

/// The facts that hold, so that each is fed once, and taken back as it was fed.
#[derive(Debug, Default)]
pub(super) struct Facts {
    feeds: BTreeMap<(TargetId, InventoryId), Dedupe>,
    sees: BTreeMap<(TargetId, GateSetting, Scope), Gates>,
}

impl Facts {
    /// Takes a change in, and gives what the graph has to be told.
    pub(super) fn change(&mut self, change: Change) -> Vec<Command> {
        match change {
            Change::SetTarget(plan) => vec![Command::SetTarget(plan)],
            Change::HoldTarget(target) => vec![Command::HoldTarget(target)],
            Change::ForgetWatch(watch) => vec![Command::ForgetWatch(watch)],
            Change::RemoveTarget(target) => {
                let mut commands = vec![Command::RemoveTarget(target)];
                let fed = self.feeds.range((target, InventoryId(0))..=(target, InventoryId(u32::MAX)));
                let fed: Vec<InventoryId> = fed.map(|((_, inventory), _)| *inventory).collect();
                for inventory in fed {
                    commands.extend(self.feed(target, inventory, None));
                }
                commands.extend(self.forget(target, |_| true));
                commands
            }
            Change::Feed { target, inventory, dedupe } => self.feed(target, inventory, dedupe),
            Change::See { target, setting, scope, gates } => self.see(target, setting, scope, gates),
            Change::KeepSetting { target, setting } => self.forget(target, |other| other != setting),
        }
    }

    fn feed(&mut self, target: TargetId, inventory: InventoryId, dedupe: Option<Dedupe>) -> Vec<Command> {
        let key = (target, inventory);
        let old = match dedupe {
            Some(dedupe) => self.feeds.insert(key, dedupe),
            None => self.feeds.remove(&key),
        };
        replaced(old, dedupe, |dedupe| Fact::Feeds { target, inventory, dedupe })
    }

    fn see(
        &mut self,
        target: TargetId,
        setting: GateSetting,
        scope: Scope,
        gates: Option<Gates>,
    ) -> Vec<Command> {
        let key = (target, setting, scope.clone());
        let old = match gates {
            Some(gates) => self.sees.insert(key, gates),
            None => self.sees.remove(&key),
        };
        replaced(old, gates, |gates| Fact::Sees { target, setting, scope: scope.clone(), gates })
    }

    fn forget(&mut self, target: TargetId, forgets: impl Fn(GateSetting) -> bool) -> Vec<Command> {
        // The least key of the target, in the order of settings and scopes.
        let first = (target, GateSetting(0), Scope::Everywhere);
        let of_target = self.sees.range(first..).map(|(key, _)| key).take_while(|(of, ..)| *of == target);
        let keys: Vec<_> = of_target.filter(|(_, setting, _)| forgets(*setting)).cloned().collect();
        keys.into_iter().flat_map(|(target, setting, scope)| self.see(target, setting, scope, None)).collect()
    }
}

/// The commands that put a fact in place of another.
fn replaced<T: Copy + PartialEq>(old: Option<T>, new: Option<T>, fact: impl Fn(T) -> Fact) -> Vec<Command> {
    if old == new {
        return Vec::new();
    }
    let command = |value: Option<T>, diff| value.map(|value| Command::Fact(fact(value), diff));
    command(old, -1).into_iter().chain(command(new, 1)).collect()
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
