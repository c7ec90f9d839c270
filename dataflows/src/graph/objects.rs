//! Observe and extract: from events about objects to differences of rows and problems.
//!
//! This is the one part of the graph that is not made of differential operators, because none fits: it must know an
//! object's previous rows to retract them, it must not keep the object, and it must notice at the end of a list what
//! the list lacked. One [`ObjectTable`] a worker holds, for each object routed to that worker, its version and its
//! rows (eight-byte handles that the rest of the graph shares).
//!
//! Invariants:
//!
//! - What was emitted and not retracted is exactly what the table holds.
//! - Within one batch an object is evaluated at most once, on its last accepted version.
//! - Only the end of a complete list, a deletion, a target's removal or another version of the object retracts a row.
//!   A target on hold keeps its rows whatever happens to the objects.
//! - All rows of a target are of objects of one watch. When it is to read another one, those of that wait until they are complete,
//!   and then take the place of the others at once: an object that is served in two versions has one key in both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;

use super::command::{Command, ListId, ListScope, ObjectKey};
use super::differences::{Differences, Given, Output, Problem, Trouble};
use super::evaluation::{Evaluated, Identity, evaluate};
use super::facts::{Change, Facts, TargetPlan};
use super::views::{ViewOf, Views};
use crate::data::{Row, TargetId, WatchId};
use crate::extract::{Document, Gates, Projection};

/// Keys are hashes already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, key: u128) {
        // The low half picks the worker, so all keys of a worker agree in some of its bits.
        self.0 = (key >> 64) as u64;
    }
}

type KeyMap<V> = HashMap<ObjectKey, V, BuildHasherDefault<KeyHasher>>;
type KeySet = HashSet<ObjectKey, BuildHasherDefault<KeyHasher>>;

/// What is kept of one object.
#[derive(Default)]
struct Known {
    version: u64,
    /// The generation of the watch's plans that the rows were evaluated with.
    plans: u32,
    rows: SmallVec<[Given; 1]>,
}

struct OpenList {
    id: ListId,
    scope: ListScope,
    seen: KeySet,
    /// Targets whose plans are newer than the list: it is not complete for them.
    newer: SmallVec<[TargetId; 2]>,
}

#[derive(Default)]
struct Watch {
    plans: Vec<Arc<TargetPlan>>,
    /// Counts changes of `plans`.
    generation: u32,
    /// What all plans together read of an object; made when it is needed.
    projection: Option<Projection>,
    objects: KeyMap<Known>,
    problems: KeyMap<Vec<Trouble>>,
    lists: Vec<OpenList>,
    /// Deleted objects and their last versions, kept while a list beside the stream is open that may still bring them.
    deleted: KeyMap<u64>,
    /// Objects of this batch that are still to be evaluated, with their last accepted bytes.
    pending: KeyMap<Arc<[u8]>>,
    /// Of targets that have rows of another watch until this one's objects are complete: what they get from each object, and its
    /// namespace.
    waiting: HashMap<TargetId, KeyMap<(Box<str>, Evaluated)>>,
}

/// The objects of one worker.
#[derive(Default)]
pub(super) struct ObjectTable {
    watches: BTreeMap<WatchId, Watch>,
    facts: Facts,
    views: Views,
    /// The watch of each target that has rows or a plan.
    targets: HashMap<TargetId, WatchId>,
    /// Watches that targets read before, one of which their rows are of until those of their present one are complete.
    left: HashMap<TargetId, SmallVec<[WatchId; 1]>>,
}

impl ObjectTable {
    /// Takes one batch of commands in and gives the differences that it makes.
    pub(super) fn apply(&mut self, commands: Vec<Command>) -> Differences {
        let mut differences = Differences::default();
        let mut views = std::mem::take(&mut self.views);
        let mut out = Output { differences: &mut differences, views: &mut views };
        for command in commands {
            self.command(command, &mut out);
        }
        for watch in self.watches.values_mut() {
            watch.evaluate_pending(&mut out);
        }
        differences.work.row_differences = differences.rows.len() as u64;
        differences.sights = views.settle(&self.facts);
        self.views = views;
        differences
    }

