//! KollectScope and KollectClusterScope.

use crate::{accepts, manifest, rejects, rejects_offline_beside};

fn scope(spec: &str) -> String {
    manifest("KollectScope", spec)
}

#[test]
fn accepts_scopes() {
    accepts(&scope("{}"));
    accepts(&scope(
        "{allowedGVKs: [{version: v1, kind: Pod}, {group: '*', version: '*', kind: '*'}, {group: apps, version: v1, kind: '*'}],
          allowedNamespaces: [default], deniedNamespaces: [kube-system], snapshotSinkRefs: [files],
          databaseSinkRefs: [portal], eventSinkRefs: [bus], minExportInterval: 1m, allowResourceExport: false,
          allowedSecretNamespaces: [vault]}",
    ));
    accepts(&manifest(
        "KollectClusterScope",
        "{allowedNamespaces: [default], allowedStaticRefNamespaces: [default]}",
    ));
}

#[test]
fn rejects_scopes_that_cant_be_meant() {
    for (spec, field, says) in [
        ("{allowedGVKs: [{kind: Pod}]}", "spec.allowedGVKs[0].version", "missing"),
        ("{allowedGVKs: [{version: v1, kind: ''}]}", "spec.allowedGVKs[0].kind", "empty"),
        (
            "{allowedGVKs: [{group: 'apps.*', version: v1, kind: Pod}]}",
            "spec.allowedGVKs[0].group",
            "`*` for all",
        ),
        ("{allowedGVKs: [{version: apps/v1, kind: Pod}]}", "spec.allowedGVKs[0].version", "`*` for all"),
        ("{allowedGVKs: [{version: v1, kind: 'Pod*'}]}", "spec.allowedGVKs[0].kind", "`*` for all"),
        ("{allowedNamespaces: ['*']}", "spec.allowedNamespaces[0]", "lower-case"),
        ("{deniedNamespaces: [a, a]}", "spec.deniedNamespaces[1]", "there already"),
        ("{databaseSinkRefs: ['']}", "spec.databaseSinkRefs[0]", "empty"),
        ("{minExportInterval: 48h}", "spec.minExportInterval", "24h"),
        ("{allowResourceExport: maybe}", "spec.allowResourceExport", "true or false"),
        ("{allowedStaticRefNamespaces: [a]}", "spec.allowedStaticRefNamespaces", ""),
    ] {
        rejects(&scope(spec), field, says);
    }
}

#[test]
fn rejects_what_a_scope_does_not_allow() {
    let with = |scope: &str, kind: &str, spec: &str| {
        let scope = format!(
            "\n---\napiVersion: kollect.dev/v1alpha1\nkind: KollectScope\nmetadata: {{name: limits, namespace: default}}\nspec: {scope}\n"
        );
        (manifest(kind, spec), scope)
    };
    for (scope, kind, spec, field, says) in [
        (
            "{allowedGVKs: [{version: v1, kind: Node}]}",
            "KollectTarget",
            "{profileRef: pods}",
            "spec.profileRef",
            "does not allow that v1/Pod is collected",
        ),
        (
            "{deniedNamespaces: [a]}",
            "KollectTarget",
            "{profileRef: pods, includedNamespaces: [a]}",
            "spec.includedNamespaces[0]",
            "namespace a",
        ),
        (
            "{databaseSinkRefs: [other]}",
            "KollectInventory",
            "{databaseSinkRefs: [portal]}",
            "spec.databaseSinkRefs[0]",
            "exports to sink default/portal",
        ),
    ] {
        let (manifest, scope) = with(scope, kind, spec);
        // The API server alone can't see another resource.
        rejects_offline_beside(&manifest, field, says, &scope);
    }
}
