//! What targets collect.

use std::collections::BTreeSet;

use super::{active, plan, target};
use crate::catalog::{Namespaces, Plan, ResourceName, TargetPlan, reason};

const NAMESPACES: &str = "
---
kind: Namespace
metadata: {name: a, labels: {team: a, env: prod}}
---
kind: Namespace
metadata: {name: b, labels: {team: b, env: prod}}
---
kind: Namespace
metadata: {name: c, labels: {team: a, env: test}}
---
kind: Namespace
metadata: {name: bare}
";

/// A plan with a target `t` whose spec has this beside its profile.
fn with(fields: &str) -> Plan {
    plan(&format!(
        "kind: KollectTarget\nmetadata: {{namespace: a, name: t}}\nspec: {{profileRef: pods, {fields}}}{NAMESPACES}"
    ))
}

#[test]
fn namespaces_are_included_and_selected_and_not_excluded() {
    for (fields, expected) in [
        ("", None),
        ("names: [x], labelSelector: {matchLabels: {a: b}}", None),
        ("includedNamespaces: []", None),
        ("namespaceSelector: {}", Some("a b bare c")),
        ("namespaceSelector: {matchLabels: {team: a}}", Some("a c")),
        ("namespaceSelector: {matchLabels: {team: z}}", Some("")),
        ("namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}", Some("bare")),
        ("includedNamespaces: [c, a]", Some("a c")),
        ("includedNamespaces: [a, later]", Some("a later")),
        ("includedNamespaces: [a, later], namespaceSelector: {matchLabels: {env: prod}}", Some("a")),
        ("includedNamespaces: [b, c], namespaceSelector: {matchLabels: {team: a}}", Some("c")),
        ("excludedNamespaces: [a]", Some("b bare c")),
        ("excludedNamespaces: [unknown]", Some("a b bare c")),
        ("includedNamespaces: [a, b], excludedNamespaces: [b]", Some("a")),
        ("includedNamespaces: [a], excludedNamespaces: [a]", Some("")),
        ("namespaceExcludeSelector: {matchLabels: {env: prod}}", Some("bare c")),
        ("namespaceExcludeSelector: {}", Some("")),
        ("includedNamespaces: [a, later], namespaceExcludeSelector: {matchLabels: {team: a}}", Some("later")),
        (
            "namespaceSelector: {matchLabels: {team: a}}, namespaceExcludeSelector: {matchLabels: {env: test}}",
            Some("a"),
        ),
    ] {
        let expected = match expected {
            None => Namespaces::All,
            Some(names) => Namespaces::Only(names.split_whitespace().map(str::to_owned).collect()),
        };
        assert_eq!(active(&with(fields), "t").namespaces, expected, "{fields}");
    }
}

#[test]
fn labels_and_names_are_passed_on() {
    let plan =
        with("labelSelector: {matchExpressions: [{key: tier, operator: In, values: [x]}]}, names: [w, v, w]");
    let target = active(&plan, "t");
    assert!(target.labels.matches(|_| Some("x")) && !target.labels.matches(|_| None));
    assert_eq!(target.names, BTreeSet::from(["v".to_owned(), "w".to_owned()]));
    assert_eq!(target.gvk.to_string(), "v1/Pod");
    assert!(active(&with(""), "t").labels.is_empty());
}

#[test]
fn a_target_that_can_not_collect_is_held_and_says_why() {
    for (documents, expected) in [
        ("spec: {profileRef: pods, suspend: true}", reason::SUSPENDED),
        ("spec: {profileRef: nodes, suspend: true}", reason::SUSPENDED),
        ("spec: {profileRef: nodes}", reason::PROFILE_NOT_FOUND),
        ("spec: {profileRef: ''}", reason::MISSING_PROFILE_REF),
        (
            "spec: {profileRef: pods, labelSelector: {matchExpressions: [{key: a, operator: In}]}}",
            reason::SPEC_INVALID,
        ),
        (
            "spec: {profileRef: bad}\n---\nkind: KollectProfile\nmetadata: {namespace: a, name: bad}\nspec: {targetGVK: {version: v1, kind: Pod}, attributes: [{name: a, path: '$['}]}",
            reason::PROFILE_INVALID,
        ),
        (
            "spec: {profileRef: bad}\n---\nkind: KollectProfile\nmetadata: {namespace: a, name: bad}\nspec: {targetGVK: {version: v1, kind: Pod}}",
            reason::PROFILE_INVALID,
        ),
    ] {
        let plan = plan(&format!("kind: KollectTarget\nmetadata: {{namespace: a, name: t}}\n{documents}"));
        let TargetPlan::Held { reason, message } = target(&plan, "t") else { panic!("{documents}") };
        assert_eq!(*reason, expected, "{documents}");
        assert!(!message.is_empty());
        // The others go on.
        active(&plan, "pods");
    }
}

