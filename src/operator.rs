//! The operator: custom resources of a cluster in, running pipelines and status out.
//!
//! ```text
//! custom resources, namespaces ─► stores ─┐
//! Secrets that sinks refer to ────────────┴─► Catalog::plan ─► Runtime::apply
//!                                                  │                │ report
//!                                                  └────► status ◄──┘
//! ```
//!
//! The loop below is all the control there is: whatever changes, the same function plans everything anew, and the
//! runtime works out the difference. Nothing is applied before all kinds have been listed completely, because a plan that lacks a
//! target would take back its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kollect_dataflows::data::Gvk;
use kube::{Api, Client};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{GROUP, VERSION};
use crate::catalog::{
    self, Catalog, Input, Plan, ResourceName, ResourceRef, SecretData, Unusable, wanted_secrets,
};
use crate::engine::{GraphClosed, StartError};
use crate::runtime::{ObjectStore, Report, Runtime, namespaces, watch_objects};
use crate::sources::kubernetes::KubernetesSource;
use crate::sources::{Mode, Source};
use crate::status::{self, Writer};

/// So long the loop waits for more changes before it plans: resources often come several at a time.
const SETTLE: Duration = Duration::from_millis(50);
/// So often counters are looked at while rows change all the time.
const STATUS_PAUSE: Duration = Duration::from_millis(250);
/// So often Secrets are read again, for credentials that were rotated.
const SECRETS_PAUSE: Duration = Duration::from_secs(30);

/// Settings of an operator.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether sinks may write to the operator's own file system.
    pub allow_local_sinks: bool,
    /// Threads of the graph.
    pub workers: usize,
}

/// Why an operator ended before it was told to. Whoever runs the process must act; starting again is safe.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The graph could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The graph ended.
    #[error(transparent)]
    Graph(#[from] GraphClosed),
}

/// Runs the pipelines of a cluster until `stop` fires, then delivers what is waiting, and returns the last state.
///
/// # Errors
/// [`OperatorError`]: the graph can't be started, or ended by itself.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<Report, OperatorError> {
    let source: Arc<dyn Source> = Arc::new(KubernetesSource::new(client.clone()));
    let resources = Resources::watch(&source, &stop);
    let mut operator = Operator {
        runtime: Runtime::start(Arc::clone(&source), Mode::Follow, options.workers)?,
        catalog: Catalog::default(),
        secrets: Secrets::new(client.clone()),
        writer: Writer::new(client),
        resources,
        options,
        planned: None,
    };
    operator.until(&stop).await?;
    tracing::info!("delivering what is waiting");
    Ok(operator.runtime.stop().await)
}

struct Operator {
    runtime: Runtime,
    catalog: Catalog,
    secrets: Secrets,
    writer: Writer,
    resources: Resources,
    options: Options,
    planned: Option<(Input, Plan)>,
}

impl Operator {
    async fn until(&mut self, stop: &CancellationToken) -> Result<(), OperatorError> {
        let mut resources_changed = self.resources.changed.subscribe();
        let mut state_changed = self.runtime.changes();
        let mut wake = Instant::now();
        loop {
            let mut plan = false;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = resources_changed.changed() => {
                    tokio::time::sleep(SETTLE).await;
                    resources_changed.mark_unchanged();
                    plan = true;
                }
                _ = state_changed.changed() => {
                    tokio::time::sleep(STATUS_PAUSE).await;
                    state_changed.mark_unchanged();
                }
                () = tokio::time::sleep_until(wake) => plan = self.secrets.is_due(),
            }
            if plan && self.resources.are_complete() {
                self.plan().await?;
            }
            let again = self.write_status().await;
            wake = Instant::now() + again.unwrap_or(SECRETS_PAUSE).min(SECRETS_PAUSE);
        }
    }

    async fn plan(&mut self) -> Result<(), OperatorError> {
        let mut input = self.resources.input(catalog::Options {
            allow_local_sinks: self.options.allow_local_sinks,
            ..catalog::Options::default()
        });
        self.secrets.read(wanted_secrets(&input)).await;
        input.secrets.clone_from(&self.secrets.known);
        let plan = self.catalog.plan(&input);
        if self.planned.as_ref().is_none_or(|(_, planned)| *planned != plan) {
            for problem in &plan.problems {
                tracing::warn!(reason = problem.reason, "{problem}");
            }
            tracing::info!(
                targets = plan.targets.len(),
                inventories = plan.inventories.len(),
                problems = plan.problems.len(),
                "applying a new plan"
            );
            self.runtime.apply(&plan)?;
        }
        self.planned = Some((input, plan));
        Ok(())
    }

    async fn write_status(&mut self) -> Option<Duration> {
        let (input, plan) = self.planned.as_ref()?;
        let statuses = status::statuses(input, plan, &self.runtime.report());
        self.writer.write(statuses).await
    }
}

