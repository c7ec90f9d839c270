//! `kollect explain`: why an object is, or is not, a row of an inventory.

mod verdict;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use async_trait::async_trait;
use clap::Args;
use kollect_dataflows::data::Gvk;
use kollect_dataflows::extract::Document;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, Outcome};
use super::output::Report;
use super::problems::{self, Problem};
use super::rows::value_text;
use super::table::{Cell, Table, shorten};
use super::terminal::Terminal;
use crate::catalog::{self, Catalog};
use crate::manifests;
use crate::runtime::{self, ObjectStore, watch_objects};
use crate::sources::directory::Directory;
use crate::sources::kubernetes::{self, KubernetesSource};
use crate::sources::{Closed, Event, EventSink, Mode, ObjectName, Source, SourceProblem};
use verdict::{InventoryVerdict, TargetVerdict};

/// Columns that one value may take in the table.
const VALUE_WIDTH: usize = 80;

/// Problems that the table shows.
const SHOWN_PROBLEMS: usize = 20;

/// Arguments of `kollect explain`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["objects", "kubeconfig"]))]
pub struct ExplainArgs {
    /// The object: its kind (with its group, if need be: Deployment.apps) and its name
    #[arg(value_name = "KIND/NAME", value_parser = object)]
    pub object: (String, String),
    /// Namespace of the object; none for a cluster-scoped one
    #[arg(short = 'n', long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub namespace: String,
    /// Manifests of the pipelines: files or directories
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub config: Vec<PathBuf>,
    /// Take the object from manifests: files or directories (YAML, JSON, gzip)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub objects: Vec<PathBuf>,
    /// Take the object from a cluster
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig (default: its current one)
    #[arg(long, value_name = "NAME", requires = "kubeconfig", conflicts_with = "objects")]
    pub context: Option<String>,
}

fn object(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((kind.to_owned(), name.to_owned()))
        }
        _ => Err("give kind and name, for example Deployment/web".to_owned()),
    }
}

/// Why an object is, or is not, a row.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explained {
    /// The object: `shop/Deployment/web`.
    pub object: String,
    /// What each target of its kind makes of it.
    pub targets: Vec<TargetVerdict>,
    /// What each inventory makes of that.
    pub inventories: Vec<InventoryVerdict>,
    /// Problems of the manifests.
    pub problems: Vec<Problem>,
}

impl Report for Explained {
    fn table(&self) -> String {
        let bold = Style::new().bold();
        let mut out = format!("{bold}{}{bold:#}\n\n", super::table::printable(&self.object));
        let answer = |yes: bool| {
            let color = if yes { AnsiColor::Green } else { AnsiColor::Yellow };
            Cell::styled(if yes { "yes" } else { "no" }, color.on_default())
        };
        let mut targets = Table::new(["target", "selects it", "because"]);
        for verdict in &self.targets {
            targets.row([
                verdict.target.clone().into(),
                answer(verdict.selected),
                verdict.because.clone().into(),
            ]);
        }
        if targets.is_empty() {
            out.push_str("No target reads objects of this kind.\n");
        } else {
            out.push_str(&targets.render());
        }
        let mut inventories = Table::new(["inventory", "holds it", "because"]);
        for verdict in &self.inventories {
            inventories.row([
                verdict.inventory.clone().into(),
                answer(!verdict.rows.is_empty()),
                verdict.because.clone().into(),
            ]);
        }
        if !inventories.is_empty() {
            let _ = write!(out, "\n{}", inventories.render());
        }
        for verdict in &self.targets {
            let Some(row) = &verdict.row else { continue };
            let mut values = Table::new([format!("attribute of {}", verdict.target).as_str(), "value"]);
            for (name, value) in &row.attributes {
                let fault = verdict.problems.iter().find(|fault| fault.attribute == *name);
                let cell = match fault {
                    Some(fault) => Cell::styled(fault.message.clone(), AnsiColor::Red.on_default()),
                    None => shorten(&value_text(value), VALUE_WIDTH).into(),
                };
                values.row([name.clone().into(), cell]);
            }
            let _ = write!(out, "\n{}", values.render());
        }
        let rules = self.targets.iter().flat_map(|verdict| {
            let broken =
                verdict.problems.iter().filter(|fault| fault.attribute.starts_with("resourceRules["));
            broken.map(move |fault| (verdict, fault))
        });
        for (verdict, fault) in rules {
            let _ = writeln!(out, "\n{} spec.{}: {}", verdict.target, fault.attribute, fault.message);
        }
        let problems = problems::render(&self.problems, SHOWN_PROBLEMS);
        if !problems.is_empty() {
            let _ = write!(out, "\n{problems}");
        }
        out
    }
}

