//! Profiles: which attributes a row gets from an object.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::cel::{Expression, Outcome, Scope};
use super::document::Document;
use super::node::Node;
use super::path::{Found, Path};
use super::problem::{AttributeProblem, CompileProblem, Refusal};
use super::projection::Reads;
use super::resource::{ResourceExport, ResourceSpec};
use crate::data::Gvk;

/// What a profile says, before it is compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileSpec {
    /// The kind that the profile reads.
    pub gvk: Gvk,
    /// The attributes, in the order of the resource.
    pub attributes: Vec<AttributeSpec>,
    /// The object itself as one more attribute.
    pub export: Option<ResourceSpec>,
}

/// One attribute of a profile, before it is compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeSpec {
    /// Name of the attribute; unique in its profile.
    pub name: String,
    /// Where its value comes from: `cel:<expression>` or a JSONPath.
    pub path: String,
    /// Whether the attribute is left out when it has no value and no default.
    pub optional: bool,
    /// The value when there is none.
    pub default: Option<Value>,
}

/// A compiled profile. Compile once, evaluate for every object.
#[derive(Debug)]
pub struct Profile {
    gvk: Arc<Gvk>,
    /// Sorted by name: the order of the output.
    attributes: Vec<Attribute>,
}

#[derive(Debug)]
struct Attribute {
    name: String,
    /// The name as a JSON key, with its colon.
    key: Vec<u8>,
    source: Source,
    missing: Missing,
}

#[derive(Debug)]
enum Source {
    Path(Path),
    Cel(Expression),
    Resource(Box<ResourceExport>),
}

/// What becomes of an attribute without a value.
#[derive(Debug)]
enum Missing {
    /// It is left out.
    Omit,
    /// It gets this JSON.
    Default(Vec<u8>),
    /// It gets this JSON, and a failed evaluation is a problem.
    Required(&'static [u8]),
}

impl Profile {
    /// Compiles a profile.
    ///
    /// # Errors
    /// Every attribute that can't be compiled, with what to do about it; the author of the profile must act.
    pub fn compile(spec: &ProfileSpec) -> Result<Self, Vec<CompileProblem>> {
        let mut attributes = Vec::with_capacity(spec.attributes.len());
        let mut problems = Vec::new();
        let mut first_of: HashMap<&str, usize> = HashMap::new();
        for (index, attribute) in spec.attributes.iter().enumerate() {
            let mut refuse = |refusal: Refusal| {
                let Refusal { message, remedy } = refusal;
                let attribute = attribute.name.clone();
                problems.push(CompileProblem { index, attribute, export_field: None, message, remedy });
            };
            if attribute.name.is_empty() {
                refuse(Refusal::new("the attribute has no name", "name it"));
            } else if let Some(first) = first_of.insert(&attribute.name, index) {
                refuse(Refusal::new(
                    format!("the name is already used by attribute number {}", first + 1),
                    "give each attribute a name of its own",
                ));
                first_of.insert(&attribute.name, first);
            }
            match Source::compile(&attribute.path) {
                Ok(source) => attributes.push(Attribute::new(attribute, source)),
                Err(refusal) => refuse(refusal),
            }
        }
        if let Some(export) = &spec.export {
            let mut refused = match ResourceExport::compile(export, &spec.gvk) {
                Ok(compiled) => {
                    attributes.push(Attribute::of_resource(&export.name, compiled));
                    Vec::new()
                }
                Err(refused) => refused,
            };
            if first_of.contains_key(export.name.as_str()) {
                let message = format!("there is an attribute `{}` already", export.name);
                refused.insert(
                    0,
                    (
                        "as".to_owned(),
                        Refusal::new(message, "give the object another name, or rename the attribute"),
                    ),
                );
            }
            problems.extend(refused.into_iter().map(|(field, Refusal { message, remedy })| CompileProblem {
                index: 0,
                attribute: export.name.clone(),
                export_field: Some(field),
                message,
                remedy,
            }));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { gvk: Arc::new(spec.gvk.clone()), attributes })
    }

