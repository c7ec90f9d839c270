//! What is wrong with a resource, and whether that refuses it.

use serde_json::Value;

use super::surroundings::surroundings;
use crate::catalog::{Catalog, Input, Problem, ResourceRef, reason};

/// What is said of a resource. Problems are in the order of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Why it is refused; it is not when there is nothing here.
    pub(super) refusals: Vec<Problem>,
    /// What its author should know all the same.
    pub(super) warnings: Vec<Problem>,
}

/// Judges a resource as if it stood in the input, in place of the one of its name.
pub(super) fn verdict(input: &Input, resource: &ResourceRef, object: Value) -> Verdict {
    let input = match surroundings(input, resource, object) {
        Ok(Some(input)) => input,
        Ok(None) => return Verdict::default(),
        // The schema of the CRD says the same better, so this is for one of another version.
        Err(_) => return Verdict { refusals: vec![unreadable(resource)], warnings: Vec::new() },
    };
    let problems = Catalog::default().plan(&input).problems;
    // That a Secret has not been read yet is no news to who has just named it.
    let problems = problems
        .into_iter()
        .filter(|problem| problem.resource == *resource && problem.reason != reason::SECRET_UNREADABLE);
    let (refusals, warnings) = problems.partition(Problem::is_refused);
    Verdict { refusals, warnings }
}

/// What the parser says may quote the resource, so it is left out.
fn unreadable(resource: &ResourceRef) -> Problem {
    Problem {
        resource: resource.clone(),
        field: "spec".to_owned(),
        reason: reason::SPEC_INVALID,
        message: format!("the resource can't be read as a {}", resource.kind),
        remedy:
            "compare its fields with `kubectl explain`, and see that CRDs and operator are of one version"
                .to_owned(),
        cause: None,
    }
}