    fn command(&mut self, command: Command, out: &mut Output<'_>) {
        match command {
            Command::ListBegin { watch, list, scope } => {
                self.watches.entry(watch).or_default().list_begin(list, scope);
            }
            Command::Object { watch, key, list, version, json } => {
                out.differences.work.objects += 1;
                self.watches.entry(watch).or_default().object(key, list, version, json);
            }
            Command::Deleted { watch, key, version } => {
                self.watches.entry(watch).or_default().deleted(key, version, out);
            }
            Command::ListEnd { watch, list } => {
                let complete = self.watches.entry(watch).or_default().list_end(list, out);
                complete.into_iter().for_each(|target| self.retract_left(target, out));
                out.differences.lists.push(list);
            }
            Command::ListAbandoned { watch, list } => {
                self.watches.entry(watch).or_default().close_list(list);
            }
            Command::Change(change) => self.change(change, out),
            Command::Mark(mark) => out.differences.marks.push(mark),
        }
    }

    fn change(&mut self, change: Change, out: &mut Output<'_>) {
        let touched = match change {
            Change::SetTarget(plan) => return self.set_target(plan, out),
            Change::HoldTarget(target) => {
                if let Some(watch) = self.watch_of(target) {
                    // What came before the hold still counts.
                    watch.evaluate_pending(out);
                    watch.drop_plan(target);
                }
                return;
            }
            Change::RemoveTarget(target) => {
                self.remove_target(target, out);
                self.facts.remove(target)
            }
            Change::ForgetWatch(watch) => {
                if let Some(watch) = self.watches.get_mut(&watch) {
                    watch.forget();
                }
                return;
            }
            Change::Feed { target, inventory, dedupe } => self.facts.feed(target, inventory, dedupe),
            Change::See { target, setting, scope, gates } => self.facts.see(target, setting, scope, gates),
            Change::Take { inventory, namespaces } => {
                let touched = self.facts.take(inventory, namespaces);
                return touched.iter().for_each(|touched| out.views.touch(touched));
            }
            Change::Rollup { rollup, inventory, spec } => {
                return out.differences.rollups.extend(self.facts.roll_up(rollup, inventory, spec));
            }
            Change::KeepSetting { target, setting } => self.facts.keep_setting(target, setting),
        };
        touched.iter().for_each(|touched| out.views.touch(touched));
    }

    fn watch_of(&mut self, target: TargetId) -> Option<&mut Watch> {
        self.watches.get_mut(self.targets.get(&target)?)
    }

    fn set_target(&mut self, plan: Arc<TargetPlan>, out: &mut Output<'_>) {
        if let Some(old) = self.targets.insert(plan.id, plan.watch).filter(|old| *old != plan.watch) {
            // The other kind may not be there at all: what is known stays until more is.
            if let Some(watch) = self.watches.get_mut(&old) {
                watch.evaluate_pending(out);
                watch.drop_plan(plan.id);
            }
            let left = self.left.entry(plan.id).or_default();
            left.retain(|watch| *watch != plan.watch);
            left.push(old);
        }
        let watch = self.watches.entry(plan.watch).or_default();
        watch.drop_plan(plan.id);
        if self.left.contains_key(&plan.id) {
            watch.waiting.insert(plan.id, KeyMap::default());
        }
        watch.lists.iter_mut().for_each(|list| list.newer.push(plan.id));
        watch.plans.push(plan);
        watch.projection = None;
    }

    /// Takes back what a target has of watches that it no longer reads.
    fn retract_left(&mut self, target: TargetId, out: &mut Output<'_>) {
        for watch in self.left.remove(&target).unwrap_or_default() {
            if let Some(watch) = self.watches.get_mut(&watch) {
                watch.retract_all(target, out);
            }
        }
    }

    fn remove_target(&mut self, target: TargetId, out: &mut Output<'_>) {
        self.retract_left(target, out);
        if let Some(watch) = self.watch_of(target) {
            watch.drop_plan(target);
            watch.retract_all(target, out);
        }
        self.targets.remove(&target);
    }
}

impl Watch {
    fn drop_plan(&mut self, target: TargetId) {
        self.plans.retain(|plan| plan.id != target);
        self.waiting.remove(&target);
        self.generation = self.generation.wrapping_add(1);
        self.projection = None;
    }

    fn list_begin(&mut self, id: ListId, scope: ListScope) {
        if scope == ListScope::Watch {
            // The stream started over: what it listed before can't be completed any more.
            self.lists.retain(|list| list.scope != ListScope::Watch);
        }
        self.lists.push(OpenList { id, scope, seen: KeySet::default(), newer: SmallVec::new() });
    }

