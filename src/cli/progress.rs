//! Progress on a terminal: spinners and bars on standard error, and nothing at all when that is not a terminal.

use std::io;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

/// The lines at the bottom of the terminal that show what goes on. Clones share them.
#[derive(Clone, Debug)]
pub struct Progress(MultiProgress);

impl Default for Progress {
    fn default() -> Self {
        // This target draws nothing unless standard error is a terminal.
        Self(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
    }
}

impl Progress {
    /// A line for work whose size is unknown: a spinner, a message, and how many are done.
    ///
    /// The line goes away with [`ProgressBar::finish_and_clear`].
    pub fn spinner(&self, what: &str, unit: &str) -> ProgressBar {
        let bar = self.0.add(ProgressBar::new_spinner());
        let template = format!("{{spinner}} {{msg}}  {{human_pos}} {unit}  {{per_sec}}  {{elapsed}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar
    }

    /// Runs `print` while nothing is drawn, so that what it writes is not overwritten.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Where log lines go: standard error, past the lines that are being drawn.
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }
}

/// Writes log lines to standard error; see [`Progress::log_writer`].
#[derive(Clone, Debug)]
pub struct LogWriter(Progress);

impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::Write::write(&mut io::stderr(), line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut io::stderr())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
