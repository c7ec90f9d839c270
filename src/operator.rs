//! The operator: custom resources of a cluster in, running pipelines and status out.
//!
//! ```text
//! custom resources, namespaces ─► stores ─┐
//! Secrets that sinks refer to ────────────┴─► Catalog::plan ─► Runtime::apply
//!                                                  │                │ report
//!                                                  └────► status ◄──┘
//! ```
//!
//! The admission webhook, where it is wanted, judges by the same input, beside the loop.
//!
//! The loop below is all the control there is: whatever changes, the same function plans everything anew, and the
//! runtime works out the difference. It never waits for the API server: Secrets are read and status is written by tasks beside
//! it. Nothing is applied before each kind has been listed completely or is known to be out of reach, and then the plan
//! is told so, because one that lacks a target would take back its rows.

mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kollect_dataflows::data::Gvk;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admission;
use crate::api::{GROUP, VERSION};
use crate::catalog::{self, Catalog, Input, Plan, ResourceName, ResourceRef, Unusable, wanted_secrets};
use crate::engine::{GraphClosed, StartError};
use crate::runtime::{ObjectStore, Report, Runtime, namespaces, watch_objects};
use crate::sources::kubernetes::KubernetesSource;
use crate::sources::{Mode, Source, SourceProblem};
use crate::status::{self, Wanted, Writer};
use secrets::Secrets;

/// So long the loop waits for more changes before it plans: resources often come several at a time.
const SETTLE: Duration = Duration::from_millis(50);
/// So often counters are looked at while rows change all the time.
const STATUS_PAUSE: Duration = Duration::from_millis(250);

/// Settings of an operator.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether sinks may write to the operator's own file system.
    pub allow_local_sinks: bool,
    /// Keys whose values no Resource export shows, beside those that are known.
    pub scrub_keys: Vec<String>,
    /// Threads of the graph.
    pub workers: usize,
    /// The admission webhook, if it is wanted.
    pub webhook: Option<admission::Options>,
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
    /// The admission webhook could not be started.
    #[error(transparent)]
    Webhook(#[from] admission::StartError),
}

/// Runs the pipelines of a cluster until `stop` fires, then delivers what is waiting, and returns the last state.
///
/// # Errors
/// [`OperatorError`]: the graph can't be started, or ended by itself.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<Report, OperatorError> {
    let source: Arc<dyn Source> = Arc::new(KubernetesSource::new(client.clone()));
    let resources = Resources::watch(&source, &stop);
    let (statuses, wanted) = watch::channel(Vec::new());
    let (inputs, latest) = watch::channel(None);
    if let Some(webhook) = options.webhook.clone() {
        let webhook = admission::start(client.clone(), webhook, latest, stop.clone()).await?;
        tracing::info!(address = %webhook.address(), "the admission webhook listens");
    }
    tokio::spawn(Writer::new(client.clone()).run(wanted, stop.clone()));
    let mut operator = Operator {
        runtime: Runtime::start(Arc::clone(&source), Mode::Follow, options.workers)?,
        catalog: Catalog::default(),
        secrets: Secrets::start(client, &stop),
        statuses,
        inputs,
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
    /// What the task that writes status is to write.
    statuses: watch::Sender<Vec<Wanted>>,
    /// What the webhook judges by.
    inputs: watch::Sender<Option<Arc<Input>>>,
    resources: Resources,
    options: Options,
    planned: Option<(Arc<Input>, Plan)>,
}

impl Operator {
    async fn until(&mut self, stop: &CancellationToken) -> Result<(), OperatorError> {
        let mut resources_changed = self.resources.changed.subscribe();
        let mut state_changed = self.runtime.changes();
        let mut secrets_changed = self.secrets.changes();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = resources_changed.changed() => {
                    tokio::time::sleep(SETTLE).await;
                    resources_changed.mark_unchanged();
                    self.plan()?;
                }
                Ok(()) = secrets_changed.changed() => self.plan()?,
                _ = state_changed.changed() => {
                    tokio::time::sleep(STATUS_PAUSE).await;
                    state_changed.mark_unchanged();
                }
            }
            self.tell_status();
        }
    }

    fn plan(&mut self) -> Result<(), OperatorError> {
        if !self.resources.are_known() {
            return Ok(());
        }
        let mut input = self.resources.input(catalog::Options {
            allow_local_sinks: self.options.allow_local_sinks,
            scrub_keys: self.options.scrub_keys.clone(),
            ..catalog::Options::default()
        });
        let known = self.secrets.get(wanted_secrets(&input));
        (input.secrets, input.secrets_unreadable) = (known.secrets, known.unreadable);
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
        let input = Arc::new(input);
        self.inputs.send_replace(Some(Arc::clone(&input)));
        self.planned = Some((input, plan));
        Ok(())
    }

    fn tell_status(&self) {
        if let Some((input, plan)) = &self.planned {
            self.statuses.send_replace(status::statuses(input, plan, &self.runtime.report()));
        }
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

    /// Whether of each kind the objects are known, or what keeps them from being so that waiting does not cure.
    fn are_known(&self) -> bool {
        let stores = [
            &self.profiles,
            &self.targets,
            &self.inventories,
            &self.database_sinks,
            &self.snapshot_sinks,
            &self.namespaces,
        ];
        stores.iter().all(|store| store.is_complete() || out_of_reach(store).is_some())
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
            // A kind that is not served may be back in a moment, so that its targets are not seen does not mean that they
            // are gone.
            incomplete: out_of_reach(&self.targets).is_some(),
            namespaces: namespaces(&self.namespaces),
            namespaces_unknown: out_of_reach(&self.namespaces).map(|problem| problem.message),
            options,
            ..Input::default()
        }
    }
}

/// Why the objects of a kind have never been known, unless it is only a matter of waiting.
fn out_of_reach(store: &ObjectStore) -> Option<SourceProblem> {
    let problem = store.problem().filter(|_| !store.is_complete());
    problem.filter(|problem| problem.reason != "SourceUnavailable")
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
