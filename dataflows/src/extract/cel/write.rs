//! Results of expressions as canonical JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cel::Env;
use cel::common::types::{
    self, CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelMap, CelOptional, CelString, CelTimestamp,
    CelType, CelUInt,
};
use cel::common::value::{CowVal, Val};

use super::super::budget::{spend, spend_text};
use super::library;

/// Appends a value.
///
/// # Errors
/// Why JSON can't hold it: a lowercase sentence without the value. Part of it may have been written.
pub(super) fn json(value: &dyn Val, out: &mut Vec<u8>, env: &Env) -> Result<(), String> {
    if !spend(1) {
        return Err("the result is too large".to_owned());
    }
    let kind = value.get_type();
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        string(text, out);
    } else if let Some(value) = value.downcast_ref::<CelInt>() {
        plain(value.inner(), out);
    } else if let Some(value) = value.downcast_ref::<CelUInt>() {
        plain(value.inner(), out);
    } else if let Some(value) = value.downcast_ref::<CelBool>() {
        plain(value.inner(), out);
    } else if let Some(value) = value.downcast_ref::<CelDouble>() {
        if !value.inner().is_finite() {
            return Err("the result has a number that is not finite, which JSON can't hold".to_owned());
        }
        plain(value.inner(), out);
    } else if kind == &types::NULL_TYPE {
        out.extend_from_slice(b"null");
    } else if kind == &types::LIST_TYPE {
        return list(value, out, env);
    } else if kind == &types::MAP_TYPE {
        return map(value, out, env);
    } else if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        string(&BASE64_STANDARD.encode(bytes.inner()), out);
    } else if value.downcast_ref::<CelTimestamp>().is_some() {
        return timestamp(value, out, env);
    } else if let Some(duration) = value.downcast_ref::<CelDuration>() {
        string(&go_duration(duration.inner().num_nanoseconds().unwrap_or(i64::MAX)), out);
    } else if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        match optional.option() {
            Some(value) => return json(value, out, env),
            None => out.extend_from_slice(b"null"),
        }
    } else if let Some(kind) = value.downcast_ref::<CelType>() {
        string(kind.name(), out);
    } else if let Some(text) = library::text_of(value) {
        string(&text, out);
    } else {
        return Err(format!("the result is of type {}, which JSON can't hold", kind.name()));
    }
    Ok(())
}

/// Writing numbers, bools and texts into memory can't fail.
fn plain(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    let _: Result<(), _> = serde_json::to_writer(out, value);
}

fn string(text: &str, out: &mut Vec<u8>) {
    spend_text(text);
    plain(&text, out);
}

fn list(list: &dyn Val, out: &mut Vec<u8>, env: &Env) -> Result<(), String> {
    out.push(b'[');
    let mut first = true;
    if let Some(list) = list.as_iterable() {
        let mut items = list.iter();
        while let Some(item) = items.next() {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            json(item, out, env)?;
        }
    }
    out.push(b']');
    Ok(())
}

fn map(map: &dyn Val, out: &mut Vec<u8>, env: &Env) -> Result<(), String> {
    out.push(b'{');
    let mut first = true;
    let mut member = |key: &str, value: &dyn Val, out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        string(key, out);
        out.push(b':');
        json(value, out, env)
    };
    if let Some(map) = map.downcast_ref::<CelMap<'_>>() {
        let mut members = BTreeMap::new();
        for (key, value) in map.inner() {
            let key = key_text(key.inner());
            if members.insert(key, value).is_some() {
                return Err("the result has a map with two keys that are the same in JSON".to_owned());
            }
        }
        for (key, value) in members {
            member(&key, value.as_ref(), out)?;
        }
    } else if let (Some(keys), Some(values)) = (map.as_iterable(), map.as_indexer()) {
        // A map of the object: its keys are texts and come in order.
        let mut keys = keys.iter();
        while let Some(key) = keys.next() {
            if let (Some(name), Ok(value)) = (key.downcast_ref::<CelString<'_>>(), values.get(key)) {
                member(name, value.as_ref(), out)?;
            }
        }
    }
    out.push(b'}');
    Ok(())
}

fn key_text(key: &dyn Val) -> String {
    if let Some(key) = key.downcast_ref::<CelString<'_>>() {
        return key.inner().to_owned();
    }
    let mut text = Vec::new();
    if let Some(key) = key.downcast_ref::<CelInt>() {
        plain(key.inner(), &mut text);
    } else if let Some(key) = key.downcast_ref::<CelUInt>() {
        plain(key.inner(), &mut text);
    } else if let Some(key) = key.downcast_ref::<CelBool>() {
        plain(key.inner(), &mut text);
    }
    String::from_utf8(text).unwrap_or_default()
}

/// RFC 3339, as CEL's own `string()` writes it.
fn timestamp(value: &dyn Val, out: &mut Vec<u8>, env: &Env) -> Result<(), String> {
    let arguments = vec![CowVal::Borrowed(value)];
    let text = env.find_overload("string", &arguments).map(|convert| convert(arguments));
    match text
        .as_ref()
        .and_then(|text| text.as_ref().ok())
        .and_then(|text| text.downcast_ref::<CelString<'_>>())
    {
        Some(text) => {
            string(text, out);
            Ok(())
        }
        None => Err("the result has a time that can't be written".to_owned()),
    }
}

/// A duration as Go prints it: `1h30m0s`, `1.5s`, `250ms`.
pub(super) fn go_duration(nanoseconds: i64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let magnitude = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let fraction = |value: u64, unit: u64| {
        let digits = unit.to_string().len() - 1;
        let rest = format!("{:0digits$}", value % unit);
        let rest = rest.trim_end_matches('0');
        if rest.is_empty() { (value / unit).to_string() } else { format!("{}.{rest}", value / unit) }
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(magnitude, 1_000)),
        1_000_000..SECOND => format!("{sign}{}ms", fraction(magnitude, 1_000_000)),
        _ => {
            let (hours, minutes) = (magnitude / (3600 * SECOND), magnitude / (60 * SECOND) % 60);
            let seconds = fraction(magnitude % (60 * SECOND), SECOND);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}
