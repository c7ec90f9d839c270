//! The graph, with one inventory that targets of eight attributes feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use kollect_dataflows::data::{InventoryId, TargetId, TargetName, WatchId};
use kollect_dataflows::extract::{Gates, Selection};
use kollect_dataflows::graph::{
    self, Change, Dedupe, Epoch, Epochs, GateSetting, Handle, ListScope, Options, Scope, TargetPlan,
};

use super::subject::{Feed, List, MOVING, Subject, profile};
use crate::support::objects::{Deployment, number_of};

const WATCH: WatchId = WatchId(1);
const TARGET: TargetId = TargetId(1);
/// The one that comes and goes.
const OTHER: TargetId = TargetId(2);
const INVENTORY: InventoryId = InventoryId(1);
const SETTING: GateSetting = GateSetting(0);

/// Versions of changes; lists have smaller ones.
static VERSION: AtomicU64 = AtomicU64::new(1 << 32);

pub(crate) struct Graph {
    handle: Handle,
    epochs: Epochs,
}

/// The changes that add a target.
fn target(target: TargetId, name: &str) -> [Change; 3] {
    let plan = TargetPlan {
        id: target,
        name: Arc::new(TargetName::new("platform", name)),
        watch: WATCH,
        profile: profile(),
        selection: Arc::new(Selection::everything()),
        setting: SETTING,
    };
    [
        Change::See { target, setting: SETTING, scope: Scope::Everywhere, gates: Some(Gates::ALL) },
        Change::Feed { target, inventory: INVENTORY, dedupe: Some(Dedupe::KeepAll) },
        Change::SetTarget(Arc::new(plan)),
    ]
}

fn feed(handle: &Handle, Deployment { namespace, name, json }: Deployment) {
    let version = VERSION.fetch_add(1, Ordering::Relaxed);
    handle.object(WATCH, None, &namespace, &name, version, json).unwrap();
}

fn deltas(epoch: &Epoch) -> u64 {
    epoch.inventories.values().map(|changed| changed.deltas.len() as u64).sum()
}

impl Graph {
    pub(crate) fn start(workers: usize) -> Self {
        let (handle, epochs) = graph::start(Options { workers, ..Options::default() }).unwrap();
        handle.change(target(TARGET, "deployments")).unwrap();
        Self { handle, epochs }
    }

    /// Takes changes in as fast as they come, those of an object that changes several times too.
    pub(crate) fn stream(&mut self, objects: impl Iterator<Item = Deployment> + Send + 'static) {
        let handle = self.handle.clone();
        let feeder = thread::spawn(move || {
            objects.for_each(|object| feed(&handle, object));
            handle.mark().unwrap();
        });
        self.until(|epoch| !epoch.marks.is_empty());
        feeder.join().unwrap();
    }

    fn until(&mut self, is_last: impl Fn(&Epoch) -> bool) -> u64 {
        let mut count = 0;
        loop {
            let epoch = self.epochs.recv().unwrap();
            count += deltas(&epoch);
            if is_last(&epoch) {
                return count;
            }
        }
    }

    fn list_of(&mut self, scope: ListScope, list: List) -> u64 {
        let handle = self.handle.clone();
        let feeder = thread::spawn(move || {
            let id = handle.list_begin(WATCH, scope).unwrap();
            for number in 0..list.objects.rows {
                let Deployment { namespace, name, json } = list.objects.object(number, list.content);
                handle.object(WATCH, Some(id), &namespace, &name, list.version, json).unwrap();
            }
            handle.list_end(WATCH, id).unwrap();
        });
        let count = self.until(|epoch| !epoch.lists.is_empty());
        feeder.join().unwrap();
        count
    }
}

impl Subject for Graph {
    fn list(&mut self, list: List) -> u64 {
        self.list_of(ListScope::Watch, list)
    }

    fn change(&mut self, objects: Vec<Deployment>) -> u64 {
        let expected = objects.len() as u64;
        let handle = self.handle.clone();
        let all = move || objects.into_iter().for_each(|object| feed(&handle, object));
        let feeder = if expected > 1 {
            // They may have to wait for room, which there only is while somebody receives.
            Some(thread::spawn(all))
        } else {
            all();
            None
        };
        let mut count = 0;
        while count < expected {
            count += deltas(&self.epochs.recv().unwrap());
        }
        if let Some(feeder) = feeder {
            feeder.join().unwrap();
        }
        count
    }

    fn see(&mut self, open: bool) -> u64 {
        // Where nothing is said of a namespace, what is said of everywhere holds.
        let gates = (!open).then_some(Gates::NONE);
        let scope = Scope::Namespace(MOVING.into());
        self.handle.change([Change::See { target: TARGET, setting: SETTING, scope, gates }]).unwrap();
        self.until(|_| true)
    }

    fn add_target(&mut self, list: List) -> u64 {
        self.handle.change(target(OTHER, "others")).unwrap();
        self.list_of(ListScope::Targets([OTHER].into()), list)
    }

    fn remove_target(&mut self) -> u64 {
        self.handle.change([Change::RemoveTarget(OTHER)]).unwrap();
        self.until(|_| true)
    }

    fn feed(&mut self) -> Feed {
        let handle = self.handle.clone();
        Box::new(move |object| feed(&handle, object))
    }

    fn next(&mut self) -> Vec<u64> {
        let epoch = self.epochs.recv().unwrap();
        let changed = epoch.inventories.values().flat_map(|changed| &changed.deltas);
        changed.map(|delta| number_of(delta.key().name)).collect()
    }
}