    fn object(&mut self, key: ObjectKey, list: Option<ListId>, version: u64, json: Arc<[u8]>) {
        let list = list.and_then(|id| self.lists.iter().find(|open| open.id == id));
        // The watch's own list is the truth, whatever it brings. Anything else must not undo something newer.
        let may_be_old = list.is_none_or(|list| list.scope != ListScope::Watch);
        let was_deleted = || self.deleted.get(&key).is_some_and(|gone| version == 0 || version < *gone);
        if may_be_old && list.is_some() && was_deleted() {
            return;
        }
        // What the stream brings while a list is taken beside it is there, though the list may be too old to have it.
        for list in &mut self.lists {
            list.seen.insert(key);
        }
        self.deleted.remove(&key);
        let known = self.objects.entry(key).or_default();
        if may_be_old && version < known.version {
            return;
        }
        let unchanged = version != 0
            && version == known.version
            && known.plans == self.generation
            && !self.pending.contains_key(&key);
        known.version = version;
        if !unchanged {
            self.pending.insert(key, json);
        }
    }

    fn deleted(&mut self, key: ObjectKey, version: u64, out: &mut Output<'_>) {
        if self.objects.get(&key).is_some_and(|known| version != 0 && version < known.version) {
            return;
        }
        self.pending.remove(&key);
        // The watch's own list may stay open for as long as it likes: nothing is kept for it.
        if self.has_lists_beside() {
            self.deleted.insert(key, version);
        }
        for list in &mut self.lists {
            list.seen.remove(&key);
        }
        self.retract(key, out);
    }

    fn has_lists_beside(&self) -> bool {
        self.lists.iter().any(|list| list.scope != ListScope::Watch)
    }

    fn close_list(&mut self, id: ListId) -> Option<OpenList> {
        let position = self.lists.iter().position(|list| list.id == id)?;
        let list = self.lists.swap_remove(position);
        if !self.has_lists_beside() {
            self.deleted = KeyMap::default();
        }
        Some(list)
    }

    /// Sweeps: what the complete list lacked is gone. The targets for which it was complete.
    fn list_end(&mut self, id: ListId, out: &mut Output<'_>) -> SmallVec<[TargetId; 4]> {
        let Some(list) = self.close_list(id) else { return SmallVec::new() };
        match &list.scope {
            ListScope::Watch => {
                let gone: Vec<ObjectKey> =
                    self.objects.keys().filter(|key| !list.seen.contains(key)).copied().collect();
                for key in gone {
                    self.pending.remove(&key);
                    self.retract(key, out);
                }
            }
            ListScope::Targets(targets) => {
                for target in targets.iter() {
                    if let Some(waiting) = self.waiting.get_mut(target) {
                        waiting.retain(|key, _| list.seen.contains(key));
                    }
                    if self.plans.iter().any(|plan| plan.id == *target) {
                        self.retract_target(*target, |key| !list.seen.contains(key), out);
                    }
                }
            }
        }
        let mut complete = self.active();
        complete.retain(|target| list.scope.includes(*target) && !list.newer.contains(target));
        complete.iter().for_each(|target| self.take_waiting(*target, out));
        complete
    }

    /// Gives a target what has waited for the end of its list.
    fn take_waiting(&mut self, target: TargetId, out: &mut Output<'_>) {
        let Some(waiting) = self.waiting.remove(&target) else { return };
        let Some(plan) = self.plans.iter().find(|plan| plan.id == target).cloned() else { return };
        for (key, (namespace, evaluated)) in waiting {
            self.retract_problems(key, |of| of == target, out);
            let known = self.objects.entry(key).or_default();
            let problems = known.take(&plan, &namespace, evaluated, out);
            self.add_problems(key, problems);
        }
    }

    fn add_problems(&mut self, key: ObjectKey, problems: Vec<Trouble>) {
        if !problems.is_empty() {
            self.problems.entry(key).or_default().extend(problems);
        }
    }

    /// Takes back the rows and problems of an object that is gone, those of targets on hold apart.
    fn retract(&mut self, key: ObjectKey, out: &mut Output<'_>) {
        let active = self.active();
        for waiting in self.waiting.values_mut() {
            waiting.remove(&key);
        }
        if let Some(known) = self.objects.get_mut(&key) {
            known.rows.retain(|given| {
                let taken = active.contains(&given.target);
                if taken {
                    out.retract(given);
                }
                !taken
            });
            if known.rows.is_empty() {
                self.objects.remove(&key);
            }
        }
        self.retract_problems(key, |target| active.contains(&target), out);
    }

    /// The targets that read objects at present.
    fn active(&self) -> SmallVec<[TargetId; 4]> {
        self.plans.iter().map(|plan| plan.id).collect()
    }

    fn retract_problems(&mut self, key: ObjectKey, takes: impl Fn(TargetId) -> bool, out: &mut Output<'_>) {
        if let Some(problems) = self.problems.get_mut(&key) {
            problems.retain(|trouble| {
                let taken = takes(trouble.target);
                if taken {
                    out.retract_problem(trouble);
                }
                !taken
            });
            if problems.is_empty() {
                self.problems.remove(&key);
            }
        }
    }

