//! Paths that the direct walk can't take, evaluated by jsonpath-rust on our tree.

use std::borrow::Cow;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use jsonpath_rust::query::queryable::Queryable;

use super::super::budget::{Exhausted, limited, spend};
use super::super::node::Node;
use super::super::problem::Refusal;
use super::spelling::Segment;

/// The functions of RFC 9535.
const FUNCTIONS: [&str; 5] = ["count", "length", "match", "search", "value"];

/// Compiles segments that the direct walk can't take.
pub(super) fn compile(segments: &[Segment]) -> Result<JpQuery, Refusal> {
    let mut text = String::from("$");
    for segment in segments {
        if let Segment::Brackets(content) = innermost(segment) {
            check_functions(content)?;
        }
        segment.write(&mut text);
    }
    parse_json_path(&text).map_err(|error| {
        let error = error.to_string();
        let detail = error.lines().rev().find_map(|line| line.trim().strip_prefix("= ")).map(str::trim);
        Refusal::new(
            match detail {
                Some(detail) => format!("the path is not a valid JSONPath: `{text}`: {detail}"),
                None => format!("the path is not a valid JSONPath: `{text}`"),
            },
            "write slices, filters and unions as RFC 9535 has them, for example `[0:2]`, `[?@.type=='Ready']`, `['a','b']`",
        )
    })
}

fn innermost(segment: &Segment) -> &Segment {
    match segment {
        Segment::Descendant(segment) => innermost(segment),
        segment => segment,
    }
}

/// The engine's grammar has functions of its own besides the standard ones. They are not part of what is promised, so
/// a name followed by a parenthesis must be a standard function.
fn check_functions(content: &str) -> Result<(), Refusal> {
    let mut quote = None;
    let mut escaped = false;
    let mut name = String::new();
    for c in content.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), _) if mark == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') if !name.is_empty() && !FUNCTIONS.contains(&name.as_str()) => {
                return Err(Refusal::new(
                    format!("the path uses the function `{name}`, which JSONPath does not have"),
                    format!("use one of {}, or CEL", FUNCTIONS.join(", ")),
                ));
            }
            (None, c) if c.is_alphanumeric() || c == '_' => {
                name.push(c);
                continue;
            }
            (None, _) => {}
        }
        name.clear();
    }
    Ok(())
}

/// Runs a query.
pub(super) fn run<'n, 'd>(query: &JpQuery, root: &'n Node<'d>) -> Result<Vec<&'n Node<'d>>, Exhausted> {
    limited(|| {
        // The engine fails only where a query gives a value that is no part of the tree, which none of its segments does.
        js_path_process(query, root)
            .map(|found| found.into_iter().map(|found| found.val()).collect())
            .unwrap_or_default()
    })
}

/// What the engine sees of a tree. Every visit is counted; once the allowance is used up, nothing more is found.
impl Queryable for Node<'_> {
    fn get(&self, key: &str) -> Option<&Self> {
        if spend(1) { Node::get(self, key) } else { None }
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(items) if spend(1 + items.len()) => Some(items),
            _ => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match self {
            Self::Object(members) if spend(1 + members.len()) => Some(members.iter().collect()),
            _ => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        self.as_text()
    }

    fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss)] // The engine compares numbers as floats.
    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::UInt(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn null() -> Self {
        Self::Null
    }
}

impl From<&str> for Node<'_> {
    fn from(text: &str) -> Self {
        Self::String(Cow::Owned(text.to_owned()))
    }
}

impl From<String> for Node<'_> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

impl From<bool> for Node<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Node<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Node<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<Vec<Self>> for Node<'_> {
    fn from(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
}
