//! The function libraries that Kubernetes users know, besides CEL's standard one.
//!
//! ```text
//! arguments: lazy or made values ──► read, and counted as they are ──► a value, counted before it is made
//! ```
//!
//! They behave as in Kubernetes' own CEL, whose lists, sets, strings and math are cel-go's extensions. A function is found by the types
//! of its arguments; each counts what it reads and what it makes, and its errors are told by [`failure`], which takes no value of the object.
//!
//! [`math`] is the interpreter's own extension, since nothing in it does more work than its arguments are long. Its strings and lists
//! are not used: a few characters make them produce or compare without bounds.

mod format;
mod ip;
mod lists;
mod math;
mod opaque;
mod quantity;
pub(super) mod regex;
mod semver;
mod sets;
mod strings;
#[cfg(test)]
mod tests;
mod url;

use cel::common::functions::Function;
use cel::common::types::{self, CelBool, CelInt, CelList, CelString, Type};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::super::budget::{TEXT_UNIT, spend, spend_text};
use super::functions::{count, exhausted, no_overload};

pub(super) use math::EXTREMES;
pub(super) use opaque::text as text_of;

/// What stands before the dot in functions' names.
pub(super) const NAMESPACES: [&str; 7] = ["format", "ip", "lists", "math", "sets", "strings", "optional"];

const ANY: Type = types::DYN_TYPE;
const BOOL: Type = types::BOOL_TYPE;
const INT: Type = types::INT_TYPE;
const LIST: Type = types::LIST_TYPE;
const TEXT: Type = types::STRING_TYPE;

/// Adds the libraries to an environment.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    let libraries = [
        format::declare,
        ip::declare,
        lists::declare,
        math::declare,
        quantity::declare,
        regex::declare,
        semver::declare,
        sets::declare,
        strings::declare,
        url::declare,
    ];
    libraries.into_iter().try_for_each(|declare| declare(env))
}

/// What the functions of a library are given, its target first.
type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;

/// What they give.
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// A value among the arguments or within one.
type Item<'a, 'v> = &'a (dyn Val + 'v);

/// Adds functions that are called `name(a, b)`.
fn functions<const N: usize>(
    env: &mut Env,
    functions: [(&str, &[Type], Function); N],
) -> Result<(), DeclarationError> {
    functions.into_iter().try_for_each(|(name, arguments, function)| {
        env.add_overload(name, &id(name, arguments), owned(arguments), function)
    })
}

/// Adds functions that are called `a.name(b)`: the type of the target comes first.
fn members<const N: usize>(
    env: &mut Env,
    functions: [(&str, &[Type], Function); N],
) -> Result<(), DeclarationError> {
    functions.into_iter().try_for_each(|(name, arguments, function)| {
        let id = format!("{}.member", id(name, arguments));
        let (target, rest) = arguments.split_first().unwrap_or((&ANY, &[]));
        env.add_member_overload(name, &id, target.to_owned(), owned(rest), function)
    })
}

fn owned(types: &[Type]) -> Vec<Type> {
    types.iter().map(Type::to_owned).collect()
}

/// Overloads of one name are told apart by their types.
fn id(name: &str, arguments: &[Type]) -> String {
    let types: Vec<_> = arguments.iter().map(Type::name).collect();
    format!("{name}({})", types.join(","))
}

/// The error of a function that can't be applied to the values of its arguments. `why` follows the function's name in a sentence.
fn failure(function: &str, why: &'static str) -> ExecutionError {
    ExecutionError::function_error(&format!("@{function}"), why)
}

/// The sentence of an error made by [`failure`].
pub(super) fn describe(function: &str, why: &str) -> Option<String> {
    function.strip_prefix('@').map(|function| format!("`{function}` {why}"))
}

/// Goes on if there is allowance for `units`.
fn pay(units: usize) -> Result<(), ExecutionError> {
    if spend(units) { Ok(()) } else { Err(exhausted()) }
}

