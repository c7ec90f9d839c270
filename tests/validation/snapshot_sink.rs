//! KollectSnapshotSink.

use crate::{accepts, manifest, rejects, rejects_offline};

fn sink(spec: &str) -> String {
    manifest("KollectSnapshotSink", spec)
}

/// A local sink with this beside what it needs.
fn local(fields: &str) -> String {
    sink(&format!("{{type: local, endpoint: /var/lib/kollect, {fields}}}"))
}

#[test]
fn accepts_a_minimal_sink() {
    accepts(&local(""));
    accepts(&sink("{type: local, endpoint: 'file:///var/lib/kollect'}"));
}

#[test]
fn accepts_every_field() {
    accepts(&local(
        "connectionTest: false, cluster: prod, pathTemplate: 'a/{cluster}/{namespace}/{name}{extension}',
         exportMinInterval: 1h, serialization: {format: json},
         layout: {mode: perResource, pathTemplate: '{group}/{kind}/{sourceNamespace}/{sourceName}-{uid}{extension}',
           filename: {groupInPath: always, lowercaseKind: false, maxSegmentLength: 80}},
         provisioning: {mode: existing}, deletionPolicy: Delete",
    ));
    accepts(&local("serialization: {format: yaml}, layout: {mode: document}"));
    accepts(&local("serialization: {}, layout: {}"));
}

#[test]
fn rejects_types_that_this_version_does_not_have() {
    rejects(&sink("{endpoint: /a}"), "spec.type", "missing");
    rejects(&sink("{type: s3, endpoint: 's3://bucket'}"), "spec.type", "supported are `local`");
    rejects(&sink("{type: Local, endpoint: /a}"), "spec.type", "did you mean `local`?");
}

#[test]
fn rejects_an_endpoint_that_is_not_an_absolute_path() {
    rejects(&sink("{type: local}"), "spec", "absolute path");
    rejects(&sink("{type: local, endpoint: exports}"), "spec", "absolute path");
    rejects(&sink("{type: local, endpoint: /a/../b}"), "spec.endpoint", "direct path");
    rejects(&sink("{type: local, endpoint: ..}"), "spec.endpoint", "direct path");
}

#[test]
fn says_what_local_files_cant_be_yet() {
    for (fields, field, says) in [
        (
            "pathTemplate: '{namespace}/{name}/{generation}', layout: {mode: perResource}",
            "spec.pathTemplate",
            "is not a placeholder here",
        ),
        ("serialization: {format: parquet}", "spec.serialization.format", "can't write parquet"),
        ("serialization: {compression: zstd}", "spec.serialization.compression", "can't compress"),
        ("layout: {mode: split}", "spec.layout.mode", "can't write an index"),
        ("layout: {mode: perResource, content: manifest}", "spec.layout.content", "`item`"),
        ("layout: {mode: perResource, index: {enabled: true}}", "spec.layout.index", "remove it"),
        ("options: {mode: '0644'}", "spec.options.mode", "no options"),
    ] {
        rejects_offline(&local(fields), field, says);
    }
}

#[test]
fn rejects_paths_of_inventories_that_lead_astray() {
    for (template, says) in [
        ("'/abs/{namespace}/{name}'", "relative"),
        ("'a\\{namespace}/{name}'", "relative"),
        ("'../{namespace}/{name}'", "names and placeholders only"),
        ("'a/../{namespace}/{name}'", "names and placeholders only"),
        ("'{namespace}/{name}/..'", "names and placeholders only"),
        ("'./{namespace}/{name}'", "names and placeholders only"),
        ("'a//{namespace}/{name}'", "names and placeholders only"),
        ("'{namespace}/{name}/'", "names and placeholders only"),
        ("'{namespace}/x'", "{namespace} and {name}"),
        ("'x/{name}'", "{namespace} and {name}"),
        ("'{namespace}/{name}/{nmae}'", "the placeholders are"),
        ("'{namespace}/{name}/{'", "the placeholders are"),
        ("'{namespace}/{name}/}'", "the placeholders are"),
        ("'{namespace}/{name}/{uid}'", "the placeholders are"),
        ("''", "empty"),
    ] {
        rejects(&local(&format!("pathTemplate: {template}")), "spec.pathTemplate", says);
    }
}

#[test]
fn accepts_paths_with_dots_in_names() {
    accepts(&local("pathTemplate: 'a..b/{namespace}/{name}..{extension}'"));
}

#[test]
fn rejects_paths_of_rows_that_lead_astray() {
    for (template, says) in [
        ("'/{uid}'", "relative"),
        ("'../{uid}'", "names and placeholders only"),
        ("'{kind}/{sourceNamespace}'", "{sourceName}, {name} or {uid}"),
        ("'{uid}/{version}'", "the placeholders are"),
    ] {
        rejects(
            &local(&format!("layout: {{mode: perResource, pathTemplate: {template}}}")),
            "spec.layout.pathTemplate",
            says,
        );
    }
}

#[test]
fn rejects_what_the_schema_does_not_know() {
    rejects(
        &local("serialization: {format: xml}"),
        "spec.serialization.format",
        "supported are `yaml`, `json`",
    );
    rejects(&local("serialization: yaml"), "spec.serialization", "a mapping");
    rejects(
        &local("layout: {mode: tree}"),
        "spec.layout.mode",
        "supported are `document`, `perResource`, `split`",
    );
    rejects(
        &local("layout: {filename: {groupInPath: maybe}}"),
        "spec.layout.filename.groupInPath",
        "supported are",
    );
    for length in ["0", "256", "-1"] {
        rejects(
            &local(&format!("layout: {{filename: {{maxSegmentLength: {length}}}}}")),
            "spec.layout.filename.maxSegmentLength",
            "from 1 to 255",
        );
    }
    for length in ["1.5", "'63'"] {
        rejects(
            &local(&format!("layout: {{filename: {{maxSegmentLength: {length}}}}}")),
            "spec.layout.filename.maxSegmentLength",
            "whole number",
        );
    }
    rejects(&local("layouts: {}"), "spec.layouts", "`layout`?");
    rejects(&local("tls: {}"), "spec", "neither tls nor secretRef");
}
