//! Problems as the command line shows them: where, what, and what to do about it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::output::count;
use super::table::printable;
use crate::manifests::ManifestProblem;

/// Something that is wrong with a manifest, a custom resource or an object. Fields that do not apply are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The manifest's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Kind, namespace and name of the custom resource: `KollectTarget shop/deployments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The field of the custom resource: `spec.attributes[1].path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The object whose row is concerned: `shop/Deployment/web`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The CamelCase reason, as conditions carry it.
    pub reason: String,
    /// What is wrong: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl From<&ManifestProblem> for Problem {
    fn from(problem: &ManifestProblem) -> Self {
        Self {
            file: Some(problem.file.display().to_string()),
            line: problem.line.map(|line| line as u64),
            resource: problem.resource.as_ref().map(ToString::to_string),
            field: Some(problem.field.clone()).filter(|field| !field.is_empty()),
            object: None,
            reason: problem.reason.to_owned(),
            message: problem.message.clone(),
            remedy: Some(problem.remedy.clone()),
        }
    }
}

impl Problem {
    /// Where it is, in one line.
    fn place(&self) -> String {
        let file = match (&self.file, self.line) {
            (Some(file), Some(line)) => Some(format!("{file}:{line}")),
            (file, _) => file.clone(),
        };
        let parts = [file, self.resource.clone(), self.field.clone(), self.object.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

/// Problems for people, a block each; of more than `limit`, the first ones and how many there are beyond.
pub(super) fn render(problems: &[Problem], limit: usize) -> String {
    let (bold, red, dim) = (Style::new().bold(), AnsiColor::Red.on_default(), Style::new().dimmed());
    let mut out = String::new();
    for problem in problems.iter().take(limit) {
        let _ = writeln!(out, "{bold}{}{bold:#}", printable(&problem.place()));
        let _ = writeln!(out, "  {red}{}{red:#}: {}", problem.reason, printable(&problem.message));
        if let Some(remedy) = &problem.remedy {
            let _ = writeln!(out, "  → {}", printable(remedy));
        }
    }
    if let Some(more) = problems.len().checked_sub(limit).filter(|more| *more > 0) {
        let _ = writeln!(out, "{dim}… and {}; -o json shows all{dim:#}", count(more, "more problem"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(file: Option<&str>, field: Option<&str>) -> Problem {
        Problem {
            file: file.map(Into::into),
            line: file.map(|_| 12),
            resource: Some("KollectProfile shop/images".into()),
            field: field.map(Into::into),
            object: None,
            reason: "ProfileInvalid".into(),
            message: "the expression has no end".into(),
            remedy: Some("close the bracket".into()),
        }
    }

    #[test]
    fn a_problem_says_where_what_and_what_to_do() {
        let text = render(&[problem(Some("p.yaml"), Some("spec.attributes[1].path"))], 10);
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "p.yaml:12  KollectProfile shop/images  spec.attributes[1].path\n  \
             ProfileInvalid: the expression has no end\n  → close the bracket\n"
        );
    }

    #[test]
    fn many_problems_are_cut_and_counted() {
        let text = render(&vec![problem(None, None); 5], 3);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text.matches("ProfileInvalid").count(), 3);
        assert!(text.ends_with("… and 2 more problems; -o json shows all\n"), "{text}");
    }
}
