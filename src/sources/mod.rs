//! Where objects come from.
//!
//! A source streams the objects of one kind: first a list, then changes. It reports the begin of a list, objects,
//! deletions, the end of a list, and problems; nothing else. Whoever takes the events decides what a complete list
//! means (that what it lacks is gone).
//!
//! - [`directory`]: manifests in files.
//! - [`kubernetes`]: a Kubernetes API server.

pub mod directory;
mod identity;
pub mod kubernetes;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kollect_dataflows::data::Gvk;
use tokio_util::sync::CancellationToken;

/// Namespace and name of an object; the namespace of a cluster-scoped one is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Namespace, empty for a cluster-scoped object.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What a source reports.
#[derive(Clone, Debug)]
pub enum Event {
    /// A list begins: from now on it may lack what changes. Objects that follow belong to it until [`Event::ListEnd`];
    /// deletions may come in between. A list that did not end is replaced by the one that begins.
    ListBegin,
    /// An object is there, new or changed.
    Object {
        /// Its name.
        name: ObjectName,
        /// Its version: of two versions of one object, the greater one is newer. Zero where the source can't tell.
        version: u64,
        /// The object as JSON. It always has a uid.
        json: Arc<[u8]>,
    },
    /// An object is gone.
    Deleted {
        /// Its name.
        name: ObjectName,
        /// Its last version, or zero.
        version: u64,
    },
    /// The list is complete: what it lacked is gone.
    ListEnd,
    /// Something is wrong; what is known of the objects stays as it is.
    Problem(SourceProblem),
    /// Every problem reported so far is over; those that are not are reported again after this.
    Recovered,
}

/// Something that a source could not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceProblem {
    /// A CamelCase reason: `KindNotFound`, `AccessDenied`, `ScopeForbidden`, `SourceUnavailable`, `Unreadable`.
    pub reason: &'static str,
    /// What happened and where (kind, namespace, file and line).
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for SourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

/// Takes the events of one watch. `send` waits while the taker has no room.
#[async_trait]
pub trait EventSink: Send {
    /// Hands over one event.
    ///
    /// # Errors
    /// [`Closed`] when nobody takes events any more; the source then returns.
    async fn send(&mut self, event: Event) -> Result<(), Closed>;
}

/// Nobody takes events any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes events any more")]
pub struct Closed;

/// How long a watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One complete list (begin, objects, end), then it returns.
    Once,
    /// The list, then changes, until it is stopped.
    Follow,
}

/// A place that objects come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Streams the objects of one kind into `events` until `stop` fires (or after the list, in [`Mode::Once`]).
    ///
    /// Problems are reported as events. In [`Mode::Follow`] it keeps trying, with growing and jittered pauses, and a kind that
    /// does not exist yet is waited for. In [`Mode::Once`] it returns after the first list that could be taken in
    /// completely, or after a problem that waiting a moment does not cure (then without [`Event::ListEnd`]).
    async fn watch(&self, gvk: &Gvk, mode: Mode, events: &mut dyn EventSink, stop: &CancellationToken);
}
