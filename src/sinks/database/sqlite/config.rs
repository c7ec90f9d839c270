//! Settings of a SQLite sink.

use std::path::{Path, PathBuf};

use crate::sinks::ConfigError;
use crate::sinks::config::{DeletionPolicy, Provisioning};
use crate::sinks::database::TableName;
use crate::sinks::place::At;

/// The settings as they stand in the sink resource.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `spec.endpoint`: the absolute path of the database file, or `file:///` and that path.
    pub endpoint: String,
    /// `spec.sqlite.table`.
    pub table: String,
    /// `spec.provisioning.mode`; in `Existing` the file and its tables must be there.
    pub provisioning: Provisioning,
    /// `spec.deletionPolicy`; default `Delete`.
    pub deletion_policy: Option<DeletionPolicy>,
}

/// Checked settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    path: PathBuf,
    table: TableName,
    provisioning: Provisioning,
    deletion_policy: DeletionPolicy,
}

impl Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first field that can't be used.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let path = crate::sinks::path::absolute("spec.endpoint", &settings.endpoint, "inventory.db")?;
        let table = TableName::new("spec.sqlite.table", &settings.table)?;
        Ok(Self {
            path,
            table,
            provisioning: settings.provisioning,
            deletion_policy: settings.deletion_policy.unwrap_or(DeletionPolicy::Delete),
        })
    }

    /// The destination for humans: `sqlite /var/lib/inventory.db rows`.
    pub fn describe(&self) -> String {
        format!("sqlite {} {}", self.path.display(), self.table)
    }

    /// Where the rows are.
    pub(in crate::sinks) fn at(&self) -> At {
        At::Database { file: self.path.clone(), table: self.table.as_str().to_owned() }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The row table.
    pub fn table(&self) -> &TableName {
        &self.table
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
