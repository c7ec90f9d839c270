//! The dataflow itself: one graph, built once a worker.
//!
//! ```text
//! commands ─► observe+extract ─┬─► rows ─────────► arranged by view ────────────────────────┐
//!                              ├─► problems ─────► arranged by view ──┐                     │
//!                              ├─► views ─┐                           │                     │
//!                              └─► facts ─┼─► sees ──► visible views ─┼─► (with feeds) routes
//!                                         └─► feeds                   │                     │ by view
//!                                                                     ▼                     ▼
//!                                               visible problems, objects selected   select and merge (join)
//!                                                                                           │            │
//!                                                                                       keep all    by resource
//!                                                                                           │            ▼
//!                                                                                           │     dedupe (reduce)
//!                                                                                           ▼            │
//!                                                                  inventory rows, arranged ◄────────────┘
//!                                                                     │             │
//!                                                                  deltas       snapshots
//! ```
//!
//! A *view* is what rows have in common that become visible together (see [`super::views`]). Facts are joined with views and with
//! each other first, so that selecting and merging is one join, rows are arranged once for both, and a fact that changes nothing for
//! a view costs nothing for its rows.
//!
//! Every worker is fed all facts and its own share of the objects, so rows never travel: all arrangements are local
//! to the worker but the one of dedupe, whose rows meet by inventory and uid.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{ContainerChunker, ValBatcher, ValBuilder, ValSpine};
use differential_dataflow::trace::{Cursor, Navigable};
use sha2::{Digest as _, Sha256};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::operators::{Input as _, Probe as _};
use timely::dataflow::{InputHandle, ProbeHandle, Scope as TimelyScope, Stream};

use super::command::{Command, ListId};
use super::facts::{Dedupe, Fact, Scope};
use super::objects::{ObjectTable, Problem};
use super::views::{View, ViewId};
use crate::data::{Delta, InventoryId, Row, TargetId};

/// The graph's logical time: the number of an epoch.
pub(super) type Epoch = u64;

/// An arrangement by key and value, as all of ours are.
type Spine<K, V> = ValSpine<K, V, Epoch, isize>;
/// The canonical rows of all inventories.
pub(super) type InventoryTrace = TraceAgent<Spine<InventoryId, Row>>;

type Updates<D> = Vec<(D, Epoch, isize)>;

/// What one worker has to say about one epoch.
#[derive(Default)]
pub(super) struct Part {
    pub(super) deltas: Vec<(InventoryId, Delta)>,
    pub(super) problems: Vec<(TargetId, Problem, isize)>,
    /// By how much the number of objects that a target selects has changed.
    pub(super) selected: HashMap<TargetId, isize>,
    pub(super) lists: Vec<ListId>,
    pub(super) marks: Vec<u64>,
}

/// A built graph, as its worker drives it.
pub(super) struct Dataflow {
    pub(super) input: InputHandle<Epoch, CapacityContainerBuilder<Vec<Vec<Command>>>>,
    pub(super) probe: ProbeHandle<Epoch>,
    /// What the epoch under way has given so far.
    pub(super) part: Rc<RefCell<Part>>,
    pub(super) inventories: InventoryTrace,
}

/// Builds the graph in a scope.
pub(super) fn build(scope: TimelyScope<'_, Epoch>) -> Dataflow {
    let part = Rc::new(RefCell::new(Part::default()));
    let mut input = InputHandle::new();
    let commands = scope.clone().input_from(&mut input);
    let probe = ProbeHandle::new();

    let Extracted { rows, problems, views, facts } = observe_and_extract(commands, Rc::clone(&part));

    let feeds = facts.clone().flat_map(|fact| match fact {
        Fact::Feeds { target, inventory, dedupe } => Some((target, (inventory, dedupe))),
        Fact::Sees { .. } => None,
    });
    let visible = visible(views, facts);
    let routes = arrange(visible.clone().map(|(view, target)| (target, view)), "visible by target")
        .join_core(arrange(feeds, "feeds"), |_target, view, feed| Some((*view, *feed)));

    let (rows, visible) = (arrange(rows, "rows"), arrange(visible, "visible"));
    let counted = Rc::clone(&part);
    rows.clone()
        .join_core(visible.clone(), |_view, _row, target| Some(*target))
        .inspect_batch(move |_epoch, updates| {
            let mut part = counted.borrow_mut();
            for (target, _, diff) in updates {
                *part.selected.entry(*target).or_default() += *diff;
            }
        })
        .probe_with(&probe);

    // Select and merge.
    let merged = rows.join_core(arrange(routes, "routes"), |_view, row, (inventory, dedupe)| {
        Some((*inventory, *dedupe, row.clone()))
    });
    let kept = merged
        .clone()
        .flat_map(|(inventory, dedupe, row)| (dedupe == Dedupe::KeepAll).then_some((inventory, row)));
    // Dedupe: the order of rows begins with the target's name, so the least row is the winner on every run.
    let winners = merged
        .flat_map(|(inventory, dedupe, row)| {
            (dedupe == Dedupe::ByResource).then(|| ((inventory, uid_key(row.uid())), row))
        })
        .reduce_named("dedupe", |_key, rows, winner| {
            if let Some((least, _)) = rows.first() {
                winner.push(((*least).clone(), 1isize));
            }
        })
        .map(|((inventory, _uid), row)| (inventory, row));
    let inventories = arrange(kept.concat(winners), "inventories");
    collect_deltas(inventories.stream.clone(), Rc::clone(&part)).probe_with(&probe);

    let problems = arrange(problems, "problems")
        .join_core(visible, |_view, problem, target| Some((*target, problem.clone())));
    let collected = Rc::clone(&part);
    problems
        .inspect_batch(move |_epoch, updates| {
            let mut part = collected.borrow_mut();
            part.problems.extend(updates.iter().map(|((t, problem), _, diff)| (*t, problem.clone(), *diff)));
        })
        .probe_with(&probe);

    Dataflow { input, probe, part, inventories: inventories.trace }
}