    /// The kind that the profile reads.
    pub fn gvk(&self) -> &Arc<Gvk> {
        &self.gvk
    }

    /// Adds what the profile reads of an object.
    pub(super) fn add_reads(&self, reads: &mut Reads) {
        for attribute in &self.attributes {
            match &attribute.source {
                Source::Path(path) => reads.add_all(path.reads()),
                Source::Cel(expression) => reads.merge(expression.reads()),
                Source::Resource(export) => export.add_reads(reads),
            }
        }
    }

    /// Evaluates all attributes on one object. Its work and its stack are bounded, and it does not panic, whatever the object
    /// holds.
    pub fn evaluate(&self, document: &Document<'_>) -> Extraction {
        let root = document.root();
        let mut out = Vec::with_capacity(256);
        let mut problems = Vec::new();
        let mut scope = None;
        out.push(b'{');
        for attribute in &self.attributes {
            let before = out.len();
            if before > 1 {
                out.push(b',');
            }
            out.extend_from_slice(&attribute.key);
            let outcome = match &attribute.source {
                Source::Path(path) => find(path, root, &mut out),
                Source::Cel(expression) => {
                    expression.evaluate(scope.get_or_insert_with(|| Scope::new(root)), &mut out)
                }
                Source::Resource(export) => export.evaluate(root, &mut scope, &mut out),
            };
            match (outcome, &attribute.missing) {
                (Outcome::Value, _) => {}
                (_, Missing::Omit) => out.truncate(before),
                (_, Missing::Default(json)) => out.extend_from_slice(json),
                (Outcome::Nothing, Missing::Required(json)) => out.extend_from_slice(json),
                (Outcome::Failure(message), Missing::Required(_)) => {
                    out.extend_from_slice(b"null");
                    problems.push(AttributeProblem { attribute: attribute.name.clone(), message });
                }
            }
        }
        out.push(b'}');
        // Only JSON was written, which is UTF-8.
        Extraction { attributes: String::from_utf8(out).unwrap_or_default(), problems }
    }
}

/// Looks up a path and appends what it names.
fn find(path: &Path, root: &Node<'_>, out: &mut Vec<u8>) -> Outcome {
    // Writing a tree into memory can't fail.
    let written = match path.find(root) {
        Ok(Found::Nothing) => return Outcome::Nothing,
        Ok(Found::One(node)) => serde_json::to_writer(out, node),
        Ok(Found::Many(nodes)) => serde_json::to_writer(out, &nodes),
        Err(exhausted) => return Outcome::Failure(exhausted.describe("path")),
    };
    match written {
        Ok(()) => Outcome::Value,
        Err(_) => Outcome::Failure("the value can't be written".to_owned()),
    }
}

impl Source {
    fn compile(path: &str) -> Result<Self, Refusal> {
        match path.trim_start().strip_prefix("cel:") {
            Some(expression) => Expression::compile(expression).map(Self::Cel),
            None => Path::compile(path).map(Self::Path),
        }
    }
}

impl Attribute {
    fn new(spec: &AttributeSpec, source: Source) -> Self {
        let mut key = json(&spec.name);
        key.push(b':');
        let missing = match (&spec.default, spec.optional, &source) {
            (Some(default), _, _) => Missing::Default(json(&Node::from(default))),
            (None, true, _) => Missing::Omit,
            (None, false, Source::Path(path)) if path.yields_list() => Missing::Required(b"[]"),
            (None, false, _) => Missing::Required(b"null"),
        };
        Self { name: spec.name.clone(), key, source, missing }
    }

    fn of_resource(name: &str, export: ResourceExport) -> Self {
        let mut key = json(&name);
        key.push(b':');
        let missing = Missing::Required(b"null");
        Self { name: name.to_owned(), key, source: Source::Resource(Box::new(export)), missing }
    }
}

/// Writing JSON into memory can't fail.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// What a profile gave for one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// The attributes as canonical JSON: an object without white space, its keys sorted.
    pub attributes: String,
    /// Required attributes that could not be evaluated, sorted by attribute; each is null in `attributes`.
    pub problems: Vec<AttributeProblem>,
}
