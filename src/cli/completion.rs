//! `kollect completion`: a script that completes the command line in a shell.

use clap::Args;
use clap_complete::Shell;

use super::failure::{Failure, Outcome};
use super::help;
use super::terminal::Terminal;

/// Arguments of `kollect completion`.
#[derive(Clone, Debug, Args)]
pub struct CompletionArgs {
    /// The shell to complete in
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs `kollect completion`.
///
/// # Errors
/// Standard output can't be written.
pub fn run(args: &CompletionArgs, terminal: &Terminal) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "kollect", &mut script);
    terminal.write(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
