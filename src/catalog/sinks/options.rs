//! Further settings of a type of sink (`spec.options`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::fields::Reporter;
use super::super::problem::reason;
use crate::api::Interval;

/// The longest text: Postgres cuts names of applications off there.
const LONGEST_NAME: usize = 63;

/// Hands out the options of a sink by name, and reports those that can't be used or that nobody asked for. Values are not repeated:
/// whoever takes a key for a place for passwords has one there.
pub(super) struct OptionsReader<'a, 'r> {
    backend: &'static str,
    options: &'a BTreeMap<String, String>,
    known: Vec<&'static str>,
    fine: bool,
    reporter: &'a mut Reporter<'r>,
}

impl<'a, 'r> OptionsReader<'a, 'r> {
    /// For the options of a sink of a type.
    pub(super) fn new(
        backend: &'static str,
        options: &'a BTreeMap<String, String>,
        reporter: &'a mut Reporter<'r>,
    ) -> Self {
        Self { backend, options, known: Vec::new(), fine: true, reporter }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a str> {
        self.known.push(key);
        self.options.get(key).map(String::as_str)
    }

    fn refuse(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.fine = false;
        self.reporter.report(format!("spec.options.{key}"), reason::SPEC_INVALID, message, remedy);
    }

    /// A time span.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        allowed: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let span = Interval(self.take(key)?.to_owned()).parse().ok().filter(|span| allowed.contains(span));
        if span.is_none() {
            let (least, most) = (allowed.start().as_secs(), allowed.end().as_secs());
            let remedy = format!("give a number with a unit, from {least}s to {most}s: `{most}s`");
            self.refuse(key, "the value is not a time span that can be used", remedy);
        }
        span
    }

    /// A name in printable ASCII.
    #[cfg(feature = "postgres")]
    pub(super) fn name(&mut self, key: &'static str) -> Option<String> {
        let name = self.take(key)?;
        let fits = (1..=LONGEST_NAME).contains(&name.len());
        if !fits || !name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            let remedy = format!("use 1 to {LONGEST_NAME} letters, digits, blanks and punctuation of ASCII");
            self.refuse(key, "the value is not a name that can be used", remedy);
            return None;
        }
        Some(name.to_owned())
    }

    /// Reports every option that was not asked for; whether all can be used.
    pub(super) fn finish(mut self) -> bool {
        let remedy = match &self.known[..] {
            [] => "remove it; the type has no options".to_owned(),
            known => format!("the options are {}", known.join(", ")),
        };
        let (options, known) = (self.options, std::mem::take(&mut self.known));
        for key in options.keys().filter(|key| !known.contains(&key.as_str())) {
            let message = format!("type {} has no such option", self.backend);
            self.refuse(&shown(key), message, remedy.clone());
        }
        self.fine
    }
}

/// A key in the name of a field.
fn shown(key: &str) -> String {
    key.chars().take(LONGEST_NAME).flat_map(char::escape_debug).collect()
}
