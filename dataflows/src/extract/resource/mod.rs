//! Resource export: the object itself as one attribute of the row, without what is noise and without secrets.
//!
//! ```text
//! ResourceSpec ──compile──► ResourceExport ─┐
//!                                           ▼
//! object ──► include: sections ──► prune: places to leave out ──► copy ──► scrub: sensitive values ──► canonical JSON
//! ```
//!
//! # Sections
//!
//! | include | metadata | spec | status | everything else |
//! | --- | --- | --- | --- | --- |
//! | `MetadataOnly` | yes | – | – | – |
//! | `SpecOnly` | – | yes | – | where there is no spec |
//! | `StatusOnly` | – | – | yes | – |
//! | `SpecAndStatus` | yes | yes | yes | where there is no spec |
//! | `All` | yes | yes | yes | yes |
//!
//! What an object without `spec` has beside metadata and status stands for its spec: the data of a ConfigMap, the rules of a Role, the
//! parameters of a StorageClass. `apiVersion` and `kind` are there in all of them, unless identity is left to the row.
//!
//! # Order
//!
//! Every removal sees the object as it came, so that positions and filters mean what they say whatever else is removed.
//! Scrubbing comes last and sees only what is left. If a removal fails on an object, nothing of the object is exported: the
//! attribute is null, and that is a problem.

mod include;
mod presets;
mod prune;
// For whatever else embeds values that it has not chosen one by one.
pub(super) mod scrub;
#[cfg(test)]
mod tests;
mod text;

use super::budget::limited;
use super::cel::{Outcome, Scope};
use super::node::Node;
use super::problem::Refusal;
use super::projection::Reads;
use crate::data::Gvk;

pub use include::Include;
pub use presets::Preset;
use prune::{Prune, Removed};
use scrub::SensitiveKeys;

/// What a Resource export is to hold, before it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSpec {
    /// Name of the attribute that holds the object.
    pub name: String,
    /// Which sections of the object.
    pub include: Include,
    /// Leaves out what the row says already: apiVersion, kind, and the metadata's name, namespace and uid.
    pub dedupe_identity: bool,
    /// What is left out of the sections.
    pub prune: PruneSpec,
    /// Keys whose values are never shown, beside those that are known and those of `prune`: the operator's.
    pub scrub_keys: Vec<String>,
    /// Whether objects of kind Secret may be exported.
    pub allow_secret: bool,
}

impl Default for ResourceSpec {
    fn default() -> Self {
        Self {
            name: "resource".to_owned(),
            include: Include::default(),
            dedupe_identity: true,
            prune: PruneSpec::default(),
            scrub_keys: Vec::new(),
            allow_secret: false,
        }
    }
}

/// What is left out of an object, before it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneSpec {
    /// Leaves out managedFields, resourceVersion, generation, and the annotations in which `kubectl apply` and Argo CD keep book.
    pub defaults: bool,
    /// Places to leave out, as RFC 6901 writes them.
    pub json_pointers: Vec<String>,
    /// Places to leave out, as JSONPaths in any spelling.
    pub json_paths: Vec<String>,
    /// Keys whose values are not shown.
    pub scrub_keys: Vec<String>,
    /// Expressions over `object` that give places to leave out.
    pub cel: Vec<String>,
    /// A list of places to leave out, by its name.
    pub preset: Option<Preset>,
}

impl Default for PruneSpec {
    fn default() -> Self {
        Self {
            defaults: true,
            json_pointers: Vec::new(),
            json_paths: Vec::new(),
            scrub_keys: Vec::new(),
            cel: Vec::new(),
            preset: None,
        }
    }
}

/// A compiled Resource export.
#[derive(Debug)]
pub(super) struct ResourceExport {
    include: Include,
    dedupe_identity: bool,
    prune: Prune,
    keys: SensitiveKeys,
    allow_secret: bool,
}

/// What is wrong with a field of `spec.export`, by its path below that.
pub(super) type Problems = Vec<(String, Refusal)>;

impl ResourceExport {
    /// Compiles a Resource export of objects of a kind.
    pub(super) fn compile(spec: &ResourceSpec, gvk: &Gvk) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        if gvk.group.is_empty() && gvk.kind == "Secret" && !spec.allow_secret {
            let refusal = Refusal::new(
                "a Secret can't be exported as a resource",
                "export attributes of it, or annotate the profile with `kollect.dev/allow-full-resource-export: \"true\"`",
            );
            problems.push(("mode".to_owned(), refusal));
        }
        if spec.name.is_empty() {
            let refusal =
                Refusal::new("the attribute for the object has no name", "name it, for example `resource`");
            problems.push(("as".to_owned(), refusal));
        }
        let prune = Prune::compile(&spec.prune, &mut problems);
        let own = spec.prune.scrub_keys.iter();
        for (index, key) in own.clone().enumerate().filter(|(_, key)| !SensitiveKeys::is_usable(key)) {
            let shown = if key.is_empty() { "is empty" } else { "has only separators" };
            let refusal = Refusal::new(format!("the key {shown}"), "name a key, for example `licenseKey`");
            problems.push((format!("prune.scrubKeys[{index}]"), refusal));
        }
        let keys = SensitiveKeys::new(own.chain(&spec.scrub_keys).map(String::as_str));
        if problems.is_empty() {
            let (include, dedupe_identity, allow_secret) =
                (spec.include, spec.dedupe_identity, spec.allow_secret);
            Ok(Self { include, dedupe_identity, prune, keys, allow_secret })
        } else {
            Err(problems)
        }
    }

    /// Whether it may export the values of Secrets.
    pub(super) fn allows_secrets(&self) -> bool {
        self.allow_secret
    }

    /// Adds what the export reads of an object.
    pub(super) fn add_reads(&self, reads: &mut Reads) {
        self.include.add_reads(reads, self.prune.defaults());
        self.prune.add_reads(reads);
    }

    /// Appends the pruned and scrubbed object as canonical JSON. On a failure nothing is appended.
    pub(super) fn evaluate<'n>(
        &self,
        root: &'n Node<'n>,
        scope: &mut Option<Scope<'n>>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let mut removed = Removed::default();
        self.include.exclude(root, self.dedupe_identity, &mut removed);
        if let Err(message) = self.prune.mark(root, scope, &mut removed) {
            return Outcome::Failure(message);
        }
        let kept = limited(|| {
            let mut kept = removed.rest_of(root);
            if self.prune.defaults() {
                prune::tidy(&mut kept);
            }
            if self.dedupe_identity {
                include::tidy(&mut kept);
            }
            if is_helm_release(root) {
                scrub::helm_release(&mut kept);
            }
            scrub::value(&mut kept, &self.keys);
            kept
        });
        let kept = match kept {
            Ok(kept) => kept,
            Err(exhausted) => return Outcome::Failure(exhausted.describe("export of the object")),
        };
        let before = out.len();
        match serde_json::to_writer(&mut *out, &kept) {
            Ok(()) => Outcome::Value,
            // Writing a tree into memory can't fail.
            Err(_) => {
                out.truncate(before);
                Outcome::Failure("the object can't be written".to_owned())
            }
        }
    }
}

/// Whether the object is a ConfigMap in which Helm keeps a release: it holds all values that the release was installed with.
fn is_helm_release(root: &Node<'_>) -> bool {
    let text = |node: Option<&Node<'_>>, text| node.and_then(Node::as_text) == Some(text);
    let owner = root.get("metadata").and_then(|m| m.get("labels")).and_then(|labels| labels.get("owner"));
    text(root.get("kind"), "ConfigMap") && text(owner, "helm")
}
