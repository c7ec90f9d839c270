//! Hosts the dataflow graph: the one module that talks to it.
//!
//! ```text
//!        Plan (targets, inventories)            events of sources
//!                  │                                        │
//!                  ▼                                        ▼
//!   Engine::apply: differences as plans and facts     WatchFeed: objects, lists
//!                  │                                        │
//!                  └──────────────► graph ◄─────────────────┘
//!                                     │ epochs
//!                                     ▼
//!                  dispatcher thread: deltas to subscribers, hydration, views, counts
//! ```
//!
//! - [`Engine::apply`] is given all that is wanted and works out what to change. It returns what the sources have to do:
//!   watches to start and stop, and lists for single targets whose rows need objects that are no longer at hand.
//! - [`WatchFeed`] carries the events of one watch into the graph.
//! - The dispatcher takes the epochs in order. It hands deltas to the subscribers of each inventory, notes which targets
//!   are hydrated, and answers requests for a [`View`] of an inventory between two epochs, so that deltas continue from
//!   exactly the state of the view.
//!
//! Invariants: a target counts as hydrated only by a complete list that began after its present plan was set. Lists, plans
//! and facts reach the graph in the order in which the state's lock was held; nothing waits for the graph under that
//! lock.

mod apply;
mod dispatch;
mod feed;
mod report;
mod rollups;
mod shards;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kollect_dataflows::data::{Delta, Digest, TargetName};
use kollect_dataflows::graph::{self, Handle};
use tokio::sync::watch;

pub use apply::SourceAction;
pub use feed::{ListOf, WatchFeed};
pub use kollect_dataflows::graph::{GraphClosed, Snapshot, StartError};
pub use report::{InventoryReport, Report, TargetReport};
pub use rollups::{RollupGroups, RollupReport};
pub use shards::{ShardReport, ShardsReport};

use state::State;

/// Namespace and name of an inventory.
pub type InventoryName = crate::catalog::ResourceName;

/// Takes the deltas of one inventory. Called from the dispatcher's thread, so it must not wait.
pub trait Subscriber: Send + Sync {
    /// What changed in an epoch. Epochs come in order; those in which nothing changed are left out, unless they carry a
    /// mark (see [`Engine::mark`]).
    fn offer(&self, epoch: u64, deltas: &[Delta]);

    /// A target of the inventory became hydrated, or its targets changed: a new view shows more than deltas do.
    fn look_again(&self);
}

/// An inventory at one epoch.
pub struct View {
    /// The epoch; deltas of later epochs continue from here.
    pub epoch: u64,
    /// Its rows.
    pub snapshot: Snapshot,
    /// Number of rows.
    pub count: u64,
    /// Digest of the rows.
    pub digest: Digest,
    /// The targets that feed the inventory by configuration, and whether each is hydrated.
    pub targets: Vec<(TargetName, bool)>,
}

/// Receives a view, in the dispatcher's thread.
pub type ViewRequest = Box<dyn FnOnce(View) + Send>;

/// The hosted graph. Dropping it ends the graph.
pub struct Engine {
    handle: Handle,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Counts changes of what [`Engine::report`] shows.
    changed: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Starts a graph with this number of workers.
    ///
    /// # Errors
    /// [`StartError`]: the system refuses the threads, or no workers were asked for.
    pub fn start(workers: usize) -> Result<Self, StartError> {
        let (handle, epochs) = graph::start(graph::Options { workers, ..graph::Options::default() })?;
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(0) });
        let dispatched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("dispatch".to_owned())
            .spawn(move || dispatch::run(epochs, &dispatched))
            .map_err(|error| StartError::Workers(error.to_string()))?;
        Ok(Self { handle, shared })
    }

    /// Has a subscriber offered the deltas of an inventory from the next epoch on. Does nothing for an inventory that is
    /// not in the plan.
    pub fn subscribe(&self, inventory: &InventoryName, subscriber: Arc<dyn Subscriber>) {
        if let Some(inventory) = self.shared.lock().inventories.get_mut(inventory) {
            inventory.subscribers.push(subscriber);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, inventory: &InventoryName, subscriber: &Arc<dyn Subscriber>) {
        if let Some(inventory) = self.shared.lock().inventories.get_mut(inventory) {
            inventory.subscribers.retain(|other| !Arc::ptr_eq(other, subscriber));
        }
    }

    /// Asks for a view of an inventory. It is given between two epochs, as soon as each of the inventory's targets is
    /// hydrated or known to wait for something that may never come, unless nothing is known of any of them. The request is
    /// dropped when the inventory is not in the plan, or leaves it.
    pub fn view(&self, inventory: &InventoryName, request: ViewRequest) {
        {
            let mut state = self.shared.lock();
            if let Some(inventory) = state.inventories.get_mut(inventory) {
                inventory.requests.push(request);
            }
        }
        self.wake();
    }

    /// Counts changes of what [`Engine::report`] shows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Feeds a mark; [`Report::mark`] reaches it when everything that was fed before is dispatched.
    pub fn mark(&self) -> u64 {
        // A graph that has ended is noticed where it matters: no epoch comes any more.
        self.handle.mark().unwrap_or_default()
    }

    /// Makes the dispatcher look at the state, though nothing was fed.
    fn wake(&self) {
        self.mark();
    }
}
