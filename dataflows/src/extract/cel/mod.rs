//! CEL attributes.
//!
//! ```text
//! text ──► check: bounds, names, functions ──► rewrite: operators on lazy values, counting ──► Expression
//! object ──► value: a lazy view of the tree ──► evaluation ──► write: canonical JSON
//! ```
//!
//! An expression sees the object through a view that converts only what it touches. The interpreter's own operators
//! know only its own lists and maps in some places, and have no limit on work; so equality, `in`, concatenation, literals and the
//! ranges of macros are rewritten to [`functions`] that do the same for every list and map, and count. The functions of [`library`] do so
//! of themselves.

mod check;
mod functions;
mod library;
mod reads;
mod rewrite;
#[cfg(test)]
mod tests;
mod value;
mod write;

use std::sync::{Arc, LazyLock};

use cel::common::types::CelOptional;
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, IdedExpr, Value};

use super::budget::limited;
use super::node::Node;
use super::problem::Refusal;
use super::projection::Reads;

/// The variable that holds the object.
const OBJECT: &str = "object";

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    functions::declare(&mut env);
    // It fails only for a name that is taken, which a test rules out.
    let declared = library::declare(&mut env);
    debug_assert!(declared.is_ok(), "{declared:?}");
    Arc::new(env)
});

/// A compiled expression.
pub(super) struct Expression {
    root: IdedExpr,
    source: String,
    reads: Reads,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// What an expression gave for one object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A value, written to the output.
    Value,
    /// `optional.none()`.
    Nothing,
    /// A failure: a lowercase sentence without any value of the object. Nothing was written.
    Failure(String),
}

/// An object as expressions see it. Cheap; made once for all expressions of a profile.
pub(super) struct Scope<'n>(Context<'n, 'n>);

impl<'n> Scope<'n> {
    pub(super) fn new(root: &'n Node<'n>) -> Self {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_as_val(OBJECT, value::boxed(root));
        Self(context)
    }
}

/// An expression that is true or false.
#[derive(Debug)]
pub(super) struct Condition(Expression);

impl Condition {
    /// Compiles a condition.
    pub(super) fn compile(source: &str) -> Result<Self, Refusal> {
        Expression::compile(source).map(Self)
    }

    /// What the condition reads of an object.
    pub(super) fn reads(&self) -> &Reads {
        self.0.reads()
    }

    /// Whether it holds for an object.
    ///
    /// # Errors
    /// Why that can't be told: a lowercase sentence without any value of the object.
    pub(super) fn holds(&self, root: &Node<'_>) -> Result<bool, String> {
        let mut out = Vec::new();
        match self.0.evaluate(&Scope::new(root), &mut out) {
            Outcome::Value if out == b"true" => Ok(true),
            Outcome::Value if out == b"false" => Ok(false),
            Outcome::Value | Outcome::Nothing => Err("the condition is not true or false".to_owned()),
            Outcome::Failure(message) => Err(message),
        }
    }
}

impl Expression {
    /// Compiles an expression.
    pub(super) fn compile(source: &str) -> Result<Self, Refusal> {
        let mut root = check::compile(source, &ENV)?;
        let reads = reads::of(&root);
        rewrite::rewrite(&mut root);
        Ok(Self { root, source: source.to_owned(), reads })
    }

    /// What the expression reads of an object.
    pub(super) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Evaluates the expression on one object and appends the result to `out` as canonical JSON.
    pub(super) fn evaluate(&self, scope: &Scope<'_>, out: &mut Vec<u8>) -> Outcome {
        let before = out.len();
        let outcome = limited(|| match Value::resolve_val(&self.root, &scope.0) {
            Ok(value) => self.write(&value, out),
            Err(error) => Outcome::Failure(self.describe(&error)),
        })
        .unwrap_or_else(|exhausted| Outcome::Failure(exhausted.describe("expression")));
        if outcome != Outcome::Value {
            out.truncate(before);
        }
        outcome
    }

    fn write(&self, value: &CowVal<'_, '_>, out: &mut Vec<u8>) -> Outcome {
        let value = match value.downcast_ref::<CelOptional<'_>>() {
            None => value.as_ref(),
            Some(optional) => match optional.option() {
                Some(value) => value,
                None => return Outcome::Nothing,
            },
        };
        match write::json(value, out, &ENV) {
            Ok(()) => Outcome::Value,
            Err(message) => Outcome::Failure(message),
        }
    }

    /// What went wrong, without any value: the interpreter's own messages may hold some.
    fn describe(&self, error: &ExecutionError) -> String {
        match error {
            // A key that was computed may be a value of the object; one that stands in the expression is not.
            ExecutionError::NoSuchKey(key) if !key.is_empty() && self.source.contains(key.as_str()) => {
                format!("there is no key `{key}`")
            }
            ExecutionError::NoSuchKey(_) => "there is no such key".to_owned(),
            ExecutionError::IndexOutOfBounds(_) => {
                "a list has no element at the position asked for".to_owned()
            }
            ExecutionError::NoSuchOverload(overload) => format!(
                "{} can't be applied to ({})",
                functions::shown(overload.function()),
                overload.argument_types().join(", ")
            ),
            ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
            // What the interpreter makes of an operator on a list or map of the object, which it can't put into an error.
            ExecutionError::UnexpectedType { want, .. } if want.ends_with("`Value`") => {
                "an operator can't be applied to values of these types".to_owned()
            }
            ExecutionError::UnexpectedType { got, want } => format!("a value is of type {got}, not {want}"),
            ExecutionError::FunctionError { function, message } => library::describe(function, message)
                .unwrap_or_else(|| {
                    format!("{} can't be applied to its argument's value", functions::shown(function))
                }),
            ExecutionError::DivisionByZero(_) => "a number is divided by zero".to_owned(),
            ExecutionError::RemainderByZero(_) => "a remainder is taken by zero".to_owned(),
            ExecutionError::Overflow(..) => "a number, time or duration is out of range".to_owned(),
            ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
            ExecutionError::UnsupportedKeyType(_) => {
                "a value is used as a key that can't be one; use a string, number or bool".to_owned()
            }
            ExecutionError::ValuesNotComparable(..) | ExecutionError::UnsupportedBinaryOperator(..) => {
                "an operator can't be applied to values of these types".to_owned()
            }
            _ => "the expression can't be evaluated on the object".to_owned(),
        }
    }
}
