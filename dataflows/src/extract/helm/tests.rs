//! Attributes from Helm releases, packed here as Helm packs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::Cell;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{AttributeSpec, Document, Extraction, Profile, ProfileSpec, Projection, ValueType};
use super::*;

thread_local! {
    /// How many releases were decoded.
    pub(super) static DECODED: Cell<usize> = const { Cell::new(0) };
}

fn release() -> Value {
    json!({
        "name": "shop", "namespace": "prod", "version": 7,
        "info": {
            "first_deployed": "2024-01-02T03:04:05.123456789+01:00", "last_deployed": "2025-01-02T03:04:05.5+01:00", "deleted": "",
            "description": "Upgrade complete", "status": "deployed", "notes": "canary", "resources": {"v1/Secret": ["canary"]},
        },
        "chart": {
            "metadata": {"name": "web", "version": "1.2.3", "appVersion": "v9", "apiVersion": "v2", "keywords": ["a", "b"],
                "annotations": {"example.com/team": "x"}, "dependencies": [{"name": "redis"}, {"name": "postgres"}]},
            "lock": "canary", "values": {"replicas": "canary"}, "schema": "canary", "files": [{"name": "canary", "data": "canary"}],
            "templates": [{"name": "canary", "data": "canary"}],
        },
        "config": {"replicas": 3, "image": {"tag": "v9"}, "adminPassword": "canary", "auth": {"user": "canary"},
            "db": {"API_KEY": "canary", "tokens": 3, "private-key": "canary"}, "list": [{"clientSecret": "canary"}],
            "env": [{"name": "DB_PASSWORD", "value": "canary"}, {"name": "LEVEL", "value": "info"}]},
        "manifest": "canary", "hooks": [{"name": "canary", "manifest": "canary"}],
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn packed(release: &Value) -> String {
    BASE64_STANDARD.encode(gzip(release.to_string().as_bytes()))
}

fn config_map(data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"release": data},
        "metadata": {"name": "sh.helm.release.v1.shop.v7", "labels": {"owner": "helm", "name": "shop"}}})
}

fn secret(data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "data": {"release": BASE64_STANDARD.encode(data)},
        "metadata": {"name": "sh.helm.release.v1.shop.v7"}})
}

fn attribute(path: &str) -> AttributeSpec {
    AttributeSpec { name: path.into(), path: path.into(), ..AttributeSpec::default() }
}

fn compile(kind: &str, attributes: Vec<AttributeSpec>) -> Result<Profile, Vec<super::super::CompileProblem>> {
    Profile::compile(&ProfileSpec { gvk: Gvk::new("", "v1", kind), attributes, ..ProfileSpec::default() })
}

fn evaluate(attributes: Vec<AttributeSpec>, object: &Value) -> Extraction {
    let profile = compile(object["kind"].as_str().unwrap(), attributes).unwrap();
    let bytes = object.to_string();
    let whole = profile.evaluate(&Document::parse(bytes.as_bytes()).unwrap());
    let projection = Projection::new([&profile], []);
    assert_eq!(profile.evaluate(&Document::parse_projected(bytes.as_bytes(), &projection).unwrap()), whole);
    whole
}

/// The value or the problem of one path.
fn value(path: &str, object: &Value) -> Result<Value, String> {
    let Extraction { attributes, problems } = evaluate(vec![attribute(path)], object);
    match problems.first() {
        Some(problem) => Err(problem.message.clone()),
        None => Ok(serde_json::from_str::<Value>(&attributes).unwrap()[path].clone()),
    }
}

