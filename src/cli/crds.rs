//! `kollect crds`: the custom resource definitions.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::failure::{Failure, Outcome};
use super::output::{Format, Report};
use super::table::printable;
use super::terminal::Terminal;
use crate::api;

/// Arguments of `kollect crds`.
#[derive(Clone, Debug, Args)]
pub struct CrdsArgs {
    /// Write one file a kind into this directory, in place of printing them all
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Print what every field means, as Markdown, in place of the definitions
    #[arg(long, conflicts_with = "output")]
    pub markdown: bool,
}

/// The files that were written.
#[derive(Debug, serde::Serialize)]
struct Written {
    files: Vec<PathBuf>,
}

impl Report for Written {
    fn table(&self) -> String {
        let line = |file: &PathBuf| format!("wrote {}\n", printable(&file.display().to_string()));
        self.files.iter().map(line).collect()
    }
}

/// Runs `kollect crds`. Definitions are YAML documents for `kubectl apply -f -`, or one JSON list.
///
/// # Errors
/// The directory or standard output can't be written.
pub fn run(args: &CrdsArgs, terminal: &Terminal) -> Result<Outcome, Failure> {
    let failed = |error: api::WriteError| Failure::configuration(error.to_string());
    if args.markdown {
        terminal.write(&api::reference())?;
        return Ok(Outcome::Done);
    }
    match (&args.output, terminal.format()) {
        (Some(directory), _) => {
            terminal.print(&Written { files: api::write_crds(directory).map_err(failed)? })?;
        }
        (None, Format::Json) => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": api::crds()});
            terminal.write(&format!("{list:#}\n"))?;
        }
        (None, Format::Table | Format::Yaml) => {
            let files = api::crd_files().map_err(failed)?;
            let documents: Vec<String> = files.into_iter().map(|(_, yaml)| yaml).collect();
            terminal.write(&documents.join("---\n"))?;
        }
    }
    Ok(Outcome::Done)
}
