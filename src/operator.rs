//! The operator: custom resources of a cluster in, running pipelines and status out.
//!
//! ```text
//! custom resources, namespaces ─► stores ─┐
//! Secrets that sinks refer to ────────────┴─► Catalog::plan ─► Runtime::apply
//!                                                  │                │ report
//!                                                  ├────► status ◄──┤
//!                                                  └─► Probes ──────┘
//! ```
//!
//! The admission webhook, where it is wanted, judges by the same input, beside the loop.
//!
//! The loop below is all the control there is: whatever changes, the same function plans everything anew, and the
//! runtime works out the difference. With leader election it does so as a warm standby until it holds the lease: everything is
//! read, and nothing is written, neither rows nor status. It never waits for the API server, nor for a sink: Secrets are read, sinks are
//! probed, and status is written by tasks beside it. Nothing is applied before each kind has been listed completely or is known to be out of reach, and then the plan
//! is told so, because one that lacks a target would take back its rows.

mod errands;
mod previews;
mod probing;
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
use crate::lease::{self, Election, Leadership};
use crate::probes::Probes;
use crate::runtime::{ObjectStore, Report, Runtime, namespaces, watch_objects};
use crate::sinks::{EndpointPolicy, Term};
use crate::sources::kubernetes::KubernetesSource;
use crate::sources::{Mode, Source, SourceProblem};
use crate::status::{self, Wanted, Writer};
use errands::Errands;
use previews::Previews;
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
    /// Which endpoints sinks may connect to.
    pub endpoints: EndpointPolicy,
    /// Keys whose values no Resource export shows, beside those that are known.
    pub scrub_keys: Vec<String>,
    /// Threads of the graph.
    pub workers: usize,
    /// The lease that decides whether this process writes; it always does when there is none.
    pub lease: Option<lease::Settings>,
    /// Is told whether the process is of use, as that changes.
    pub readiness: watch::Sender<Readiness>,
    /// The admission webhook, if it is wanted.
    pub webhook: Option<admission::Options>,
}

/// Of what use a process is at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// It has not read everything yet, and does not lead.
    #[default]
    Starting,
    /// It does not lead; it has read everything, so that it can begin to write at once when it does.
    WarmStandby,
    /// It leads, and knows what is to be done.
    Leader,
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
    /// Another process may be the leader now. Nobody has to act but whatever starts the process again.
    #[error("{message}; the process ends so that nothing of its term is left, and is to be started again")]
    LeadershipLost {
        /// How that came.
        message: String,
    },
    /// The admission webhook could not be started.
    #[error(transparent)]
    Webhook(#[from] admission::StartError),
}

/// Runs the pipelines of a cluster until `stop` fires, then delivers what is waiting, gives the lease back, and returns the last
/// state.
///
/// # Errors
/// [`OperatorError`]: the graph can't be started, or ended by itself, or the lease was lost. Work on files may still be
/// under way then, so the process must end.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<Report, OperatorError> {
    let source: Arc<dyn Source> = Arc::new(KubernetesSource::new(client.clone()));
    let resources = Resources::watch(&source, &stop);
    let election = options.lease.clone().map(|settings| lease::enter(client.clone(), settings));
    tracing::info!(endpoints = %options.endpoints, "sinks may connect to these");
    let runtime = Runtime::standby(Arc::clone(&source), Mode::Follow, options.workers)?;
    let (inputs, latest) = watch::channel(None);
    if let Some(webhook) = options.webhook.clone() {
        let webhook = admission::start(client.clone(), webhook, latest, stop.clone()).await?;
        tracing::info!(address = %webhook.address(), "the admission webhook listens");
    }
    let mut operator = Operator {
        previews: Previews::start(runtime.sampler(), &stop),
        runtime,
        probes: Probes::start(Arc::clone(&source), &stop),
        errands: Errands::new(),
        catalog: Catalog::default(),
        secrets: Secrets::start(client.clone(), &stop),
        statuses: watch::Sender::default(),
        client,
        inputs,
        resources,
        options,
        planned: None,
        term: None,
    };
    operator.until(election.as_ref(), &stop).await?;
    tracing::info!("delivering what is waiting");
    let report = operator.runtime.stop().await;
    if let Some(election) = election {
        if let Leadership::Lost { message } = &*election.leadership().borrow() {
            return Err(OperatorError::LeadershipLost { message: message.clone() });
        }
        // Only now: until here the term was needed.
        election.leave().await;
    }
    Ok(report)
}

