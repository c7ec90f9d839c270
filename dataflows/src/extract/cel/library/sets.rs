//! Lists as sets: cel-go's sets.

use cel::{DeclarationError, Env};

use super::super::functions::equal;
use super::{Answer, Arguments, Item, LIST, bool, functions, items};

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    functions(
        env,
        [
            ("sets.contains", &[LIST, LIST], contains),
            ("sets.equivalent", &[LIST, LIST], equivalent),
            ("sets.intersects", &[LIST, LIST], intersects),
        ],
    )
}

fn has(set: &[Item<'_, '_>], wanted: Item<'_, '_>) -> bool {
    set.iter().any(|item| equal(*item, wanted))
}

fn contains<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (set, part) = (items(&arguments, 0)?, items(&arguments, 1)?);
    bool(part.iter().all(|item| has(&set, *item)))
}

fn equivalent<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (left, right) = (items(&arguments, 0)?, items(&arguments, 1)?);
    bool(left.iter().all(|item| has(&right, *item)) && right.iter().all(|item| has(&left, *item)))
}

fn intersects<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (left, right) = (items(&arguments, 0)?, items(&arguments, 1)?);
    bool(left.iter().any(|item| has(&right, *item)))
}
