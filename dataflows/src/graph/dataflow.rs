//! The dataflow itself: one graph, built once a worker.
//!
//! ```text
//! commands ─► observe+extract ─┬─► rows ────► arranged by view ───────────┐
//!             (and sight)      ├─► routes ──► arranged by view ───────────┴─► select and merge (join)
//!                              ├─► problems ► arranged by view ──┐                 │            │
//!                              └─► visible ─► arranged by view ──┤             keep all    by resource
//!                                                                ▼                 │            ▼
//!                                                       visible problems (join)    │     dedupe (reduce)
//!                                                                                  ▼            │
//!                                                        inventory rows, arranged ◄─────────────┘
//!                                                           │       │        │
//!                                                        deltas  snapshots  rollups (what rows add to them, groups)
//! ```
//!
//! A *view* is what rows have in common that become visible together. What facts say is worked out for views, by the operator
//! that gives them (see [`super::views`]): selecting and merging is then one join, rows are arranged once for it, and a fact that
//! changes nothing for a view costs nothing for its rows. It could be a handful of joins of facts and views, too; but each
//! arrangement takes part in every epoch, also when nothing in it changes, and these few hardly ever change: they made a change of
//! one row half as dear again.
//!
//! Every worker is fed all facts and its own share of the objects, so rows never travel: all arrangements are local
//! to the worker but the one of dedupe, whose rows meet by inventory and uid. What rows add to a rollup meets by rollup.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use differential_dataflow::AsCollection;
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ord_neu::{
    OrdKeyBatch, OrdKeyBuilder, OrdValBatch, OrdValBuilder,
};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{ContainerChunker, KeyBatcher, OffsetList, ValBatcher};
use differential_dataflow::trace::rc_blanket_impls::RcBuilder;
use differential_dataflow::trace::{Cursor, Navigable};
use sha2::{Digest as _, Sha256};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::operators::{Concatenate as _, Input as _, Probe as _};
use timely::dataflow::{InputHandle, ProbeHandle, Scope as TimelyScope, Stream};

use super::command::{Command, ListId};
use super::deferred::DeferredVec;
use super::differences::{Differences, Problem};
use super::epochs::Work;
use super::facts::{Dedupe, Definition};
use super::objects::ObjectTable;
use super::rollups::{RollupPart, Rollups, contributions};
use super::views::{Route, ViewId};
use crate::data::{Delta, InventoryId, RollupId, Row, TargetId};
use crate::rollup::Contribution;

/// The graph's logical time: the number of an epoch.
pub(super) type Epoch = u64;

/// The containers of an arrangement's batches: of keys, values, times, differences and offsets.
type Containers<K, V> = (K, V, Vec<Epoch>, Vec<isize>, OffsetList);
/// How values are arranged by key.
type ByKey<K, V> = Containers<Vec<K>, DeferredVec<V>>;
/// How inventory rows are arranged.
type OfInventories = Containers<DeferredVec<(InventoryId, Row)>, Vec<()>>;
/// An arrangement by key and value.
type KeyTrace<K, V> = TraceAgent<Spine<Rc<OrdValBatch<ByKey<K, V>>>>>;
/// The canonical rows of all inventories.
///
/// The row belongs to the key: batches are merged in portions of whole keys, and an inventory has too many rows for one portion.
pub(super) type InventoryTrace = TraceAgent<Spine<Rc<OrdKeyBatch<OfInventories>>>>;

pub(super) type Updates<D> = Vec<(D, Epoch, isize)>;

/// What one worker has to say about one epoch.
#[derive(Default)]
pub(super) struct Part {
    pub(super) deltas: Vec<(InventoryId, Delta)>,
    pub(super) problems: Vec<(TargetId, Problem, isize)>,
    /// By how much the number of objects that a target selects has changed.
    pub(super) selected: HashMap<TargetId, isize>,
    pub(super) rollups: Vec<RollupPart>,
    pub(super) work: Work,
    pub(super) lists: Vec<ListId>,
    pub(super) marks: Vec<u64>,
}

/// A built graph, as its worker drives it.
pub(super) struct Dataflow {
    pub(super) input: InputHandle<Epoch, CapacityContainerBuilder<Vec<Vec<Command>>>>,
    pub(super) probe: ProbeHandle<Epoch>,
    /// What the epoch under way has given so far.
    pub(super) part: Rc<RefCell<Part>>,
    pub(super) rollups: Rc<RefCell<Rollups>>,
    pub(super) inventories: InventoryTrace,
}