/// The views whose rows can be seen, and their targets.
///
/// What is said of a namespace stands in place of what is said of everywhere. All of this is about views, of which there are few:
/// a namespace that opens or closes costs what its own views cost, and then the rows of those that really change.
fn visible<'s>(
    views: VecCollection<'s, Epoch, (View, ViewId), isize>,
    facts: VecCollection<'s, Epoch, Fact, isize>,
) -> VecCollection<'s, Epoch, (ViewId, TargetId), isize> {
    let sees = facts.flat_map(|fact| match fact {
        Fact::Sees { target, setting, scope, gates } => Some(((target, setting), (scope, gates))),
        Fact::Feeds { .. } => None,
    });
    let everywhere = sees.clone().flat_map(|(target, (scope, gates))| match scope {
        Scope::Everywhere => Some((target, gates)),
        Scope::Namespace(_) => None,
    });
    let named = sees.flat_map(|((target, setting), (scope, gates))| match scope {
        Scope::Everywhere => None,
        Scope::Namespace(namespace) => Some(((target, setting, namespace), gates)),
    });
    let by_target =
        views.clone().map(|(view, id)| ((view.target, view.setting), (view.namespace, view.gates, id)));
    let by_namespace =
        views.map(|(view, id)| ((view.target, view.setting, view.namespace), (view.gates, id)));
    let named = arrange(named, "sees in namespaces");
    let anywhere = arrange(by_target, "views by target").join_core(
        arrange(everywhere, "sees everywhere"),
        |(target, setting), (namespace, gates, id), open| {
            gates.meets(*open).then(|| ((*target, *setting, Arc::clone(namespace)), *id))
        },
    );
    let overruled = arrange(anywhere.clone(), "visible everywhere")
        .join_core(named.clone(), |(target, ..), id, _| Some((*id, *target)));
    let in_namespaces = arrange(by_namespace, "views by namespace")
        .join_core(named, |(target, ..), (gates, id), open| gates.meets(*open).then_some((*id, *target)));
    anywhere.map(|((target, ..), id)| (id, target)).concat(overruled.negate()).concat(in_namespaces)
}

/// Arranges a collection without moving it to other workers.
fn arrange<'s, K, V>(
    collection: VecCollection<'s, Epoch, (K, V), isize>,
    name: &str,
) -> Arranged<'s, TraceAgent<Spine<K, V>>>
where
    K: differential_dataflow::Data,
    V: differential_dataflow::Data,
{
    arrange_core::<
        _,
        _,
        ContainerChunker<Updates<(K, V)>>,
        ValBatcher<K, V, Epoch, isize>,
        ValBuilder<K, V, Epoch, isize>,
        Spine<K, V>,
    >(collection.inner, Pipeline, name)
}

/// What comes out of the hand-written operator.
struct Extracted<'s> {
    rows: VecCollection<'s, Epoch, (ViewId, Row), isize>,
    problems: VecCollection<'s, Epoch, (ViewId, Problem), isize>,
    views: VecCollection<'s, Epoch, (View, ViewId), isize>,
    facts: VecCollection<'s, Epoch, Fact, isize>,
}

