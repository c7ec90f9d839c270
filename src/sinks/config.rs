//! Settings of a binding's destination, checked: what the catalog makes of a sink resource.

use std::fmt;

use kollect_dataflows::data::Row;

#[cfg(feature = "postgres")]
use super::database::postgres;
#[cfg(feature = "sqlite")]
use super::database::sqlite;
use super::snapshot::local;
use super::{BindingName, Place, Preview, Sink, SinkError, Term};

/// What a sink may do to a destination that is not ready for it (`spec.provisioning.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provisioning {
    /// Creates what is missing; destroys nothing.
    #[default]
    Ensure,
    /// Creates nothing and changes no shape; what is there is only checked.
    Existing,
}

/// What becomes of exported content when a binding ends (`spec.deletionPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// It is removed; see [`super::RowSink::clear`].
    Delete,
    /// It stays.
    Retain,
}

/// How a destination's certificate is checked (`spec.tls`), with its references resolved.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Takes any certificate (`spec.tls.insecureSkipVerify`).
    pub insecure_skip_verify: bool,
    /// The certificate authorities to trust, as PEM (`spec.tls.caBundle`, `spec.tls.caSecretRef`); those of the
    /// operating system when absent.
    pub ca_pem: Option<Vec<u8>>,
    /// What is shown to a server that asks for a certificate (`spec.tls.clientCertSecretRef`).
    pub client: Option<ClientCertificate>,
}

/// A certificate and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those that lead from it to an authority, as PEM.
    pub certificate_pem: Vec<u8>,
    /// The private key, as PEM.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .field("ca_pem", &self.ca_pem.as_ref().map(|pem| format!("{} bytes", pem.len())))
            .field("client", &self.client)
            .finish()
    }
}

/// A destination of any backend. Two equal configurations lead to the same place in the same way, so a binding needs
/// a new sink exactly when its configuration differs.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkConfig {
    /// A Postgres table.
    #[cfg(feature = "postgres")]
    Postgres(postgres::Config),
    /// A table in a SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Config),
    /// Files below a directory.
    Local(local::Config),
}

impl SinkConfig {
    /// The destination for humans, without credentials: `postgres db.example:5432/inventory public.rows`.
    pub fn describe(&self) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.describe(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.describe(),
            Self::Local(config) => config.describe(),
        }
    }

    /// The settings for one binding, where what is at the destination is called after it.
    #[must_use]
    pub fn bound_to(&self, binding: &BindingName) -> Self {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => Self::Postgres(config.bound_to(binding)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Self::Sqlite(config.bound_to(binding)),
            // The path of a file is made when it is written.
            Self::Local(_) => {
                let _ = binding;
                self.clone()
            }
        }
    }

    /// The settings with a limit to the size of a document's files. What is written row by row has none.
    #[must_use]
    pub fn limited_to(self, max_file_bytes: Option<u64>) -> Self {
        match self {
            Self::Local(config) => Self::Local(config.limited_to(max_file_bytes)),
            #[allow(unreachable_patterns, reason = "there may be no other backend")]
            other => other,
        }
    }

    /// Where the content of a binding is.
    pub fn place(&self, binding: &BindingName) -> Place {
        let at = match &self.bound_to(binding) {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.at(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.at(),
            Self::Local(config) => config.at(binding),
        };
        Place::new(binding, at)
    }

    /// What becomes of exported content when the binding ends.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.deletion_policy(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.deletion_policy(),
            Self::Local(config) => config.deletion_policy(),
        }
    }

    /// Connects, and checks that the destination has the shape, or can be given it, and the permissions that a binding needs.
    /// Writes nothing.
    ///
    /// # Errors
    /// What a binding would run into.
    pub async fn probe(&self) -> Result<(), SinkError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => postgres::probe(config).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => sqlite::probe(config).await,
            Self::Local(config) => local::probe(config).await,
        }
    }

    /// What a binding brings to the destination. Of an unknown binding or row, only what does not depend on it.
    pub fn preview(&self, binding: Option<&BindingName>, row: Option<&Row>) -> Preview {
        #[cfg(any(feature = "postgres", feature = "sqlite"))]
        let table = |ddl| Preview { path: None, sample: row.map(super::preview::json), ddl: Some(ddl) };
        let bound = binding.map(|binding| self.bound_to(binding));
        match bound.as_ref().unwrap_or(self) {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => table(postgres::definitions(config)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => table(sqlite::definitions(config)),
            Self::Local(config) => {
                binding.map(|binding| local::preview(config, binding, row)).unwrap_or_default()
            }
        }
    }

    /// A sink for one binding, which writes in that term. Does no I/O: that begins with `connect`.
    pub fn open(&self, binding: &BindingName, term: &Term) -> Sink {
        match self.bound_to(binding) {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => {
                Sink::Rows(Box::new(postgres::Client::new(config, binding.clone(), term.clone())))
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => {
                Sink::Rows(Box::new(sqlite::Client::new(config, binding.clone(), term.clone())))
            }
            Self::Local(config) => local::open(&config, binding, term),
        }
    }
}
