//! What is checked of an expression before it runs: bounds, names, functions, regular expressions.
//!
//! The interpreter finds out about unknown names and functions only when it reaches them, on each object anew, and has no
//! bounds of its own that hold for its stack. An expression that passes fails only for reasons that lie in the object.

use std::sync::Arc;
use std::thread;

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, Env, ExecutionError, IdedExpr, Value};

use super::super::problem::Refusal;
use super::OBJECT;
use super::library;

/// Greatest length of an expression in bytes.
pub(super) const MAX_LENGTH: usize = 16 * 1024;

/// Greatest nesting of brackets, parentheses and braces.
pub(super) const MAX_BRACKETS: usize = 32;

/// Greatest depth of the syntax tree. Evaluating takes stack for each level.
pub(super) const MAX_DEPTH: usize = 64;

/// Greatest nesting of macros.
pub(super) const MAX_MACROS: usize = 4;

/// The parser recurses over the text, before the depth of the tree is known, so it gets a stack for the deepest tree that the
/// greatest length allows. Only the part that is used takes memory.
const PARSER_STACK: usize = 256 * 1024 * 1024;

/// Parses and checks an expression.
pub(super) fn compile(source: &str, env: &Arc<Env>) -> Result<IdedExpr, Refusal> {
    if source.trim().is_empty() {
        return Err(Refusal::new(
            "the CEL expression is empty",
            "write one, for example `cel:object.spec.replicas`",
        ));
    }
    if source.len() > MAX_LENGTH {
        return Err(Refusal::new(
            format!("the CEL expression has {} bytes, more than {MAX_LENGTH}", source.len()),
            "shorten it, or split it into several attributes",
        ));
    }
    check_brackets(source)?;
    let parsed = thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, || {
            let program = env.compile(source).map_err(|errors| describe(&errors))?;
            let root = program.expression().clone();
            check_depth(&root)?;
            Ok(root)
        });
        match parser.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(parsed)) => parsed,
            _ => Err(Refusal::new("the CEL expression could not be parsed", "simplify it")),
        }
    })?;
    let context = Context::with_env(Arc::clone(env));
    Checker { context, variables: vec![OBJECT.to_owned()], macros: 0 }.check(&parsed)?;
    Ok(parsed)
}

fn describe(errors: &cel::ParseErrors) -> Refusal {
    let message = match errors.errors.first() {
        Some(error) => {
            let text = error.msg.lines().next().unwrap_or_default().trim_start_matches("Syntax error: ");
            format!("the CEL expression has an error at line {}, column {}: {text}", error.pos.0, error.pos.1)
        }
        None => "the CEL expression has a syntax error".to_owned(),
    };
    Refusal::new(message, "correct the expression; the object is called `object`")
}

/// Bounds the nesting of brackets in the text. Brackets in quotes count too, which errs on the safe side: telling strings
/// apart is the parser's work.
fn check_brackets(source: &str) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    for c in source.bytes() {
        match c {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return Err(too_deep(format!("brackets deeper than {MAX_BRACKETS} levels")));
        }
    }
    Ok(())
}

fn too_deep(what: String) -> Refusal {
    Refusal::new(
        format!("the CEL expression nests {what}"),
        "simplify it, or split it into several attributes",
    )
}

/// Bounds the depth of the tree, level by level. A tree that is too deep is dropped on the parser's stack too.
fn check_depth(root: &IdedExpr) -> Result<(), Refusal> {
    let mut level = vec![root];
    for _ in 0..MAX_DEPTH {
        level = level.into_iter().flat_map(children).collect();
        if level.is_empty() {
            return Ok(());
        }
    }
    Err(too_deep(format!("operations deeper than {MAX_DEPTH} levels")))
}

