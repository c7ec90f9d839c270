//! Settings of a SQLite sink.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sinks::config::{DeletionPolicy, Provisioning};
use crate::sinks::database::{Table, TableName, TableNaming};
use crate::sinks::place::At;
use crate::sinks::{BindingName, ConfigError};

/// The settings as they stand in the sink resource.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `spec.endpoint`: the absolute path of the database file, or `file:///` and that path.
    pub endpoint: String,
    /// `spec.sqlite.table`, or the template of names.
    pub table: TableNaming,
    /// `spec.provisioning.mode`; in `Existing` the file and its tables must be there.
    pub provisioning: Provisioning,
    /// `spec.deletionPolicy`; default `Delete`.
    pub deletion_policy: Option<DeletionPolicy>,
    /// `spec.options.busyTimeout`: how long to wait for another writer; default 10 s.
    pub busy_timeout: Option<Duration>,
}

/// How long to wait for another writer, where the settings do not say.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Checked settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    path: PathBuf,
    table: Table,
    provisioning: Provisioning,
    deletion_policy: DeletionPolicy,
    busy_timeout: Duration,
}

impl Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first field that can't be used.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let path = crate::sinks::path::absolute("spec.endpoint", &settings.endpoint, "inventory.db")?;
        let table = Table::new("spec.sqlite.table", &settings.table)?;
        Ok(Self {
            path,
            table,
            provisioning: settings.provisioning,
            deletion_policy: settings.deletion_policy.unwrap_or(DeletionPolicy::Delete),
            busy_timeout: settings.busy_timeout.unwrap_or(BUSY_TIMEOUT),
        })
    }

    /// The settings with the table of one binding.
    #[must_use]
    pub fn bound_to(&self, binding: &BindingName) -> Self {
        Self { table: self.table.of(binding), ..self.clone() }
    }

    /// The destination for humans: `sqlite /var/lib/inventory.db rows`.
    pub fn describe(&self) -> String {
        format!("sqlite {} {}", self.path.display(), self.table.describe())
    }

    /// Where the rows are.
    pub(in crate::sinks) fn at(&self) -> At {
        At::Database { file: self.path.clone(), table: self.table.name().as_str().to_owned() }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The row table.
    pub fn table(&self) -> &TableName {
        self.table.name()
    }

    /// Whether the row table is one, and not another for each binding.
    pub fn has_one_table(&self) -> bool {
        self.table.is_one()
    }

    /// How long to wait for another writer.
    pub fn busy_timeout(&self) -> Duration {
        self.busy_timeout
    }

    /// What may be created.
    pub fn provisioning(&self) -> Provisioning {
        self.provisioning
    }

    /// What becomes of the rows when the binding ends.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy
    }
}
