//! Numbers: cel-go's math, as the interpreter has it.
//!
//! `math.greatest` and `math.least` take any number of arguments, or a list: they are macros that expand to the functions in
//! [`EXTREMES`], whose arguments are counted where the expression is rewritten. All others take one or two numbers.

use cel::{DeclarationError, Env};

/// The functions that take lists, and what they are called in an expression.
pub(in super::super) const EXTREMES: [(&str, &str); 2] =
    [("math.@max", "math.greatest"), ("math.@min", "math.least")];

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_extension(cel::extensions::math)
}
