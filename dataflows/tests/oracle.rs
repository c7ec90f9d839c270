//! The graph against a plain batch recomputation, over random histories of objects, plans, facts and lists.
//!
//! A history is a list of steps, a step a list of operations that are fed without waiting, so that the graph may take
//! them in as one epoch or as many. After each step a mark is awaited and everything that came out is compared:
//!
//! - the accumulated deltas equal the rows that a batch computation finds from scratch;
//! - each delta's row before is the row that was there;
//! - count and digest equal those of the rows, and a snapshot lists exactly the rows in key order;
//! - the accumulated problems, and the number of objects that each target selects, equal the batch's.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kollect_dataflows::data::{
    Delta, Digest, Gvk, InventoryId, Row, RowHash, RowKey, TargetId, TargetName, WatchId,
};
use kollect_dataflows::extract::{AttributeSpec, LabelSelector, Profile, ProfileSpec};
use kollect_dataflows::graph::{self, Dedupe, Epochs, Fact, Handle, ListScope, Options, Scope, TargetPlan};
use proptest::prelude::*;

const WATCHES: u32 = 2;
const TARGETS: u32 = 5;
const INVENTORIES: u32 = 3;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const NAMESPACES: [&str; 3] = ["", "east", "west"];

/// An object as the oracle sees it.
#[derive(Clone, Debug, PartialEq)]
struct Object {
    uid: u32,
    version: u64,
    team: bool,
    v: i64,
    w: Option<u8>,
    n: Option<i64>,
}

type Name = (usize, usize);

/// What an operation does to an object; its version is given when it is fed.
#[derive(Clone, Debug)]
struct Content {
    name: Name,
    recreate: bool,
    team: bool,
    v: i64,
    w: Option<u8>,
    n: Option<i64>,
}

#[derive(Clone, Debug)]
enum Op {
    /// The watch's stream brings an object.
    Upsert {
        watch: u32,
        content: Content,
    },
    /// The watch's stream brings an older version than the last.
    Stale {
        watch: u32,
        content: Content,
    },
    Delete {
        watch: u32,
        name: Name,
    },
    /// Changes that the stream missed, and then a complete list.
    Relist {
        watch: u32,
        gone: Vec<Name>,
        changed: Vec<Content>,
    },
    /// A list that breaks off after this many objects.
    BrokenList {
        watch: u32,
        objects: usize,
    },
    /// A target gets a plan, and a list of its own while the stream goes on.
    Plan {
        target: u32,
        watch: u32,
        profile: u8,
        labels: bool,
        one_name: bool,
        scoped: bool,
        during: Vec<Change>,
    },
    Hold {
        target: u32,
    },
    Remove {
        target: u32,
    },
    Feeds {
        target: u32,
        inventory: u32,
        on: bool,
    },
    Sees {
        target: u32,
        scope: Option<usize>,
        on: bool,
    },
}

/// What the stream brings while a target's own list is under way.
#[derive(Clone, Debug)]
enum Change {
    Upsert(Content),
    Delete(Name),
}

fn name() -> impl Strategy<Value = Name> {
    (0..NAMESPACES.len(), 0..NAMES.len())
}

fn content() -> impl Strategy<Value = Content> {
    let w = prop::option::of(0..3u8);
    let n = prop::option::of(0..3i64);
    (name(), prop::bool::weighted(0.2), any::<bool>(), 0..3i64, w, n)
        .prop_map(|(name, recreate, team, v, w, n)| Content { name, recreate, team, v, w, n })
}

