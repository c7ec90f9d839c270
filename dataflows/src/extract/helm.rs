//! Helm releases, as Helm 3 keeps them in Secrets and ConfigMaps.
//!
//! ```text
//! data.release ──► base64 (of a Secret: twice) ──► gzip ──► JSON ──► Release: the fields that can be asked for
//!                                                                       │
//! helm:release.<field> ──compile──► Field ───────────────────────────── find ──► value
//! ```
//!
//! A release holds, besides what it is called and which chart it is of, all manifests with the values of all Secrets in
//! them. So a [`Release`] has no place for these: manifest, hooks, templates, files, notes and the chart's values are skipped
//! when it is read, and asking for them does not compile. Of the values that a user gave, those under keys that look
//! sensitive are taken out. That is why a profile of Secrets may ask for a release without being allowed to read their values.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::Read;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::budget::{Exhausted, limited};
use super::node::{Members, Node};
use super::path::{Found, Path, Step};
use super::problem::Refusal;
use super::resource::scrub::{self, SensitiveKeys};
use crate::data::Gvk;

/// Greatest size of a release as it is stored, without its base64.
const MAX_STORED: usize = 4 << 20;

/// Greatest size of a release's JSON.
const MAX_JSON: usize = 32 << 20;

/// Greatest size of one part of it that is kept. Far more than a release has: all of it must fit in an object.
const MAX_PART: usize = 1 << 20;

/// What a gzip stream begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Keys of the given values that are not shown.
static SENSITIVE: LazyLock<SensitiveKeys> = LazyLock::new(|| SensitiveKeys::new([]));

/// Other names of fields.
const ALIASES: [(&str, &str); 8] = [
    ("releaseName", ".name"),
    ("revision", ".version"),
    ("status", ".info.status"),
    ("firstDeployed", ".info.first_deployed"),
    ("lastDeployed", ".info.last_deployed"),
    ("chartName", ".chart.metadata.name"),
    ("chartVersion", ".chart.metadata.version"),
    ("appVersion", ".chart.metadata.appVersion"),
];

/// The fields of `info` that are kept; its notes are a rendered template.
const INFO: [&str; 5] = ["deleted", "description", "first_deployed", "last_deployed", "status"];

const FIELDS: &str = "use releaseName, namespace, revision, status, firstDeployed, lastDeployed, chartName, chartVersion, appVersion, \
                      config, or what lies below chart.metadata or info";

/// What an attribute asks of a release.
#[derive(Debug)]
pub(super) struct Field {
    path: Path,
    /// Whether it lies in the values that the user gave.
    in_config: bool,
}

impl Field {
    /// Compiles what stands after `helm:`, for a profile of a kind.
    pub(super) fn compile(text: &str, gvk: &Gvk) -> Result<Self, Refusal> {
        if !gvk.group.is_empty() || !["Secret", "ConfigMap"].contains(&gvk.kind.as_str()) {
            return Err(Refusal::new(
                format!("`helm:` reads Helm's releases, which are no objects of kind {}", gvk.kind),
                "make the kind of the profile v1 Secret or v1 ConfigMap, wherever Helm keeps its releases",
            ));
        }
        let Some(text) = text.trim().strip_prefix("release").filter(|rest| rest.starts_with(['.', '[']))
        else {
            return Err(Refusal::new(
                "the path after `helm:` does not begin with `release.`",
                format!("write for example `helm:release.chartVersion`; {FIELDS}"),
            ));
        };
        let mut path = Path::compile(text)?;
        if let [Step::Key(name)] = path.reads()
            && let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| alias == name)
            && !path.yields_list()
        {
            path = Path::compile(meant)?;
        }
        let in_config = check(path.reads(), path.yields_list())?;
        Ok(Self { path, in_config })
    }

    /// Whether every value is a list.
    pub(super) fn yields_list(&self) -> bool {
        self.path.yields_list()
    }

    /// Looks the field up.
    pub(super) fn find<'r>(&self, release: &'r Release) -> Result<Found<'r, 'static>, String> {
        let part = if self.in_config {
            release.config.as_ref().map_err(|error| (*error).to_owned())?
        } else {
            &release.plain
        };
        self.path.find(part).map_err(|exhausted: Exhausted| exhausted.describe("path"))
    }
}

/// Whether steps lead to a field of a release that can be asked for, and whether it lies in the values that the user gave.
fn check(steps: &[Step], yields_list: bool) -> Result<bool, Refusal> {
    let keys: Vec<Option<&str>> = steps
        .iter()
        .map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) | Step::Every => None,
        })
        .collect();
    let refused = match keys.as_slice() {
        [Some("config"), ..] => return Ok(true),
        [Some("name" | "namespace" | "version")] if !yields_list => return Ok(false),
        [Some("info"), Some(field)] if INFO.contains(field) && !yields_list => return Ok(false),
        [Some("chart"), Some("metadata"), ..] => return Ok(false),
        [Some(field @ ("manifest" | "hooks")), ..] => (*field).to_owned(),
        [Some(parent @ "info"), Some(field @ "notes"), ..]
        | [
            Some(parent @ "chart"),
            Some(field @ ("values" | "templates" | "files" | "schema" | "lock")),
            ..,
        ] => {
            format!("{parent}.{field}")
        }
        [Some(field), ..] if ["templates", "files", "values", "notes"].contains(field) => (*field).to_owned(),
        _ => {
            return Err(Refusal::new("the path names no single field of a release", FIELDS));
        }
    };
    Err(Refusal::new(format!("`{refused}` of a release may hold secrets and can't be read"), FIELDS))
}

