//! Profiles: which attributes a row gets from an object.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::cel::{Expression, Outcome, Scope};
use super::document::Document;
use super::guard;
use super::helm::Field;
use super::nesting::{TOO_DEEP, is_too_deep};
use super::node::Node;
use super::path::{Found, Path, Step};
use super::problem::{AttributeProblem, CompileProblem, Refusal};
use super::projection::Reads;
use super::resource::{ResourceExport, ResourceSpec};
use super::types::ValueType;
use crate::data::Gvk;

/// What a profile says, before it is compiled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileSpec {
    /// The kind that the profile reads.
    pub gvk: Gvk,
    /// The attributes, in the order of the resource.
    pub attributes: Vec<AttributeSpec>,
    /// Whether it may read the values of Secrets: its resource says so with the annotation
    /// [`ALLOW_SECRET_EXTRACTION`](super::ALLOW_SECRET_EXTRACTION).
    pub allow_secrets: bool,
    /// The object itself as one more attribute.
    pub export: Option<ResourceSpec>,
}

/// One attribute of a profile, before it is compiled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributeSpec {
    /// Name of the attribute; unique in its profile.
    pub name: String,
    /// Where its value comes from: `cel:<expression>`, `helm:release.<field>` or a JSONPath.
    pub path: String,
    /// The type that its values are converted to; without one they stay as they are.
    pub value_type: Option<ValueType>,
    /// Whether the attribute is left out when it has no value and no default.
    pub optional: bool,
    /// The value when there is none.
    pub default: Option<Value>,
}

/// A compiled profile. Compile once, evaluate for every object.
#[derive(Debug)]
pub struct Profile {
    gvk: Arc<Gvk>,
    allow_secrets: bool,
    /// Sorted by name: the order of the output.
    attributes: Vec<Attribute>,
}

#[derive(Debug)]
struct Attribute {
    name: String,
    /// The name as a JSON key, with its colon.
    key: Vec<u8>,
    source: Source,
    value_type: Option<ValueType>,
    missing: Missing,
}

#[derive(Debug)]
enum Source {
    Path(Path),
    Cel(Expression),
    Helm(Field),
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
            let mut refuse = |field: &str, Refusal { message, remedy }| {
                let (field, attribute) = (format!("attributes[{index}].{field}"), attribute.name.clone());
                problems.push(CompileProblem { field, attribute, message, remedy });
            };
            if attribute.name.is_empty() {
                refuse("name", Refusal::new("the attribute has no name", "name it"));
            } else if let Some(first) = first_of.insert(&attribute.name, index) {
                let refusal = Refusal::new(
                    format!("the name is already used by attribute number {}", first + 1),
                    "give each attribute a name of its own",
                );
                refuse("name", refusal);
                first_of.insert(&attribute.name, first);
            }
            let source = Source::compile(&attribute.path, spec).map_err(|refusal| refuse("path", refusal));
            let yields_list = source.as_ref().is_ok_and(Source::yields_list);
            let fits =
                check_type(attribute.value_type, yields_list).map_err(|refusal| refuse("type", refusal));
            let default = default(attribute).map_err(|refusal| refuse("default", refusal));
            if let (Ok(source), Ok(()), Ok(default)) = (source, fits, default) {
                attributes.push(Attribute::new(attribute, source, default));
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
                field: format!("export.{field}"),
                attribute: export.name.clone(),
                message,
                remedy,
            }));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { gvk: Arc::new(spec.gvk.clone()), allow_secrets: spec.allow_secrets, attributes })
    }

    /// The kind that the profile reads.
    pub fn gvk(&self) -> &Arc<Gvk> {
        &self.gvk
    }

    /// The names of the attributes that rows get, sorted.
    pub fn attribute_names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|attribute| attribute.name.as_str())
    }

    /// Adds what the profile reads of an object.
    pub(super) fn add_reads(&self, reads: &mut Reads) {
        self.attributes.iter().for_each(|attribute| attribute.source.add_reads(reads));
    }

    /// Evaluates all attributes on one object. Its work and its stack are bounded, and it does not panic, whatever the object
    /// holds.
    pub fn evaluate(&self, document: &Document<'_>) -> Extraction {
        let root = if self.allow_secrets { document.entire() } else { document.root() };
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
            let start = out.len();
            let mut outcome = match &attribute.source {
                Source::Path(path) => find(path, root, &mut out),
                Source::Cel(expression) => {
                    expression.evaluate(scope.get_or_insert_with(|| Scope::new(root)), &mut out)
                }
                Source::Helm(field) => release(field, document, &mut out),
                Source::Resource(export) if export.allows_secrets() => {
                    export.evaluate(document.entire(), &mut None, &mut out)
                }
                Source::Resource(export) => export.evaluate(document.root(), &mut None, &mut out),
            };
            if let (Outcome::Value, Some(value_type)) = (&outcome, attribute.value_type)
                && let Err(message) = value_type.convert(&mut out, start)
            {
                out.truncate(start);
                outcome = Outcome::Failure(message);
            }
            if outcome == Outcome::Value && is_too_deep(out.get(start..).unwrap_or_default()) {
                out.truncate(start);
                outcome = Outcome::Failure(TOO_DEEP.to_owned());
            }
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
    match path.find(root) {
        Ok(found) => write(&found, out),
        Err(exhausted) => Outcome::Failure(exhausted.describe("path")),
    }
}

