//! Takes the graph's epochs, in order, and tells whom they concern.

use std::collections::hash_map::Entry;

use kollect_dataflows::data::{Delta, TargetId};
use kollect_dataflows::graph::{Epoch, Epochs, InventoryDeltas, Problem};

use super::state::{Inventory, State, Target};
use super::{Shared, View};
use crate::sources::SourceProblem;

/// Runs until the graph ends.
pub(super) fn run(mut epochs: Epochs, shared: &Shared) {
    while let Ok(epoch) = epochs.recv() {
        let mut state = shared.lock();
        dispatch(&mut state, epoch);
        answer(&mut state, &epochs);
        drop(state);
        shared.changed.send_modify(|count| *count += 1);
    }
    let mut state = shared.lock();
    state.ended = true;
    // Whoever waits for a view learns that none will come.
    for inventory in state.inventories.values_mut() {
        inventory.requests.clear();
    }
    drop(state);
    shared.changed.send_modify(|count| *count += 1);
}

fn dispatch(state: &mut State, mut epoch: Epoch) {
    state.epoch = epoch.number;
    // Somebody may wait for everything up to a mark to be delivered.
    let marked = !epoch.marks.is_empty();
    if let Some(mark) = epoch.marks.last() {
        state.mark = state.mark.max(*mark);
        state.mark_epoch = epoch.number;
    }
    for (target, diff) in epoch.selected {
        if let Some(target) = target_of(state, target) {
            target.objects = target.objects.saturating_add_signed(diff as i64);
        }
    }
    for (target, problem, diff) in epoch.problems {
        let Some(target) = target_of(state, target) else { continue };
        if problem.attribute.is_empty() {
            unreadable(target, &problem, diff);
            continue;
        }
        target.failures = target.failures.saturating_add_signed(diff as i64);
        if diff > 0 {
            let place = place(&problem);
            target.last_failure =
                Some(format!("{place}: attribute {}: {}", problem.attribute, problem.message));
        }
        if target.failures == 0 {
            target.last_failure = None;
        }
    }
    for inventory in state.inventories.values_mut() {
        inventory.rollups.take_in(&mut epoch.rollups);
        let changed = epoch.inventories.remove(&inventory.id);
        if let Some(changed) = &changed {
            count(inventory, changed);
        }
        let deltas: &[Delta] = changed.as_ref().map(|changed| changed.deltas.as_slice()).unwrap_or_default();
        if deltas.is_empty() && !marked {
            continue;
        }
        for subscriber in &inventory.subscribers {
            subscriber.offer(epoch.number, deltas);
        }
    }
    for measured in state.measured.values_mut() {
        measured.metrics.take_in(&mut epoch.rollups);
    }
    for list in epoch.lists {
        for (name, sequence) in state.lists.remove(&list).unwrap_or_default() {
            let Some(target) = state.targets.get_mut(&name) else { continue };
            target.listed |= target.sequence == sequence;
        }
    }
    hydrate(state);
}

/// Takes note of an object that can't be read.
fn unreadable(target: &mut Target, problem: &Problem, diff: isize) {
    target.unreadable = target.unreadable.saturating_add_signed(diff as i64);
    if diff > 0 {
        let kind = target.plan.as_ref().map(|plan| plan.gvk.to_string()).unwrap_or_default();
        target.last_unreadable = Some(SourceProblem {
            reason: "Unreadable",
            message: format!("{kind} {} can't be read: {}", place(problem), problem.message),
            remedy: "correct the object; its row stays as it was".to_owned(),
        });
    }
    if target.unreadable == 0 {
        target.last_unreadable = None;
    }
}

fn place(problem: &Problem) -> String {
    let place = [problem.namespace.as_str(), problem.name.as_str()].join("/");
    place.trim_start_matches('/').to_owned()
}

/// Targets that are listed are hydrated, but those with an object that can't be read: what it says is unknown, so that a
/// destination must not lose the row that it has of it.
fn hydrate(state: &mut State) {
    let State { targets, inventories, .. } = state;
    for (name, target) in targets {
        if target.hydrated || !target.listed || target.unreadable > 0 {
            continue;
        }
        target.hydrated = true;
        let fed = inventories.values().filter(|inventory| inventory.targets.contains(name));
        for subscriber in fed.flat_map(|inventory| &inventory.subscribers) {
            subscriber.look_again();
        }
    }
}

fn target_of(state: &mut State, id: TargetId) -> Option<&mut Target> {
    state.targets.get_mut(state.target_names.get(&id)?)
}

fn count(inventory: &mut Inventory, changed: &InventoryDeltas) {
    inventory.count = changed.count;
    inventory.digest = changed.digest;
    for delta in &changed.deltas {
        if let Some(shards) = &mut inventory.shards {
            shards.take_in(delta);
        }
        match delta {
            Delta::Insert(row) => {
                *inventory.rows_by_target.entry(row.target().clone()).or_default() += 1;
            }
            Delta::Delete(row) => {
                if let Entry::Occupied(mut rows) = inventory.rows_by_target.entry(row.target().clone()) {
                    *rows.get_mut() -= 1;
                    if *rows.get() == 0 {
                        rows.remove();
                    }
                }
            }
            Delta::Update { .. } => {}
        }
    }
}

/// Answers the requests for views that can be answered now.
fn answer(state: &mut State, epochs: &Epochs) {
    let ready: Vec<_> = state
        .inventories
        .iter()
        .filter(|(_, inventory)| {
            let hydrated = |name| state.targets.get(name).is_some_and(|target| target.hydrated);
            !inventory.requests.is_empty()
                && !inventory.targets.iter().any(|name| state.is_pending(name))
                // Nothing follows from a look at nothing.
                && (inventory.targets.is_empty()
                    || inventory.count > 0
                    || inventory.targets.iter().any(hydrated))
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in ready {
        let State { inventories, targets, epoch, .. } = state;
        let Some(inventory) = inventories.get_mut(&name) else { continue };
        let (count, digest) = epochs.totals(inventory.id);
        for request in std::mem::take(&mut inventory.requests) {
            let hydrated = |name: &_| targets.get(name).is_some_and(|target| target.hydrated);
            request(View {
                epoch: *epoch,
                snapshot: epochs.snapshot(inventory.id),
                count,
                digest,
                targets: inventory.targets.iter().map(|name| (name.clone(), hydrated(name))).collect(),
            });
        }
    }
}
