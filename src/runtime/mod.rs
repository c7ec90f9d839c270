//! Puts the parts together: what the catalog plans is run by sources, engine and exports.
//!
//! ```text
//!             Plan
//!              │
//!   ┌──────────┼──────────────┐
//!   ▼          ▼              ▼
//! Watches ─► Engine ─────► Bindings ─► destinations
//!   ▲          │              │
//! Source       └──► Report ◄──┘
//! ```
//!
//! `collect`, `preview` and `operator` differ in where plans come from and in what they do with the [`Report`]; the
//! rest is here.

mod bindings;
mod leftovers;
mod store;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use bindings::Sampler;
pub use leftovers::LeftoverState;
pub use store::{ObjectStore, namespaces, read_namespaces, watch_objects};

use crate::catalog::{BindingKey, Plan};
use crate::engine::{self, Engine, GraphClosed, InventoryName, StartError, Subscriber};
use crate::export::{BindingStatus, Phase};
use crate::sinks::Term;
use crate::sources::{Mode, Source};
use bindings::Bindings;
use watches::Watches;

/// The time for which removals are waited for where nothing else is said.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(120);

/// The state of everything that runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Targets and inventories.
    pub engine: engine::Report,
    /// Bindings: the destination for humans, and the state.
    pub bindings: BTreeMap<BindingKey, (String, BindingStatus)>,
    /// What bindings that do not run any more have left, by what was known when it was left.
    pub leftovers: BTreeMap<BindingKey, LeftoverState>,
}

impl Report {
    /// Whether nothing is known of any of an inventory's targets, so that nothing is exported.
    pub fn is_unread(&self, inventory: &InventoryName) -> bool {
        let hydrated = |target| self.engine.targets.get(target).is_some_and(|target| target.hydrated);
        self.engine.inventories.get(inventory).is_some_and(|inventory| {
            let targets = &inventory.targets;
            !targets.is_empty() && inventory.rows == 0 && !targets.iter().any(hydrated)
        })
    }
}

/// Everything that runs.
pub struct Runtime {
    engine: Arc<Engine>,
    watches: Watches,
    /// Nothing in a standby.
    bindings: Option<Bindings>,
    cleanup_timeout: Duration,
    changed: Arc<watch::Sender<u64>>,
}

impl Runtime {
    /// Starts the graph; nothing is read or written before [`Runtime::apply`]. There is no lease, so what is written is not
    /// fenced.
    ///
    /// # Errors
    /// [`StartError`]: the system refuses the threads.
    pub fn start(source: Arc<dyn Source>, mode: Mode, workers: usize) -> Result<Self, StartError> {
        let mut runtime = Self::standby(source, mode, workers, CLEANUP_TIMEOUT)?;
        runtime.lead(Term::unfenced(), None);
        Ok(runtime)
    }

    /// Starts the graph of a standby: what plans ask for is read and kept up to date, and nothing is written before
    /// [`Runtime::lead`]. `cleanup_timeout`: for so long there is hope that what was exported can be removed where it is to
    /// go; it is tried longer, but nobody need wait for it.
    ///
    /// # Errors
    /// [`StartError`]: the system refuses the threads.
    pub fn standby(
        source: Arc<dyn Source>,
        mode: Mode,
        workers: usize,
        cleanup_timeout: Duration,
    ) -> Result<Self, StartError> {
        let engine = Arc::new(Engine::start(workers)?);
        let changed = Arc::new(watch::Sender::new(0));
        let mut engine_changes = engine.changes();
        let merged = Arc::clone(&changed);
        tokio::spawn(async move {
            while engine_changes.changed().await.is_ok() {
                merged.send_modify(|count| *count += 1);
            }
        });
        Ok(Self {
            watches: Watches::new(Arc::clone(&engine), source, mode),
            bindings: None,
            cleanup_timeout,
            engine,
            changed,
        })
    }

