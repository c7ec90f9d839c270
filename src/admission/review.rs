//! AdmissionReviews: what is asked, and how a verdict is told.

use kube::core::admission::{
    AdmissionRequest, AdmissionResponse, AdmissionReview, META_API_VERSION_V1, Operation,
};
use kube::core::response::{StatusCause, StatusDetails, StatusSummary};
use kube::core::{DynamicObject, Resource as _};
use serde_json::Value;

use super::verdict::Verdict;
use crate::api;
use crate::catalog::{Problem, ResourceName, ResourceRef};

/// A request for a verdict.
pub(super) type Request = AdmissionRequest<DynamicObject>;

/// So many problems are told; more help nobody.
const MOST_PROBLEMS: usize = 16;

/// The longest text of one problem. API servers cut warnings off anyway, and messages quote names only.
const LONGEST_TEXT: usize = 1024;

/// Reads a request.
///
/// # Errors
/// It is no AdmissionReview of a version that is read here. The text says why, and quotes nothing.
pub(super) fn read(body: &[u8]) -> Result<Request, String> {
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body).map_err(|error| {
        format!("the body is not an AdmissionReview (line {}, column {})", error.line(), error.column())
    })?;
    if review.types.api_version != META_API_VERSION_V1 {
        return Err(format!("the body is not an AdmissionReview of {META_API_VERSION_V1}"));
    }
    review.try_into().map_err(|_| "the AdmissionReview has no request".to_owned())
}

/// The object to judge: `None` when the request is granted whatever the object says.
///
/// That is so for everything but new objects and changed specs: who removes a finalizer or sets a label must be able to do so
/// whatever has become of the spec.
pub(super) fn to_judge(request: &Request) -> Option<&DynamicObject> {
    if !matches!(request.operation, Operation::Create | Operation::Update)
        || request.sub_resource.as_ref().is_some_and(|sub_resource| !sub_resource.is_empty())
        || request.kind.group != api::GROUP
        || request.kind.version != api::VERSION
    {
        return None;
    }
    let object = request.object.as_ref().filter(|object| object.meta().deletion_timestamp.is_none())?;
    let unchanged = request.operation == Operation::Update
        && request.old_object.as_ref().is_some_and(|old| old.data.get("spec") == object.data.get("spec"));
    (!unchanged).then_some(object)
}

/// Grants a request without a look at the object.
pub(super) fn granted(request: &Request) -> AdmissionResponse {
    AdmissionResponse::from(request)
}

/// The resource that an object of a request is.
pub(super) fn resource(request: &Request, object: &DynamicObject) -> ResourceRef {
    let meta = object.meta();
    let namespace = request.namespace.as_ref().or(meta.namespace.as_ref());
    let name = meta.name.as_ref().unwrap_or(&request.name);
    let name = ResourceName::new(namespace.cloned().unwrap_or_default(), name);
    ResourceRef::new(&request.kind.kind, &name)
}

/// An object as JSON; it has been read from such.
pub(super) fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Tells a verdict.
pub(super) fn answer(request: &Request, resource: &ResourceRef, verdict: &Verdict) -> AdmissionResponse {
    let mut response = granted(request);
    let warnings = listed(&verdict.warnings);
    response.warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
    if verdict.refusals.is_empty() {
        return response;
    }
    let cause = |problem: &Problem| StatusCause {
        reason: problem.reason.to_owned(),
        field: problem.field.clone(),
        message: sentence(problem),
    };
    let mut response =
        response.deny(format!("{resource} is refused: {}", listed(&verdict.refusals).join(" | ")));
    response.result.status = Some(StatusSummary::Failure);
    // As the API server answers when the schema refuses.
    response.result.code = 422;
    response.result.reason = "Invalid".to_owned();
    response.result.details = Some(StatusDetails {
        name: resource.name.name.clone(),
        group: api::GROUP.to_owned(),
        kind: resource.kind.clone(),
        uid: String::new(),
        causes: verdict.refusals.iter().take(MOST_PROBLEMS).map(cause).collect(),
        retry_after_seconds: 0,
    });
    response
}

fn listed(problems: &[Problem]) -> Vec<String> {
    let mut texts: Vec<String> = problems
        .iter()
        .take(MOST_PROBLEMS)
        .map(|problem| plain(&format!("{}: {}", problem.field, sentence(problem))))
        .collect();
    if let Some(more) = problems.len().checked_sub(MOST_PROBLEMS).filter(|more| *more > 0) {
        texts.push(format!("and {more} more; `kollect validate` shows all"));
    }
    texts
}

fn sentence(problem: &Problem) -> String {
    plain(&format!("{}; {} ({})", problem.message, problem.remedy, problem.reason))
}

/// Text for a header: on one line, and not too long.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
