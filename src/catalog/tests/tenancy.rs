//! Plans of an operator that is for some namespaces only.

use super::{active, briefly, input, put, target};
use crate::catalog::{Catalog, Input, Plan, ResourceName, TargetPlan, reason, wanted_secrets};

/// Plans for namespaces a and b, of which c is none.
fn plan(documents: &str) -> (Input, Plan) {
    let mut input = input(documents);
    input.options.watch_namespaces = ["a", "b"].map(str::to_owned).into();
    let plan = Catalog::default().plan(&input);
    (input, plan)
}

#[test]
fn a_target_sees_no_further_than_the_operator() {
    for (fields, expected) in [
        ("", "a b"),
        ("includedNamespaces: [b]", "b"),
        // Namespace b is not there yet: its labels say nothing, but it takes part by itself as soon as it is.
        ("excludedNamespaces: [a]", ""),
        ("namespaceSelector: {}", "a"),
        ("namespaceSelector: {matchLabels: {team: x}}", "a"),
        ("watchMode: OptIn", "a b"),
    ] {
        let (_, plan) = plan(&format!(
            "kind: KollectTarget
metadata: {{namespace: a, name: t}}
spec: {{profileRef: pods, {fields}}}
---
kind: Namespace
metadata: {{name: a, labels: {{team: x}}}}
---
kind: Namespace
metadata: {{name: c, labels: {{team: x}}}}
"
        ));
        let sight = &active(&plan, "t").sight;
        assert_eq!(sight.selected().unwrap().collect::<Vec<_>>().join(" "), expected, "{fields}");
        assert_eq!(sight.everywhere, None, "{fields}");
        // Objects without a namespace are seen by those that select none.
        assert_eq!(
            sight.namespaces.contains_key(""),
            fields.is_empty() || fields.starts_with("watchMode"),
            "{fields}"
        );
    }
}

#[test]
fn a_target_that_names_a_namespace_that_is_not_watched_is_held() {
    let (_, plan) = plan(
        "kind: KollectTarget
metadata: {namespace: a, name: t}
spec: {profileRef: pods, includedNamespaces: [a, c]}
",
    );
    assert_eq!(briefly(&plan), ["KollectTarget a/t spec.includedNamespaces[1] ScopeNamespaceDenied"]);
    assert!(
        matches!(target(&plan, "t"), TargetPlan::Held { reason, .. } if *reason == reason::SCOPE_NAMESPACE_DENIED)
    );
}

#[cfg(feature = "postgres")]
#[test]
fn a_secret_of_a_namespace_that_is_not_watched_is_never_read_whatever_scopes_say() {
    let sink = |namespace: &str| {
        format!(
            "kind: KollectScope
metadata: {{namespace: a, name: s}}
spec: {{allowedSecretNamespaces: [b, c]}}
---
kind: KollectDatabaseSink
metadata: {{namespace: a, name: pg}}
spec: {{type: postgres, postgres: {{table: t, databaseRef: {{name: db, namespace: {namespace}}}}}}}
"
        )
    };
    let (input, _) = plan(&sink("b"));
    assert_eq!(wanted_secrets(&input), [ResourceName::new("b", "db")].into());
    let (input, plan) = plan(&sink("c"));
    assert_eq!(wanted_secrets(&input), [].into());
    assert_eq!(
        briefly(&plan),
        ["KollectDatabaseSink a/pg spec.postgres.databaseRef.namespace SecretForbidden"]
    );
    assert!(plan.problems[0].message.contains("does not watch"), "{}", plan.problems[0]);
}

#[test]
fn what_is_unknown_in_one_namespace_holds_up_no_other() {
    let inventory = "kind: KollectInventory
metadata: {namespace: a, name: all}
spec: {databaseSinkRefs: [db]}
";
    let mut input = input(inventory);
    for document in super::BASE.split("---\n").chain([inventory]) {
        put(&mut input, &document.replace("namespace: a", "namespace: b"));
    }
    input.options.watch_namespaces = ["a", "b"].map(str::to_owned).into();
    input.incomplete_in = ["b".to_owned()].into();
    let plan = Catalog::default().plan(&input);
    assert_eq!(plan.inventories[&ResourceName::new("a", "all")].held, None);
    let held = plan.inventories[&ResourceName::new("b", "all")].held.as_ref();
    assert_eq!(held.map(|hold| hold.reason), Some(reason::UNREADABLE));
    input.scopes_unknown_in = [("b".to_owned(), "forbidden".to_owned())].into();
    let plan = Catalog::default().plan(&input);
    active(&plan, "pods");
    let of_b = &plan.targets[&kollect_dataflows::data::TargetName::new("b", "pods")];
    assert!(matches!(of_b, TargetPlan::Held { reason, .. } if *reason == reason::SCOPE_UNKNOWN), "{of_b:?}");
}
