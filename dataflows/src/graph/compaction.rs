//! Keeps arrangements compact.
//!
//! An arrangement is a pile of sorted batches, each about half as large as the one below. A row that was replaced leaves memory when
//! the batch in which it came is merged with the batch in which it went. Left to themselves, batches are merged when as much has come
//! as there is already, so that after many changes an arrangement holds up to twice what it must, and every row that it still names
//! stays in memory. Here merging begins as soon as a fraction of the arrangement is not merged yet, in small portions between
//! epochs, while nothing else is to be done; only when changes come without a pause, they wait for as much merging as they ask for. A
//! change that comes after a pause waits for one portion at the most, and memory does not depend on how many changes there were.
//!
//! While rows only come, as in an initial load, nothing is to be won by it, and batches are left to themselves.

use std::cell::Cell;
use std::sync::Arc;

use differential_dataflow::trace::ExertionLogic;
use timely::WorkerConfig;

use super::deferred;

/// Merging begins when more than one in so many updates of an arrangement is outside its largest batch.
const SLACK: usize = 20;

/// Arrangements of fewer updates may lie as they like.
const SMALL: usize = 1 << 10;

/// Updates that are merged at a time, of each merge under way.
const PORTION: usize = 1 << 7;

/// Where nothing is being merged yet, the largest batches are to be merged as if so many updates had come.
const NUDGE: usize = 1 << 7;

/// Rows of merged batches that are dropped at a time.
const DROPPED: usize = 1 << 9;

/// So many rows that came or went ask for one portion. An arrangement of 2^n updates that has come loose takes about
/// 2^n / [`NUDGE`] nudges and 2^n / [`PORTION`] portions, once every 2^n / [`SLACK`] updates.
const ROWS: usize = 2;

/// So many portions may wait until there is nothing else to do: most often changes come in bursts.
const BACKLOG: usize = 1 << 11;

/// Over about how many rows it is seen whether some go.
const RECENT: usize = 1 << 14;

/// Merging is worth it when one in so many of these went.
const SHARE: usize = 10;

/// What may be merged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// Nothing: no row has gone for a long time.
    Nothing,
    /// Nothing now, in an epoch.
    Later,
    /// One portion, between epochs.
    Now,
}

thread_local! {
    static MERGE: Cell<Merge> = const { Cell::new(Merge::Nothing) };
    /// Whether some arrangement of this worker still has something to merge.
    static LEFT: Cell<bool> = const { Cell::new(false) };
}

/// Has the arrangements of a worker kept compact.
pub(super) fn configure(config: &mut WorkerConfig) {
    let logic: ExertionLogic = Arc::new(|levels| {
        let merge = MERGE.get();
        if merge == Merge::Nothing || !is_loose(levels) {
            return None;
        }
        LEFT.set(true);
        Some(match merge {
            Merge::Now if levels.iter().any(|(_, batches, _)| *batches > 1) => PORTION,
            Merge::Now => NUDGE,
            // The least effort there is: without any, the arrangement would not be asked again.
            _ => 1,
        })
    });
    // The name under which the library looks for it: see `differential_dataflow::configure`.
    config.set("differential/default_exert_logic".to_owned(), logic);
}

/// When the arrangements of one worker are merged. To be used on the worker's thread.
#[derive(Default)]
pub(super) struct Compaction {
    /// Rows that came and went lately; older ones count half, a quarter, and so on.
    came: usize,
    went: usize,
    /// Portions that rows have asked for.
    due: usize,
}

impl Compaction {
    /// Takes note of the rows that came and went in an epoch; one that changed did both.
    pub(super) fn epoch(&mut self, came: usize, went: usize) {
        self.came += came;
        self.went += went;
        self.due += (came + went) / ROWS;
        let is_worth = self.went * SHARE > self.came;
        MERGE.set(if is_worth { Merge::Later } else { Merge::Nothing });
        while self.came + self.went > RECENT {
            self.came /= 2;
            self.went /= 2;
        }
    }

    /// Whether so many portions are due that the next epoch has to wait.
    pub(super) fn is_urgent(&self) -> bool {
        self.due > BACKLOG
    }

    /// Merges one portion, which takes one step of the worker, or drops one of what was merged. False when there is neither.
    pub(super) fn merge(&mut self, step: impl FnOnce()) -> bool {
        let is_left = deferred::drop_some(DROPPED)
            || LEFT.take() && {
                let merge = MERGE.replace(Merge::Now);
                step();
                MERGE.set(merge);
                true
            };
        self.due = if is_left { self.due.saturating_sub(1) } else { 0 };
        is_left
    }
}

/// Whether an arrangement should be merged, by the number of batches and of updates on each of its levels.
fn is_loose(levels: &[(usize, usize, usize)]) -> bool {
    let all: usize = levels.iter().map(|(_, _, updates)| updates).sum();
    let single = levels.iter().filter(|(_, batches, _)| *batches == 1);
    let largest = single.map(|(_, _, updates)| *updates).max().unwrap_or_default();
    all >= SMALL && (all - largest) * SLACK > all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrangement_is_merged_when_too_much_of_it_is_outside_its_largest_batch() {
        assert!(!is_loose(&[]));
        assert!(!is_loose(&[(17, 1, 100_000)]));
        assert!(!is_loose(&[(17, 1, 100_000), (12, 2, 5_000), (3, 1, 7)]));
        assert!(is_loose(&[(17, 1, 100_000), (12, 2, 8_000)]));
        // A merge under way is brought to its end.
        assert!(is_loose(&[(17, 2, 110_000), (3, 1, 7)]));
        assert!(!is_loose(&[(9, 1, 500), (8, 2, 500)]));
    }
}
