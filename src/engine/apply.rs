//! From what is wanted to what the graph and the sources are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kollect_dataflows::data::{Gvk, InventoryId, TargetId, TargetName, WatchId};
use kollect_dataflows::graph::{self, Dedupe, Fact, GraphClosed, Handle, Scope};

use super::state::{ActivePlan, Inventory, State, Target, Watch, sees};
use super::{Engine, InventoryName};
use crate::api;
use crate::catalog::{ActiveTarget, InventoryPlan, Namespaces, Plan, TargetPlan};

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
        let mut applying = Applying { handle: &self.handle, state: &mut state, lists: BTreeMap::new() };
        let actions = applying.run(plan)?;
        drop(state);
        self.wake();
        Ok(actions)
    }
}

struct Applying<'a> {
    handle: &'a Handle,
    state: &'a mut State,
    lists: BTreeMap<Gvk, Vec<TargetName>>,
}

impl Applying<'_> {
    fn run(&mut self, plan: &Plan) -> Result<Vec<SourceAction>, GraphClosed> {
        let mut actions = Vec::new();
        // Watches first, so that plans can name them; only then what needs them.
        for gvk in wanted_kinds(plan) {
            if !self.state.watches.contains_key(&gvk) {
                let State { watch_ids, last_number, .. } = &mut *self.state;
                let id = *watch_ids.entry(gvk.clone()).or_insert_with(|| {
                    *last_number += 1;
                    WatchId(*last_number)
                });
                let watch = Watch { id, begun: false, problem: None, unreadable: Vec::new() };
                self.state.watches.insert(gvk.clone(), watch);
                actions.push(SourceAction::Watch(gvk));
            }
        }
        for (name, wanted) in &plan.targets {
            match wanted {
                TargetPlan::Active(active) => self.activate(name, active)?,
                TargetPlan::Held { .. } => self.hold(name)?,
            }
        }
        let gone: Vec<TargetName> =
            self.state.targets.keys().filter(|name| !plan.targets.contains_key(name)).cloned().collect();
        for (name, spec) in &plan.inventories {
            self.inventory(name, spec)?;
        }
        let gone_inventories: Vec<InventoryName> = self
            .state
            .inventories
            .keys()
            .filter(|name| !plan.inventories.contains_key(name))
            .cloned()
            .collect();
        for name in gone_inventories {
            self.remove_inventory(&name)?;
        }
        for name in gone {
            self.remove_target(&name)?;
        }
        let wanted = wanted_kinds(plan);
        let unwanted: Vec<Gvk> =
            self.state.watches.keys().filter(|gvk| !wanted.contains(gvk)).cloned().collect();
        for gvk in unwanted {
            if let Some(watch) = self.state.watches.remove(&gvk) {
                self.handle.forget_watch(watch.id)?;
            }
            actions.push(SourceAction::Unwatch(gvk));
        }
        actions.extend(
            std::mem::take(&mut self.lists)
                .into_iter()
                .map(|(gvk, targets)| SourceAction::List(gvk, targets)),
        );
        Ok(actions)
    }

    fn target(&mut self, name: &TargetName) -> &mut Target {
        let State { targets, last_number, .. } = &mut *self.state;
        targets.entry(name.clone()).or_insert_with(|| {
            *last_number += 1;
            Target {
                id: TargetId(*last_number),
                plan: None,
                sees: BTreeSet::new(),
                sequence: 0,
                hydrated: false,
                objects: 0,
                failures: 0,
                last_failure: None,
            }
        })
    }

    fn activate(&mut self, name: &TargetName, spec: &ActiveTarget) -> Result<(), GraphClosed> {
        let gvk = spec.gvk.as_ref().clone();
        let scoped = spec.namespaces != Namespaces::All;
        let Some(watch) = self.state.watches.get(&gvk).map(|watch| (watch.id, watch.begun)) else {
            return Ok(());
        };
        let handle = self.handle;
        let target = self.target(name);
        let same = target.plan.as_ref().is_some_and(|plan| {
            plan.gvk == gvk && plan.fingerprint == spec.fingerprint && plan.scoped == scoped
        });
        if !same {
            target.sequence += 1;
            target.hydrated = false;
            target.plan = Some(ActivePlan { gvk: gvk.clone(), fingerprint: spec.fingerprint, scoped });
            handle.set_target(Arc::new(graph::TargetPlan {
                id: target.id,
                name: Arc::new(name.clone()),
                watch: watch.0,
                profile: Arc::clone(&spec.profile),
                labels: spec.labels.clone(),
                names: spec.names.clone(),
                scoped,
            }))?;
        }
        let wanted: BTreeSet<Scope> = match &spec.namespaces {
            Namespaces::All => BTreeSet::from([Scope::Everything]),
            Namespaces::Only(names) => {
                names.iter().map(|name| Scope::Namespace(name.as_str().into())).collect()
            }
        };
        for scope in wanted.difference(&target.sees) {
            handle.insert_fact(sees(target.id, scope))?;
        }
        for scope in target.sees.difference(&wanted) {
            handle.remove_fact(&sees(target.id, scope))?;
        }
        target.sees = wanted;
        if !same && watch.1 {
            self.lists.entry(gvk).or_default().push(name.clone());
        }
        Ok(())
    }

    fn hold(&mut self, name: &TargetName) -> Result<(), GraphClosed> {
        let handle = self.handle;
        let target = self.target(name);
        if target.plan.take().is_some() {
            target.sequence += 1;
            handle.hold_target(target.id)?;
        }
        Ok(())
    }

    fn remove_target(&mut self, name: &TargetName) -> Result<(), GraphClosed> {
        if let Some(target) = self.state.targets.remove(name) {
            for scope in &target.sees {
                self.handle.remove_fact(&sees(target.id, scope))?;
            }
            self.handle.remove_target(target.id)?;
        }
        Ok(())
    }

    fn inventory(&mut self, name: &InventoryName, spec: &InventoryPlan) -> Result<(), GraphClosed> {
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
                subscribers: Vec::new(),
                requests: Vec::new(),
                count: 0,
                digest: Default::default(),
                rows_by_target: Default::default(),
            }
        });
        let changed = inventory.targets != spec.targets || inventory.dedupe != dedupe;
        let old = std::mem::replace(&mut inventory.targets, spec.targets.clone());
        let old_dedupe = std::mem::replace(&mut inventory.dedupe, dedupe);
        let feeds = |target: &TargetName, dedupe| {
            let target = targets.get(target)?.id;
            Some(Fact::Feeds { target, inventory: inventory.id, dedupe })
        };
        for target in &old {
            let stays = inventory.targets.contains(target) && old_dedupe == inventory.dedupe;
            if let Some(fact) = feeds(target, old_dedupe).filter(|_| !stays) {
                self.handle.remove_fact(&fact)?;
            }
        }
        // Said every time: a target of that name may be a new one. What holds already costs a look-up.
        for target in &inventory.targets {
            if let Some(fact) = feeds(target, inventory.dedupe) {
                self.handle.insert_fact(fact)?;
            }
        }
        if changed {
            for subscriber in &inventory.subscribers {
                subscriber.look_again();
            }
        }
        Ok(())
    }

    fn remove_inventory(&mut self, name: &InventoryName) -> Result<(), GraphClosed> {
        let Some(inventory) = self.state.inventories.remove(name) else { return Ok(()) };
        for target in &inventory.targets {
            if let Some(target) = self.state.targets.get(target) {
                let dedupe = inventory.dedupe;
                let fact = Fact::Feeds { target: target.id, inventory: inventory.id, dedupe };
                self.handle.remove_fact(&fact)?;
            }
        }
        Ok(())
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
