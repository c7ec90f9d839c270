//! What scopes allow.

use std::time::Duration;

use super::{active, briefly, input, inventory, plan, put, target};
use crate::api::KollectScope;
use crate::catalog::{
    Catalog, Plan, ResourceName, ResourceRef, TargetPlan, Unusable, reason, wanted_secrets,
};

const NAMESPACES: &str = "
---
kind: Namespace
metadata: {name: a, labels: {env: prod}}
---
kind: Namespace
metadata: {name: b, labels: {env: prod}}
---
kind: Namespace
metadata: {name: c}
";

/// A scope with this spec, and a target `t` whose spec has these fields beside its profile.
fn with(scope: &str, fields: &str) -> Plan {
    plan(&format!(
        "kind: KollectScope\nmetadata: {{namespace: a, name: limits}}\nspec: {{{scope}}}
---
kind: KollectTarget\nmetadata: {{namespace: a, name: t}}\nspec: {{profileRef: pods, {fields}}}{NAMESPACES}"
    ))
}

#[test]
fn what_a_target_matches_is_told_apart_from_what_it_sees() {
    for (scope, fields, matched, seen) in [
        ("deniedNamespaces: [a]", "namespaceSelector: {matchLabels: {env: prod}}", Some("a b"), Some("b")),
        ("allowedNamespaces: [c]", "excludedNamespaces: [b]", Some("a c"), Some("c")),
        ("allowedNamespaces: [c]", "", None, Some("c")),
        ("", "", None, None),
    ] {
        let plan = with(scope, fields);
        let target = active(&plan, "t");
        assert_eq!(target.matched.as_deref().map(|names| names.join(" ")).as_deref(), matched, "{scope}");
        let selected = target.sight.selected().map(|names| names.collect::<Vec<_>>().join(" "));
        assert_eq!(selected.as_deref(), seen, "{scope}");
    }
}

#[test]
fn what_a_target_sees_is_narrowed() {
    for (scope, fields, expected) in [
        ("", "", None),
        ("allowedNamespaces: [a, later]", "", Some("a later")),
        ("allowedNamespaces: [a, c]", "namespaceSelector: {matchLabels: {env: prod}}", Some("a")),
        ("allowedNamespaces: [c]", "namespaceSelector: {matchLabels: {env: prod}}", Some("")),
        ("deniedNamespaces: [a]", "namespaceSelector: {matchLabels: {env: prod}}", Some("b")),
        ("allowedNamespaces: [a, b], deniedNamespaces: [a]", "", Some("b")),
        ("allowedNamespaces: [a, b]", "includedNamespaces: [b]", Some("b")),
        ("allowedNamespaces: [a, b]", "excludedNamespaces: [b]", Some("a")),
    ] {
        let plan = with(scope, fields);
        let selected = active(&plan, "t").sight.selected().map(|names| names.collect::<Vec<_>>().join(" "));
        assert_eq!(selected.as_deref(), expected, "{scope} | {fields}");
    }
}

#[test]
fn a_denied_namespace_is_left_out_of_everywhere() {
    let plan = with("deniedNamespaces: [b]", "");
    let sight = &active(&plan, "t").sight;
    assert!(sight.everywhere.is_some());
    assert_eq!(sight.namespaces.keys().collect::<Vec<_>>(), ["b"]);
    assert!(sight.namespaces["b"] == kollect_dataflows::extract::Gates::NONE);
}

#[test]
fn what_is_asked_for_and_not_allowed_holds_the_target() {
    for (scope, fields, field, reason) in [
        (
            "allowedGVKs: [{group: apps, version: v1, kind: Deployment}]",
            "",
            "spec.profileRef",
            reason::SCOPE_GVK_DENIED,
        ),
        (
            "allowedGVKs: [{group: '*', version: v2, kind: '*'}]",
            "",
            "spec.profileRef",
            reason::SCOPE_GVK_DENIED,
        ),
        (
            "allowedNamespaces: [a]",
            "includedNamespaces: [a, b]",
            "spec.includedNamespaces[1]",
            reason::SCOPE_NAMESPACE_DENIED,
        ),
        (
            "deniedNamespaces: [b]",
            "includedNamespaces: [b]",
            "spec.includedNamespaces[0]",
            reason::SCOPE_NAMESPACE_DENIED,
        ),
    ] {
        let plan = with(scope, fields);
        assert!(
            matches!(target(&plan, "t"), TargetPlan::Held { reason: held, .. } if *held == reason),
            "{scope}: {:?}",
            target(&plan, "t")
        );
        assert!(
            briefly(&plan).contains(&format!("KollectTarget a/t {field} {reason}")),
            "{:?}",
            plan.problems
        );
    }
    for scope in [
        "allowedGVKs: [{version: v1, kind: Pod}]",
        "allowedGVKs: [{version: '*', kind: Pod}]",
        "allowedGVKs: [{group: apps, version: v1, kind: Deployment}, {group: '*', version: '*', kind: '*'}]",
        "allowedGVKs: []",
    ] {
        active(&with(scope, ""), "t");
    }
}

#[test]
fn objects_are_exported_whole_only_where_that_is_allowed() {
    const WHOLE: &str = "
---
kind: KollectProfile
metadata: {namespace: a, name: pods}
spec: {targetGVK: {version: v1, kind: Pod}, export: {mode: Resource}}";
    for (scope, is_allowed) in
        [("", true), ("allowResourceExport: true", true), ("allowResourceExport: false", false)]
    {
        let plan = plan(&format!(
            "kind: KollectScope\nmetadata: {{namespace: a, name: s}}\nspec: {{{scope}}}{WHOLE}"
        ));
        assert_eq!(matches!(target(&plan, "pods"), TargetPlan::Active(_)), is_allowed, "{scope}");
    }
}

