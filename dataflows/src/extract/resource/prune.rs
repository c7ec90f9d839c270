//! What is removed from an object before it is exported.
//!
//! A place that is to be removed is remembered as the address of its node. So each way of naming places finds them in its own way in one
//! and the same tree, and removing several elements of a list needs no arithmetic.

use std::collections::BTreeSet;

use super::super::budget::{limited, spend, spend_text};
use super::super::cel::{Expression, Outcome, Scope};
use super::super::node::{Members, Node};
use super::super::path::{self, Found, Path, Step};
use super::super::problem::Refusal;
use super::super::projection::Reads;
use super::{Problems, PruneSpec};

/// Members of the metadata that the defaults remove.
pub(super) const DEFAULT_METADATA: [&str; 3] = ["managedFields", "resourceVersion", "generation"];

/// Annotations that the defaults remove.
pub(super) const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["kubectl.kubernetes.io/last-applied-configuration", "argocd.argoproj.io/tracking-id"];

const HOW_POINTER: &str = "write a JSON pointer such as `/metadata/annotations/example.com~1note`, with `~1` for `/` and `~0` for `~`";

const WHOLE: &str = "the whole object would be removed";

/// Nodes of one tree that are not exported.
#[derive(Default)]
pub(super) struct Removed(BTreeSet<usize>);

impl Removed {
    pub(super) fn add(&mut self, node: &Node<'_>) {
        self.0.insert(std::ptr::from_ref(node).addr());
    }

    fn has(&self, node: &Node<'_>) -> bool {
        self.0.contains(&std::ptr::from_ref(node).addr())
    }

    /// A copy of the tree without these nodes. It borrows the texts. Once the allowance is used up it is not complete.
    pub(super) fn rest_of<'n>(&self, node: &'n Node<'_>) -> Node<'n> {
        match node {
            _ if !spend(1) => Node::Null,
            Node::Null => Node::Null,
            Node::Bool(value) => Node::Bool(*value),
            Node::Int(value) => Node::Int(*value),
            Node::UInt(value) => Node::UInt(*value),
            Node::Float(value) => Node::Float(*value),
            Node::String(text) => {
                spend_text(text);
                Node::String(text.as_ref().into())
            }
            Node::Array(items) => Node::Array(
                items.iter().filter(|item| !self.has(item)).map(|item| self.rest_of(item)).collect(),
            ),
            Node::Object(members) => Node::Object(Members::new(
                members
                    .iter()
                    .filter(|(_, value)| !self.has(value))
                    .map(|(key, value)| (key.into(), self.rest_of(value)))
                    .collect(),
            )),
        }
    }

    /// Adds what the steps lead to. What is removed already is not searched: it may not even have been read.
    fn add_steps(&mut self, node: &Node<'_>, steps: &[Step]) {
        if self.has(node) || !spend(1) {
            return;
        }
        let Some((step, rest)) = steps.split_first() else {
            self.add(node);
            return;
        };
        match (step, node) {
            (Step::Key(key), _) => node.get(key).into_iter().for_each(|node| self.add_steps(node, rest)),
            (Step::Index(position), _) => {
                node.at(*position).into_iter().for_each(|node| self.add_steps(node, rest));
            }
            (Step::Every, Node::Array(items)) => items.iter().for_each(|node| self.add_steps(node, rest)),
            (Step::Every, Node::Object(members)) => {
                members.iter().for_each(|(_, node)| self.add_steps(node, rest));
            }
            (Step::Every, _) => {}
        }
    }

    fn add_pointer(&mut self, root: &Node<'_>, pointer: &[String]) {
        let found = pointer.iter().try_fold(root, |node, token| match node {
            Node::Array(items) => {
                // RFC 6901: digits without leading zeros. `-` is the element after the last one, which is not there.
                let plain =
                    token == "0" || token.bytes().all(|b| b.is_ascii_digit()) && !token.starts_with('0');
                if plain { items.get(token.parse::<usize>().ok()?) } else { None }
            }
            node => node.get(token),
        });
        if let Some(node) = found {
            self.add(node);
        }
    }
}

