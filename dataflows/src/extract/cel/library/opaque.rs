//! Values of types that CEL itself does not have: quantities, versions, addresses.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use cel::common::traits::{Adder, Comparer};
use cel::common::types::Type;
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::super::super::budget::{TEXT_UNIT, spend};
use super::super::super::quantity::Quantity;
use super::{
    Answer, Arguments, argument, failure, functions, ip, made, no_overload, semver, unexpected, url,
};

/// What lies behind such a value.
pub(super) trait Opaque: PartialEq + Send + Sync + Sized + 'static {
    /// Its type, by the name that Kubernetes gives it.
    fn kind() -> &'static Type;

    /// Its canonical text, for `string()` and for results. `None` for a type that has none.
    fn text(&self) -> Option<String>;

    /// Its order relative to another. `None` for a type that has none.
    fn order(&self, _other: &Self) -> Option<Ordering> {
        None
    }

    /// Bytes that comparing it reads, where that is more than a few.
    fn length(&self) -> usize {
        0
    }

    /// The sum with another. `None` for a type that has none, or out of range.
    fn sum(&self, _other: &Self) -> Option<Self> {
        None
    }
}

/// An opaque value. Copies share it.
pub(super) struct Held<T>(Arc<T>);

impl<T> Held<T> {
    pub(super) fn value(&self) -> &T {
        &self.0
    }
}

/// Wraps a value as a result.
pub(super) fn held<'b, 'v, T: Opaque>(value: T) -> CowVal<'b, 'v> {
    CowVal::owned(Held(Arc::new(value)))
}

/// The opaque value at a position.
pub(super) fn get<'a, T: Opaque>(
    arguments: &'a [CowVal<'_, '_>],
    position: usize,
) -> Result<&'a T, ExecutionError> {
    let value = argument(arguments, position)?;
    value.downcast_ref::<Held<T>>().map(Held::value).ok_or_else(|| unexpected(value, T::kind().name()))
}

/// Lets expressions name the type, and convert its values with `string()`.
pub(super) fn declare<T: Opaque>(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(T::kind().to_owned())
}

/// Lets expressions convert values of the type with `string()`.
pub(super) fn declare_string<T: Opaque>(env: &mut Env) -> Result<(), DeclarationError> {
    functions(env, [("string", &[T::kind().to_owned()], string::<T>)])
}

fn string<'b, 'v, T: Opaque>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let text = get::<T>(&arguments, 0)?.text();
    made(text.ok_or_else(|| failure("string", "can't write a value of this type"))?)
}

/// The canonical text of an opaque value of any type.
pub(in super::super) fn text(value: &dyn Val) -> Option<String> {
    fn of<T: Opaque>(value: &dyn Val) -> Option<String> {
        value.downcast_ref::<Held<T>>()?.value().text()
    }
    of::<Quantity>(value)
        .or_else(|| of::<semver::Version>(value))
        .or_else(|| of::<url::Url>(value))
        .or_else(|| of::<ip::Address>(value))
        .or_else(|| of::<ip::Network>(value))
}

/// Never shows content.
impl<T: Opaque> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::kind().name())
    }
}

impl<T: Opaque> Val for Held<T> {
    fn get_type(&self) -> &Type {
        T::kind()
    }

    fn cel_type() -> &'static Type {
        T::kind()
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let Some(other) = other.downcast_ref::<Self>() else { return false };
        spend(self.0.length().min(other.0.length()) / TEXT_UNIT) && *self.0 == *other.0
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(Self(Arc::clone(&self.0)))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl<T: Opaque> StaticVal for Held<T> {}

impl<T: Opaque> Adder for Held<T> {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let sum = rhs.downcast_ref::<Self>().and_then(|other| self.0.sum(&other.0));
        sum.map(held).ok_or_else(|| no_overload(cel::common::ast::operators::ADD, [self, rhs]))
    }
}

impl<T: Opaque> Comparer for Held<T> {
    fn compare(&self, rhs: &dyn Val) -> Result<Ordering, ExecutionError> {
        // The order does not depend on the allowance: a sort would not bear it.
        spend(self.0.length() / TEXT_UNIT);
        let order = rhs.downcast_ref::<Self>().and_then(|other| self.0.order(&other.0));
        order.ok_or_else(|| no_overload(cel::common::ast::operators::LESS, [self, rhs]))
    }
}
