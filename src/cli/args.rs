//! The arguments of the program: what stands before and after every subcommand.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::output::Format;
use super::{collect, completion, crds, explain, operator, preview, validate};
use crate::telemetry::LogFormat;

/// Keep a read model of your Kubernetes objects: select, extract, and export only what changed.
#[derive(Debug, Parser)]
#[command(name = "kollect", version, propagate_version = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every subcommand.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run pipelines from files, without an operator
    Collect(collect::CollectArgs),
    /// Run the pipelines of a cluster until told to stop
    Operator(Box<operator::OperatorArgs>),
    /// Show the rows that a profile gives; exports nothing
    Preview(preview::PreviewArgs),
    /// Tell why an object is, or is not, a row of an inventory
    Explain(explain::ExplainArgs),
    /// Check manifests, and say what to do about each problem
    Validate(validate::ValidateArgs),
    /// Print the custom resource definitions
    Crds(crds::CrdsArgs),
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
}

impl Command {
    /// The log level when none is asked for: what runs on and on tells what it does, what answers once only warns.
    pub fn default_log_level(&self) -> &'static str {
        match self {
            Self::Operator(_) => "info",
            _ => "warn",
        }
    }
}

/// Options of every subcommand.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Format of results
    #[arg(
        short = 'o',
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true,
        help = "Format of results: table, json, yaml"
    )]
    pub format: Format,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true,
        help = "Use colours: auto (on a terminal, unless NO_COLOR is set), always, never"
    )]
    pub color: Color,
    /// What to log
    #[arg(
        long,
        global = true,
        env = "KOLLECT_LOG",
        value_name = "LEVEL",
        hide_env_values = true,
        help = "Log this much to standard error: error, warn, info, debug, trace, off, or directives such as info,kollect::export=debug"
    )]
    pub log_level: Option<String>,
    /// Format of logs
    #[arg(
        long,
        global = true,
        env = "KOLLECT_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true,
        hide_env_values = true,
        help = "Format of logs: text, json"
    )]
    pub log_format: LogFormat,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise (`NO_COLOR`, `CLICOLOR`, `TERM=dumb`).
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Makes it the choice for both streams of the process.
    pub fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

impl From<Color> for clap::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// Finds `--color` among arguments that are not parsed yet, so that help and usage errors follow it too. Anything
/// that is not right about it is left for the parser to say.
pub(super) fn color_before_parsing(arguments: &[OsString]) -> Color {
    let mut arguments = arguments.iter().filter_map(|argument| argument.to_str()).take_while(|a| *a != "--");
    while let Some(argument) = arguments.next() {
        let value = match argument.split_once('=') {
            Some(("--color", value)) => Some(value),
            None if argument == "--color" => arguments.next(),
            _ => continue,
        };
        return value.and_then(|value| Color::from_str(value, false).ok()).unwrap_or_default();
    }
    Color::Auto
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_found_before_parsing_in_both_spellings() {
        for (line, color) in [
            ("kollect --color always crds", Color::Always),
            ("kollect crds --color=never", Color::Never),
            ("kollect crds --color", Color::Auto),
            ("kollect crds --color pink", Color::Auto),
            ("kollect crds -- --color always", Color::Auto),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
            assert_eq!(color_before_parsing(&arguments), color, "{line}");
        }
    }
}