/// The argument at a position. Overloads are picked by number and types, so there is one, of the type asked for.
fn argument<'a, 'b, 'v>(
    arguments: &'a [CowVal<'b, 'v>],
    position: usize,
) -> Result<Item<'a, 'v>, ExecutionError> {
    let missing = || ExecutionError::invalid_argument_count(position + 1, arguments.len());
    arguments.get(position).map(CowVal::as_ref).ok_or_else(missing)
}

/// The text at a position; reading it is counted.
fn text<'a>(arguments: &'a [CowVal<'_, '_>], position: usize) -> Result<&'a str, ExecutionError> {
    text_in(argument(arguments, position)?)
}

fn text_in<'a>(value: Item<'a, '_>) -> Result<&'a str, ExecutionError> {
    let text = value.downcast_ref::<CelString<'_>>().ok_or_else(|| unexpected(value, "string"))?;
    if spend_text(text) { Ok(text.inner()) } else { Err(exhausted()) }
}

fn int(arguments: &[CowVal<'_, '_>], position: usize) -> Result<i64, ExecutionError> {
    let value = argument(arguments, position)?;
    value.downcast_ref::<CelInt>().map(|int| *int.inner()).ok_or_else(|| unexpected(value, "int"))
}

fn flag(arguments: &[CowVal<'_, '_>], position: usize) -> Result<bool, ExecutionError> {
    let value = argument(arguments, position)?;
    value.downcast_ref::<CelBool>().map(|flag| *flag.inner()).ok_or_else(|| unexpected(value, "bool"))
}

/// The elements of the list at a position; visiting them is counted.
fn items<'a, 'v>(
    arguments: &'a [CowVal<'_, 'v>],
    position: usize,
) -> Result<Vec<Item<'a, 'v>>, ExecutionError> {
    items_in(argument(arguments, position)?)
}

fn items_in<'a, 'v>(value: Item<'a, 'v>) -> Result<Vec<Item<'a, 'v>>, ExecutionError> {
    let mut iterator = value.as_iterable().ok_or_else(|| unexpected(value, "list"))?.iter();
    let mut items = Vec::new();
    while let Some(item) = iterator.next() {
        pay(1)?;
        items.push(item);
    }
    Ok(items)
}

fn unexpected(value: &dyn Val, want: &str) -> ExecutionError {
    ExecutionError::UnexpectedType { got: value.get_type().name().to_owned(), want: want.to_owned() }
}

fn bool<'b, 'v>(value: bool) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelBool::from(value)))
}

fn number<'b, 'v>(value: i64) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelInt::from(value)))
}

/// A position or length of something in memory.
fn position<'b, 'v>(value: Option<usize>) -> Answer<'b, 'v> {
    number(value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX)))
}

/// A text that was made; it is counted. One that may be much longer than what it is made of is paid for before it is made.
fn made<'b, 'v>(text: String) -> Answer<'b, 'v> {
    pay(text.len() / TEXT_UNIT)?;
    Ok(CowVal::owned(CelString::from(text)))
}

/// A list of texts that are made.
fn texts<'b, 'v, T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Answer<'b, 'v> {
    let mut list: Vec<Box<dyn Val + 'v>> = Vec::new();
    for text in texts {
        let text: String = text.into();
        pay(1 + text.len() / TEXT_UNIT)?;
        list.push(Box::new(CelString::from(text)));
    }
    Ok(CowVal::owned(CelList::from(list)))
}

/// A list of copies.
fn copies<'a, 'b, 'v: 'a>(items: impl IntoIterator<Item = Item<'a, 'v>>) -> Answer<'b, 'v> {
    let mut list = Vec::new();
    for item in items {
        if !count(item) {
            return Err(exhausted());
        }
        list.push(item.clone_as_boxed());
    }
    Ok(CowVal::owned(CelList::from(list)))
}
