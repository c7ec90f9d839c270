//! From what is wanted to what the graph and the sources are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kollect_dataflows::data::{Gvk, InventoryId, TargetId, TargetName, WatchId};
use kollect_dataflows::graph::{self, Change, Dedupe, GateSetting, GraphClosed, Scope};

use super::rollups::Rollups;
use super::shards::Shards;
use super::state::{ActivePlan, Inventory, Measured, State, Target, Watch};
use super::{Engine, InventoryName};
use crate::api;
use crate::catalog::{ActiveTarget, InventoryPlan, MetricsPlan, Plan, ResourceName, Sight, TargetPlan};

/// What the sources have to do after a plan was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceAction {
    /// Start to watch a kind.
    Watch(Gvk),
    /// Stop watching a kind.
    Unwatch(Gvk),
    /// List a kind that is watched already, for these targets: their plans need objects that are no longer at hand.
    List(Gvk, Vec<TargetName>),
}

impl Engine {
    /// Brings the graph in line with a plan, and says what the sources have to do.
    ///
    /// # Errors
    /// [`GraphClosed`] when the graph has ended.
    pub fn apply(&self, plan: &Plan) -> Result<Vec<SourceAction>, GraphClosed> {
        let mut state = self.shared.lock();
        let mut applying = Applying { state: &mut state, changes: Vec::new(), lists: BTreeMap::new() };
        let actions = applying.run(plan);
        let changes = applying.changes;
        // All in one epoch: nobody sees half a plan.
        self.handle.change(changes)?;
        drop(state);
        self.wake();
        Ok(actions)
    }
}

struct Applying<'a> {
    state: &'a mut State,
    /// What the graph is to be told.
    changes: Vec<Change>,
    lists: BTreeMap<Gvk, Vec<TargetName>>,
}

