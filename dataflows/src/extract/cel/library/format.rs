//! Named formats: Kubernetes' format.
//!
//! A format says what is wrong with a text. Its sentences are its own and never hold the text.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cel::common::types::{CelOptional, Type};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env};
use regex::Regex;

use super::opaque::{self, Opaque, get, held};
use super::url::Url;
use super::{Answer, Arguments, TEXT, functions, members, pay, text, texts};

const FORMAT: Type = Type::new_unspecified_type("kubernetes.NamedFormat");
static KIND: Type = FORMAT;

/// What is wrong with a text; nothing when it has the format.
type Check = fn(&str) -> Vec<&'static str>;

const FORMATS: [(&str, Check); 13] = [
    ("dns1123Label", dns_1123_label),
    ("dns1123LabelPrefix", |text| dns_1123_label(&prefix(text))),
    ("dns1123Subdomain", dns_1123_subdomain),
    ("dns1123SubdomainPrefix", |text| dns_1123_subdomain(&prefix(text))),
    ("dns1035Label", dns_1035_label),
    ("dns1035LabelPrefix", |text| dns_1035_label(&prefix(text))),
    ("qualifiedName", qualified_name),
    ("labelValue", label_value),
    ("uri", |text| unless(Url::parse(text).is_some(), "must be an absolute URI or an absolute path")),
    ("uuid", |text| unless(UUID.as_ref().is_some_and(|uuid| uuid.is_match(text)), "must be a UUID")),
    ("byte", |text| {
        unless(!text.is_empty() && BASE64_STANDARD.decode(text).is_ok(), "must be base64 with padding")
    }),
    ("date", |text| unless(is_date(text), "must be a date as in RFC 3339: 2006-01-02")),
    ("datetime", |text| unless(is_datetime(text), "must be a time as in RFC 3339: 2006-01-02T15:04:05Z")),
];

/// A format, by its place in [`FORMATS`].
#[derive(PartialEq)]
struct Format(usize);

impl Opaque for Format {
    fn kind() -> &'static Type {
        &KIND
    }

    fn text(&self) -> Option<String> {
        None
    }
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    opaque::declare::<Format>(env)?;
    functions(
        env,
        [
            ("format.named", &[TEXT], named),
            ("format.dns1123Label", &[], |_| Ok(held(Format(0)))),
            ("format.dns1123LabelPrefix", &[], |_| Ok(held(Format(1)))),
            ("format.dns1123Subdomain", &[], |_| Ok(held(Format(2)))),
            ("format.dns1123SubdomainPrefix", &[], |_| Ok(held(Format(3)))),
            ("format.dns1035Label", &[], |_| Ok(held(Format(4)))),
            ("format.dns1035LabelPrefix", &[], |_| Ok(held(Format(5)))),
            ("format.qualifiedName", &[], |_| Ok(held(Format(6)))),
            ("format.labelValue", &[], |_| Ok(held(Format(7)))),
            ("format.uri", &[], |_| Ok(held(Format(8)))),
            ("format.uuid", &[], |_| Ok(held(Format(9)))),
            ("format.byte", &[], |_| Ok(held(Format(10)))),
            ("format.date", &[], |_| Ok(held(Format(11)))),
            ("format.datetime", &[], |_| Ok(held(Format(12)))),
        ],
    )?;
    members(env, [("validate", &[FORMAT, TEXT], validate)])
}

/// The names of all formats.
#[cfg(test)]
pub(super) const NAMES: [&str; 13] = {
    let mut names = [""; 13];
    let mut i = 0;
    while i < names.len() {
        names[i] = FORMATS[i].0;
        i += 1;
    }
    names
};

fn named<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let name = text(&arguments, 0)?;
    let format = FORMATS.iter().position(|(format, _)| *format == name);
    Ok(CowVal::owned(match format {
        Some(format) => CelOptional::of(held(Format(format)).into_owned()),
        None => CelOptional::none(),
    }))
}

fn validate<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (format, text) = (get::<Format>(&arguments, 0)?, text(&arguments, 1)?);
    pay(text.len())?;
    let wrong = FORMATS.get(format.0).map(|(_, check)| check(text)).unwrap_or_default();
    Ok(CowVal::owned(if wrong.is_empty() {
        CelOptional::none()
    } else {
        CelOptional::of(texts(wrong)?.into_owned())
    }))
}

