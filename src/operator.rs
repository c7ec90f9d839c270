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
mod resources;
mod secrets;
mod stores;
mod tenancy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{self, Webhook};
use crate::catalog::{self, Catalog, Input, Plan, ResourceName, wanted_secrets};
use crate::engine::{GraphClosed, StartError};
use crate::latest;
use crate::lease::{self, Election, Leadership};
use crate::probes::Probes;
use crate::runtime::{Report, Runtime};
use crate::sinks::{EndpointPolicy, Term};
use crate::sources::kubernetes::KubernetesSource;
use crate::sources::{Mode, Source};
use crate::status::{self, Events, Repairs, Wanted, Writer};
use errands::Errands;
use finalizers::{Finalizers, Guarded};
use previews::Previews;
use resources::Resources;
use secrets::Secrets;
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
    /// It has not read everything yet, or a kind of ours is not served, or its webhook can't answer.
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
        plan_at: None,
        statuses: watch::Sender::default(),
        events: Events::start(client.clone(), identity, &stop),
        repairs: Repairs::default(),
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
    /// When to plan without what is unread, if a plan waits for that.
    plan_at: Option<Instant>,
    probes: Probes,
    errands: Errands,
    previews: Previews,
    /// What the task that writes status is to write.
    statuses: watch::Sender<Vec<Wanted>>,
    events: Events,
    finalizers: Finalizers,
    repairs: Repairs,
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
                () = reached(self.plan_at) => self.plan()?,
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
        let guarded = self.resources.guarded();
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
        self.plan_at = self.unread.values().max().copied().filter(|until| *until > now);
        if self.plan_at.is_some() {
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
        // Only now, as those that are deleted are gone from the plan.
        self.guarded = guarded;
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
            let repaired = self.repairs.told(&report, input);
            told.into_iter().chain(repaired).for_each(|told| self.events.tell(told));
            self.errands.want(errands);
            self.statuses.send_replace(status::statuses(input, plan, &report, &probes, &previews));
        }
    }

    fn tell_readiness(&self) {
        let now = match (&self.term, &self.planned) {
            _ if self.webhook.as_ref().is_some_and(|webhook| !webhook.is_ready()) => Readiness::Starting,
            _ if !self.resources.are_served() => Readiness::Starting,
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

/// Waits until then, if there is such a time; else for ever.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