#[test]
fn profiles_know_how_many_targets_use_them() {
    let plan = with("");
    assert_eq!(plan.profiles[&ResourceName::new("a", "pods")].targets, 2);
    assert!(plan.profiles[&ResourceName::new("a", "pods")].usable);
}

/// A plan with a target `t` of a profile `p` with these attributes.
fn profiled(attributes: &str, fields: &str) -> u64 {
    let plan = plan(&format!(
        "kind: KollectProfile\nmetadata: {{namespace: a, name: p, annotations: {{note: '{}'}}}}\nspec: {{targetGVK: {{version: v1, kind: Pod}}, attributes: {attributes}}}\n---\nkind: KollectTarget\nmetadata: {{namespace: a, name: t}}\nspec: {{profileRef: p, {fields}}}{NAMESPACES}",
        fields.len(),
    ));
    active(&plan, "t").fingerprint
}

#[test]
fn the_fingerprint_changes_with_what_a_row_is_made_of() {
    let base = profiled("[{name: a, path: .a}, {name: b, path: .b}]", "");
    let mut seen = BTreeSet::from([base]);
    for (attributes, fields) in [
        ("[{name: a, path: .a}]", ""),
        ("[{name: a, path: .a}, {name: b, path: .c}]", ""),
        ("[{name: a, path: .b}, {name: b, path: .a}]", ""),
        ("[{name: a, path: .a, optional: true}, {name: b, path: .b}]", ""),
        ("[{name: a, path: .a, default: 1}, {name: b, path: .b}]", ""),
        ("[{name: a, path: .a, default: '1'}, {name: b, path: .b}]", ""),
        ("[{name: a, path: .a, default: null}, {name: b, path: .b}]", ""),
        ("[{name: a, path: .a}, {name: b, path: .b}]", "names: [x]"),
        ("[{name: a, path: .a}, {name: b, path: .b}]", "names: [x, v]"),
        ("[{name: a, path: .a}, {name: b, path: .b}]", "labelSelector: {matchLabels: {x: v}}"),
        (
            "[{name: a, path: .a}, {name: b, path: .b}]",
            "labelSelector: {matchExpressions: [{key: x, operator: In, values: [v, z]}, {key: w, operator: Exists}]}",
        ),
    ] {
        assert!(seen.insert(profiled(attributes, fields)), "{attributes} {fields}");
    }
    for export in ["mode: Resource", "mode: Resource, as: it", "mode: Resource, prune: {cel: ['[]']}"] {
        let attributes = format!("[{{name: a, path: .a}}, {{name: b, path: .b}}], export: {{{export}}}");
        assert!(seen.insert(profiled(&attributes, "")), "{export}");
    }
    assert_eq!(profiled("[{name: a, path: .a}, {name: b, path: .b}], export: {as: it}", ""), base);
}

#[test]
fn the_fingerprint_stays_with_everything_else() {
    let base = profiled("[{name: a, path: .a}, {name: b, path: .b}]", "names: [x, v]");
    for (attributes, fields) in [
        ("[{name: b, path: .b}, {name: a, path: .a}]", "names: [x, v]"),
        ("[{name: b, path: .b, optional: false}, {name: a, path: .a}]", "names: [v, x, v]"),
        ("[{name: a, path: .a}, {name: b, path: .b}]", "names: [x, v], labelSelector: {}"),
        ("[{name: a, path: .a}, {name: b, path: .b}]", "names: [x, v], includedNamespaces: [b]"),
        ("[{name: a, path: .a}, {name: b, path: .b}]", "names: [x, v], namespaceSelector: {}"),
    ] {
        assert_eq!(profiled(attributes, fields), base, "{attributes} {fields}");
    }
    let selector = |values: &str| {
        profiled("[{name: a, path: .a}]", &format!("labelSelector: {{matchExpressions: [{values}]}}"))
    };
    assert_eq!(
        selector("{key: x, operator: In, values: [v, z]}, {key: w, operator: Exists}"),
        selector(
            "{key: w, operator: Exists}, {key: x, operator: In, values: [z, v, z]}, {key: w, operator: Exists}"
        ),
    );
}
