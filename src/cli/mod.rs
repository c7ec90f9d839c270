//! The command line: one file a subcommand.
//!
//! ```text
//! arguments ──► args ──► subcommand ──► runtime, catalog, … ──► report ──► terminal ──► standard output
//!                                                                  └──► outcome ─► exit code
//! ```
//!
//! - Results go to standard output in the format that `-o` asks for; logs, progress and errors go to standard error.
//! - Colours and progress appear on a terminal only, unless `--color` says otherwise.
//! - Exit codes: 0 all done, 1 part failed, 2 configuration or connection error (usage errors included).
//! - A reader that stops reading (`kollect … | head`) is not an error.
//!
//! A subcommand builds a value that implements [`output::Report`] and prints it once; nothing else writes to standard
//! output.

pub mod args;
pub mod changes;
pub mod collect;
pub mod completion;
pub mod crds;
pub mod explain;
pub mod failure;
mod help;
mod leader_election;
pub mod operator;
pub mod output;
pub mod preview;
pub mod problems;
pub mod progress;
pub mod rollups;
mod rows;
mod signals;
pub mod summary;
pub mod table;
pub mod terminal;
pub mod validate;
pub mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;

use self::args::{Cli, Command};
use self::failure::{Failure, Outcome};
use self::terminal::Terminal;
use crate::telemetry::{self, LogSettings};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let color = args::color_before_parsing(&arguments);
    color.apply();
    let parsed = help::command()
        .color(color.into())
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // Help and version come this way too, with exit code 0.
        Err(error) => error.exit(),
    };
    run(cli).unwrap_or_else(|failure| failure.report()).into()
}

fn run(cli: Cli) -> Result<Outcome, Failure> {
    let terminal = Terminal::new(cli.global.format);
    telemetry::init(
        &LogSettings {
            filter: cli.global.log_level.unwrap_or_else(|| cli.command.default_log_level().to_owned()),
            format: cli.global.log_format,
            color: terminal::stderr_has_colors(),
        },
        terminal.progress().log_writer(),
    )
    .map_err(|error| Failure::configuration(error.to_string()))?;
    match cli.command {
        Command::Collect(args) => block_on(collect::run(args, &terminal)),
        Command::Operator(args) => block_on(operator::run(*args)),
        Command::Preview(args) => block_on(preview::run(args, &terminal)),
        Command::Explain(args) => block_on(explain::run(args, &terminal)),
        Command::Validate(args) => validate::run(&args, &terminal),
        Command::Crds(args) => crds::run(&args, &terminal),
        Command::Completion(args) => completion::run(&args, &terminal),
    }
}

/// Runs a subcommand that waits for files, sockets or timers.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::configuration(format!("the async runtime can't start: {error}")))?;
    let done = runtime.block_on(future);
    if done.is_err() {
        // Threads may still be writing files, in a term that is over: nobody waits for them.
        runtime.shutdown_background();
    }
    done
}
