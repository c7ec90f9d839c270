//! KollectInventory.

use crate::{accepts, manifest, rejects, rejects_offline};

fn inventory(spec: &str) -> String {
    manifest("KollectInventory", spec)
}

/// An inventory with a sink and this beside it.
fn with(fields: &str) -> String {
    inventory(&format!("{{databaseSinkRefs: [portal], {fields}}}"))
}

#[test]
fn accepts_sinks_by_name_and_with_settings() {
    accepts(&inventory("{databaseSinkRefs: [portal]}"));
    accepts(&inventory("{databaseSinkRefs: [{name: portal}]}"));
    accepts(&inventory(
        "{databaseSinkRefs: [{name: portal, exportMinInterval: 5m}], snapshotSinkRefs: [files]}",
    ));
}

#[test]
fn accepts_every_field() {
    accepts(&with("targetRefs: [pods], dedupe: byResourceUID, exportMinInterval: 0s, suspend: false"));
    accepts(&with("targetSelector: {matchLabels: {tier: base}}, dedupe: keepAll"));
    accepts(&with("targetRefs: [], targetSelector: {}"));
}

#[test]
fn accepts_time_spans_as_go_writes_them() {
    for interval in ["'0'", "0s", "30s", "1h30m", "1.5h", "24h", "100ms", "250us", "1h0m0.5s"] {
        accepts(&with(&format!("exportMinInterval: {interval}")));
    }
}

#[test]
fn rejects_other_time_spans() {
    for (interval, says) in [
        ("30", "text is expected"),
        ("'30'", "with a unit"),
        ("1d", "with a unit"),
        ("-1s", "with a unit"),
        ("''", "empty"),
        ("1 h", "with a unit"),
        ("25h", "give at most 24h"),
        ("24h0m1s", "give at most 24h"),
        ("24h1ns", "give at most 24h"),
    ] {
        rejects(&with(&format!("exportMinInterval: {interval}")), "spec.exportMinInterval", says);
    }
}

#[test]
fn rejects_time_spans_of_references() {
    let reference = |interval| {
        inventory(&format!("{{databaseSinkRefs: [{{name: portal, exportMinInterval: {interval}}}]}}"))
    };
    rejects(&reference("1d"), "spec.databaseSinkRefs[0].exportMinInterval", "with a unit");
    rejects(&reference("30"), "spec.databaseSinkRefs[0].exportMinInterval", "text is expected");
    rejects_offline(&reference("25h"), "spec.databaseSinkRefs[0].exportMinInterval", "24h");
}

#[test]
fn rejects_references_that_are_neither_names_nor_mappings() {
    for (reference, says) in
        [("1", "a name"), ("true", "a name"), ("[portal]", "a name"), ("[]", "a name"), ("1.5", "a name")]
    {
        rejects(
            &inventory(&format!("{{databaseSinkRefs: [{reference}]}}")),
            "spec.databaseSinkRefs[0]",
            says,
        );
    }
    rejects_offline(&inventory("{databaseSinkRefs: [null]}"), "spec.databaseSinkRefs[0]", "a name");
    rejects(&inventory("{databaseSinkRefs: ['']}"), "spec.databaseSinkRefs[0]", "empty");
    rejects(&inventory("{databaseSinkRefs: [My Sink]}"), "spec.databaseSinkRefs[0]", "lower-case");
    rejects(
        &inventory("{databaseSinkRefs: [{exportMinInterval: 5m}]}"),
        "spec.databaseSinkRefs[0].name",
        "missing",
    );
    rejects(&inventory("{databaseSinkRefs: [{name: ''}]}"), "spec.databaseSinkRefs[0].name", "empty");
    rejects(&inventory("{databaseSinkRefs: [{name: [a]}]}"), "spec.databaseSinkRefs[0].name", "text");
    rejects(&inventory("{databaseSinkRefs: portal}"), "spec.databaseSinkRefs", "a list");
}

#[test]
fn rejects_unknown_fields_of_references() {
    rejects_offline(
        &inventory("{databaseSinkRefs: [{name: portal, exportMinIntervall: 5m}]}"),
        "spec.databaseSinkRefs[0].exportMinIntervall",
        "`exportMinInterval`?",
    );
    rejects_offline(
        &inventory("{databaseSinkRefs: [{name: portal, namespace: other}]}"),
        "spec.databaseSinkRefs[0].namespace",
        "no field `namespace`",
    );
}

