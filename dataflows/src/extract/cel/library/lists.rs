//! Lists: Kubernetes' lists and cel-go's.

use std::cmp::Ordering;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, operators};
use cel::common::types::{self, CelDouble, CelInt, CelList, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::parser::{Macro, MacroExprHelper};
use cel::{DeclarationError, Env, ExecutionError, IdedExpr, ParseError};

use super::super::functions::{count, equal};
use super::opaque::Opaque;
use super::{
    ANY, Answer, Arguments, INT, Item, LIST, TEXT_UNIT, argument, bool, copies, exhausted, failure,
    functions, int, items, items_in, members, pay, position,
};
use crate::extract::quantity::Quantity;

/// What `sortBy` is expanded to: no expression can call it.
const SORT_BY: &str = "@sortBy";

/// The variable for the list that is sorted by something.
const SORTED: &str = "@sorted";

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    functions(env, [("lists.range", &[INT], range)])?;
    members(
        env,
        [
            ("isSorted", &[LIST], is_sorted),
            ("sum", &[LIST], sum),
            ("min", &[LIST], |arguments| extreme("min", &arguments, Ordering::Less)),
            ("max", &[LIST], |arguments| extreme("max", &arguments, Ordering::Greater)),
            ("indexOf", &[LIST, ANY], |arguments| index_of(&arguments, false)),
            ("lastIndexOf", &[LIST, ANY], |arguments| index_of(&arguments, true)),
            ("includes", &[ANY, ANY], includes),
            ("slice", &[LIST, INT, INT], slice),
            ("flatten", &[LIST], flatten),
            ("flatten", &[LIST, INT], flatten),
            ("distinct", &[LIST], distinct),
            ("reverse", &[LIST], |arguments| copies(items(&arguments, 0)?.into_iter().rev())),
            ("sort", &[LIST], |arguments| {
                let items = items(&arguments, 0)?;
                sort_by("sort", items.clone(), items)
            }),
            (SORT_BY, &[LIST, LIST], |arguments| {
                sort_by("sortBy", items(&arguments, 1)?, items(&arguments, 0)?)
            }),
        ],
    )?;
    env.add_macro(Macro::receiver("sortBy", 2, expand_sort_by))
}

/// The order of two values.
fn compare(function: &str, left: &dyn Val, right: &dyn Val) -> Result<Ordering, ExecutionError> {
    let unordered = || failure(function, "takes values that have an order, of one type");
    left.as_comparer().ok_or_else(unordered)?.compare(right).map_err(|_| unordered())
}

/// What comparing a value costs at most.
fn weight(value: &dyn Val) -> usize {
    1 + value.downcast_ref::<CelString<'_>>().map_or(0, |text| text.len() / TEXT_UNIT)
}

fn is_sorted<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let items = items(&arguments, 0)?;
    let mut sorted = true;
    for pair in items.windows(2) {
        let [left, right] = pair else { continue };
        pay(weight(*left))?;
        sorted &= compare("isSorted", *left, *right)? != Ordering::Greater;
    }
    bool(sorted)
}

fn extreme<'b, 'v>(function: &str, arguments: &[CowVal<'_, 'v>], wanted: Ordering) -> Answer<'b, 'v> {
    let items = items(arguments, 0)?;
    let mut items = items.into_iter();
    let mut found = items.next().ok_or_else(|| failure(function, "is applied to an empty list"))?;
    // Also a single value must be one that has an order.
    compare(function, found, found)?;
    for item in items {
        pay(weight(item))?;
        if compare(function, item, found)? == wanted {
            found = item;
        }
    }
    if count(found) { Ok(CowVal::Owned(found.clone_as_boxed())) } else { Err(exhausted()) }
}

fn sum<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let items = items(&arguments, 0)?;
    if let Some(sum) = sum_of_numbers(&items) {
        return sum;
    }
    let summable = |item: &Item<'_, '_>| [&types::DURATION_TYPE, Quantity::kind()].contains(&item.get_type());
    let mut items = items.into_iter();
    let Some(first) = items.next().filter(summable) else { return Err(not_summable()) };
    let mut sum = first.clone_as_boxed();
    for item in items {
        if item.get_type() != first.get_type() {
            return Err(not_summable());
        }
        sum = match sum.as_adder() {
            Some(adder) => adder.add(item)?.into_owned(),
            None => return Err(not_summable()),
        };
    }
    Ok(CowVal::Owned(sum))
}