/// Runs `kollect explain`.
///
/// # Errors
/// The manifests can't be read, the cluster can't be reached, or there is no such object.
pub async fn run(args: ExplainArgs, terminal: &Terminal) -> Result<Outcome, Failure> {
    let (mut manifests, found) = manifests::load(&args.config);
    manifests.input.options = catalog::Options {
        allow_local_sinks: true,
        endpoints: catalog::EndpointPolicy::unrestricted(),
        secrets_elsewhere: true,
        ..catalog::Options::default()
    };
    let directory = Arc::new(Directory::new(args.objects.clone()));
    let source: Arc<dyn Source> = match &args.kubeconfig {
        None => Arc::clone(&directory) as Arc<dyn Source>,
        Some(kubeconfig) => {
            let client = kubernetes::client(Some(kubeconfig), args.context.as_deref()).await;
            Arc::new(KubernetesSource::new(
                client.map_err(|error| Failure::configuration(error.to_string()))?,
            ))
        }
    };
    let progress = terminal.progress().spinner("reading objects", "objects");
    let store = ObjectStore::new(Arc::new(watch::Sender::new(0)));
    let stop = CancellationToken::new();
    let namespace = Gvk::new("", "v1", "Namespace");
    watch_objects(Arc::clone(&source), namespace, Mode::Once, store.clone(), stop.clone()).await;
    manifests.input.namespaces.extend(runtime::namespaces(&store));
    if args.kubeconfig.is_none() {
        for namespace in directory.observed_namespaces().await {
            manifests.input.namespaces.entry(namespace).or_default();
        }
    }
    if !store.is_complete() {
        let problem = store.problem().map(|problem| problem.message);
        manifests.input.namespaces_unknown =
            Some(problem.unwrap_or_else(|| "the list was not complete".to_owned()));
    }
    let mut catalog = Catalog::default();
    let plan = catalog.plan(&manifests.input);

    let (kind, name) = &args.object;
    let gvks: BTreeSet<Gvk> = manifests
        .input
        .profiles
        .keys()
        .filter_map(|profile| Some(catalog.profile(profile)?.gvk().as_ref().clone()))
        .collect();
    let meant: Vec<&Gvk> = gvks.iter().filter(|gvk| is_meant(gvk, kind)).collect();
    if meant.is_empty() {
        let known: Vec<String> = gvks.iter().map(ToString::to_string).collect();
        return Err(Failure::with_hint(
            format!("no profile reads objects of kind {kind}"),
            if known.is_empty() {
                "no profile can be used; kollect validate says why".to_owned()
            } else {
                format!("the profiles read {}", known.join(", "))
            },
        ));
    }
    let wanted = ObjectName { namespace: args.namespace.clone(), name: name.clone() };
    let mut explained =
        Explained { problems: found.iter().map(Problem::from).collect(), ..Explained::default() };
    explained.problems.extend(manifests.locate(plan.problems.clone(), &found).iter().map(Problem::from));
    let mut unread = Vec::new();
    for gvk in meant {
        let mut finder = Finder { wanted: wanted.clone(), found: None, problems: Vec::new() };
        source.watch(gvk, Mode::Once, &mut finder, &stop).await;
        unread.extend(finder.problems);
        let Some(json) = finder.found else { continue };
        let document = Document::parse(&json)
            .map_err(|error| Failure::configuration(format!("{kind}/{name} can't be read: {error}")))?;
        let place =
            if wanted.namespace.is_empty() { String::new() } else { format!("{}/", wanted.namespace) };
        explained.object = format!("{place}{}/{name}", gvk.kind);
        explained.targets = verdict::targets(&plan, &document);
        explained.inventories = verdict::inventories(&plan, &explained.targets);
        break;
    }
    progress.finish_and_clear();
    if explained.object.is_empty() {
        let place = if wanted.namespace.is_empty() {
            "without a namespace".to_owned()
        } else {
            format!("in namespace {}", wanted.namespace)
        };
        let mut message = format!("there is no {kind} {name} {place}");
        for problem in &unread {
            let _ = write!(message, "\n  {problem}");
        }
        return Err(Failure::with_hint(message, "look at the name, and give its namespace with --namespace"));
    }
    terminal.print(&explained)?;
    Ok(if explained.problems.is_empty() { Outcome::Done } else { Outcome::PartFailed })
}

/// Whether somebody who writes this kind means that one: by kind alone, or with the group behind it.
fn is_meant(gvk: &Gvk, text: &str) -> bool {
    let with_group = format!("{}.{}", gvk.kind, gvk.group);
    gvk.kind.eq_ignore_ascii_case(text) || with_group.eq_ignore_ascii_case(text)
}

/// Finds one object among those of a list.
struct Finder {
    wanted: ObjectName,
    found: Option<Arc<[u8]>>,
    problems: Vec<SourceProblem>,
}

#[async_trait]
impl EventSink for Finder {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        match event {
            Event::Object { name, json, .. } if name == self.wanted => self.found = Some(json),
            Event::Deleted { name, .. } if name == self.wanted => self.found = None,
            Event::Problem(problem) => self.problems.push(problem),
            _ => {}
        }
        Ok(())
    }
}
