//! Values of Secrets, with variables of the environment put in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::{Environment, reason};
use crate::catalog::{ResourceName, SecretData};

const OPEN: &str = "${env:";

/// Takes a problem: field, reason, message, remedy.
type Report<'a> = &'a mut dyn FnMut(&str, &'static str, String, String);

/// The data of a Secret: `data` in base64, and `stringData` over it. What can't be used is reported and left out.
pub(super) fn decode(
    document: &Map<String, Value>,
    name: &ResourceName,
    environment: Environment<'_>,
    report: Report<'_>,
) -> SecretData {
    let mut secret = SecretData::default();
    for (part, encoded) in [("data", true), ("stringData", false)] {
        let entries = match document.get(part) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                report(
                    part,
                    reason::INVALID_FIELD,
                    format!("{part} of Secret {name} is not a mapping"),
                    "give keys and their values".to_owned(),
                );
                continue;
            }
        };
        for (key, value) in entries {
            let field = format!("{part}[{key}]");
            let Some(text) = value.as_str() else {
                report(
                    &field,
                    reason::INVALID_FIELD,
                    format!("the value of key `{key}` of Secret {name} is not text"),
                    "write it in quotes".to_owned(),
                );
                continue;
            };
            let value = if encoded {
                match BASE64.decode(text.split_ascii_whitespace().collect::<String>()) {
                    Ok(bytes) => bytes,
                    Err(_) => {
                        report(
                            &field,
                            reason::INVALID_FIELD,
                            format!("the value of key `{key}` of Secret {name} is not in base64"),
                            "encode it, or move it to stringData".to_owned(),
                        );
                        continue;
                    }
                }
            } else {
                text.as_bytes().to_owned()
            };
            match substitute(value, environment) {
                Ok(value) => _ = secret.0.insert(key.clone(), value),
                Err(Unsubstituted::Unset(variables)) => {
                    for variable in variables {
                        report(
                            &field,
                            reason::UNSET_VARIABLE,
                            format!(
                                "the environment has no variable {variable}, which key `{key}` of Secret {name} needs"
                            ),
                            format!("set it: `export {variable}=…`"),
                        );
                    }
                }
                Err(Unsubstituted::Malformed) => report(
                    &field,
                    reason::INVALID_FIELD,
                    format!(
                        "the value of key `{key}` of Secret {name} has a `{OPEN}` without a name and `}}`"
                    ),
                    format!("write `{OPEN}NAME}}`, with letters, digits and `_` in the name"),
                ),
            }
        }
    }
    secret
}

/// Why a value could not be completed.
enum Unsubstituted {
    /// These variables are not set.
    Unset(Vec<String>),
    /// A `${env:` leads nowhere.
    Malformed,
}

/// Puts variables of the environment in the place of their names. What they hold is taken as it is.
fn substitute(value: Vec<u8>, environment: Environment<'_>) -> Result<Vec<u8>, Unsubstituted> {
    // A value that is not text has no names in it.
    let Ok(text) = std::str::from_utf8(&value) else { return Ok(value) };
    if !text.contains(OPEN) {
        return Ok(value);
    }
    let mut pieces = text.split(OPEN);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    let mut unset = Vec::new();
    for piece in pieces {
        let (variable, rest) = piece.split_once('}').ok_or(Unsubstituted::Malformed)?;
        let is_name = variable.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(Unsubstituted::Malformed);
        }
        match environment(variable) {
            Some(value) => out.push_str(&value),
            None => unset.push(variable.to_owned()),
        }
        out.push_str(rest);
    }
    if unset.is_empty() { Ok(out.into_bytes()) } else { Err(Unsubstituted::Unset(unset)) }
}