fn not_summable() -> ExecutionError {
    failure("sum", "takes numbers, or durations, or quantities")
}

/// `None` when something is no number. The numbers of an object have no declared type, so those of a list may differ: whole ones are
/// then summed as such, and with a double among them all as doubles.
fn sum_of_numbers<'b, 'v>(items: &[Item<'_, '_>]) -> Option<Answer<'b, 'v>> {
    let (mut whole, mut double) = (0_i128, 0.0);
    let (mut has_uint, mut has_int, mut has_double) = (false, false, false);
    for item in items {
        if let Some(value) = item.downcast_ref::<CelInt>() {
            has_int = true;
            whole += i128::from(*value.inner());
            double += *value.inner() as f64;
        } else if let Some(value) = item.downcast_ref::<CelUInt>() {
            has_uint = true;
            whole += i128::from(*value.inner());
            double += *value.inner() as f64;
        } else {
            has_double = true;
            double += *item.downcast_ref::<CelDouble>()?.inner();
        }
    }
    let int = i64::try_from(whole).map(|sum| CowVal::owned(CelInt::from(sum)));
    let uint = u64::try_from(whole).map(|sum| CowVal::owned(CelUInt::from(sum)));
    let sum = match (has_double, has_uint, has_int) {
        (true, _, _) => return Some(Ok(CowVal::owned(CelDouble::from(double)))),
        (false, true, true) => int.or(uint),
        (false, true, false) => uint,
        (false, false, _) => int,
    };
    Some(sum.map_err(|_| failure("sum", "is out of range")))
}

fn index_of<'b, 'v>(arguments: &[CowVal<'_, '_>], last: bool) -> Answer<'b, 'v> {
    let (items, wanted) = (items(arguments, 0)?, argument(arguments, 1)?);
    let mut items = items.iter();
    position(if last {
        items.rposition(|item| equal(*item, wanted))
    } else {
        items.position(|item| equal(*item, wanted))
    })
}

/// Whether a list has an element, or a value is one.
fn includes<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (target, wanted) = (argument(&arguments, 0)?, argument(&arguments, 1)?);
    if target.get_type() != &LIST {
        return bool(equal(target, wanted));
    }
    bool(items_in(target)?.into_iter().any(|item| equal(item, wanted)))
}

fn slice<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let items = items(&arguments, 0)?;
    let (start, end) = (usize::try_from(int(&arguments, 1)?), usize::try_from(int(&arguments, 2)?));
    match start.ok().zip(end.ok()).and_then(|(start, end)| items.get(start..end)) {
        Some(part) => copies(part.iter().copied()),
        None => Err(failure("slice", "is given positions outside of the list or in the wrong order")),
    }
}

fn flatten<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let depth = if arguments.len() == 2 { int(&arguments, 1)? } else { 1 };
    let depth = usize::try_from(depth).map_err(|_| failure("flatten", "is given a negative depth"))?;
    let mut flat = Vec::new();
    flatten_into(&mut flat, argument(&arguments, 0)?, depth)?;
    copies(flat)
}

/// Goes as deep as the lists are nested, which is bounded for those of an object and of an expression.
fn flatten_into<'a, 'v>(
    flat: &mut Vec<Item<'a, 'v>>,
    list: Item<'a, 'v>,
    depth: usize,
) -> Result<(), ExecutionError> {
    for item in items_in(list)? {
        if depth > 0 && item.get_type() == &LIST {
            flatten_into(flat, item, depth - 1)?;
        } else {
            flat.push(item);
        }
    }
    Ok(())
}

fn distinct<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let mut seen: Vec<Item<'_, 'v>> = Vec::new();
    for item in items(&arguments, 0)? {
        if !seen.iter().any(|seen| equal(*seen, item)) {
            seen.push(item);
        }
        // A comparison that is not made any more finds nothing.
        pay(1)?;
    }
    copies(seen)
}

