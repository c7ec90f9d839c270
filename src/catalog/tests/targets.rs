//! What targets collect.

use std::collections::BTreeSet;

use kollect_dataflows::extract::{AttributeProblem, Document, Gates, Wish};

use super::{active, briefly, input, plan, target};
use crate::catalog::{ActiveTarget, Catalog, Plan, ResourceName, Sight, TargetPlan, reason};

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
        let plan = with(fields);
        let sight = &active(&plan, "t").sight;
        let selected = sight.selected().map(|names| names.collect::<Vec<_>>().join(" "));
        assert_eq!(selected.as_deref(), expected, "{fields}");
        // Without rules and wishes whatever is selected comes in, whether it asks for it or not.
        let open = sight.everywhere.iter().chain(sight.namespaces.values());
        assert!(open.into_iter().all(|gates| *gates == both(0)), "{fields}");
    }
}

fn both(group: u8) -> Gates {
    Gates::of(group, Wish::Unsaid).with(Gates::of(group, Wish::Enabled))
}

fn asking(group: u8) -> Gates {
    Gates::of(group, Wish::Enabled)
}

/// Where a target with these fields looks, when namespace `a` asks to be collected, `b` asks not to be and `c` says nothing.
fn sight(fields: &str) -> Sight {
    let plan = plan(&format!(
        "kind: KollectTarget
metadata: {{namespace: a, name: t}}
spec: {{profileRef: pods, {fields}}}
---
kind: Namespace
metadata: {{name: a, labels: {{team: x, kollect.dev/watch: enabled}}, annotations: {{kollect.dev/namespace-watch: disabled}}}}
---
kind: Namespace
metadata: {{name: b, labels: {{team: x}}, annotations: {{kollect.dev/namespace-watch: disabled}}}}
---
kind: Namespace
metadata: {{name: c, labels: {{kollect.dev/watch: what}}}}
"
    ));
    active(&plan, "t").sight.clone()
}

#[test]
fn namespaces_say_whether_their_objects_are_collected() {
    let of = |all: &[(&str, Gates)]| all.iter().map(|(name, gates)| ((*name).to_owned(), *gates)).collect();
    for (fields, everywhere, namespaces) in [
        ("", Some(both(0)), of(&[("b", asking(0))])),
        ("watchMode: All, includedNamespaces: [a, b]", None, of(&[("a", both(0)), ("b", asking(0))])),
        ("watchMode: OptIn", Some(asking(0)), of(&[("a", both(0))])),
        (
            "watchMode: OptIn, namespaceSelector: {matchLabels: {team: x}}",
            None,
            of(&[("a", both(0)), ("b", asking(0))]),
        ),
    ] {
        assert_eq!(sight(fields), Sight { everywhere, namespaces }, "{fields}");
    }
}

#[test]
fn rules_hold_in_the_namespaces_that_they_select() {
    let rule = |selector: &str| format!("{{gvk: {{version: v1, kind: Pod}}, {selector}}}");
    let team = rule("namespaceSelector: {matchLabels: {team: x}}");
    let anywhere = rule("matchLabels: {app: web}");
    // The group of the selector comes first, as it is written first.
    let plain = sight(&format!("resourceRules: [{team}, {anywhere}, {team}]"));
    assert_eq!(plain.everywhere, Some(both(1)));
    assert_eq!(plain.namespaces["a"], both(0).with(both(1)));
    assert_eq!(plain.namespaces["b"], asking(0).with(asking(1)));
    assert!(!plain.namespaces.contains_key("c"));
    let included = sight(&format!("includedNamespaces: [c, later], resourceRules: [{team}]"));
    assert_eq!(included.selected().unwrap().count(), 0);
    let groups: String =
        (0..40).map(|i| rule(&format!("namespaceSelector: {{matchLabels: {{team: x{i}}}}}")) + ",").collect();
    let plan = with(&format!("resourceRules: [{groups}]"));
    let TargetPlan::Held { reason, message } = target(&plan, "t") else { panic!() };
    assert_eq!(*reason, reason::SPEC_INVALID);
    assert!(message.contains("more than 32"), "{message}");
}