struct Operator {
    client: Client,
    runtime: Runtime,
    catalog: Catalog,
    secrets: Secrets,
    probes: Probes,
    errands: Errands,
    previews: Previews,
    /// What the task that writes status is to write.
    statuses: watch::Sender<Vec<Wanted>>,
    /// What the webhook judges by.
    inputs: watch::Sender<Option<Arc<Input>>>,
    resources: Resources,
    options: Options,
    planned: Option<(Arc<Input>, Plan)>,
    /// The term in which this process writes; nothing while it stands by.
    term: Option<Term>,
}

impl Operator {
    async fn until(
        &mut self,
        election: Option<&Election>,
        stop: &CancellationToken,
    ) -> Result<(), OperatorError> {
        let mut leadership = match election {
            Some(election) => election.leadership(),
            None => watch::channel(Leadership::Leading(Term::unfenced())).1,
        };
        leadership.mark_changed();
        let mut resources_changed = self.resources.changed.subscribe();
        // They have been watched for a while, so everything may be known already.
        resources_changed.mark_changed();
        let mut state_changed = self.runtime.changes();
        let mut secrets_changed = self.secrets.changes();
        let mut probes_changed = self.probes.changes();
        let mut previews_changed = self.previews.changes();
        loop {
            tokio::select! {
                Ok(()) = leadership.changed() => {
                    let now = leadership.borrow_and_update().clone();
                    match now {
                        Leadership::Standby => {}
                        Leadership::Leading(term) => self.lead(term, stop),
                        Leadership::Lost { message } => return Err(OperatorError::LeadershipLost { message }),
                    }
                }
                () = stop.cancelled() => return Ok(()),
                _ = resources_changed.changed() => {
                    tokio::time::sleep(SETTLE).await;
                    resources_changed.mark_unchanged();
                    self.plan()?;
                }
                Ok(()) = secrets_changed.changed() => self.plan()?,
                Ok(()) = probes_changed.changed() => {}
                Ok(()) = previews_changed.changed() => {}
                _ = state_changed.changed() => {
                    tokio::time::sleep(STATUS_PAUSE).await;
                    state_changed.mark_unchanged();
                }
            }
            self.tell_status();
            self.tell_readiness();
        }
    }

    /// Begins to write, rows and status, until the term is over.
    fn lead(&mut self, term: Term, stop: &CancellationToken) {
        self.runtime.lead(term.clone(), self.planned.as_ref().map(|(_, plan)| plan));
        let (writer, wanted) = (Writer::new(self.client.clone()), self.statuses.subscribe());
        let (own, until) = (term.clone(), stop.clone());
        tokio::spawn(async move { own.during(writer.run(wanted, until)).await });
        let (own, errands) = (term.clone(), self.errands.run(self.client.clone(), stop.clone()));
        tokio::spawn(async move { own.during(errands).await });
        self.term = Some(term);
        self.probe();
    }

    fn plan(&mut self) -> Result<(), OperatorError> {
        if !self.resources.are_known() {
            return Ok(());
        }
        let mut input = self.resources.input(catalog::Options {
            allow_local_sinks: self.options.allow_local_sinks,
            endpoints: self.options.endpoints.clone(),
            scrub_keys: self.options.scrub_keys.clone(),
            ..catalog::Options::default()
        });
        let known = self.secrets.get(wanted_secrets(&input));
        (input.secrets, input.secrets_unreadable) = (known.secrets, known.unreadable);
        let plan = match self.planned.take() {
            // Only status was written, most likely by this process.
            Some((planned, plan)) if planned.plans_like(&input) => plan,
            planned => {
                let plan = self.catalog.plan(&input);
                if planned.is_none_or(|(_, planned)| planned != plan) {
                    self.apply(&plan)?;
                }
                plan
            }
        };
        let input = Arc::new(input);
        self.inputs.send_replace(Some(Arc::clone(&input)));
        self.planned = Some((input, plan));
        self.probe();
        Ok(())
    }

    fn apply(&mut self, plan: &Plan) -> Result<(), GraphClosed> {
        for problem in &plan.problems {
            tracing::warn!(reason = problem.reason, "{problem}");
        }
        tracing::info!(
            targets = plan.targets.len(),
            inventories = plan.inventories.len(),
            problems = plan.problems.len(),
            "applying a new plan"
        );
        self.runtime.apply(plan)
    }

    /// Has sinks and connection tests probed and previews made, by the leader alone.
    fn probe(&self) {
        if let (Some(_), Some((input, plan))) = (&self.term, &self.planned) {
            self.probes.want(probing::wanted(input, plan, &self.catalog));
            self.previews.want(probing::previews(input, plan));
        }
    }

