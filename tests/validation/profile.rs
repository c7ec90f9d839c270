//! KollectProfile.

use crate::{accepts, manifest, rejects, rejects_offline};

fn profile(spec: &str) -> String {
    manifest("KollectProfile", spec)
}

/// A profile of Deployments with these attributes.
fn attributes(attributes: &str) -> String {
    profile(&format!(
        "{{targetGVK: {{group: apps, version: v1, kind: Deployment}}, attributes: {attributes}}}"
    ))
}

#[test]
fn accepts_a_minimal_profile() {
    accepts(&attributes("[{name: replicas, path: .spec.replicas}]"));
}

#[test]
fn accepts_every_field() {
    accepts(&attributes(
        r#"[
          {name: image, path: "$.spec.template.spec.containers[0].image", optional: true},
          {name: replicas, path: "{.spec.replicas}", default: 1},
          {name: labels, path: "cel:object.metadata.labels", default: {a: [1, null, {b: true}]}},
          {name: paused, path: .spec.paused, default: null, optional: false},
          {name: created, path: .metadata.creationTimestamp, type: timestamp},
          {name: images, path: "$..image", type: list, default: []},
        ]"#,
    ));
}

#[test]
fn accepts_kinds_of_the_core_group() {
    for gvk in [
        "{version: v1, kind: Pod}",
        "{group: '', version: v1, kind: Pod}",
        "{group: null, version: v1, kind: Pod}",
    ] {
        accepts(&profile(&format!("{{targetGVK: {gvk}, attributes: [{{name: a, path: .a}}]}}")));
    }
}

#[test]
fn accepts_kinds_of_other_groups() {
    let gvk = "{group: cert-manager.io, version: v1alpha2, kind: Certificate}";
    accepts(&profile(&format!("{{targetGVK: {gvk}, attributes: [{{name: a, path: .a}}]}}")));
}

#[test]
fn accepts_a_null_for_an_absent_field() {
    accepts(&attributes("[{name: replicas, path: .spec.replicas, optional: null}]"));
}

#[test]
fn rejects_an_unknown_field() {
    rejects(
        &attributes("[{name: a, path: .a}, {name: b, pathh: .b}]"),
        "spec.attributes[1].pathh",
        "did you mean `path`?",
    );
    rejects(
        &profile("{targetGvk: {version: v1, kind: Pod}, attributes: [{name: a, path: .a}]}"),
        "spec.targetGvk",
        "did you mean `targetGVK`?",
    );
    rejects(
        &attributes("[{name: a, path: .a, zzz: 1}]"),
        "spec.attributes[0].zzz",
        "the fields are default, name, optional, path, type",
    );
}

#[test]
fn rejects_a_profile_without_a_kind_to_read() {
    let attributes = "attributes: [{name: a, path: .a}]";
    for (gvk, field, says) in [
        ("", "spec.targetGVK", "missing"),
        ("targetGVK: {version: v1},", "spec.targetGVK.kind", "missing"),
        ("targetGVK: {kind: Pod},", "spec.targetGVK.version", "missing"),
        ("targetGVK: {version: '', kind: Pod},", "spec.targetGVK.version", "empty"),
        ("targetGVK: {version: v1, kind: ''},", "spec.targetGVK.kind", "empty"),
        ("targetGVK: {version: apps/v1, kind: Pod},", "spec.targetGVK.version", "for example `v1`"),
        ("targetGVK: {group: Apps, version: v1, kind: Pod},", "spec.targetGVK.group", "core group"),
        ("targetGVK: {version: v1, kind: my pod},", "spec.targetGVK.kind", "not a kind"),
    ] {
        rejects(&profile(&format!("{{{gvk} {attributes}}}")), field, says);
    }
}

#[test]
fn rejects_a_profile_without_attributes() {
    rejects(&attributes("[]"), "spec", "give at least one");
    rejects(&profile("{targetGVK: {version: v1, kind: Pod}}"), "spec", "give at least one");
}

