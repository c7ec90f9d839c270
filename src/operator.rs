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
//! An operator may be for some namespaces only ([`Tenancy`]): nothing of others is read then, and in tenant mode nothing of the cluster.
//!
//! The loop below is all the control there is: whatever changes, the same function plans everything anew, and the
//! runtime works out the difference. With leader election it does so as a warm standby until it holds the lease: everything is
//! read, and nothing is written, neither rows nor status. It never waits for the API server, nor for a sink: Secrets are read, sinks are
//! probed, and status is written by tasks beside it. Nothing is applied before each kind has been listed completely or is known to be out of reach, and then the plan
//! is told so, because one that lacks a target would take back its rows.

mod errands;
mod finalizers;
mod namespaces;
mod previews;
mod probing;
mod secrets;
mod stores;
mod tenancy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kollect_dataflows::data::Gvk;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{self, Webhook};
use crate::api::{GROUP, VERSION};
use crate::catalog::{
    self, Catalog, Incomplete, Input, Plan, ResourceName, ResourceRef, SinkName, Stored, Unusable,
    wanted_secrets,
};
use crate::engine::{GraphClosed, StartError};
use crate::latest;
use crate::lease::{self, Election, Leadership};
use crate::probes::Probes;
use crate::runtime::{ObjectStore, Report, Runtime, read_namespaces, watch_objects};
use crate::sinks::{EndpointPolicy, Term};
use crate::sources::kubernetes::{KubernetesSource, Reach};
use crate::sources::{Mode, Source, SourceProblem};
use crate::status::{self, Events, Wanted, Writer};
use errands::Errands;
use finalizers::{Finalizers, Guarded};
use previews::Previews;
use secrets::Secrets;
use stores::Stores;
pub use tenancy::{Tenancy, TenancyError};

