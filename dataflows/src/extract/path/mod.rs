//! JSONPath attributes.
//!
//! ```text
//! text ──► spelling: one list of segments, whatever the dialect
//!              │
//!              ├─ keys, positions and `*` only ──► walked directly
//!              └─ anything else ──► RFC 9535 text ──► jsonpath-rust
//! ```
//!
//! A path that can name more than one value (it has a wildcard, slice, filter, union or `..`) always yields a list,
//! in document order with the members of an object in the order of their keys; any other yields the value itself.

mod engine;
mod spelling;
#[cfg(test)]
mod tests;

use super::budget::{Exhausted, limited, spend};
use super::node::Node;
use super::problem::Refusal;
use spelling::Segment;

/// A compiled path.
#[derive(Debug)]
pub(super) struct Path {
    route: Route,
    /// Whether the path yields a list.
    many: bool,
    /// The path, or the part of it before what the direct walk can't take: all that it reads lies below.
    reads: Vec<Step>,
}

#[derive(Debug)]
enum Route {
    Steps(Vec<Step>),
    Query(engine::Query),
}

/// One step of a path that is walked directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The member with this key.
    Key(String),
    /// The element at this position; a negative one counts from the end.
    Index(i64),
    /// All members or elements.
    Every,
}

/// What a path names in one object.
#[derive(Debug)]
pub(super) enum Found<'n, 'd> {
    /// Nothing.
    Nothing,
    /// The value of a path that names one.
    One(&'n Node<'d>),
    /// The values, at least one, of a path that yields a list.
    Many(Vec<&'n Node<'d>>),
}

impl Path {
    /// Compiles a path in any of the accepted spellings.
    pub(super) fn compile(text: &str) -> Result<Self, Refusal> {
        let segments = spelling::parse(text)?;
        let steps: Option<Vec<Step>> = segments.iter().map(Segment::step).collect();
        let many = segments.iter().any(|segment| !matches!(segment, Segment::Key(_) | Segment::Index(_)));
        // A filter may read anything: `$` in it is the whole object.
        let anywhere = segments.iter().any(Segment::may_read_root);
        let reads = if anywhere { Vec::new() } else { segments.iter().map_while(Segment::step).collect() };
        let route = match steps {
            Some(steps) => Route::Steps(steps),
            None => Route::Query(engine::compile(&segments)?),
        };
        Ok(Self { route, many, reads })
    }

    /// The steps to what the path reads of an object.
    pub(super) fn reads(&self) -> &[Step] {
        &self.reads
    }

    /// The whole path, if it has only keys, positions and wildcards.
    pub(super) fn steps(&self) -> Option<&[Step]> {
        match &self.route {
            Route::Steps(steps) => Some(steps),
            Route::Query(_) => None,
        }
    }

    /// Whether the path yields a list.
    pub(super) fn yields_list(&self) -> bool {
        self.many
    }

    /// Looks up what the path names.
    pub(super) fn find<'n, 'd>(&self, root: &'n Node<'d>) -> Result<Found<'n, 'd>, Exhausted> {
        let found = match &self.route {
            Route::Steps(steps) if !self.many => {
                return Ok(one(root, steps).map_or(Found::Nothing, Found::One));
            }
            Route::Steps(steps) => limited(|| {
                let mut found = Vec::new();
                every(root, steps, &mut found);
                found
            })?,
            Route::Query(query) => engine::run(query, root)?,
        };
        Ok(if found.is_empty() { Found::Nothing } else { Found::Many(found) })
    }
}

/// The steps of a path that has only keys, positions and wildcards; cheap.
pub(super) fn plain_steps(text: &str) -> Option<Vec<Step>> {
    spelling::parse(text).ok()?.iter().map(Segment::step).collect()
}

/// The walk of a path of keys and positions.
fn one<'n, 'd>(root: &'n Node<'d>, steps: &[Step]) -> Option<&'n Node<'d>> {
    steps.iter().try_fold(root, |node, step| match step {
        Step::Key(key) => node.get(key),
        Step::Index(position) => node.at(*position),
        Step::Every => None,
    })
}

/// The walk of a path with wildcards.
fn every<'n, 'd>(node: &'n Node<'d>, steps: &[Step], found: &mut Vec<&'n Node<'d>>) {
    if !spend(1) {
        return;
    }
    let Some((step, rest)) = steps.split_first() else {
        found.push(node);
        return;
    };
    match (step, node) {
        (Step::Key(key), _) => node.get(key).into_iter().for_each(|node| every(node, rest, found)),
        (Step::Index(position), _) => {
            node.at(*position).into_iter().for_each(|node| every(node, rest, found))
        }
        (Step::Every, Node::Array(items)) => items.iter().for_each(|node| every(node, rest, found)),
        (Step::Every, Node::Object(members)) => members.iter().for_each(|(_, node)| every(node, rest, found)),
        (Step::Every, _) => {}
    }
}
