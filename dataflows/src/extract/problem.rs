//! What is wrong with a profile or with one attribute of one object.

use serde::{Deserialize, Serialize};

/// Why an attribute of a profile, or its Resource export, can't be compiled. The author of the profile must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; {remedy}")]
pub struct CompileProblem {
    /// The field of the profile's spec: `attributes[1].path`, `export.prune.cel[0]`.
    pub field: String,
    /// Name of the attribute.
    pub attribute: String,
    /// What is wrong: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Why one attribute of one object could not be evaluated. Never holds a value of the object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttributeProblem {
    /// Name of the attribute.
    pub attribute: String,
    /// What went wrong: a lowercase sentence.
    pub message: String,
}

/// Why a path or an expression is refused, before it is known whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}
