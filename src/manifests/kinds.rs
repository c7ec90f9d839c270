//! From documents to resources of known kinds.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::documents::Place;
use super::rules::Rules;
use super::schema::{self, Flaw};
use super::{DEFAULT_NAMESPACE, Environment, ManifestProblem, Manifests, Origin, reason, resource, secrets};
use crate::api;
use crate::catalog::{Incomplete, Namespace, ResourceName, Unusable};

/// What the names of our kinds begin with.
const OUR_PREFIX: &str = "Kollect";

/// How deep lists may lie in lists.
const DEEPEST_LIST: usize = 8;

/// Kinds that are gone for good, and what replaces them.
const REMOVED: [(&str, &str); 8] = [
    ("KollectSink", "use KollectDatabaseSink or KollectSnapshotSink"),
    (
        "KollectHub",
        "run one operator a cluster; sinks share a database and tell clusters apart by spec.cluster",
    ),
    ("KollectPublication", "use a KollectInventory with sinks"),
    ("KollectClusterProfile", "use a KollectProfile in a namespace"),
    ("KollectClusterSnapshotSink", "use a KollectSnapshotSink in the inventory's namespace"),
    ("KollectClusterDatabaseSink", "use a KollectDatabaseSink in the inventory's namespace"),
    ("KollectClusterEventSink", "use a sink in the inventory's namespace"),
    ("KollectRemoteCluster", "run one operator a cluster; sinks tell clusters apart by spec.cluster"),
];

/// The schema of a kind, and its rules.
struct KindSchema {
    schema: Value,
    rules: Rules,
    is_of_cluster: bool,
}

/// The schemas of our kinds, from the CRDs.
static KINDS: LazyLock<BTreeMap<String, KindSchema>> = LazyLock::new(|| {
    api::crds()
        .into_iter()
        .filter_map(|crd| {
            let version = crd.spec.versions.into_iter().find(|version| version.name == api::VERSION)?;
            let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            let rules = Rules::compile(&schema);
            let is_of_cluster = crd.spec.scope == "Cluster";
            Some((crd.spec.names.kind, KindSchema { schema, rules, is_of_cluster }))
        })
        .collect()
});

/// What the API server says of metadata.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let objects = json!({ "type": "array", "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": 253, "pattern": api::SUBDOMAIN },
            "namespace": { "type": "string", "maxLength": 63, "pattern": api::LABEL },
            "labels": {
                "type": "object",
                "additionalProperties": { "type": "string", "maxLength": 63, "pattern": api::LABEL_VALUE },
            },
            "annotations": texts,
            "finalizers": { "type": "array", "items": text },
            "generateName": text,
            "uid": text,
            "resourceVersion": text,
            "selfLink": text,
            "creationTimestamp": text,
            "deletionTimestamp": text,
            "deletionGracePeriodSeconds": { "type": "integer" },
            "generation": { "type": "integer" },
            "ownerReferences": objects,
            "managedFields": objects,
        },
    })
});

/// Takes documents, and gathers resources and problems.
pub(super) struct Loader<'e> {
    environment: Environment<'e>,
    manifests: Manifests,
    secrets: BTreeMap<ResourceName, Origin>,
    pub(super) problems: Vec<ManifestProblem>,
}

impl<'e> Loader<'e> {
    pub(super) fn new(environment: Environment<'e>) -> Self {
        Self { environment, manifests: Manifests::default(), secrets: BTreeMap::new(), problems: Vec::new() }
    }

    pub(super) fn finish(self) -> (Manifests, Vec<ManifestProblem>) {
        (self.manifests, self.problems)
    }

    /// Takes a document.
    pub(super) fn take(&mut self, place: Place<'_>, document: Value) {
        self.nested(place, document, DEEPEST_LIST);
    }

