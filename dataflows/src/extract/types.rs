//! Types of attributes: a value is checked and converted, or it is a problem.
//!
//! In comes the JSON that an attribute's path or expression gave, out goes the JSON of the type. There is one way to
//! write a value of a type, so that equal values give equal rows however objects write them.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};

use super::node::Node;
use super::quantity::Quantity;

/// The type that an attribute's values have. A null is a value of every type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// A text. Takes texts, numbers (as JSON writes them), and `true` and `false`.
    String,
    /// An integer from -2⁶³ to 2⁶⁴-1. Takes such integers, also written with a fraction of zero or an exponent, and texts of
    /// decimal digits.
    Int,
    /// A number as a double holds it, always written with a fraction or an exponent. Takes numbers, and texts of decimal numbers.
    Float,
    /// True or false. Takes these, and the texts `true` and `false`.
    Bool,
    /// A list.
    List,
    /// A map.
    Map,
    /// A time in RFC 3339, in UTC, to the nanosecond. Takes texts in RFC 3339.
    Timestamp,
    /// A quantity of Kubernetes (`500m`, `1Gi`), in its canonical form. Takes texts and numbers.
    Quantity,
}

impl ValueType {
    /// The name of the type, as a profile writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::List => "list",
            Self::Map => "map",
            Self::Timestamp => "timestamp",
            Self::Quantity => "quantity",
        }
    }

    /// What values of the type are made of, for a message.
    pub(super) fn takes(self) -> &'static str {
        match self {
            Self::String => "a string, number or bool",
            Self::Int => "an integer of 64 bits, or a string of one",
            Self::Float => "a number, or a string of one",
            Self::Bool => "true, false, or a string of one of them",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Timestamp => "a string in RFC 3339, for example 2030-01-31T12:00:00Z",
            Self::Quantity => "a quantity, for example 500m or 1Gi",
        }
    }

    /// Converts the canonical JSON value that `out` holds from `start` on.
    ///
    /// # Errors
    /// Why the value can't be one of this type, without the value. It is still there.
    pub(super) fn convert(self, out: &mut Vec<u8>, start: usize) -> Result<(), String> {
        let json = out.get(start..).unwrap_or_default();
        let shape = Shape::of(json);
        let converted = match (self, shape) {
            (_, Shape::Null)
            | (Self::String, Shape::String)
            | (Self::Bool, Shape::Bool)
            | (Self::List, Shape::List)
            | (Self::Map, Shape::Map) => return Ok(()),
            (_, Shape::List | Shape::Map) => None,
            _ => serde_json::from_slice(json).ok().and_then(|node| self.scalar(&node, json)),
        };
        match converted {
            Some(converted) => {
                out.truncate(start);
                // Writing a number or a text into memory can't fail.
                let _: Result<(), _> = serde_json::to_writer(out, &converted);
                Ok(())
            }
            None => Err(format!(
                "the value is a {} that can't be converted to {}; expected is {}",
                shape.name(),
                self.name(),
                self.takes()
            )),
        }
    }

    /// A string, number or bool as a value of this type.
    fn scalar(self, node: &Node<'_>, json: &[u8]) -> Option<Node<'static>> {
        let written = || String::from_utf8(json.to_vec()).ok();
        let text = |text: String| Node::String(text.into());
        match (self, node) {
            (Self::String, _) => written().map(text),
            (Self::Int, Node::Int(value)) => Some(Node::Int(*value)),
            (Self::Int, Node::UInt(value)) => Some(Node::UInt(*value)),
            (Self::Int, Node::Float(value)) => whole(*value),
            (Self::Int, Node::String(digits)) => integer(digits),
            #[allow(clippy::cast_precision_loss)] // The nearest double, as for any other number.
            (Self::Float, Node::Int(value)) => Some(Node::Float(*value as f64)),
            #[allow(clippy::cast_precision_loss)]
            (Self::Float, Node::UInt(value)) => Some(Node::Float(*value as f64)),
            (Self::Float, Node::Float(value)) => Some(Node::Float(*value)),
            (Self::Float, Node::String(digits)) => decimal(digits).map(Node::Float),
            (Self::Bool, Node::String(word)) => match word.as_ref() {
                "true" => Some(Node::Bool(true)),
                "false" => Some(Node::Bool(false)),
                _ => None,
            },
            (Self::Timestamp, Node::String(time)) => timestamp(time).map(text),
            (Self::Quantity, Node::String(quantity)) => {
                Quantity::parse(quantity).map(|q| text(q.to_string()))
            }
            (Self::Quantity, Node::Int(_) | Node::UInt(_) | Node::Float(_)) => {
                Quantity::parse(&written()?).map(|q| text(q.to_string()))
            }
            _ => None,
        }
    }
}

/// What a JSON value is, by its first byte.
#[derive(Clone, Copy)]
enum Shape {
    Null,
    Bool,
    Number,
    String,
    List,
    Map,
}

