//! The other side of a binding: an inventory with its history, and the dispatcher that tells bindings of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use kollect_dataflows::data::{Delta, Digest, Row, RowHash, TargetName};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::server::{Key, Server};
use super::{LIMIT, target};
use crate::export::{Binding, BindingStatus, Finished, Inbox, Look, Options, Phase, Resumption};
use crate::sinks::{Rows, Sink};

type Spoil = Box<dyn FnMut(&mut Resumption) + Send>;

/// An inventory as the graph knows it.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) epoch: u64,
    pub(super) rows: BTreeMap<Key, Row>,
    pub(super) targets: BTreeMap<TargetName, bool>,
    /// Whether looks are answered.
    pub(super) ready: bool,
    /// Looks end after so many rows, as if the graph had broken down.
    pub(super) breaks_after: Option<usize>,
    /// Makes looks other than they should be.
    pub(super) spoil: Option<Spoil>,
    inboxes: Vec<Arc<Inbox>>,
    waiting: Vec<Look>,
    /// The server whose deletes are judged by what is known here.
    judged: Option<Server>,
}

impl Inventory {
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        self.rows.values().for_each(|row| digest.add(row.hash()));
        digest
    }

    pub(super) fn look(&mut self) -> Resumption {
        let rows: Vec<Row> =
            self.rows.values().take(self.breaks_after.unwrap_or(usize::MAX)).cloned().collect();
        let mut look = Resumption {
            epoch: self.epoch,
            rows: chunks(rows),
            count: self.rows.len() as u64,
            digest: self.digest(),
            targets: self.targets.clone(),
        };
        if let Some(spoil) = &mut self.spoil {
            spoil(&mut look);
        }
        look
    }

    pub(super) fn answer(&mut self) {
        if !self.ready {
            return;
        }
        for look in std::mem::take(&mut self.waiting) {
            if let Some(server) = &self.judged {
                let mut server = server.lock();
                let held: Vec<Key> = server.tables.values().flat_map(BTreeMap::keys).cloned().collect();
                let gone = held.into_iter().filter(|key| {
                    let target = TargetName::new(&key.target_namespace, &key.target_name);
                    self.targets.get(&target) != Some(&false) && !self.rows.contains_key(key)
                });
                server.gone.extend(gone);
            }
            look.answer(self.look());
        }
    }
}

/// Rows in small chunks.
pub(super) fn chunks(rows: Vec<Row>) -> Box<dyn Rows> {
    Box::new(Chunks(rows.chunks(3).map(<[Row]>::to_vec).collect::<Vec<_>>().into_iter()))
}

struct Chunks(std::vec::IntoIter<Vec<Row>>);

#[async_trait]
impl Rows for Chunks {
    async fn next(&mut self) -> Option<Vec<Row>> {
        self.0.next()
    }
}

/// An inventory that bindings can be started on; clones are the same.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<Inventory>>);

impl World {
    /// An inventory with targets `a` and `b`, hydrated, whose looks are answered.
    pub(super) fn hydrated() -> Self {
        let world = Self::default();
        {
            let mut inventory = world.lock();
            inventory.targets = [(target("a"), true), (target("b"), true)].into();
            inventory.ready = true;
        }
        world
    }

    /// From now on looks are answered.
    pub(super) fn make_ready(&self) {
        let mut inventory = self.lock();
        inventory.ready = true;
        inventory.answer();
    }

