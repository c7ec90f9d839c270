//! The library's errors in the sink's terms.

use rusqlite::{Error, ErrorCode};

use super::config::Config;
use crate::sinks::SinkError;

/// Why a transaction was given up.
pub(super) enum Stopped {
    /// The library says no.
    Failed(Error),
    /// Another process is the leader.
    Fenced(SinkError),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What was being done when an error came up.
pub(super) struct Doing<'a> {
    pub(super) config: &'a Config,
    /// A participle: `writing rows`.
    pub(super) what: &'static str,
}

impl Doing<'_> {
    fn message(&self, cause: &str) -> String {
        format!("{} failed in {}: {cause}", self.what, self.config.path().display())
    }

    /// The error of a transaction.
    pub(super) fn stopped(&self, why: Stopped) -> SinkError {
        match why {
            Stopped::Failed(error) => self.failed(&error),
            Stopped::Fenced(error) => error,
        }
    }

    /// The error of a statement or of opening the file.
    pub(super) fn failed(&self, error: &Error) -> SinkError {
        let Error::SqliteFailure(failure, text) = error else {
            return SinkError::Shape {
                message: self.message(&error.to_string()),
                hint: "see whether the tables were changed".to_owned(),
            };
        };
        // The library's texts name tables and columns, never values.
        let cause = text.clone().unwrap_or_else(|| failure.to_string());
        let broken = |hint: &str| SinkError::Broken { message: self.message(&cause), hint: hint.to_owned() };
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                SinkError::Unreachable { message: self.message("another process holds its lock") }
            }
            ErrorCode::DiskFull => {
                SinkError::Unreachable { message: self.message("the disk is full; free some space") }
            }
            ErrorCode::OutOfMemory => SinkError::Unreachable { message: self.message(&cause) },
            ErrorCode::SystemIoFailure
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted => SinkError::Interrupted { message: self.message(&cause) },
            ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::AuthorizationForStatementDenied => SinkError::Denied {
                message: self.message(&cause),
                hint: "make the file and its directory writable for this process".to_owned(),
            },
            ErrorCode::CannotOpen => broken(
                "see that spec.endpoint names a file, not a directory, and that this process may write its directory",
            ),
            ErrorCode::NotADatabase => {
                broken("the file is something else: move it away, or choose another spec.endpoint")
            }
            ErrorCode::DatabaseCorrupt => {
                broken("restore the file, or remove it: a new one is made and filled then")
            }
            ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
                SinkError::Row { message: self.message(&cause) }
            }
            _ if cause.contains("no such table") || cause.contains("no column") => SinkError::Shape {
                message: self.message(&cause),
                hint:
                    "the tables were changed while they were in use; bring them back into shape or drop them"
                        .to_owned(),
            },
            _ => broken("see whether the file was changed by another program"),
        }
    }
}