/// What can be asked of a release.
#[derive(Debug)]
pub(super) struct Release {
    /// All but the values that the user gave.
    plain: Node<'static>,
    /// These, without sensitive ones.
    config: Result<Node<'static>, &'static str>,
}

/// The members of a release that are read. The others are skipped without being built.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    namespace: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
    #[serde(borrow)]
    info: Option<StoredInfo<'a>>,
    #[serde(borrow)]
    chart: Option<StoredChart<'a>>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StoredInfo<'a> {
    #[serde(borrow)]
    deleted: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow)]
    first_deployed: Option<&'a RawValue>,
    #[serde(borrow)]
    last_deployed: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StoredChart<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

impl Release {
    /// Reads a release from the text of `data.release`.
    ///
    /// # Errors
    /// Why it can't be read: a lowercase sentence.
    pub(super) fn decode(text: &str) -> Result<Self, &'static str> {
        #[cfg(test)]
        tests::DECODED.set(tests::DECODED.get() + 1);
        let json = json(text)?;
        let stored: Stored<'_> = serde_json::from_slice(&json)
            .map_err(|_| "the Helm release is damaged: it is not the JSON of a release")?;
        Self::new(&stored)
    }

    fn new(stored: &Stored<'_>) -> Result<Self, &'static str> {
        let mut members = vec![
            ("name", scalar(stored.name)?),
            ("namespace", scalar(stored.namespace)?),
            ("version", scalar(stored.version)?),
        ];
        if let Some(info) = &stored.info {
            let info = vec![
                ("deleted", time(info.deleted)?),
                ("description", scalar(info.description)?),
                ("first_deployed", time(info.first_deployed)?),
                ("last_deployed", time(info.last_deployed)?),
                ("status", scalar(info.status)?),
            ];
            members.push(("info", Some(object(info))));
        }
        if let Some(chart) = &stored.chart {
            members.push(("chart", Some(object(vec![("metadata", part(chart.metadata)?)]))));
        }
        let config = part(stored.config).and_then(|mut config| {
            if let Some(config) = &mut config {
                limited(|| scrub::value(config, &SENSITIVE))
                    .map_err(|_| "the values of the Helm release are too many")?;
            }
            Ok(object(vec![("config", config)]))
        });
        Ok(Self { plain: object(members), config })
    }
}

/// An object of the members that are there.
fn object(members: Vec<(&'static str, Option<Node<'static>>)>) -> Node<'static> {
    let members = members.into_iter().filter_map(|(key, node)| Some((Cow::Borrowed(key), node?)));
    Node::Object(Members::new(members.collect()))
}

/// A part of a release as a tree of its own.
fn part(raw: Option<&RawValue>) -> Result<Option<Node<'static>>, &'static str> {
    let Some(raw) = raw else { return Ok(None) };
    if raw.get().len() > MAX_PART {
        return Err("a part of the Helm release is larger than 1 MiB");
    }
    // A reader can't lend its bytes, so that what it gives is owned.
    let mut reader = serde_json::Deserializer::from_reader(raw.get().as_bytes());
    Node::deserialize(&mut reader)
        .map(Some)
        .map_err(|_| "a part of the Helm release is nested deeper than 127 levels")
}

/// A part that is no list or map.
fn scalar(raw: Option<&RawValue>) -> Result<Option<Node<'static>>, &'static str> {
    match part(raw)? {
        Some(Node::Array(_) | Node::Object(_)) => {
            Err("the Helm release is damaged: a field is a list or map that should be none")
        }
        node => Ok(node),
    }
}

/// A time. Helm writes an empty text for none.
fn time(raw: Option<&RawValue>) -> Result<Option<Node<'static>>, &'static str> {
    Ok(scalar(raw)?.filter(|node| node.as_text() != Some("")))
}

/// The JSON of a release from the text of `data.release`.
fn json(text: &str) -> Result<Vec<u8>, &'static str> {
    const TOO_LARGE: &str = "the Helm release is larger than 4 MiB as it is stored";
    // Base64 takes four bytes for three, here at most twice.
    if text.len() > MAX_STORED * 16 / 9 + 16 {
        return Err(TOO_LARGE);
    }
    let mut bytes = unbase64(text.as_bytes())?;
    // A Secret's data is in base64 once more. What Helm stores begins with neither of these when it is.
    if !bytes.starts_with(&GZIP) && !bytes.starts_with(b"{") {
        bytes = unbase64(&bytes)?;
    }
    if bytes.len() > MAX_STORED {
        return Err(TOO_LARGE);
    }
    if !bytes.starts_with(&GZIP) {
        // As Helm wrote them once.
        return Ok(bytes);
    }
    let mut json = Vec::new();
    let limit = u64::try_from(MAX_JSON).unwrap_or(u64::MAX);
    GzDecoder::new(bytes.as_slice())
        .take(limit.saturating_add(1))
        .read_to_end(&mut json)
        .map_err(|_| "the Helm release is damaged: its gzip can't be unpacked")?;
    if json.len() > MAX_JSON { Err("the Helm release is larger than 32 MiB when unpacked") } else { Ok(json) }
}

/// Line breaks are left aside, as Kubernetes does.
fn unbase64(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let broken = text.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    let text: Cow<'_, [u8]> = if broken {
        text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
    } else {
        text.into()
    };
    BASE64_STANDARD.decode(text).map_err(|_| "the Helm release is damaged: it is not in base64")
}
