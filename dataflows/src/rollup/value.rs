//! Values in a rollup, and their order.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::extract::Quantity;

/// A JSON value with an order: null, then `false` and `true`, then numbers and quantities (`500m`, `1Gi`) by their size to a
/// billionth, then other texts, then lists and maps. Values of equal size (1 and 1.0) are ordered by their text, so that there is always
/// one least.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Value {
    rank: Rank,
    json: Box<str>,
}

/// The order of values, but for ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Rank {
    Null,
    Bool(bool),
    /// A number below what a [`Quantity`] can be: the inverted bits of its magnitude, which order as such numbers do.
    Below(u64),
    /// A number, or a quantity, in billionths.
    Number(i128),
    /// A number above what a [`Quantity`] can be: its bits, which order as positive numbers do.
    Above(u64),
    Text,
    Other,
}

/// The greatest magnitude that has a part in sums, in billionths: more than any 64-bit integer is, and more than 2³¹ of them add
/// up without overflow.
const SUMMABLE: u128 = 1 << 96;

impl Value {
    pub(super) fn null() -> Self {
        Self { rank: Rank::Null, json: Box::default() }
    }

    pub(super) fn truth() -> Self {
        Self { rank: Rank::Bool(true), json: Box::default() }
    }

    /// The value of a JSON text, which must be canonical.
    pub(super) fn of_json(json: &str) -> Self {
        let rank = match json.as_bytes().first() {
            Some(b'n') => return Self::null(),
            Some(b't') => return Self::truth(),
            Some(b'f') => Rank::Bool(false),
            Some(b'"') => {
                // A quantity has nothing to escape.
                let text = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
                Rank::of_text(text)
            }
            Some(b'[' | b'{') | None => Rank::Other,
            Some(_) => Rank::of_number(json),
        };
        Self { rank, json: json.into() }
    }

    /// The value that a text is.
    pub(super) fn of_text(text: &str) -> Self {
        Self { rank: Rank::of_text(text), json: serde_json::Value::from(text).to_string().into() }
    }

    /// The value of a count.
    pub(super) fn of_count(count: u64) -> Self {
        Self { rank: Rank::Number(i128::from(count) * Quantity::ONE), json: count.to_string().into() }
    }

    /// The value of a number of billionths: an integer if it is one, else a decimal fraction.
    pub(super) fn of_billionths(billionths: i128) -> Self {
        let (whole, rest) = (billionths.unsigned_abs() / ONE, billionths.unsigned_abs() % ONE);
        let sign = if billionths < 0 { "-" } else { "" };
        let json = if rest == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{}", format!("{rest:09}").trim_end_matches('0'))
        };
        Self { rank: Rank::Number(billionths), json: json.into() }
    }

    pub(super) fn is_null(&self) -> bool {
        self.rank == Rank::Null
    }

    /// The number that it is, or that its quantity is, without its text.
    pub(super) fn number(&self) -> Option<Self> {
        matches!(self.rank, Rank::Below(_) | Rank::Number(_) | Rank::Above(_))
            .then_some(Self { rank: self.rank, json: Box::default() })
    }

    /// What it adds to a sum, in billionths. `None`: it is no number, or too great a number.
    pub(super) fn billionths(&self) -> Option<i128> {
        match self.rank {
            Rank::Number(number) if number.unsigned_abs() <= SUMMABLE => Some(number),
            _ => None,
        }
    }

    /// The value as canonical JSON.
    pub fn as_json(&self) -> &str {
        match self.rank {
            Rank::Null => "null",
            Rank::Bool(true) => "true",
            _ => &self.json,
        }
    }
}

const ONE: u128 = Quantity::ONE.unsigned_abs();

impl Rank {
    fn of_text(text: &str) -> Self {
        Quantity::parse(text).map_or(Self::Text, |quantity| Self::Number(quantity.billionths()))
    }

    /// The rank of a JSON number.
    fn of_number(json: &str) -> Self {
        if let Some(quantity) = Quantity::parse(json) {
            return Self::Number(quantity.billionths());
        }
        // Canonical numbers are finite.
        let bits = json.parse::<f64>().unwrap_or_default().abs().to_bits();
        if json.starts_with('-') { Self::Below(!bits) } else { Self::Above(bits) }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_have_an_order() {
        let ordered = [
            "null",
            "false",
            "true",
            "-1e300",
            "-1e200",
            "-5",
            "-0.5",
            r#""500m""#,
            "1",
            r#""1""#,
            "1.0",
            "2",
            "10",
            r#""1Ki""#,
            "18446744073709551615",
            "1e200",
            "1e300",
            r#""""#,
            r#""a""#,
            r#""b""#,
            "[1]",
            r#"{"a":1}"#,
        ];
        let values = ordered.map(Value::of_json);
        for pair in values.windows(2) {
            // Ties are broken by text, in which a quotation mark comes before a digit.
            let tie = pair[0].rank == pair[1].rank;
            assert!(tie || pair[0] < pair[1], "{pair:?}");
        }
        assert!(values.iter().zip(ordered).all(|(value, json)| value.as_json() == json));
    }

    #[test]
    fn billionths_are_written_as_numbers() {
        let written = |billionths| Value::of_billionths(billionths).as_json().to_owned();
        assert_eq!(written(0), "0");
        assert_eq!(written(-2_500_000_000), "-2.5");
        assert_eq!(written(1), "0.000000001");
        assert_eq!(written(3_000_000_000), "3");
    }

    #[test]
    fn what_is_too_great_has_no_part_in_sums() {
        assert_eq!(
            Value::of_json("18446744073709551615").billionths(),
            Some(18_446_744_073_709_551_615 * Quantity::ONE)
        );
        assert_eq!(Value::of_json("1e20").billionths(), None);
        assert_eq!(Value::of_json("-1e300").billionths(), None);
    }

    proptest! {
        #[test]
        fn numbers_order_as_doubles_do(a: f64, b: f64) {
            prop_assume!(a.is_finite() && b.is_finite() && (a - b).abs() > 1e-8);
            let value = |number: f64| Value::of_json(&serde_json::json!(number).to_string());
            prop_assert_eq!(value(a).cmp(&value(b)), a.total_cmp(&b));
        }

        #[test]
        fn a_text_is_the_value_of_its_json(text: String) {
            prop_assert_eq!(Value::of_text(&text), Value::of_json(&serde_json::json!(text).to_string()));
        }
    }
}
