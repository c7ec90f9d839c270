//! The feeding end.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher as _;

use super::GraphClosed;
use super::command::{Command, ListId, ListScope, ObjectKey};
use super::facts::Change;
use super::queue::Queue;
use crate::data::WatchId;

/// Feeds a graph. Clones feed the same graph; when the last one is dropped, the graph works off what it was fed and
/// ends.
///
/// What one thread feeds is taken in in its order. [`Handle::object`] waits while too many bytes of objects wait to be
/// taken in, so that memory stays bounded; no other call waits, and none waits for anything to be worked off. Room is only
/// made while somebody receives epochs, so objects must be fed from another thread than epochs are received on.
#[derive(Clone)]
pub struct Handle {
    feeder: Arc<Feeder>,
}

struct Feeder {
    queue: Arc<Queue>,
    /// Keys of the object hash: random, so that nobody can make names that collide.
    keys: (u64, u64),
    next: AtomicU64,
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Handle {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        let random = RandomState::new();
        let keys = (random.hash_one(1), random.hash_one(2));
        let feeder = Feeder { queue, keys, next: AtomicU64::new(1) };
        Self { feeder: Arc::new(feeder) }
    }

    /// A list of a watch's objects begins. With [`ListScope::Watch`] an unfinished list of the watch's own stream is
    /// given up.
    ///
    /// # Errors
    /// [`GraphClosed`] when the graph has ended, as with all calls of the handle.
    pub fn list_begin(&self, watch: WatchId, scope: ListScope) -> Result<ListId, GraphClosed> {
        let list = ListId(self.next());
        self.all(Command::ListBegin { watch, list, scope })?;
        Ok(list)
    }

    /// An object is there, new or changed: from the watch's stream (`list` is `None`) or as part of a list.
    ///
    /// Of two versions of one object the greater is the newer; zero says that only the order of calls counts. What comes
    /// from the watch's own list is always taken; anything else only when it is not older than what is known.
    ///
    /// # Errors
    /// [`GraphClosed`].
    pub fn object(
        &self,
        watch: WatchId,
        list: Option<ListId>,
        namespace: &str,
        name: &str,
        version: u64,
        json: Arc<[u8]>,
    ) -> Result<(), GraphClosed> {
        let key = self.key(watch, namespace, name);
        self.one(key, Command::Object { watch, key, list, version, json })
    }

    /// Whether [`Handle::object`] would return at once.
    pub fn has_room(&self) -> bool {
        self.feeder.queue.has_room()
    }

    /// An object is gone.
    ///
    /// # Errors
    /// [`GraphClosed`].
    pub fn deleted(
        &self,
        watch: WatchId,
        namespace: &str,
        name: &str,
        version: u64,
    ) -> Result<(), GraphClosed> {
        let key = self.key(watch, namespace, name);
        self.one(key, Command::Deleted { watch, key, version })
    }

    /// The list is complete: what it lacked is gone.
    ///
    /// # Errors
    /// [`GraphClosed`].
    pub fn list_end(&self, watch: WatchId, list: ListId) -> Result<(), GraphClosed> {
        self.all(Command::ListEnd { watch, list })
    }

    /// The list broke off: it says nothing about what it lacked.
    ///
    /// # Errors
    /// [`GraphClosed`].
    pub fn list_abandoned(&self, watch: WatchId, list: ListId) -> Result<(), GraphClosed> {
        self.all(Command::ListAbandoned { watch, list })
    }

    /// Changes pipelines. All changes of one call take effect in one epoch: nobody sees some of them without the others.
    ///
    /// # Errors
    /// [`GraphClosed`].
    pub fn change(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), GraphClosed> {
        let commands: Vec<Command> = changes.into_iter().map(Command::Change).collect();
        if self.feeder.queue.push_all(&commands) { Ok(()) } else { Err(GraphClosed) }
    }

    /// Feeds a mark and returns it: the epoch that carries it (see [`super::Epoch::marks`]) comes after everything that
    /// this thread fed before.
    ///
    /// # Errors
    /// [`GraphClosed`].
    pub fn mark(&self) -> Result<u64, GraphClosed> {
        let mark = self.next();
        self.all(Command::Mark(mark))?;
        Ok(mark)
    }

    fn next(&self) -> u64 {
        self.feeder.next.fetch_add(1, Ordering::Relaxed)
    }

    fn key(&self, watch: WatchId, namespace: &str, name: &str) -> ObjectKey {
        let (k0, k1) = self.feeder.keys;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        hasher.write_u32(watch.0);
        hasher.write(namespace.as_bytes());
        // No name holds a slash.
        hasher.write_u8(b'/');
        hasher.write(name.as_bytes());
        ObjectKey(hasher.finish128().as_u128())
    }

    fn one(&self, key: ObjectKey, command: Command) -> Result<(), GraphClosed> {
        if self.feeder.queue.push(Some(key.0), command) { Ok(()) } else { Err(GraphClosed) }
    }

    fn all(&self, command: Command) -> Result<(), GraphClosed> {
        if self.feeder.queue.push(None, command) { Ok(()) } else { Err(GraphClosed) }
    }
}
