//! Custom resources from files: for `validate`, `collect` and `preview`.
//!
//! ```text
//! paths ──► files ──► documents with their lines ──► kinds ──► schema and rules ──► Manifests: the catalog's input
//!                 └──────────────┴─────────────────────┴────────────┴──► ManifestProblems
//! ```
//!
//! Files are read strictly: an unknown field is a problem, as it is to `kubectl apply`. A resource gets the verdict that
//! an API server with our CRDs would give, from the very same schemas and CEL rules, and the defaults that it would set.
//! Every problem is reported at once, with file and line of the document, and what to do about it.
//!
//! Taken are our custom resources, the Secrets that sinks refer to, and Namespaces (for their labels). In values of
//! Secrets `${env:NAME}` stands for a variable of the environment.

mod documents;
mod kinds;
mod rules;
mod schema;
mod secrets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::catalog::{Catalog, EndpointPolicy, Incomplete, Input, Options, ResourceName, ResourceRef};

/// Something that is wrong with a manifest. Never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManifestProblem {
    /// The file, as it was given or found.
    pub file: PathBuf,
    /// Line of the file, from 1: of the document, or of what can't be read in it.
    pub line: Option<usize>,
    /// The resource, as far as it is known.
    pub resource: Option<ResourceRef>,
    /// The field: `spec.attributes[1].path`; empty when it is the whole document or file.
    pub field: String,
    /// The CamelCase reason: one of [`reason`] or of [`crate::catalog::reason`].
    pub reason: &'static str,
    /// What is wrong: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(resource) = &self.resource {
            write!(f, ": {resource}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}; {}", self.message, self.remedy)
    }
}

/// Reasons of problems that only files have.
pub mod reason {
    /// A file or document can't be read at all.
    pub const UNREADABLE: &str = "Unreadable";
    /// A document is not of a kind that is read here.
    pub const UNKNOWN_KIND: &str = "UnknownKind";
    /// A field is not one of the kind's.
    pub const UNKNOWN_FIELD: &str = "UnknownField";
    /// A field's value is not allowed, or missing.
    pub const INVALID_FIELD: &str = "InvalidField";
    /// The resource stands in the files twice.
    pub const DEFINED_TWICE: &str = "DefinedTwice";
    /// A variable of the environment is not set.
    pub const UNSET_VARIABLE: &str = "UnsetVariable";
}

/// Where a resource stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// Line of the document, from 1.
    pub line: usize,
}

/// What the files hold.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The resources, with default options.
    pub input: Input,
    /// Where each custom resource stands, those included that could not be taken.
    pub origins: BTreeMap<ResourceRef, Origin>,
}

impl Manifests {
    /// The catalog's input, with these options.
    pub fn into_input(self, options: Options) -> Input {
        Input { options, ..self.input }
    }

    /// What a plan for these resources says is wrong with them, each with its place, and without those that are but the
    /// consequence of another resource's problems.
    ///
    /// `known` are problems that have been reported: the same field of the same resource is not reported again.
    pub fn locate(
        &self,
        problems: impl IntoIterator<Item = crate::catalog::Problem>,
        known: &[ManifestProblem],
    ) -> Vec<ManifestProblem> {
        let is_known = |problem: &crate::catalog::Problem| {
            known.iter().any(|known| {
                known.resource.as_ref() == Some(&problem.resource) && covers(&known.field, &problem.field)
            })
        };
        problems
            .into_iter()
            // A cause that stands in the files has problems of its own, and they are reported.
            .filter(|problem| problem.cause.as_ref().is_none_or(|cause| !self.origins.contains_key(cause)))
            .filter(|problem| !is_known(problem))
            .filter_map(|problem| {
                let origin = self.origins.get(&problem.resource)?;
                Some(ManifestProblem {
                    file: origin.file.clone(),
                    line: Some(origin.line),
                    resource: Some(problem.resource),
                    field: problem.field,
                    reason: problem.reason,
                    message: problem.message,
                    remedy: problem.remedy,
                })
            })
            .collect()
    }
}

/// Whether a problem of field `a` is as good as one of field `b`: they are the same, or one is a part of the other.
fn covers(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    // A problem of the whole spec says nothing of its fields.
    let whole = |field: &str| field.is_empty() || field == "spec";
    a == b || (!whole(a) && !whole(b) && (within(a, b) || within(b, a)))
}

/// Looks up a variable of the environment.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads all manifests at the given paths: files, and directories to the bottom.
pub fn load(paths: &[PathBuf]) -> (Manifests, Vec<ManifestProblem>) {
    load_with(paths, &|name| std::env::var(name).ok())
}

fn load_with(paths: &[PathBuf], environment: Environment<'_>) -> (Manifests, Vec<ManifestProblem>) {
    let mut loader = kinds::Loader::new(environment);
    documents::read(paths, &mut loader);
    let (manifests, mut problems) = loader.finish();
    problems.sort();
    (manifests, problems)
}

/// Everything that is wrong with the manifests at the given paths, and with what they make together; sorted by file and
/// line.
///
/// Secrets need not be among them. Sinks that write to this machine are allowed.
pub fn validate(paths: &[PathBuf]) -> Vec<ManifestProblem> {
    validate_with(paths, &|name| std::env::var(name).ok())
}

fn validate_with(paths: &[PathBuf], environment: Environment<'_>) -> Vec<ManifestProblem> {
    let (mut manifests, mut problems) = load_with(paths, environment);
    // What could not be read has been reported, and nothing is run.
    manifests.input.incomplete = Incomplete::default();
    manifests.input.options = Options {
        allow_local_sinks: true,
        endpoints: EndpointPolicy::unrestricted(),
        secrets_elsewhere: true,
        ..Options::default()
    };
    let plan = Catalog::default().plan(&manifests.input);
    let found = manifests.locate(plan.problems, &problems);
    problems.extend(found);
    problems.sort();
    problems
}

/// The namespace of a manifest that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// A resource by its kind, namespace and name.
fn resource(kind: &str, namespace: &str, name: &str) -> ResourceRef {
    ResourceRef::new(kind, &ResourceName::new(namespace, name))
}
