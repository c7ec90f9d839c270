//! Plausible objects, the same on every run.

use std::sync::Arc;

const TEMPLATE: &str = include_str!("../data/deployment.json");

/// Eight attributes of a [`deployment`]: name and path.
pub(crate) const ATTRIBUTES: [(&str, &str); 8] = [
    ("name", "$.metadata.name"),
    ("namespace", "$.metadata.namespace"),
    ("kind", "$.kind"),
    ("apiVersion", "$.apiVersion"),
    ("image", "$.spec.template.spec.containers[0].image"),
    ("app", "$.metadata.labels['app.kubernetes.io/name']"),
    ("replicas", "$.spec.replicas"),
    ("ready", "$.status.readyReplicas"),
];

/// How many namespaces the objects lie in.
pub(crate) const NAMESPACES: u64 = 200;

/// A Deployment of 5.7 KB.
pub(crate) struct Deployment {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) json: Arc<[u8]>,
}

/// The namespace of the objects with a number.
pub(crate) fn namespace(number: u64) -> String {
    format!("team-{:03}", number % NAMESPACES)
}

/// One Deployment; `version` changes its image and its ready replicas.
pub(crate) fn deployment(number: u64, version: u64) -> Deployment {
    let mixed = mix(number);
    let name = format!("workload-{number:06x}-{:x}", mixed & 0xf_ffff);
    let namespace = namespace(mixed);
    let image =
        format!("registry.example.com/platform/service-{:03}:v1.{}.{}", mixed % 300, mixed % 20, version);
    let json = TEMPLATE
        .replace("@@name@@", &name)
        .replace("@@ns@@", &namespace)
        .replace("@@image@@", &image)
        .replace("@@app@@", &format!("app-{:03}", mixed % 300))
        .replace("@@replicas@@", "3")
        .replace("@@ready@@", &(version % 4).to_string())
        .replace("@@uid@@", &format!("{mixed:016x}"));
    Deployment { namespace, name, json: json.into_bytes().into() }
}

/// A number that looks random, for a number (the finalizer of SplitMix64).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