#[test]
fn all_scopes_of_the_namespace_must_allow_and_those_of_others_do_not_count() {
    let scope = |namespace: &str, name: &str, spec: &str| {
        format!(
            "---\nkind: KollectScope\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{{spec}}}\n"
        )
    };
    let both = scope("a", "s1", "allowedNamespaces: [a, b]") + &scope("a", "s2", "allowedNamespaces: [b, c]");
    let other = scope("b", "s", "allowedGVKs: [{version: v1, kind: Node}]");
    let plan = plan(&(both + &other));
    let selected = active(&plan, "pods").sight.selected().unwrap().collect::<Vec<_>>();
    assert_eq!(selected, ["b"]);
}

#[test]
fn sinks_and_intervals_are_limited() {
    let documents = "
kind: KollectScope
metadata: {namespace: a, name: s}
spec: {databaseSinkRefs: [other], minExportInterval: 5m}
---
kind: KollectInventory
metadata: {namespace: a, name: i}
spec: {databaseSinkRefs: [db], snapshotSinkRefs: [{name: files, exportMinInterval: 10s}]}
---
kind: KollectInventory
metadata: {namespace: a, name: never}
spec: {snapshotSinkRefs: [{name: files, exportMinInterval: 0s}]}
";
    let plan = plan(documents);
    assert_eq!(briefly(&plan), ["KollectInventory a/i spec.databaseSinkRefs[0] ScopeSinkDenied"]);
    let planned = inventory(&plan, "i");
    // What is exported to the sink stays.
    assert_eq!((planned.bindings.len(), planned.references.len()), (1, 2));
    assert_eq!(planned.bindings[0].min_interval, Duration::from_mins(5));
    assert_eq!(inventory(&plan, "never").bindings[0].min_interval, Duration::ZERO);
}

const FOREIGN_SECRET: &str = "
kind: KollectDatabaseSink
metadata: {namespace: a, name: pg}
spec: {type: postgres, postgres: {databaseRef: {name: dsn, namespace: b}, table: rows}}
---
kind: Secret
metadata: {namespace: b, name: dsn}
stringData: {dsn: 'postgres://u:p@db.example/x'}
";

#[test]
#[cfg(feature = "postgres")]
fn a_secret_of_another_namespace_must_be_allowed_by_every_scope() {
    for (scopes, is_allowed) in [
        (&[][..], false),
        (&[""], false),
        (&["allowedSecretNamespaces: [c]"], false),
        (&["allowedSecretNamespaces: [b]"], true),
        (&["allowedSecretNamespaces: [b, c]", "allowedSecretNamespaces: [b]"], true),
        (&["allowedSecretNamespaces: [b]", ""], false),
    ] {
        let mut documents = FOREIGN_SECRET.to_owned();
        for (number, spec) in scopes.iter().enumerate() {
            documents += &format!(
                "---\nkind: KollectScope\nmetadata: {{namespace: a, name: s{number}}}\nspec: {{{spec}}}\n"
            );
        }
        let input = input(&documents);
        let plan = Catalog::default().plan(&input);
        let refused =
            "KollectDatabaseSink a/pg spec.postgres.databaseRef.namespace SecretForbidden".to_owned();
        assert_eq!(!briefly(&plan).contains(&refused), is_allowed, "{scopes:?}");
        assert_eq!(wanted_secrets(&input).contains(&ResourceName::new("b", "dsn")), is_allowed, "{scopes:?}");
    }
}

#[test]
fn while_it_is_not_known_what_is_allowed_nothing_is_and_nothing_is_lost() {
    const INVENTORY: &str =
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db]}";
    let mut unreadable = input(INVENTORY);
    let scope = ResourceRef::new("KollectScope", &ResourceName::new("a", "s"));
    unreadable.unusable.insert(scope, Unusable { message: "no".to_owned(), ..Unusable::default() });
    let mut unknown = input(INVENTORY);
    unknown.scopes_unknown = Some("forbidden".to_owned());
    for input in [&unreadable, &unknown] {
        let plan = Catalog::default().plan(input);
        assert!(
            matches!(target(&plan, "pods"), TargetPlan::Held { reason, .. } if *reason == reason::SCOPE_UNKNOWN)
        );
        assert_eq!(inventory(&plan, "i").held.as_ref().unwrap().reason, reason::SCOPE_UNKNOWN);
    }
    // Of another namespace it says nothing.
    let mut elsewhere = unreadable.clone();
    elsewhere.unusable.clear();
    let scope = ResourceRef::new("KollectScope", &ResourceName::new("b", "s"));
    elsewhere.unusable.insert(scope, Unusable::default());
    active(&Catalog::default().plan(&elsewhere), "pods");
}

#[test]
fn a_bad_interval_of_a_scope_is_said_and_limits_nothing() {
    let mut input = input("");
    put(&mut input, "kind: KollectScope\nmetadata: {namespace: a, name: s}\nspec: {minExportInterval: soon}");
    assert!(
        input.scopes.values().all(|scope: &std::sync::Arc<KollectScope>| scope
            .spec
            .limits
            .min_export_interval
            .is_some())
    );
    let plan = Catalog::default().plan(&input);
    assert_eq!(briefly(&plan), ["KollectScope a/s spec.minExportInterval SpecInvalid"]);
}