#[test]
fn rejects_references_that_lead_nowhere() {
    rejects_offline(
        &inventory("{databaseSinkRefs: [portal, files]}"),
        "spec.databaseSinkRefs[1]",
        "there is no KollectDatabaseSink default/files",
    );
    rejects_offline(
        &with("snapshotSinkRefs: [portal]"),
        "spec.snapshotSinkRefs[0]",
        "no KollectSnapshotSink",
    );
    rejects_offline(
        &with("targetRefs: [pods, nodes]"),
        "spec.targetRefs[1]",
        "there is no KollectTarget default/nodes",
    );
}

#[test]
fn rejects_a_sink_that_is_referred_to_twice() {
    rejects_offline(
        &inventory("{databaseSinkRefs: [portal, {name: portal}]}"),
        "spec.databaseSinkRefs[1]",
        "already by spec.databaseSinkRefs[0]",
    );
}

#[test]
fn rejects_too_many_sinks() {
    let list = |prefix: &str, n| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>().join(",");
    rejects(
        &inventory(&format!("{{databaseSinkRefs: [{}]}}", list("a", 21))),
        "spec.databaseSinkRefs",
        "at most 20",
    );
    rejects_offline(
        &inventory(&format!(
            "{{databaseSinkRefs: [{}], snapshotSinkRefs: [{}]}}",
            list("a", 11),
            list("b", 10)
        )),
        "spec.snapshotSinkRefs[9]",
        "more than 20",
    );
}

#[test]
fn rejects_an_inventory_that_does_nothing() {
    rejects_offline(&inventory("{}"), "spec", "exported nowhere");
    rejects_offline(&with("targetSelector: {matchLabels: {tier: other}}"), "spec", "no target feeds");
}

#[test]
fn rejects_names_and_a_selector_of_targets_at_once() {
    rejects(
        &with("targetRefs: [pods], targetSelector: {matchLabels: {tier: base}}"),
        "spec",
        "give one of them",
    );
}

#[test]
fn rejects_what_the_schema_does_not_know() {
    rejects(&with("dedupe: byUID"), "spec.dedupe", "supported are `keepAll`, `byResourceUID`");
    rejects(&with("dedupe: byResourceUid"), "spec.dedupe", "did you mean `byResourceUID`?");
    rejects(&with("targetRefs: [pods, pods]"), "spec.targetRefs[1]", "element 0");
    rejects(&with("targetRefs: [{name: pods}]"), "spec.targetRefs[0]", "text");
    rejects(&with("databaseSinkRef: [a]"), "spec.databaseSinkRef", "`databaseSinkRefs`?");
    rejects(
        &with("targetSelector: {matchExpressions: [{key: a, operator: In}]}"),
        "spec.targetSelector.matchExpressions[0]",
        "at least one",
    );
}

#[test]
fn accepts_rollups() {
    accepts(&with("rollups: [{name: all, aggregates: [{name: rows, op: count}]}]"));
    accepts(&with(
        "rollups: [{name: by-team, groupBy: [namespace, attributes.phase], aggregates: [{name: rows, op: count}, \
         {name: cpu, op: sum, attribute: phase}, {name: least, op: min, attribute: uid}, {name: most, op: max, attribute: name}, \
         {name: images, op: distinct, attribute: phase}]}, {name: Other_1, aggregates: [{name: rows, op: count, attribute: phase}]}]",
    ));
}

#[test]
fn rejects_rollups_that_say_nothing() {
    let rollup = |fields: &str| with(&format!("rollups: [{fields}]"));
    let rejects = |fields: &str, field: &str, says: &str| rejects(&rollup(fields), field, says);
    rejects("{name: r, aggregates: []}", "spec.rollups[0].aggregates", "give at least 1");
    rejects("{name: r}", "spec.rollups[0].aggregates", "");
    rejects(
        "{name: 'a b', aggregates: [{name: rows, op: count}]}",
        "spec.rollups[0].name",
        "letters, digits",
    );
    rejects(
        "{name: r, aggregates: [{name: a-b, op: count}]}",
        "spec.rollups[0].aggregates[0].name",
        "begin with a letter",
    );
    rejects(
        "{name: r, aggregates: [{name: rows, op: mean, attribute: a}]}",
        "spec.rollups[0].aggregates[0].op",
        "",
    );
    rejects(
        "{name: r, aggregates: [{name: rows, op: sum}]}",
        "spec.rollups[0].aggregates[0]",
        "only count can do without",
    );
    let twice = "{name: r, aggregates: [{name: rows, op: count}, {name: rows, op: count}]}";
    rejects(twice, "spec.rollups[0].aggregates[1].name", "is there already");
    let unknown = "{name: r, groupBy: [fase], aggregates: [{name: rows, op: count}]}";
    rejects_offline(&rollup(unknown), "spec.rollups[0].groupBy[0]", "has an attribute fase");
}