#[test]
fn fields_are_those_of_the_release_in_secrets_and_config_maps() {
    let redacted = json!({"redacted": true, "reason": "sensitive-key"});
    let data = packed(&release());
    for object in [secret(&data), config_map(&data)] {
        for (path, expected) in [
            ("helm:release.releaseName", json!("shop")),
            ("helm:release.name", json!("shop")),
            (" helm: release.name ", json!("shop")),
            ("helm:release['name']", json!("shop")),
            ("helm:release.namespace", json!("prod")),
            ("helm:release.revision", json!(7)),
            ("helm:release.version", json!(7)),
            ("helm:release.status", json!("deployed")),
            ("helm:release.info.status", json!("deployed")),
            ("helm:release.info.description", json!("Upgrade complete")),
            ("helm:release.firstDeployed", json!("2024-01-02T03:04:05.123456789+01:00")),
            ("helm:release.lastDeployed", json!("2025-01-02T03:04:05.5+01:00")),
            ("helm:release.info.last_deployed", json!("2025-01-02T03:04:05.5+01:00")),
            ("helm:release.info.deleted", Value::Null),
            ("helm:release.chartName", json!("web")),
            ("helm:release.chartVersion", json!("1.2.3")),
            ("helm:release.chart.metadata.version", json!("1.2.3")),
            ("helm:release.appVersion", json!("v9")),
            ("helm:release.chart.metadata.keywords", json!(["a", "b"])),
            ("helm:release.chart.metadata.keywords[-1]", json!("b")),
            ("helm:release.chart.metadata.annotations['example.com/team']", json!("x")),
            ("helm:release.chart.metadata.dependencies[*].name", json!(["redis", "postgres"])),
            ("helm:release.chart.metadata.nope", Value::Null),
            ("helm:release.chart.metadata.nope[*]", json!([])),
            ("helm:release.config.image.tag", json!("v9")),
            ("helm:release.config.adminPassword", redacted.clone()),
            ("helm:release.config.auth.user", redacted.clone()),
            ("helm:release.config..tag", json!(["v9"])),
            (
                "helm:release.config",
                json!({"replicas": 3, "image": {"tag": "v9"}, "adminPassword": redacted, "auth": {"user": redacted},
                    "db": {"API_KEY": redacted, "tokens": 3, "private-key": redacted}, "list": [{"clientSecret": redacted}],
                    "env": [{"name": "DB_PASSWORD", "value": redacted}, {"name": "LEVEL", "value": "info"}]}),
            ),
        ] {
            assert_eq!(value(path, &object), Ok(expected), "{path} of {}", object["kind"]);
        }
    }
}

#[test]
fn what_can_not_be_asked_for_does_not_compile() {
    for path in [
        "manifest",
        "hooks",
        "hooks[0].manifest",
        "templates",
        "files",
        "values",
        "notes",
        "info.notes",
        "chart.values",
        "chart.values.replicas",
        "chart.templates[*].data",
        "chart.files",
        "chart.schema",
        "chart.lock",
        "chart['values']",
    ] {
        let problems = compile("Secret", vec![attribute(&format!("helm:release.{path}"))]).expect_err(path);
        assert!(
            problems[0].message.contains("may hold secrets and can't be read"),
            "{path}: {:?}",
            problems[0]
        );
        assert!(problems[0].remedy.contains("chartVersion") && problems[0].field == "attributes[0].path");
    }
    for path in [
        "*",
        "['name','manifest']",
        "[?@.manifest]",
        "chart",
        "chart.*",
        "chart..values",
        "chart.dependencies",
        "info",
        "info.*",
        "info.resources",
        "info..status",
        "name.x",
        "name[?$.manifest]",
        "chartName.x",
        "status[*]",
        "config[?$.manifest]",
        "nope",
        "config[?@ == $.name]",
        "releasename",
    ] {
        let problems = compile("Secret", vec![attribute(&format!("helm:release.{path}"))]).expect_err(path);
        assert_eq!(problems[0].message, "the path names no single field of a release", "{path}");
    }
    for path in [
        "helm:",
        "helm:release",
        "helm:releases.name",
        "helm:name",
        "helm:$.name",
        "helm:release name",
        "helm:release..",
    ] {
        assert!(compile("ConfigMap", vec![attribute(path)]).is_err(), "{path}");
    }
    for path in ["helm:release..manifest", "helm:release.", "helm:release[0"] {
        assert!(compile("ConfigMap", vec![attribute(path)]).is_err(), "{path}");
    }
    let problems = compile("Pod", vec![attribute("helm:release.name")]).expect_err("refused");
    assert_eq!(problems[0].message, "`helm:` reads Helm's releases, which are no objects of kind Pod");
    let spec = ProfileSpec {
        gvk: Gvk::new("example.com", "v1", "Secret"),
        attributes: vec![attribute("helm:release.name")],
        ..ProfileSpec::default()
    };
    assert!(Profile::compile(&spec).is_err());
}