    fn tell_status(&self) {
        if let (Some(_), Some((input, plan))) = (&self.term, &self.planned) {
            let probes = self.probes.report();
            self.errands.want(probing::errands(input, &probes));
            let (report, previews) = (self.runtime.report(), self.previews.made());
            self.statuses.send_replace(status::statuses(input, plan, &report, &probes, &previews));
        }
    }

    fn tell_readiness(&self) {
        let now = match (&self.term, &self.planned) {
            (_, None) => Readiness::Starting,
            (Some(_), Some(_)) => Readiness::Leader,
            (None, Some(_)) if self.runtime.has_read_everything() => Readiness::WarmStandby,
            (None, Some(_)) => Readiness::Starting,
        };
        self.options.readiness.send_if_modified(|readiness| {
            let changed = *readiness != now;
            if changed {
                tracing::debug!(readiness = ?now, "readiness changed");
            }
            *readiness = now;
            changed
        });
    }
}

/// The custom resources and namespaces of a cluster.
struct Resources {
    profiles: ObjectStore,
    targets: ObjectStore,
    cluster_targets: ObjectStore,
    inventories: ObjectStore,
    cluster_inventories: ObjectStore,
    scopes: ObjectStore,
    cluster_scopes: ObjectStore,
    database_sinks: ObjectStore,
    snapshot_sinks: ObjectStore,
    event_sinks: ObjectStore,
    connection_tests: ObjectStore,
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
            cluster_targets: ours("KollectClusterTarget"),
            inventories: ours("KollectInventory"),
            cluster_inventories: ours("KollectClusterInventory"),
            scopes: ours("KollectScope"),
            cluster_scopes: ours("KollectClusterScope"),
            database_sinks: ours("KollectDatabaseSink"),
            snapshot_sinks: ours("KollectSnapshotSink"),
            event_sinks: ours("KollectEventSink"),
            connection_tests: ours("KollectConnectionTest"),
            namespaces: start(Gvk::new("", "v1", "Namespace")),
            changed,
        }
    }

    /// Those that a plan waits for. Connection tests are not among them: nothing is taken back for the lack of one.
    fn stores(&self) -> [&ObjectStore; 11] {
        [
            &self.profiles,
            &self.targets,
            &self.cluster_targets,
            &self.inventories,
            &self.cluster_inventories,
            &self.scopes,
            &self.cluster_scopes,
            &self.database_sinks,
            &self.snapshot_sinks,
            &self.event_sinks,
            &self.namespaces,
        ]
    }

    /// Whether of each kind the objects are known, or what keeps them from being so that waiting does not cure.
    fn are_known(&self) -> bool {
        self.stores().iter().all(|store| store.is_complete() || out_of_reach(store).is_some())
    }

    /// The resources for a plan.
    fn input(&self, options: catalog::Options) -> Input {
        let mut unusable = BTreeMap::new();
        // Of a kind that is not served there are no scopes; of one that may not be listed there may be any.
        let scopes = [&self.scopes, &self.cluster_scopes];
        let hidden = |problem: &SourceProblem| problem.reason != "KindNotFound";
        let scopes_unknown = scopes.into_iter().filter_map(out_of_reach).find(hidden);
        Input {
            profiles: typed(&self.profiles, "KollectProfile", &mut unusable),
            targets: typed(&self.targets, "KollectTarget", &mut unusable),
            cluster_targets: typed(&self.cluster_targets, "KollectClusterTarget", &mut unusable),
            inventories: typed(&self.inventories, "KollectInventory", &mut unusable),
            cluster_inventories: typed(&self.cluster_inventories, "KollectClusterInventory", &mut unusable),
            scopes: typed(&self.scopes, "KollectScope", &mut unusable),
            cluster_scopes: typed(&self.cluster_scopes, "KollectClusterScope", &mut unusable),
            scopes_unknown: scopes_unknown.map(|problem| problem.message),
            database_sinks: typed(&self.database_sinks, "KollectDatabaseSink", &mut unusable),
            snapshot_sinks: typed(&self.snapshot_sinks, "KollectSnapshotSink", &mut unusable),
            event_sinks: typed(&self.event_sinks, "KollectEventSink", &mut unusable),
            connection_tests: typed(&self.connection_tests, "KollectConnectionTest", &mut unusable),
            unusable,
            // A kind that is not served may be back in a moment, so that its targets are not seen does not mean that they
            // are gone.
            incomplete: [&self.targets, &self.cluster_targets]
                .into_iter()
                .any(|store| out_of_reach(store).is_some()),
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
