//! Resource exports of whole objects: exact JSON, nothing removed but what is to be, and nothing secret.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::node::tests::{any_json, any_key};
use super::super::{AttributeSpec, CompileProblem, Document, Extraction, Profile, ProfileSpec, Projection};
use super::*;

const CANARY: &str = "c4n4ry";

fn compile_kind(gvk: Gvk, export: ResourceSpec) -> Result<Profile, Vec<CompileProblem>> {
    Profile::compile(&ProfileSpec { gvk, export: Some(export), ..ProfileSpec::default() })
}

fn compile(export: ResourceSpec) -> Result<Profile, Vec<CompileProblem>> {
    compile_kind(Gvk::new("apps", "v1", "Deployment"), export)
}

/// What a profile gives for an object, which is the same whether the object was read as a whole or not.
fn extract(profile: &Profile, object: &Value) -> Extraction {
    let bytes = object.to_string();
    let whole = profile.evaluate(&Document::parse(bytes.as_bytes()).unwrap());
    let projection = Projection::new([profile], []);
    let projected = profile.evaluate(&Document::parse_projected(bytes.as_bytes(), &projection).unwrap());
    assert_eq!(projected, whole);
    whole
}

fn export(spec: ResourceSpec, object: &Value) -> Value {
    let extraction = extract(&compile(spec).unwrap(), object);
    assert_eq!(extraction.problems, [], "{object}");
    let mut attributes: Value = serde_json::from_str(&extraction.attributes).unwrap();
    attributes["resource"].take()
}

fn prune(prune: PruneSpec) -> ResourceSpec {
    ResourceSpec { prune, ..ResourceSpec::default() }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web"},
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "argocd.argoproj.io/tracking-id": "a:b",
            },
        },
        "spec": {"replicas": 2, "containers": [{"name": "a", "image": "x"}, {"name": "b"}, {"name": "c", "image": "y"}]},
        "status": {"replicas": 2, "conditions": [
            {"type": "Available", "status": "True", "lastTransitionTime": "t"},
            {"type": "Progressing", "status": "True", "lastTransitionTime": "t"}]},
        "extra": 1,
    })
}

#[test]
fn the_defaults_give_metadata_spec_and_status_without_noise_and_identity() {
    let extraction = extract(&compile(ResourceSpec::default()).unwrap(), &deployment());
    assert_eq!(
        extraction.attributes,
        concat!(
            r#"{"resource":{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app":"web"}},"#,
            r#""spec":{"containers":[{"image":"x","name":"a"},{"name":"b"},{"image":"y","name":"c"}],"replicas":2},"#,
            r#""status":{"conditions":[{"lastTransitionTime":"t","status":"True","type":"Available"},"#,
            r#"{"lastTransitionTime":"t","status":"True","type":"Progressing"}],"replicas":2}}}"#
        )
    );
}

#[test]
fn the_sections_are_those_of_the_table() {
    let metadata = json!({"labels": {"a": "b"}, "name": "n", "namespace": "s", "uid": "u"});
    let lean = json!({"labels": {"a": "b"}});
    let with_spec = json!({"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "spec": 1, "status": 2, "other": 3});
    let without = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}, "immutable": true});
    for (include, of_spec, of_data) in [
        (Include::MetadataOnly, json!({"metadata": lean}), json!({"metadata": lean})),
        (Include::SpecOnly, json!({"spec": 1}), json!({"data": {"k": "v"}, "immutable": true})),
        (Include::StatusOnly, json!({"status": 2}), json!({})),
        (
            Include::SpecAndStatus,
            json!({"metadata": lean, "spec": 1, "status": 2}),
            json!({"metadata": lean, "data": {"k": "v"}, "immutable": true}),
        ),
        (
            Include::All,
            json!({"metadata": lean, "spec": 1, "status": 2, "other": 3}),
            json!({"metadata": lean, "data": {"k": "v"}, "immutable": true}),
        ),
    ] {
        let spec = ResourceSpec { include, ..ResourceSpec::default() };
        assert_eq!(export(spec.clone(), &with_spec), of_spec, "{include:?}");
        assert_eq!(export(spec.clone(), &without), of_data, "{include:?}");
        // With its identity the object says its kind in each section, and its name in the metadata.
        let spec = ResourceSpec { dedupe_identity: false, ..spec };
        let mut expected = of_spec;
        expected["apiVersion"] = "v1".into();
        expected["kind"] = "Thing".into();
        if expected.get("metadata").is_some() {
            expected["metadata"] = metadata.clone();
        }
        assert_eq!(export(spec, &with_spec), expected, "{include:?}");
    }
}

#[test]
fn metadata_and_annotations_that_are_left_empty_are_left_out() {
    let object = json!({"metadata": {"name": "n", "resourceVersion": "1", "annotations":
        {"argocd.argoproj.io/tracking-id": "x"}}, "spec": {}});
    assert_eq!(export(ResourceSpec::default(), &object), json!({"spec": {}}));
    let kept = ResourceSpec { dedupe_identity: false, ..ResourceSpec::default() };
    assert_eq!(export(kept, &object), json!({"metadata": {"name": "n"}, "spec": {}}));
    let own = prune(PruneSpec {
        defaults: false,
        json_pointers: texts(&[
            "/metadata/annotations/argocd.argoproj.io~1tracking-id",
            "/metadata/resourceVersion",
        ]),
        ..PruneSpec::default()
    });
    assert_eq!(export(own, &object), json!({"metadata": {"annotations": {}}, "spec": {}}));
}

#[test]
fn without_defaults_everything_is_there() {
    let mut expected = deployment();
    expected.as_object_mut().unwrap().remove("extra");
    let spec = ResourceSpec {
        dedupe_identity: false,
        prune: PruneSpec { defaults: false, ..PruneSpec::default() },
        ..ResourceSpec::default()
    };
    assert_eq!(export(spec, &deployment()), expected);
}

