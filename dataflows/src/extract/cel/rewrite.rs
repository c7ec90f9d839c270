//! Rewriting an expression to the functions in [`functions`](super::functions).
//!
//! | before | after |
//! | --- | --- |
//! | `a == b`, `a != b`, `a in b`, `a + b` | `@equal(a, b)`, `!@equal(a, b)`, `@within(a, b)`, `@add(a, b)` |
//! | `[a, b]`, `{k: a}` | `@made(…)` around it |
//! | `r.map(x, e)` and the other macros | `@range(r)` in place of `r` |
//! | `a.matches('b')`, `a.matches(b)` | `@matches(a, 'b')`, `@matchesComputed(a, b)`; so with `find` and `findAll` |
//! | `math.greatest(a)`, `math.least(a)` | `@read(a)` in place of `a` |
//! | `timestamp(a)` | `@utc(timestamp(a))` |
//! | `a.f(b)` in the body of a macro | `@made(a).f(@made(b))`: reading a text again and again is work too |
//!
//! The interpreter builds the results of `map` and `filter` in place when it recognises their steps
//! (`@result + [e]`), so those are left as they are and only what they append is counted.

use std::mem;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};

use super::functions::{ADD, EQUAL, MADE, RANGE, READ, UTC, WITHIN};
use super::{ENV, check, library};

/// Rewrites a checked expression.
pub(super) fn rewrite(root: &mut IdedExpr) {
    visit(root, false);
}

/// `repeated`: in the body of a macro.
fn visit(node: &mut IdedExpr, repeated: bool) {
    match &mut node.expr {
        Expr::Call(call) if is_append(call) => {
            // `@result + [e]`
            let elements = call.args.iter_mut().filter_map(|argument| match &mut argument.expr {
                Expr::List(list) => Some(&mut list.elements),
                _ => None,
            });
            for element in elements.flatten() {
                visit(element, repeated);
                wrap_in(MADE, element);
            }
        }
        Expr::Call(_) => visit_call(node, repeated),
        Expr::Comprehension(comprehension) => {
            visit(&mut comprehension.iter_range, repeated);
            // `optMap` and `optFlatMap` are macros with an empty range.
            if !matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty()) {
                wrap(RANGE, &mut comprehension.iter_range);
            }
            visit(&mut comprehension.accu_init, repeated);
            visit(&mut comprehension.loop_cond, true);
            visit(&mut comprehension.loop_step, true);
            visit(&mut comprehension.result, repeated);
        }
        Expr::List(list) => {
            list.elements.iter_mut().for_each(|element| visit(element, repeated));
            wrap_in(MADE, node);
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    visit(&mut entry.key, repeated);
                    visit(&mut entry.value, repeated);
                }
            }
            wrap_in(MADE, node);
        }
        Expr::Select(select) => visit(&mut select.operand, repeated),
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn visit_call(node: &mut IdedExpr, repeated: bool) {
    let Expr::Call(call) = &mut node.expr else { return };
    call.target.iter_mut().for_each(|target| visit(target, repeated));
    call.args.iter_mut().for_each(|argument| visit(argument, repeated));
    if library::regex::rewrite(call) {
        return;
    }
    let is_time = call.func_name == "timestamp" && call.target.is_none();
    match call.func_name.as_str() {
        operators::EQUALS => EQUAL.clone_into(&mut call.func_name),
        operators::IN => WITHIN.clone_into(&mut call.func_name),
        operators::NOT_EQUALS => {
            EQUAL.clone_into(&mut call.func_name);
            wrap(operators::LOGICAL_NOT, node);
        }
        operators::ADD => ADD.clone_into(&mut call.func_name),
        name if library::EXTREMES.iter().any(|(function, _)| *function == name) => {
            call.args.iter_mut().for_each(|argument| wrap_in(READ, argument));
        }
        name if repeated && is_function(name) => {
            let is_qualified = is_qualified(call);
            if let Some(target) = call.target.as_mut().filter(|_| !is_qualified) {
                wrap_in(MADE, target);
            }
            call.args.iter_mut().for_each(|argument| wrap_in(MADE, argument));
        }
        _ => {}
    }
    if is_time {
        wrap(UTC, node);
    }
}

/// Whether a call adds to the result of a macro. `@` stands in no name that can be written.
fn is_append(call: &CallExpr) -> bool {
    call.func_name == operators::ADD
        && matches!(call.args.as_slice(), [result, list]
            if matches!(&result.expr, Expr::Ident(name) if name.starts_with('@')) && matches!(list.expr, Expr::List(_)))
}

/// The names of operators are no identifiers.
fn is_function(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Whether what stands in front of a function belongs to its name: `optional.of`.
fn is_qualified(call: &CallExpr) -> bool {
    let Some(Expr::Ident(name)) = call.target.as_ref().map(|target| &target.expr) else { return false };
    let name = name.trim_start_matches('.');
    library::NAMESPACES.contains(&name) && check::is_declared(&format!("{name}.{}", call.func_name), &ENV)
}

/// Wraps a node whose value may be large in a call of a function of one argument.
fn wrap_in(function: &str, node: &mut IdedExpr) {
    let small = match &node.expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::String(_) | LiteralValue::Bytes(_)),
        Expr::List(list) => list.elements.is_empty(),
        Expr::Map(map) => map.entries.is_empty(),
        Expr::Call(call) => call.func_name == function,
        _ => false,
    };
    if !small {
        wrap(function, node);
    }
}

fn wrap(function: &str, node: &mut IdedExpr) {
    let inner = mem::take(node);
    *node = IdedExpr {
        id: inner.id,
        expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args: vec![inner] }),
    };
}