impl Shape {
    fn of(json: &[u8]) -> Self {
        match json.first() {
            None | Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::String,
            Some(b'[') => Self::List,
            Some(b'{') => Self::Map,
            Some(_) => Self::Number,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

/// A float that is an integer, as one.
fn whole(value: f64) -> Option<Node<'static>> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() != 0.0 {
        return None;
    }
    // Exact in these ranges: a double this large has no fraction, and the bounds themselves are doubles.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    if (-TWO_TO_63..TWO_TO_63).contains(&value) {
        Some(Node::Int(value as i64))
    } else if (TWO_TO_63..2.0 * TWO_TO_63).contains(&value) {
        Some(Node::UInt(value as u64))
    } else {
        None
    }
}

/// Decimal digits with an optional minus.
fn integer(digits: &str) -> Option<Node<'static>> {
    if digits.starts_with('+') {
        return None;
    }
    digits.parse().map(Node::Int).or_else(|_| digits.parse().map(Node::from_u64)).ok()
}

/// A decimal number with an optional exponent. Names such as `inf` are none.
fn decimal(digits: &str) -> Option<f64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    digits.parse().ok().filter(|value: &f64| plain && value.is_finite())
}

/// A time in RFC 3339 in UTC, with as many digits after the second as it needs: none, 3, 6 or 9.
fn timestamp(text: &str) -> Option<String> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    // In UTC it may have moved out of the years that RFC 3339 can write.
    (0..=9999).contains(&time.year()).then(|| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::super::node::tests::any_json;
    use super::ValueType::{self, *};

    const ALL: [ValueType; 8] = [String, Int, Float, Bool, List, Map, Timestamp, Quantity];

    fn convert(kind: ValueType, json: &str) -> Result<std::string::String, std::string::String> {
        let mut out = format!("{{\"before\":{json}").into_bytes();
        let result = kind.convert(&mut out, 10);
        let out = std::string::String::from_utf8(out).unwrap();
        let (before, value) = out.split_at(10);
        assert_eq!(before, "{\"before\":");
        result.map(|()| value.to_owned())
    }

    #[test]
    fn values_become_values_of_the_type() {
        for (kind, json, expected) in [
            (String, r#""a""#, r#""a""#),
            (String, r#""\n\"ü""#, r#""\n\"ü""#),
            (String, "7", r#""7""#),
            (String, "18446744073709551615", r#""18446744073709551615""#),
            (String, "-1.5", r#""-1.5""#),
            (String, "1e300", r#""1e300""#),
            (String, "true", r#""true""#),
            (Int, "7", "7"),
            (Int, "-9223372036854775808", "-9223372036854775808"),
            (Int, "18446744073709551615", "18446744073709551615"),
            (Int, "3.0", "3"),
            (Int, "-0.0", "0"),
            (Int, "1e18", "1000000000000000000"),
            (Int, "-9223372036854775808.0", "-9223372036854775808"),
            (Int, "9223372036854775808.0", "9223372036854775808"),
            (Int, "1.8446744073709550e19", "18446744073709549568"),
            (Int, r#""7""#, "7"),
            (Int, r#""-0""#, "0"),
            (Int, r#""007""#, "7"),
            (Int, r#""9223372036854775807""#, "9223372036854775807"),
            (Int, r#""-9223372036854775808""#, "-9223372036854775808"),
            (Int, r#""18446744073709551615""#, "18446744073709551615"),
            (Int, r#""\u0037""#, "7"),
            (Float, "3", "3.0"),
            (Float, "0.25", "0.25"),
            (Float, "-0.0", "-0.0"),
            (Float, "18446744073709551615", "1.8446744073709552e+19"),
            (Float, r#""0.25""#, "0.25"),
            (Float, r#""-2e3""#, "-2000.0"),
            (Float, r#""3""#, "3.0"),
            (Bool, "true", "true"),
            (Bool, "false", "false"),
            (Bool, r#""true""#, "true"),
            (Bool, r#""false""#, "false"),
            (List, "[]", "[]"),
            (List, r#"[1,"a",null]"#, r#"[1,"a",null]"#),
            (Map, "{}", "{}"),
            (Map, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (Timestamp, r#""2024-01-02T03:04:05Z""#, r#""2024-01-02T03:04:05Z""#),
            (Timestamp, r#""2024-01-02T03:04:05+02:00""#, r#""2024-01-02T01:04:05Z""#),
            (Timestamp, r#""2024-02-29T23:30:00-01:00""#, r#""2024-03-01T00:30:00Z""#),
            (Timestamp, r#""2024-01-02t03:04:05z""#, r#""2024-01-02T03:04:05Z""#),
            (Timestamp, r#""2024-01-02T03:04:05.000000Z""#, r#""2024-01-02T03:04:05Z""#),
            (Timestamp, r#""2024-01-02T03:04:05.12Z""#, r#""2024-01-02T03:04:05.120Z""#),
            (Timestamp, r#""2024-01-02T03:04:05.120000Z""#, r#""2024-01-02T03:04:05.120Z""#),
            (Timestamp, r#""2024-01-02T03:04:05.123456789Z""#, r#""2024-01-02T03:04:05.123456789Z""#),
            (Timestamp, r#""2016-12-31T23:59:60Z""#, r#""2016-12-31T23:59:60Z""#),
            (Quantity, r#""500m""#, r#""500m""#),
            (Quantity, r#""0.5""#, r#""500m""#),
            (Quantity, r#""1000m""#, r#""1""#),
            (Quantity, r#""1024Mi""#, r#""1Gi""#),
            (Quantity, "2", r#""2""#),
            (Quantity, "0.25", r#""250m""#),
        ] {
            assert_eq!(convert(kind, json).as_deref(), Ok(expected), "{kind:?} of {json}");
        }
    }

    #[test]
    fn values_that_can_not_be_of_the_type_are_refused() {
        for (kind, values) in [
            (String, &["[]", "{}"][..]),
            (
                Int,
                &[
                    "1.5",
                    "18446744073709551616.0",
                    "-9223372036854777856.0",
                    "1e300",
                    "true",
                    "[]",
                    "{}",
                    r#""""#,
                    r#""a""#,
                    r#"" 1""#,
                    r#""+1""#,
                    r#""1.0""#,
                    r#""0x10""#,
                    r#""1_000""#,
                    r#""١""#,
                    r#""18446744073709551616""#,
                    r#""-9223372036854775809""#,
                ],
            ),
            (
                Float,
                &[
                    "true",
                    "[]",
                    r#""""#,
                    r#""inf""#,
                    r#""NaN""#,
                    r#""1e400""#,
                    r#"" 1""#,
                    r#""-""#,
                    r#""1,5""#,
                ],
            ),
            (Bool, &["0", "1", r#""True""#, r#""yes""#, r#""""#, "[]"]),
            (List, &["1", "{}", r#""[]""#, "false"]),
            (Map, &["1", "[]", r#""{}""#]),
            (
                Timestamp,
                &[
                    "1700000000",
                    "true",
                    r#""""#,
                    r#""2024-01-02""#,
                    r#""2024-01-02T03:04:05""#,
                    r#""2023-02-29T00:00:00Z""#,
                    r#""2024-01-02T24:00:00Z""#,
                    r#""9999-12-31T23:30:00-01:00""#,
                    r#""0000-01-01T00:00:00+01:00""#,
                    r#""Tue, 02 Jan 2024 03:04:05 GMT""#,
                ],
            ),
            (Quantity, &[r#""""#, r#""a lot""#, r#""1 Gi""#, "true", "[]"]),
        ] {
            for json in values {
                assert!(convert(kind, json).is_err(), "{kind:?} of {json}: {:?}", convert(kind, json));
            }
        }
    }

    #[test]
    fn a_refusal_says_what_is_expected_and_shows_no_value() {
        assert_eq!(
            convert(Int, r#""canary""#).expect_err("refused"),
            "the value is a string that can't be converted to int; expected is an integer of 64 bits, or a string of one"
        );
    }

    #[test]
    fn a_null_stays_null() {
        for kind in ALL {
            assert_eq!(convert(kind, "null").as_deref(), Ok("null"), "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn a_converted_value_is_of_the_type_and_converting_it_again_changes_nothing(value in any_json()) {
            let json = value.to_string();
            for kind in ALL {
                let Ok(once) = convert(kind, &json) else { continue };
                let value: serde_json::Value = serde_json::from_str(&once).unwrap();
                let fits = match kind {
                    _ if value.is_null() => json == "null",
                    String | Timestamp | Quantity => value.is_string(),
                    Int => value.is_i64() || value.is_u64(),
                    Float => value.is_f64(),
                    Bool => value.is_boolean(),
                    List => value.is_array(),
                    Map => value.is_object(),
                };
                prop_assert!(fits, "{:?} of {}: {}", kind, json, once);
                prop_assert_eq!(convert(kind, &once), Ok(once));
            }
        }

        #[test]
        fn integers_are_exact_in_every_spelling(signed: i64, unsigned: u64) {
            for digits in [signed.to_string(), unsigned.to_string()] {
                prop_assert_eq!(convert(Int, &digits), Ok(digits.clone()));
                prop_assert_eq!(convert(Int, &format!("\"{digits}\"")), Ok(digits.clone()));
                prop_assert_eq!(convert(String, &digits), Ok(format!("\"{digits}\"")));
            }
        }

        #[test]
        fn an_instant_has_one_spelling(seconds in 0..4_000_000_000_i64, nanos in 0..1_000_000_000_u32, minutes in -720..720_i32) {
            let utc = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
            let there = utc.with_timezone(&chrono::FixedOffset::east_opt(minutes * 60).unwrap());
            let here = convert(Timestamp, &format!("\"{}\"", utc.to_rfc3339())).unwrap();
            prop_assert_eq!(convert(Timestamp, &format!("\"{}\"", there.to_rfc3339())), Ok(here.clone()));
            let back: chrono::DateTime<chrono::Utc> = here.trim_matches('"').parse().unwrap();
            prop_assert_eq!(back, utc);
        }
    }
}
