//! What is fed to the workers, in order.

use std::sync::Arc;

use super::facts::Change;
use crate::data::{TargetId, WatchId};

/// The number of one list of a watch, begun by [`super::Handle::list_begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub(super) u64);

/// Which rows a complete list may sweep away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListScope {
    /// The list is part of the watch's own stream: it is the truth for all targets of the watch.
    Watch,
    /// The list was taken beside the watch's stream, for these targets alone (their plans changed, and their rows need
    /// objects that are no longer at hand). Objects in it may be older than what the stream brought meanwhile.
    Targets(Arc<[TargetId]>),
}

impl ListScope {
    /// Whether the list is taken for this target too.
    pub(super) fn includes(&self, target: TargetId) -> bool {
        match self {
            Self::Watch => true,
            Self::Targets(targets) => targets.contains(&target),
        }
    }
}

/// Stands for (watch, namespace, name) of an object: a keyed 128-bit hash, so that a worker keeps sixteen bytes an
/// object rather than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectKey(pub(super) u128);

/// One input of a worker.
#[derive(Clone, Debug)]
pub(super) enum Command {
    ListBegin { watch: WatchId, list: ListId, scope: ListScope },
    Object { watch: WatchId, key: ObjectKey, list: Option<ListId>, version: u64, json: Arc<[u8]> },
    Deleted { watch: WatchId, key: ObjectKey, version: u64 },
    ListEnd { watch: WatchId, list: ListId },
    ListAbandoned { watch: WatchId, list: ListId },
    Change(Change),
    Mark(u64),
}

impl Command {
    /// About how many bytes the command keeps alive while it waits.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Object { json, .. } => json.len(),
                _ => 0,
            }
    }
}
