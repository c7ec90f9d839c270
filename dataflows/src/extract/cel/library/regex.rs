//! Regular expressions: the standard `matches`, and Kubernetes' `find` and `findAll`.
//!
//! Calls are rewritten to functions that tell patterns that stand in the expression from computed ones. The former are compiled once, and were
//! seen to compile; compiling the latter is work each time, and they are not kept: an object could fill the memory with them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use cel::common::ast::{CallExpr, Expr};
use cel::common::functions::Function;
use cel::{DeclarationError, Env, ExecutionError};
use regex::Regex;

use super::{
    Answer, Arguments, INT, TEXT, TEXT_UNIT, bool, failure, functions, int, made, members, pay, text, texts,
};

/// What compiling a regular expression counts as: about a millisecond's work.
const PATTERN: usize = 10_000;

/// Greatest size of a compiled regular expression in bytes.
const PATTERN_SIZE: usize = 1 << 18;

/// The functions that take a pattern: their name, what they are rewritten to for a literal, and for a computed one.
const REWRITTEN: [(&str, &str, &str); 3] = [
    ("matches", "@matches", "@matchesComputed"),
    ("find", "@find", "@findComputed"),
    ("findAll", "@findAll", "@findAllComputed"),
];

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    // Expressions call these; they are what is checked.
    members(
        env,
        [
            ("find", &[TEXT, TEXT], find::<false>),
            ("findAll", &[TEXT, TEXT], find_all::<false>),
            ("findAll", &[TEXT, TEXT, INT], find_all::<false>),
        ],
    )?;
    let rewritten: [(Function, Function); 3] = [
        (matches::<true>, matches::<false>),
        (find::<true>, find::<false>),
        (find_all::<true>, find_all::<false>),
    ];
    for ((_, literal, computed), (with_literal, with_computed)) in REWRITTEN.into_iter().zip(rewritten) {
        functions(env, [(literal, &[TEXT, TEXT], with_literal), (computed, &[TEXT, TEXT], with_computed)])?;
    }
    functions(
        env,
        [
            ("@findAll", &[TEXT, TEXT, INT], find_all::<true>),
            ("@findAllComputed", &[TEXT, TEXT, INT], find_all::<false>),
        ],
    )
}

/// What an expression calls a function that it was rewritten to.
pub(in super::super) fn shown(function: &str) -> Option<&'static str> {
    let rewritten = REWRITTEN.iter().find(|(_, literal, computed)| [*literal, *computed].contains(&function));
    rewritten.map(|(name, ..)| *name)
}

/// Where among the arguments of a call the pattern is, if the function takes one.
pub(in super::super) fn pattern_of(call: &CallExpr) -> Option<usize> {
    match (call.func_name.as_str(), call.target.is_some(), call.args.len()) {
        ("matches", false, 2) => Some(1),
        ("matches" | "find", true, 1) | ("findAll", true, 1 | 2) => Some(0),
        _ => None,
    }
}

/// Rewrites a call of a function that takes a pattern. False for any other.
pub(in super::super) fn rewrite(call: &mut CallExpr) -> bool {
    let Some(position) = pattern_of(call) else { return false };
    let Some((_, literal, computed)) = REWRITTEN.iter().find(|(name, ..)| *name == call.func_name) else {
        return false;
    };
    let is_literal = matches!(call.args.get(position).map(|pattern| &pattern.expr), Some(Expr::Literal(_)));
    if let Some(target) = call.target.take() {
        call.args.insert(0, *target);
    }
    call.func_name = if is_literal { literal } else { computed }.to_string();
    true
}

/// Compiles a regular expression of bounded size.
pub(in super::super) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text).size_limit(PATTERN_SIZE).build()
}

thread_local! {
    /// The regular expressions that stand as literals in expressions. The interpreter would compile them for each match.
    static PATTERNS: RefCell<HashMap<String, Rc<Regex>>> = RefCell::new(HashMap::new());
}

/// The pattern that is the second argument.
fn compiled<const LITERAL: bool>(function: &str, source: &str) -> Result<Rc<Regex>, ExecutionError> {
    /// Enough for every profile of a large installation; beyond it they are compiled again.
    const KEPT: usize = 1024;
    let compile = || match pattern(source) {
        Ok(pattern) => Ok(Rc::new(pattern)),
        Err(_) => Err(failure(function, "is given an invalid or too large regular expression")),
    };
    if !LITERAL {
        pay(PATTERN)?;
        return compile();
    }
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(pattern) = patterns.get(source) {
            return Ok(Rc::clone(pattern));
        }
        let pattern = compile()?;
        if patterns.len() >= KEPT {
            patterns.clear();
        }
        patterns.insert(source.to_owned(), Rc::clone(&pattern));
        Ok(pattern)
    })
}

fn matches<'b, 'v, const LITERAL: bool>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, source) = (text(&arguments, 0)?, text(&arguments, 1)?);
    pay(text.len())?;
    bool(compiled::<LITERAL>("matches", source)?.is_match(text))
}

fn find<'b, 'v, const LITERAL: bool>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, source) = (text(&arguments, 0)?, text(&arguments, 1)?);
    pay(text.len())?;
    let found = compiled::<LITERAL>("find", source)?.find(text).map_or("", |found| found.as_str());
    made(found.to_owned())
}

fn find_all<'b, 'v, const LITERAL: bool>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, source) = (text(&arguments, 0)?, text(&arguments, 1)?);
    let limit = if arguments.len() == 3 { int(&arguments, 2)? } else { -1 };
    pay(text.len())?;
    let pattern = compiled::<LITERAL>("findAll", source)?;
    let mut found = Vec::new();
    for part in pattern.find_iter(text).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        // A search may look at all of the rest to find something short.
        pay(1 + (text.len() - part.start()) / TEXT_UNIT)?;
        found.push(part.as_str());
    }
    texts(found)
}
