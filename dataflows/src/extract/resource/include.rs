//! Which sections of an object are exported.

use super::super::node::Node;
use super::super::path::Step;
use super::super::projection::Reads;
use super::prune::{DEFAULT_ANNOTATIONS, DEFAULT_METADATA, Removed};

/// What the row says already, within the metadata.
const IDENTITY: [&str; 3] = ["name", "namespace", "uid"];

/// The sections of an object that are exported; the table is in the module above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// `metadata`.
    MetadataOnly,
    /// `spec`, or what stands for it.
    SpecOnly,
    /// `status`.
    StatusOnly,
    /// `metadata`, `status`, and `spec` or what stands for it.
    #[default]
    SpecAndStatus,
    /// Everything.
    All,
}

impl Include {
    fn metadata(self) -> bool {
        matches!(self, Self::MetadataOnly | Self::SpecAndStatus | Self::All)
    }

    fn spec(self) -> bool {
        matches!(self, Self::SpecOnly | Self::SpecAndStatus | Self::All)
    }

    fn status(self) -> bool {
        matches!(self, Self::StatusOnly | Self::SpecAndStatus | Self::All)
    }

    /// Marks what is in no section that is exported.
    pub(super) fn exclude(self, root: &Node<'_>, dedupe_identity: bool, removed: &mut Removed) {
        let Node::Object(members) = root else { return };
        let has_spec = members.get("spec").is_some();
        for (key, node) in members.iter() {
            let included = match key {
                "apiVersion" | "kind" => !dedupe_identity,
                "metadata" => self.metadata(),
                "spec" => self.spec(),
                "status" => self.status(),
                _ => self == Self::All || self.spec() && !has_spec,
            };
            if !included {
                removed.add(node);
            }
        }
        if dedupe_identity && let Some(metadata) = members.get("metadata") {
            IDENTITY.iter().filter_map(|key| metadata.get(key)).for_each(|node| removed.add(node));
        }
    }

    /// Adds what the sections hold, without what is always pruned.
    pub(super) fn add_reads(self, reads: &mut Reads, defaults: bool) {
        let key = |key: &str| Step::Key(key.to_owned());
        if self.spec() {
            // Whether there is a spec is known only when all has been read.
            reads.add_all_but(&["metadata", "status"]);
        }
        if self.status() {
            reads.add_all(&[key("status")]);
        }
        if self.metadata() {
            let metadata = reads.at(&[key("metadata")]);
            if defaults {
                metadata.add_all_but(&[&DEFAULT_METADATA[..], &["annotations"]].concat());
                metadata.at(&[key("annotations")]).add_all_but(&DEFAULT_ANNOTATIONS);
            } else {
                metadata.add_all(&[]);
            }
        }
    }
}

/// Leaves out metadata of which nothing but the identity was there.
pub(super) fn tidy(kept: &mut Node<'_>) {
    if let Node::Object(members) = kept
        && matches!(members.get("metadata"), Some(Node::Object(metadata)) if metadata.len() == 0)
    {
        members.remove("metadata");
    }
}