/// A compiled list of removals.
#[derive(Debug)]
pub(super) struct Prune {
    defaults: bool,
    pointers: Vec<Vec<String>>,
    /// Paths, each with its field.
    paths: Vec<(String, Path)>,
    expressions: Vec<Expression>,
}

impl Prune {
    /// Compiles everything; what can't be compiled is left out and reported.
    pub(super) fn compile(spec: &PruneSpec, problems: &mut Problems) -> Self {
        let mut pointers = Vec::new();
        for (index, text) in spec.json_pointers.iter().enumerate() {
            match pointer(text) {
                Ok(pointer) => pointers.push(pointer),
                Err(refusal) => problems.push((format!("prune.jsonPointers[{index}]"), refusal)),
            }
        }
        let preset = spec.preset.map_or(&[][..], |preset| preset.paths()).iter();
        let preset = preset.map(|text| ("prune.preset".to_owned(), *text));
        let own = spec.json_paths.iter().enumerate();
        let own = own.map(|(index, text)| (format!("prune.jsonPaths[{index}]"), text.as_str()));
        let mut paths = Vec::new();
        for (field, text) in preset.chain(own) {
            match place(text) {
                Ok(path) => paths.push((field, path)),
                Err(refusal) => problems.push((field, refusal)),
            }
        }
        let mut expressions = Vec::new();
        for (index, text) in spec.cel.iter().enumerate() {
            match Expression::compile(text.trim_start().strip_prefix("cel:").unwrap_or(text)) {
                Ok(expression) => expressions.push(expression),
                Err(refusal) => problems.push((format!("prune.cel[{index}]"), refusal)),
            }
        }
        Self { defaults: spec.defaults, pointers, paths, expressions }
    }

    pub(super) fn defaults(&self) -> bool {
        self.defaults
    }

    /// Adds what finding the places reads, beside the sections that are exported. What is removed by a path of keys, positions and wildcards is
    /// in a section or does not matter; a filter may depend on more.
    pub(super) fn add_reads(&self, reads: &mut Reads) {
        for (_, path) in self.paths.iter().filter(|(_, path)| path.steps().is_none()) {
            reads.add_all(path.reads());
        }
        for expression in &self.expressions {
            reads.merge(expression.reads());
        }
    }

    /// Marks what is removed.
    ///
    /// # Errors
    /// What could not be found out: a lowercase sentence without any value of the object.
    pub(super) fn mark<'n>(
        &self,
        root: &'n Node<'n>,
        scope: &mut Option<Scope<'n>>,
        removed: &mut Removed,
    ) -> Result<(), String> {
        if self.defaults
            && let Some(metadata) = root.get("metadata")
        {
            let annotations = metadata.get("annotations");
            let annotations = DEFAULT_ANNOTATIONS.iter().filter_map(|key| annotations?.get(key));
            let members = DEFAULT_METADATA.iter().filter_map(|key| metadata.get(key));
            members.chain(annotations).for_each(|node| removed.add(node));
        }
        self.pointers.iter().for_each(|pointer| removed.add_pointer(root, pointer));
        for (field, path) in &self.paths {
            let done = match path.steps() {
                Some(steps) => limited(|| removed.add_steps(root, steps)),
                None => path.find(root).map(|found| match found {
                    Found::Nothing => {}
                    Found::One(node) => removed.add(node),
                    Found::Many(nodes) => nodes.into_iter().for_each(|node| removed.add(node)),
                }),
            };
            done.map_err(|exhausted| format!("{field}: {}", exhausted.describe("path")))?;
        }
        for (index, expression) in self.expressions.iter().enumerate() {
            let scope = scope.get_or_insert_with(|| Scope::new(root));
            by_expression(expression, root, scope, removed)
                .map_err(|message| format!("prune.cel[{index}]: {message}"))?;
        }
        Ok(())
    }
}

