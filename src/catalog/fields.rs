//! Fields that several kinds have: selectors and intervals.

use std::sync::LazyLock;
use std::time::Duration;

use kollect_dataflows::extract::{LabelSelector, Operator, Requirement};
use regex::Regex;

use super::problem::{Problem, ResourceRef, reason};
use crate::api;

/// Collects the problems of one resource.
pub(super) struct Reporter<'a> {
    pub(super) resource: ResourceRef,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Reporter<'_> {
    /// Adds a problem.
    pub(super) fn report(
        &mut self,
        field: impl Into<String>,
        reason: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem {
            resource: self.resource.clone(),
            field: field.into(),
            reason,
            message: message.into(),
            remedy: remedy.into(),
            cause: None,
        });
    }

    /// Adds a problem whose cause is another resource: one that has problems itself, or does not exist.
    pub(super) fn report_cause(
        &mut self,
        cause: ResourceRef,
        field: impl Into<String>,
        reason: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.report(field, reason, message, remedy);
        if let Some(problem) = self.problems.last_mut() {
            problem.cause = Some(cause);
        }
    }
}

/// The selector of a field, if there is one. `Err` when it can't be used; it is reported then.
pub(super) fn selector(
    field: &str,
    selector: Option<&api::LabelSelector>,
    reporter: &mut Reporter<'_>,
) -> Result<Option<LabelSelector>, ()> {
    let Some(selector) = selector else { return Ok(None) };
    // No schema can check the keys of a mapping, and one that no label can have would select nothing without a word.
    let mut keys = selector.match_labels.keys();
    if let Some(key) = keys.find(|key| !is_label_key(key)) {
        let (message, remedy) = api::explain_pattern(api::LABEL_KEY);
        reporter.report(field, reason::SPEC_INVALID, format!("matchLabels: `{key}` {message}"), remedy);
        return Err(());
    }
    let requirements = selector.match_expressions.iter().map(|requirement| Requirement {
        key: requirement.key.clone(),
        operator: match requirement.operator {
            api::LabelSelectorOperator::In => Operator::In,
            api::LabelSelectorOperator::NotIn => Operator::NotIn,
            api::LabelSelectorOperator::Exists => Operator::Exists,
            api::LabelSelectorOperator::DoesNotExist => Operator::DoesNotExist,
        },
        values: requirement.values.clone(),
    });
    LabelSelector::new(selector.match_labels.clone(), requirements.collect()).map(Some).map_err(|error| {
        // The error says what to do after a semicolon.
        let text = error.to_string();
        let (message, remedy) = text.split_once("; ").unwrap_or((&text, "correct the selector"));
        reporter.report(field, reason::SPEC_INVALID, message, remedy);
    })
}

fn is_label_key(key: &str) -> bool {
    static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(api::LABEL_KEY).ok());
    let longest = key.split('/').map(str::len).zip([253, 63]).all(|(length, most)| length <= most);
    let name = key.rsplit('/').next().unwrap_or_default();
    longest && name.len() <= 63 && KEY.as_ref().is_none_or(|pattern| pattern.is_match(key))
}

/// The time span of a field, if there is a usable one; a bad one is reported.
pub(super) fn interval(
    field: &str,
    interval: Option<&api::Interval>,
    reporter: &mut Reporter<'_>,
) -> Option<Duration> {
    match interval?.parse() {
        Ok(interval) => Some(interval),
        Err(error) => {
            reporter.report(
                field,
                reason::SPEC_INVALID,
                error.to_string(),
                "give a number with a unit, from 0s to 24h: `30s`, `5m`, `1h30m`",
            );
            None
        }
    }
}