fn range<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let length = int(&arguments, 0)?.max(0);
    pay(usize::try_from(length).unwrap_or(usize::MAX))?;
    let list: Vec<Box<dyn Val + 'v>> =
        (0..length).map(|value| Box::new(CelInt::from(value)) as Box<dyn Val + 'v>).collect();
    Ok(CowVal::owned(CelList::from(list)))
}

/// The items in the order of their keys; those with equal keys stay as they are.
fn sort_by<'a, 'b, 'v: 'a>(
    function: &str,
    keys: Vec<Item<'a, 'v>>,
    items: Vec<Item<'a, 'v>>,
) -> Answer<'b, 'v> {
    // Keys of one type that all compare with the first have a total order: this leaves out NaN.
    if let Some(first) = keys.first() {
        for key in &keys {
            if key.get_type() != first.get_type() {
                return Err(failure(function, "takes values that have an order, of one type"));
            }
            compare(function, *first, *key)?;
        }
    }
    // Paid for before: comparisons that stop in the middle would be no order. A sort compares each key about log n times.
    let rounds = usize::try_from(keys.len().checked_ilog2().unwrap_or(0)).unwrap_or(usize::MAX) + 1;
    pay(keys.iter().map(|key| weight(*key)).sum::<usize>().saturating_mul(rounds))?;
    let mut keyed: Vec<_> = keys.into_iter().zip(items).collect();
    keyed.sort_by(|(left, _), (right, _)| compare(function, *left, *right).unwrap_or(Ordering::Equal));
    copies(keyed.into_iter().map(|(_, item)| item))
}

/// Expands `list.sortBy(x, key)` so that the list is evaluated once: as a macro over nothing, whose result is that of
/// `@sortBy(@sorted, @sorted.map(x, key))` with the list as `@sorted`.
fn expand_sort_by(
    helper: &mut MacroExprHelper<'_>,
    target: &mut Option<IdedExpr>,
    arguments: &mut Vec<IdedExpr>,
) -> Result<Option<IdedExpr>, ParseError> {
    let [variable, _] = arguments.as_slice() else { return Ok(None) };
    let Expr::Ident(variable) = &variable.expr else {
        return Err(helper.new_error(variable.id, "the first argument of sortBy() must be a simple name"));
    };
    let variable = variable.clone();
    let (Some(list), Some(key)) = (target.take(), arguments.pop()) else { return Ok(None) };
    arguments.clear();

    let append = vec![
        helper.next_expr(Expr::Ident("@result".to_owned())),
        helper.next_expr(Expr::List(ListExpr::new(vec![key]))),
    ];
    let keys = ComprehensionExpr {
        iter_range: helper.next_expr(Expr::Ident(SORTED.to_owned())),
        iter_var: variable,
        iter_var2: None,
        accu_var: "@result".to_owned(),
        accu_init: helper.next_expr(Expr::List(ListExpr::new(Vec::new()))),
        loop_cond: helper.next_expr(Expr::Literal(LiteralValue::Boolean(true.into()))),
        loop_step: call(helper, operators::ADD, None, append),
        result: helper.next_expr(Expr::Ident("@result".to_owned())),
    };
    let keys = helper.next_expr(Expr::Comprehension(Box::new(keys)));
    let sorted = helper.next_expr(Expr::Ident(SORTED.to_owned()));
    let bind = ComprehensionExpr {
        iter_range: helper.next_expr(Expr::List(ListExpr::new(Vec::new()))),
        iter_var: "@unused".to_owned(),
        iter_var2: None,
        accu_var: SORTED.to_owned(),
        accu_init: list,
        loop_cond: helper.next_expr(Expr::Literal(LiteralValue::Boolean(false.into()))),
        loop_step: helper.next_expr(Expr::Ident(SORTED.to_owned())),
        result: call(helper, SORT_BY, Some(sorted), vec![keys]),
    };
    Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(bind)))))
}

fn call(
    helper: &mut MacroExprHelper<'_>,
    function: &str,
    target: Option<IdedExpr>,
    args: Vec<IdedExpr>,
) -> IdedExpr {
    helper.next_expr(Expr::Call(CallExpr {
        func_name: function.to_owned(),
        target: target.map(Box::new),
        args,
    }))
}
