//! The functions that operators are rewritten to: the same results for lazy and owned lists and maps, and counted.

use cel::common::ast::operators;
use cel::common::types::{
    self, CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelOptional, CelString, CelTimestamp,
    CelUInt, Type,
};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};

use super::super::budget::{TEXT_UNIT, spend, spend_text};
use super::library;

/// `a == b`.
pub(super) const EQUAL: &str = "@equal";
/// `a + b`.
pub(super) const ADD: &str = "@add";
/// `a in b`.
pub(super) const WITHIN: &str = "@within";
/// The range of a macro.
pub(super) const RANGE: &str = "@range";
/// A time that was just read from a text.
pub(super) const UTC: &str = "@utc";
/// A value that was just made from others.
pub(super) const MADE: &str = "@made";
/// A value that a function reads whole.
pub(super) const READ: &str = "@read";

/// Adds the functions to an environment.
pub(super) fn declare(env: &mut Env) {
    let any = || types::DYN_TYPE;
    let functions: [(&str, Vec<Type>, cel::common::functions::Function); 7] = [
        (EQUAL, vec![any(), any()], equal_function),
        (ADD, vec![any(), any()], add),
        (WITHIN, vec![any(), any()], within),
        (RANGE, vec![any()], range),
        (MADE, vec![any()], made),
        (READ, vec![any()], read_function),
        (UTC, vec![types::TIMESTAMP_TYPE], utc),
    ];
    for (name, arguments, function) in functions {
        // It fails only for a name that is taken; no other function's name has an `@`.
        let _: Result<(), _> = env.add_overload(name, name, arguments, function);
    }
}

/// A function's name as its author writes it.
pub(super) fn shown(function: &str) -> String {
    let name = match function {
        EQUAL => "==",
        ADD => "+",
        WITHIN | operators::IN => "in",
        "_._" | operators::OPT_SELECT => return "a selection with `.`".to_owned(),
        operators::INDEX | operators::OPT_INDEX => return "a selection with `[ ]`".to_owned(),
        operators::CONDITIONAL => "? :",
        name => match library::EXTREMES.iter().find(|(function, _)| *function == name) {
            Some((_, shown)) => shown,
            None => library::regex::shown(name).unwrap_or(name).trim_matches('_'),
        },
    };
    format!("`{name}`")
}

/// The error of an operator or function that does not take values of these types.
pub(super) fn no_overload<const N: usize>(function: &str, arguments: [&dyn Val; N]) -> ExecutionError {
    let types = arguments.iter().map(|argument| argument.get_type().name().to_owned()).collect();
    ExecutionError::no_such_overload(function, types)
}

/// The error of a function that has no allowance to go on.
pub(super) fn exhausted() -> ExecutionError {
    // Never shown: an evaluation that used up its allowance has no result, whatever became of this error.
    ExecutionError::function_error(RANGE, "the allowance is used up")
}

/// Whether a map may be asked for a key of this type.
pub(super) fn is_key(value: &dyn Val) -> bool {
    value.downcast_ref::<CelString<'_>>().is_some()
        || value.downcast_ref::<CelInt>().is_some()
        || value.downcast_ref::<CelUInt>().is_some()
        || value.downcast_ref::<CelBool>().is_some()
        || value.downcast_ref::<CelDouble>().is_some()
}

/// CEL's equality.
pub(super) fn equal(left: &dyn Val, right: &dyn Val) -> bool {
    if !spend(1) {
        return false;
    }
    let (kind, other) = (left.get_type(), right.get_type());
    if kind == &types::LIST_TYPE && other == &types::LIST_TYPE {
        let (Some(left), Some(right)) = (left.as_iterable(), right.as_iterable()) else { return false };
        let (mut left, mut right) = (left.iter(), right.iter());
        loop {
            match (left.next(), right.next()) {
                (Some(left), Some(right)) if equal(left, right) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
    if kind == &types::MAP_TYPE && other == &types::MAP_TYPE {
        return equal_maps(left, right).unwrap_or(false);
    }
    // A lazy list or map would ask this function again.
    if kind == &types::LIST_TYPE || kind == &types::MAP_TYPE {
        return false;
    }
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelOptional<'_>>(), right.downcast_ref::<CelOptional<'_>>())
    {
        return match (left.option(), right.option()) {
            (Some(left), Some(right)) => equal(left, right),
            (None, None) => true,
            _ => false,
        };
    }
    let length = |value: &dyn Val| value.downcast_ref::<CelString<'_>>().map_or(0, |text| text.len());
    spend(length(left).min(length(right)) / TEXT_UNIT) && left.equals(right)
}

/// `None` where a value claims to be a map and is none.
fn equal_maps(left: &dyn Val, right: &dyn Val) -> Option<bool> {
    if left.as_sizer()?.size() != right.as_sizer()?.size() {
        return Some(false);
    }
    let (values, others) = (left.as_indexer()?, right.as_indexer()?);
    let mut keys = left.as_iterable()?.iter();
    while let Some(key) = keys.next() {
        match (values.get(key), others.get(key)) {
            (Ok(left), Ok(right)) if equal(left.as_ref(), right.as_ref()) => {}
            _ => return Some(false),
        }
    }
    Some(true)
}

fn equal_function<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = take(arguments)?;
    Ok(CowVal::owned(CelBool::from(equal(left.as_ref(), right.as_ref()))))
}

/// The interpreter also adds the keys of a map to a list, in no order; CEL does not.
fn add<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = take(arguments)?;
    let overload = || no_overload(ADD, [left.as_ref(), right.as_ref()]);
    if left.get_type() == &types::LIST_TYPE && right.get_type() != &types::LIST_TYPE {
        return Err(overload());
    }
    let sum = left.as_adder().ok_or_else(overload)?.add(right.as_ref());
    let sum = sum.map_err(|error| match error {
        ExecutionError::Overflow(..) => error,
        _ => overload(),
    })?;
    made(vec![CowVal::Owned(sum.into_owned())])
}

