//! What rows add to rollups, and the rollups that one worker keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::dataflow::{Epoch, InventoryTrace, Updates};
use super::facts::Definition;
use crate::data::{InventoryId, RollupId, Row};
use crate::rollup::{Contribution, GroupDelta, Groups, RollupSpec};

/// What each row of an inventory adds to each rollup of the inventory.
///
/// This is the join of the inventories' arrangement with the definitions of rollups. The library's own would need both arranged by
/// inventory alone; but definitions are so few that a map will do, and the rows are arranged as snapshots and merging need them. A row
/// that changes meets the definitions known before; a definition that comes or goes meets all rows of its inventory, as they are after
/// the changes of its epoch.
pub(super) fn contributions<'s>(
    inventories: &Arranged<'s, InventoryTrace>,
    definitions: VecCollection<'s, Epoch, Definition, isize>,
) -> VecCollection<'s, Epoch, (RollupId, Contribution), isize> {
    let mut trace = inventories.trace.clone();
    let batches = inventories.stream.clone();
    let contributions = batches.binary_frontier::<_, CapacityContainerBuilder<Updates<_>>, _, _, _, _>(
        definitions.inner,
        Pipeline,
        Pipeline,
        "contributions",
        move |_capability, _info| {
            let mut known: BTreeMap<InventoryId, Vec<(RollupId, Arc<RollupSpec>)>> = BTreeMap::new();
            let mut waiting = Vec::new();
            move |(batches, frontier), (definitions, _), output| {
                definitions.for_each(|capability, updates| {
                    waiting.push((capability.retain(0), std::mem::take(updates)));
                });
                batches.for_each(|capability, batches| {
                    let mut session = output.session(&capability);
                    for batch in batches.iter() {
                        let mut cursor = batch.cursor();
                        while let Some((inventory, row)) = cursor.get_key(batch) {
                            for (rollup, spec) in known.get(inventory).into_iter().flatten() {
                                let added = (*rollup, spec.contribution(row));
                                cursor.map_times(batch, |time, diff| {
                                    session.give((added.clone(), *time, *diff))
                                });
                            }
                            cursor.step_key(batch);
                        }
                    }
                });
                // What is complete has come in batches, which the trace has taken in before it let them out.
                let complete =
                    |(capability, _): &(Capability<Epoch>, _)| !frontier.less_equal(capability.time());
                for (capability, definitions) in waiting.extract_if(.., |waits| complete(waits)) {
                    let mut session = output.session(&capability);
                    for ((inventory, definition), epoch, diff) in definitions {
                        let (rollup, spec) = &definition;
                        for_each_row(&mut trace, inventory, |row, count| {
                            session.give(((*rollup, spec.contribution(row)), epoch, count * diff));
                        });
                        let known = known.entry(inventory).or_default();
                        if diff > 0 {
                            known.push(definition);
                        } else {
                            known.retain(|other| *other != definition);
                        }
                    }
                }
                known.retain(|_, definitions| !definitions.is_empty());
                trace.set_logical_compaction(frontier.frontier());
                trace.set_physical_compaction(frontier.frontier());
            }
        },
    );
    contributions.as_collection()
}

/// Goes through the rows of an inventory, with how often each is there.
fn for_each_row(trace: &mut InventoryTrace, inventory: InventoryId, mut each: impl FnMut(&Row, isize)) {
    let (mut cursor, storage) = trace.cursor();
    cursor.seek_key(&storage, &(inventory, Row::least()));
    while let Some((_, row)) = cursor.get_key(&storage).filter(|(of, _)| *of == inventory) {
        let mut count = 0;
        cursor.map_times(&storage, |_time, diff| count += diff);
        if count != 0 {
            each(row, count);
        }
        cursor.step_key(&storage);
    }
}

/// What one epoch changed in one rollup.
pub(super) struct RollupPart {
    pub(super) rollup: RollupId,
    pub(super) deltas: Vec<GroupDelta>,
    pub(super) count: u64,
}

/// The groups of all rollups that this worker keeps.
#[derive(Default)]
pub(super) struct Rollups {
    groups: BTreeMap<RollupId, Groups>,
    touched: BTreeSet<RollupId>,
}

impl Rollups {
    /// A row adds this to the rollup (+1), or does not any more (-1).
    pub(super) fn update(&mut self, rollup: RollupId, row: &Contribution, diff: isize) {
        self.groups.entry(rollup).or_default().update(row, diff);
        self.touched.insert(rollup);
    }

    /// Ends an epoch: what changed, of this many first groups of each rollup.
    pub(super) fn settle(&mut self, limit: usize) -> Vec<RollupPart> {
        let mut parts = Vec::new();
        for rollup in std::mem::take(&mut self.touched) {
            let Some(groups) = self.groups.get_mut(&rollup) else { continue };
            let before = groups.count();
            let (deltas, count) = (groups.settle(limit), groups.count());
            if count == 0 {
                self.groups.remove(&rollup);
            }
            if !deltas.is_empty() || before != count {
                parts.push(RollupPart { rollup, deltas, count });
            }
        }
        parts
    }
}