#[test]
fn what_is_not_exported_is_not_even_read() {
    let read = |export| {
        let projection = Projection::new([&compile(export).unwrap()], []);
        let bytes = deployment().to_string();
        serde_json::to_value(projection.parse(bytes.as_bytes()).unwrap()).unwrap()
    };
    let mut object = deployment();
    for noise in ["managedFields", "resourceVersion", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(noise);
    }
    object["metadata"]["annotations"] = json!({});
    assert_eq!(read(ResourceSpec::default()), object);
    assert_eq!(
        read(ResourceSpec { include: Include::StatusOnly, ..ResourceSpec::default() }),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "status": object["status"],
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "labels": {"app": "web"}}})
    );
    // A path of keys and wildcards needs no more either.
    let paths = PruneSpec {
        json_paths: texts(&["$.metadata.*.x", ".spec.containers[*].env"]),
        ..PruneSpec::default()
    };
    assert_eq!(read(prune(paths)), object);
}

#[test]
fn two_profiles_of_one_kind_read_what_each_needs() {
    let attribute = AttributeSpec {
        name: "manager".into(),
        path: "$.metadata.managedFields[*].manager".into(),
        ..AttributeSpec::default()
    };
    let gvk = Gvk::new("apps", "v1", "Deployment");
    let attributes =
        Profile::compile(&ProfileSpec { gvk, attributes: vec![attribute], ..ProfileSpec::default() })
            .unwrap();
    let exports = compile(ResourceSpec::default()).unwrap();
    let bytes = deployment().to_string();
    let projection = Projection::new([&exports, &attributes], []);
    let document = Document::parse_projected(bytes.as_bytes(), &projection).unwrap();
    assert_eq!(attributes.evaluate(&document).attributes, r#"{"manager":["kubectl"]}"#);
    assert_eq!(exports.evaluate(&document), extract(&exports, &deployment()));
}

#[test]
fn the_object_stands_among_the_attributes_in_the_order_of_names() {
    let attribute = |name: &str, path: &str| AttributeSpec {
        name: name.into(),
        path: path.into(),
        ..AttributeSpec::default()
    };
    let profile = Profile::compile(&ProfileSpec {
        gvk: Gvk::new("apps", "v1", "Deployment"),
        attributes: vec![attribute("z", "$.kind"), attribute("a", "cel:object.spec.replicas")],
        export: Some(ResourceSpec {
            name: "it \"self\"".into(),
            include: Include::StatusOnly,
            prune: PruneSpec { json_pointers: texts(&["/status/conditions"]), ..PruneSpec::default() },
            ..ResourceSpec::default()
        }),
        ..ProfileSpec::default()
    })
    .unwrap();
    assert_eq!(
        extract(&profile, &deployment()).attributes,
        r#"{"a":2,"it \"self\"":{"status":{"replicas":2}},"z":"Deployment"}"#
    );
}

/// What removals leave of `$.spec`, of which all cases are parts.
fn pruned(spec: &Value, prune: PruneSpec) -> Value {
    let object = json!({"kind": "Thing", "metadata": {"name": "n"}, "spec": spec});
    let export =
        export(ResourceSpec { include: Include::SpecOnly, prune, ..ResourceSpec::default() }, &object);
    export.get("spec").cloned().unwrap_or(Value::Null)
}

#[test]
fn places_are_removed_by_json_pointers() {
    let spec =
        json!({"a/b": 1, "c~d": 2, "": 3, "l": [1, 2, 3], "o": {"0": "zero", "x": null}, "deep": {"er": {}}});
    for (pointers, expected) in [
        (
            &["/spec/a~1b"][..],
            json!({"c~d": 2, "": 3, "l": [1, 2, 3], "o": {"0": "zero", "x": null}, "deep": {"er": {}}}),
        ),
        (
            &["/spec/c~0d", "/spec/"],
            json!({"a/b": 1, "l": [1, 2, 3], "o": {"0": "zero", "x": null}, "deep": {"er": {}}}),
        ),
        (
            &["/spec/l/0", "/spec/l/2", "/spec/o/0", "/spec/o/x", "/spec/deep/er"],
            json!({"a/b": 1, "c~d": 2, "": 3, "l": [2], "o": {}, "deep": {}}),
        ),
        (
            &["/spec/l/01", "/spec/l/-", "/spec/l/3", "/spec/l/x", "/spec/l/", "/spec/nope/x", "/x"],
            spec.clone(),
        ),
        (&["/spec"], Value::Null),
    ] {
        let prune = PruneSpec { json_pointers: texts(pointers), ..PruneSpec::default() };
        assert_eq!(pruned(&spec, prune), expected, "{pointers:?}");
    }
}

#[test]
fn places_are_removed_by_json_paths_in_every_spelling() {
    let spec = json!({"l": [{"n": "a", "v": 1}, {"n": "b", "v": 2}, {"n": "c", "v": 3}, {"n": "d"}], "m": {"x.y": {"v": 4}, "z": 5}});
    let list = |keep: &[usize]| -> Value {
        let mut spec = spec.clone();
        spec["l"] = keep.iter().map(|i| spec["l"][*i].clone()).collect();
        spec
    };
    for (paths, expected) in [
        (&["$.spec.l[0]"][..], list(&[1, 2, 3])),
        (&[".spec.l[-1]"], list(&[0, 1, 2])),
        (&["{.spec.l[1:3]}"], list(&[0, 3])),
        (&["$['spec']['l'][0,2]"], list(&[1, 3])),
        (&["$.spec.l[?@.v > 1]"], list(&[0, 3])),
        (&["$.spec.l[?@.v]"], list(&[3])),
        (&["$.spec.l[?(@.n == 'b')]"], list(&[0, 2, 3])),
        (&["$.spec.l[::2]", "$.spec.l[0]", "$.spec.l[3]"], list(&[1])),
        (&["$.spec.l[0]", "$.spec.l[1]", "$.spec.l[2]"], list(&[3])),
        (&["$.spec.l[*]"], list(&[])),
        (&["$.spec.nope", "$.spec.l.n", "$.spec.l[9]", "$.x[*]"], spec.clone()),
        (&["$.spec.l[*].n", "$.spec.m"], json!({"l": [{"v": 1}, {"v": 2}, {"v": 3}, {}]})),
        (&["$..v"], json!({"l": [{"n": "a"}, {"n": "b"}, {"n": "c"}, {"n": "d"}], "m": {"x.y": {}, "z": 5}})),
        (&[r".spec.m.x\.y", "$.spec.l[?@.n != $.metadata.name]"], json!({"l": [], "m": {"z": 5}})),
        (&["$.spec.*.*"], json!({"l": [], "m": {}})),
        (&["$.spec[?@.z]"], json!({"l": spec["l"]})),
    ] {
        let prune = PruneSpec { json_paths: texts(paths), ..PruneSpec::default() };
        assert_eq!(pruned(&spec, prune), expected, "{paths:?}");
    }
}

#[test]
fn a_list_within_a_removed_list_and_all_ways_at_once() {
    let spec = json!({"l": [[1, 2], [3, 4], [5, 6]], "m": {"a": 1, "b": 2, "c": 3}});
    let prune = PruneSpec {
        json_pointers: texts(&["/spec/l/0/0", "/spec/m/a"]),
        json_paths: texts(&["$.spec.l[1]", "$.spec.l[1][0]", "$.spec.l[2][-1]"]),
        cel: texts(&["'$.spec.m.b'"]),
        ..PruneSpec::default()
    };
    assert_eq!(pruned(&spec, prune), json!({"l": [[2], [5]], "m": {"c": 3}}));
}

#[test]
fn expressions_give_places_to_remove() {
    let spec = json!({"replicas": 1, "paused": false, "l": [{"n": "a"}, {"n": "b"}, {"n": "c"}]});
    let without = |key: &str| {
        let mut spec = spec.clone();
        spec.as_object_mut().unwrap().remove(key);
        spec
    };
    for (expression, expected) in [
        ("'/spec/replicas'", without("replicas")),
        ("cel:'$.spec.replicas'", without("replicas")),
        ("object.spec.replicas == 1 ? '/spec/replicas' : ''", without("replicas")),
        ("object.spec.replicas == 1 ? ['.spec.replicas'] : []", without("replicas")),
        (
            "{'/spec/replicas': object.spec.replicas == 1, '/spec/paused': object.spec.paused}",
            without("replicas"),
        ),
        ("['{.spec.l[*].n}', '$.spec.l[-1]']", json!({"replicas": 1, "paused": false, "l": [{}, {}]})),
        (
            "object.spec.l.filter(c, c.n != 'b').map(c, '/spec/l/' + (c.n == 'a' ? '0' : '2'))",
            json!({"replicas": 1, "paused": false, "l": [{"n": "b"}]}),
        ),
        ("[]", spec.clone()),
        ("{}", spec.clone()),
        ("null", spec.clone()),
        ("false", spec.clone()),
        ("object.?status.?x", spec.clone()),
        ("'/status/x'", spec.clone()),
    ] {
        let prune = PruneSpec { cel: texts(&[expression]), ..PruneSpec::default() };
        assert_eq!(pruned(&spec, prune), expected, "{expression}");
    }
}

#[test]
fn an_expression_that_fails_exports_nothing_of_the_object() {
    for (expression, message) in [
        ("object.spec.nope", "prune.cel[0]: there is no key `nope`"),
        (
            "true",
            "prune.cel[0]: the result is true, which does not say what to remove; give a path, or a map from paths to bools",
        ),
        (
            "7",
            "prune.cel[0]: the result is a number; give a path, a list of paths, or a map from paths to bools",
        ),
        ("[1]", "prune.cel[0]: the result is a list with something else than paths"),
        ("{'/a': 1}", "prune.cel[0]: the result is a map with something else than bools"),
        ("'$'", "prune.cel[0]: the whole object would be removed"),
        ("'/a~'", "prune.cel[0]: the result has a text that is no JSON pointer"),
        (
            "object.spec.canary",
            "prune.cel[0]: the result has a text that is neither a JSON pointer nor a JSONPath of keys, positions and wildcards",
        ),
        (
            "'$.spec[?@.x]'",
            "prune.cel[0]: the result has a text that is neither a JSON pointer nor a JSONPath of keys, positions and wildcards",
        ),
    ] {
        let profile =
            compile(prune(PruneSpec { cel: texts(&[expression]), ..PruneSpec::default() })).unwrap();
        let object = json!({"metadata": {"name": "n"}, "spec": {"canary": CANARY}});
        let extraction = extract(&profile, &object);
        assert_eq!(extraction.attributes, r#"{"resource":null}"#, "{expression}");
        let told: Vec<_> =
            extraction.problems.iter().map(|p| (p.attribute.as_str(), p.message.as_str())).collect();
        assert_eq!(told, [("resource", message)], "{expression}");
    }
}

#[test]
fn work_without_bound_is_a_problem_and_exports_nothing() {
    let bytes = format!(r#"{{"metadata":{{"name":"n"}},"spec":[{}0]}}"#, "0,".repeat(1_000_000));
    let document = Document::parse(bytes.as_bytes()).unwrap();
    let paths = PruneSpec { json_paths: texts(&["$.spec[*]"]), ..PruneSpec::default() };
    for (spec, message) in [
        (ResourceSpec::default(), "the export of the object visits or copies more than 1000000 values"),
        (prune(paths), "prune.jsonPaths[0]: the path visits or copies more than 1000000 values"),
    ] {
        let extraction = compile(spec).unwrap().evaluate(&document);
        assert_eq!(extraction.attributes, r#"{"resource":null}"#);
        assert_eq!(extraction.problems[0].message, message);
    }
}

#[test]
fn problems_name_the_field_and_come_all_at_once() {
    let problems = compile(ResourceSpec {
        name: String::new(),
        prune: PruneSpec {
            json_pointers: texts(&["/ok", "nope", "", "/a~2"]),
            json_paths: texts(&["$.ok", "nope", "$", "$.a["]),
            scrub_keys: texts(&["ok", "-._"]),
            cel: texts(&["'/ok'", "self", ""]),
            ..PruneSpec::default()
        },
        ..ResourceSpec::default()
    })
    .expect_err("refused");
    let told: Vec<_> = problems.iter().map(|p| p.field.strip_prefix("export.").unwrap()).collect();
    assert_eq!(
        told,
        [
            "as",
            "prune.jsonPointers[1]",
            "prune.jsonPointers[2]",
            "prune.jsonPointers[3]",
            "prune.jsonPaths[1]",
            "prune.jsonPaths[2]",
            "prune.jsonPaths[3]",
            "prune.cel[1]",
            "prune.cel[2]",
            "prune.scrubKeys[1]",
        ]
    );
    assert_eq!(
        problems[1].to_string(),
        "export.prune.jsonPointers[1]: `nope` is not a JSON pointer: it does not start with `/`; write a JSON pointer such as \
         `/metadata/annotations/example.com~1note`, with `~1` for `/` and `~0` for `~`"
    );
}

#[test]
fn the_name_of_an_attribute_is_taken() {
    let attribute =
        AttributeSpec { name: "resource".into(), path: "$.kind".into(), ..AttributeSpec::default() };
    let problems = Profile::compile(&ProfileSpec {
        gvk: Gvk::new("", "v1", "Pod"),
        attributes: vec![attribute],
        export: Some(ResourceSpec::default()),
        ..ProfileSpec::default()
    })
    .expect_err("refused");
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "export.as: there is an attribute `resource` already; give the object another name, or rename the attribute"
        ]
    );
}

#[test]
fn a_secret_is_exported_only_if_that_is_allowed() {
    let secret = Gvk::new("", "v1", "Secret");
    let problems = compile_kind(secret.clone(), ResourceSpec::default()).expect_err("refused");
    assert_eq!(problems[0].field, "export.mode");
    assert!(problems[0].remedy.contains("kollect.dev/allow-full-resource-export"));
    assert!(compile_kind(secret, ResourceSpec { allow_secret: true, ..ResourceSpec::default() }).is_ok());
    assert!(compile_kind(Gvk::new("example.com", "v1", "Secret"), ResourceSpec::default()).is_ok());
}

#[test]
fn every_preset_compiles_and_removes_its_noise() {
    for preset in Preset::ALL {
        assert!(
            compile(prune(PruneSpec { preset: Some(preset), ..PruneSpec::default() })).is_ok(),
            "{preset:?}"
        );
    }
    let removed = |preset, object: &Value| {
        export(prune(PruneSpec { preset: Some(preset), ..PruneSpec::default() }), object)
    };
    assert_eq!(
        removed(Preset::Minimal, &deployment()),
        json!({"metadata": {"labels": {"app": "web"}}, "spec": deployment()["spec"]})
    );
    let object = json!({"metadata": {"name": "n"}, "status": {
        "observedGeneration": 2, "ready": true,
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2, "lastTransitionTime": 1,
            "lastHeartbeatTime": 1, "lastProbeTime": 1, "lastUpdateTime": 1}],
        "parents": [{"name": "gw", "conditions": [{"type": "Accepted", "lastTransitionTime": 1}]}]}});
    assert_eq!(
        removed(Preset::StatusNoise, &object),
        json!({"status": {"ready": true, "conditions": [{"type": "Ready", "status": "True"}],
            "parents": [{"name": "gw", "conditions": [{"type": "Accepted"}]}]}})
    );
    let application = json!({"metadata": {"name": "n", "annotations": {"argocd.argoproj.io/refresh": "hard", "note": "x"}},
        "spec": {"project": "default"},
        "status": {"operationState": {}, "reconciledAt": "t", "history": [], "sync": {"status": "Synced", "comparedTo": {}},
            "health": {"status": "Healthy", "lastTransitionTime": "t"}}});
    assert_eq!(
        removed(Preset::ArgoCd, &application),
        json!({"metadata": {"annotations": {"note": "x"}}, "spec": {"project": "default"},
            "status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}})
    );
    let release = json!({"metadata": {"name": "n", "annotations": {"reconcile.fluxcd.io/requestedAt": "t"}},
        "status": {"lastHandledReconcileAt": "t", "lastAppliedRevision": "1.2.3", "observedGeneration": 1,
            "conditions": [{"type": "Ready", "lastTransitionTime": "t"}],
            "history": [{"chartVersion": "1.2.3", "firstDeployed": "t", "lastDeployed": "t"}]}});
    assert_eq!(
        removed(Preset::Flux, &release),
        json!({"status": {"lastAppliedRevision": "1.2.3", "conditions": [{"type": "Ready"}],
            "history": [{"chartVersion": "1.2.3"}]}})
    );
}

fn scrubbed(spec: &Value, scrub_keys: &[&str]) -> Value {
    pruned(spec, PruneSpec { scrub_keys: texts(scrub_keys), ..PruneSpec::default() })
}

fn gone() -> Value {
    json!({"redacted": true, "reason": "sensitive-key"})
}

#[test]
fn values_of_sensitive_keys_are_replaced() {
    let gone = gone();
    for (spec, expected) in [
        // Each word, at the end of a key, in any case and with any separators.
        (json!({"password": CANARY}), json!({"password": gone})),
        (
            json!({"dbPassword": CANARY, "DB_PASSWORD": CANARY}),
            json!({"dbPassword": gone, "DB_PASSWORD": gone}),
        ),
        (json!({"pass.word": CANARY, "pass-word_": CANARY}), json!({"pass.word": gone, "pass-word_": gone})),
        (json!({"passwd": CANARY, "ROOT-PASSWD": CANARY}), json!({"passwd": gone, "ROOT-PASSWD": gone})),
        (json!({"secret": CANARY, "client_secret": CANARY}), json!({"secret": gone, "client_secret": gone})),
        (json!({"token": CANARY, "bearer-token": CANARY}), json!({"token": gone, "bearer-token": gone})),
        (
            json!({"apikey": CANARY, "api_key": CANARY, "X-API-Key": CANARY}),
            json!({"apikey": gone, "api_key": gone, "X-API-Key": gone}),
        ),
        (
            json!({"privateKey": CANARY, "private_key": CANARY}),
            json!({"privateKey": gone, "private_key": gone}),
        ),
        (
            json!({"credential": CANARY, "credentials": CANARY}),
            json!({"credential": gone, "credentials": gone}),
        ),
        (json!({"auth": CANARY, "_auth": CANARY}), json!({"auth": gone, "_auth": gone})),
        (
            json!({"clientSecret": CANARY, "connectionString": CANARY}),
            json!({"clientSecret": gone, "connectionString": gone}),
        ),
        (
            json!({"AWS_SECRET_ACCESS_KEY": CANARY, "passphrase": CANARY}),
            json!({"AWS_SECRET_ACCESS_KEY": gone, "passphrase": gone}),
        ),
        (json!({"example.com/api-token": CANARY}), json!({"example.com/api-token": gone})),
        // Numbers too. A bool or null says nothing.
        (json!({"password": 12345, "token": 1.5}), json!({"password": gone, "token": gone})),
        (
            json!({"password": null, "requirePassword": true}),
            json!({"password": null, "requirePassword": true}),
        ),
        (json!({"automountServiceAccountToken": false}), json!({"automountServiceAccountToken": false})),
        // At any depth, and in whatever lies below.
        (json!([[{"a": {"password": CANARY, "b": 1}}]]), json!([[{"a": {"password": gone, "b": 1}}]])),
        (json!({"tokens": 3, "token": [CANARY, CANARY]}), json!({"tokens": 3, "token": [gone, gone]})),
        (
            json!({"credential": {"user": CANARY, "on": true, "more": [{"x": CANARY}]}}),
            json!({"credential": {"user": gone, "on": true, "more": [{"x": gone}]}}),
        ),
        // Lists of variables, headers and parameters.
        (
            json!([{"name": "DB_PASSWORD", "value": CANARY}, {"name": "PORT", "value": "80"}]),
            json!([{"name": "DB_PASSWORD", "value": gone}, {"name": "PORT", "value": "80"}]),
        ),
        (
            json!([{"name": "Authorization", "value": CANARY}, {"name": "Accept", "value": "*/*"}]),
            json!([{"name": "Authorization", "value": gone}, {"name": "Accept", "value": "*/*"}]),
        ),
        (json!([{"name": "db.password", "value": CANARY}]), json!([{"name": "db.password", "value": gone}])),
        (
            json!([{"key": "apiToken", "value": {"a": CANARY}}]),
            json!([{"key": "apiToken", "value": {"a": gone}}]),
        ),
        (
            json!([{"name": "token", "type": "string", "default": CANARY}]),
            json!([{"name": "token", "type": "string", "default": gone}]),
        ),
        // Arguments.
        (json!(["run", "--db-password", CANARY, "-v"]), json!(["run", "--db-password", gone, "-v"])),
        (json!(["--token", "--verbose", "x"]), json!(["--token", "--verbose", "x"])),
        // Words within a key are none at its end.
        (
            json!({"tokenExpirationSeconds": 3600, "secretly": "x"}),
            json!({"tokenExpirationSeconds": 3600, "secretly": "x"}),
        ),
        (
            json!({"author": "a", "authority": "b", "passwordPolicy": "c"}),
            json!({"author": "a", "authority": "b", "passwordPolicy": "c"}),
        ),
    ] {
        let result = scrubbed(&spec, &[]);
        assert_eq!(result, expected, "{spec}");
        assert!(!result.to_string().contains(CANARY), "{spec}");
    }
}

#[test]
fn references_to_secrets_stay_readable() {
    for spec in [
        json!({"secretName": "tls"}),
        json!({"secretRef": {"name": "env"}, "imagePullSecrets": [{"name": "registry"}]}),
        json!({"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db-password", "key": "password", "optional": true}}}),
        json!({"secret": {"secretName": "tls", "defaultMode": 420, "items": [{"key": "tls.key", "path": "key.pem", "mode": 256}]}}),
        json!({"sources": [{"secret": {"name": "a", "optional": false}}, {"serviceAccountToken": {"audience": "vault", "expirationSeconds": 3600, "path": "token"}}]}),
        json!({"auth": {"secretRef": {"name": "vault", "namespace": "infra"}}}),
        json!({"auth": {"tokenSecretRef": {"name": "vault-token", "key": "token"}}}),
        json!({"basicAuth": {"username": {"name": "basic", "key": "user"}, "password": {"name": "basic", "key": "password"}}}),
        json!({"bearerTokenSecret": {"name": "scrape", "key": "token"}, "authorization": {"type": "Bearer", "credentials": {"name": "scrape", "key": "t"}}}),
        json!({"password": {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}}),
        json!({"password": {"secretRef": {"name": "db"}}}),
        json!({"privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}, "privateKeySecretRef": {"name": "acme"}}),
        json!({"auth": {"existingSecret": "redis", "enabled": true}, "existingSecret": "redis"}),
        json!({"nginx.ingress.kubernetes.io/auth-secret": "web/basic-auth", "nginx.ingress.kubernetes.io/auth-type": "basic"}),
        json!({"csi.storage.k8s.io/provisioner-secret-name": "ceph", "csi.storage.k8s.io/provisioner-secret-namespace": "rook"}),
        json!({"hard": {"secrets": "10", "count/secrets": "10"}, "tokenRequests": [{"audience": "a"}]}),
        json!({"properties": {"password": {"type": "string", "description": "The password.", "minLength": 8},
            "auth": {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}}}),
        json!({"data": [{"secretKey": "password", "remoteRef": {"key": "db/creds", "property": "password"}}]}),
    ] {
        assert_eq!(scrubbed(&spec, &[]), spec);
    }
}

#[test]
fn what_only_looks_like_a_reference_is_replaced() {
    let gone = gone();
    for (spec, expected) in [
        // A name alone is none where a value is asked for.
        (json!({"password": {"name": CANARY}}), json!({"password": {"name": gone}})),
        (json!({"token": {"key": CANARY}}), json!({"token": {"key": gone}})),
        // Something that no reference has.
        (json!({"secret": {"name": "a", "value": CANARY}}), json!({"secret": {"name": gone, "value": gone}})),
        (
            json!({"secret": {"name": "a", "items": [{"key": "k", "content": CANARY}]}}),
            json!({"secret": {"name": gone, "items": [{"key": gone, "content": gone}]}}),
        ),
        // Names and keys that can't be any.
        (json!({"secret": {"name": format!("{CANARY}+/=")}}), json!({"secret": {"name": gone}})),
        (
            json!({"password": {"name": "a", "key": format!("{CANARY}!")}}),
            json!({"password": {"name": gone, "key": gone}}),
        ),
        (json!({"existingSecret": format!("{CANARY}==")}), json!({"existingSecret": gone})),
        (
            json!({"privateKey": {"algorithm": "RSA", "pem": CANARY}}),
            json!({"privateKey": {"algorithm": gone, "pem": gone}}),
        ),
        (
            json!({"serviceAccountToken": {"path": "p", "jwt": CANARY}}),
            json!({"serviceAccountToken": {"path": gone, "jwt": gone}}),
        ),
        (
            json!({"properties": {"password": {"type": "string", "default": CANARY, "enum": [CANARY]}}}),
            json!({"properties": {"password": {"type": "string", "default": gone, "enum": [gone]}}}),
        ),
        (
            json!({"password": {"type": "string", "content": CANARY}}),
            json!({"password": {"type": gone, "content": gone}}),
        ),
        // The mark itself is only known as a whole.
        (
            json!({"password": {"redacted": true, "reason": CANARY}}),
            json!({"password": {"redacted": true, "reason": gone}}),
        ),
        (json!({"password": gone}), json!({"password": gone})),
    ] {
        let result = scrubbed(&spec, &[]);
        assert_eq!(result, expected, "{spec}");
        assert!(!result.to_string().contains(CANARY), "{spec}");
    }
}

#[test]
fn secrets_in_texts_are_replaced() {
    let gone = r#"{"reason":"sensitive-key","redacted":true}"#;
    for (text, expected) in [
        // URLs.
        (format!("postgres://app:{CANARY}@db:5432/shop?x=1"), "postgres://redacted@db:5432/shop?x=1".into()),
        (format!("https://{CANARY}@github.com/a/b.git"), "https://redacted@github.com/a/b.git".into()),
        (format!("https://u:p@{CANARY}@host/"), "https://redacted@host/".into()),
        (format!("amqp://u:{CANARY}/x?y@host"), "amqp://redacted@host".into()),
        (
            format!("mongodb://u:{CANARY}@a,b/x and redis://:{CANARY}@c"),
            "mongodb://redacted@a,b/x and redis://redacted@c".into(),
        ),
        (format!("jdbc:postgresql://u:{CANARY}@db/x"), "jdbc:postgresql://redacted@db/x".into()),
        ("https://host:8080/@scope/x".into(), "https://host:8080/@scope/x".into()),
        ("http://[::1]:80/a@b me@example.com".into(), "http://[::1]:80/a@b me@example.com".into()),
        ("git@github.com:a/b.git".into(), "git@github.com:a/b.git".into()),
        // JSON.
        (format!(r#" {{"b": 1, "password": "{CANARY}"}} "#), format!(r#"{{"b":1,"password":{gone}}}"#)),
        (
            format!(r#"[{{"name": "API_TOKEN", "value": "{CANARY}"}}]"#),
            format!(r#"[{{"name":"API_TOKEN","value":{gone}}}]"#),
        ),
        (format!(r#"{{"url": "redis://:{CANARY}@r"}}"#), r#"{"url":"redis://redacted@r"}"#.into()),
        (format!("{{\"a\": 1}}\n{{\"token\": \"{CANARY}\"}}"), format!("{{\"a\":1}}\n{{\"token\":{gone}}}")),
        (format!(r#"{{"a": {{"token": "{CANARY}"}}, "a": 1}}"#), r#"{"a":1}"#.into()),
        (r#"{ "b": 1, "a": [ 2.50 ] }"#.into(), r#"{ "b": 1, "a": [ 2.50 ] }"#.into()),
        ("[] or {}".into(), "[] or {}".into()),
        // Lines.
        (format!("password=${CANARY}\ntoken: ${{T:-{CANARY}}}"), "password=redacted\ntoken: redacted".into()),
        (format!("token: {{{{ x | default \"{CANARY}\" }}}}"), "token: redacted".into()),
        (format!("password:\"{CANARY}\""), "password:redacted".into()),
        (format!("password: |{CANARY}"), "password: redacted".into()),
        (format!("--db-password={CANARY}"), "--db-password=redacted".into()),
        (format!("export API_TOKEN={CANARY}"), "export API_TOKEN=redacted".into()),
        (
            format!("a=1\nspring.datasource.password = {CANARY} x\r\nb=2\n"),
            "a=1\nspring.datasource.password = redacted\r\nb=2\n".into(),
        ),
        (
            format!("db:\n  password: \"{CANARY}\"\n  - token: {CANARY}\n  port: 1"),
            "db:\n  password: redacted\n  - token: redacted\n  port: 1".into(),
        ),
        (
            format!("privateKey: |\n  BEGIN\n\n  {CANARY}\nport: 1\n"),
            "privateKey: |\n  redacted\n\n  redacted\nport: 1\n".into(),
        ),
        (
            format!("env:\n- name: DB_PASSWORD\n  value: {CANARY}\n- name: PORT\n  value: 80"),
            "env:\n- name: DB_PASSWORD\n  value: redacted\n- name: PORT\n  value: 80".into(),
        ),
        (
            "password=$(cat /run/x)\nTOKEN=${TOKEN}\ntoken: {{ .Values.token }}".into(),
            "password=$(cat /run/x)\nTOKEN=${TOKEN}\ntoken: {{ .Values.token }}".into(),
        ),
        (
            "auth:\n  secretName: tls\n  existingSecret: redis".into(),
            "auth:\n  secretName: tls\n  existingSecret: redis".into(),
        ),
        ("nginx:1.29".into(), "nginx:1.29".into()),
        ("waiting for the token: it is late".into(), "waiting for the token: it is late".into()),
    ] {
        let spec = json!({"note": text});
        let result = scrubbed(&spec, &[]);
        assert_eq!(result, json!({"note": expected}), "{text}");
        assert!(!result.to_string().contains(CANARY), "{text}");
    }
}

#[test]
fn texts_within_texts_are_looked_into_so_far_and_hidden_from_there_on() {
    let nested = |levels: usize, innermost: Value| {
        (0..levels).fold(innermost, |inner, _| Value::String(json!({"x": inner}).to_string()))
    };
    for levels in 1..6 {
        let result = scrubbed(&nested(levels, json!({"password": CANARY})), &[]).to_string();
        assert!(!result.contains(CANARY) && result.contains("sensitive-key"), "{levels}");
    }
    let harmless = nested(3, json!({"a": 1}));
    assert_eq!(scrubbed(&harmless, &[]), harmless);
}

#[test]
fn keys_of_the_profile_and_of_the_operator_are_sensitive_too() {
    let spec =
        json!({"licenseKey": CANARY, "LICENSE_KEY": CANARY, "vault.pin": CANARY, "spin": 1, "pins": 2});
    let profile = compile(ResourceSpec {
        scrub_keys: texts(&["Vault-PIN"]),
        prune: PruneSpec { scrub_keys: texts(&["license-key"]), ..PruneSpec::default() },
        ..ResourceSpec::default()
    })
    .unwrap();
    let extraction = extract(&profile, &json!({"metadata": {"name": "n"}, "spec": spec}));
    let attributes: Value = serde_json::from_str(&extraction.attributes).unwrap();
    assert_eq!(
        attributes["resource"]["spec"],
        json!({"licenseKey": gone(), "LICENSE_KEY": gone(), "vault.pin": gone(), "spin": 1, "pins": 2})
    );
}

#[test]
fn annotations_with_json_are_scrubbed_where_they_are_exported() {
    let applied = json!({"spec": {"env": [{"name": "TOKEN", "value": CANARY}]}}).to_string();
    let object = json!({"kind": "Thing", "metadata": {"name": "n", "annotations":
        {"kubectl.kubernetes.io/last-applied-configuration": applied, "auth-token": CANARY}}});
    let spec = prune(PruneSpec { defaults: false, ..PruneSpec::default() });
    assert_eq!(
        export(spec, &object)["metadata"]["annotations"],
        json!({"auth-token": gone(), "kubectl.kubernetes.io/last-applied-configuration":
            r#"{"spec":{"env":[{"name":"TOKEN","value":{"reason":"sensitive-key","redacted":true}}]}}"#})
    );
}

#[test]
fn a_release_that_helm_keeps_in_a_config_map_is_hidden() {
    let object = |owner: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n", "labels": {"owner": owner}},
            "data": {"release": CANARY, "note": "x"}})
    };
    let spec = ResourceSpec { include: Include::SpecOnly, ..ResourceSpec::default() };
    assert_eq!(export(spec.clone(), &object("helm")), json!({"data": {"release": gone(), "note": "x"}}));
    assert_eq!(export(spec, &object("me")), json!({"data": {"release": CANARY, "note": "x"}}));
}

#[test]
fn nothing_deep_or_odd_panics_or_shows_a_secret() {
    let nested = |depth| (0..depth).fold(json!({"password": CANARY}), |inner, _| json!([inner]));
    let deep = nested(57);
    let texts =
        ["{", "{\"a\":", "://", "@://@", "a://@", "=", ":", "|", "password: |", "é://ü:ö@ä", "\u{0}://x:y/@"];
    let odd: Vec<Value> = texts.iter().map(|text| json!({"note": text, "password": text})).collect();
    for spec in [deep, Value::from(odd), Value::Null, json!(7), json!({"": {"": CANARY}, "metadata": []})] {
        let plain = spec.to_string().contains("\"\":");
        let result = scrubbed(&spec, &[]).to_string();
        assert!(plain || !result.contains(CANARY));
    }
    let deepest = json!({"metadata": {"name": "n"}, "spec": nested(120)});
    let deepest = extract(&compile(ResourceSpec::default()).unwrap(), &deepest);
    assert_eq!((&*deepest.attributes, deepest.problems.len()), (r#"{"resource":null}"#, 1));
    for metadata in [
        json!({"name": "n", "annotations": [1], "managedFields": 3}),
        json!({"name": "n", "annotations": null}),
    ] {
        let object = json!({"metadata": metadata, "spec": 1});
        extract(&compile(ResourceSpec::default()).unwrap(), &object);
        extract(
            &compile(ResourceSpec { include: Include::All, ..ResourceSpec::default() }).unwrap(),
            &object,
        );
    }
}

// The oracle: removals and sensitive keys, told place by place on plain values.

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Key(String),
    At(usize),
}

type Rule = (&'static str, fn(&[Part], &Value, usize) -> bool);

fn is(part: &Part, key: &str) -> bool {
    *part == Part::Key(key.to_owned())
}

/// JSONPaths, each with what it says of a place: its parts, its value, and the number of its siblings and itself.
const RULES: [Rule; 10] = [
    ("$.spec.a", |place, _, _| matches!(place, [s, a] if is(s, "spec") && is(a, "a"))),
    ("$.spec[*]", |place, _, _| matches!(place, [s, _] if is(s, "spec"))),
    ("$.spec[1]", |place, _, _| matches!(place, [s, Part::At(1)] if is(s, "spec"))),
    ("$.spec[-1]", |place, _, len| matches!(place, [s, Part::At(at)] if is(s, "spec") && at + 1 == len)),
    ("$.spec[0:2]", |place, _, _| matches!(place, [s, Part::At(0 | 1)] if is(s, "spec"))),
    ("$.spec[?@.a]", |place, value, _| matches!(place, [s, _] if is(s, "spec")) && value.get("a").is_some()),
    ("$.spec[*].b", |place, _, _| matches!(place, [s, _, b] if is(s, "spec") && is(b, "b"))),
    ("$..c", |place, _, _| place.last().is_some_and(|last| is(last, "c"))),
    ("$.status..password", |place, _, _| {
        is(&place[0], "status") && place.last().is_some_and(|last| is(last, "password"))
    }),
    ("$.*.b", |place, _, _| matches!(place, [_, b] if is(b, "b"))),
];

fn without(value: &Value, rules: &[Rule], place: &mut Vec<Part>) -> Value {
    let mut kept = |part: Part, child: &Value, len: usize| {
        place.push(part);
        let gone = rules.iter().any(|(_, matches)| matches(place, child, len));
        let kept = (!gone).then(|| without(child, rules, place));
        place.pop();
        kept
    };
    match value {
        Value::Array(items) => {
            items.iter().enumerate().filter_map(|(at, item)| kept(Part::At(at), item, items.len())).collect()
        }
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter_map(|(key, value)| {
                    Some((key.clone(), kept(Part::Key(key.clone()), value, members.len())?))
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

fn hidden(value: &Value, secret: bool) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Array(items) => items.iter().map(|item| hidden(item, secret)).collect(),
        Value::Object(members) => {
            let named =
                members.get("name").and_then(Value::as_str).is_some_and(|name| name.ends_with("password"));
            let member = |(key, value): (&String, &Value)| {
                let secret = secret || key.ends_with("password") || key == "token" || named && key == "value";
                (key.clone(), hidden(value, secret))
            };
            Value::Object(members.iter().map(member).collect())
        }
        _ if secret => gone(),
        other => other.clone(),
    }
}

/// Random JSON with keys that matter.
fn any_section() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "name", "value", "password", "db_password", "token"]).prop_map(str::to_owned),
        1 => any_key(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z ]{0,8}".prop_map(Value::from),
        Just(Value::from("password")),
        Just(Value::from("https://example.com/x?y=z")),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

thread_local! {
    /// A compiled export for each set of two rules.
    static EXPORTS: Vec<(Vec<Rule>, Profile)> = (0..RULES.len())
        .flat_map(|first| (first..RULES.len()).map(move |second| vec![RULES[first], RULES[second]]))
        .map(|rules| {
            let json_paths = rules.iter().map(|(path, _)| (*path).to_owned()).collect();
            let export = prune(PruneSpec { json_paths, ..PruneSpec::default() });
            (rules, compile(export).unwrap())
        })
        .collect();
    /// Exports of all kinds, for objects of all kinds.
    static MANY: Vec<(Profile, Projection)> = {
        let includes = [Include::MetadataOnly, Include::SpecOnly, Include::StatusOnly, Include::SpecAndStatus, Include::All];
        let prunes = [
            PruneSpec::default(),
            PruneSpec { defaults: false, ..PruneSpec::default() },
            PruneSpec {
                json_paths: texts(&["$..a", "$.spec[?@.a == $.a]", "$.*.b", "$[?@.name]", "$.metadata.annotations[?@.a]"]),
                json_pointers: texts(&["/spec/a/0", "/metadata/annotations/b"]),
                cel: texts(&["object.?metadata.?annotations.?a.hasValue() ? '/spec' : '/status'", "'$.*.*.a'"]),
                preset: Some(Preset::StatusNoise),
                ..PruneSpec::default()
            },
            PruneSpec { cel: texts(&["object.spec.a"]), preset: Some(Preset::Minimal), ..PruneSpec::default() },
        ];
        let profile = |include, prune: &PruneSpec, dedupe_identity| {
            let prune = prune.clone();
            compile(ResourceSpec { include, prune, dedupe_identity, ..ResourceSpec::default() }).unwrap()
        };
        includes
            .into_iter()
            .flat_map(|include| prunes.iter().flat_map(move |prune| [true, false].map(|dedupe| profile(include, prune, dedupe))))
            .map(|profile| { let projection = Projection::new([&profile], []); (profile, projection) })
            .collect()
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn an_export_is_the_object_without_exactly_what_is_removed_or_hidden(spec in any_section(), status in any_section()) {
        let object = json!({"kind": "Thing", "metadata": {"name": "n"}, "spec": spec, "status": status});
        let bytes = object.to_string();
        let document = Document::parse(bytes.as_bytes()).unwrap();
        EXPORTS.with(|exports| {
            for (rules, profile) in exports {
                let extraction = profile.evaluate(&document);
                prop_assert_eq!(&extraction.problems, &[]);
                let sections: Map<String, Value> =
                    [("spec", &spec), ("status", &status)].map(|(key, value)| (key.to_owned(), value.clone())).into_iter().collect();
                let kept = without(&Value::Object(sections), rules, &mut Vec::new());
                let expected = json!({"resource": hidden(&kept, false)});
                prop_assert_eq!(&serde_json::from_str::<Value>(&extraction.attributes).unwrap(), &expected, "{:?}", rules[0].0);
            }
            Ok(())
        })?;
    }

    #[test]
    fn an_export_can_not_tell_a_projected_object_from_a_whole_one(
        annotations in any_json(), spec in prop::option::of(any_json()), other in any_json()
    ) {
        let mut object = json!({"apiVersion": "v1", "kind": "Thing", "a": other, "status": other, "metadata": {
            "name": "n", "namespace": "s", "annotations": annotations, "managedFields": other, "generation": 2}});
        if let Some(spec) = spec {
            object["spec"] = spec;
        }
        let bytes = object.to_string();
        let whole = Document::parse(bytes.as_bytes()).unwrap();
        MANY.with(|exports| {
            for (profile, projection) in exports {
                let projected = Document::parse_projected(bytes.as_bytes(), projection).unwrap();
                let extraction = profile.evaluate(&whole);
                prop_assert_eq!(&profile.evaluate(&projected), &extraction, "{:?}", profile);
                // Canonical: it is what writing its tree gives.
                let node: Node<'_> = serde_json::from_str(&extraction.attributes).unwrap();
                prop_assert_eq!(&serde_json::to_string(&node).unwrap(), &extraction.attributes);
            }
            Ok(())
        })?;
    }
}
