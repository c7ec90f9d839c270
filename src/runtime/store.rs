//! Keeps the objects of one kind at hand: custom resources, namespaces.
//!
//! These are few, and the catalog needs all of them at once; so unlike the objects of pipelines they are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kollect_dataflows::data::Gvk;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::catalog::Namespace;
use crate::sources::{Closed, Event, EventSink, Mode, ObjectName, Source, SourceProblem};

/// The objects of one kind, as JSON.
#[derive(Default)]
struct Objects {
    objects: BTreeMap<ObjectName, Arc<[u8]>>,
    /// What the list under way has brought.
    listed: Option<BTreeMap<ObjectName, Arc<[u8]>>>,
    complete: bool,
    problem: Option<SourceProblem>,
}

/// See the module's description. Clones show the same objects.
#[derive(Clone)]
pub struct ObjectStore {
    objects: Arc<Mutex<Objects>>,
    changed: Arc<watch::Sender<u64>>,
}

impl ObjectStore {
    /// An empty store; `changed` counts its changes.
    pub fn new(changed: Arc<watch::Sender<u64>>) -> Self {
        Self { objects: Arc::default(), changed }
    }

    /// All objects.
    pub fn objects(&self) -> BTreeMap<ObjectName, Arc<[u8]>> {
        self.lock().objects.clone()
    }

    /// Whether a list has come to its end: what is not here does not exist.
    pub fn is_complete(&self) -> bool {
        self.lock().complete
    }

    /// What keeps the objects from being read, if anything does at present.
    pub fn problem(&self) -> Option<SourceProblem> {
        self.lock().problem.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventSink for ObjectStore {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        {
            let mut state = self.lock();
            match event {
                Event::ListBegin => state.listed = Some(BTreeMap::new()),
                Event::Object { name, json, .. } => {
                    if let Some(listed) = &mut state.listed {
                        listed.insert(name, json);
                        // Shown when the list is complete.
                        return Ok(());
                    }
                    state.objects.insert(name, json);
                }
                Event::Deleted { name, .. } => {
                    if let Some(listed) = &mut state.listed {
                        listed.remove(&name);
                    }
                    state.objects.remove(&name);
                }
                Event::ListEnd => {
                    if let Some(listed) = state.listed.take() {
                        state.objects = listed;
                    }
                    state.complete = true;
                }
                Event::Recovered => state.problem = None,
                Event::Problem(problem) => {
                    tracing::warn!(reason = problem.reason, "{problem}");
                    state.problem = Some(problem);
                }
            }
        }
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// Fills a store from a source until `stop` fires (in [`Mode::Once`], until the list has ended).
pub async fn watch_objects(
    source: Arc<dyn Source>,
    gvk: Gvk,
    mode: Mode,
    mut store: ObjectStore,
    stop: CancellationToken,
) {
    source.watch(&gvk, mode, &mut store, &stop).await;
}

/// The namespaces of a store.
pub fn namespaces(store: &ObjectStore) -> BTreeMap<String, Namespace> {
    read_namespaces(store.objects())
}

/// Namespaces from the objects that they are.
pub fn read_namespaces(objects: BTreeMap<ObjectName, Arc<[u8]>>) -> BTreeMap<String, Namespace> {
    let read = |json: &[u8]| {
        let namespace: k8s_openapi::api::core::v1::Namespace =
            serde_json::from_slice(json).unwrap_or_default();
        let metadata = namespace.metadata;
        let terminating = metadata.deletion_timestamp.is_some();
        let annotations = metadata.annotations.unwrap_or_default();
        Namespace { terminating, ..Namespace::new(metadata.labels.unwrap_or_default(), &annotations) }
    };
    objects.into_iter().map(|(name, json)| (name.name, read(&json))).collect()
}
