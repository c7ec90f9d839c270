//! `kollect collect`: runs pipelines from files, without an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kollect_dataflows::data::{Delta, Gvk, TargetName};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::changes::Change;
use super::failure::{Failure, Outcome};
use super::problems::Problem;
use super::rollups;
use super::signals;
use super::summary::{DestinationSummary, InventorySummary, Read, State, Summary};
use super::terminal::Terminal;
use crate::catalog::{self, Catalog, Incomplete, Namespace, Plan, ResourceName, ResourceRef};
use crate::engine::{Subscriber, TargetReport};
use crate::export::Phase;
use crate::manifests::{self, ManifestProblem, Manifests};
use crate::runtime::{self, ObjectStore, Runtime, watch_objects};
use crate::sinks::EndpointPolicy;
use crate::sources::directory::Directory;
use crate::sources::kubernetes::{self, KubernetesSource};
use crate::sources::{Mode, Source};
use crate::status;

/// So often it is looked whether the namespaces have changed, while changes are followed.
const NAMESPACES_PAUSE: Duration = Duration::from_millis(250);

/// Arguments of `kollect collect`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["objects", "kubeconfig"]))]
pub struct CollectArgs {
    /// Manifests of the pipelines: files or directories
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub config: Vec<PathBuf>,
    /// Take the objects from manifests: files or directories (YAML, JSON, gzip)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub objects: Vec<PathBuf>,
    /// Take the objects from a cluster
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Use these contexts of the kubeconfig, each a cluster of its own (default: its current one)
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "kubeconfig", conflicts_with = "objects")]
    pub context: Vec<String>,
    /// Write every inventory into this directory, in place of the sinks that it names; with several contexts, each into
    /// a directory of its own in there
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Cluster id in keys and paths, in place of the one that sinks name
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Never show values under these keys in exports of whole objects, beside those that are known (password, token, …)
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    pub scrub_keys: Vec<String>,
    /// Go on after the first export, and export and print each change
    #[arg(long)]
    pub watch: bool,
}

/// Runs `kollect collect`.
///
/// # Errors
/// No pipeline could run: the manifests can't be read, or the cluster can't be reached.
pub async fn run(args: CollectArgs, terminal: &Terminal) -> Result<Outcome, Failure> {
    let (manifests, found) = read(&args)?;
    let mut problems: Vec<Problem> = found.iter().map(Problem::from).collect();
    let mode = if args.watch { Mode::Follow } else { Mode::Once };
    let stop = signals::stop_on_signal()
        .map_err(|error| Failure::configuration(format!("signals can't be received: {error}")))?;

    let mut places = Vec::new();
    for place in places_of(&args).await? {
        let mut manifests = manifests.clone();
        if let Some(cluster) = &place.cluster {
            let options = &mut manifests.input.options;
            options.cluster = Some(cluster.clone());
            options.several_clusters = true;
            // Clusters must not write to each other's files. Names of contexts may hold slashes.
            options.output = options.output.take().map(|output| output.join(cluster.replace('/', "_")));
        }
        places.push(Run::start(place, manifests, mode, &stop).await?);
    }
    let mut summary = Summary::default();
    for run in &mut places {
        for problem in run.manifests.locate(run.plan.problems.clone(), &found).iter().map(Problem::from) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        run.settle(terminal, &stop).await;
        summary.add(run.summary());
    }
    let configuration = problems.clone();
    summary.problems.splice(0..0, problems);
    terminal.print(&summary)?;
    if args.watch && !stop.is_cancelled() {
        terminal.remark("watching for changes; end with Ctrl-C");
        print_changes(&mut places, terminal, &stop).await?;
    }
    let mut last = Summary { problems: configuration, ..Summary::default() };
    for run in places {
        last.add(run.stop().await);
    }
    // What was printed stands, unless it was the beginning.
    Ok(if args.watch { last } else { summary }.outcome())
}