impl Applying<'_> {
    fn run(&mut self, plan: &Plan) -> Vec<SourceAction> {
        let mut actions = Vec::new();
        // Watches first, so that plans can name them; only then what needs them.
        for gvk in wanted_kinds(plan) {
            if !self.state.watches.contains_key(&gvk) {
                let State { watch_ids, last_number, .. } = &mut *self.state;
                let id = *watch_ids.entry(gvk.clone()).or_insert_with(|| {
                    *last_number += 1;
                    WatchId(*last_number)
                });
                let watch = Watch {
                    id,
                    begun: false,
                    problem: None,
                    list_problems: BTreeMap::new(),
                    unreadable: Vec::new(),
                };
                self.state.watches.insert(gvk.clone(), watch);
                actions.push(SourceAction::Watch(gvk));
            }
        }
        for (name, wanted) in &plan.targets {
            match wanted {
                TargetPlan::Active(active) => self.activate(name, active),
                TargetPlan::Held { .. } => self.hold(name),
            }
        }
        let gone: Vec<TargetName> =
            self.state.targets.keys().filter(|name| !plan.targets.contains_key(name)).cloned().collect();
        for (name, spec) in &plan.inventories {
            // One on hold stays as it is.
            if spec.held.is_none() || !self.state.inventories.contains_key(name) {
                self.inventory(name, spec);
            }
        }
        let gone_inventories: Vec<InventoryName> = self
            .state
            .inventories
            .keys()
            .filter(|name| !plan.inventories.contains_key(name))
            .cloned()
            .collect();
        for name in gone_inventories {
            self.remove_inventory(&name);
        }
        self.measure(plan);
        for name in gone {
            self.remove_target(&name);
        }
        let wanted = wanted_kinds(plan);
        let unwanted: Vec<Gvk> =
            self.state.watches.keys().filter(|gvk| !wanted.contains(gvk)).cloned().collect();
        for gvk in unwanted {
            if let Some(watch) = self.state.watches.remove(&gvk) {
                self.changes.push(Change::ForgetWatch(watch.id));
            }
            actions.push(SourceAction::Unwatch(gvk));
        }
        actions.extend(
            std::mem::take(&mut self.lists)
                .into_iter()
                .map(|(gvk, targets)| SourceAction::List(gvk, targets)),
        );
        actions
    }

    fn target(&mut self, name: &TargetName) -> &mut Target {
        let State { targets, target_names, last_number, .. } = &mut *self.state;
        targets.entry(name.clone()).or_insert_with(|| {
            *last_number += 1;
            target_names.insert(TargetId(*last_number), name.clone());
            Target {
                id: TargetId(*last_number),
                plan: None,
                sight: None,
                has_old_settings: false,
                sequence: 0,
                listed: false,
                hydrated: false,
                objects: 0,
                failures: 0,
                last_failure: None,
                unreadable: 0,
                last_unreadable: None,
            }
        })
    }

    fn activate(&mut self, name: &TargetName, spec: &ActiveTarget) {
        let gvk = spec.gvk.as_ref().clone();
        let Some(watch) = self.state.watches.get(&gvk).map(|watch| (watch.id, watch.begun)) else { return };
        let mut changes = std::mem::take(&mut self.changes);
        let target = self.target(name);
        let setting = GateSetting(spec.gate_setting);
        let same =
            target.plan.as_ref().is_some_and(|plan| plan.gvk == gvk && plan.fingerprint == spec.fingerprint);
        see(target, setting, &spec.sight, &mut changes);
        if !same {
            target.sequence += 1;
            (target.listed, target.hydrated) = (false, false);
            target.plan = Some(ActivePlan { gvk: gvk.clone(), fingerprint: spec.fingerprint });
            changes.push(Change::SetTarget(Arc::new(graph::TargetPlan {
                id: target.id,
                name: Arc::new(name.clone()),
                watch: watch.0,
                profile: Arc::clone(&spec.profile),
                selection: Arc::clone(&spec.selection),
                setting,
            })));
        } else if target.hydrated && std::mem::take(&mut target.has_old_settings) {
            changes.push(Change::KeepSetting { target: target.id, setting });
        }
        self.changes = changes;
        if !same && watch.1 {
            self.lists.entry(gvk).or_default().push(name.clone());
        }
    }

    fn hold(&mut self, name: &TargetName) {
        let target = self.target(name);
        if target.plan.take().is_some() {
            target.sequence += 1;
            let id = target.id;
            self.changes.push(Change::HoldTarget(id));
        }
    }

    fn remove_target(&mut self, name: &TargetName) {
        if let Some(target) = self.state.targets.remove(name) {
            self.state.target_names.remove(&target.id);
            self.changes.push(Change::RemoveTarget(target.id));
        }
    }

    fn inventory(&mut self, name: &InventoryName, spec: &InventoryPlan) {
        let dedupe = match spec.dedupe {
            api::Dedupe::KeepAll => Dedupe::KeepAll,
            api::Dedupe::ByResourceUid => Dedupe::ByResource,
        };
        let State { inventories, targets, last_number, .. } = &mut *self.state;
        let inventory = inventories.entry(name.clone()).or_insert_with(|| {
            *last_number += 1;
            Inventory {
                id: InventoryId(*last_number),
                targets: BTreeSet::new(),
                dedupe,
                rollups: Rollups::default(),
                subscribers: Vec::new(),
                requests: Vec::new(),
                count: 0,
                digest: Default::default(),
                rows_by_target: Default::default(),
                namespaces: None,
                shards: name.is_of_cluster().then(Shards::default),
            }
        });
        let changed = inventory.targets != spec.targets || inventory.dedupe != dedupe;
        if inventory.namespaces != spec.namespaces {
            inventory.namespaces.clone_from(&spec.namespaces);
            let namespaces = spec.namespaces.clone().map(Arc::new);
            self.changes.push(Change::Take { inventory: inventory.id, namespaces });
        }
        let old = std::mem::replace(&mut inventory.targets, spec.targets.clone());
        inventory.dedupe = dedupe;
        feed(inventory.id, dedupe, &old, &inventory.targets, targets, &mut self.changes);
        inventory.rollups.apply(inventory.id, &spec.rollups, last_number, &mut self.changes);
        if changed {
            for subscriber in &inventory.subscribers {
                subscriber.look_again();
            }
        }
    }

    fn remove_inventory(&mut self, name: &InventoryName) {
        let Some(inventory) = self.state.inventories.remove(name) else { return };
        let Inventory { id, dedupe, targets, mut rollups, .. } = inventory;
        let State { targets: known, last_number, .. } = &mut *self.state;
        feed(id, dedupe, &targets, &BTreeSet::new(), known, &mut self.changes);
        self.changes.push(Change::Take { inventory: id, namespaces: None });
        rollups.apply(id, &BTreeMap::new(), last_number, &mut self.changes);
    }

    /// Brings the metrics of profiles in line. An object that several targets select counts once, so their rows are deduped.
    fn measure(&mut self, plan: &Plan) {
        let State { measured, targets, last_number, .. } = &mut *self.state;
        let nothing = MetricsPlan::default();
        let names: BTreeSet<ResourceName> = measured.keys().chain(plan.metrics.keys()).cloned().collect();
        for name in names {
            let wanted = plan.metrics.get(&name).unwrap_or(&nothing);
            let of_profile = measured.entry(name.clone()).or_insert_with(|| {
                *last_number += 1;
                let id = InventoryId(*last_number);
                Measured { id, targets: BTreeSet::new(), metrics: Rollups::default() }
            });
            let old = std::mem::replace(&mut of_profile.targets, wanted.targets.clone());
            feed(of_profile.id, Dedupe::ByResource, &old, &wanted.targets, targets, &mut self.changes);
            of_profile.metrics.apply(of_profile.id, &wanted.metrics, last_number, &mut self.changes);
            if !plan.metrics.contains_key(&name) {
                measured.remove(&name);
            }
        }
    }
}