    /// Takes back a target's rows and problems of all objects that `takes` picks.
    fn retract_target(&mut self, target: TargetId, takes: impl Fn(&ObjectKey) -> bool, out: &mut Output<'_>) {
        for (key, known) in &mut self.objects {
            if takes(key) {
                known.rows.retain(|given| {
                    let taken = given.target == target;
                    if taken {
                        out.retract(given);
                    }
                    !taken
                });
            }
        }
        let with_problems: Vec<ObjectKey> = self.problems.keys().filter(|key| takes(key)).copied().collect();
        for key in with_problems {
            self.retract_problems(key, |of| of == target, out);
        }
    }

    /// Takes back all rows and problems of a target.
    fn retract_all(&mut self, target: TargetId, out: &mut Output<'_>) {
        self.retract_target(target, |_| true, out);
        if self.plans.is_empty() {
            self.objects.retain(|_, known| !known.rows.is_empty());
        }
    }

    /// Forgets all objects that have no rows: nobody reads the watch any more.
    fn forget(&mut self) {
        self.objects.retain(|_, known| !known.rows.is_empty());
        self.objects.shrink_to_fit();
        self.lists.clear();
        self.deleted = KeyMap::default();
    }

    fn evaluate_pending(&mut self, out: &mut Output<'_>) {
        if self.pending.is_empty() {
            return;
        }
        for (key, json) in std::mem::take(&mut self.pending) {
            self.evaluate(key, &json, out);
        }
    }

    fn evaluate(&mut self, key: ObjectKey, json: &[u8], out: &mut Output<'_>) {
        out.differences.work.extractions += 1;
        let mut problems = Vec::new();
        let plans = &self.plans;
        let projection = self.projection.get_or_insert_with(|| {
            Projection::new(
                plans.iter().map(|plan| plan.profile.as_ref()),
                plans.iter().map(|plan| plan.selection.as_ref()),
            )
        });
        match Document::parse_projected(json, projection) {
            Ok(document) => {
                let known = self.objects.entry(key).or_default();
                known.plans = self.generation;
                for plan in plans {
                    let evaluated = evaluate(plan, &document);
                    match self.waiting.get_mut(&plan.id) {
                        Some(waiting) => {
                            waiting.insert(key, (document.namespace().into(), evaluated));
                        }
                        None => problems.extend(known.take(plan, document.namespace(), evaluated, out)),
                    }
                }
            }
            Err(error) => {
                // What the object says is unknown, so its rows stay as they are.
                self.waiting.values_mut().for_each(|waiting| drop(waiting.remove(&key)));
                let Identity { namespace, name } = Identity::of(json);
                for plan in plans {
                    let name = name.clone();
                    let attribute = String::new();
                    let message = error.to_string();
                    let view = plan.view(&namespace, Gates::ALL);
                    let problem = Problem { namespace: namespace.clone(), name, attribute, message };
                    problems.push(out.insert_problem(view, problem));
                }
            }
        }
        let active = self.active();
        self.retract_problems(key, |target| active.contains(&target), out);
        self.add_problems(key, problems);
    }
}

impl Known {
    /// Puts what a target gets now in place of what it had; gives back the problems.
    fn take(
        &mut self,
        plan: &TargetPlan,
        namespace: &str,
        new: Evaluated,
        out: &mut Output<'_>,
    ) -> Vec<Trouble> {
        self.put(plan.id, new.row.map(|(gates, row)| (plan.view(namespace, gates), row)), out);
        let problems = new.problems.into_iter();
        problems.map(|(gates, problem)| out.insert_problem(plan.view(namespace, gates), problem)).collect()
    }

    /// Puts the row that a target gets now in place of the one that it had.
    fn put(&mut self, target: TargetId, new: Option<(ViewOf<'_>, Row)>, out: &mut Output<'_>) {
        let at = self.rows.iter().position(|given| given.target == target);
        match (at, new) {
            (None, None) => {}
            (Some(at), Some((view, row))) => {
                let old = &mut self.rows[at];
                if !out.views.is(old.view, view) {
                    out.retract(old);
                    *old = out.insert(view, row);
                } else if old.row != row {
                    out.replace(old, row);
                }
            }
            (Some(at), None) => {
                let old = self.rows.swap_remove(at);
                out.retract(&old);
            }
            (None, Some((view, row))) => self.rows.push(out.insert(view, row)),
        }
    }
}