/// The same time in UTC, which is what CEL's accessors tell (`getHours()`) when they are given no zone. The interpreter's
/// keep the offset of the text.
fn utc<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [time] = take(arguments)?;
    match time.downcast_ref::<CelTimestamp>() {
        Some(time) => Ok(CowVal::owned(CelTimestamp::from(time.inner().to_utc().fixed_offset()))),
        None => Err(no_overload(UTC, [time.as_ref()])),
    }
}

fn within<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, container] = take(arguments)?;
    let overload = || no_overload(operators::IN, [value.as_ref(), container.as_ref()]);
    if container.get_type() == &types::LIST_TYPE {
        let mut items = container.as_iterable().ok_or_else(overload)?.iter();
        while let Some(item) = items.next() {
            if equal(item, value.as_ref()) {
                return Ok(CowVal::owned(CelBool::from(true)));
            }
        }
        return Ok(CowVal::owned(CelBool::from(false)));
    }
    match container.as_container().map(|container| container.contains(value.as_ref())) {
        Some(Ok(found)) => Ok(CowVal::owned(CelBool::from(found))),
        _ => Err(overload()),
    }
}

/// Counts the range of a macro. A map of the interpreter has no order, and what depends on one must not change from run
/// to run: so its keys are put in order.
fn range<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [range] = take(made(arguments).map(|range| vec![range])?)?;
    // A macro's body runs once for each element.
    let elements =
        range.as_sizer().map_or(0, |sizer| usize::try_from(*sizer.size().inner()).unwrap_or(usize::MAX));
    if !spend(elements) {
        return Err(exhausted());
    }
    let Some(map) = range.downcast_ref::<CelMap<'_>>() else { return Ok(range) };
    let mut keys: Vec<_> = map.inner().keys().collect();
    keys.sort();
    let keys: Vec<Box<dyn Val + 'v>> = keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

/// Counts what a value that was just made holds.
fn made<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value] = take(arguments)?;
    if count(value.as_ref()) { Ok(value) } else { Err(exhausted()) }
}

/// Counts a value with all that it owns; what it borrows from the object costs nothing to copy. False when the allowance is
/// used up.
pub(super) fn count(value: &dyn Val) -> bool {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return spend(1 + text.len() / TEXT_UNIT);
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        return spend(1 + bytes.inner().len() / TEXT_UNIT);
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return spend(1) && list.inner().iter().all(|item| count(item.as_ref()));
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        return spend(1) && map.inner().values().all(|item| spend(1) && count(item.as_ref()));
    }
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        return spend(1) && optional.option().is_none_or(count);
    }
    spend(1)
}

fn read_function<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value] = take(arguments)?;
    if read(value.as_ref()) { Ok(value) } else { Err(exhausted()) }
}

/// Counts a value with all that is in it, whoever owns it. False when the allowance is used up.
pub(super) fn read(value: &dyn Val) -> bool {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return spend_text(text);
    }
    let Some(items) = value.as_iterable() else { return count(value) };
    let members = value.as_indexer().filter(|_| value.get_type() == &types::MAP_TYPE);
    let mut items = items.iter();
    while let Some(item) = items.next() {
        let member = members.and_then(|members| members.get(item).ok());
        if !read(item) || !member.is_none_or(|member| read(member.as_ref())) {
            return false;
        }
    }
    spend(1)
}

fn take<'b, 'v, const N: usize>(
    arguments: Vec<CowVal<'b, 'v>>,
) -> Result<[CowVal<'b, 'v>; N], ExecutionError> {
    let actual = arguments.len();
    arguments.try_into().map_err(|_| ExecutionError::invalid_argument_count(N, actual))
}
