//! What is extracted: a profile for each kind of attribute, and an object for it.

use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use kollect_dataflows::data::Gvk;
use kollect_dataflows::extract::{
    AttributeSpec, Document, Extraction, Preset, Profile, ProfileSpec, Projection, PruneSpec, ResourceSpec,
    ValueType,
};
use serde_json::{Value, json};

use crate::support::objects::{ATTRIBUTES, deployment};

/// Namespace, name and labels take part in every profile: this is what they cost.
pub(crate) const NOTHING: &str = "no attribute";
/// The one that there is a target for.
pub(crate) const EIGHT: &str = "eight attributes, JSONPath";

/// One kind of attribute.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What is written in the profile.
    pub(crate) paths: String,
    profile: Profile,
    projection: Projection,
    pub(crate) object: Arc<[u8]>,
}

impl Kind {
    fn new(name: &'static str, spec: &ProfileSpec, paths: String, object: Arc<[u8]>) -> Self {
        let profile = Profile::compile(spec).unwrap();
        let projection = Projection::new([&profile], []);
        let kind = Self { name, paths, profile, projection, object };
        let extraction = kind.extract();
        assert!(extraction.problems.is_empty(), "{name}: {:?}", extraction.problems);
        let attributes: Value = serde_json::from_str(&extraction.attributes).unwrap();
        let found = |value: &Value| !value.is_null() && *value != json!([]);
        assert!(attributes.as_object().unwrap().values().all(found), "{name}: {attributes}");
        assert_eq!(kind.extract_from_whole().attributes, extraction.attributes, "{name}");
        kind
    }

    /// From the object's bytes to the attributes, as the graph does it.
    pub(crate) fn extract(&self) -> Extraction {
        self.profile.evaluate(&Document::parse_projected(&self.object, &self.projection).unwrap())
    }

    /// The plain way: the whole object is read first.
    pub(crate) fn extract_from_whole(&self) -> Extraction {
        self.profile.evaluate(&Document::parse(&self.object).unwrap())
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Kind> {
    let object = deployment(1, 1).json;
    let deployments = |name, paths: &[(&str, Option<ValueType>)]| {
        let attributes =
            paths.iter().enumerate().map(|(at, (path, value_type))| attribute(at, path, *value_type));
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let spec = ProfileSpec { gvk, attributes: attributes.collect(), ..ProfileSpec::default() };
        let paths: Vec<String> = paths.iter().map(|(path, _)| format!("`{path}`")).collect();
        Kind::new(name, &spec, paths.join(", "), Arc::clone(&object))
    };
    let one = |name, path| deployments(name, &[(path, None)]);
    let eight = deployments(EIGHT, &ATTRIBUTES.map(|(_, path)| (path, None)));
    vec![
        deployments(NOTHING, &[]),
        Kind { paths: "those of the graph's bench".to_owned(), ..eight },
        one("JSONPath, plain", "$.spec.replicas"),
        one("JSONPath, wildcard", "$.spec.template.spec.containers[*].image"),
        one("JSONPath, filter", "$.spec.template.spec.containers[?@.name == 'app'].image"),
        one("JSONPath, recursive", "$..image"),
        one("CEL, cheap", "cel:object.spec.replicas > 1"),
        one("CEL, macro", "cel:object.spec.template.spec.containers.all(c, c.image.startsWith('registry.'))"),
        one(
            "CEL, with library",
            "cel:object.spec.template.spec.containers.map(c, quantity(c.?resources.?requests.?cpu.orValue('0'))).sum()",
        ),
        deployments(
            "typed conversion, four",
            &[
                ("$.spec.replicas", Some(ValueType::String)),
                ("$.metadata.resourceVersion", Some(ValueType::Int)),
                ("$.metadata.creationTimestamp", Some(ValueType::Timestamp)),
                ("$.spec.template.spec.containers[0].resources.requests.memory", Some(ValueType::Quantity)),
            ],
        ),
        helm(),
        resource("Resource export", PruneSpec::default(), "default pruning", &object),
        resource(
            "Resource export, pruned",
            PruneSpec {
                preset: Some(Preset::StatusNoise),
                json_pointers: vec!["/metadata/annotations/checksum~1config".to_owned()],
                json_paths: vec!["$.spec.template.spec.containers[*].env".to_owned()],
                cel: vec!["{'/spec/replicas': object.spec.replicas == 3}".to_owned()],
                ..PruneSpec::default()
            },
            "the preset `status-noise`, a pointer, a path with a wildcard, an expression",
            &object,
        ),
    ]
}

fn attribute(at: usize, path: &str, value_type: Option<ValueType>) -> AttributeSpec {
    AttributeSpec { name: format!("a{at}"), path: path.to_owned(), value_type, ..AttributeSpec::default() }
}

fn resource(name: &'static str, prune: PruneSpec, description: &str, object: &Arc<[u8]>) -> Kind {
    let spec = ProfileSpec {
        gvk: Gvk::new("apps", "v1", "Deployment"),
        export: Some(ResourceSpec { prune, ..ResourceSpec::default() }),
        ..ProfileSpec::default()
    };
    Kind::new(name, &spec, description.to_owned(), Arc::clone(object))
}

/// A release with ten manifests and as many templates of 5.7 KB, which extraction has to skip.
fn helm() -> Kind {
    let manifests: Vec<String> =
        (0..10).map(|number| String::from_utf8(deployment(number, 0).json.to_vec()).unwrap()).collect();
    let templates: Vec<Value> = manifests
        .iter()
        .map(|text| json!({"name": "templates/web.yaml", "data": BASE64_STANDARD.encode(text)}))
        .collect();
    let release = json!({
        "name": "shop", "namespace": "prod", "version": 7,
        "info": {"first_deployed": "2026-01-02T03:04:05Z", "last_deployed": "2026-02-03T04:05:06Z", "status": "deployed"},
        "chart": {"metadata": {"name": "web", "version": "1.2.3", "appVersion": "v9", "apiVersion": "v2"}, "templates": templates},
        "config": {"replicas": 3, "image": {"tag": "v9"}},
        "manifest": manifests.join("\n---\n"),
    });
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(release.to_string().as_bytes()).unwrap();
    let packed = BASE64_STANDARD.encode(encoder.finish().unwrap());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": {"name": "sh.helm.release.v1.shop.v7", "namespace": "prod", "uid": "u", "labels": {"owner": "helm"}},
        "data": {"release": BASE64_STANDARD.encode(packed)},
    });
    let paths =
        ["releaseName", "revision", "chartVersion", "config.image.tag"].map(|f| format!("helm:release.{f}"));
    let attributes = paths.iter().enumerate().map(|(at, path)| attribute(at, path, None)).collect();
    let spec = ProfileSpec { gvk: Gvk::new("", "v1", "Secret"), attributes, ..ProfileSpec::default() };
    let object: Arc<[u8]> = secret.to_string().into_bytes().into();
    let size = release.to_string().len() / 1_000;
    Kind::new("Helm release, four", &spec, format!("a release of {size} KB, unpacked"), object)
}
