//! Runs the bindings that a plan wants: starts, replaces and ends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use kollect_dataflows::data::{Delta, Row};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::leftovers::{LeftoverState, Leftovers};
use crate::catalog::{BindingKey, BindingPlan, Plan};
use crate::engine::{Engine, InventoryName, Snapshot, Subscriber, View};
use crate::export::{Binding, BindingStatus, Finished, Inbox, Look, Options, Resumption};
use crate::sinks::{Rows, Term};

/// How long a binding that ends may take to deliver what is waiting.
const DRAIN: Duration = Duration::from_secs(20);

struct Running {
    spec: BindingPlan,
    stop: CancellationToken,
    status: watch::Receiver<BindingStatus>,
    subscriber: Arc<dyn Subscriber>,
    /// Fires when the task has ended, however it did.
    ended: CancellationToken,
    /// Gives nothing when the term was over first.
    task: JoinHandle<Option<Finished>>,
}

/// All bindings of the process.
pub(super) struct Bindings {
    engine: Arc<Engine>,
    term: Term,
    running: BTreeMap<BindingKey, Running>,
    leftovers: Leftovers,
    tasks: TaskTracker,
    changed: Arc<watch::Sender<u64>>,
}

impl Bindings {
    /// No binding is ever polled again once the term is over, wherever it was: what it was about to write is not written, and a
    /// transaction that it had begun is rolled back with its connection.
    pub(super) fn new(
        engine: Arc<Engine>,
        term: Term,
        cleanup_timeout: Duration,
        changed: Arc<watch::Sender<u64>>,
    ) -> Self {
        Self {
            engine,
            leftovers: Leftovers::new(term.clone(), cleanup_timeout, Arc::clone(&changed)),
            term,
            running: BTreeMap::new(),
            tasks: TaskTracker::new(),
            changed,
        }
    }

    /// Brings the bindings in line with a plan. A binding whose inventory or reference is gone ends, and its deletion
    /// policy says what becomes of what it exported. One that is still referred to but can't run (its inventory is
    /// suspended, or its sink can't be used) ends too, but leaves everything as it is.
    pub(super) fn apply(&mut self, plan: &Plan) {
        let mut wanted = BTreeMap::new();
        for (name, inventory) in &plan.inventories {
            if inventory.held.is_none() && !inventory.suspended {
                let key =
                    |spec: &BindingPlan| BindingKey { inventory: name.clone(), sink: spec.sink.clone() };
                wanted.extend(inventory.bindings.iter().map(|spec| (key(spec), spec)));
            }
        }
        let differs = |key: &BindingKey, running: &mut Running| wanted.get(key) != Some(&&running.spec);
        for (key, running) in self.running.extract_if(.., differs).collect::<Vec<_>>() {
            self.engine.unsubscribe(&key.inventory, &running.subscriber);
            running.stop.cancel();
            self.leftovers.keep(key, running.spec, running.ended);
        }
        self.leftovers.apply(plan);
        for (key, spec) in wanted {
            if !self.running.contains_key(&key) {
                self.start(key, spec.clone());
            }
        }
    }

    fn start(&mut self, key: BindingKey, spec: BindingPlan) {
        let engine = Arc::clone(&self.engine);
        let inventory = key.inventory.clone();
        let ask = move |look: Look| {
            engine.view(&inventory, Box::new(move |view| look.answer(resumption(view))));
        };
        let options = Options { min_interval: spec.min_interval, drain_timeout: DRAIN };
        let label = format!("{} → {}", spec.name, key.sink);
        let binding = Binding::new(label, spec.config.open(&spec.name, &self.term), ask, options);
        let (inbox, status) = (binding.inbox(), binding.status());
        let subscriber: Arc<dyn Subscriber> = Arc::new(Subscribed(inbox));
        self.engine.subscribe(&key.inventory, Arc::clone(&subscriber));
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let before = self.leftovers.make_way(&key, &spec);
        let (stopped, term, end) = (stop.clone(), self.term.clone(), ended.clone().drop_guard());
        let task = self.tasks.spawn(async move {
            let _end = end;
            for other in before {
                other.cancelled().await;
            }
            term.during(binding.run(stopped)).await
        });
        let (mut watched, changed) = (status.clone(), Arc::clone(&self.changed));
        self.tasks.spawn(async move {
            while watched.changed().await.is_ok() {
                changed.send_modify(|count| *count += 1);
            }
        });
        self.running.insert(key, Running { spec, stop, status, subscriber, ended, task });
    }

    pub(super) fn statuses(&self) -> BTreeMap<BindingKey, (String, BindingStatus)> {
        self.running
            .iter()
            .map(|(key, running)| {
                (key.clone(), (running.spec.config.describe(), running.status.borrow().clone()))
            })
            .collect()
    }

    /// What bindings that run no longer have left.
    pub(super) fn leftovers(&self) -> BTreeMap<BindingKey, LeftoverState> {
        self.leftovers.states()
    }

    /// Stops all bindings, each after it has delivered what is waiting, and returns their last statuses.
    pub(super) async fn stop(&mut self) -> BTreeMap<BindingKey, (String, BindingStatus)> {
        for running in self.running.values() {
            running.stop.cancel();
        }
        let mut last = BTreeMap::new();
        for (key, running) in std::mem::take(&mut self.running) {
            let status = match running.task.await {
                Ok(Some(finished)) => finished.status,
                // Its term was over, or it panicked.
                Ok(None) | Err(_) => running.status.borrow().clone(),
            };
            last.insert(key, (running.spec.config.describe(), status));
        }
        self.leftovers.stop(DRAIN).await;
        last
    }
}

struct Subscribed(Arc<Inbox>);

impl Subscriber for Subscribed {
    fn offer(&self, epoch: u64, deltas: &[Delta]) {
        self.0.offer(epoch, deltas);
    }

    fn look_again(&self) {
        self.0.look_again();
    }
}

fn resumption(view: View) -> Resumption {
    Resumption {
        epoch: view.epoch,
        rows: Box::new(SnapshotRows(Some(view.snapshot))),
        count: view.count,
        digest: view.digest,
        targets: view.targets.into_iter().collect(),
    }
}

/// Gives rows to look at. It does not keep the graph running.
#[derive(Clone)]
pub struct Sampler(Weak<Engine>);

impl Sampler {
    pub(super) fn new(engine: &Arc<Engine>) -> Self {
        Self(Arc::downgrade(engine))
    }

    /// The first row of an inventory; `None` when it has none, or is not there.
    pub async fn first_row(&self, inventory: &InventoryName) -> Option<Row> {
        let (sender, receiver) = oneshot::channel();
        let request = Box::new(move |view: View| {
            // Nobody waits for it any more.
            let _ = sender.send(view.snapshot);
        });
        self.0.upgrade()?.view(inventory, request);
        SnapshotRows(Some(receiver.await.ok()?)).next().await?.into_iter().next()
    }
}

/// A snapshot's rows, read on threads that may wait.
struct SnapshotRows(Option<Snapshot>);

#[async_trait]
impl Rows for SnapshotRows {
    async fn next(&mut self) -> Option<Vec<Row>> {
        let mut snapshot = self.0.take()?;
        let read = tokio::task::spawn_blocking(move || {
            let chunk = snapshot.next_chunk();
            (snapshot, chunk)
        });
        // A graph that has ended gives no more rows; whoever reads finds the count short and concludes nothing.
        let (snapshot, chunk) = read.await.ok()?;
        let chunk = chunk.ok().filter(|chunk| !chunk.is_empty())?;
        self.0 = Some(snapshot);
        Some(chunk)
    }
}