#[test]
fn rules_take_the_place_of_labels_and_names_and_those_of_other_kinds_do_nothing() {
    let plan = with(
        "names: [x], labelSelector: {matchLabels: {a: b}}, resourceRules: [
         {gvk: {group: apps, version: v1, kind: Deployment}},
         {gvk: {version: v1, kind: Pod}, matchLabels: {tier: x}, matchPolicy: 'cel:object.spec.x > 1'}]",
    );
    let target = active(&plan, "t");
    assert_eq!(target.active_rules, Some(1));
    for (labels, x, selected) in [("{tier: x}", 2, true), ("{tier: x}", 1, false), ("{a: b}", 2, false)] {
        let object = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, labels: {labels}}}, spec: {{x: {x}}}}}"
        );
        let object: serde_json::Value = serde_saphyr::from_str(&object).unwrap();
        assert_eq!(gates(target, &object).0 != Gates::NONE, selected, "{object}");
    }
    let none = with("resourceRules: [{gvk: {group: apps, version: v1, kind: Deployment}}]");
    let object = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    assert_eq!(gates(active(&none, "t"), &object), (Gates::NONE, vec![]));
    // A problem is called by the rule's place in the spec, not among those that count.
    let broken = gates(
        target,
        &serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"tier": "x"}}}),
    );
    assert_eq!(broken.1[0].1.attribute, "resourceRules[1].matchPolicy");
}

#[test]
fn a_rule_that_can_not_be_used_is_named_also_when_it_is_for_another_kind() {
    for (rule, field) in [
        ("{gvk: {version: v1, kind: Pod}, matchPolicy: 'object.('}", "[0].matchPolicy"),
        ("{gvk: {version: v1, kind: Node}, matchPolicy: 'objet.spec'}", "[0].matchPolicy"),
        ("{gvk: {version: v1, kind: Pod}, matchExpressions: [{key: a, operator: In}]}", "[0]"),
        (
            "{gvk: {version: v1, kind: Pod}, namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}",
            "[0].namespaceSelector",
        ),
    ] {
        let plan = with(&format!("resourceRules: [{rule}]"));
        assert_eq!(
            briefly(&plan),
            [format!("KollectTarget a/t spec.resourceRules{field} SpecInvalid")],
            "{rule}"
        );
    }
}

#[test]
fn targets_that_select_namespaces_wait_while_these_are_not_known() {
    let held = |fields: &str| {
        let mut input = input(&format!(
            "kind: KollectTarget\nmetadata: {{namespace: a, name: t}}\nspec: {{profileRef: pods, {fields}}}"
        ));
        input.namespaces_unknown = Some("forbidden".to_owned());
        let plan = Catalog::default().plan(&input);
        matches!(target(&plan, "t"), TargetPlan::Held { reason: reason::ACCESS_DENIED, message } if message.contains("forbidden"))
    };
    for fields in [
        "namespaceSelector: {}",
        "excludedNamespaces: [x]",
        "namespaceExcludeSelector: {}",
        "watchMode: OptIn",
        "resourceRules: [{gvk: {version: v1, kind: Pod}, namespaceSelector: {}}]",
    ] {
        assert!(held(fields), "{fields}");
    }
    for fields in ["", "includedNamespaces: [x]", "resourceRules: [{gvk: {version: v1, kind: Pod}}]"] {
        assert!(!held(fields), "{fields}");
    }
}

/// The gates through which an object comes in to a target, and problems.
fn gates(target: &ActiveTarget, object: &serde_json::Value) -> (Gates, Vec<(Gates, AttributeProblem)>) {
    let object = object.to_string();
    let mut problems = Vec::new();
    (target.selection.gates(&Document::parse(object.as_bytes()).unwrap(), &mut problems), problems)
}

#[test]
fn labels_and_names_are_passed_on() {
    let plan =
        with("labelSelector: {matchExpressions: [{key: tier, operator: In, values: [x]}]}, names: [w, v, w]");
    let target = active(&plan, "t");
    assert_eq!(target.gvk.to_string(), "v1/Pod");
    for (name, tier, selected) in [("v", "x", true), ("w", "x", true), ("u", "x", false), ("v", "y", false)] {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"tier": tier}}});
        assert_eq!(gates(target, &object).0 != Gates::NONE, selected, "{object}");
    }
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
        (
            "[{name: a, path: .a}, {name: b, path: .b}]",
            "resourceRules: [{gvk: {version: v1, kind: Pod}, matchLabels: {y: v}}]",
        ),
        (
            "[{name: a, path: .a}, {name: b, path: .b}]",
            "resourceRules: [{gvk: {version: v1, kind: Pod}, matchPolicy: 'true'}]",
        ),
        ("[{name: a, path: .a, type: int}, {name: b, path: .b}]", ""),
        ("[{name: a, path: .a, type: float}, {name: b, path: .b}]", ""),
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
        ("[{name: a, path: .a}, {name: b, path: .b}]", "names: [x, v], watchMode: OptIn"),
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
