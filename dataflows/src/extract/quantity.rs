//! Kubernetes' quantities: `500m`, `1.5Gi`, `3e6`.
//!
//! A quantity is an exact decimal, kept as a whole number of billionths, with the family of suffixes that it was written with. Texts
//! are read and written as apimachinery does: what is finer than a billionth is rounded away from zero, a binary quantity is capped
//! at 2^63 - 1, and the canonical form has no fraction and the greatest suffix that loses nothing. Greater than about
//! 1.7 × 10^29 a quantity can't be: such a text is none.

use std::cmp::Ordering;
use std::fmt;

/// Billionths in one.
const ONE: i128 = 1_000_000_000;

/// Digits behind the point.
const DIGITS: i64 = 9;

/// Greatest magnitude of a binary quantity.
const MAX_BINARY: i128 = i64::MAX as i128 * ONE;

/// The suffixes of powers of 1000, from 1000^-3.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The suffixes of powers of 1024, from 1024^1.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// An amount of a resource. Two that are equal may be written differently: `1k` and `1e3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    /// In billionths.
    nano: i128,
    family: Family,
}

/// Which suffixes a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Decimal,
    Exponent,
    Binary,
}

/// What a suffix multiplies with.
enum Suffix {
    PowerOfTen(i64, Family),
    PowerOfTwo(u32),
}

impl Quantity {
    /// Billionths in one.
    pub(crate) const ONE: i128 = ONE;

    /// Reads a quantity. `None` for a text that is none, or is one out of range.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (magnitude, family) = match self::suffix(suffix)? {
            Suffix::PowerOfTen(power, family) => (decimal(whole, fraction, power)?, family),
            Suffix::PowerOfTwo(power) => {
                let magnitude = binary(whole, fraction, power).unwrap_or(i128::MAX).min(MAX_BINARY);
                (magnitude, if magnitude < ONE { Family::Decimal } else { Family::Binary })
            }
        };
        Some(Self { nano: if negative { -magnitude } else { magnitude }, family })
    }

    /// How many billionths it is.
    pub(crate) fn billionths(self) -> i128 {
        self.nano
    }

    /// -1, 0 or 1.
    pub(super) fn signum(self) -> i64 {
        match self.nano.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// The whole number that it is, if it is one.
    pub(super) fn as_integer(self) -> Option<i64> {
        if self.nano % ONE != 0 {
            return None;
        }
        i64::try_from(self.nano / ONE).ok()
    }

    /// The nearest floating-point number.
    pub(super) fn as_float(self) -> f64 {
        // Reading decimal digits rounds once; dividing would round twice.
        format!("{}e-{DIGITS}", self.nano).parse().unwrap_or(f64::NAN)
    }

    /// The sum, written as this one is. `None` when it is out of range.
    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        let family = if self.nano == 0 { other.family } else { self.family };
        Some(Self { nano: self.nano.checked_add(other.nano)?, family })
    }

    /// The difference, written as this one is. `None` when it is out of range.
    pub(super) fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self { nano: other.nano.checked_neg()?, family: other.family })
    }
}

impl From<i64> for Quantity {
    fn from(value: i64) -> Self {
        Self { nano: i128::from(value) * ONE, family: Family::Decimal }
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

/// The canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        // A binary quantity that is small or has a fraction is written as a decimal one.
        let is_binary =
            self.family == Family::Binary && self.nano % ONE == 0 && self.nano.abs() >= 1024 * ONE;
        if is_binary {
            let (mut value, mut suffix) = (self.nano / ONE, "");
            for larger in BINARY {
                if value % 1024 != 0 {
                    break;
                }
                (value, suffix) = (value / 1024, larger);
            }
            return write!(f, "{value}{suffix}");
        }
        let (mut value, mut power) = (self.nano, -DIGITS);
        while value % 1000 == 0 {
            value /= 1000;
            power += 3;
        }
        let suffix = usize::try_from((power + DIGITS) / 3).ok().and_then(|position| DECIMAL.get(position));
        match suffix {
            Some(_) if self.family == Family::Exponent && power != 0 => write!(f, "{value}e{power}"),
            Some(suffix) => write!(f, "{value}{suffix}"),
            // There is no suffix above E.
            None => write!(f, "{value}e{power}"),
        }
    }
}

