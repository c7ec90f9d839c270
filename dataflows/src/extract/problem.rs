//! What is wrong with a profile or with one attribute of one object.

use serde::{Deserialize, Serialize};

/// Why an attribute of a profile, or its Resource export, can't be compiled. The author of the profile must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}; {remedy}", self.place())]
pub struct CompileProblem {
    /// Position of the attribute in the profile.
    pub index: usize,
    /// Name of the attribute.
    pub attribute: String,
    /// The field below `export` that is wrong, where it is not an attribute; `index` says nothing then.
    pub export_field: Option<String>,
    /// What is wrong: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl CompileProblem {
    fn place(&self) -> String {
        match &self.export_field {
            Some(field) => format!("export.{field}"),
            None if self.attribute.is_empty() => format!("attribute number {}", self.index + 1),
            None => format!("attribute {}", self.attribute),
        }
    }
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
