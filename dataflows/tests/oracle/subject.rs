//! The graph, with everything that came out of it so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kollect_dataflows::data::{Delta, Digest, InventoryId, RollupId, Row, RowKey, TargetId, WatchId};
use kollect_dataflows::extract::{
    AttributeSpec, Gates, LabelSelector, Profile, ProfileSpec, RuleSpec, Selection, SelectionSpec, ValueType,
    Wish,
};
use kollect_dataflows::graph::{
    self, Change as Pipeline, Epochs, GateSetting, Handle, ListScope, Options, RollupDeltas, Scope,
    TargetPlan,
};
use kollect_dataflows::rollup::Value;

use crate::history::{Change, Content, Name, Op};
use crate::model::{
    ATTRIBUTES, Model, NAMES, NAMESPACES, Object, OracleProblem, Plan, Target, gvk, target_name,
};
use crate::rollups::{self, Groups, LIMIT};

pub(crate) struct Subject {
    handle: Handle,
    epochs: Epochs,
    pub(crate) rows: BTreeMap<u32, BTreeMap<RowKey<String>, Row>>,
    pub(crate) problems: BTreeMap<OracleProblem, isize>,
    pub(crate) selected: BTreeMap<u32, isize>,
    /// By number: the inventory and definition of every rollup that there ever was.
    defined: Vec<(u32, usize)>,
    groups: BTreeMap<u32, Groups>,
    /// How many deltas came out.
    pub(crate) deltas: usize,
}

/// The profile with these attributes: see [`ATTRIBUTES`].
fn profile(watch: u32, attributes: u8) -> Profile {
    let attribute = |(bit, name): (usize, &str)| {
        let path =
            ["$.spec.v", "$.spec.w", "cel:object.spec.n + 1", "$.metadata.labels.team", "$.spec.v"][bit];
        AttributeSpec {
            name: name.to_owned(),
            path: path.to_owned(),
            optional: name == "w",
            default: (name == "team").then(|| serde_json::json!("no")),
            value_type: (name == "vq").then_some(ValueType::Quantity),
        }
    };
    let chosen = ATTRIBUTES.into_iter().enumerate().filter(|(bit, _)| attributes & (1 << bit) != 0);
    let attributes = chosen.map(attribute).collect();
    Profile::compile(&ProfileSpec { gvk: gvk(watch), attributes, ..ProfileSpec::default() }).unwrap()
}

/// The selections of the model.
pub(crate) fn selection(number: u8) -> Selection {
    let team = LabelSelector::new([("team".to_owned(), "yes".to_owned())].into(), Vec::new()).unwrap();
    let rule = |labels: &LabelSelector, condition: Option<&str>, group: u8| RuleSpec {
        index: group.into(),
        labels: labels.clone(),
        condition: condition.map(str::to_owned),
        group,
    };
    let any = LabelSelector::default();
    let names = if number == 2 { BTreeSet::from(["a".to_owned()]) } else { BTreeSet::new() };
    let rules = match number {
        0 | 2 => vec![rule(&any, None, 0)],
        1 => vec![rule(&team, None, 0)],
        3 => vec![rule(&team, None, 0), rule(&any, Some("object.spec.v >= 2"), 1)],
        _ => vec![rule(&team, None, 0), rule(&any, Some("object.spec.n > 0"), 1)],
    };
    Selection::compile(&SelectionSpec { names, rules }).unwrap()
}

fn gates(bits: u8) -> Gates {
    let all = [(0, Wish::Unsaid), (0, Wish::Enabled), (1, Wish::Unsaid), (1, Wish::Enabled)];
    let open = all.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    open.fold(Gates::NONE, |sum, (_, (group, wish))| sum.with(Gates::of(group, wish)))
}

fn scope(place: Option<usize>) -> Scope {
    place.map_or(Scope::Everywhere, |place| Scope::Namespace(NAMESPACES[place].into()))
}

fn setting(selection: u8) -> GateSetting {
    GateSetting(selection.into())
}

