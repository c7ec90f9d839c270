//! Logs.
//!
//! Log lines go to standard error and results to standard output, so that `kollect … | jq` works with any level.
//! [`init`] is called once, by the command line; everything else just uses the macros of `tracing`.
//!
//! What is logged is chosen by a filter: a level (`debug`) says how much Kollect itself tells, while the libraries
//! under it keep to warnings; a list of directives (`info,kollect::export=trace`) is taken as it stands.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, message, fields.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A level or a list of directives; see the module's description.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Whether levels are coloured (in text only).
    pub color: bool,
}

/// Why logging could not be set up. Whoever called the program must act.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can't be read.
    #[error(
        "log filter {filter:?}: {reason}; give a level (error, warn, info, debug, trace, off) or directives such as info,kollect::export=debug"
    )]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Logging was set up before, by this function or by the host of the library.
    #[error("logs are already set up in this process")]
    AlreadySet,
}

/// Sets up logging for the whole process.
///
/// # Errors
/// [`LogError`], each of which is for the caller of the program to mend.
pub fn init<W>(settings: &LogSettings, writer: W) -> Result<(), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&settings.filter)?)
        .with_writer(writer)
        .with_ansi(settings.color);
    match settings.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).try_init(),
    }
    .map_err(|_| LogError::AlreadySet)
}

/// Reads a filter. A bare level is a level for Kollect's own crates.
fn filter(text: &str) -> Result<EnvFilter, LogError> {
    let text = text.trim();
    let directives = match LevelFilter::from_str(text) {
        Ok(LevelFilter::OFF) => "off".to_owned(),
        // A directive names a prefix, so this covers kollect_dataflows too.
        Ok(level) => format!("{},kollect={level}", level.min(LevelFilter::WARN)),
        Err(_) => text.to_owned(),
    };
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| LogError::Filter { filter: text.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(text: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(text).unwrap())
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "kollect::export", "ours, debug");
            tracing::debug!(target: "kollect_dataflows::graph", "the graph, debug");
            tracing::warn!(target: "kube_client", "theirs, warn");
            tracing::debug!(target: "kube_client", "theirs, debug");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_level_is_for_kollect_and_leaves_libraries_at_warnings() {
        let text = logged("debug");
        for wanted in ["ours, debug", "the graph, debug", "theirs, warn"] {
            assert!(text.contains(wanted), "{text}");
        }
        assert!(!text.contains("theirs, debug"), "{text}");
    }

    #[test]
    fn error_silences_the_warnings_of_libraries_too() {
        assert_eq!(logged("error"), "");
        assert_eq!(logged("off"), "");
    }

    #[test]
    fn directives_are_taken_as_they_stand() {
        let text = logged("kube_client=debug");
        assert!(text.contains("theirs, debug") && !text.contains("ours"), "{text}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let message = filter("kollect=loud").unwrap_err().to_string();
        assert!(message.contains("kollect=loud") && message.contains("give a level"), "{message}");
    }
}
