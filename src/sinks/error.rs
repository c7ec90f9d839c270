//! What can go wrong at a destination, and whose turn it is then.

/// Why a batch could not be applied, or a destination not be reached.
///
/// Messages never hold credentials or an object's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The destination can't be reached or does not answer. Nobody has to act: it is tried again.
    #[error("{message}")]
    Unreachable {
        /// What was tried and what came of it.
        message: String,
    },
    /// The connection broke in the middle, so it is unknown what was applied. Nobody has to act: the destination is
    /// asked what it holds, and the rest is written.
    #[error("{message}")]
    Interrupted {
        /// What broke off.
        message: String,
    },
    /// Another process is the leader: this one's term is over, or the destination has been told of a later one. Nobody has
    /// to act: the other one writes.
    #[error("{message}")]
    Fenced {
        /// Who says so.
        message: String,
    },
    /// The destination refuses the credentials or the permission. The operator of the sink must act.
    #[error("{message}; {hint}")]
    Denied {
        /// What was refused.
        message: String,
        /// What to grant.
        hint: String,
    },
    /// The endpoint leads to an address that sinks may not connect to. The author of the sink resource must act, or whoever
    /// runs the operator.
    #[error("{message}; {hint}")]
    Forbidden {
        /// What leads where.
        message: String,
        /// What to change.
        hint: String,
    },
    /// What is at the destination has another shape than ours. The operator of the sink must act.
    #[error("{message}; {hint}")]
    Shape {
        /// What differs.
        message: String,
        /// How to bring it in line.
        hint: String,
    },
    /// The destination takes this row under no circumstances; the others of its batch may be fine. The author of the
    /// profile must act.
    #[error("{message}")]
    Row {
        /// Why the row is refused.
        message: String,
    },
    /// Anything else that is wrong at the destination. The operator of the sink must act there.
    #[error("{message}; {hint}")]
    Broken {
        /// What is wrong.
        message: String,
        /// How to put it right.
        hint: String,
    },
    /// Nothing that happens at the destination makes it usable with these settings. The author of the sink resource must
    /// act.
    #[error("{message}; {hint}")]
    Terminal {
        /// What went wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
}

impl SinkError {
    /// The reason that stands in conditions and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "SinkUnreachable",
            Self::Interrupted { .. } => "ExportUnavailable",
            Self::Forbidden { .. } => "EndpointForbidden",
            Self::Fenced { .. } => "Fenced",
            Self::Denied { .. }
            | Self::Shape { .. }
            | Self::Row { .. }
            | Self::Broken { .. }
            | Self::Terminal { .. } => "ExportTerminal",
        }
    }

    /// Whether the same batch may go through later without anybody's help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Fenced { .. })
    }
}

/// A setting of a sink that can't be used. The author of the sink resource must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; {remedy}")]
pub struct ConfigError {
    /// The field of the resource, for example `spec.postgres.table`.
    pub field: String,
    /// What is wrong with it: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}
