//! Runs the bindings that a plan wants: starts, replaces and ends them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use kollect_dataflows::data::{Delta, Row};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::{BindingPlan, InventoryPlan, SinkName};
use crate::engine::{Engine, InventoryName, Snapshot, Subscriber, View};
use crate::export::{Binding, BindingStatus, Finished, Inbox, Look, Options, Resumption};
use crate::sinks::{DeletionPolicy, Rows, Sink, Term};

/// How long a binding that ends may take to deliver what is waiting.
const DRAIN: Duration = Duration::from_secs(20);

/// Which binding: an inventory and one of its sink references.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingKey {
    /// The inventory.
    pub inventory: InventoryName,
    /// The sink.
    pub sink: SinkName,
}

struct Running {
    spec: BindingPlan,
    stop: CancellationToken,
    status: watch::Receiver<BindingStatus>,
    subscriber: Arc<dyn Subscriber>,
    /// Gives nothing when the term was over first.
    task: JoinHandle<Option<Finished>>,
}

/// All bindings of the process.
pub(super) struct Bindings {
    engine: Arc<Engine>,
    term: Term,
    running: BTreeMap<BindingKey, Running>,
    /// Bindings that can't run now but left what they exported; their deletion policies still count.
    dormant: BTreeMap<BindingKey, BindingPlan>,
    /// Bindings that are ending, by key: a successor waits for them.
    ending: BTreeMap<BindingKey, JoinHandle<()>>,
    tasks: TaskTracker,
    changed: Arc<watch::Sender<u64>>,
}

impl Bindings {
    /// No binding is ever polled again once the term is over, wherever it was: what it was about to write is not written, and a
    /// transaction that it had begun is rolled back with its connection.
    pub(super) fn new(engine: Arc<Engine>, term: Term, changed: Arc<watch::Sender<u64>>) -> Self {
        Self {
            engine,
            term,
            running: BTreeMap::new(),
            dormant: BTreeMap::new(),
            ending: BTreeMap::new(),
            tasks: TaskTracker::new(),
            changed,
        }
    }

    /// Brings the bindings in line with a plan. A binding whose inventory or reference is gone ends, and its deletion
    /// policy says what becomes of what it exported. One that is still referred to but can't run (its inventory is
    /// suspended, or its sink can't be used) ends too, but leaves everything as it is.
    pub(super) fn apply(&mut self, inventories: &BTreeMap<InventoryName, InventoryPlan>) {
        let (mut wanted, mut kept) = (BTreeMap::new(), BTreeSet::new());
        for (name, inventory) in inventories {
            let key = |sink: &SinkName| BindingKey { inventory: name.clone(), sink: sink.clone() };
            kept.extend(inventory.references.iter().map(key));
            if inventory.held.is_some() {
                // It is not known what it refers to.
                let known = self.running.keys().chain(self.dormant.keys());
                kept.extend(known.filter(|key| key.inventory == *name).cloned());
            } else if !inventory.suspended {
                wanted.extend(inventory.bindings.iter().map(|binding| (key(&binding.sink), binding)));
            }
        }
        let differs = |(key, running): &(&BindingKey, &Running)| wanted.get(*key) != Some(&&running.spec);
        let over: Vec<BindingKey> = self.running.iter().filter(differs).map(|(key, _)| key.clone()).collect();
        let over: Vec<_> = over.iter().filter_map(|key| self.running.remove_entry(key)).collect();
        for (key, running) in over {
            let given_up = wanted.contains_key(&key) || !kept.contains(&key);
            let clear = given_up && may_clear(&key, &running.spec, &wanted);
            if !wanted.contains_key(&key) && kept.contains(&key) {
                self.dormant.insert(key.clone(), running.spec.clone());
            }
            self.end(key, running, clear);
        }
        self.clear_dormant(&wanted, &kept);
        for (key, spec) in wanted {
            if !self.running.contains_key(&key) {
                self.start(key, spec.clone());
            }
        }
        self.ending.retain(|_, task| !task.is_finished());
    }