#[test]
fn rejects_an_attribute_without_name_or_path() {
    rejects(&attributes("[{name: a}]"), "spec.attributes[0].path", "missing");
    rejects(&attributes("[{path: .a}]"), "spec.attributes[0].name", "missing");
    rejects(&attributes("[{name: '', path: .a}]"), "spec.attributes[0].name", "empty");
    rejects(&attributes("[{name: a, path: ''}]"), "spec.attributes[0].path", "empty");
    rejects(&attributes("[{name: a, path: null}]"), "spec.attributes[0].path", "missing");
    rejects(&attributes(r#"[{name: "a\nb", path: .a}]"#), "spec.attributes[0].name", "one line");
}

#[test]
fn rejects_two_attributes_of_one_name() {
    rejects(
        &attributes("[{name: a, path: .a}, {name: b, path: .b}, {name: a, path: .c}]"),
        "spec.attributes[2].name",
        "element 0",
    );
}

#[test]
fn rejects_values_of_another_type() {
    for (spec, field, says) in [
        ("{name: a, path: .a}", "spec.attributes", "a list is expected"),
        ("[{name: a, path: [.a]}]", "spec.attributes[0].path", "text is expected"),
        ("[{name: a, path: 1}]", "spec.attributes[0].path", "text is expected"),
        (
            "[{name: a, path: .a, optional: 'yes'}]",
            "spec.attributes[0].optional",
            "true or false is expected",
        ),
        ("[{name: a, path: .a, type: integer}]", "spec.attributes[0].type", "int"),
        ("[{name: a, path: .a, type: Int}]", "spec.attributes[0].type", "int"),
        ("[{name: a, path: .a, type: [int]}]", "spec.attributes[0].type", "text is expected"),
        ("[null]", "spec.attributes[0]", "a mapping is expected"),
        ("[a]", "spec.attributes[0]", "a mapping is expected"),
    ] {
        rejects(&attributes(spec), field, says);
    }
    rejects(&profile("{targetGVK: Pod, attributes: [{name: a, path: .a}]}"), "spec.targetGVK", "a mapping");
}

#[test]
fn rejects_what_is_too_much() {
    let long = "a".repeat(16_385);
    rejects(
        &attributes(&format!("[{{name: a, path: .{long}}}]")),
        "spec.attributes[0].path",
        "at most 16384",
    );
    let many: Vec<_> = (0..257).map(|i| format!("{{name: a{i}, path: .a}}")).collect();
    rejects(&attributes(&format!("[{}]", many.join(","))), "spec.attributes", "at most 256");
}

#[test]
fn accepts_every_type() {
    for kind in ["string", "int", "float", "bool", "list", "map", "timestamp", "quantity", "null"] {
        accepts(&attributes(&format!("[{{name: a, path: .a, type: {kind}}}]")));
    }
}

#[test]
fn accepts_a_default_that_fits_the_type() {
    for (kind, default) in [
        ("int", "1"),
        ("int", "'1'"),
        ("string", "1"),
        ("list", "[]"),
        ("quantity", "500m"),
        ("bool", "null"),
    ] {
        accepts(&attributes(&format!("[{{name: a, path: .a, type: {kind}, default: {default}}}]")));
    }
}

#[test]
fn rejects_a_default_that_does_not_fit_the_type() {
    rejects_offline(
        &attributes("[{name: a, path: .a}, {name: b, path: .b, type: int, default: many}]"),
        "spec.attributes[1].default",
        "give an integer",
    );
}

#[test]
fn rejects_a_type_that_a_list_does_not_have() {
    rejects_offline(
        &attributes("[{name: a, path: '$.a[*]', type: string}]"),
        "spec.attributes[0].type",
        "make the type `list`",
    );
}

/// A profile of Secrets with these annotations and this path.
fn secrets(annotations: &str, path: &str) -> String {
    let spec =
        format!("{{targetGVK: {{version: v1, kind: Secret}}, attributes: [{{name: a, path: '{path}'}}]}}");
    let mut profile: serde_json::Value = serde_json::from_str(&profile(&spec)).unwrap();
    profile["metadata"]["annotations"] = serde_json::from_str(annotations).unwrap();
    profile.to_string()
}

#[test]
fn accepts_a_profile_of_secrets_that_can_not_reach_their_values() {
    accepts(&secrets("{}", "$.type"));
    accepts(&secrets("{}", "cel:object.metadata.labels"));
}

#[test]
fn accepts_a_profile_of_secrets_that_may_read_their_values() {
    accepts(&secrets(r#"{"kollect.dev/allow-secret-extraction": "true"}"#, "$.data"));
}

#[test]
fn rejects_a_profile_that_can_reach_the_values_of_secrets() {
    for annotations in ["{}", r#"{"kollect.dev/allow-secret-extraction": "false"}"#] {
        for path in ["$.data.password", "$..password", "cel:object"] {
            rejects_offline(
                &secrets(annotations, path),
                "spec.attributes[0].path",
                "kollect.dev/allow-secret-extraction",
            );
        }
    }
}

#[test]
fn rejects_paths_that_do_not_compile() {
    rejects_offline(
        &attributes("[{name: a, path: .a}, {name: b, path: 'cel:object.spec.'}]"),
        "spec.attributes[1].path",
        "attribute b",
    );
    rejects_offline(&attributes("[{name: a, path: '$.a['}]"), "spec.attributes[0].path", "attribute a");
}

/// A profile without attributes that exports the object itself.
fn export(fields: &str) -> String {
    profile(&format!("{{targetGVK: {{version: v1, kind: Pod}}, export: {{{fields}}}}}"))
}

#[test]
fn accepts_an_export_of_the_object_itself() {
    accepts(&export("mode: Resource"));
    accepts(&export(
        r#"mode: Resource, as: object, include: All, dedupeIdentity: false, prune: {
          defaults: false,
          jsonPointers: [/status/conditions, /metadata/annotations/example.com~1note],
          jsonPaths: ["$.status.conditions[?@.type == 'Progressing']", "{.spec.containers[*].env}", $..nodeName],
          scrubKeys: [licenseKey],
          cel: ["object.spec.replicas == 1 ? '/spec/replicas' : []"],
          preset: status-noise,
        }"#,
    ));
    for preset in ["minimal", "argocd", "flux", "status-noise"] {
        accepts(&export(&format!("mode: Resource, prune: {{preset: {preset}}}")));
    }
    accepts(&profile(
        "{targetGVK: {version: v1, kind: Pod}, attributes: [{name: a, path: .a}], export: {mode: Resource, as: b}}",
    ));
}

#[test]
fn accepts_an_export_that_is_not_switched_on() {
    accepts(&profile(
        "{targetGVK: {version: v1, kind: Pod}, attributes: [{name: resource, path: .a}], export: {include: SpecOnly}}",
    ));
}

#[test]
fn rejects_an_export_without_attributes_and_object() {
    rejects(&export("include: All"), "spec", "export.mode Resource");
    rejects(&export("mode: Attributes"), "spec", "give at least one");
}

#[test]
fn rejects_an_export_under_the_name_of_an_attribute() {
    for (name, export) in [("resource", "mode: Resource"), ("a", "mode: Resource, as: a")] {
        rejects(
            &profile(&format!(
                "{{targetGVK: {{version: v1, kind: Pod}}, attributes: [{{name: b, path: .b}}, {{name: {name}, path: .a}}], export: {{{export}}}}}"
            )),
            "spec",
            "export.as",
        );
    }
}

#[test]
fn rejects_an_export_with_values_that_are_not_known() {
    for (fields, field, says) in [
        ("mode: resource", "spec.export.mode", "did you mean `Resource`?"),
        ("mode: Resource, include: Spec", "spec.export.include", "supported are"),
        ("mode: Resource, as: ''", "spec.export.as", "empty"),
        ("mode: Resource, prune: {preset: gitops}", "spec.export.prune.preset", "supported are"),
        (
            "mode: Resource, prune: {jsonpaths: [$.a]}",
            "spec.export.prune.jsonpaths",
            "did you mean `jsonPaths`?",
        ),
        ("mode: Resource, prune: {jsonPaths: $.a}", "spec.export.prune.jsonPaths", "a list is expected"),
        ("mode: Resource, prune: {jsonPointers: ['']}", "spec.export.prune.jsonPointers[0]", "empty"),
    ] {
        rejects(&export(fields), field, says);
    }
}

#[test]
fn rejects_places_that_can_not_be_read() {
    for (prune, field, says) in [
        ("jsonPaths: [$.a, b]", "spec.export.prune.jsonPaths[1]", "neither a JSONPath"),
        ("jsonPaths: [$]", "spec.export.prune.jsonPaths[0]", "whole object"),
        ("jsonPointers: [a]", "spec.export.prune.jsonPointers[0]", "does not start with"),
        ("scrubKeys: [_]", "spec.export.prune.scrubKeys[0]", "only separators"),
        ("cel: [self.a]", "spec.export.prune.cel[0]", "unknown name `self`"),
    ] {
        rejects_offline(&export(&format!("mode: Resource, prune: {{{prune}}}")), field, says);
    }
}

#[test]
fn rejects_an_export_of_secrets_that_is_not_allowed() {
    rejects_offline(
        &profile("{targetGVK: {version: v1, kind: Secret}, export: {mode: Resource}}"),
        "spec.export.mode",
        "a Secret can't be exported",
    );
}

fn metrics(metrics: &str) -> String {
    profile(&format!(
        "{{targetGVK: {{version: v1, kind: Pod}}, attributes: [{{name: size, path: .spec.size, type: int}}], metrics: {metrics}}}"
    ))
}

#[test]
fn accepts_metrics() {
    accepts(&metrics("[{name: size_total, path: size}]"));
    accepts(&metrics(
        "[{name: size_max, path: size, labels: [namespace, size], type: max}, {name: M, path: size, type: count}]",
    ));
}

#[test]
fn rejects_metrics_that_can_not_be() {
    rejects(&metrics("[{name: n-total, path: size}]"), "spec.metrics[0].name", "begin with a letter");
    rejects(&metrics("[{name: m}]"), "spec.metrics[0].path", "");
    rejects(&metrics("[{name: m, path: size, type: mean}]"), "spec.metrics[0].type", "");
    rejects(&metrics("[{name: m, path: size, labels: [a, b, c, d, e, f]}]"), "spec.metrics[0].labels", "");
    rejects(
        &metrics("[{name: m, path: size}, {name: m, path: size}]"),
        "spec.metrics[1].name",
        "is there already",
    );
    rejects_offline(&metrics("[{name: m, path: none}]"), "spec.metrics[0].path", "no attribute none");
}