fn json(watch: u32, name: Name, object: &Object) -> Arc<[u8]> {
    let mut spec = serde_json::json!({ "v": object.v });
    if let Some(w) = object.w {
        spec["w"] = serde_json::json!(w.to_string());
    }
    if let Some(n) = object.n {
        spec["n"] = serde_json::json!(n);
    }
    let mut metadata = serde_json::json!({ "name": NAMES[name.1], "uid": format!("u-{}", object.uid) });
    if !NAMESPACES[name.0].is_empty() {
        metadata["namespace"] = serde_json::json!(NAMESPACES[name.0]);
    }
    if object.team {
        metadata["labels"]["team"] = serde_json::json!("yes");
    }
    if let Some(wish) = [None, Some("enabled"), Some("disabled")][usize::from(object.wish)] {
        metadata["labels"]["kollect.dev/watch"] = serde_json::json!(wish);
    }
    let kind = gvk(watch).kind;
    let object = serde_json::json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec });
    serde_json::to_vec(&object).unwrap().into()
}

impl Subject {
    pub(crate) fn start(workers: usize) -> Self {
        let (handle, epochs) =
            graph::start(Options { workers, queue_bytes: 16 << 10, rollup_groups: LIMIT }).unwrap();
        let (rows, problems, selected, defined, groups) = Default::default();
        Self { handle, epochs, rows, problems, selected, defined, groups, deltas: 0 }
    }

    fn object(&self, watch: u32, list: Option<graph::ListId>, name: Name, object: &Object) {
        let (namespace, short) = (NAMESPACES[name.0], NAMES[name.1]);
        let json = json(watch, name, object);
        self.handle.object(WatchId(watch), list, namespace, short, object.version, json).unwrap();
    }

    fn upsert(&self, watch: u32, content: &Content, model: &mut Model) {
        let object = model.object(content);
        self.object(watch, None, content.name, &object);
        model.objects[watch as usize].insert(content.name, object);
    }

    fn delete(&self, watch: u32, name: Name, model: &mut Model) {
        model.version += 1;
        self.handle.deleted(WatchId(watch), NAMESPACES[name.0], NAMES[name.1], model.version).unwrap();
        model.objects[watch as usize].remove(&name);
    }

    fn change(&self, changes: impl IntoIterator<Item = Pipeline>) {
        self.handle.change(changes).unwrap();
    }

