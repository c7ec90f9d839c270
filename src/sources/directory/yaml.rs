//! YAML as `kubectl` reads it.
//!
//! Manifests are YAML 1.1 to `kubectl` (`sigs.k8s.io/yaml`), and so they are here: unquoted `yes`, `no`, `on`, `off`,
//! `y` and `n` are booleans, `0644` is octal, `0o644`, `0x1A4` and `0b11` are numbers, `1e3` is the number 1000, the last
//! of two equal keys wins, anchors and merge keys (`<<`) work. There are two differences: keys stay as written, where
//! `kubectl` turns a key `on` into `true`; and a number too great for JSON (`1e999`) is an error, where `kubectl` makes it a string.

use kollect_dataflows::data::PlainValue;
use serde_json::Value;
use serde_saphyr::Error;

/// Why a document is not YAML. Holds nothing of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// Line in the document, from 1.
    pub(crate) line: Option<u64>,
    /// Column in the line, from 1.
    pub(crate) column: Option<u64>,
    /// What is wrong.
    pub(crate) message: String,
}

/// Reads one document as JSON text; `None` when it is empty.
pub(crate) fn to_json(document: &str) -> Result<Option<String>, YamlError> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        strict_booleans: false,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::Reject,
        // A snippet would carry the document's content into messages and logs.
        with_snippet: false,
        emit_comments: false,
    };
    match serde_saphyr::from_str_with_options::<PlainValue>(document, options) {
        Ok(PlainValue(Value::Null)) => Ok(None),
        Ok(PlainValue(mut value)) => {
            shorten_numbers(&mut value);
            Ok(Some(value.to_string()))
        }
        Err(error) => {
            let location = error.location();
            Err(YamlError {
                line: location.map(|location| location.line()),
                column: location.map(|location| location.column()),
                message: message(error.without_snippet()),
            })
        }
    }
}

/// What is wrong. Some errors' own texts show a value, a tag or a key.
fn message(error: &Error) -> String {
    match error {
        Error::NonFiniteFloat { .. } => "a number is too great for JSON".to_owned(),
        Error::UnsupportedTag { .. } => "a tag is not supported".to_owned(),
        Error::ResolverError { .. } | Error::CyclicInclude { .. } => "includes are not supported".to_owned(),
        Error::DuplicateMappingKey { .. } => "a key stands twice".to_owned(),
        Error::SerdeInvalidType { .. }
        | Error::SerdeInvalidValue { .. }
        | Error::SerdeUnknownVariant { .. }
        | Error::SerdeUnknownField { .. }
        | Error::TaggedEnumMismatch { .. }
        | Error::QuotingRequired { .. } => "a value or key is of a type that is not supported".to_owned(),
        Error::UnresolvedProperty { .. }
        | Error::InvalidPropertyName { .. }
        | Error::PropertyRequiredButUnset { .. }
        | Error::PropertyRequiredButEmpty { .. } => "properties are not supported".to_owned(),
        Error::AliasError { error, .. } => message(error),
        error => without_place(&error.to_string()),
    }
}

/// The first line of a message, without the place in the document, which is not that in the file.
fn without_place(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text).to_owned()
}

/// Writes floating-point numbers that are integers as such, as `kubectl` does: `1.0` and `1e3` become `1` and `1000`.
fn shorten_numbers(value: &mut Value) {
    /// The greatest integer up to which every integer has a floating-point number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(float) = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= EXACT) {
                *number = (float as i64).into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shorten_numbers),
        Value::Object(fields) => fields.values_mut().for_each(shorten_numbers),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_what_kubectl_makes_of_them() {
        for (yaml, json) in [
            ("yes", "true"),
            ("No", "false"),
            ("on", "true"),
            ("OFF", "false"),
            ("y", "true"),
            ("'yes'", r#""yes""#),
            ("true", "true"),
            ("0644", "420"),
            ("0o644", "420"),
            ("0x1A4", "420"),
            ("0b11", "3"),
            ("08", "8"),
            ("1_000", "1000"),
            ("-17", "-17"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.5", "1.5"),
            ("1.0", "1"),
            ("1e3", "1000"),
            ("1.2.3", r#""1.2.3""#),
            ("10Mi", r#""10Mi""#),
            ("2024-01-02", r#""2024-01-02""#),
            ("2024-01-02T03:04:05Z", r#""2024-01-02T03:04:05Z""#),
            ("12:30:45", r#""12:30:45""#),
            ("~", "null"),
            ("", "null"),
            ("!!str 12", r#""12""#),
            ("|-\n  a\n  b", r#""a\nb""#),
        ] {
            let document = format!("v: {yaml}\n");
            assert_eq!(to_json(&document), Ok(Some(format!(r#"{{"v":{json}}}"#))), "{yaml}");
        }
    }

    #[test]
    fn structure_is_what_kubectl_makes_of_it() {
        for (yaml, json) in [
            ("a: 1\na: 2\n", r#"{"a":2}"#),
            ("x: &x {a: 1, b: 1}\ny:\n  <<: *x\n  b: 2\n", r#"{"x":{"a":1,"b":1},"y":{"a":1,"b":2}}"#),
            ("1: a\nyes: b\n", r#"{"1":"a","yes":"b"}"#),
            ("{a: [1, 'two']}", r#"{"a":[1,"two"]}"#),
            ("---\na: 1\n...\n", r#"{"a":1}"#),
            ("\u{feff}a: 1\n", r#"{"a":1}"#),
            ("a: 1\r\nb: 2\r\n", r#"{"a":1,"b":2}"#),
        ] {
            assert_eq!(to_json(yaml), Ok(Some(json.to_owned())), "{yaml:?}");
        }
        for empty in ["", "# nothing\n", "---\n# nothing\n", "null\n"] {
            assert_eq!(to_json(empty), Ok(None), "{empty:?}");
        }
    }

    #[test]
    fn numbers_that_json_lacks_are_errors() {
        for yaml in [".inf", "-.inf", ".nan", "1e999"] {
            let error = to_json(&format!("a: 1\nv: {yaml}\n")).unwrap_err();
            assert_eq!(error.line, Some(2), "{yaml}: {error:?}");
        }
    }

    #[test]
    fn an_error_tells_the_place_and_none_of_the_content() {
        for broken in [
            "a: 1\nb: [canary-5e\nc: canary-5e\n",
            "a: 'canary-5e\nb: 1\n",
            "a: canary-5e: canary-5e\n",
            "a:\n\tcanary-5e\n",
            "{{ canary-5e }}\n",
            "a: @canary-5e\n",
            "  canary-5e: 1\n b: 2\n",
            "a: 98765432105e98765\n",
            "a: &x 98765432105e98765\nb: *x\n",
            "a: !!int canary-5e\n",
            "a: !!float canary-5e\n",
            "a: !!binary canary-5e!\n",
            "? [canary-5e]\n: 1\n",
            "a: *canary-5e\n",
        ] {
            let Err(error) = to_json(broken) else { panic!("{broken} is taken") };
            assert!(error.line.is_some() && error.column.is_some(), "{error:?}");
            assert!(
                !error.message.contains("5e")
                    && !error.message.contains("canary")
                    && !error.message.contains(" at line"),
                "{error:?}"
            );
        }
    }
}
