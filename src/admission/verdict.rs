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
    let ResourceRef { name, .. } = resource;
    if name.is_of_cluster() && input.options.tenant_mode {
        return Verdict { refusals: vec![of_cluster(resource)], warnings: Vec::new() };
    }
    if !name.is_of_cluster() && !input.options.watches(&name.namespace) {
        // Some other operator's.
        return Verdict::default();
    }
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

fn of_cluster(resource: &ResourceRef) -> Problem {
    Problem {
        resource: resource.clone(),
        field: "metadata".to_owned(),
        reason: reason::CLUSTER_KIND_DENIED,
        message: "this operator takes no resources of the cluster, since it is in tenant mode".to_owned(),
        remedy: format!(
            "use the kind of the same purpose that belongs to a namespace in place of {}, or an operator that is not in tenant mode",
            resource.kind
        ),
        cause: None,
    }
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