/// The custom resources and namespaces of a cluster.
struct Resources {
    profiles: ObjectStore,
    targets: ObjectStore,
    inventories: ObjectStore,
    database_sinks: ObjectStore,
    snapshot_sinks: ObjectStore,
    namespaces: ObjectStore,
    changed: Arc<watch::Sender<u64>>,
}

impl Resources {
    fn watch(source: &Arc<dyn Source>, stop: &CancellationToken) -> Self {
        let changed = Arc::new(watch::Sender::new(0));
        let start = |gvk: Gvk| {
            let store = ObjectStore::new(Arc::clone(&changed));
            tokio::spawn(watch_objects(Arc::clone(source), gvk, Mode::Follow, store.clone(), stop.clone()));
            store
        };
        let ours = |kind: &str| start(Gvk::new(GROUP, VERSION, kind));
        Self {
            profiles: ours("KollectProfile"),
            targets: ours("KollectTarget"),
            inventories: ours("KollectInventory"),
            database_sinks: ours("KollectDatabaseSink"),
            snapshot_sinks: ours("KollectSnapshotSink"),
            namespaces: start(Gvk::new("", "v1", "Namespace")),
            changed,
        }
    }

    fn are_complete(&self) -> bool {
        let stores = [
            &self.profiles,
            &self.targets,
            &self.inventories,
            &self.database_sinks,
            &self.snapshot_sinks,
            &self.namespaces,
        ];
        stores.iter().all(|store| store.is_complete())
    }

    /// The resources for a plan.
    fn input(&self, options: catalog::Options) -> Input {
        let mut unusable = BTreeMap::new();
        Input {
            profiles: typed(&self.profiles, "KollectProfile", &mut unusable),
            targets: typed(&self.targets, "KollectTarget", &mut unusable),
            inventories: typed(&self.inventories, "KollectInventory", &mut unusable),
            database_sinks: typed(&self.database_sinks, "KollectDatabaseSink", &mut unusable),
            snapshot_sinks: typed(&self.snapshot_sinks, "KollectSnapshotSink", &mut unusable),
            unusable,
            namespaces: namespaces(&self.namespaces),
            options,
            ..Input::default()
        }
    }
}

fn typed<T: DeserializeOwned>(
    store: &ObjectStore,
    kind: &'static str,
    unusable: &mut BTreeMap<ResourceRef, Unusable>,
) -> BTreeMap<ResourceName, Arc<T>> {
    /// What is the same in all resources.
    #[derive(Deserialize)]
    struct Any {
        metadata: ObjectMeta,
    }
    let mut all = BTreeMap::new();
    for (name, json) in store.objects() {
        let name = ResourceName::new(name.namespace, name.name);
        match serde_json::from_slice(&json) {
            Ok(resource) => {
                all.insert(name, Arc::new(resource));
            }
            Err(error) => {
                let labels = serde_json::from_slice(&json).ok();
                let labels = labels.map(|any: Any| any.metadata.labels.unwrap_or_default());
                // What the parser says may quote the resource, but for where it is.
                let place = format!("line {}, column {}", error.line(), error.column());
                let message = format!("the resource can't be read as a {kind} (at {place} of its JSON)");
                let remedy = "correct it, or run a version of Kollect that knows its fields".to_owned();
                unusable.insert(ResourceRef::new(kind, &name), Unusable { labels, message, remedy });
            }
        }
    }
    all
}

/// The Secrets that sinks refer to. Only these are read, one by one, so no permission for others is needed.
struct Secrets {
    client: Client,
    known: BTreeMap<ResourceName, SecretData>,
    read: Option<Instant>,
}

impl Secrets {
    fn new(client: Client) -> Self {
        Self { client, known: BTreeMap::new(), read: None }
    }

    fn is_due(&self) -> bool {
        self.read.is_none_or(|read| read.elapsed() >= SECRETS_PAUSE)
    }

    /// Reads those that are not known yet, and now and then all of them.
    async fn read(&mut self, wanted: BTreeSet<ResourceName>) {
        let all = self.is_due();
        self.known.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if !all && self.known.contains_key(&name) {
                continue;
            }
            let api: Api<Secret> = Api::namespaced(self.client.clone(), &name.namespace);
            match api.get_opt(&name.name).await {
                Ok(Some(secret)) => {
                    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
                    self.known.insert(name, SecretData(data.collect()));
                }
                Ok(None) => {
                    self.known.remove(&name);
                }
                // What was read before is still the best there is.
                Err(error) => tracing::warn!(secret = %name, %error, "a Secret can't be read; trying again"),
            }
        }
        if all {
            self.read = Some(Instant::now());
        }
    }
}
