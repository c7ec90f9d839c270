//! Paths that the direct walk can't take, evaluated by jsonpath-rust on our tree.

use std::borrow::Cow;
use std::cell::Cell;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use jsonpath_rust::query::queryable::Queryable;
use regex::RegexBuilder;

use super::super::budget::{Exhausted, limited, spend};
use super::super::node::Node;
use super::super::problem::Refusal;
use super::spelling::Segment;

/// The functions of RFC 9535.
const FUNCTIONS: [&str; 5] = ["count", "length", "match", "search", "value"];

/// Those of them that take a regular expression.
const MATCHING: [&str; 2] = ["match", "search"];

/// Greatest size of a compiled regular expression in bytes. The engine compiles it anew for each element that it tests.
const PATTERN_SIZE: usize = 1 << 15;

/// What testing an element by a regular expression counts as.
const PATTERN: usize = 2_000;

/// A compiled query.
#[derive(Debug)]
pub(super) struct Query {
    query: JpQuery,
    /// What visiting an element counts as.
    cost: usize,
}

/// Compiles segments that the direct walk can't take.
pub(super) fn compile(segments: &[Segment]) -> Result<Query, Refusal> {
    let mut text = String::from("$");
    let mut cost = 1;
    for segment in segments {
        if let Segment::Brackets(content) = innermost(segment) {
            cost += check_functions(content)? * PATTERN;
        }
        segment.write(&mut text);
    }
    let query = parse_json_path(&text).map_err(|error| {
        let error = error.to_string();
        let detail = error.lines().rev().find_map(|line| line.trim().strip_prefix("= ")).map(str::trim);
        Refusal::new(
            match detail {
                Some(detail) => format!("the path is not a valid JSONPath: `{text}`: {detail}"),
                None => format!("the path is not a valid JSONPath: `{text}`"),
            },
            "write slices, filters and unions as RFC 9535 has them, for example `[0:2]`, `[?@.type=='Ready']`, `['a','b']`",
        )
    })?;
    Ok(Query { query, cost })
}

fn innermost(segment: &Segment) -> &Segment {
    match segment {
        Segment::Descendant(segment) => innermost(segment),
        segment => segment,
    }
}

/// The engine's grammar has functions of its own besides the standard ones. They are not part of what is promised, so
/// a name followed by a parenthesis must be a standard function. Gives the number of regular expressions, which are bounded.
fn check_functions(content: &str) -> Result<usize, Refusal> {
    let mut quotes = Quotes::default();
    let mut name = String::new();
    let mut patterns = 0;
    for (at, c) in content.char_indices() {
        if quotes.pass(c) {
            name.clear();
            continue;
        }
        if c == '(' && !name.is_empty() {
            if !FUNCTIONS.contains(&name.as_str()) {
                return Err(Refusal::new(
                    format!("the path uses the function `{name}`, which JSONPath does not have"),
                    format!("use one of {}, or CEL", FUNCTIONS.join(", ")),
                ));
            }
            if MATCHING.contains(&name.as_str()) {
                check_pattern(&name, &content[at + 1..])?;
                patterns += 1;
            }
        }
        if c.is_alphanumeric() || c == '_' {
            name.push(c);
        } else {
            name.clear();
        }
    }
    Ok(patterns)
}

/// Whether a character stands in a text in quotes, its quotes included.
#[derive(Default)]
struct Quotes {
    mark: Option<char>,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, c: char) -> bool {
        match (self.mark, c) {
            _ if self.escaped => self.escaped = false,
            (Some(_), '\\') => self.escaped = true,
            (Some(mark), _) if mark == c => self.mark = None,
            (None, '\'' | '"') => self.mark = Some(c),
            (Some(_), _) => {}
            (None, _) => return false,
        }
        true
    }
}

/// Checks the regular expression of a call: the second of the arguments, with which `rest` begins.
fn check_pattern(function: &str, rest: &str) -> Result<(), Refusal> {
    let (mut quotes, mut depth) = (Quotes::default(), 0_usize);
    let mut start = None;
    let mut end = rest.len();
    for (at, c) in rest.char_indices() {
        if quotes.pass(c) {
            continue;
        }
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 0 => {
                end = at;
                break;
            }
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => start = Some(at + 1),
            _ => {}
        }
    }
    // What has no two arguments, or no end, the parser refuses.
    let Some(argument) = start.and_then(|start| rest.get(start..end)) else { return Ok(()) };
    let pattern = literal(argument.trim()).ok_or_else(|| {
        Refusal::new(
            format!("the pattern of `{function}` is not a text in quotes"),
            "write the pattern itself, or use CEL, whose `matches` takes computed patterns",
        )
    })?;
    match RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE).build() {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::new(
            format!("the path has an invalid or too large regular expression `{pattern}`"),
            "correct it, or use CEL, whose `matches` takes larger ones",
        )),
    }
}

/// The text that a literal stands for.
fn literal(quoted: &str) -> Option<String> {
    let mark = quoted.chars().next().filter(|mark| matches!(mark, '\'' | '"'))?;
    let inner = quoted.strip_prefix(mark)?.strip_suffix(mark)?;
    // As JSON has it, but for the quotes.
    let json = if mark == '"' { inner.to_owned() } else { inner.replace("\\'", "'").replace('"', "\\\"") };
    serde_json::from_str(&format!("\"{json}\"")).ok()
}

thread_local! {
    /// What visiting an element of the query under way counts as.
    static COST: Cell<usize> = const { Cell::new(1) };
}

/// Counts a visit of a list or map with so many elements.
fn visit(elements: usize) -> bool {
    spend(1 + elements.saturating_mul(COST.get()))
}

/// Runs a query.
pub(super) fn run<'n, 'd>(query: &Query, root: &'n Node<'d>) -> Result<Vec<&'n Node<'d>>, Exhausted> {
    let Query { query, cost } = query;
    COST.set(*cost);
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
            Self::Array(items) if visit(items.len()) => Some(items),
            _ => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match self {
            Self::Object(members) if visit(members.len()) => Some(members.iter().collect()),
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