/// The digits that a text starts with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn suffix(text: &str) -> Option<Suffix> {
    if let Some(position) = DECIMAL.iter().position(|suffix| *suffix == text) {
        return Some(Suffix::PowerOfTen(3 * i64::try_from(position).ok()? - DIGITS, Family::Decimal));
    }
    if let Some(position) = BINARY.iter().position(|suffix| *suffix == text) {
        return Some(Suffix::PowerOfTwo(10 * (u32::try_from(position).ok()? + 1)));
    }
    // Rust reads a number with a sign as Go does.
    let power = text.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some(Suffix::PowerOfTen(power, Family::Exponent))
}

/// `whole.fraction` times a power of ten, in billionths.
fn decimal(whole: &str, fraction: &str, power: i64) -> Option<i128> {
    let number = [whole, fraction].concat();
    let number = number.trim_start_matches('0');
    if number.is_empty() {
        return Some(0);
    }
    let shift = power.checked_add(DIGITS)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    if shift >= 0 {
        let factor = 10_i128.checked_pow(u32::try_from(shift).ok()?)?;
        return number.parse::<i128>().ok()?.checked_mul(factor);
    }
    let finer = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
    let (kept, lost) = number.split_at(number.len().saturating_sub(finer));
    let kept: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    kept.checked_add(i128::from(lost.bytes().any(|digit| digit != b'0')))
}

