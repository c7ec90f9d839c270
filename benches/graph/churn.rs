//! Memory under a long run of changes: it must not grow with history.

use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::dataflow::Graph;
use super::subject::{List, Objects, Subject};
use crate::support::memory;
use crate::support::objects::mix;

/// How much more memory than at the start there may be at the end.
pub(crate) const ALLOWED: f64 = 0.10;
/// The moment of rest before memory is looked at.
const REST: Duration = Duration::from_millis(500);
/// How often memory is looked at.
const LOOKS: u64 = 10;

/// Resident memory, in MiB: at the start, and after each tenth of the updates.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Churn {
    pub(crate) rows: u64,
    pub(crate) updates: u64,
    pub(crate) resident: Vec<f64>,
}

impl Churn {
    /// By which share memory has grown from the start to the end.
    pub(crate) fn growth(&self) -> f64 {
        self.resident[self.resident.len() - 1] / self.resident[0] - 1.0
    }
}

/// Loads a graph and feeds it updates of objects picked at random, as fast as it takes them. `look` is called at the start, and
/// after each tenth.
///
/// The start is after a relist without change, in new versions so that everything is extracted: what waits between the feeding thread and
/// the graph takes memory too, which the allocator keeps, and which has nothing to do with history. Before each look there is a
/// moment of rest, in which arrangements are merged.
pub(crate) fn run(rows: u64, updates: u64, progress: &ProgressBar, mut look: impl FnMut()) {
    let objects = Objects { rows };
    let mut graph = Graph::start(1);
    progress.set_message("load");
    let list = List { objects, version: 1, content: 0 };
    graph.list(list);
    graph.list(List { version: 2, ..list });
    let mut look = || {
        thread::sleep(REST);
        look();
    };
    look();
    progress.set_message("updates");
    for part in 0..LOOKS {
        let range = part * updates / LOOKS..(part + 1) * updates / LOOKS;
        graph.stream(range.map(move |update| objects.object(mix(update) % rows, update + 1)));
        progress.set_position((part + 1) * updates / LOOKS);
        look();
    }
    progress.finish_and_clear();
}

/// The same, with the resident memory.
pub(crate) fn measure(rows: u64, updates: u64, progress: &ProgressBar) -> Churn {
    let mut resident = Vec::new();
    run(rows, updates, progress, || resident.push(memory::of("self").unwrap().now));
    Churn { rows, updates, resident }
}