    /// Removes what dormant bindings exported, where their deletion policies say so and nobody refers to it any more.
    fn clear_dormant(&mut self, wanted: &BTreeMap<BindingKey, &BindingPlan>, kept: &BTreeSet<BindingKey>) {
        let over = |key: &BindingKey, _: &mut BindingPlan| wanted.contains_key(key) || !kept.contains(key);
        let over: Vec<_> = self.dormant.extract_if(.., over).collect();
        for (key, spec) in over {
            // One that runs again takes over what is there.
            if wanted.contains_key(&key) || !may_clear(&key, &spec, wanted) {
                continue;
            }
            let predecessor = self.ending.remove(&key);
            let term = self.term.clone();
            let task = self.tasks.spawn(async move {
                if let Some(predecessor) = predecessor {
                    // A panic of the predecessor is its own affair.
                    let _ = predecessor.await;
                }
                let sink = spec.config.open(&spec.name, &term);
                term.during(remove_exported(&spec, sink)).await;
            });
            self.ending.insert(key, task);
        }
    }

    fn start(&mut self, key: BindingKey, spec: BindingPlan) {
        let engine = Arc::clone(&self.engine);
        let inventory = key.inventory.clone();
        let ask = move |look: Look| {
            engine.view(&inventory, Box::new(move |view| look.answer(resumption(view))));
        };
        let options = Options {
            min_interval: spec.min_interval,
            coalesce_window: spec.coalesce_window,
            drain_timeout: DRAIN,
        };
        let label = format!("{} → {}", spec.name, key.sink);
        let binding = Binding::new(label, spec.config.open(&spec.name, &self.term), ask, options);
        let (inbox, status) = (binding.inbox(), binding.status());
        let subscriber: Arc<dyn Subscriber> = Arc::new(Subscribed(inbox));
        self.engine.subscribe(&key.inventory, Arc::clone(&subscriber));
        let stop = CancellationToken::new();
        let predecessor = self.ending.remove(&key);
        let (stopped, term) = (stop.clone(), self.term.clone());
        let task = self.tasks.spawn(async move {
            if let Some(predecessor) = predecessor {
                // A panic of the predecessor is its own affair.
                let _ = predecessor.await;
            }
            term.during(binding.run(stopped)).await
        });
        let (mut watched, changed) = (status.clone(), Arc::clone(&self.changed));
        self.tasks.spawn(async move {
            while watched.changed().await.is_ok() {
                changed.send_modify(|count| *count += 1);
            }
        });
        self.running.insert(key, Running { spec, stop, status, subscriber, task });
    }

    fn end(&mut self, key: BindingKey, running: Running, clear: bool) {
        let Running { spec, stop, subscriber, task, .. } = running;
        self.engine.unsubscribe(&key.inventory, &subscriber);
        stop.cancel();
        let term = self.term.clone();
        let task = self.tasks.spawn(async move {
            let Ok(Some(finished)) = task.await else { return };
            if clear {
                term.during(remove_exported(&spec, finished.sink)).await;
            }
        });
        self.ending.insert(key, task);
    }

    pub(super) fn statuses(&self) -> BTreeMap<BindingKey, (String, BindingStatus)> {
        self.running
            .iter()
            .map(|(key, running)| {
                (key.clone(), (running.spec.config.describe(), running.status.borrow().clone()))
            })
            .collect()
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
        for (_, task) in std::mem::take(&mut self.ending) {
            let _ = task.await;
        }
        last
    }
}

/// Whether what a binding exported is to go when nobody refers to it any more: its policy says so, and no other binding of
/// its inventory, whatever it is called, may be about the same rows.
fn may_clear(key: &BindingKey, spec: &BindingPlan, wanted: &BTreeMap<BindingKey, &BindingPlan>) -> bool {
    let mut others = wanted.iter().filter(|(other, _)| other.inventory == key.inventory);
    spec.config.deletion_policy() == DeletionPolicy::Delete && others.all(|(_, other)| leaves(spec, other))
}

/// Whether what a binding exported is certainly not what its successor takes over. Rather rows stay than that the successor
/// finds its own removed, and everybody who reads them with it.
fn leaves(spec: &BindingPlan, successor: &BindingPlan) -> bool {
    let (place, next) = (spec.config.place(&spec.name), successor.config.place(&successor.name));
    place.is_apart_from(&next)
}