/// Tells the graph which targets feed an inventory, and which do not any more.
fn feed(
    inventory: InventoryId,
    dedupe: Dedupe,
    old: &BTreeSet<TargetName>,
    new: &BTreeSet<TargetName>,
    targets: &BTreeMap<TargetName, Target>,
    changes: &mut Vec<Change>,
) {
    let mut say = |name: &TargetName, dedupe| {
        if let Some(target) = targets.get(name) {
            changes.push(Change::Feed { target: target.id, inventory, dedupe });
        }
    };
    old.difference(new).for_each(|target| say(target, None));
    // Said every time: a target of that name may be a new one. What holds already costs a look-up.
    new.iter().for_each(|target| say(target, Some(dedupe)));
}

/// Tells the graph where a target looks, as far as that has changed.
fn see(target: &mut Target, setting: GateSetting, sight: &Sight, changes: &mut Vec<Change>) {
    if target.sight.as_ref().is_some_and(|(same, old)| *same == setting && old == sight) {
        return;
    }
    let old = target.sight.replace((setting, sight.clone()));
    let old = match old {
        Some((same, old)) if same == setting => old,
        // Rows that were selected with gates of another meaning stay as they are until they are read anew.
        Some(_) => {
            target.has_old_settings = true;
            Sight::default()
        }
        None => Sight::default(),
    };
    let mut change = |scope, gates| changes.push(Change::See { target: target.id, setting, scope, gates });
    if old.everywhere != sight.everywhere {
        change(Scope::Everywhere, sight.everywhere);
    }
    for (namespace, gates) in &sight.namespaces {
        if old.namespaces.get(namespace) != Some(gates) {
            change(Scope::Namespace(namespace.as_str().into()), Some(*gates));
        }
    }
    for namespace in old.namespaces.keys().filter(|namespace| !sight.namespaces.contains_key(*namespace)) {
        change(Scope::Namespace(namespace.as_str().into()), None);
    }
}

fn wanted_kinds(plan: &Plan) -> BTreeSet<Gvk> {
    plan.targets
        .values()
        .filter_map(|target| match target {
            TargetPlan::Active(active) => Some(active.gvk.as_ref().clone()),
            TargetPlan::Held { .. } => None,
        })
        .collect()
}