/// The hand-written operator: see [`ObjectTable`].
fn observe_and_extract<'s>(
    commands: Stream<'s, Epoch, Vec<Vec<Command>>>,
    part: Rc<RefCell<Part>>,
) -> Extracted<'s> {
    let mut builder = OperatorBuilder::new("observe and extract".to_owned(), commands.scope());
    let mut input = builder.new_input(commands, Pipeline);
    let (rows, rows_stream) = builder.new_output::<Updates<(ViewId, Row)>>();
    let (problems, problems_stream) = builder.new_output::<Updates<(ViewId, Problem)>>();
    let (views, views_stream) = builder.new_output::<Updates<(View, ViewId)>>();
    let (facts, facts_stream) = builder.new_output::<Updates<Fact>>();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows);
    let mut problems = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems);
    let mut views = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(views);
    let mut facts = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(facts);
    builder.build(move |_capabilities| {
        let mut objects = ObjectTable::default();
        move |_frontiers| {
            let mut rows = rows.activate();
            let mut problems = problems.activate();
            let mut views = views.activate();
            let mut facts = facts.activate();
            input.for_each_time(|time, batches| {
                let epoch = *time.time();
                for commands in batches.flat_map(|batch| batch.drain(..)) {
                    let differences = objects.apply(commands);
                    rows.session(&time)
                        .give_iterator(differences.rows.into_iter().map(|(row, diff)| (row, epoch, diff)));
                    problems
                        .session(&time)
                        .give_iterator(differences.problems.into_iter().map(|(p, diff)| (p, epoch, diff)));
                    views
                        .session(&time)
                        .give_iterator(differences.views.into_iter().map(|(view, diff)| (view, epoch, diff)));
                    facts
                        .session(&time)
                        .give_iterator(differences.facts.into_iter().map(|(fact, diff)| (fact, epoch, diff)));
                    let mut part = part.borrow_mut();
                    part.lists.extend(differences.lists);
                    part.marks.extend(differences.marks);
                }
            });
        }
    });
    Extracted {
        rows: rows_stream.as_collection(),
        problems: problems_stream.as_collection(),
        views: views_stream.as_collection(),
        facts: facts_stream.as_collection(),
    }
}

/// Reads the deltas off each new batch of the inventories' arrangement: its rows are consolidated and in order, so
/// the versions of one row lie beside each other.
fn collect_deltas<'s, B>(
    batches: Stream<'s, Epoch, Vec<B>>,
    part: Rc<RefCell<Part>>,
) -> Stream<'s, Epoch, Vec<()>>
where
    B: Navigable + Clone + 'static,
    for<'a> B::Cursor:
        Cursor<Storage = B, Key<'a> = &'a InventoryId, Val<'a> = &'a Row, Time = Epoch, Diff = isize>,
{
    batches.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "deltas", move |_, _| {
        move |input, _output| {
            input.for_each(|_time, batches| {
                let mut part = part.borrow_mut();
                for batch in batches.iter() {
                    let mut cursor = batch.cursor();
                    while let Some(inventory) = cursor.get_key(batch) {
                        let mut versions = Versions::new(*inventory);
                        while let Some(row) = cursor.get_val(batch) {
                            let mut count = 0;
                            cursor.map_times(batch, |_time, diff| count += B::Cursor::owned_diff(diff));
                            versions.push(row, count, &mut part.deltas);
                            cursor.step_val(batch);
                        }
                        versions.flush(&mut part.deltas);
                        cursor.step_key(batch);
                    }
                }
            });
        }
    })
}

/// The versions of one row in one epoch, as they come by.
struct Versions {
    inventory: InventoryId,
    before: Option<Row>,
    after: Option<Row>,
}

impl Versions {
    fn new(inventory: InventoryId) -> Self {
        Self { inventory, before: None, after: None }
    }

    fn push(&mut self, row: &Row, count: isize, deltas: &mut Vec<(InventoryId, Delta)>) {
        let other = self.before.as_ref().or(self.after.as_ref());
        if other.is_some_and(|other| !other.has_key_of(row)) {
            self.flush(deltas);
        }
        match count {
            0 => {}
            1.. => self.after = Some(row.clone()),
            _ => self.before = Some(row.clone()),
        }
    }

    fn flush(&mut self, deltas: &mut Vec<(InventoryId, Delta)>) {
        let delta = match (self.before.take(), self.after.take()) {
            (None, None) => return,
            (None, Some(after)) => Delta::Insert(after),
            (Some(before), Some(after)) => Delta::Update { before, after },
            (Some(before), None) => Delta::Delete(before),
        };
        deltas.push((self.inventory, delta));
    }
}

/// Stands for an object's uid where rows of several targets meet.
fn uid_key(uid: &str) -> u128 {
    let hash = Sha256::digest(uid.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(first)
}