/// Builds the graph in a scope.
pub(super) fn build(scope: TimelyScope<'_, Epoch>) -> Dataflow {
    let part = Rc::new(RefCell::new(Part::default()));
    let mut input = InputHandle::new();
    let commands = scope.clone().input_from(&mut input);
    let probe = ProbeHandle::new();

    let Extracted { rows, routes, problems, visible, definitions } =
        observe_and_extract(commands, Rc::clone(&part));

    // Select and merge.
    let merged = arrange(rows, "rows")
        .join_core(arrange(routes, "routes"), |_view, row, (inventory, dedupe)| {
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
    let inventories = arrange_inventories(kept.concat(winners));
    let deltas = collect_deltas(inventories.stream.clone(), Rc::clone(&part));

    // A rollup is kept whole by one worker, where what its rows add meets by the rollup's number.
    let rollups = Rc::new(RefCell::new(Rollups::default()));
    let rolled_up = Rc::clone(&rollups);
    let contributions = contributions(&inventories, definitions);
    let by_rollup = Exchange::new(|((rollup, _), _, _): &((RollupId, Contribution), _, _)| rollup.0.into());
    let contributions = take_in(contributions, by_rollup, "roll up", move |(rollup, row), diff| {
        rolled_up.borrow_mut().update(rollup, &row, diff);
    });

    let problems = arrange(problems, "problems")
        .join_core(arrange(visible, "visible"), |_view, problem, target| Some((*target, problem.clone())));
    let collected = Rc::clone(&part);
    let problems = take_in(problems, Pipeline, "problems", move |(target, problem), diff| {
        collected.borrow_mut().problems.push((target, problem, diff));
    });

    deltas.scope().concatenate([deltas, contributions, problems]).probe_with(&probe);
    Dataflow { input, probe, part, rollups, inventories: inventories.trace }
}

/// Arranges a collection without moving it to other workers.
fn arrange<'s, K, V>(
    collection: VecCollection<'s, Epoch, (K, V), isize>,
    name: &str,
) -> Arranged<'s, KeyTrace<K, V>>
where
    K: differential_dataflow::Data,
    V: differential_dataflow::Data,
{
    arrange_core::<
        _,
        _,
        ContainerChunker<Updates<(K, V)>>,
        ValBatcher<K, V, Epoch, isize>,
        RcBuilder<OrdValBuilder<ByKey<K, V>, Updates<(K, V)>>>,
        _,
    >(collection.inner, Pipeline, name)
}

/// Arranges the rows of inventories.
fn arrange_inventories(
    collection: VecCollection<'_, Epoch, (InventoryId, Row), isize>,
) -> Arranged<'_, InventoryTrace> {
    type Rows = Updates<((InventoryId, Row), ())>;
    let rows = collection.map(|row| (row, ())).inner;
    arrange_core::<
        _,
        _,
        ContainerChunker<Rows>,
        KeyBatcher<(InventoryId, Row), Epoch, isize>,
        RcBuilder<OrdKeyBuilder<OfInventories, Rows>>,
        _,
    >(rows, Pipeline, "inventories")
}

/// Hands each difference to `take`. What comes out is empty, and ends when all is taken in.
fn take_in<'s, D: 'static, P: ParallelizationContract<Epoch, Updates<D>>>(
    collection: VecCollection<'s, Epoch, D, isize>,
    pact: P,
    name: &str,
    mut take: impl FnMut(D, isize) + 'static,
) -> Stream<'s, Epoch, Vec<()>>
where
    Updates<D>: timely::Container,
{
    collection.inner.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(pact, name, move |_, _| {
        move |input, _output| {
            input.for_each(|_time, updates| {
                updates.drain(..).for_each(|(data, _epoch, diff)| take(data, diff));
            });
        }
    })
}

/// What comes out of the hand-written operator.
struct Extracted<'s> {
    rows: VecCollection<'s, Epoch, (ViewId, Row), isize>,
    routes: VecCollection<'s, Epoch, (ViewId, Route), isize>,
    problems: VecCollection<'s, Epoch, (ViewId, Problem), isize>,
    visible: VecCollection<'s, Epoch, (ViewId, TargetId), isize>,
    definitions: VecCollection<'s, Epoch, Definition, isize>,
}

