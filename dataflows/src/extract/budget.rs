//! A limit on the work of one evaluation.
//!
//! Neither engine has one: a few characters of CEL or JSONPath can ask for more work than a process has time or
//! memory for. So whatever visits or copies values says so with [`spend`], and [`limited`] runs one evaluation with a
//! fresh allowance. Once it is used up, the visitors find nothing more and the evaluation ends quickly; its
//! result is then thrown away. Counted are visits, not time, so the outcome is the same on every machine.

use std::cell::Cell;

/// Values that one evaluation of one attribute may visit or copy. A text counts as one for every [`TEXT_UNIT`] bytes.
const LIMIT: u64 = 1_000_000;

/// Bytes of text that count like one value.
pub(super) const TEXT_UNIT: usize = 32;

/// An evaluation has used up its allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Exhausted {
    /// What happened, as a problem says it. `what` was evaluated.
    pub(super) fn describe(self, what: &str) -> String {
        format!("the {what} visits or copies more than {LIMIT} values")
    }
}

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(LIMIT) };
}

/// Runs one evaluation with a fresh allowance.
pub(super) fn limited<T>(evaluate: impl FnOnce() -> T) -> Result<T, Exhausted> {
    LEFT.set(LIMIT);
    let result = evaluate();
    if LEFT.get() == 0 { Err(Exhausted) } else { Ok(result) }
}

/// Takes `units` from the allowance. False when it is used up: the caller then stops.
pub(super) fn spend(units: usize) -> bool {
    let left = LEFT.get().saturating_sub(u64::try_from(units).unwrap_or(u64::MAX));
    LEFT.set(left);
    left > 0
}

/// Takes what handling `text` costs from the allowance.
pub(super) fn spend_text(text: &str) -> bool {
    spend(1 + text.len() / TEXT_UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_within_its_allowance_gives_its_result() {
        assert_eq!(limited(|| spend(10)), Ok(true));
    }

    #[test]
    fn an_evaluation_that_uses_up_its_allowance_gives_none_and_the_next_one_starts_afresh() {
        assert_eq!(limited(|| spend(usize::MAX)), Err(Exhausted));
        assert_eq!(limited(|| spend(1)), Ok(true));
    }
}
