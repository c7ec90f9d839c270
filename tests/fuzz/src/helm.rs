//! Helm releases: any bytes in place of a release, bare and packed as Helm packs them.

use std::io::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use kollect_dataflows::data::{Gvk, PlainValue};
use kollect_dataflows::extract::{Extraction, ProfileSpec, ResourceSpec};
use serde_json::{Value, json};

use crate::extraction::{Compiled, attribute, value_of};

/// Everything that can be asked of a release, more or less.
const PATHS: [&str; 19] = [
    "helm:release.releaseName",
    "helm:release.name",
    "helm:release.namespace",
    "helm:release.revision",
    "helm:release.status",
    "helm:release.info.description",
    "helm:release.firstDeployed",
    "helm:release.lastDeployed",
    "helm:release.info.deleted",
    "helm:release.chartName",
    "helm:release.chartVersion",
    "helm:release.appVersion",
    "helm:release.chart.metadata",
    "helm:release.chart.metadata.dependencies[*].name",
    "helm:release.chart.metadata.keywords[?@ != 'a']",
    "helm:release.config",
    "helm:release.config.*",
    "helm:release.config..tag",
    "$.metadata.name",
];

/// Checks an input: the bytes of a release.
pub fn check(input: &[u8]) {
    // As they are: bytes that came to harm, or that nobody has packed.
    let text = String::from_utf8_lossy(input);
    extract_map(&text);
    extract_secret(&text);
    // As Helm packed them once, in base64 only, and as it does now.
    let text = BASE64_STANDARD.encode(input);
    let (encoded, of_secret) = (extract_map(&text), extract_secret(&text));
    let packed = extract_both(input);
    if input.starts_with(b"{") {
        assert_eq!(of_secret, encoded, "a Secret gives something else than a ConfigMap");
        assert_eq!(packed, encoded, "gzip makes a difference");
    }
    if let Ok(PlainValue(release @ Value::Object(_))) = serde_json::from_slice(input) {
        check_secrets(&release);
    }
}

/// Nothing that may hold a secret makes a difference to what comes out.
fn check_secrets(release: &Value) {
    let [one, another] = ["one", "another"].map(|secret| {
        let mut release = release.clone();
        for field in ["manifest", "hooks"] {
            release[field] = secret.into();
        }
        for (parent, fields) in
            [("info", &["notes"][..]), ("chart", &["values", "templates", "files", "schema", "lock"])]
        {
            if let Some(parent) = release.get_mut(parent).and_then(Value::as_object_mut) {
                parent.extend(fields.iter().map(|field| ((*field).to_owned(), secret.into())));
            }
        }
        if let Some(config) = release.get_mut("config") {
            hide(config, secret);
        }
        extract_both(release.to_string().as_bytes())
    });
    assert_eq!(one, another, "what may hold a secret comes out");
}

/// Puts secrets into all maps, under keys that say so.
fn hide(value: &mut Value, secret: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secret)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| hide(member, secret));
            for key in ["password", "API_KEY", "clientSecret"] {
                members.insert(key.to_owned(), json!({ "v": secret }));
            }
        }
        _ => {}
    }
}

/// What comes out of a release packed as Helm packs it.
fn extract_both(release: &[u8]) -> Extraction {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(release).unwrap();
    let text = BASE64_STANDARD.encode(encoder.finish().unwrap());
    let extraction = extract_map(&text);
    assert_eq!(extract_secret(&text), extraction, "a Secret gives something else than a ConfigMap");
    extraction
}

fn extract_map(text: &str) -> Extraction {
    static MAPS: LazyLock<Compiled> = LazyLock::new(|| compile("ConfigMap", Some(ResourceSpec::default())));
    static NOTHING: LazyLock<Value> = LazyLock::new(|| resource(&MAPS.extract(&config_map(""))));
    let extraction = MAPS.extract(&config_map(text));
    // The object as a whole holds the release too, and shows nothing of it.
    assert_eq!(resource(&extraction), *NOTHING, "the release is exported with its object");
    let mut attributes = PlainValue::parse(&extraction.attributes).unwrap();
    attributes.as_object_mut().unwrap().remove("resource");
    Extraction { attributes: attributes.to_string(), ..extraction }
}

fn resource(extraction: &Extraction) -> Value {
    value_of(extraction, "resource").unwrap()
}

fn config_map(text: &str) -> Vec<u8> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"release": text},
        "metadata": {"name": "sh.helm.release.v1.shop.v7", "labels": {"owner": "helm"}}});
    object.to_string().into_bytes()
}

fn extract_secret(text: &str) -> Extraction {
    static SECRETS: LazyLock<Compiled> = LazyLock::new(|| compile("Secret", None));
    // A Secret's values are in base64, whatever they are.
    let object = json!({"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "data": {"release": BASE64_STANDARD.encode(text)},
        "metadata": {"name": "sh.helm.release.v1.shop.v7", "labels": {"owner": "helm"}}});
    SECRETS.extract(object.to_string().as_bytes())
}

fn compile(kind: &str, export: Option<ResourceSpec>) -> Compiled {
    let attributes = PATHS.iter().enumerate().map(|(at, path)| attribute(&format!("{at:02}"), path));
    let gvk = Gvk::new("", "v1", kind);
    let spec = ProfileSpec { gvk, attributes: attributes.collect(), allow_secrets: false, export };
    Compiled::new(&spec).unwrap_or_else(|problems| panic!("{problems:?}"))
}