/// So long the loop waits for more changes before it plans: resources often come several at a time.
const SETTLE: Duration = Duration::from_millis(50);
/// So long a plan waits for Secrets that nobody has tried to read yet.
const SECRETS: Duration = Duration::from_secs(1);
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
    /// The namespaces that the operator is for.
    pub tenancy: Tenancy,
    /// Threads of the graph.
    pub workers: usize,
    /// For so long the deletion of an inventory waits for destinations where what it exported is to be removed.
    pub cleanup_timeout: Duration,
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
    /// It has not read everything yet, or its webhook can't answer.
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
    let cluster = KubernetesSource::new(client.clone());
    let resources = Resources::watch(&client, &cluster, &options.tenancy, &stop);
    let source: Arc<dyn Source> = Arc::new(cluster.reaching(options.tenancy.reach()));
    let election = options.lease.clone().map(|settings| lease::enter(client.clone(), settings));
    tracing::info!(endpoints = %options.endpoints, "sinks may connect to these");
    let runtime =
        Runtime::standby(Arc::clone(&source), Mode::Follow, options.workers, options.cleanup_timeout)?;
    let (inputs, latest) = watch::channel(None);
    let mut webhook = None;
    if let Some(options) = options.webhook.clone() {
        let started = admission::start(client.clone(), options, latest, stop.clone()).await?;
        tracing::info!(address = %started.address(), "the admission webhook listens");
        webhook = Some(started);
    }
    let identity = options.lease.as_ref().map(|lease| lease.identity.clone());
    let mut operator = Operator {
        previews: Previews::start(runtime.sampler(), &stop),
        runtime,
        probes: Probes::start(Arc::clone(&source), &stop),
        errands: Errands::new(),
        catalog: Catalog::default(),
        secrets: Secrets::start(client.clone(), &stop),
        unread: BTreeMap::new(),
        statuses: watch::Sender::default(),
        events: Events::start(client.clone(), identity, &stop),
        finalizers: Finalizers::new(options.tenancy.is_tenant()),
        guarded: Vec::new(),
        client,
        inputs,
        webhook,
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
    /// Secrets that are being read for the first time, and until when plans wait for that.
    unread: BTreeMap<ResourceName, Instant>,
    probes: Probes,
    errands: Errands,
    previews: Previews,
    /// What the task that writes status is to write.
    statuses: watch::Sender<Vec<Wanted>>,
    events: Events,
    finalizers: Finalizers,
    /// The resources that have finalizers or are to get them, as of the last plan.
    guarded: Vec<Guarded>,
    /// What the webhook judges by.
    inputs: watch::Sender<Option<Arc<Input>>>,
    webhook: Option<Webhook>,
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
                () = overdue(self.unread.values().max().copied()) => self.plan()?,
                Ok(()) = probes_changed.changed() => {}
                Ok(()) = previews_changed.changed() => {}
                () = self.finalizers.overdue() => {}
                () = certified(self.webhook.as_ref()) => {}
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
        let (writer, wanted) =
            (Writer::new(self.client.clone(), self.events.clone()), self.statuses.subscribe());
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
        self.guarded = self.resources.guarded();
        let mut input = self.resources.input(catalog::Options {
            allow_local_sinks: self.options.allow_local_sinks,
            endpoints: self.options.endpoints.clone(),
            scrub_keys: self.options.scrub_keys.clone(),
            watch_namespaces: self.options.tenancy.namespaces().clone(),
            tenant_mode: self.options.tenancy.is_tenant(),
            ..catalog::Options::default()
        });
        let known = self.secrets.get(wanted_secrets(&input));
        // What is known in a moment is waited for, or everything that depends on it would seem to be broken until then.
        let now = Instant::now();
        self.unread.retain(|name, _| known.unread.contains(name));
        for name in known.unread {
            self.unread.entry(name).or_insert(now + SECRETS);
        }
        if self.unread.values().any(|until| *until > now) {
            return Ok(());
        }
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

    fn tell_status(&mut self) {
        if let (Some(_), Some((input, plan))) = (&self.term, &self.planned) {
            let probes = self.probes.report();
            let (report, previews) = (self.runtime.report(), self.previews.made());
            let mut errands = probing::errands(input, &probes);
            let (wanted, told) = self.finalizers.errands(&self.guarded, &report, || self.runtime.mark());
            errands.extend(wanted.into_iter().map(|errand| (errand, Timestamp::UNIX_EPOCH)));
            told.into_iter().for_each(|told| self.events.tell(told));
            self.errands.want(errands);
            self.statuses.send_replace(status::statuses(input, plan, &report, &probes, &previews));
        }
    }

    fn tell_readiness(&self) {
        let now = match (&self.term, &self.planned) {
            _ if self.webhook.as_ref().is_some_and(|webhook| !webhook.is_ready()) => Readiness::Starting,
            (_, None) => Readiness::Starting,
            (Some(_), Some(_)) => Readiness::Leader,
            (None, Some(_)) if self.runtime.has_read_everything() => Readiness::WarmStandby,
            (None, Some(_)) => Readiness::Starting,
        };
        if *self.options.readiness.borrow() != now {
            tracing::debug!(readiness = ?now, "readiness changed");
        }
        latest::replace(&self.options.readiness, now);
    }
}

/// Waits until the webhook has a certificate, if it has none yet; else for ever.
async fn certified(webhook: Option<&Webhook>) {
    match webhook.filter(|webhook| !webhook.has_certificate()) {
        Some(webhook) => webhook.certified().await,
        None => std::future::pending().await,
    }
}