#[test]
fn an_object_that_is_no_release_has_no_value() {
    let mut others = vec![
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "s"}, "data": {"release": "?"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}}),
    ];
    let mut unlabelled = config_map(&packed(&release()));
    unlabelled["metadata"]["labels"] = json!({"owner": "me"});
    others.push(unlabelled);
    for object in others {
        let with = |edit: fn(&mut AttributeSpec)| {
            let mut spec = AttributeSpec { name: "x".into(), ..attribute("helm:release.name") };
            edit(&mut spec);
            evaluate(vec![spec], &object)
        };
        let row = |attributes: &str| Extraction { attributes: attributes.into(), problems: Vec::new() };
        assert_eq!(with(|_| {}), row(r#"{"x":null}"#));
        assert_eq!(with(|spec| spec.optional = true), row("{}"));
        assert_eq!(with(|spec| spec.default = Some(json!("none"))), row(r#"{"x":"none"}"#));
    }
}

#[test]
fn a_release_that_can_not_be_read_is_a_problem() {
    let whole = gzip(release().to_string().as_bytes());
    let encoded = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let array = |items: usize| format!("{{\"config\":[{}0]}}", "0,".repeat(items));
    for (data, message) in [
        ("%".to_owned(), "the Helm release is damaged: it is not in base64"),
        (packed(&release())[1..].to_owned(), "the Helm release is damaged: it is not in base64"),
        (encoded(&whole[..whole.len() / 2]), "the Helm release is damaged: its gzip can't be unpacked"),
        (encoded(&flipped), "the Helm release is damaged: its gzip can't be unpacked"),
        (encoded(&GZIP), "the Helm release is damaged: its gzip can't be unpacked"),
        (encoded(&gzip(b"")), "the Helm release is damaged: it is not the JSON of a release"),
        (encoded(&gzip(b"{\"name\":")), "the Helm release is damaged: it is not the JSON of a release"),
        (encoded(&gzip(b"7")), "the Helm release is damaged: it is not the JSON of a release"),
        (packed(&json!({"info": 7})), "the Helm release is damaged: it is not the JSON of a release"),
        (
            packed(&json!({"info": {"status": ["canary"]}})),
            "the Helm release is damaged: a field is a list or map that should be none",
        ),
        (encoded(&gzip(&vec![b' '; MAX_JSON + 1])), "the Helm release is larger than 32 MiB when unpacked"),
        (encoded(&vec![b'{'; MAX_STORED + 1]), "the Helm release is larger than 4 MiB as it is stored"),
        ("A".repeat(9 << 20), "the Helm release is larger than 4 MiB as it is stored"),
        (packed(&json!({"name": "a".repeat(MAX_PART)})), "a part of the Helm release is larger than 1 MiB"),
    ] {
        for object in [secret(&data), config_map(&data)] {
            assert_eq!(value("helm:release.status", &object), Err(message.to_owned()), "{}", object["kind"]);
        }
    }
    for mut object in [secret(""), config_map("")] {
        object["data"] = json!({"other": "x"});
        let expected = "the object is labelled as a Helm release, but has no data.release";
        assert_eq!(value("helm:release.status", &object), Err(expected.to_owned()));
    }
    // Of the user's values only who asks for them.
    let deep = format!("{{\"name\":\"shop\",\"config\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (json, message) in [
        (array(MAX_PART), "a part of the Helm release is larger than 1 MiB"),
        (deep, "a part of the Helm release is nested deeper than 127 levels"),
    ] {
        let object = config_map(&encoded(&gzip(json.as_bytes())));
        assert_eq!(value("helm:release.config", &object), Err(message.to_owned()));
        assert!(value("helm:release.name", &object).is_ok());
    }
}

#[test]
fn a_release_is_read_however_it_is_written() {
    let json = release().to_string();
    let folded: String = packed(&release())
        .as_bytes()
        .chunks(60)
        .map(|line| format!("{}\r\n", str::from_utf8(line).unwrap()))
        .collect();
    for data in [BASE64_STANDARD.encode(json), folded] {
        for object in [secret(&data), config_map(&data)] {
            assert_eq!(value("helm:release.name", &object), Ok(json!("shop")));
        }
    }
    for (sparse, expected) in [
        (json!({}), Value::Null),
        (json!({"name": null, "info": null, "chart": null, "config": null}), Value::Null),
    ] {
        for field in ["name", "status", "chartName", "config"] {
            assert_eq!(
                value(&format!("helm:release.{field}"), &config_map(&packed(&sparse))),
                Ok(expected.clone()),
                "{field}"
            );
        }
    }
}

#[test]
fn fields_get_the_type_of_their_attribute() {
    let typed = |path: &str, value_type| AttributeSpec { value_type: Some(value_type), ..attribute(path) };
    let extraction = evaluate(
        vec![
            typed("helm:release.lastDeployed", ValueType::Timestamp),
            typed("helm:release.revision", ValueType::String),
        ],
        &secret(&packed(&release())),
    );
    assert_eq!(
        extraction.attributes,
        r#"{"helm:release.lastDeployed":"2025-01-02T02:04:05.500Z","helm:release.revision":"7"}"#
    );
}

#[test]
fn a_release_is_decoded_once_an_object() {
    let paths = ["name", "status", "config", "chart.metadata", "revision"];
    let attributes = || paths.iter().map(|path| attribute(&format!("helm:release.{path}"))).collect();
    let (first, second) =
        (compile("Secret", attributes()).unwrap(), compile("Secret", attributes()).unwrap());
    let bytes = secret(&packed(&release())).to_string();
    let document = Document::parse(bytes.as_bytes()).unwrap();
    let before = DECODED.get();
    assert_eq!(first.evaluate(&document), second.evaluate(&document));
    assert_eq!(DECODED.get() - before, 1);
    let damaged = secret("%").to_string();
    let document = Document::parse(damaged.as_bytes()).unwrap();
    assert_eq!(first.evaluate(&document).problems.len(), paths.len());
    assert_eq!(DECODED.get() - before, 2);
    // And only if someone asks.
    let other = compile("Secret", vec![attribute("$.type")]).unwrap();
    other.evaluate(&Document::parse(bytes.as_bytes()).unwrap());
    assert_eq!(DECODED.get() - before, 2);
}

#[test]
fn nothing_secret_comes_out_of_a_release() {
    let paths =
        ["name", "namespace", "version", "info.status", "info.description", "chart.metadata", "config"];
    let mut attributes: Vec<_> =
        paths.iter().map(|path| attribute(&format!("helm:release.{path}"))).collect();
    attributes.push(attribute("$.type"));
    let object = secret(&packed(&release()));
    let extraction = evaluate(attributes, &object);
    assert!(!format!("{extraction:?}").contains("canary"), "{extraction:?}");
    let bytes = object.to_string();
    let document = Document::parse(bytes.as_bytes()).unwrap();
    assert!(!format!("{:?} {document:?}", document.release()).contains("shop\""));
    // Reading a release opens the Secret to nobody else.
    let whole = Profile::compile(&ProfileSpec {
        gvk: Gvk::new("", "v1", "Pod"),
        attributes: vec![attribute("$")],
        ..ProfileSpec::default()
    });
    assert!(!whole.unwrap().evaluate(&document).attributes.contains("release\":"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_payload_gives_a_row(bytes in prop::collection::vec(any::<u8>(), 0..200), layers in 0..8_u8) {
        let mut data = bytes;
        if layers & 1 != 0 {
            data = gzip(&data);
        }
        if layers & 2 != 0 {
            data.splice(0..0, *b"{");
        }
        let text = if layers & 4 != 0 { BASE64_STANDARD.encode(&data) } else { String::from_utf8_lossy(&data).into_owned() };
        for object in [secret(&text), config_map(&text)] {
            let _ = value("helm:release.config", &object);
        }
    }

    #[test]
    fn a_damaged_release_is_a_problem_or_a_release(at in any::<prop::sample::Index>(), byte: u8) {
        let mut text = packed(&release()).into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Ok(name) = value("helm:release.name", &config_map(&text)) {
            prop_assert_eq!(name, json!("shop"));
        }
    }
}
