//! KollectTarget.

use crate::{accepts, manifest, rejects, rejects_offline};

fn target(spec: &str) -> String {
    manifest("KollectTarget", spec)
}

/// A target with a profile and this beside it.
fn with(fields: &str) -> String {
    target(&format!("{{profileRef: pods, {fields}}}"))
}

#[test]
fn accepts_a_minimal_target() {
    accepts(&target("{profileRef: pods}"));
}

#[test]
fn accepts_every_field() {
    accepts(&with(
        "labelSelector: {matchLabels: {app.kubernetes.io/name: web, empty: ''}, matchExpressions: [
           {key: tier, operator: In, values: [a, b]}, {key: b, operator: NotIn, values: ['']},
           {key: c, operator: Exists}, {key: d, operator: DoesNotExist, values: []}]},
         names: [web, web, 'system:node'],
         namespaceSelector: {matchLabels: {team: a}}, includedNamespaces: [a, b-1], excludedNamespaces: [c],
         namespaceExcludeSelector: {}, suspend: true",
    ));
}

#[test]
fn accepts_empty_lists_and_selectors() {
    accepts(&with(
        "names: [], includedNamespaces: [], excludedNamespaces: [], labelSelector: {}, namespaceSelector: {}",
    ));
}

#[test]
fn rejects_a_target_without_a_profile() {
    rejects(&target("{}"), "spec.profileRef", "missing");
    rejects(&target("{profileRef: ''}"), "spec.profileRef", "empty");
    rejects(&target("{profileRef: Pods}"), "spec.profileRef", "lower-case");
    rejects(&target("{profileRef: {name: pods}}"), "spec.profileRef", "text is expected");
}

#[test]
fn rejects_a_profile_that_is_not_there() {
    rejects_offline(
        &target("{profileRef: pod}"),
        "spec.profileRef",
        "there is no KollectProfile default/pod",
    );
}

#[test]
fn rejects_names_that_no_namespace_can_have() {
    for (namespace, says) in
        [("Team-A", "lower-case"), ("a.b", "lower-case"), ("-a", "lower-case"), ("''", "empty")]
    {
        for field in ["includedNamespaces", "excludedNamespaces"] {
            rejects(&with(&format!("{field}: [ok, {namespace}]")), &format!("spec.{field}[1]"), says);
        }
    }
    let long = "a".repeat(64);
    rejects(&with(&format!("includedNamespaces: [{long}]")), "spec.includedNamespaces[0]", "at most 63");
}

#[test]
fn rejects_a_namespace_that_is_named_twice() {
    rejects(&with("includedNamespaces: [a, b, a]"), "spec.includedNamespaces[2]", "element 0");
    rejects(&with("excludedNamespaces: [a, a]"), "spec.excludedNamespaces[1]", "element 0");
}

#[test]
fn rejects_selectors_that_kubernetes_refuses() {
    for field in ["labelSelector", "namespaceSelector", "namespaceExcludeSelector"] {
        let first = format!("spec.{field}.matchExpressions[0]");
        for (requirement, part, says) in [
            ("{key: a, operator: In}", "", "give at least one"),
            ("{key: a, operator: NotIn, values: []}", "", "give at least one"),
            ("{key: a, operator: Exists, values: [x]}", "", "remove them"),
            ("{key: a, operator: Equals, values: [x]}", ".operator", "supported are `In`"),
            ("{key: a, operator: exists}", ".operator", "did you mean `Exists`?"),
            ("{operator: Exists}", ".key", "missing"),
            ("{key: '', operator: Exists}", ".key", "empty"),
            ("{key: 'a b', operator: Exists}", ".key", "not the key of a label"),
            ("{key: a, operator: In, values: ['a b']}", ".values[0]", "not the value of a label"),
        ] {
            rejects(
                &with(&format!("{field}: {{matchExpressions: [{requirement}]}}")),
                &format!("{first}{part}"),
                says,
            );
        }
        rejects(
            &with(&format!("{field}: {{matchLabels: {{a: 1}}}}")),
            &format!("spec.{field}.matchLabels[a]"),
            "text",
        );
        rejects(
            &with(&format!("{field}: {{matchLabels: {{a: 'b c'}}}}")),
            &format!("spec.{field}.matchLabels[a]"),
            "not the value of a label",
        );
        rejects(
            &with(&format!("{field}: {{matchLabel: {{a: b}}}}")),
            &format!("spec.{field}.matchLabel"),
            "`matchLabels`?",
        );
    }
}

#[test]
fn accepts_rules_and_watch_modes() {
    accepts(&with("watchMode: OptIn"));
    accepts(&with("watchMode: All, resourceRules: []"));
    accepts(&with(
        "resourceRules: [{gvk: {version: v1, kind: Pod}, matchLabels: {app: web}, matchExpressions: [{key: a, operator: Exists}],
         matchPolicy: 'object.spec.replicas > 1', namespaceSelector: {matchLabels: {team: x}}}]",
    ));
}

#[test]
fn rejects_rules_that_can_not_be_used() {
    let rejects_rule = |rule: &str, part: &str, says: &str| {
        rejects(&with(&format!("resourceRules: [{rule}]")), &format!("spec.resourceRules[0]{part}"), says);
    };
    rejects_rule("{matchLabels: {a: b}}", ".gvk", "missing");
    rejects_rule("{gvk: {version: v1}}", ".gvk.kind", "missing");
    rejects_rule("{gvk: {version: v1, kind: Pod}, matchPolicy: ''}", ".matchPolicy", "empty");
    rejects_rule("{gvk: {version: v1, kind: Pod}, matchPolicies: x}", ".matchPolicies", "`matchPolicy`?");
    rejects_rule(
        "{gvk: {version: v1, kind: Pod}, matchLabels: {a: 'b c'}}",
        ".matchLabels[a]",
        "not the value of a label",
    );
    rejects(&with("watchMode: optIn"), "spec.watchMode", "did you mean `OptIn`?");
}

#[test]
fn rejects_misspelled_and_later_fields() {
    rejects(&with("includeNamespaces: [a]"), "spec.includeNamespaces", "`includedNamespaces`?");
    rejects(&with("suspended: true"), "spec.suspended", "`suspend`?");
    rejects(&with("name: [web]"), "spec.name", "`names`?");
}

#[test]
fn rejects_values_of_another_type() {
    rejects(&with("suspend: 'true'"), "spec.suspend", "true or false");
    rejects(&with("names: web"), "spec.names", "a list");
    rejects(&with("names: [1]"), "spec.names[0]", "text");
    rejects(&with("names: ['']"), "spec.names[0]", "empty");
    rejects(&with("names: [null]"), "spec.names[0]", "text");
    rejects(&with("labelSelector: app=web"), "spec.labelSelector", "a mapping");
}