fn unless(right: bool, wrong: &'static str) -> Vec<&'static str> {
    if right { Vec::new() } else { vec![wrong] }
}

/// Several rules at once.
fn rules<const N: usize>(rules: [(bool, &'static str); N]) -> Vec<&'static str> {
    rules.into_iter().filter(|(right, _)| !right).map(|(_, wrong)| wrong).collect()
}

/// A name without the dash at its end, to which something will be added. As Kubernetes does, an `a` takes the place of the last
/// two characters.
fn prefix(text: &str) -> String {
    match text.len().checked_sub(2).filter(|_| text.ends_with('-')).and_then(|kept| text.get(..kept)) {
        Some(kept) => format!("{kept}a"),
        None => text.to_owned(),
    }
}

/// Characters of a set, at both ends those of another.
fn is_word(text: &str, inner: impl Fn(u8) -> bool, edge: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| inner(*byte) || edge(*byte))
        && bytes.first().is_some_and(|byte| edge(*byte))
        && bytes.last().is_some_and(|byte| edge(*byte))
}

fn is_small(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    is_word(text, |byte| byte == b'-', is_small)
}

const LABEL: &str =
    "must consist of lower case letters, digits and '-', and start and end with a letter or digit";

fn dns_1123_label(text: &str) -> Vec<&'static str> {
    rules([(text.len() <= 63, "must have at most 63 characters"), (is_label(text), LABEL)])
}

fn dns_1123_subdomain(text: &str) -> Vec<&'static str> {
    rules([
        (text.len() <= 253, "must have at most 253 characters"),
        (
            text.split('.').all(is_label),
            "must consist of lower case letters, digits, '-' and '.', and each part start and end with a letter or digit",
        ),
    ])
}

fn dns_1035_label(text: &str) -> Vec<&'static str> {
    rules([
        (text.len() <= 63, "must have at most 63 characters"),
        (
            is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase()),
            "must consist of lower case letters, digits and '-', start with a letter and end with a letter or digit",
        ),
    ])
}

fn is_name(text: &str) -> bool {
    is_word(text, |byte| b"-_.".contains(&byte), |byte| byte.is_ascii_alphanumeric())
}

const NAME: &str =
    "must consist of letters, digits, '-', '_' and '.', and start and end with a letter or digit";

fn qualified_name(text: &str) -> Vec<&'static str> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if name.contains('/') {
        return vec!["must be a name, or a DNS subdomain and a name with a '/' between"];
    }
    rules([
        (
            prefix.is_none_or(|prefix| dns_1123_subdomain(prefix).is_empty()),
            "must have a DNS subdomain before the '/'",
        ),
        (name.len() <= 63, "must have a name of at most 63 characters"),
        (is_name(name), NAME),
    ])
}

fn label_value(text: &str) -> Vec<&'static str> {
    rules([(text.len() <= 63, "must have at most 63 characters"), (text.is_empty() || is_name(text), NAME)])
}

/// With its dashes, or without any.
static UUID: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("(?i)^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})$").ok()
});

/// A number of as many digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut part = |count| parts.next().and_then(|part| digits(part, count));
    let (Some(year), Some(month), Some(day)) = (part(4), part(2), part(2)) else { return false };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

fn is_datetime(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    let (clock, zone) = time.split_at(time.find(['Z', 'z', '+', '-']).unwrap_or(time.len()));
    let (clock, has_fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => {
            (clock, !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit()))
        }
        None => (clock, true),
    };
    let is_clock = |text: &str, greatest: &[u32]| {
        let parts: Vec<_> = text.split(':').map(|part| digits(part, 2)).collect();
        parts.len() == greatest.len()
            && parts.iter().zip(greatest).all(|(part, greatest)| part.is_some_and(|part| part <= *greatest))
    };
    let is_zone = match zone.strip_prefix(['+', '-']) {
        Some(offset) => is_clock(offset, &[23, 59]),
        None => zone.eq_ignore_ascii_case("z"),
    };
    is_date(date) && has_fraction && is_clock(clock, &[23, 59, 59]) && is_zone
}
