//! What an API server says of a value by its structural schema: unknown fields, types, bounds, defaults.
//!
//! Covered are the keywords that our CRDs use; a test sees to it that they use no others.

use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine as _;
use regex::Regex;
use serde_json::{Map, Value};

use super::reason;
use crate::api;

/// Something wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) field: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Flaw {
    /// A flaw from its message and remedy.
    pub(super) fn new(field: &str, reason: &'static str, (message, remedy): (String, String)) -> Self {
        Self { field: field.to_owned(), reason, message, remedy }
    }

    fn invalid(field: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(field, reason::INVALID_FIELD, (message.into(), remedy.into()))
    }
}

/// Keywords that are looked at here, or say nothing of validity.
#[cfg(test)]
pub(super) const KEYWORDS: [&str; 24] = [
    "type",
    "format",
    "enum",
    "not",
    "nullable",
    "properties",
    "additionalProperties",
    "required",
    "items",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
    "minimum",
    "maximum",
    "default",
    "description",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// Checks a whole document, sets defaults in it, and drops nulls and unknown fields.
pub(super) fn check(schema: &Value, value: &mut Value, flaws: &mut Vec<Flaw>) {
    Check { flaws }.value(schema, value, "");
}

/// Puts empty text where required text is missing or is something else, so that a document with such flaws can still be
/// read and the rest of it be checked.
pub(super) fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(object) => {
            let properties = schema["properties"].as_object();
            for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let is_text = properties
                    .and_then(|properties| properties.get(key))
                    .is_some_and(|property| property["type"] == "string" && property["enum"].is_null());
                if is_text && !object.get(key).is_some_and(Value::is_string) {
                    object.insert(key.to_owned(), Value::String(String::new()));
                }
            }
            for (key, value) in object {
                if let Some(property) = properties.and_then(|properties| properties.get(key)) {
                    fill(property, value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(&schema["items"], item)),
        _ => {}
    }
}

/// Keys of labels, which no schema can check.
pub(super) fn check_label_keys(labels: &Value, flaws: &mut Vec<Flaw>) {
    for key in labels.as_object().into_iter().flatten().map(|(key, _)| key) {
        if !matches(api::LABEL_KEY, key) || key.rsplit('/').next().is_some_and(|name| name.len() > 63) {
            flaws.push(Flaw::invalid(
                &format!("metadata.labels[{key}]"),
                format!("`{key}` is not the key of a label"),
                "use letters, digits, `-`, `_` and `.`, with a domain and `/` in front if need be",
            ));
        }
    }
}

struct Check<'a> {
    flaws: &'a mut Vec<Flaw>,
}