    /// Begins to write, in this term, what the last plan that was applied wants. Each binding finds out first what its
    /// destination holds.
    pub fn lead(&mut self, term: Term, plan: Option<&Plan>) {
        let mut bindings =
            Bindings::new(Arc::clone(&self.engine), term, self.cleanup_timeout, Arc::clone(&self.changed));
        if let Some(plan) = plan {
            bindings.apply(plan);
        }
        self.bindings = Some(bindings);
    }

    /// Brings everything in line with a plan.
    ///
    /// # Errors
    /// [`GraphClosed`] when the graph has ended.
    pub fn apply(&mut self, plan: &Plan) -> Result<(), GraphClosed> {
        let actions = self.engine.apply(plan)?;
        // Bindings before sources, so that they see every delta; they wait for hydration by themselves.
        if let Some(bindings) = &mut self.bindings {
            bindings.apply(plan);
        }
        self.watches.act(actions);
        Ok(())
    }

    /// Has a subscriber offered the deltas of an inventory that is in the plan.
    pub fn subscribe(&self, inventory: &InventoryName, subscriber: Arc<dyn Subscriber>) {
        self.engine.subscribe(inventory, subscriber);
    }

    /// Gives rows to look at.
    pub fn sampler(&self) -> Sampler {
        Sampler::new(&self.engine)
    }

    /// The state of everything.
    pub fn report(&self) -> Report {
        let bindings = self.bindings.as_ref().map(Bindings::statuses).unwrap_or_default();
        let leftovers = self.bindings.as_ref().map(Bindings::leftovers).unwrap_or_default();
        Report { engine: self.engine.report(), bindings, leftovers }
    }

    /// Whether the first list of every target has ended one way or the other.
    pub fn has_read_everything(&self) -> bool {
        !self.engine.report().targets.values().any(|target| target.pending)
    }

    /// Marks the graph: the report's mark reaches this when everything that was applied before is dispatched.
    pub fn mark(&self) -> u64 {
        self.engine.mark()
    }

    /// Counts changes of what [`Runtime::report`] shows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until everything that was there has been read and delivered: every target's first list has ended one way
    /// or the other, and every binding has delivered what they gave or has given up (its circuit is open, or
    /// somebody has to act). `progress` is called with the state now and then.
    pub async fn settle(&mut self, mut progress: impl FnMut(&Report)) {
        let mut changes = self.changes();
        let mut mark = None;
        loop {
            changes.mark_unchanged();
            let report = self.report();
            progress(&report);
            if report.engine.ended {
                return;
            }
            match mark {
                None if self.watches.have_ended()
                    || !report.engine.targets.values().any(|target| target.pending) =>
                {
                    mark = Some(self.engine.mark());
                }
                Some(mark) if report.engine.mark >= mark && settled(&report) => return,
                _ => {}
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops reading, delivers what is waiting, and returns the last state.
    pub async fn stop(mut self) -> Report {
        self.watches.stop();
        self.watches.join().await;
        // What the sources brought last is delivered too.
        let mark = self.engine.mark();
        let mut changes = self.changes();
        while {
            let report = self.engine.report();
            report.mark < mark && !report.ended
        } {
            if changes.changed().await.is_err() {
                break;
            }
        }
        let bindings = match &mut self.bindings {
            Some(bindings) => bindings.stop().await,
            None => BTreeMap::new(),
        };
        Report { engine: self.engine.report(), bindings, leftovers: BTreeMap::new() }
    }
}

/// Whether every binding has delivered everything up to the epoch of the report, has given up, or waits for targets of
/// which none can be read.
fn settled(report: &Report) -> bool {
    report.bindings.iter().all(|(key, (_, status))| match status.phase {
        Phase::Stopped { .. } | Phase::CircuitOpen { .. } => true,
        _ if report.is_unread(&key.inventory) => true,
        _ => status.settled.is_some_and(|settled| settled.epoch >= report.engine.mark_epoch),
    })
}
