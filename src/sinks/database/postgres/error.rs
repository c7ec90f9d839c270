//! The driver's errors in the sink's terms.
//!
//! A server's message may quote what it refuses, so data errors are told without quoted parts, and details and
//! contexts of messages, which hold whole rows, never.

use std::error::Error as _;

use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};

use super::config::Config;
use crate::sinks::SinkError;

/// What was being done when an error came up.
pub(super) struct Doing<'a> {
    pub(super) config: &'a Config,
    /// A participle: `writing rows`.
    pub(super) what: &'static str,
}

impl Doing<'_> {
    pub(super) fn message(&self, cause: &str) -> String {
        format!("{} failed at {}: {cause}", self.what, self.config.server())
    }

    /// The server did not answer in time.
    pub(super) fn timed_out(&self) -> SinkError {
        SinkError::Interrupted { message: self.message("no answer in time") }
    }

    /// The error of a connection attempt.
    pub(super) fn not_connected(&self, error: &tokio_postgres::Error) -> SinkError {
        if error.as_db_error().is_some() {
            return self.failed(error);
        }
        let mut source = error.source();
        while let Some(cause) = source {
            let tls = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
            if let Some(rustls::Error::InvalidCertificate(reason)) =
                tls.and_then(|error| error.downcast_ref::<rustls::Error>())
            {
                return self.not_trusted(reason);
            }
            source = cause.source();
        }
        let cause = causes(error);
        if cause.contains("does not support TLS") {
            return SinkError::Broken {
                message: self.message("it does not offer TLS"),
                hint: "switch TLS on there, or allow sslmode=prefer in the connection string".to_owned(),
            };
        }
        if cause.contains("password missing") {
            return SinkError::Denied {
                message: self.message("it asks for a password"),
                hint: "put one into the connection string of the Secret".to_owned(),
            };
        }
        SinkError::Unreachable { message: self.message(&cause) }
    }

    /// The server may get another certificate, so this is not only a matter of our settings.
    fn not_trusted(&self, reason: &CertificateError) -> SinkError {
        let hint = match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "renew it there",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "check the clocks on both sides"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "give the server one for this host name, or connect by a name that it is for"
            }
            _ => "put the authority that signed it into spec.tls.caBundle or spec.tls.caSecretRef",
        };
        SinkError::Broken {
            message: self.message(&format!("its certificate is not trusted ({reason:?})")),
            hint: hint.to_owned(),
        }
    }

    /// The error of a statement.
    pub(super) fn failed(&self, error: &tokio_postgres::Error) -> SinkError {
        match error.as_db_error() {
            Some(error) => self.refused(error),
            None => SinkError::Interrupted { message: self.message(&causes(error)) },
        }
    }

    fn refused(&self, error: &DbError) -> SinkError {
        let code = error.code();
        let text = |message: &str| self.message(&format!("{message} (SQLSTATE {})", code.code()));
        let whole = text(error.message());
        match code.code() {
            "53100" | "53200" | "53300" | "53400" | "57P01" | "57P02" | "57P03" | "25006" => {
                SinkError::Unreachable { message: whole }
            }
            "57014" | "55P03" | "25P03" | "57P05" | "23505" => {
                SinkError::Interrupted { message: text(&without_quoted(error.message())) }
            }
            "42501" => SinkError::Denied {
                message: whole,
                hint: "grant the user what it lacks, or set spec.provisioning.mode to existing and create the tables \
                       yourself"
                    .to_owned(),
            },
            "3D000" => SinkError::Broken {
                message: whole,
                hint: "create the database, or name another in the connection string".to_owned(),
            },
            "54000" | "54001" => SinkError::Row { message: text(&without_quoted(error.message())) },
            "42P01" | "42703" | "42804" | "42883" | "42P10" | "3F000" | "0A000" => SinkError::Shape {
                message: whole,
                hint: "the tables were changed while they were in use; bring them back into shape or drop them"
                    .to_owned(),
            },
            other => match other.get(..2) {
                Some("08" | "58" | "40") => SinkError::Interrupted { message: whole },
                Some("28") => SinkError::Denied {
                    message: whole,
                    hint: "check the user and password in the Secret, and the server's pg_hba.conf".to_owned(),
                },
                Some("22" | "23") => {
                    let mut cause = without_quoted(error.message());
                    for (what, name) in [("constraint", error.constraint()), ("column", error.column())] {
                        if let Some(name) = name {
                            cause.push_str(&format!(", {what} {name}"));
                        }
                    }
                    SinkError::Row { message: text(&cause) }
                }
                _ if *code == SqlState::SYNTAX_ERROR => SinkError::Broken {
                    message: whole,
                    hint: "this needs PostgreSQL 13 or later".to_owned(),
                },
                _ => SinkError::Broken {
                    message: whole,
                    hint: "see the server's log".to_owned(),
                },
            },
        }
    }
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A message without what stands in double quotes, which may be data.
pub(super) fn without_quoted(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for (i, piece) in message.split('"').enumerate() {
        if i > 0 {
            out.push('"');
        }
        out.push_str(if i % 2 == 0 { piece } else { "…" });
    }
    out
}
