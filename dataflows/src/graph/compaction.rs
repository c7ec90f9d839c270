//! Keeps arrangements compact.
//!
//! An arrangement is a pile of sorted batches, each about half as large as the one below. A row that was replaced leaves memory when
//! the batch in which it came is merged with the batch in which it went. Left to themselves, batches are merged when as much has come
//! as there is already, so that after many changes an arrangement holds up to twice what it must, and every row that it still names
//! stays in memory. Here merging begins as soon as a fraction of the arrangement is not merged yet, in small portions, a few with each epoch
//! and the rest while nothing else is to be done. A change then costs a few merged updates more, and memory does not depend on
//! how many changes there were.

use std::cell::Cell;
use std::sync::Arc;

use differential_dataflow::trace::ExertionLogic;
use timely::WorkerConfig;

/// Merging begins when more than one in so many updates of an arrangement is outside its largest batch.
const SLACK: usize = 20;

/// Arrangements of fewer updates may lie as they like.
const SMALL: usize = 1 << 10;

/// How much is merged at a time: as if so many updates had come.
const PORTION: usize = 1 << 12;

thread_local! {
    /// Whether some arrangement of this worker still has something to merge.
    static LEFT: Cell<bool> = const { Cell::new(false) };
}

/// Has the arrangements of a worker kept compact.
pub(super) fn configure(config: &mut WorkerConfig) {
    let logic: ExertionLogic = Arc::new(|levels| {
        let loose = is_loose(levels);
        if loose {
            LEFT.set(true);
        }
        loose.then_some(PORTION)
    });
    // The name under which the library looks for it: see `differential_dataflow::configure`.
    config.set("differential/default_exert_logic".to_owned(), logic);
}

/// Whether there was something left to merge when this worker last stepped. Ask before each step.
pub(super) fn take_left() -> bool {
    LEFT.take()
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
        assert!(is_loose(&[(17, 1, 100_000), (12, 2, 6_000)]));
        // A merge under way is brought to its end.
        assert!(is_loose(&[(17, 2, 110_000), (3, 1, 7)]));
        assert!(!is_loose(&[(9, 1, 500), (8, 2, 500)]));
    }
}
