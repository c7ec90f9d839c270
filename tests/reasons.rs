//! Every reason that a condition can carry stands in docs/operations.md, with cause and remedy.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

/// Where reasons are named.
const SOURCES: [&str; 5] =
    ["src/catalog/problem.rs", "src/sinks/error.rs", "src/export/status.rs", "src/status", "src/sources"];

/// Words of the same form that are something else: types of conditions, kinds of others, and the name of a type.
const OTHERS: [&str; 14] = [
    "KubernetesSource",
    "Ready",
    "Synced",
    "Degraded",
    "SinkReachable",
    "ExportSucceeded",
    "ConnectionVerified",
    "TLSInsecure",
    "True",
    "False",
    "Unknown",
    "List",
    "Namespace",
    "Secret",
];

fn read(path: &Path, out: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            read(&entry.unwrap().path(), out);
        }
    } else if !path.ends_with("tests.rs") {
        // What stands in tests need not be a reason.
        let text = std::fs::read_to_string(path).unwrap();
        out.push_str(text.split("#[cfg(test)]").next().unwrap());
    }
}

fn reasons() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    SOURCES.iter().for_each(|source| read(&root.join(source), &mut text));
    let word = Regex::new(r#""((?:[A-Z][a-z]+|GVK|TLS)(?:[A-Z][a-z]+|GVK)*)""#).unwrap();
    word.captures_iter(&text)
        .map(|found| found[1].to_owned())
        .filter(|word| !word.starts_with("Kollect") && !OTHERS.contains(&word.as_str()))
        .collect()
}

#[test]
fn every_reason_is_explained() {
    let reasons = reasons();
    // The search finds what is known to be one.
    for known in
        ["ScopeGVKDenied", "ProfileNotFound", "SinkUnreachable", "CircuitOpen", "KindNotFound", "Hydrating"]
    {
        assert!(reasons.contains(known), "{known} is not found: {reasons:?}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let explained: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches(" | ").count() >= 3)
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let missing: Vec<_> = reasons.iter().filter(|reason| !explained.contains(reason.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md has no line on {missing:?}");
}
