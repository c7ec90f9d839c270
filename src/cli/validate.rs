//! `kollect validate`: every problem of manifests, and what to do about each.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::failure::{Failure, Outcome};
use super::output::{Report, count};
use super::problems::{self, Problem};
use super::terminal::Terminal;
use crate::manifests;

/// Arguments of `kollect validate`.
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// Manifests of pipelines: files or directories
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// What was checked and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Whether there is no problem.
    pub valid: bool,
    /// Every problem, in the order of files and lines.
    pub problems: Vec<Problem>,
}

impl Report for Findings {
    fn table(&self) -> String {
        if self.problems.is_empty() {
            return "No problems found.\n".to_owned();
        }
        let blocks = problems::render(&self.problems, usize::MAX);
        format!("{blocks}\n{} found.\n", count(self.problems.len(), "problem"))
    }
}

/// Runs `kollect validate`. Problems that were found make it [`Outcome::PartFailed`].
///
/// # Errors
/// A path is not there, or the findings can't be printed.
pub fn run(args: &ValidateArgs, terminal: &Terminal) -> Result<Outcome, Failure> {
    if let Some(path) = args.paths.iter().find(|path| matches!(path.try_exists(), Ok(false))) {
        let message = format!("{}: no such file or directory", path.display());
        return Err(Failure::with_hint(message, "name files, or directories with manifests"));
    }
    let problems: Vec<Problem> = manifests::validate(&args.paths).iter().map(Problem::from).collect();
    let valid = problems.is_empty();
    terminal.print(&Findings { valid, problems })?;
    Ok(if valid { Outcome::Done } else { Outcome::PartFailed })
}