/// The manifests, and what is wrong with them.
fn read(args: &CollectArgs) -> Result<(Manifests, Vec<ManifestProblem>), Failure> {
    let (mut manifests, problems) = manifests::load(&args.config);
    let output = args.output.as_deref().map(std::path::absolute).transpose();
    let output = output.map_err(|error| Failure::configuration(format!("--output: {error}")))?;
    manifests.input.options = catalog::Options {
        allow_local_sinks: true,
        // Whoever runs this could connect there without it.
        endpoints: EndpointPolicy::unrestricted(),
        cluster: args.cluster.clone(),
        output,
        scrub_keys: args.scrub_keys.clone(),
        ..catalog::Options::default()
    };
    let input = &manifests.input;
    let usable = |name| input.unusable(&ResourceRef::inventory(name)).is_none();
    if !input.inventories.keys().chain(input.cluster_inventories.keys()).any(usable) {
        let paths: Vec<String> = args.config.iter().map(|path| path.display().to_string()).collect();
        let mut message = format!("no KollectInventory that can be used in {}", paths.join(", "));
        for problem in &problems {
            message.push_str(&format!("\n  {problem}"));
        }
        return Err(Failure::with_hint(
            message,
            "kollect collect exports inventories: add one to the manifests",
        ));
    }
    Ok((manifests, problems))
}

/// A place that objects come from.
struct Place {
    source: Arc<dyn Source>,
    /// The directory, if it is one: it knows namespaces that have no manifest.
    directory: Option<Arc<Directory>>,
    /// Its name, where there are several.
    cluster: Option<String>,
}

async fn places_of(args: &CollectArgs) -> Result<Vec<Place>, Failure> {
    let Some(kubeconfig) = &args.kubeconfig else {
        let directory = Arc::new(Directory::new(args.objects.clone()));
        let source: Arc<dyn Source> = Arc::clone(&directory) as Arc<dyn Source>;
        return Ok(vec![Place { source, directory: Some(directory), cluster: None }]);
    };
    let several = args.context.len() > 1;
    let contexts: Vec<Option<&str>> = if args.context.is_empty() {
        vec![None]
    } else {
        args.context.iter().map(|c| Some(c.as_str())).collect()
    };
    let mut places = Vec::new();
    for context in contexts {
        let client = kubernetes::client(Some(kubeconfig), context)
            .await
            .map_err(|error| Failure::configuration(error.to_string()))?;
        let cluster = context.filter(|_| several).map(str::to_owned);
        places.push(Place { source: Arc::new(KubernetesSource::new(client)), directory: None, cluster });
    }
    Ok(places)
}

/// The pipelines over one place.
struct Run {
    runtime: Runtime,
    catalog: Catalog,
    manifests: Manifests,
    /// The namespaces that the manifests of the pipelines declare.
    declared: BTreeMap<String, Namespace>,
    plan: Plan,
    namespaces: Option<ObjectStore>,
    directory: Option<Arc<Directory>>,
    mode: Mode,
    report: runtime::Report,
}

impl Run {
    async fn start(
        place: Place,
        manifests: Manifests,
        mode: Mode,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::configuration(error.to_string());
        let runtime = Runtime::start(Arc::clone(&place.source), mode, 1).map_err(|error| failed(&error))?;
        let mut run = Self {
            runtime,
            catalog: Catalog::default(),
            declared: manifests.input.namespaces.clone(),
            manifests,
            plan: Plan::default(),
            namespaces: None,
            directory: place.directory,
            mode,
            report: runtime::Report::default(),
        };
        run.read_namespaces(&place.source, stop).await;
        run.plan();
        run.runtime.apply(&run.plan).map_err(|error| failed(&error))?;
        Ok(run)
    }