    pub(super) fn judging(self, server: &Server) -> Self {
        server.lock().checks_deletes = true;
        self.lock().judged = Some(server.clone());
        self
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inventory> {
        self.0.lock().unwrap()
    }

    /// Starts a binding.
    pub(super) fn bind(&self, sink: Sink, options: Options) -> Bound {
        self.bind_with(sink, options, Duration::ZERO)
    }

    /// Starts a binding whose looks are answered after a while.
    pub(super) fn bind_with(&self, sink: Sink, options: Options, delay: Duration) -> Bound {
        let world = self.clone();
        let feed = move |look: Look| {
            let world = world.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let mut inventory = world.lock();
                inventory.waiting.push(look);
                inventory.answer();
            });
        };
        let binding = Binding::new("test", sink, feed, options);
        let (inbox, status) = (binding.inbox(), binding.status());
        self.lock().inboxes.push(Arc::clone(&inbox));
        let stop = CancellationToken::new();
        let task = tokio::spawn(binding.run(stop.clone()));
        Bound { world: self.clone(), inbox, status, stop, task }
    }

    /// One epoch: each row is now there with this content, or gone.
    pub(super) fn epoch(&self, changes: impl IntoIterator<Item = (Row, bool)>) {
        let mut inventory = self.lock();
        inventory.epoch += 1;
        let mut deltas = Vec::new();
        for (row, present) in changes {
            let key = row.key().to_owned();
            let before = if present {
                inventory.rows.insert(key.clone(), row.clone())
            } else {
                inventory.rows.remove(&key)
            };
            match (before, present) {
                (None, true) => deltas.push(Delta::Insert(row)),
                (Some(before), true) if before != row => deltas.push(Delta::Update { before, after: row }),
                (Some(before), false) => {
                    if let Some(server) = &inventory.judged {
                        server.lock().gone.insert(key);
                    }
                    deltas.push(Delta::Delete(before));
                }
                _ => {}
            }
        }
        for inbox in &inventory.inboxes {
            inbox.offer(inventory.epoch, &deltas);
        }
    }

    pub(super) fn put(&self, rows: impl IntoIterator<Item = Row>) {
        self.epoch(rows.into_iter().map(|row| (row, true)));
    }

    pub(super) fn remove(&self, rows: impl IntoIterator<Item = Row>) {
        self.epoch(rows.into_iter().map(|row| (row, false)));
    }

    /// A target becomes hydrated, stops being so, or is not a target any longer.
    pub(super) fn set_target(&self, name: &str, hydrated: Option<bool>) {
        let mut inventory = self.lock();
        match hydrated {
            Some(hydrated) => inventory.targets.insert(target(name), hydrated),
            None => inventory.targets.remove(&target(name)),
        };
        inventory.inboxes.iter().for_each(|inbox| inbox.look_again());
    }

    pub(super) fn expected(&self) -> Vec<(Key, RowHash)> {
        self.lock().rows.iter().map(|(key, row)| (key.clone(), row.hash())).collect()
    }

    /// The process is gone, and everything with it.
    pub(super) fn forget_bindings(&self) {
        self.lock().inboxes.clear();
        let waiting = std::mem::take(&mut self.lock().waiting);
        drop(waiting);
    }
}

/// A binding that runs.
pub(super) struct Bound {
    world: World,
    pub(super) inbox: Arc<Inbox>,
    pub(super) status: watch::Receiver<BindingStatus>,
    pub(super) stop: CancellationToken,
    task: JoinHandle<Finished>,
}

impl Bound {
    /// Waits until the status is such.
    pub(super) async fn until(&mut self, what: impl FnMut(&BindingStatus) -> bool) -> BindingStatus {
        if let Ok(status) = tokio::time::timeout(LIMIT, self.status.wait_for(what)).await {
            return status.expect("the binding has ended").clone();
        }
        panic!("not reached; the last status is {:?}", *self.status.borrow());
    }

    /// Waits until all that happened so far is at the destination.
    pub(super) async fn settled(&mut self) -> BindingStatus {
        let epoch = self.world.lock().epoch;
        self.until(|status| {
            status.phase == Phase::Live && status.settled.is_some_and(|settled| settled.epoch >= epoch)
        })
        .await
    }

    /// Waits until the binding ends by itself.
    pub(super) async fn ends(self) {
        tokio::time::timeout(LIMIT, self.task).await.expect("the binding does not end").unwrap();
    }

    /// Tells the binding to stop, and waits for it.
    pub(super) async fn finish(self) -> Finished {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("the binding does not stop").unwrap()
    }

    /// Kills the binding where it stands.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        self.world.forget_bindings();
    }
}
