//! `kollect validate`: every problem of manifests, and what to do about each.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::failure::{Failure, Outcome};
use super::output::{Report, count};
use super::problems::{self, Problem};
use super::terminal::Terminal;
use crate::catalog::reason;
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
    /// Whether there is no problem; fields without effect are none.
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
        let warnings = self.problems.iter().filter(|problem| is_warning(problem)).count();
        let found = match self.problems.len() - warnings {
            0 => "No problems found".to_owned(),
            problems => format!("{} found", count(problems, "problem")),
        };
        let ineffective = match warnings {
            0 => String::new(),
            1 => ", 1 field without effect".to_owned(),
            fields => format!(", {fields} fields without effect"),
        };
        format!("{blocks}\n{found}{ineffective}.\n")
    }
}

/// Whether nothing is wrong, and the author should merely know it.
fn is_warning(problem: &Problem) -> bool {
    problem.reason == reason::NO_EFFECT
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
    let valid = problems.iter().all(is_warning);
    terminal.print(&Findings { valid, problems })?;
    Ok(if valid { Outcome::Done } else { Outcome::PartFailed })
}
