//! Quantities: Kubernetes' quantity.
//!
//! Beyond Kubernetes they have an order for `<`, `sort()`, `min()` and `max()`, and a sum for `+` and `sum()`.

use std::cmp::Ordering;

use cel::common::types::{CelDouble, CelInt, Type};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};

use super::opaque::{self, Opaque, get, held};
use super::{Answer, Arguments, INT, TEXT, argument, bool, failure, functions, members, number, text};
use crate::extract::quantity::Quantity;

const QUANTITY: Type = Type::new_unspecified_type("kubernetes.Quantity");
static KIND: Type = QUANTITY;

impl Opaque for Quantity {
    fn kind() -> &'static Type {
        &KIND
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    fn sum(&self, other: &Self) -> Option<Self> {
        self.checked_add(*other)
    }
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    opaque::declare::<Quantity>(env)?;
    opaque::declare_string::<Quantity>(env)?;
    functions(
        env,
        [
            ("quantity", &[TEXT], |arguments| match Quantity::parse(text(&arguments, 0)?) {
                Some(quantity) => Ok(held(quantity)),
                None => Err(failure("quantity", "is given a text that is no quantity")),
            }),
            ("isQuantity", &[TEXT], |arguments| bool(Quantity::parse(text(&arguments, 0)?).is_some())),
            ("sign", &[QUANTITY], sign),
        ],
    )?;
    members(
        env,
        [
            ("sign", &[QUANTITY], sign),
            ("isInteger", &[QUANTITY], |arguments| {
                bool(get::<Quantity>(&arguments, 0)?.as_integer().is_some())
            }),
            ("asInteger", &[QUANTITY], |arguments| match get::<Quantity>(&arguments, 0)?.as_integer() {
                Some(integer) => number(integer),
                None => Err(failure("asInteger", "is applied to a quantity that is no integer of 64 bits")),
            }),
            ("asApproximateFloat", &[QUANTITY], |arguments| {
                let float = get::<Quantity>(&arguments, 0)?.as_float();
                Ok(CowVal::owned(CelDouble::from(float)))
            }),
            ("compareTo", &[QUANTITY, QUANTITY], |arguments| number(order(&arguments)? as i64)),
            ("isLessThan", &[QUANTITY, QUANTITY], |arguments| bool(order(&arguments)?.is_lt())),
            ("isGreaterThan", &[QUANTITY, QUANTITY], |arguments| bool(order(&arguments)?.is_gt())),
            ("add", &[QUANTITY, QUANTITY], add),
            ("add", &[QUANTITY, INT], add),
            ("sub", &[QUANTITY, QUANTITY], sub),
            ("sub", &[QUANTITY, INT], sub),
        ],
    )
}

fn sign<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    number(get::<Quantity>(&arguments, 0)?.signum())
}

fn order(arguments: &[CowVal<'_, '_>]) -> Result<Ordering, ExecutionError> {
    Ok(get::<Quantity>(arguments, 0)?.cmp(get(arguments, 1)?))
}

/// The two quantities; the second may be an integer.
fn operands(arguments: &[CowVal<'_, '_>]) -> Result<(Quantity, Quantity), ExecutionError> {
    let other = match argument(arguments, 1)?.downcast_ref::<CelInt>() {
        Some(integer) => Quantity::from(*integer.inner()),
        None => *get(arguments, 1)?,
    };
    Ok((*get(arguments, 0)?, other))
}

fn add<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (left, right) = operands(&arguments)?;
    left.checked_add(right).map(held).ok_or_else(|| failure("add", "is out of range"))
}

fn sub<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (left, right) = operands(&arguments)?;
    left.checked_sub(right).map(held).ok_or_else(|| failure("sub", "is out of range"))
}
