//! How a subcommand ends.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

/// How a subcommand that could do its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done: exit code 0.
    Done,
    /// Some parts failed, and were reported; the others are done: exit code 1.
    PartFailed,
    /// Nothing could be done, and it was reported: exit code 2.
    Failed,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::PartFailed => Self::from(1),
            Outcome::Failed => Self::from(2),
        }
    }
}

/// Why a subcommand could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The configuration or a connection is at fault; whoever called the program must act.
    Configuration {
        /// What is wrong: a lowercase sentence that names the file, resource, field or address.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Results could not be written to standard output.
    Output(io::Error),
}

impl Failure {
    /// A fault of configuration or connection, without a hint.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::Configuration { message: message.into(), hint: None }
    }

    /// A fault of configuration or connection, and what to do about it.
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Configuration { message: message.into(), hint: Some(hint.into()) }
    }

    /// Tells it on standard error and gives the outcome. A reader that went away is no fault.
    pub fn report(&self) -> Outcome {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return Outcome::Done;
        }
        let red = AnsiColor::Red.on_default().bold();
        let mut stderr = anstream::stderr().lock();
        // Nobody is left to tell when standard error is closed as well.
        let _ = writeln!(stderr, "{red}error{red:#}: {self}");
        if let Self::Configuration { hint: Some(hint), .. } = self {
            let bold = Style::new().bold();
            let _ = writeln!(stderr, " {bold}hint{bold:#}: {hint}");
        }
        Outcome::Failed
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration { message, .. } => f.write_str(message),
            Self::Output(error) => write!(f, "the result can't be written to standard output: {error}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
