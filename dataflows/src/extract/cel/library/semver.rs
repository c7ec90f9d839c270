//! Versions: Kubernetes' semver. Build metadata is neither compared nor ordered.

use std::cmp::Ordering;

use cel::common::types::{CelUInt, Type};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};

use super::opaque::{self, Opaque, get, held};
use super::{
    Answer, Arguments, BOOL, TEXT, TEXT_UNIT, bool, failure, flag, functions, members, number, pay, text,
};

const VERSION: Type = Type::new_unspecified_type("kubernetes.Semver");
static KIND: Type = VERSION;

/// A semantic version.
pub(super) struct Version(semver::Version);

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.0.cmp_precedence(&other.0).is_eq()
    }
}

impl Opaque for Version {
    fn kind() -> &'static Type {
        &KIND
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn length(&self) -> usize {
        self.0.pre.len()
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.0.cmp_precedence(&other.0))
    }
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    opaque::declare::<Version>(env)?;
    opaque::declare_string::<Version>(env)?;
    functions(
        env,
        [
            ("semver", &[TEXT], parse),
            ("semver", &[TEXT, BOOL], parse),
            ("isSemver", &[TEXT], |arguments| bool(version(&arguments)?.is_some())),
            ("isSemver", &[TEXT, BOOL], |arguments| bool(version(&arguments)?.is_some())),
        ],
    )?;
    members(
        env,
        [
            ("major", &[VERSION], |arguments| part(get::<Version>(&arguments, 0)?.0.major)),
            ("minor", &[VERSION], |arguments| part(get::<Version>(&arguments, 0)?.0.minor)),
            ("patch", &[VERSION], |arguments| part(get::<Version>(&arguments, 0)?.0.patch)),
            ("compareTo", &[VERSION, VERSION], |arguments| number(order(&arguments)? as i64)),
            ("isLessThan", &[VERSION, VERSION], |arguments| bool(order(&arguments)?.is_lt())),
            ("isGreaterThan", &[VERSION, VERSION], |arguments| bool(order(&arguments)?.is_gt())),
        ],
    )
}

fn parse<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    version(&arguments)?
        .map(held)
        .ok_or_else(|| failure("semver", "is given a text that is no semantic version"))
}

fn version(arguments: &[CowVal<'_, '_>]) -> Result<Option<Version>, ExecutionError> {
    let text = text(arguments, 0)?;
    let parsed = if arguments.len() == 2 && flag(arguments, 1)? {
        normalized(text).and_then(|text| semver::Version::parse(&text).ok())
    } else {
        semver::Version::parse(text).ok()
    };
    Ok(parsed.map(Version))
}

/// Without a leading `v` and leading zeros, and with all three numbers.
fn normalized(text: &str) -> Option<String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    // What is short has no place for a pre-release.
    if parts.len() < 3 && parts.last()?.contains(['+', '-']) {
        return None;
    }
    parts.resize(3, "0".to_owned());
    Some(parts.join("."))
}

fn without_zeros(part: &str) -> String {
    let rest = part.trim_start_matches('0');
    if rest.len() < part.len() && !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("0{rest}");
    }
    rest.to_owned()
}

/// The numbers of a version may be greater than any int.
fn part<'b, 'v>(value: u64) -> Answer<'b, 'v> {
    match i64::try_from(value) {
        Ok(value) => number(value),
        Err(_) => Ok(CowVal::owned(CelUInt::from(value))),
    }
}

fn order(arguments: &[CowVal<'_, '_>]) -> Result<Ordering, ExecutionError> {
    let (left, right) = (get::<Version>(arguments, 0)?, get::<Version>(arguments, 1)?);
    pay(left.length() / TEXT_UNIT)?;
    Ok(left.0.cmp_precedence(&right.0))
}
