//! What is wrong with the files, as each watch is told.

use std::path::Path;

use kollect_dataflows::data::Gvk;

use super::manifest::Flaw;
use super::scanner::Scanner;
use crate::sources::SourceProblem;

/// Problems reported to one watch at most.
const MOST_PROBLEMS: usize = 100;

impl Scanner {
    /// What is wrong for a watch, sorted, and whether all objects of its kind can be read.
    pub(super) fn problems(&self, index: usize) -> (Vec<SourceProblem>, bool) {
        let subscription = &self.subscriptions[index];
        let gvk = &subscription.subscriber.gvk;
        let mut problems = Vec::new();
        for (path, flaw) in &self.unreadable {
            problems.push(problem(path, flaw, "SourceUnavailable"));
        }
        let flawed = || {
            let files = self.flawed.iter().filter_map(|id| self.index.file(*id));
            files.filter_map(|file| Some((file, file.defects.as_deref()?)))
        };
        for (file, defects) in flawed() {
            let concerns = |flaw: &&Flaw| flaw.kind.as_ref().is_none_or(|kind| *kind == gvk.kind);
            let flaws = defects.flaws.iter().filter(concerns);
            problems.extend(flaws.map(|flaw| problem(&file.path, flaw, "Unreadable")));
        }
        let complete = problems.is_empty();
        for (file, defects) in flawed() {
            let entries =
                defects.repeated.iter().filter_map(|key| file.entries.iter().find(|e| e.key == *key));
            for entry in entries.filter(|entry| entry.kind == subscription.kind) {
                problems.push(defined_twice(gvk, &display(&entry.name()), &file.path, &file.path));
            }
        }
        for (name, paths) in self.index.rivals(subscription.kind, MOST_PROBLEMS) {
            if let [.., other, winner] = &paths[..] {
                problems.push(defined_twice(gvk, &display(&name), other, winner));
            }
        }
        problems.sort();
        problems.dedup();
        if problems.len() > MOST_PROBLEMS {
            let left_out = problems.len() - MOST_PROBLEMS;
            problems.truncate(MOST_PROBLEMS);
            problems.push(SourceProblem {
                reason: "Unreadable",
                message: format!("{left_out} more problems with manifests"),
                remedy: "correct those that are reported first".to_owned(),
            });
        }
        (problems, complete)
    }
}

fn display(name: &crate::sources::ObjectName) -> String {
    match name.namespace.as_str() {
        "" => name.name.clone(),
        namespace => format!("{namespace}/{}", name.name),
    }
}

fn problem(path: &Path, flaw: &Flaw, reason: &'static str) -> SourceProblem {
    let mut place = path.display().to_string();
    for number in [flaw.line, flaw.column].into_iter().flatten() {
        place = format!("{place}:{number}");
    }
    SourceProblem {
        reason,
        message: format!("{place}: {}", flaw.message),
        remedy: format!("{}; what it held before stays as it was", flaw.remedy),
    }
}

fn defined_twice(gvk: &Gvk, name: &str, other: &Path, winner: &Path) -> SourceProblem {
    let message = if other == winner {
        format!("{gvk} {name} is defined more than once in {}; the last definition counts", winner.display())
    } else {
        let (other, winner) = (other.display(), winner.display());
        format!("{gvk} {name} is defined in {other} and in {winner}; the one in {winner} counts")
    };
    SourceProblem { reason: "Unreadable", message, remedy: "remove all definitions but one".to_owned() }
}