    fn nested(&mut self, place: Place<'_>, document: Value, depth: usize) {
        let Value::Object(mut document) = document else {
            return self.unidentified(place.problem(
                reason::UNREADABLE,
                "the document is not a resource",
                "give a mapping with apiVersion, kind, metadata and spec",
            ));
        };
        let missing: Vec<_> =
            ["apiVersion", "kind"].into_iter().filter(|field| text(&document, field).is_none()).collect();
        if !missing.is_empty() {
            return self.unidentified(place.problem(
                reason::UNKNOWN_KIND,
                format!("the document has no {}", missing.join(" and no ")),
                format!("add them: `apiVersion: {}`, and one of {} as kind", api::API_VERSION, known_kinds()),
            ));
        }
        let api_version = text(&document, "apiVersion").unwrap_or_default().to_owned();
        let kind = text(&document, "kind").unwrap_or_default().to_owned();
        match (api_version.as_str(), kind.as_str()) {
            ("v1", "List") => {
                let Some(Value::Array(items)) = document.remove("items") else { return };
                match depth.checked_sub(1) {
                    Some(depth) => items.into_iter().for_each(|item| self.nested(place, item, depth)),
                    None => self.unidentified(place.problem(
                        reason::UNREADABLE,
                        "lists lie too deep in lists",
                        "take the inner lists apart",
                    )),
                }
            }
            ("v1", "Secret") => self.secret(place, &document),
            ("v1", "Namespace") => self.namespace(place, &document),
            (version, kind) if version == api::GROUP || version.starts_with("kollect.dev/") => {
                self.custom_resource(place, version, kind, document);
            }
            (version, kind) => {
                let problem = place.problem(
                    reason::UNKNOWN_KIND,
                    format!("{kind} of {version} is no part of a pipeline"),
                    format!("leave it out; read are {}, Secret and Namespace", known_kinds()),
                );
                // One of ours under a misspelt group is still one of ours.
                if kind.starts_with(OUR_PREFIX) {
                    self.unidentified(problem)
                } else {
                    self.problems.push(problem)
                }
            }
        }
    }

    /// Takes in a problem of something of which it can't be told which resource it is, or whether it is one.
    pub(super) fn unidentified(&mut self, problem: ManifestProblem) {
        self.manifests.input.incomplete = Incomplete::ALL;
        self.problems.push(problem);
    }

    /// One of our own kinds, or what is taken for one.
    fn custom_resource(
        &mut self,
        place: Place<'_>,
        version: &str,
        kind: &str,
        mut document: Map<String, Value>,
    ) {
        let mut name = name_of(&document);
        let is_of_cluster = KINDS.get(kind).is_some_and(|known| known.is_of_cluster);
        if is_of_cluster {
            // The API server takes one that names a namespace all the same, and forgets it.
            name.namespace.clear();
        }
        let this = resource(kind, &name.namespace, &name.name);
        let at = |flaw: Flaw| ManifestProblem {
            resource: Some(this.clone()),
            field: flaw.field,
            ..place.problem(flaw.reason, flaw.message, flaw.remedy)
        };
        let Some(known) = KINDS.get(kind) else {
            let problem = at(Flaw::new("kind", reason::UNKNOWN_KIND, unknown_kind(kind)));
            let is_removed = REMOVED.iter().any(|(removed, _)| *removed == kind);
            return if is_removed { self.problems.push(problem) } else { self.unidentified(problem) };
        };
        if name.name.is_empty() {
            self.manifests.input.incomplete = Incomplete::ALL;
        }
        let labels = labels_of(&document);
        if let Some(first) = self.manifests.origins.get(&this).filter(|_| !name.name.is_empty()) {
            let message = format!("the resource stands in {}, line {} too", first.file.display(), first.line);
            return self.problems.push(at(Flaw::new(
                "metadata.name",
                reason::DEFINED_TWICE,
                (message, "remove one of them, or give it another name".to_owned()),
            )));
        }
        let origin = Origin { file: place.file.to_owned(), line: place.line };
        if version != api::API_VERSION {
            let message = format!("{version} is not a version that is read here");
            let remedy = format!("use `apiVersion: {}`", api::API_VERSION);
            let flaw = Flaw::new("apiVersion", reason::UNKNOWN_KIND, (message.clone(), remedy.clone()));
            self.problems.push(at(flaw));
            if !name.name.is_empty() {
                self.manifests.origins.insert(this.clone(), origin);
                self.manifests
                    .input
                    .unusable
                    .insert(this, Unusable { labels, message, remedy, ..Unusable::default() });
            }
            return;
        }
        let mut flaws = Vec::new();
        // The server sets it, whatever a manifest says.
        document.remove("status");
        let envelope = json!({
            "type": "object",
            "required": ["metadata", "spec"],
            "properties": {
                "apiVersion": { "type": "string" },
                "kind": { "type": "string" },
                "metadata": *METADATA,
                "spec": known.schema["properties"]["spec"],
            },
        });
        let mut document = Value::Object(document);
        schema::check(&envelope, &mut document, &mut flaws);
        schema::check_label_keys(&document["metadata"]["labels"], &mut flaws);
        known.rules.check(&document, &mut flaws);
        let first = flaws.first().map(|flaw| match flaw.field.as_str() {
            "" => flaw.message.clone(),
            field => format!("{field}: {}", flaw.message),
        });
        self.problems.extend(flaws.into_iter().map(at));
        if name.name.is_empty() {
            return;
        }
        // The API server would refuse it, so it is checked, and no more.
        let mut refuse = |message| {
            let remedy = "correct the manifest".to_owned();
            let unusable = Unusable { labels: labels.clone(), message, remedy, ..Unusable::default() };
            self.manifests.input.unusable.insert(this.clone(), unusable);
        };
        let sound = first.is_none();
        if let Some(first) = first {
            schema::fill(&envelope, &mut document);
            refuse(first);
        }
        document["metadata"]["namespace"] = match is_of_cluster {
            true => Value::Null,
            false => Value::String(name.namespace.clone()),
        };
        self.manifests.origins.insert(this.clone(), origin);
        // What can be read at all is checked, whatever else is wrong with it.
        if let Err(error) = self.manifests.input.put(kind, name, document)
            && sound
        {
            // The schemas come from the types, so this is for what they can't say.
            let message = format!("the resource can't be read: {error}");
            let remedy = "correct the manifest".to_owned();
            self.problems.push(at(Flaw::new(
                "spec",
                reason::INVALID_FIELD,
                (message.clone(), remedy.clone()),
            )));
            self.manifests
                .input
                .unusable
                .insert(this.clone(), Unusable { labels, message, remedy, ..Unusable::default() });
        }
    }