    /// Does an operation to both the graph and the model.
    pub(crate) fn apply(&mut self, op: &Op, model: &mut Model) {
        match op {
            Op::Upsert { watch, content } => self.upsert(*watch, content, model),
            Op::Stale { watch, content } => {
                // Only where there is something that it could undo.
                if model.objects[*watch as usize].contains_key(&content.name) {
                    let mut old = model.object(content);
                    old.version = 1;
                    let known = &model.objects[*watch as usize][&content.name];
                    if known.version > 1 {
                        self.object(*watch, None, content.name, &old);
                    }
                }
            }
            Op::Delete { watch, name } => self.delete(*watch, *name, model),
            Op::Relist { watch, gone, changed } => {
                for name in gone {
                    model.objects[*watch as usize].remove(name);
                }
                for content in changed {
                    let object = model.object(content);
                    model.objects[*watch as usize].insert(content.name, object);
                }
                let list = self.handle.list_begin(WatchId(*watch), ListScope::Watch).unwrap();
                for (name, object) in &model.objects[*watch as usize] {
                    self.object(*watch, Some(list), *name, object);
                }
                self.handle.list_end(WatchId(*watch), list).unwrap();
                model.listed(*watch);
            }
            Op::BrokenList { watch, objects } => {
                let list = self.handle.list_begin(WatchId(*watch), ListScope::Watch).unwrap();
                for (name, object) in model.objects[*watch as usize].iter().take(*objects) {
                    self.object(*watch, Some(list), *name, object);
                }
                self.handle.list_abandoned(WatchId(*watch), list).unwrap();
            }
            Op::Plan { target, watch, profile, selection, during, own } => {
                let plan = Plan { watch: *watch, profile: *profile, selection: *selection };
                self.plan(*target, plan, during, *own, model);
            }
            Op::Move { target, watch, profile, selection } => {
                let plan = Plan { watch: *watch, profile: *profile, selection: *selection };
                if model.targets.get(target).is_none_or(|target| target.plan.watch == *watch) {
                    return;
                }
                self.set(*target, &plan);
                model.hold(*target);
                model.targets.get_mut(target).unwrap().moving = Some(plan);
            }
            Op::Hold { target } => {
                model.hold(*target);
                self.change([Pipeline::HoldTarget(TargetId(*target))]);
            }
            Op::Remove { target } => {
                model.targets.remove(target);
                model.feeds.retain(|(of, _)| of != target);
                model.sees.retain(|(of, ..), _| of != target);
                self.change([Pipeline::RemoveTarget(TargetId(*target))]);
            }
            Op::Feeds { target, inventory, on } => {
                if *on {
                    model.feeds.insert((*target, *inventory));
                } else {
                    model.feeds.remove(&(*target, *inventory));
                }
                self.change([feed(*target, *inventory, model)]);
            }
            Op::Sees { target, selection, scope, gates } => {
                self.change([see(*target, *selection, *scope, *gates, model)]);
            }
            Op::SeesOnly { target, selection, namespaces, gates } => {
                let all = (0..NAMESPACES.len()).map(Some).chain([None]);
                let changes: Vec<_> = all
                    .map(|place| {
                        let open = place.is_some_and(|place| namespaces.contains(&place)).then_some(*gates);
                        see(*target, *selection, place, open, model)
                    })
                    .collect();
                self.change(changes);
            }
            Op::Dedupe { inventory, by_resource } => {
                match by_resource {
                    true => model.by_resource.insert(*inventory),
                    false => model.by_resource.remove(inventory),
                };
                let feeds = model.feeds.iter().filter(|(_, of)| of == inventory);
                let changes: Vec<_> = feeds.map(|(target, of)| feed(*target, *of, model)).collect();
                self.change(changes);
            }
            Op::Takes { inventory, namespaces } => {
                match namespaces {
                    Some(namespaces) => _ = model.takes.insert(*inventory, namespaces.clone()),
                    None => _ = model.takes.remove(inventory),
                }
                let names = |numbers: &Vec<usize>| {
                    Arc::new(numbers.iter().map(|number| NAMESPACES[*number].to_owned()).collect())
                };
                let (inventory, namespaces) = (InventoryId(*inventory), namespaces.as_ref().map(names));
                self.change([Pipeline::Take { inventory, namespaces }]);
            }
            Op::Rollup { inventory, definition, on } => {
                let of = (*inventory, *definition);
                let change = |number: usize, spec| Pipeline::Rollup {
                    rollup: RollupId(number as u32),
                    inventory: InventoryId(of.0),
                    spec,
                };
                if *on && model.rollups.insert(of) {
                    self.change([change(self.defined.len(), Some(Arc::new(rollups::spec(of.1))))]);
                    self.defined.push(of);
                } else if !*on && model.rollups.remove(&of) {
                    let number = self.defined.iter().rposition(|defined| *defined == of).unwrap();
                    self.change([change(number, None)]);
                }
            }
            Op::KeepSetting { target } => {
                if let Some(Target { plan, .. }) = model.targets.get(target) {
                    model.sees.retain(|(of, selection, _), _| of != target || *selection == plan.selection);
                    let target = TargetId(*target);
                    self.change([Pipeline::KeepSetting { target, setting: setting(plan.selection) }]);
                }
            }
        }
    }

    pub(crate) fn begin_list(&self, watch: u32) -> graph::ListId {
        self.handle.list_begin(WatchId(watch), ListScope::Watch).unwrap()
    }

    pub(crate) fn end_list(&self, watch: u32, list: graph::ListId) {
        self.handle.list_end(WatchId(watch), list).unwrap();
    }

    pub(crate) fn set(&self, target: u32, plan: &Plan) {
        self.change([Pipeline::SetTarget(Arc::new(TargetPlan {
            id: TargetId(target),
            name: Arc::new(target_name(target)),
            watch: WatchId(plan.watch),
            profile: Arc::new(profile(plan.watch, plan.profile)),
            selection: Arc::new(selection(plan.selection)),
            setting: setting(plan.selection),
        }))]);
    }

    fn plan(&self, target: u32, plan: Plan, during: &[Change], own: bool, model: &mut Model) {
        let watch = plan.watch;
        self.set(target, &plan);
        model.targets.insert(target, Target { plan, held: None, moving: None });
        // The list shows the objects as they were when it began; the stream overtakes it.
        let scope = match own && during.is_empty() {
            true => ListScope::Watch,
            false => ListScope::Targets(Arc::from([TargetId(target)])),
        };
        let list = self.handle.list_begin(WatchId(watch), scope).unwrap();
        let listed = model.objects[watch as usize].clone();
        for change in during {
            match change {
                Change::Upsert(content) => self.upsert(watch, content, model),
                Change::Delete(name) => self.delete(watch, *name, model),
            }
        }
        for (name, object) in &listed {
            self.object(watch, Some(list), *name, object);
        }
        self.handle.list_end(WatchId(watch), list).unwrap();
        if own && during.is_empty() {
            model.listed(watch);
        }
    }