/// The nodes directly below a node.
pub(super) fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(c) => {
            vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect(),
        Expr::Struct(message) => {
            message.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect()
        }
        Expr::Select(select) => vec![&select.operand],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_children(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

const UNKNOWN_FUNCTION: &str = "use CEL's standard functions and macros, or those of Kubernetes' libraries: strings, lists, sets, math, \
     regex, quantity, semver, url, ip, cidr and format";

struct Checker {
    context: Context<'static, 'static>,
    /// The variables in scope.
    variables: Vec<String>,
    /// Macros around the node.
    macros: usize,
}

impl Checker {
    fn check(&mut self, node: &IdedExpr) -> Result<(), Refusal> {
        match &node.expr {
            Expr::Ident(name) => self.check_name(name),
            Expr::Call(call) => self.check_call(call),
            Expr::Comprehension(comprehension) => {
                self.check(&comprehension.iter_range)?;
                self.check(&comprehension.accu_init)?;
                self.macros += 1;
                if self.macros > MAX_MACROS {
                    return Err(too_deep(format!("macros deeper than {MAX_MACROS} levels")));
                }
                let outer = self.variables.len();
                self.variables.push(comprehension.accu_var.clone());
                self.check(&comprehension.result)?;
                self.variables.push(comprehension.iter_var.clone());
                self.variables.extend(comprehension.iter_var2.clone());
                self.check(&comprehension.loop_cond)?;
                self.check(&comprehension.loop_step)?;
                self.variables.truncate(outer);
                self.macros -= 1;
                Ok(())
            }
            Expr::Select(_) if self.is_type(node) => Ok(()),
            Expr::Struct(message) => Err(Refusal::new(
                format!(
                    "the CEL expression makes a message of type `{}`, which there is not",
                    message.type_name
                ),
                "make a map: `{'key': value}`",
            )),
            _ => children(node).into_iter().try_for_each(|child| self.check(child)),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let known = |name: &str| {
            self.variables.iter().any(|variable| variable == name)
                || self.context.resolve(&ident(name)).is_ok()
        };
        // A leading dot makes a name absolute.
        if known(name) || known(name.trim_start_matches('.')) {
            return Ok(());
        }
        Err(Refusal::new(
            format!("the CEL expression has the unknown name `{name}`"),
            "the object is called `object`; quote a text: `'…'`",
        ))
    }

    /// Whether `a.b.c` is the name of a type.
    fn is_type(&self, node: &IdedExpr) -> bool {
        root_of(node).is_some_and(|root| !self.variables.iter().any(|variable| variable == root))
            && self.context.resolve(node).is_ok()
    }

    fn check_call(&mut self, call: &CallExpr) -> Result<(), Refusal> {
        if let Some(target) = &call.target {
            // `optional.of(x)`: what stands before the dot is part of the function's name.
            let qualified = qualified_name(target)
                .filter(|_| {
                    root_of(target).is_some_and(|root| !self.variables.iter().any(|known| known == root))
                })
                .map(|target| format!("{target}.{}", call.func_name));
            let is_qualified = qualified.is_some_and(|name| self.is_declared(&name, false));
            if !is_qualified {
                self.check_namespace(target, &call.func_name)?;
                self.check(target)?;
                self.check_function(call, true)?;
            }
        } else if call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.check_function(call, false)?;
        }
        if let Some(Expr::Literal(LiteralValue::String(pattern))) = library::regex::pattern_of(call)
            .and_then(|position| call.args.get(position))
            .map(|pattern| &pattern.expr)
            && library::regex::pattern(pattern).is_err()
        {
            return Err(Refusal::new(
                format!(
                    "the CEL expression has an invalid or too large regular expression `{}`",
                    pattern.inner()
                ),
                "correct it; the syntax is RE2's",
            ));
        }
        call.args.iter().try_for_each(|argument| self.check(argument))
    }

    /// Refuses `sets.f`, where there is `sets` but no `f` in it.
    fn check_namespace(&self, target: &IdedExpr, function: &str) -> Result<(), Refusal> {
        match &target.expr {
            Expr::Ident(name)
                if library::NAMESPACES.contains(&name.as_str()) && !self.variables.contains(name) =>
            {
                let message = format!("the CEL expression calls the unknown function `{name}.{function}`");
                Err(Refusal::new(message, UNKNOWN_FUNCTION))
            }
            _ => Ok(()),
        }
    }

    fn check_function(&self, call: &CallExpr, member: bool) -> Result<(), Refusal> {
        let name = &call.func_name;
        if self.is_declared(name, member) {
            return Ok(());
        }
        let remedy = match (self.is_declared(name, !member), member) {
            (true, true) => format!("call it as `{name}(x)`"),
            (true, false) => format!("call it as `x.{name}()`"),
            (false, _) if name == operators::HAS => "give it a field: `has(object.spec.replicas)`".to_owned(),
            (false, _) => UNKNOWN_FUNCTION.to_owned(),
        };
        Err(Refusal::new(format!("the CEL expression calls the unknown function `{name}`"), remedy))
    }

    fn is_declared(&self, name: &str, member: bool) -> bool {
        is_function(name, member, &self.context)
    }
}

/// Whether there is a function that is called `name(a)`.
pub(super) fn is_declared(name: &str, env: &Arc<Env>) -> bool {
    is_function(name, false, &Context::with_env(Arc::clone(env)))
}

/// Whether a function is there, for whatever arguments. The environment does not tell, but the interpreter does: for a function that is
/// there, it complains about the arguments instead.
fn is_function(name: &str, member: bool, context: &Context<'_, '_>) -> bool {
    let target = member.then(|| Box::new(node(Expr::Literal(LiteralValue::Null))));
    let call = node(Expr::Call(CallExpr { func_name: name.to_owned(), target, args: Vec::new() }));
    !matches!(Value::resolve_val(&call, context), Err(ExecutionError::UndeclaredReference(_)))
}

fn node(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

fn ident(name: &str) -> IdedExpr {
    node(Expr::Ident(name.to_owned()))
}

/// The first name of `a.b.c`.
fn root_of(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select(select) if !select.test => root_of(&select.operand),
        _ => None,
    }
}

/// `a.b.c` as text.
fn qualified_name(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified_name(&select.operand)?, select.field))
        }
        _ => None,
    }
}