    /// Reads the namespaces, which targets may select, and which may ask not to be collected, before anything is planned: a plan
    /// that lacks a namespace would lack its rows.
    async fn read_namespaces(&mut self, source: &Arc<dyn Source>, stop: &CancellationToken) {
        let changed = Arc::new(watch::Sender::new(0));
        let store = ObjectStore::new(Arc::clone(&changed));
        let mut changes = changed.subscribe();
        let gvk = Gvk::new("", "v1", "Namespace");
        let watching = watch_objects(Arc::clone(source), gvk, self.mode, store.clone(), stop.clone());
        let mut watching = tokio::spawn(watching);
        while !store.is_complete() && store.problem().is_none() {
            tokio::select! {
                _ = &mut watching => break,
                _ = changes.changed() => {}
            }
        }
        self.namespaces = Some(store);
        if let Some(directory) = &self.directory {
            directory.observed_namespaces().await;
        }
    }

    fn plan(&mut self) {
        let mut namespaces = self.declared.clone();
        if let Some(store) = &self.namespaces {
            namespaces.extend(runtime::namespaces(store));
        }
        let observed = self.directory.as_ref().and_then(|directory| directory.namespaces().borrow().clone());
        for namespace in observed.iter().flat_map(|namespaces| namespaces.iter()) {
            namespaces.entry(namespace.clone()).or_default();
        }
        self.manifests.input.namespaces = namespaces;
        let unlisted = self.namespaces.as_ref().filter(|store| !store.is_complete());
        self.manifests.input.namespaces_unknown = unlisted.map(|store| match store.problem() {
            Some(problem) => problem.message,
            None => "the list was not complete".to_owned(),
        });
        // Where objects come from files, so may namespaces; what can't be read may be one.
        if self.directory.is_some() && self.manifests.input.incomplete != Incomplete::default() {
            let why = || "a manifest of the configuration can't be read".to_owned();
            self.manifests.input.namespaces_unknown.get_or_insert_with(why);
        }
        self.plan = self.catalog.plan(&self.manifests.input);
    }

    /// Plans anew when namespaces have come, gone or changed their labels.
    fn follow_namespaces(&mut self) -> Result<(), Failure> {
        if self.namespaces.is_none() {
            return Ok(());
        }
        let before = std::mem::take(&mut self.plan);
        self.plan();
        if self.plan == before {
            return Ok(());
        }
        self.runtime.apply(&self.plan).map_err(|error| Failure::configuration(error.to_string()))
    }

    /// Waits until everything that is there is exported.
    async fn settle(&mut self, terminal: &Terminal, stop: &CancellationToken) {
        let bar = terminal.progress().spinner("collecting", "rows");
        let progress = |report: &runtime::Report| {
            bar.set_position(report.engine.inventories.values().map(|inventory| inventory.rows).sum());
        };
        tokio::select! {
            () = self.runtime.settle(progress) => {}
            () = stop.cancelled() => {}
        }
        bar.finish_and_clear();
        self.report = self.runtime.report();
    }

    fn summary(&self) -> Summary {
        summarize(&self.plan, &self.report)
    }

    /// Delivers what is waiting, ends, and gives the last state.
    async fn stop(self) -> Summary {
        summarize(&self.plan, &self.runtime.stop().await)
    }
}

