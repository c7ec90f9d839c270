//! YAML text that every reader, of YAML 1.1 or 1.2, takes back to the same values.
//!
//! The bytes for given content are part of what users see (a changed byte is a change in their repository), so they don't
//! depend on the version of a library. Strings stand plain only where no reader could take them for anything else;
//! texts of several lines stand as literal blocks where these can hold them.

use std::io::{self, Write};

use kollect_dataflows::data::{PlainValue, Row};
use serde_json::Value;

/// Writes a row as a mapping with the keys of the contract. The first line continues where the writer stands, the others
/// begin with `indent` spaces.
///
/// # Errors
/// Those of the writer, and `InvalidData` when the row's attributes are not JSON.
pub fn write_row(out: &mut impl Write, row: &Row, indent: usize) -> io::Result<()> {
    let mut first = true;
    let mut field = |out: &mut dyn Write, key: &str, value: &str| -> io::Result<()> {
        if !std::mem::take(&mut first) {
            write!(out, "{:indent$}", "")?;
        }
        write!(out, "{key}: ")?;
        write_string(out, value, indent, false)?;
        out.write_all(b"\n")
    };
    field(out, "targetNamespace", &row.target().namespace)?;
    field(out, "targetName", &row.target().name)?;
    field(out, "namespace", row.namespace())?;
    field(out, "name", row.name())?;
    if !row.gvk().group.is_empty() {
        field(out, "group", &row.gvk().group)?;
    }
    field(out, "version", &row.gvk().version)?;
    field(out, "kind", &row.gvk().kind)?;
    field(out, "uid", row.uid())?;
    write!(out, "{:indent$}attributes:", "")?;
    write_value_after_key(out, &PlainValue::parse(row.attributes())?, indent)?;
    let incomplete = row.incomplete();
    if !incomplete.is_empty() {
        write!(out, "{:indent$}incomplete:", "")?;
        write_value_after_key(out, &Value::from(incomplete), indent)?;
    }
    Ok(())
}

/// Writes a value behind `key:`, up to and with the end of its last line.
fn write_value_after_key(out: &mut dyn Write, value: &Value, indent: usize) -> io::Result<()> {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.write_all(b"\n")?;
            write!(out, "{:1$}", "", indent + 2)?;
            write_value(out, value, indent + 2)
        }
        // A list stands under its key, not further in.
        Value::Array(items) if !items.is_empty() => {
            out.write_all(b"\n")?;
            write!(out, "{:indent$}", "")?;
            write_value(out, value, indent)
        }
        Value::String(text) => {
            out.write_all(b" ")?;
            write_string(out, text, indent, true)?;
            out.write_all(b"\n")
        }
        _ => {
            out.write_all(b" ")?;
            write_value(out, value, indent)
        }
    }
}

/// Writes a value from where the writer stands (column `indent`), up to and with the end of its last line.
fn write_value(out: &mut dyn Write, value: &Value, indent: usize) -> io::Result<()> {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    write!(out, "{:indent$}", "")?;
                }
                // The longest key that readers must take in the short form has 1024 characters.
                if key.len() > 1000 {
                    out.write_all(b"? ")?;
                    write_string(out, key, indent, false)?;
                    write!(out, "\n{:indent$}:", "")?;
                } else {
                    write_string(out, key, indent, false)?;
                    out.write_all(b":")?;
                }
                write_value_after_key(out, value, indent)?;
            }
            Ok(())
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    write!(out, "{:indent$}", "")?;
                }
                out.write_all(b"- ")?;
                write_value(out, item, indent + 2)?;
            }
            Ok(())
        }
        Value::Object(_) => out.write_all(b"{}\n"),
        Value::Array(_) => out.write_all(b"[]\n"),
        Value::Null => out.write_all(b"null\n"),
        Value::Bool(value) => writeln!(out, "{value}"),
        Value::Number(number) => {
            write_number(out, &number.to_string())?;
            out.write_all(b"\n")
        }
        Value::String(text) => {
            write_string(out, text, indent, false)?;
            out.write_all(b"\n")
        }
    }
}

