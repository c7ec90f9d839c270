//! Plausible objects, the same on every run.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

const TEMPLATE: &str = include_str!("../data/deployment.json");

/// The template's texts and, between them, the names of its blanks.
static PIECES: LazyLock<Vec<&str>> = LazyLock::new(|| TEMPLATE.split("@@").collect());

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
    deployment_in(namespace(mix(number)), number, version)
}

/// The same in a namespace of the caller's choice.
pub(crate) fn deployment_in(namespace: String, number: u64, version: u64) -> Deployment {
    let mixed = mix(number);
    let name = format!("workload-{number:06x}-{:x}", mixed & 0xf_ffff);
    let mut json = String::with_capacity(TEMPLATE.len() + 512);
    for (at, piece) in PIECES.iter().enumerate() {
        // Every other piece is a blank. Writing into a string can't fail.
        let _ = match (at % 2, *piece) {
            (1, "name") => write!(json, "{name}"),
            (1, "ns") => write!(json, "{namespace}"),
            (1, "image") => {
                let (service, minor) = (mixed % 300, mixed % 20);
                // As long for every version, so that rows do not grow with their number.
                write!(json, "registry.example.com/platform/service-{service:03}:v1.{minor}.{version:07}")
            }
            (1, "app") => write!(json, "app-{:03}", mixed % 300),
            (1, "replicas") => write!(json, "3"),
            (1, "ready") => write!(json, "{}", version % 4),
            (1, "uid") => write!(json, "{mixed:016x}"),
            (1, blank) => panic!("the template has a blank `{blank}`, which nothing fills"),
            (_, text) => write!(json, "{text}"),
        };
    }
    Deployment { namespace, name, json: json.into_bytes().into() }
}

/// The number of the object with a name.
pub(crate) fn number_of(name: &str) -> u64 {
    let digits = name.split('-').nth(1).unwrap();
    u64::from_str_radix(digits, 16).unwrap()
}

/// A number that looks random, for a number (the finalizer of SplitMix64).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