/// Waits until then, if it is still to come; else for ever.
async fn overdue(at: Option<Instant>) {
    match at.filter(|at| *at > Instant::now()) {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The custom resources and namespaces of a cluster.
struct Resources {
    profiles: Stores,
    targets: Stores,
    cluster_targets: Stores,
    inventories: Stores,
    cluster_inventories: Stores,
    scopes: Stores,
    cluster_scopes: Stores,
    database_sinks: Stores,
    snapshot_sinks: Stores,
    event_sinks: Stores,
    connection_tests: Stores,
    namespaces: Stores,
    changed: Arc<watch::Sender<u64>>,
}

impl Resources {
    fn watch(
        client: &Client,
        cluster: &KubernetesSource,
        tenancy: &Tenancy,
        stop: &CancellationToken,
    ) -> Self {
        let changed = Arc::new(watch::Sender::new(0));
        let start = |reach: Reach, gvk: Gvk| {
            let store = ObjectStore::new(Arc::clone(&changed));
            let source = Arc::new(cluster.reaching(reach));
            tokio::spawn(watch_objects(source, gvk, Mode::Follow, store.clone(), stop.clone()));
            store
        };
        let watched = tenancy.namespaces();
        let ours = |kind: &str| {
            let gvk = Gvk::new(GROUP, VERSION, kind);
            if watched.is_empty() {
                return Stores::whole(start(Reach::Cluster, gvk));
            }
            Stores::of_each(watched, |name| {
                let names = [name.to_owned()].into();
                start(Reach::Namespaces { names, cluster_scoped: false }, gvk.clone())
            })
        };
        let of_cluster = |gvk: Gvk| match tenancy.is_tenant() {
            true => Stores::none(),
            false => Stores::whole(start(Reach::Cluster, gvk)),
        };
        let ours_of_cluster = |kind: &str| of_cluster(Gvk::new(GROUP, VERSION, kind));
        let one_by_one = |name: &str| {
            let store = ObjectStore::new(Arc::clone(&changed));
            let look_after =
                namespaces::look_after(client.clone(), name.to_owned(), store.clone(), stop.clone());
            tokio::spawn(look_after);
            store
        };
        Self {
            profiles: ours("KollectProfile"),
            targets: ours("KollectTarget"),
            cluster_targets: ours_of_cluster("KollectClusterTarget"),
            inventories: ours("KollectInventory"),
            cluster_inventories: ours_of_cluster("KollectClusterInventory"),
            scopes: ours("KollectScope"),
            cluster_scopes: ours_of_cluster("KollectClusterScope"),
            database_sinks: ours("KollectDatabaseSink"),
            snapshot_sinks: ours("KollectSnapshotSink"),
            event_sinks: ours("KollectEventSink"),
            connection_tests: ours("KollectConnectionTest"),
            namespaces: match tenancy.is_tenant() {
                true => Stores::of_each(watched, one_by_one),
                false => of_cluster(Gvk::new("", "v1", "Namespace")),
            },
            changed,
        }
    }

    /// Those that a plan waits for. Connection tests are not among them: nothing is taken back for the lack of one.
    fn stores(&self) -> [&Stores; 11] {
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
        self.stores().iter().all(|stores| stores.are_known())
    }

    /// The resources that have finalizers or are to get them.
    fn guarded(&self) -> Vec<Guarded> {
        let kinds = [
            ("KollectTarget", &self.targets),
            ("KollectClusterTarget", &self.cluster_targets),
            ("KollectInventory", &self.inventories),
            ("KollectClusterInventory", &self.cluster_inventories),
        ];
        let all = kinds.into_iter().flat_map(|(kind, store)| {
            store.objects().into_iter().filter_map(move |(name, json)| {
                let any: Any = serde_json::from_slice(&json).ok()?;
                Guarded::new(kind, ResourceName::new(name.namespace, name.name), any.metadata)
            })
        });
        all.collect()
    }

    /// The resources for a plan.
    fn input(&self, options: catalog::Options) -> Input {
        let mut unusable = BTreeMap::new();
        // Of a kind that is not served there are no scopes; of one that may not be listed there may be any.
        let scopes = [&self.scopes, &self.cluster_scopes];
        let hidden = |problem: &SourceProblem| problem.reason != "KindNotFound";
        let scopes = scopes.into_iter().flat_map(Stores::out_of_reach).filter(|(_, problem)| hidden(problem));
        let (mut scopes_unknown, mut scopes_unknown_in) = (None, BTreeMap::new());
        for (namespace, SourceProblem { message, .. }) in scopes {
            match namespace {
                Some(namespace) => _ = scopes_unknown_in.insert(namespace.to_owned(), message),
                None => _ = scopes_unknown.get_or_insert(message),
            }
        }
        // A kind that is not served may be back in a moment, so that its targets are not seen does not mean that they are gone.
        let (mut incomplete, mut incomplete_in) = (Incomplete::default(), BTreeSet::new());
        incomplete.cluster_targets = self.cluster_targets.out_of_reach().next().is_some();
        for (namespace, _) in self.targets.out_of_reach() {
            match namespace {
                Some(namespace) => _ = incomplete_in.insert(namespace.to_owned()),
                None => incomplete.targets = true,
            }
        }
        Input {
            profiles: typed(&self.profiles, "KollectProfile", &mut unusable),
            targets: typed(&self.targets, "KollectTarget", &mut unusable),
            cluster_targets: typed(&self.cluster_targets, "KollectClusterTarget", &mut unusable),
            inventories: typed(&self.inventories, "KollectInventory", &mut unusable),
            cluster_inventories: typed(&self.cluster_inventories, "KollectClusterInventory", &mut unusable),
            scopes: typed(&self.scopes, "KollectScope", &mut unusable),
            cluster_scopes: typed(&self.cluster_scopes, "KollectClusterScope", &mut unusable),
            scopes_unknown,
            scopes_unknown_in,
            database_sinks: typed(&self.database_sinks, "KollectDatabaseSink", &mut unusable),
            snapshot_sinks: typed(&self.snapshot_sinks, "KollectSnapshotSink", &mut unusable),
            event_sinks: typed(&self.event_sinks, "KollectEventSink", &mut unusable),
            connection_tests: typed(&self.connection_tests, "KollectConnectionTest", &mut unusable),
            unusable,
            incomplete,
            incomplete_in,
            namespaces: read_namespaces(self.namespaces.objects()),
            namespaces_unknown: self.namespaces.out_of_reach().next().map(|(_, problem)| problem.message),
            options,
            ..Input::default()
        }
    }
}

/// What is the same in all resources.
#[derive(Default, Deserialize)]
struct Any {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Value,
}

impl Any {
    /// The sinks that the status of an inventory lists.
    fn exported(&self) -> BTreeSet<SinkName> {
        let exports = self.status["sinkExports"].as_array().into_iter().flatten();
        exports.filter_map(|export| export["name"].as_str()?.parse().ok()).collect()
    }
}

fn typed<T: DeserializeOwned>(
    stores: &Stores,
    kind: &'static str,
    unusable: &mut BTreeMap<ResourceRef, Unusable>,
) -> BTreeMap<ResourceName, Arc<T>> {
    let mut all = BTreeMap::new();
    for (name, json) in stores.objects() {
        let name = ResourceName::new(name.namespace, name.name);
        match serde_json::from_slice(&json) {
            Ok(resource) => {
                all.insert(name, Arc::new(resource));
            }
            Err(error) => {
                let any: Any = serde_json::from_slice(&json).unwrap_or_default();
                let exported = any.exported();
                let Any { metadata, status } = any;
                let deleted = metadata.deletion_timestamp.is_some();
                let (generation, uid) = (metadata.generation, metadata.uid);
                let stored = Some(Stored { generation, uid, status });
                let labels = metadata.name.map(|_| metadata.labels.unwrap_or_default());
                // What the parser says may quote the resource, but for where it is.
                let place = format!("line {}, column {}", error.line(), error.column());
                let message = format!("the resource can't be read as a {kind} (at {place} of its JSON)");
                let remedy = "correct it, or run a version of Kollect that knows its fields".to_owned();
                let why = Unusable { labels, deleted, exported, stored, message, remedy };
                unusable.insert(ResourceRef::new(kind, &name), why);
            }
        }
    }
    all
}
