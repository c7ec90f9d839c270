//! Standard output and standard error as subcommands see them.

use std::io::{self, Write as _};

use super::output::{Format, Report};
use super::progress::Progress;

/// Where a subcommand prints its results.
#[derive(Clone, Debug)]
pub struct Terminal {
    format: Format,
    progress: Progress,
}

impl Terminal {
    /// A terminal that prints in the given format.
    pub fn new(format: Format) -> Self {
        Self { format, progress: Progress::default() }
    }

    /// The format that the caller asked for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The lines that show what goes on.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Prints a result in the format that the caller asked for.
    ///
    /// # Errors
    /// Standard output can't be written; a reader that went away shows as `BrokenPipe`.
    pub fn print(&self, report: &impl Report) -> io::Result<()> {
        self.write(&report.render(self.format)?)
    }

    /// Prints text as it stands. Its styles are dropped where colours are off.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn write(&self, text: &str) -> io::Result<()> {
        self.progress.suspend(|| {
            let mut stdout = anstream::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.flush()
        })
    }

    /// Prints a remark on standard error: something a person may want to know and a script need not read.
    pub fn remark(&self, text: &str) {
        // A remark that nobody can see is no reason to fail.
        self.progress.suspend(|| {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        });
    }
}

/// Whether standard error takes colours, by `--color`, the environment, and whether it is a terminal.
pub fn stderr_has_colors() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}