    fn secret(&mut self, place: Place<'_>, document: &Map<String, Value>) {
        let name = name_of(document);
        let this = resource("Secret", &name.namespace, &name.name);
        let mut problem = |field: &str, reason: &'static str, message: String, remedy: String| {
            self.problems.push(ManifestProblem {
                resource: Some(this.clone()),
                field: field.to_owned(),
                ..place.problem(reason, message, remedy)
            });
        };
        if name.name.is_empty() {
            return problem(
                "metadata.name",
                reason::INVALID_FIELD,
                "the Secret has no name".to_owned(),
                "name it".to_owned(),
            );
        }
        if let Some(first) = self.secrets.get(&name) {
            return problem(
                "metadata.name",
                reason::DEFINED_TWICE,
                format!("the Secret stands in {}, line {} too", first.file.display(), first.line),
                "remove one of them, or give it another name".to_owned(),
            );
        }
        let data = secrets::decode(document, &name, self.environment, &mut problem);
        self.secrets.insert(name.clone(), Origin { file: place.file.to_owned(), line: place.line });
        self.manifests.input.secrets.insert(name, data);
    }

    fn namespace(&mut self, place: Place<'_>, document: &Map<String, Value>) {
        let metadata = document.get("metadata").unwrap_or(&Value::Null);
        let Some(name) = metadata["name"].as_str() else {
            return self.problems.push(ManifestProblem {
                field: "metadata.name".to_owned(),
                ..place.problem(reason::INVALID_FIELD, "the Namespace has no name", "name it")
            });
        };
        let texts = |field: &str| {
            let all = metadata[field].as_object().into_iter().flatten();
            all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        };
        let namespace = Namespace::new(texts("labels"), &texts("annotations"));
        self.manifests.input.namespaces.insert(name.to_owned(), namespace);
    }
}

fn text<'a>(document: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    document.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// The labels of a resource, where they can be read.
fn labels_of(document: &Map<String, Value>) -> Option<BTreeMap<String, String>> {
    match document.get("metadata")?.get("labels") {
        None | Some(Value::Null) => Some(BTreeMap::new()),
        Some(labels) => {
            let labels = labels.as_object()?.iter();
            labels.map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        }
    }
}

/// The name of a resource, as far as it has one.
fn name_of(document: &Map<String, Value>) -> ResourceName {
    let metadata = document.get("metadata").unwrap_or(&Value::Null);
    let namespace = metadata["namespace"].as_str().filter(|namespace| !namespace.is_empty());
    ResourceName::new(namespace.unwrap_or(DEFAULT_NAMESPACE), metadata["name"].as_str().unwrap_or_default())
}

fn known_kinds() -> String {
    KINDS.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What to say of a kind of our group that is not known: message and remedy.
fn unknown_kind(kind: &str) -> (String, String) {
    if let Some((_, remedy)) = REMOVED.iter().find(|(removed, _)| *removed == kind) {
        return (format!("{kind} is a kind of the past and is not supported"), (*remedy).to_owned());
    }
    let message = format!("there is no kind {kind}");
    match schema::nearest(kind, KINDS.keys().map(String::as_str)) {
        Some(near) => (message, format!("did you mean {near}?")),
        None => (message, format!("this version knows {}", known_kinds())),
    }
}