fn op() -> impl Strategy<Value = Op> {
    let watch = || 0..WATCHES;
    let target = || 0..TARGETS;
    let change = prop_oneof![content().prop_map(Change::Upsert), name().prop_map(Change::Delete)];
    let plan = (
        (target(), watch(), 0..3u8, any::<bool>(), prop::bool::weighted(0.2), any::<bool>()),
        prop::collection::vec(change, 0..4),
    );
    prop_oneof![
        8 => (watch(), content()).prop_map(|(watch, content)| Op::Upsert { watch, content }),
        1 => (watch(), content()).prop_map(|(watch, content)| Op::Stale { watch, content }),
        3 => (watch(), name()).prop_map(|(watch, name)| Op::Delete { watch, name }),
        1 => (watch(), prop::collection::vec(name(), 0..4), prop::collection::vec(content(), 0..4))
            .prop_map(|(watch, gone, changed)| Op::Relist { watch, gone, changed }),
        1 => (watch(), 0..6usize).prop_map(|(watch, objects)| Op::BrokenList { watch, objects }),
        2 => plan.prop_map(|((target, watch, profile, labels, one_name, scoped), during)| {
            Op::Plan { target, watch, profile, labels, one_name, scoped, during }
        }),
        1 => target().prop_map(|target| Op::Hold { target }),
        1 => target().prop_map(|target| Op::Remove { target }),
        4 => (target(), 0..INVENTORIES, prop::bool::weighted(0.7))
            .prop_map(|(target, inventory, on)| Op::Feeds { target, inventory, on }),
        4 => (target(), prop::option::of(0..NAMESPACES.len()), prop::bool::weighted(0.7))
            .prop_map(|(target, scope, on)| Op::Sees { target, scope, on }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 1..8), 1..12)
}

#[derive(Clone, Debug)]
struct Plan {
    watch: u32,
    profile: u8,
    labels: bool,
    one_name: bool,
    scoped: bool,
}

/// A row as the oracle sees it: its JSON, by the parts that order it.
type OracleRow = (RowKey<String>, String);
/// target, namespace, name, attribute
type OracleProblem = (u32, String, String, String);

/// What the oracle knows of a target.
#[derive(Clone, Debug)]
struct Target {
    plan: Plan,
    /// The rows, each with its namespace and uid, and problems as they were when the target went on hold.
    held: Option<(Vec<OracleRow>, Vec<OracleProblem>)>,
}

#[derive(Default)]
struct Model {
    objects: [BTreeMap<Name, Object>; WATCHES as usize],
    targets: BTreeMap<u32, Target>,
    feeds: BTreeSet<(u32, u32)>,
    sees: BTreeSet<(u32, Option<usize>)>,
    version: u64,
    uid: u32,
}

fn target_name(target: u32) -> TargetName {
    // Names go against the numbers, so that an order by number shows.
    TargetName::new("team", format!("t{}", TARGETS - target))
}

fn gvk(watch: u32) -> Gvk {
    Gvk::new("", "v1", format!("Kind{watch}"))
}

impl Model {
    fn object(&mut self, watch: u32, content: &Content) -> Object {
        self.version += 1;
        let old = self.objects[watch as usize].get(&content.name);
        let uid = match old {
            Some(old) if !content.recreate => old.uid,
            _ => {
                self.uid += 1;
                self.uid
            }
        };
        let Content { team, v, w, n, .. } = *content;
        Object { uid, version: self.version, team, v, w, n }
    }

    fn rows_of(&self, target: u32) -> (Vec<OracleRow>, Vec<OracleProblem>) {
        let Some(Target { plan, held }) = self.targets.get(&target) else { return Default::default() };
        if let Some(held) = held {
            return held.clone();
        }
        self.compute(target, plan)
    }