/// Writes a JSON number so that YAML 1.1 knows it too: there, an exponent needs a point before it and a sign.
fn write_number(out: &mut dyn Write, number: &str) -> io::Result<()> {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return out.write_all(number.as_bytes());
    };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
    write!(out, "{mantissa}{point}e{sign}{exponent}")
}

/// Writes a string. A literal block, which ends in the middle of its last line, is possible only behind a key, where
/// `indent` is the key's column.
fn write_string(out: &mut dyn Write, text: &str, indent: usize, block: bool) -> io::Result<()> {
    if is_plain(text) {
        return out.write_all(text.as_bytes());
    }
    if block && fits_block(text) {
        return write_block(out, text, indent + 2);
    }
    write_quoted(out, text)
}

/// Whether the string can stand as it is: it begins like a word, has no character with a meaning, and is no word that
/// some version of YAML takes for a truth value, null or number.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    if !(first.is_ascii_alphabetic() || matches!(first, '_' | '/')) {
        return false;
    }
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_-./@+=,;()% :".contains(c);
    if !text.chars().all(harmless) || text.ends_with([' ', ':']) || text.contains(": ") {
        return false;
    }
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a literal block gives the string back: several lines, nothing but printable characters, no line that ends in a
/// space, no first line that is empty or begins with a space (its indentation would be misread).
fn fits_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !body.is_empty()
        && !body.starts_with(['\n', ' ', '\t'])
        && !body.ends_with('\n')
        && body.lines().all(|line| !line.ends_with([' ', '\t']) && !line.starts_with('\t'))
        && text.chars().all(|c| c == '\n' || c == '\t' || !needs_escape(c))
}

fn write_block(out: &mut dyn Write, text: &str, indent: usize) -> io::Result<()> {
    let (sign, body) = match text.strip_suffix('\n') {
        Some(body) => ("|", body),
        None => ("|-", text),
    };
    out.write_all(sign.as_bytes())?;
    for line in body.split('\n') {
        if line.is_empty() {
            out.write_all(b"\n")?;
        } else {
            write!(out, "\n{:indent$}{line}", "")?;
        }
    }
    Ok(())
}