/// With annotations gone, what is left of them is gone too.
pub(super) fn tidy(kept: &mut Node<'_>) {
    if let Node::Object(members) = kept
        && let Some(Node::Object(metadata)) = members.get_mut("metadata")
        && matches!(metadata.get("annotations"), Some(Node::Object(annotations)) if annotations.len() == 0)
    {
        metadata.remove("annotations");
    }
}

/// A JSONPath of something within the object.
fn place(text: &str) -> Result<Path, Refusal> {
    let path = Path::compile(text)?;
    if path.steps().is_some_and(<[Step]>::is_empty) {
        return Err(Refusal::new(WHOLE, "name something within it, such as `$.status`"));
    }
    Ok(path)
}

/// The tokens of a JSON pointer.
fn pointer(text: &str) -> Result<Vec<String>, Refusal> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(match text {
            "" => Refusal::new(WHOLE, "name something within it, such as `/status`"),
            _ => Refusal::new(
                format!("`{text}` is not a JSON pointer: it does not start with `/`"),
                HOW_POINTER,
            ),
        });
    };
    let tokens = rest.split('/').map(|token| {
        let escapes = token.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        escapes.then(|| token.replace("~1", "/").replace("~0", "~"))
    });
    tokens.collect::<Option<_>>().ok_or_else(|| {
        Refusal::new(format!("`{text}` is not a JSON pointer: it has a `~` without `0` or `1`"), HOW_POINTER)
    })
}

/// Marks the places that an expression gives.
fn by_expression<'n>(
    expression: &Expression,
    root: &'n Node<'n>,
    scope: &Scope<'n>,
    removed: &mut Removed,
) -> Result<(), String> {
    let mut json = Vec::new();
    match expression.evaluate(scope, &mut json) {
        Outcome::Value => {}
        Outcome::Nothing => return Ok(()),
        Outcome::Failure(message) => return Err(message),
    }
    let Ok(given) = serde_json::from_slice::<Node<'_>>(&json) else {
        return Err("the result is nested too deeply".to_owned());
    };
    limited(|| match &given {
        Node::Null | Node::Bool(false) => Ok(()),
        Node::Bool(true) => Err(
            "the result is true, which does not say what to remove; give a path, or a map from paths to bools"
                .to_owned(),
        ),
        Node::String(text) => by_text(text, root, removed),
        Node::Array(items) => items.iter().try_for_each(|item| match item {
            Node::String(text) => by_text(text, root, removed),
            _ => Err("the result is a list with something else than paths".to_owned()),
        }),
        Node::Object(members) => members.iter().try_for_each(|(text, value)| match value {
            Node::Bool(true) => by_text(text, root, removed),
            Node::Bool(false) | Node::Null => Ok(()),
            _ => Err("the result is a map with something else than bools".to_owned()),
        }),
        _ => Err("the result is a number; give a path, a list of paths, or a map from paths to bools".to_owned()),
    })
    .map_err(|exhausted| exhausted.describe("expression"))?
}

/// A path that an expression gave may be content of the object, so no message shows it.
fn by_text(text: &str, root: &Node<'_>, removed: &mut Removed) -> Result<(), String> {
    spend_text(text);
    if text.starts_with('/') {
        let tokens = pointer(text).map_err(|_| "the result has a text that is no JSON pointer".to_owned())?;
        removed.add_pointer(root, &tokens);
        return Ok(());
    }
    match path::plain_steps(text) {
        Some(steps) if steps.is_empty() => Err(WHOLE.to_owned()),
        Some(steps) => {
            removed.add_steps(root, &steps);
            Ok(())
        }
        None => Err(
            "the result has a text that is neither a JSON pointer nor a JSONPath of keys, positions and wildcards"
                .to_owned(),
        ),
    }
}