    /// Takes in all epochs up to a mark that is set now.
    pub(crate) fn settle(&mut self) {
        let mark = self.handle.mark().unwrap();
        loop {
            let epoch = self.epochs.recv().unwrap();
            for (inventory, changed) in epoch.inventories {
                let rows = self.rows.entry(inventory.0).or_default();
                assert!(changed.deltas.is_sorted_by_key(|delta| delta.key().to_owned()));
                self.deltas += changed.deltas.len();
                for delta in &changed.deltas {
                    let key = delta.key().to_owned();
                    assert_eq!(rows.get(&key), delta.before(), "the row before is the row that was there");
                    match delta {
                        Delta::Insert(after) | Delta::Update { after, .. } => {
                            assert_ne!(Some(after), delta.before(), "a delta changes something");
                            rows.insert(key, after.clone())
                        }
                        Delta::Delete(_) => rows.remove(&key),
                    };
                }
                let mut digest = Digest::default();
                rows.values().for_each(|row| digest.add(row.hash()));
                assert_eq!((changed.count, changed.digest), (rows.len() as u64, digest));
            }
            for (target, problem, diff) in epoch.problems {
                add(&mut self.problems, (target.0, problem.namespace, problem.name, problem.attribute), diff);
            }
            for (target, diff) in epoch.selected {
                add(&mut self.selected, target.0, diff);
            }
            for (rollup, changed) in epoch.rollups {
                self.take_in_groups(rollup.0, &changed);
            }
            if epoch.marks.contains(&mark) {
                return;
            }
        }
    }

    fn take_in_groups(&mut self, rollup: u32, changed: &RollupDeltas) {
        let text = |values: &[Value]| {
            let values: Vec<_> = values.iter().map(Value::as_json).collect();
            format!("[{}]", values.join(","))
        };
        let (groups, count) = self.groups.entry(rollup).or_default();
        for delta in &changed.deltas {
            let group = text(&delta.group);
            assert_ne!(delta.before, delta.after, "a delta changes something");
            let before = match &delta.after {
                Some(after) => groups.insert(group, text(after)),
                None => groups.remove(&group),
            };
            assert_eq!(
                before,
                delta.before.as_deref().map(text),
                "the values before are those that were there"
            );
        }
        *count = changed.count;
        if *count == 0 {
            self.groups.remove(&rollup);
        }
    }

    /// The groups of all rollups that have any.
    pub(crate) fn rolled_up(&self) -> BTreeMap<(u32, usize), Groups> {
        self.groups.iter().map(|(number, groups)| (self.defined[*number as usize], groups.clone())).collect()
    }

    pub(crate) fn snapshot(&self, inventory: u32) -> Vec<Row> {
        let mut snapshot = self.epochs.snapshot(InventoryId(inventory));
        let mut rows = Vec::new();
        loop {
            let chunk = snapshot.next_chunk().unwrap();
            if chunk.is_empty() {
                return rows;
            }
            rows.extend(chunk);
        }
    }
}

/// Tells the graph what the model says of a target and an inventory.
fn feed(target: u32, inventory: u32, model: &Model) -> Pipeline {
    let dedupe = model.feeds.contains(&(target, inventory)).then(|| model.dedupe(inventory));
    Pipeline::Feed { target: TargetId(target), inventory: InventoryId(inventory), dedupe }
}

fn see(target: u32, selection: u8, place: Option<usize>, open: Option<u8>, model: &mut Model) -> Pipeline {
    match open {
        Some(open) => model.sees.insert((target, selection, place), open),
        None => model.sees.remove(&(target, selection, place)),
    };
    let gates = open.map(gates);
    Pipeline::See { target: TargetId(target), setting: setting(selection), scope: scope(place), gates }
}

fn add<K: Ord + Clone>(counts: &mut BTreeMap<K, isize>, key: K, diff: isize) {
    let count = counts.entry(key.clone()).or_default();
    *count += diff;
    if *count == 0 {
        counts.remove(&key);
    }
}