/// Characters that YAML does not allow as they are, or that some readers take for the end of a line.
fn needs_escape(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn write_quoted(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(|c| c == '"' || c == '\\' || needs_escape(c)) {
        let (before, after) = rest.split_at(at);
        out.write_all(before.as_bytes())?;
        let mut characters = after.chars();
        match characters.next() {
            Some('"') => out.write_all(b"\\\"")?,
            Some('\\') => out.write_all(b"\\\\")?,
            Some('\n') => out.write_all(b"\\n")?,
            Some('\t') => out.write_all(b"\\t")?,
            Some('\r') => out.write_all(b"\\r")?,
            Some(c) if u32::from(c) < 0x100 => write!(out, "\\x{:02X}", u32::from(c))?,
            Some(c) => write!(out, "\\u{:04X}", u32::from(c))?,
            None => {}
        }
        rest = characters.as_str();
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use kollect_dataflows::data::{Gvk, RowParts, TargetName};
    use serde_json::json;

    use super::*;

    fn yaml(attributes: &Value, incomplete: &[&str]) -> String {
        let row = Row::new(RowParts {
            target: &Arc::new(TargetName::new("team", "web")),
            gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
            namespace: "shop",
            name: "cart",
            uid: "11e1-0",
            attributes: &attributes.to_string(),
            incomplete,
        });
        let mut out = b"- ".to_vec();
        write_row(&mut out, &row, 2).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reads_well() {
        let attributes = json!({
            "image": "nginx:1.27",
            "labels": {"app.kubernetes.io/name": "cart", "tier": "yes"},
            "ports": [80, 443.5],
            "rules": [{"host": "a.example", "paths": ["/", "/x y"]}, {}],
            "script": "echo 1\n\necho 2\n",
            "nothing": null,
            "empty": [],
        });
        let expected = r#"- targetNamespace: team
  targetName: web
  namespace: shop
  name: cart
  group: apps
  version: v1
  kind: Deployment
  uid: "11e1-0"
  attributes:
    empty: []
    image: nginx:1.27
    labels:
      app.kubernetes.io/name: cart
      tier: "yes"
    nothing: null
    ports:
    - 80
    - 443.5
    rules:
    - host: a.example
      paths:
      - /
      - /x y
    - {}
    script: |
      echo 1

      echo 2
  incomplete:
  - owner
"#;
        assert_eq!(yaml(&attributes, &["owner"]), expected);
    }

    #[test]
    fn every_value_comes_back_as_it_was() {
        let strings = [
            "",
            " ",
            "a ",
            " a",
            "a b",
            "yes",
            "No",
            "ON",
            "y",
            "N",
            "null",
            "Null",
            "~",
            "true",
            "True",
            "1",
            "01",
            "0o7",
            "0x1f",
            "1_000",
            "1e3",
            "1.5",
            ".5",
            "-1",
            "+1",
            ".inf",
            ".nan",
            "-.INF",
            "12:30:45",
            "190:20",
            "2024-01-01",
            "2024-01-01T00:00:00Z",
            "=",
            "<<",
            "-",
            "- a",
            "?",
            "? a",
            ":",
            "a:",
            "a: b",
            "a:b",
            "#",
            "a #b",
            "a#b",
            "&a",
            "*a",
            "!a",
            "!!str a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "a\"b",
            "a\\b",
            "{a}",
            "[a]",
            "{",
            "]",
            ",",
            "a, b",
            "a\nb",
            "a\nb\n",
            "a\n\nb",
            "a\nb\n\n",
            "\na",
            " a\nb",
            "a \nb",
            "a\n b",
            "a\n\tb",
            "\ta",
            "a\tb",
            "a\rb",
            "a\r\nb",
            "\n",
            "\n\n",
            "---",
            "...",
            "--- a",
            "a\n---\nb",
            "a\n...\n",
            "\u{0}",
            "\u{7f}",
            "\u{85}",
            "a\u{85}b",
            "\u{a0}",
            "\u{2028}",
            "a\n\u{2029}b",
            "\u{feff}",
            "ü",
            "größe",
            "日本語",
            "🦀",
            "a\u{301}",
            "x: |\n  y",
            "a\n# b",
            "/",
            "/a b",
            "_",
            "null ",
            "nil",
            "NaN",
            "Infinity",
            "0",
            "-0",
            "1.",
            "1e",
            "e1",
            "0b1",
            "True ",
            "C:\\x",
            "a%b",
            "(a)",
            "key: \"v\"",
        ];
        let numbers = [
            "0",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "1.5",
            "1e300",
            "-2.5e-10",
            "1.0",
            "0.1",
        ];
        let mut map = serde_json::Map::new();
        for (i, text) in strings.iter().enumerate() {
            map.insert(format!("s{i}"), json!(text));
            map.insert(format!("l{i}"), json!([text, [text, {*text: text}]]));
            map.insert(format!("m{i}"), json!({*text: {*text: text}}));
        }
        for (i, number) in numbers.iter().enumerate() {
            map.insert(format!("n{i}"), serde_json::from_str(number).unwrap());
        }
        map.insert("k".repeat(1500), json!({"v": [{"v": []}, [[], [1, [2]]], {}]}));
        map.insert("yes".to_owned(), json!([true, false, null]));
        let attributes = Value::Object(map);
        let text = yaml(&attributes, &["no", "a b"]);
        let back: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let back = &back[0];
        for (key, value) in attributes.as_object().unwrap() {
            assert_eq!(back["attributes"].get(key), Some(value), "{key}");
        }
        assert_eq!(back["attributes"], attributes);
        assert_eq!(back["incomplete"], json!(["no", "a b"]));
        assert_eq!(back["uid"], json!("11e1-0"));
    }

    #[test]
    fn exponents_are_numbers_in_every_version() {
        let text = yaml(&json!({"a": 1e300, "b": 2.5e-10}), &[]);
        assert!(text.contains("a: 1.0e+300\n") && text.contains("b: 2.5e-10\n"), "{text}");
    }
}