/// The hand-written operator: see [`ObjectTable`].
fn observe_and_extract<'s>(
    commands: Stream<'s, Epoch, Vec<Vec<Command>>>,
    part: Rc<RefCell<Part>>,
) -> Extracted<'s> {
    let mut builder = OperatorBuilder::new("observe and extract".to_owned(), commands.scope());
    let mut input = builder.new_input(commands, Pipeline);
    let (rows, rows_stream) = builder.new_output::<Updates<(ViewId, Row)>>();
    let (routes, routes_stream) = builder.new_output::<Updates<(ViewId, Route)>>();
    let (problems, problems_stream) = builder.new_output::<Updates<(ViewId, Problem)>>();
    let (visible, visible_stream) = builder.new_output::<Updates<(ViewId, TargetId)>>();
    let (definitions, definitions_stream) = builder.new_output::<Updates<Definition>>();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows);
    let mut routes = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(routes);
    let mut problems = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems);
    let mut visible = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(visible);
    let mut definitions = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(definitions);
    builder.build(move |_capabilities| {
        let mut objects = ObjectTable::default();
        move |_frontiers| {
            let mut rows = rows.activate();
            let mut routes = routes.activate();
            let mut problems = problems.activate();
            let mut visible = visible.activate();
            let mut definitions = definitions.activate();
            input.for_each_time(|time, batches| {
                let epoch = *time.time();
                for commands in batches.flat_map(|batch| batch.drain(..)) {
                    let Differences {
                        rows: of_rows,
                        problems: of_problems,
                        sights,
                        rollups,
                        work,
                        lists,
                        marks,
                    } = objects.apply(commands);
                    rows.session(&time).give_iterator(at(epoch, of_rows));
                    routes.session(&time).give_iterator(at(epoch, sights.routes));
                    problems.session(&time).give_iterator(at(epoch, of_problems));
                    visible.session(&time).give_iterator(at(epoch, sights.visible));
                    definitions.session(&time).give_iterator(at(epoch, rollups));
                    let mut part = part.borrow_mut();
                    for (target, diff) in sights.selected {
                        *part.selected.entry(target).or_default() += diff;
                    }
                    part.work.add(work);
                    part.lists.extend(lists);
                    part.marks.extend(marks);
                }
            });
        }
    });
    Extracted {
        rows: rows_stream.as_collection(),
        routes: routes_stream.as_collection(),
        problems: problems_stream.as_collection(),
        visible: visible_stream.as_collection(),
        definitions: definitions_stream.as_collection(),
    }
}

/// Differences as updates at an epoch.
fn at<D>(epoch: Epoch, differences: Vec<(D, isize)>) -> impl Iterator<Item = (D, Epoch, isize)> {
    differences.into_iter().map(move |(data, diff)| (data, epoch, diff))
}

/// Reads the deltas off each new batch of the inventories' arrangement: its rows are consolidated and in order, so
/// the versions of one row lie beside each other.
fn collect_deltas<'s, B>(
    batches: Stream<'s, Epoch, Vec<B>>,
    part: Rc<RefCell<Part>>,
) -> Stream<'s, Epoch, Vec<()>>
where
    B: Navigable + Clone + 'static,
    for<'a> B::Cursor: Cursor<Storage = B, Key<'a> = &'a (InventoryId, Row), Time = Epoch, Diff = isize>,
{
    batches.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "deltas", move |_, _| {
        move |input, _output| {
            input.for_each(|_time, batches| {
                let mut part = part.borrow_mut();
                for batch in batches.iter() {
                    let mut cursor = batch.cursor();
                    let mut versions = Versions { inventory: InventoryId(0), before: None, after: None };
                    while let Some((inventory, row)) = cursor.get_key(batch) {
                        let mut count = 0;
                        cursor.map_times(batch, |_time, diff| count += B::Cursor::owned_diff(diff));
                        versions.push(*inventory, row, count, &mut part.deltas);
                        cursor.step_key(batch);
                    }
                    versions.flush(&mut part.deltas);
                }
            });
        }
    })
}

/// The versions of one row in one epoch, as they come by.
struct Versions {
    /// Whose row it is; of no meaning while there is no version.
    inventory: InventoryId,
    before: Option<Row>,
    after: Option<Row>,
}

impl Versions {
    fn push(
        &mut self,
        inventory: InventoryId,
        row: &Row,
        count: isize,
        deltas: &mut Vec<(InventoryId, Delta)>,
    ) {
        let other = self.before.as_ref().or(self.after.as_ref());
        if inventory != self.inventory || other.is_some_and(|other| !other.has_key_of(row)) {
            self.flush(deltas);
            self.inventory = inventory;
        }
        match count {
            0 => {}
            1.. => self.after = Some(row.clone()),
            _ => self.before = Some(row.clone()),
        }
    }

    fn flush(&mut self, deltas: &mut Vec<(InventoryId, Delta)>) {
        let delta = Delta::between(self.before.take(), self.after.take());
        deltas.extend(delta.map(|delta| (self.inventory, delta)));
    }
}

/// Stands for an object's uid where rows of several targets meet.
fn uid_key(uid: &str) -> u128 {
    let hash = Sha256::digest(uid.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(first)
}