/// Removes what a binding exported. It is tried for a while; what then is left is said in the log.
async fn remove_exported(spec: &BindingPlan, mut sink: Sink) {
    let mut pause = Duration::from_millis(200);
    for attempt in 1.. {
        let result = match sink.connect().await {
            Ok(()) => sink.clear().await,
            Err(error) => Err(error),
        };
        let destination = spec.config.describe();
        match result {
            Ok(receipt) => {
                tracing::info!(binding = %spec.name, destination, deleted = receipt.deleted, "removed what was exported");
                return;
            }
            Err(error) if error.is_retryable() && attempt < 5 => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => {
                tracing::error!(binding = %spec.name, destination, %error, "what was exported could not be removed");
                return;
            }
        }
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

#[cfg(all(test, feature = "postgres"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::{ResourceName, SinkFamily};
    use crate::sinks::database::postgres;
    use crate::sinks::snapshot::layout::{Format, LayoutMode, LayoutSettings};
    use crate::sinks::snapshot::local;
    use crate::sinks::{BindingName, EndpointPolicy, Provisioning, SinkConfig, TlsSettings};

    fn plan(cluster: &str, config: SinkConfig) -> BindingPlan {
        BindingPlan {
            name: BindingName {
                cluster: cluster.to_owned(),
                inventory_namespace: "team".to_owned(),
                inventory_name: "apps".to_owned(),
            },
            sink: SinkName { family: SinkFamily::Database, name: ResourceName::new("team", "sink") },
            config,
            min_interval: Duration::ZERO,
            coalesce_window: Duration::ZERO,
        }
    }

    fn postgres(dsn: &str, table: &str) -> SinkConfig {
        let settings = postgres::Settings {
            dsn: dsn.to_owned(),
            schema: None,
            table: table.into(),
            provisioning: Provisioning::Ensure,
            tls: TlsSettings::default(),
            deletion_policy: None,
            endpoints: EndpointPolicy::default(),
            options: postgres::Options::default(),
        };
        SinkConfig::Postgres(postgres::Config::new(settings).unwrap())
    }

    fn files(endpoint: &str, template: &str, format: Format, mode: LayoutMode) -> SinkConfig {
        let settings = local::Settings {
            endpoint: endpoint.to_owned(),
            path_template: Some(template.to_owned()),
            format,
            layout: LayoutSettings { mode, ..LayoutSettings::default() },
            ..local::Settings::default()
        };
        SinkConfig::Local(local::Config::new(settings).unwrap())
    }

    #[test]
    fn what_was_exported_is_left_behind_only_by_a_successor_that_goes_elsewhere() {
        let table = || postgres("postgres://u:p@db/inv", "rows");
        let documents = || files("/nowhere", "{namespace}/{name}", Format::Yaml, LayoutMode::Document);
        let rows = LayoutMode::PerResource;
        for (case, before, after, expected) in [
            ("a password", table(), postgres("postgres://u:q@db/inv", "rows"), false),
            ("an alias", table(), postgres("postgres://u:p@alias:5433/inv", "rows"), false),
            ("a standby", table(), postgres("postgres://u:p@db,standby/inv", "rows"), false),
            ("a table", table(), postgres("postgres://u:p@db/inv", "others"), true),
            ("a database", table(), postgres("postgres://u:p@db/other", "rows"), true),
            ("files", table(), documents(), true),
            ("a format", documents(), files("/nowhere", "{namespace}/{name}", Format::Json, rows), false),
            ("a path", documents(), files("/nowhere", "x/{namespace}/{name}", Format::Yaml, rows), true),
            (
                "a path that is spelled otherwise",
                documents(),
                files("/", "nowhere/{namespace}/{name}{extension}", Format::Yaml, rows),
                false,
            ),
        ] {
            assert_eq!(leaves(&plan("east", before), &plan("east", after)), expected, "{case}");
        }
        assert!(leaves(&plan("east", table()), &plan("west", table())), "a cluster");
    }
}
