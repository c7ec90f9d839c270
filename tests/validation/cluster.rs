//! KollectClusterTarget and KollectClusterInventory.

use crate::{accepts, manifest, rejects, rejects_offline};

fn target(spec: &str) -> String {
    manifest("KollectClusterTarget", spec)
}

/// A cluster target with a profile and this beside it.
fn target_with(fields: &str) -> String {
    target(&format!("{{profileRef: {{name: pods, namespace: default}}, {fields}}}"))
}

fn inventory(spec: &str) -> String {
    manifest("KollectClusterInventory", spec)
}

/// A cluster inventory with a sink and this beside it.
fn with(fields: &str) -> String {
    inventory(&format!("{{databaseSinkRefs: [{{name: portal, namespace: default}}], {fields}}}"))
}

#[test]
fn accepts_cluster_targets() {
    accepts(&target_with("suspend: false"));
    accepts(&target_with(
        "labelSelector: {matchLabels: {a: b}}, names: [web], namespaceSelector: {}, includedNamespaces: [a],
         excludedNamespaces: [b], namespaceExcludeSelector: {}, watchMode: OptIn,
         resourceRules: [{gvk: {version: v1, kind: Pod}, matchPolicy: object.spec.x > 1}]",
    ));
}

#[test]
fn rejects_cluster_targets_whose_profile_is_not_told() {
    rejects(&target("{}"), "spec.profileRef", "missing");
    rejects(&target("{profileRef: pods}"), "spec.profileRef", "mapping is expected");
    rejects(&target("{profileRef: {name: pods}}"), "spec.profileRef.namespace", "missing");
    rejects(&target("{profileRef: {namespace: default}}"), "spec.profileRef.name", "missing");
    rejects(&target("{profileRef: {name: Pods, namespace: default}}"), "spec.profileRef.name", "lower-case");
    rejects(&target("{profileRef: {name: pods, namespace: a.b}}"), "spec.profileRef.namespace", "lower-case");
    rejects_offline(
        &target("{profileRef: {name: pods, namespace: other}}"),
        "spec.profileRef",
        "there is no KollectProfile other/pods",
    );
}

#[test]
fn rejects_cluster_targets_whose_filter_cant_be_used() {
    rejects(&target_with("includedNamespaces: [A]"), "spec.includedNamespaces[0]", "lower-case");
    rejects(&target_with("watchMode: Some"), "spec.watchMode", "OptIn");
    rejects(&target_with("watchmode: All"), "spec.watchmode", "did you mean `watchMode`");
    rejects_offline(
        &target_with("resourceRules: [{gvk: {version: v1, kind: Pod}, matchPolicy: 'object.'}]"),
        "spec.resourceRules[0].matchPolicy",
        "",
    );
}

#[test]
fn accepts_cluster_inventories() {
    accepts(&with("sinkNamespace: default"));
    accepts(&inventory("{sinkNamespace: default, databaseSinkRefs: [portal], snapshotSinkRefs: [files]}"));
    accepts(&with(
        "targetRefs: [pods], namespaces: [a, b], namespaceSelector: {matchLabels: {team: a}}, dedupe: byResourceUID,
         exportMinInterval: 5m, profileRef: {name: pods, namespace: default}, suspend: true,
         rollups: [{name: phases, groupBy: [phase], aggregates: [{name: pods, op: count}]}]",
    ));
    accepts(&with("targetSelector: {matchLabels: {tier: base}}"));
}

#[test]
fn rejects_cluster_inventories_with_contradictions() {
    rejects(&with("targetRefs: [pods], targetSelector: {}"), "spec", "exclude each other");
    rejects(&with("namespaces: [a, a]"), "spec.namespaces[1]", "there already");
    rejects(&with("namespaces: [a/b]"), "spec.namespaces[0]", "lower-case");
    rejects(&with("targetRefs: [a/b]"), "spec.targetRefs[0]", "lower-case");
    rejects(&with("dedupe: both"), "spec.dedupe", "keepAll");
    rejects(&with("exportMinInterval: 25h"), "spec.exportMinInterval", "24h");
    rejects(&with("sinkNamespace: ''"), "spec.sinkNamespace", "empty");
    rejects(&with("profileRef: {name: pods}"), "spec.profileRef.namespace", "missing");
}

#[test]
fn rejects_references_that_lead_nowhere() {
    rejects_offline(
        &inventory("{databaseSinkRefs: [portal]}"),
        "spec.databaseSinkRefs[0]",
        "there is no KollectDatabaseSink kollect-system/portal",
    );
    rejects(
        &inventory("{databaseSinkRefs: [{name: portal, namespace: A}]}"),
        "spec.databaseSinkRefs[0].namespace",
        "lower-case",
    );
    rejects_offline(
        &with("targetRefs: [lost]"),
        "spec.targetRefs[0]",
        "there is no KollectClusterTarget lost",
    );
    rejects_offline(
        &with("profileRef: {name: lost, namespace: default}"),
        "spec.profileRef",
        "there is no KollectProfile default/lost",
    );
}

#[test]
fn accepts_a_namespace_of_what_has_none_as_the_api_server_does() {
    let manifest = target_with("suspend: false");
    accepts(&manifest.replace(r#""name":"case""#, r#""name":"case","namespace":"default""#));
}