impl Check<'_> {
    fn invalid(&mut self, field: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.flaws.push(Flaw::invalid(field, message, remedy));
    }

    fn value(&mut self, schema: &Value, value: &mut Value, field: &str) {
        if schema["type"] == "integer"
            && let Some(whole) = value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0)
        {
            *value = Value::from(whole as i64);
        }
        if let Some(expected) = schema["type"].as_str()
            && !is_type(expected, value)
        {
            let message = format!("{} where {} is expected", described(value), article(expected));
            return self.invalid(field, message, format!("give {}", article(expected)));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            let remedy =
                match nearest(value.as_str().unwrap_or_default(), allowed.iter().filter_map(Value::as_str)) {
                    Some(near) => format!("did you mean `{near}`? Supported are {}", listed(allowed)),
                    None => format!("supported are {}", listed(allowed)),
                };
            return self.invalid(field, format!("{} is not supported", shown(value)), remedy);
        }
        match value {
            Value::Object(object) => self.object(schema, object, field),
            Value::Array(items) => self.array(schema, items, field),
            Value::String(text) => self.text(schema, text, field),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default(), field),
            Value::Bool(_) | Value::Null => {
                // Only schemas without a type come here, and the one that there is takes names and objects.
                // The server takes a null there; the catalog refuses it too.
                if schema["not"].is_object() {
                    self.wrong_union(value, field);
                }
            }
        }
    }

    /// A value of none of the types that a schema without a type takes.
    fn wrong_union(&mut self, value: &Value, field: &str) {
        let message = format!("{} where a name, or a mapping with a name, is expected", described(value));
        self.invalid(field, message, "give a name: `portal`, or `{name: portal}`");
    }

    fn object(&mut self, schema: &Value, object: &mut Map<String, Value>, field: &str) {
        let properties = schema["properties"].as_object();
        let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
        let values = &schema["additionalProperties"];
        if let Some(properties) = properties {
            let unknown: Vec<String> =
                object.keys().filter(|key| !properties.contains_key(*key)).cloned().collect();
            for key in unknown {
                let remedy = match nearest(&key, properties.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        format!(
                            "the fields are {}",
                            properties.keys().cloned().collect::<Vec<_>>().join(", ")
                        )
                    }
                };
                let message = format!("there is no field `{key}`");
                self.flaws.push(Flaw::new(&join(field, &key), reason::UNKNOWN_FIELD, (message, remedy)));
                if !open {
                    object.remove(&key);
                }
            }
            // A null is an absent field.
            object.retain(|key, value| {
                !value.is_null() || properties.get(key).is_none_or(|property| property["nullable"] == true)
            });
            for (key, property) in properties {
                if !object.contains_key(key) && !property["default"].is_null() {
                    object.insert(key.clone(), property["default"].clone());
                }
            }
        }
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(key) {
                self.invalid(&join(field, key), "the field is missing", "add it");
            }
        }
        if let Some(most) = schema["maxProperties"].as_u64()
            && object.len() as u64 > most
        {
            self.invalid(
                field,
                format!("there are {} entries", object.len()),
                format!("give at most {most}"),
            );
        }
        for (key, value) in object {
            if let Some(property) = properties.and_then(|properties| properties.get(key)) {
                self.value(property, value, &join(field, key));
            } else if values.is_object() {
                self.value(values, value, &format!("{field}[{key}]"));
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &mut [Value], field: &str) {
        if schema["type"].is_null() && !schema["required"].is_null() {
            return self.wrong_union(&Value::Array(Vec::new()), field);
        }
        if let Some(most) = schema["maxItems"].as_u64()
            && items.len() as u64 > most
        {
            self.invalid(
                field,
                format!("there are {} elements", items.len()),
                format!("give at most {most}"),
            );
        }
        if let Some(least) = schema["minItems"].as_u64()
            && (items.len() as u64) < least
        {
            let message = if items.is_empty() {
                "the list is empty".to_owned()
            } else {
                format!("there are only {} elements", items.len())
            };
            self.invalid(field, message, format!("give at least {least}"));
        }
        for (index, item) in items.iter_mut().enumerate() {
            self.value(&schema["items"], item, &format!("{field}[{index}]"));
        }
        match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => self.unique(items, field, "", |item| Some(item.to_string())),
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().cloned().unwrap_or_default();
                let keys: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
                let suffix = format!(".{}", keys.join("."));
                self.unique(items, field, &suffix, |item| {
                    let values: Option<Vec<_>> =
                        keys.iter().map(|key| item.get(key).map(ToString::to_string)).collect();
                    values.map(|values| values.join(","))
                });
            }
            _ => {}
        }
    }

    fn unique(
        &mut self,
        items: &[Value],
        field: &str,
        suffix: &str,
        identity: impl Fn(&Value) -> Option<String>,
    ) {
        let mut first_of = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let Some(identity) = identity(item) else { continue };
            match first_of.get(&identity) {
                None => _ = first_of.insert(identity, index),
                Some(first) => self.invalid(
                    &format!("{field}[{index}]{suffix}"),
                    format!("{identity} is there already, as element {first} (counted from 0)"),
                    "remove one of them, or change it",
                ),
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, field: &str) {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|least| length < least) {
            return self.invalid(field, "the text is empty", "give a value, or leave the field out");
        }
        if let Some(most) = schema["maxLength"].as_u64()
            && length > most
        {
            self.invalid(field, format!("the text has {length} characters"), format!("use at most {most}"));
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !matches(pattern, text)
        {
            let (message, remedy) = api::explain_pattern(pattern);
            let shown =
                if length > 80 { "the text".to_owned() } else { format!("`{}`", text.escape_debug()) };
            self.invalid(field, format!("{shown} {message}"), remedy);
        }
        if schema["format"] == "byte" && base64::engine::general_purpose::STANDARD.decode(text).is_err() {
            self.invalid(field, "the text is not in base64", "encode it: `base64 -w0 FILE`");
        }
    }

    fn number(&mut self, schema: &Value, number: f64, field: &str) {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most) {
            return;
        }
        if schema["type"].is_null() {
            return self.wrong_union(&Value::from(0), field);
        }
        let remedy = match (least, most) {
            (Some(least), Some(most)) => format!("give a number from {least} to {most}"),
            (Some(least), None) => format!("give a number of at least {least}"),
            (_, most) => format!("give a number of at most {}", most.unwrap_or_default()),
        };
        self.invalid(field, format!("{number} is out of range"), remedy);
    }
}

/// A field of a field.
fn join(field: &str, key: &str) -> String {
    if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") }
}

fn is_type(expected: &str, value: &Value) -> bool {
    match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn article(expected: &str) -> &'static str {
    match expected {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    }
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "there is nothing",
        Value::Bool(_) => "there is true or false",
        Value::Number(_) => "there is a number",
        Value::String(_) => "there is text",
        Value::Array(_) => "there is a list",
        Value::Object(_) => "there is a mapping",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() <= 80 => format!("`{}`", text.escape_debug()),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        _ => "the value".to_owned(),
    }
}

fn listed(values: &[Value]) -> String {
    values.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// The known name that is most like an unknown one, if one is much like it.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let unknown = unknown.to_lowercase();
    known
        .map(|name| (strsim::damerau_levenshtein(&unknown, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(unknown.chars().count()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Whether a text matches a pattern of a schema. A pattern that does not compile matches nothing; a test sees to it
/// that all of ours do.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<BTreeMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Names of all keywords in a schema, for the test.
#[cfg(test)]
pub(super) fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
    for (keyword, child) in schema.as_object().into_iter().flatten() {
        found.insert(keyword.clone());
        match keyword.as_str() {
            "properties" => {
                child.as_object().into_iter().flatten().for_each(|(_, child)| keywords(child, found));
            }
            "items" | "additionalProperties" => keywords(child, found),
            _ => {}
        }
    }
}
