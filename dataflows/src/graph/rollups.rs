//! The rollups that one worker keeps.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::RollupId;
use crate::rollup::{Contribution, GroupDelta, Groups};

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