/// `whole.fraction` times a power of two, in billionths; `None` when it is greater than any.
fn binary(whole: &str, fraction: &str, power: u32) -> Option<i128> {
    let factor = ONE << power;
    let whole = whole.trim_start_matches('0');
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Multiplying on paper, from the last digit: what is carried past the point is whole, what is written down is lost.
    let (mut carried, mut lost) = (0_i128, false);
    for digit in fraction.bytes().rev() {
        let product = i128::from(digit - b'0') * factor + carried;
        lost |= product % 10 != 0;
        carried = product / 10;
    }
    whole.checked_mul(factor)?.checked_add(carried + i128::from(lost))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Option<String> {
        Quantity::parse(text).map(|quantity| quantity.to_string())
    }

    #[test]
    fn quantities_are_written_in_canonical_form() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("0Gi", "0"),
            ("00012", "12"),
            ("+5", "5"),
            ("1.", "1"),
            (".5", "500m"),
            ("1.5", "1500m"),
            ("-1.50", "-1500m"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1000000", "1M"),
            ("0.001k", "1"),
            ("1k", "1k"),
            ("1M", "1M"),
            ("1G", "1G"),
            ("1T", "1T"),
            ("1P", "1P"),
            ("1E", "1E"),
            ("1000E", "1e21"),
            ("100000E", "100e21"),
            ("1m", "1m"),
            ("1u", "1u"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("1.0000000001", "1000000001n"),
            ("1Ki", "1Ki"),
            ("1Mi", "1Mi"),
            ("1Gi", "1Gi"),
            ("1Ti", "1Ti"),
            ("1Pi", "1Pi"),
            ("1Ei", "1Ei"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("-1.5Gi", "-1536Mi"),
            ("1000Ki", "1000Ki"),
            ("0.5Ki", "512"),
            ("0.0001Ki", "102400u"),
            ("1.0001Ki", "1024102400u"),
            ("8Ei", "9223372036854775807"),
            ("-9Ei", "-9223372036854775807"),
            ("99999999999999999999999999999999999999999Ki", "9223372036854775807"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1e+3", "1e3"),
            ("12e6", "12e6"),
            ("1234e-3", "1234e-3"),
            ("1e0", "1"),
            ("1e-9", "1e-9"),
            ("1e-99999999999", "1e-9"),
            ("0e99999999999", "0"),
            ("1e4", "10e3"),
            ("18446744073709551616", "18446744073709551616"),
            ("100000000000000000000000000000", "100e27"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_quantities() {
        for text in [
            "",
            " ",
            "+",
            "-",
            ".",
            "-.",
            "abc",
            "Mi",
            "1K",
            "1ki",
            "1mi",
            "1kk",
            "1 Mi",
            " 1",
            "1 ",
            "--1",
            "+-1",
            "1.2.3",
            "1,5",
            "1e",
            "1e1.5",
            "1e+",
            "1e--3",
            "1Kib",
            "0x10",
            "1_000",
            "١",
            "∞",
            "NaN",
            "1Mi1",
            "1m3",
            // Out of range.
            "1e30",
            "-1e30",
            "999999999999E",
            "1e99999999999",
            "1e9223372036854775807",
            "1e99999999999999999999",
            "1000000000000000000000000000000",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn a_fraction_of_any_length_is_rounded_away_from_zero_once() {
        let long = "0".repeat(10_000);
        assert_eq!(canonical(&format!("0.{long}1Ei")).as_deref(), Some("1n"));
        assert_eq!(canonical(&format!("1.{long}1")).as_deref(), Some("1000000001n"));
        assert_eq!(canonical(&format!("1.{long}")).as_deref(), Some("1"));
        assert_eq!(canonical(&format!("{long}7Ki")).as_deref(), Some("7Ki"));
        assert_eq!(canonical(&format!("0.{}Ki", "9".repeat(40))).as_deref(), Some("1Ki"));
    }

    #[test]
    fn equality_and_order_are_those_of_the_amounts() {
        let parse = |text| Quantity::parse(text).unwrap();
        for equal in ["1", "1000m", "1.0", "1e0", "0.001k", "1000000u", "1000000000n"] {
            assert_eq!(parse(equal), parse("1"), "{equal}");
        }
        let ascending = [
            "-1Gi", "-1G", "-1n", "0", "1n", "1u", "1m", "999m", "1", "1k", "1Ki", "1e6", "1Mi", "1.1Mi",
            "1E",
        ];
        for pair in ascending.windows(2) {
            assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn sums_are_exact_and_keep_the_suffixes_of_the_left() {
        let parse = |text| Quantity::parse(text).unwrap();
        for (left, right, sum, difference) in [
            ("0.1", "0.2", "300m", "-100m"),
            ("1Gi", "512Mi", "1536Mi", "512Mi"),
            ("1Gi", "1", "1073741825", "1073741823"),
            ("0", "1Ki", "1Ki", "-1Ki"),
            ("1k", "1Ki", "2024", "-24"),
            ("1Ki", "1k", "2024", "24"),
            ("1e3", "0", "1e3", "1e3"),
            ("4Ei", "4Ei", "8Ei", "0"),
            ("1n", "1E", "1000000000000000000000000001n", "-999999999999999999999999999n"),
        ] {
            assert_eq!(parse(left).checked_add(parse(right)).unwrap().to_string(), sum, "{left} + {right}");
            assert_eq!(
                parse(left).checked_sub(parse(right)).unwrap().to_string(),
                difference,
                "{left} - {right}"
            );
        }
        assert!(parse("170e27").checked_add(parse("170e27")).is_none());
        assert!(parse("-170e27").checked_sub(parse("170e27")).is_none());
    }

    #[test]
    fn integers_and_floats_are_taken_out() {
        for (text, integer, float) in [
            ("0", Some(0), 0.0),
            ("1k", Some(1000), 1000.0),
            ("1500m", None, 1.5),
            ("-2Ki", Some(-2048), -2048.0),
            ("50.703k", Some(50703), 50703.0),
            ("0.1", None, 0.1),
            ("100n", None, 1e-7),
            ("9223372036854775807", Some(i64::MAX), 9_223_372_036_854_775_807.0),
            ("-9223372036854775808", Some(i64::MIN), -9_223_372_036_854_775_808.0),
            ("9223372036854775808", None, 9_223_372_036_854_775_808.0),
            ("1e20", None, 1e20),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(quantity.as_integer(), integer, "{text}");
            #[allow(clippy::float_cmp)] // The nearest one.
            let same = quantity.as_float() == float;
            assert!(same, "{text}: {}", quantity.as_float());
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_the_same_amount_and_its_own_canonical_form(
            text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,12})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?",
        ) {
            let Some(quantity) = Quantity::parse(&text) else { return Ok(()) };
            let written = quantity.to_string();
            let again = Quantity::parse(&written).unwrap();
            prop_assert_eq!(again, quantity, "{}", written);
            prop_assert_eq!(again.to_string(), written);
        }

        #[test]
        fn whole_numbers_behave_as_such(a in any::<i64>(), b in any::<i64>()) {
            let (left, right) = (Quantity::from(a), Quantity::parse(&b.to_string()).unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.signum(), a.signum());
            prop_assert_eq!(left.as_integer(), Some(a));
            prop_assert_eq!(left.checked_add(right).unwrap().as_integer(), a.checked_add(b));
            prop_assert_eq!(left.checked_sub(right).unwrap().as_integer(), a.checked_sub(b));
        }

        #[test]
        fn any_text_is_a_quantity_or_none(text in ".{0,20}") {
            let _ = Quantity::parse(&text);
        }
    }
}