fn summarize(plan: &Plan, all: &runtime::Report) -> Summary {
    let active = all.engine.targets.values().filter(|target| target.active);
    let read = |target: &TargetReport| target.hydrated || target.objects > 0;
    let read = active.map(|target| if read(target) { Read::Some } else { Read::Nothing });
    let mut summary = Summary { read: read.max().unwrap_or_default(), ..Summary::default() };
    for (name, plan) in &plan.inventories {
        let report = all.engine.inventories.get(name).cloned().unwrap_or_default();
        let target = |target: &TargetName| all.engine.targets.get(target).cloned().unwrap_or_default();
        let failures: u64 = plan.targets.iter().map(|name| target(name).failures).sum();
        let unread = plan.targets.iter().map(target).filter(|target| target.source_problem.is_some()).count();
        let bindings = all.bindings.iter().filter(|(key, _)| key.inventory == *name);
        let destinations = bindings.map(|(_, (destination, status))| {
            let (state, message) = match (status::binding_state(status), status.backlog.changes) {
                (Ok(()), 0) if report.hydrated => (State::Done, None),
                (Ok(()), 0) => (State::Partial, Some(unhydrated(all, &plan.targets))),
                (Ok(()), left) => (State::Failed, Some(format!("{left} changes are not delivered"))),
                (Err(_), _) if matches!(status.phase, Phase::Hydrating) && all.is_unread(name) => {
                    (State::Partial, Some(unhydrated(all, &plan.targets)))
                }
                (Err((_, message)), _) => (State::Failed, Some(message)),
            };
            DestinationSummary {
                destination: destination.clone(),
                inserted: status.totals.inserted,
                updated: status.totals.updated,
                deleted: status.totals.deleted,
                files_written: status.totals.files_written,
                files_removed: status.totals.files_removed,
                state,
                message,
            }
        });
        summary
            .rollups
            .extend(rollups::summaries(&ResourceRef::inventory(name).to_string(), &report.rollups));
        summary.inventories.push(InventorySummary {
            inventory: name.to_string(),
            rows: report.rows,
            problems: failures + unread as u64,
            destinations: destinations.collect(),
        });
    }
    for (name, metrics) in &all.engine.metrics {
        summary.rollups.extend(rollups::summaries(&format!("KollectProfile {name}"), metrics));
    }
    for (name, target) in &all.engine.targets {
        let resource = ResourceRef::target(&ResourceName::new(&name.namespace, &name.name));
        let resource = Some(resource.to_string());
        let sources = target.source_problem.iter().chain(&target.unreadable);
        for problem in sources.collect::<BTreeSet<_>>() {
            let problem = Problem {
                resource: resource.clone(),
                reason: problem.reason.to_owned(),
                message: problem.message.clone(),
                remedy: Some(problem.remedy.clone()),
                ..Problem::default()
            };
            summary.problems.push(problem);
        }
        if let Some(last) = &target.last_failure {
            summary.problems.push(Problem {
                resource,
                reason: "ExtractionFailed".to_owned(),
                message: format!("{} attributes could not be evaluated, the last: {last}", target.failures),
                remedy: Some("fix the profile, or make the attribute optional".to_owned()),
                ..Problem::default()
            });
        }
    }
    summary
}

/// Says which targets could not be read, and why.
fn unhydrated(report: &runtime::Report, targets: &BTreeSet<TargetName>) -> String {
    let unread = targets.iter().filter_map(|name| {
        let target = report.engine.targets.get(name)?;
        let why = match &target.source_problem {
            Some(problem) => problem.to_string(),
            None if target.active => "not listed yet".to_owned(),
            None => "on hold".to_owned(),
        };
        (!target.hydrated).then(|| format!("the rows of target {name} stay as they are: {why}"))
    });
    unread.collect::<Vec<_>>().join("; ")
}

/// Prints every change of every inventory until told to stop.
async fn print_changes(
    runs: &mut [Run],
    terminal: &Terminal,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let (sender, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let named = runs.iter().map(|run| run.plan.inventories.len()).sum::<usize>() > 1;
    for run in runs.iter() {
        for name in run.plan.inventories.keys() {
            let printer = Printer { inventory: name.to_string(), changes: sender.clone() };
            run.runtime.subscribe(name, Arc::new(printer));
        }
    }
    drop(sender);
    let mut look = tokio::time::interval(NAMESPACES_PAUSE);
    loop {
        let (inventory, delta) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = look.tick() => {
                for run in runs.iter_mut() {
                    run.follow_namespaces()?;
                }
                continue;
            }
            change = changes.recv() => match change {
                Some(change) => change,
                None => return Ok(()),
            },
        };
        terminal.write(&Change::new(&inventory, &delta).render(terminal.format(), named)?)?;
    }
}

/// Takes the deltas of an inventory to where they are printed.
struct Printer {
    inventory: String,
    changes: tokio::sync::mpsc::UnboundedSender<(String, Delta)>,
}

impl Subscriber for Printer {
    fn offer(&self, _epoch: u64, deltas: &[Delta]) {
        for delta in deltas {
            // Nobody prints any more when the command ends.
            let _ = self.changes.send((self.inventory.clone(), delta.clone()));
        }
    }

    fn look_again(&self) {}
}