/// Looks up a field of the Helm release in the object and appends what it names.
fn release(field: &Field, document: &Document<'_>, out: &mut Vec<u8>) -> Outcome {
    match document.release() {
        Ok(Some(release)) => match field.find(release) {
            Ok(found) => write(&found, out),
            Err(message) => Outcome::Failure(message),
        },
        Ok(None) => Outcome::Nothing,
        Err(message) => Outcome::Failure(message.to_owned()),
    }
}

fn write(found: &Found<'_, '_>, out: &mut Vec<u8>) -> Outcome {
    // Writing a tree into memory can't fail.
    let written = match found {
        Found::Nothing => return Outcome::Nothing,
        Found::One(node) => serde_json::to_writer(out, node),
        Found::Many(nodes) => serde_json::to_writer(out, nodes),
    };
    match written {
        Ok(()) => Outcome::Value,
        Err(_) => Outcome::Failure("the value can't be written".to_owned()),
    }
}

/// A type is about a value as a whole, so only one is left where that is always a list.
fn check_type(value_type: Option<ValueType>, yields_list: bool) -> Result<(), Refusal> {
    match value_type {
        Some(value_type) if yields_list && value_type != ValueType::List => Err(Refusal::new(
            format!("the path always gives a list, which is no {}", value_type.name()),
            "make the type `list`, or write a path that names one value, for example with `[0]` in place of `[*]`",
        )),
        _ => Ok(()),
    }
}

/// The default as JSON of the attribute's type.
fn default(spec: &AttributeSpec) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(default) = &spec.default else { return Ok(None) };
    let mut default = json(&Node::from(default));
    if is_too_deep(&default) {
        return Err(Refusal::new(TOO_DEEP, "give a default with fewer lists and maps in each other"));
    }
    if let Some(value_type) = spec.value_type {
        value_type.convert(&mut default, 0).map_err(|_| {
            Refusal::new(
                format!("the default is not of the attribute's type {}", value_type.name()),
                format!("give {}, or null", value_type.takes()),
            )
        })?;
    }
    Ok(Some(default))
}

impl Source {
    fn compile(path: &str, spec: &ProfileSpec) -> Result<Self, Refusal> {
        let text = path.trim_start();
        let (source, what) = if let Some(expression) = text.strip_prefix("cel:") {
            (Self::Cel(Expression::compile(expression)?), "CEL expression")
        } else if let Some(field) = text.strip_prefix("helm:") {
            // Needs no guard: it lets nothing out of a Secret but what it is about.
            return Field::compile(field, &spec.gvk).map(Self::Helm);
        } else {
            (Self::Path(Path::compile(path)?), "path")
        };
        if guard::covers(&spec.gvk) && !spec.allow_secrets {
            let mut reads = Reads::default();
            source.add_reads(&mut reads);
            guard::check(what, &reads)?;
        }
        Ok(source)
    }

    /// Adds what it reads of an object.
    fn add_reads(&self, reads: &mut Reads) {
        match self {
            Self::Path(path) => reads.add_all(path.reads()),
            Self::Cel(expression) => reads.merge(expression.reads()),
            Self::Resource(export) => export.add_reads(reads),
            Self::Helm(_) => {
                let key = |key: &str| Step::Key(key.to_owned());
                reads.add_all(&[key("type")]);
                reads.add_all(&[key("data"), key("release")]);
            }
        }
    }

    /// Whether every value is a list.
    fn yields_list(&self) -> bool {
        match self {
            Self::Path(path) => path.yields_list(),
            Self::Cel(_) | Self::Resource(_) => false,
            Self::Helm(field) => field.yields_list(),
        }
    }
}

impl Attribute {
    fn new(spec: &AttributeSpec, source: Source, default: Option<Vec<u8>>) -> Self {
        let mut key = json(&spec.name);
        key.push(b':');
        let missing = match (default, spec.optional) {
            (Some(default), _) => Missing::Default(default),
            (None, true) => Missing::Omit,
            (None, false) if source.yields_list() => Missing::Required(b"[]"),
            (None, false) => Missing::Required(b"null"),
        };
        Self { name: spec.name.clone(), key, source, value_type: spec.value_type, missing }
    }

    fn of_resource(name: &str, export: ResourceExport) -> Self {
        let mut key = json(&name);
        key.push(b':');
        let missing = Missing::Required(b"null");
        let source = Source::Resource(Box::new(export));
        Self { name: name.to_owned(), key, source, value_type: None, missing }
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
