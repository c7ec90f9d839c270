//! `kollect preview`: the rows and problems that profiles give, without exporting anything.

mod evaluate;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use anstyle::Style;
use clap::Args;
use kollect_dataflows::data::TargetName;
use serde::Serialize;

use crate::catalog::Catalog;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Report, count};
use crate::cli::problems::{self, Problem};
use crate::cli::rows::{RowView, value_text};
use crate::cli::table::{Cell, Table, shorten};
use crate::cli::terminal::Terminal;
use crate::manifests;
use crate::sources::Source;
use crate::sources::directory::Directory;
use crate::sources::kubernetes::{self, KubernetesSource};
use evaluate::evaluate;

/// Columns that one attribute may take in the table.
const VALUE_WIDTH: usize = 50;

/// Problems that the table shows of each profile.
const SHOWN_PROBLEMS: usize = 20;

/// Arguments of `kollect preview`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["objects", "kubeconfig"]))]
pub struct PreviewArgs {
    /// Manifests with the profiles: files or directories
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// Take the objects from manifests: files or directories (YAML, JSON, gzip)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub objects: Vec<PathBuf>,
    /// Take the objects from a cluster
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig (default: its current one)
    #[arg(long, value_name = "NAME", requires = "kubeconfig", conflicts_with = "objects")]
    pub context: Option<String>,
}

/// What profiles give.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Preview {
    /// Every profile that could be compiled, in the order of its name.
    pub profiles: Vec<ProfilePreview>,
    /// Problems of the manifests.
    pub problems: Vec<Problem>,
}

/// What one profile gives.
#[derive(Clone, Debug, Serialize)]
pub struct ProfilePreview {
    /// Namespace and name of the profile.
    pub profile: String,
    /// Group, version and kind that it reads.
    pub gvk: String,
    /// The rows, in the order of an export.
    pub rows: Vec<RowView>,
    /// Problems with objects, and with getting them.
    pub problems: Vec<Problem>,
    /// Whether all objects could be listed.
    #[serde(skip)]
    pub complete: bool,
}

impl Report for Preview {
    fn table(&self) -> String {
        let bold = Style::new().bold();
        let mut out = String::new();
        for profile in &self.profiles {
            let rows = count(profile.rows.len(), "row");
            let _ = writeln!(out, "{bold}{}{bold:#}  {}  {rows}", profile.profile, profile.gvk);
            if !profile.rows.is_empty() {
                out.push_str(&rows_table(&profile.rows));
            }
            out.push_str(&problems::render(&profile.problems, SHOWN_PROBLEMS));
            out.push('\n');
        }
        out.push_str(&problems::render(&self.problems, SHOWN_PROBLEMS));
        out
    }
}

impl Preview {
    /// The outcome: failed when nothing could be read, part failed when there is any problem.
    pub fn outcome(&self) -> Outcome {
        if !self.profiles.is_empty() && !self.profiles.iter().any(|profile| profile.complete) {
            return Outcome::Failed;
        }
        let problems = self.profiles.iter().map(|p| p.problems.len()).sum::<usize>() + self.problems.len();
        if problems == 0 { Outcome::Done } else { Outcome::PartFailed }
    }
}

/// Rows as a table: identity, then a column an attribute. The namespace is left out where no row has one.
fn rows_table(rows: &[RowView]) -> String {
    let namespaced = rows.iter().any(|row| !row.namespace.is_empty());
    let attributes: BTreeSet<&String> = rows.iter().flat_map(|row| row.attributes.keys()).collect();
    let namespace = namespaced.then_some("namespace");
    let headers = namespace.into_iter().chain(["name"]).chain(attributes.iter().map(|name| name.as_str()));
    let mut table = Table::new(headers);
    for row in rows {
        let namespace = namespaced.then(|| Cell::from(row.namespace.clone()));
        let values = attributes.iter().map(|name| {
            let text = row.attributes.get(*name).map(value_text).unwrap_or_default();
            Cell::from(shorten(&text, VALUE_WIDTH))
        });
        table.row(namespace.into_iter().chain([row.name.clone().into()]).chain(values));
    }
    table.render()
}

/// Runs `kollect preview`.
///
/// # Errors
/// The manifests can't be read or hold no profile, or the cluster can't be reached.
pub async fn run(args: PreviewArgs, terminal: &Terminal) -> Result<Outcome, Failure> {
    let (manifests, problems) = manifests::load(&args.files);
    let mut preview =
        Preview { profiles: Vec::new(), problems: problems.iter().map(Problem::from).collect() };
    let mut catalog = Catalog::default();
    let plan = catalog.plan(&manifests.input);
    preview.problems.extend(
        manifests
            .locate(plan.problems, &problems)
            .iter()
            .filter(|problem| problem.resource.as_ref().is_some_and(|of| of.kind == "KollectProfile"))
            .map(Problem::from),
    );
    if manifests.input.profiles.is_empty() {
        let paths: Vec<String> = args.files.iter().map(|path| path.display().to_string()).collect();
        let mut message = format!("no KollectProfile that can be read in {}", paths.join(", "));
        for problem in &problems {
            message.push_str(&format!("\n  {problem}"));
        }
        return Err(Failure::with_hint(
            message,
            "kollect preview shows what profiles give: name a file with one",
        ));
    }
    let source: Box<dyn Source> = match &args.kubeconfig {
        None => Box::new(Directory::new(args.objects)),
        Some(kubeconfig) => {
            let client = kubernetes::client(Some(kubeconfig), args.context.as_deref()).await;
            Box::new(KubernetesSource::new(
                client.map_err(|error| Failure::configuration(error.to_string()))?,
            ))
        }
    };
    let progress = terminal.progress().spinner("reading objects", "objects");
    for name in manifests.input.profiles.keys() {
        // One that does not compile is among the problems already.
        if let Some(profile) = catalog.profile(name) {
            let name = TargetName::new(&name.namespace, &name.name);
            preview.profiles.push(evaluate(&name, profile, source.as_ref(), &progress).await);
        }
    }
    progress.finish_and_clear();
    terminal.print(&preview)?;
    Ok(preview.outcome())
}
