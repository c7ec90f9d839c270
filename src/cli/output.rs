//! Results in the three formats.

use std::io;

use serde::Serialize;

/// The format of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: aligned columns.
    #[default]
    Table,
    /// For machines: JSON.
    Json,
    /// The same data as JSON, as YAML.
    Yaml,
}

/// A result of a subcommand. Its JSON and YAML come from one [`Serialize`], so they hold the same data.
pub trait Report: Serialize + Sized {
    /// The result for people; may hold styles, ends with a line break unless it is empty.
    fn table(&self) -> String;

    /// The result in the given format.
    ///
    /// # Errors
    /// The result can't be written in that format, which is a fault of the program.
    fn render(&self, format: Format) -> io::Result<String> {
        match format {
            Format::Table => Ok(self.table()),
            Format::Json => {
                let mut text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
                text.push('\n');
                Ok(text)
            }
            Format::Yaml => serde_saphyr::to_string(self).map_err(io::Error::other),
        }
    }
}

/// `1 row`, `2 rows`.
pub(super) fn count(n: usize, singular: &str) -> String {
    format!("{n} {singular}{}", if n == 1 { "" } else { "s" })
}