    /// All rows and problems of a target, from scratch.
    fn compute(&self, target: u32, plan: &Plan) -> (Vec<OracleRow>, Vec<OracleProblem>) {
        let (mut rows, mut problems) = (Vec::new(), Vec::new());
        for (name, object) in &self.objects[plan.watch as usize] {
            if (plan.labels && !object.team) || (plan.one_name && NAMES[name.1] != "a") {
                continue;
            }
            let (namespace, name) = (NAMESPACES[name.0], NAMES[name.1]);
            let mut incomplete = String::new();
            let attributes = match plan.profile {
                0 => format!(r#"{{"v":{}}}"#, object.v),
                1 => match object.w {
                    Some(w) => format!(r#"{{"v":{},"w":"{w}"}}"#, object.v),
                    None => format!(r#"{{"v":{}}}"#, object.v),
                },
                _ => match object.n {
                    Some(n) => format!(r#"{{"n":{},"v":{}}}"#, n + 1, object.v),
                    None => {
                        problems.push((target, namespace.to_owned(), name.to_owned(), "n".to_owned()));
                        incomplete = r#","incomplete":["n"]"#.to_owned();
                        format!(r#"{{"n":null,"v":{}}}"#, object.v)
                    }
                },
            };
            let TargetName { namespace: target_namespace, name: target_name } = target_name(target);
            let uid = format!("u-{}", object.uid);
            let kind = gvk(plan.watch).kind;
            let json = format!(
                r#"{{"targetNamespace":"{target_namespace}","targetName":"{target_name}","namespace":"{namespace}","name":"{name}","version":"v1","kind":"{kind}","uid":"{uid}","attributes":{attributes}{incomplete}}}"#
            );
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            rows.push((RowKey { target_namespace, target_name, namespace, name, uid }, json));
        }
        (rows, problems)
    }

    fn sees(&self, target: u32, namespace: &str) -> bool {
        let scoped = self.targets.get(&target).is_some_and(|target| target.plan.scoped);
        let place = NAMESPACES.iter().position(|n| *n == namespace);
        self.sees.contains(&(target, if scoped { place } else { None }))
    }

    /// All rows of an inventory, from scratch.
    fn inventory(&self, inventory: u32) -> BTreeMap<RowKey<String>, String> {
        let mut rows = BTreeMap::new();
        for target in 0..TARGETS {
            if self.feeds.contains(&(target, inventory)) {
                let (all, _) = self.rows_of(target);
                rows.extend(all.into_iter().filter(|(key, _)| self.sees(target, &key.namespace)));
            }
        }
        if dedupe(inventory) == Dedupe::ByResource {
            // Rows come in key order, which begins with the target's name: the first of a uid wins.
            let mut seen = BTreeSet::new();
            rows.retain(|key, _| seen.insert(key.uid.clone()));
        }
        rows
    }

    /// How many objects each target selects and sees.
    fn selected(&self) -> BTreeMap<u32, isize> {
        let count = |target| {
            let rows = self.rows_of(target).0;
            rows.iter().filter(|(key, _)| self.sees(target, &key.namespace)).count() as isize
        };
        (0..TARGETS).map(|target| (target, count(target))).filter(|(_, count)| *count > 0).collect()
    }

    fn problems(&self) -> BTreeSet<OracleProblem> {
        let all = (0..TARGETS).flat_map(|target| self.rows_of(target).1);
        all.filter(|(target, namespace, ..)| self.sees(*target, namespace)).collect()
    }
}

/// The last inventory dedupes.
fn dedupe(inventory: u32) -> Dedupe {
    if inventory == INVENTORIES - 1 { Dedupe::ByResource } else { Dedupe::KeepAll }
}

fn profile(watch: u32, number: u8) -> Profile {
    let attribute = |name: &str, path: &str, optional| AttributeSpec {
        name: name.to_owned(),
        path: path.to_owned(),
        optional,
        default: None,
    };
    let mut attributes = vec![attribute("v", "$.spec.v", false)];
    match number {
        0 => {}
        1 => attributes.push(attribute("w", "$.spec.w", true)),
        _ => attributes.push(attribute("n", "cel:object.spec.n + 1", false)),
    }
    Profile::compile(&ProfileSpec { gvk: gvk(watch), attributes, export: None }).unwrap()
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
        metadata["labels"] = serde_json::json!({ "team": "yes" });
    }
    let kind = gvk(watch).kind;
    let object = serde_json::json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec });
    serde_json::to_vec(&object).unwrap().into()
}

/// The graph with everything that came out of it so far.
struct Subject {
    handle: Handle,
    epochs: Epochs,
    rows: BTreeMap<u32, BTreeMap<RowKey<String>, Row>>,
    problems: BTreeMap<OracleProblem, isize>,
    selected: BTreeMap<u32, isize>,
}

impl Subject {
    fn start(workers: usize) -> Self {
        let (handle, epochs) = graph::start(Options { workers, queue_bytes: 16 << 10 }).unwrap();
        let (rows, problems, selected) = Default::default();
        Self { handle, epochs, rows, problems, selected }
    }

    fn object(&self, watch: u32, list: Option<graph::ListId>, name: Name, object: &Object) {
        self.handle
            .object(
                WatchId(watch),
                list,
                NAMESPACES[name.0],
                NAMES[name.1],
                object.version,
                json(watch, name, object),
            )
            .unwrap();
    }

    fn delete(&self, watch: u32, name: Name, version: u64) {
        self.handle.deleted(WatchId(watch), NAMESPACES[name.0], NAMES[name.1], version).unwrap();
    }

    /// Takes in all epochs up to a mark that is set now.
    fn settle(&mut self) {
        let mark = self.handle.mark().unwrap();
        loop {
            let epoch = self.epochs.recv().unwrap();
            for (inventory, changed) in epoch.inventories {
                let rows = self.rows.entry(inventory.0).or_default();
                assert!(changed.deltas.is_sorted_by_key(|delta| delta.key().to_owned()));
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
                let key = (target.0, problem.namespace, problem.name, problem.attribute);
                let count = self.problems.entry(key.clone()).or_default();
                *count += diff;
                if *count == 0 {
                    self.problems.remove(&key);
                }
            }
            for (target, diff) in epoch.selected {
                let count = self.selected.entry(target.0).or_default();
                *count += diff;
                if *count == 0 {
                    self.selected.remove(&target.0);
                }
            }
            if epoch.marks.contains(&mark) {
                return;
            }
        }
    }

    fn snapshot(&self, inventory: u32) -> Vec<Row> {
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

fn apply(op: &Op, model: &mut Model, subject: &Subject) {
    match op {
        Op::Upsert { watch, content } => upsert(*watch, content, model, subject),
        Op::Stale { watch, content } => {
            // Only where there is something that it could undo.
            if model.objects[*watch as usize].contains_key(&content.name) {
                let mut old = model.object(*watch, content);
                old.version = 1;
                let known = &model.objects[*watch as usize][&content.name];
                if known.version > 1 {
                    subject.object(*watch, None, content.name, &old);
                }
            }
        }
        Op::Delete { watch, name } => delete(*watch, *name, model, subject),
        Op::Relist { watch, gone, changed } => {
            for name in gone {
                model.objects[*watch as usize].remove(name);
            }
            for content in changed {
                let object = model.object(*watch, content);
                model.objects[*watch as usize].insert(content.name, object);
            }
            let list = subject.handle.list_begin(WatchId(*watch), ListScope::Watch).unwrap();
            for (name, object) in &model.objects[*watch as usize] {
                subject.object(*watch, Some(list), *name, object);
            }
            subject.handle.list_end(WatchId(*watch), list).unwrap();
        }
        Op::BrokenList { watch, objects } => {
            let list = subject.handle.list_begin(WatchId(*watch), ListScope::Watch).unwrap();
            for (name, object) in model.objects[*watch as usize].iter().take(*objects) {
                subject.object(*watch, Some(list), *name, object);
            }
            subject.handle.list_abandoned(WatchId(*watch), list).unwrap();
        }
        Op::Plan { target, watch, profile: number, labels, one_name, scoped, during } => {
            let plan = Plan {
                watch: *watch,
                profile: *number,
                labels: *labels,
                one_name: *one_name,
                scoped: *scoped,
            };
            model.targets.insert(*target, Target { plan, held: None });
            let selector = if *labels {
                LabelSelector::new([("team".to_owned(), "yes".to_owned())].into(), Vec::new()).unwrap()
            } else {
                LabelSelector::default()
            };
            let plan = TargetPlan {
                id: TargetId(*target),
                name: Arc::new(target_name(*target)),
                watch: WatchId(*watch),
                profile: Arc::new(profile(*watch, *number)),
                labels: selector,
                names: if *one_name { BTreeSet::from(["a".to_owned()]) } else { BTreeSet::new() },
                scoped: *scoped,
            };
            subject.handle.set_target(Arc::new(plan)).unwrap();
            // The list shows the objects as they were when it began; the stream overtakes it.
            let scope = ListScope::Targets(Arc::from([TargetId(*target)]));
            let list = subject.handle.list_begin(WatchId(*watch), scope).unwrap();
            let listed = model.objects[*watch as usize].clone();
            for change in during {
                match change {
                    Change::Upsert(content) => upsert(*watch, content, model, subject),
                    Change::Delete(name) => delete(*watch, *name, model, subject),
                }
            }
            for (name, object) in &listed {
                subject.object(*watch, Some(list), *name, object);
            }
            subject.handle.list_end(WatchId(*watch), list).unwrap();
        }
        Op::Hold { target } => {
            let rows = model.rows_of(*target);
            if let Some(target) = model.targets.get_mut(target) {
                target.held.get_or_insert(rows);
            }
            subject.handle.hold_target(TargetId(*target)).unwrap();
        }
        Op::Remove { target } => {
            model.targets.remove(target);
            subject.handle.remove_target(TargetId(*target)).unwrap();
        }
        Op::Feeds { target, inventory, on } => {
            let fact = Fact::Feeds {
                target: TargetId(*target),
                inventory: InventoryId(*inventory),
                dedupe: dedupe(*inventory),
            };
            if *on {
                model.feeds.insert((*target, *inventory));
                subject.handle.insert_fact(fact).unwrap();
            } else {
                model.feeds.remove(&(*target, *inventory));
                subject.handle.remove_fact(&fact).unwrap();
            }
        }
        Op::Sees { target, scope, on } => {
            let fact = Fact::Sees {
                target: TargetId(*target),
                scope: match scope {
                    Some(namespace) => Scope::Namespace(NAMESPACES[*namespace].into()),
                    None => Scope::Everything,
                },
            };
            if *on {
                model.sees.insert((*target, *scope));
                subject.handle.insert_fact(fact).unwrap();
            } else {
                model.sees.remove(&(*target, *scope));
                subject.handle.remove_fact(&fact).unwrap();
            }
        }
    }
}

fn upsert(watch: u32, content: &Content, model: &mut Model, subject: &Subject) {
    let object = model.object(watch, content);
    subject.object(watch, None, content.name, &object);
    model.objects[watch as usize].insert(content.name, object);
}

fn delete(watch: u32, name: Name, model: &mut Model, subject: &Subject) {
    model.version += 1;
    subject.delete(watch, name, model.version);
    model.objects[watch as usize].remove(&name);
}

fn run(history: &[Vec<Op>], workers: usize) {
    let mut model = Model::default();
    let mut subject = Subject::start(workers);
    for step in history {
        for op in step {
            apply(op, &mut model, &subject);
        }
        subject.settle();
        for inventory in 0..INVENTORIES {
            let expected = model.inventory(inventory);
            let rows = subject.rows.entry(inventory).or_default();
            let actual: BTreeMap<_, _> =
                rows.iter().map(|(key, row)| (key.clone(), format!("{row:?}"))).collect();
            assert_eq!(actual, expected, "inventory {inventory}");
            for row in rows.values() {
                assert_eq!(row.hash(), RowHash::of_json(format!("{row:?}").as_bytes()));
            }
            let snapshot = subject.snapshot(inventory);
            assert!(
                snapshot.iter().eq(subject.rows[&inventory].values()),
                "snapshot of inventory {inventory}"
            );
        }
        let expected: BTreeMap<_, _> = model.problems().into_iter().map(|problem| (problem, 1)).collect();
        assert_eq!(subject.problems, expected, "problems");
        assert_eq!(subject.selected, model.selected(), "objects selected");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn one_worker_equals_the_batch_computation(history in history()) {
        run(&history, 1);
    }

    #[test]
    fn two_workers_equal_the_batch_computation(history in history()) {
        run(&history, 2);
    }

    #[test]
    fn four_workers_equal_the_batch_computation(history in history()) {
        run(&history, 4);
    }
}
