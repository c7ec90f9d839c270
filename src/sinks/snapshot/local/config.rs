//! Settings of a local sink.

use std::path::{Path, PathBuf};

use super::manifest;
use crate::sinks::config::{DeletionPolicy, Provisioning};
use crate::sinks::place::At;
use crate::sinks::snapshot::layout::{Format, Layout, LayoutSettings};
use crate::sinks::{BindingName, ConfigError};

/// The settings as they stand in the sink resource, with its references resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `spec.endpoint`: an absolute path of a directory, or `file:///` and that path.
    pub endpoint: String,
    /// `spec.pathTemplate`: the inventory's path below the directory; default `inventory/{namespace}/{name}{extension}`.
    pub path_template: Option<String>,
    /// `spec.serialization.format`.
    pub format: Format,
    /// `spec.layout`.
    pub layout: LayoutSettings,
    /// `spec.provisioning.mode`; in `Existing` the directory must be there.
    pub provisioning: Provisioning,
    /// `spec.deletionPolicy`; default `Retain`.
    pub deletion_policy: Option<DeletionPolicy>,
}

/// Checked settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    directory: PathBuf,
    layout: Layout,
    provisioning: Provisioning,
    deletion_policy: DeletionPolicy,
    max_file_bytes: Option<u64>,
}

impl Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first field that can't be used.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            directory: crate::sinks::path::absolute("spec.endpoint", &settings.endpoint, "exports")?,
            layout: Layout::new(settings.path_template.as_deref(), settings.format, &settings.layout)?,
            provisioning: settings.provisioning,
            deletion_policy: settings.deletion_policy.unwrap_or(DeletionPolicy::Retain),
            max_file_bytes: None,
        })
    }

    /// The same for documents of at most so many bytes a file.
    #[must_use]
    pub fn limited_to(mut self, max_file_bytes: Option<u64>) -> Self {
        self.max_file_bytes = max_file_bytes;
        self
    }

    /// How large a file of a document may be.
    pub fn max_file_bytes(&self) -> Option<u64> {
        self.max_file_bytes
    }

    /// The destination for humans: `local /var/lib/exports`.
    pub fn describe(&self) -> String {
        format!("local {}", self.directory.display())
    }

    /// Where the files of a binding are: sinks of one list of files would take each other's for their own.
    pub(in crate::sinks) fn at(&self, binding: &BindingName) -> At {
        At::Files { list: self.directory.join(manifest::path(&self.layout, binding)) }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Which file is what.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the directory may be created.
    pub fn provisioning(&self) -> Provisioning {
        self.provisioning
    }

    /// What becomes of the files when the binding ends.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy
    }
}
