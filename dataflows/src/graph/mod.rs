//! The graph: objects and facts in, deltas of inventory rows out.
//!
//! [`start`] builds the graph and returns its two ends. Through the [`Handle`] objects and facts are fed; from
//! [`Epochs`] come, for each epoch, the rows that changed in each inventory, with the row before and the row after.
//!
//! # Epochs
//!
//! The graph works in epochs. It takes everything that was fed since it last looked, works it off completely, and hands out
//! what that changed: if nothing waits, an epoch holds a single update, and under load it holds thousands, each
//! of which then costs less. What was fed in one order is taken in in that order, and an object that changes several
//! times within an epoch counts once, with its last version.
//!
//! # Reading rows
//!
//! [`Epochs::snapshot`] opens an inventory as it is after the epoch received last; deltas of later epochs continue from
//! exactly there. So whoever copies an inventory opens a snapshot, reads it to the end, and then applies deltas.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use kollect_dataflows::data::{Delta, Gvk, InventoryId, TargetId, TargetName, WatchId};
//! use kollect_dataflows::extract::{AttributeSpec, Gates, Profile, ProfileSpec, Selection};
//! use kollect_dataflows::graph::{self, Change, Dedupe, GateSetting, ListScope, Scope, TargetPlan};
//!
//! let (handle, mut epochs) = graph::start(graph::Options::default())?;
//! let (watch, target, inventory) = (WatchId(1), TargetId(1), InventoryId(1));
//! let profile = Profile::compile(&ProfileSpec {
//!     gvk: Gvk::new("apps", "v1", "Deployment"),
//!     attributes: vec![AttributeSpec {
//!         name: "replicas".into(),
//!         path: "$.spec.replicas".into(),
//!         ..AttributeSpec::default()
//!     }],
//!     ..ProfileSpec::default()
//! })
//! .map_err(|problems| problems[0].clone())?;
//!
//! // One target that reads Deployments anywhere, and feeds one inventory.
//! let setting = GateSetting::default();
//! let plan = TargetPlan {
//!     id: target,
//!     name: Arc::new(TargetName::new("team", "deployments")),
//!     watch,
//!     profile: Arc::new(profile),
//!     selection: Arc::new(Selection::everything()),
//!     setting,
//! };
//! handle.change([
//!     Change::See { target, setting, scope: Scope::Everywhere, gates: Some(Gates::ALL) },
//!     Change::Feed { target, inventory, dedupe: Some(Dedupe::KeepAll) },
//!     Change::SetTarget(Arc::new(plan)),
//! ])?;
//!
//! // One object, in a complete list.
//! let web = br#"{"apiVersion":"apps/v1","kind":"Deployment",
//!     "metadata":{"namespace":"shop","name":"web","uid":"u-1"},"spec":{"replicas":3}}"#;
//! let list = handle.list_begin(watch, ListScope::Watch)?;
//! handle.object(watch, Some(list), "shop", "web", 1, Arc::from(&web[..]))?;
//! handle.list_end(watch, list)?;
//!
//! let mut rows = Vec::new();
//! loop {
//!     let epoch = epochs.recv()?;
//!     rows.extend(epoch.inventories.into_values().flat_map(|changed| changed.deltas));
//!     if epoch.lists.contains(&list) {
//!         break;
//!     }
//! }
//! assert!(matches!(&rows[..], [Delta::Insert(row)] if row.attributes() == r#"{"replicas":3}"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod command;
mod compaction;
mod dataflow;
mod deferred;
mod differences;
mod epochs;
mod evaluation;
mod facts;
mod handle;
mod objects;
mod queue;
mod rollups;
mod snapshot;
mod views;
mod worker;

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

pub use command::{ListId, ListScope};
pub use differences::Problem;
pub use epochs::{Epoch, Epochs, InventoryDeltas, RollupDeltas, Work};
pub use facts::{Change, Dedupe, GateSetting, Scope, TargetPlan};
pub use handle::Handle;
pub use snapshot::Snapshot;

use queue::Queue;
use snapshot::Leases;
use worker::{Done, Role};

/// The graph has ended: it was closed, or one of its workers panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dataflow graph has ended")]
pub struct GraphClosed;

/// The graph could not be started. The operator of the process must act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There must be at least one worker.
    #[error("the number of workers is 0; it must be at least 1")]
    NoWorkers,
    /// The system refused the workers' threads.
    #[error("the workers could not be started: {0}")]
    Workers(String),
}

/// How a graph is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Worker threads. The results do not depend on their number.
    pub workers: usize,
    /// How many groups of a rollup come out, the first in the order of their keys. The results depend on this, and on nothing else here.
    pub rollup_groups: usize,
    /// Bytes of objects that may wait for the workers before whoever feeds them waits.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        // Enough to keep a worker busy for some tens of milliseconds.
        Self { workers: 1, rollup_groups: 10_000, queue_bytes: 4 << 20 }
    }
}

/// Starts the worker threads and returns the two ends of the graph.
///
/// # Errors
/// [`StartError`]: no workers were asked for, or the system refuses the threads.
pub fn start(options: Options) -> Result<(Handle, Epochs), StartError> {
    let workers = options.workers;
    if workers == 0 {
        return Err(StartError::NoWorkers);
    }
    let queue = Arc::new(Queue::new(workers, options.queue_bytes));
    let leases = Arc::new(Leases::default());
    let (done_sender, done) = channel::<Done>();
    let mut orders = Vec::new();
    let mut roles = Vec::new();
    for _ in 1..workers {
        let (sender, receiver) = channel();
        orders.push(sender);
        roles.push(Some(Role::Other(receiver)));
    }
    roles.insert(0, Some(Role::First { queue: Arc::clone(&queue), others: orders }));

    let seats = Mutex::new((roles, done_sender));
    let worker_leases = Arc::clone(&leases);
    let mut config = if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    compaction::configure(&mut config.worker);
    let guards = timely::execute(config, move |worker| {
        let (role, out) = {
            let mut seats = seats.lock().unwrap_or_else(PoisonError::into_inner);
            (seats.0[worker.index()].take(), seats.1.clone())
        };
        if let Some(role) = role {
            worker::run(worker, role, options, &worker_leases, &out);
        }
    })
    .map_err(StartError::Workers)?;
    // The threads end by themselves when the queue is closed; nobody needs to join them.
    std::mem::forget(guards);
    let epochs = Epochs::new(done, Arc::clone(&queue), leases, workers);
    Ok((Handle::new(queue), epochs))
}
