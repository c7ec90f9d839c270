//! What is known of the files: enough to tell what a change of one of them means, and no object.
//!
//! For each object the index has its key, its name and a hash of its content (about 150 bytes). A key can stand in
//! several files; the file whose path comes last wins. Invariant: the owners of a key are exactly the files that have
//! an entry with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;

use kollect_dataflows::data::Gvk;
use sha2::{Digest as _, Sha256};

use super::manifest::{Flaw, Manifest};
use super::walk::Signature;
use crate::sources::ObjectName;

/// Stands for a file while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId(u32);

/// Stands for a kind while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KindId(u32);

/// Identity of an object: 128 bits of the SHA-256 of its kind, namespace and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(u64, u64);

impl Key {
    pub(super) fn of(gvk: &Gvk, name: &ObjectName) -> Self {
        let text =
            [&gvk.group, &gvk.version, &gvk.kind, &name.namespace, &name.name].map(String::as_str).join("\0");
        let hash = Sha256::digest(text.as_bytes());
        let half = |at: usize| hash[at..at + 8].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        Self(half(0), half(8))
    }
}

/// Hash of an object's content, to be compared within the process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentHash(u64);

impl ContentHash {
    pub(super) fn of(json: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// One object of a file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// What the watches have of it; none if some of them may have nothing.
    pub(super) content: Option<ContentHash>,
    pub(super) kind: KindId,
    pub(super) namespace: Arc<str>,
    pub(super) name: Box<str>,
}

impl Entry {
    pub(super) fn name(&self) -> ObjectName {
        ObjectName { namespace: self.namespace.to_string(), name: self.name.to_string() }
    }
}

/// One file.
#[derive(Debug)]
pub(super) struct IndexedFile {
    pub(super) path: Arc<Path>,
    /// As it was when it was last read; `None` when it has to be read again.
    pub(super) signature: Option<Signature>,
    /// The last scan that came upon it.
    pub(super) seen: u32,
    pub(super) entries: Box<[Entry]>,
    /// What is wrong with it.
    pub(super) defects: Option<Box<Defects>>,
    /// Its whole content, if it is one that can be read only once.
    pub(super) piped: Option<Arc<[u8]>>,
}

/// What is wrong with a file.
#[derive(Debug, Default)]
pub(super) struct Defects {
    /// What could not be taken as objects.
    pub(super) flaws: Vec<Flaw>,
    /// Objects that the file defines more than once.
    pub(super) repeated: Vec<Key>,
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Index {
    kinds: Vec<Gvk>,
    kind_ids: HashMap<Gvk, KindId>,
    files: Vec<Option<IndexedFile>>,
    /// Numbers of files that are gone, to be given again.
    free: Vec<FileId>,
    paths: BTreeMap<Arc<Path>, FileId>,
    /// The winner of each key.
    winners: HashMap<Key, FileId>,
    /// All files of those keys that several files have.
    rivals: BTreeMap<(KindId, Key), BTreeSet<FileId>>,
    /// Objects in each namespace.
    namespaces: HashMap<Arc<str>, usize>,
    /// Whether a namespace has come or gone since the set was last taken.
    namespaces_changed: bool,
}

/// What becomes of an object that a file no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// No file has it.
    Gone,
    /// Another file has had precedence all the time.
    Unchanged,
    /// This file's version counts now.
    Inherited(FileId),
}

impl Index {
    /// The number of a kind.
    pub(super) fn kind_id(&mut self, gvk: &Gvk) -> KindId {
        if let Some(id) = self.kind_ids.get(gvk) {
            return *id;
        }
        let id = KindId(self.kinds.len() as u32);
        self.kinds.push(gvk.clone());
        self.kind_ids.insert(gvk.clone(), id);
        id
    }

    /// The file at a path, entered if it is new.
    pub(super) fn file_at(&mut self, path: &Path) -> FileId {
        if let Some(id) = self.paths.get(path) {
            return *id;
        }
        let path: Arc<Path> = Arc::from(path);
        let id = self.free.pop().unwrap_or(FileId(self.files.len() as u32));
        self.paths.insert(Arc::clone(&path), id);
        let file = IndexedFile {
            path,
            signature: None,
            seen: 0,
            entries: Box::default(),
            defects: None,
            piped: None,
        };
        match self.files.get_mut(id.0 as usize) {
            Some(place) => *place = Some(file),
            None => self.files.push(Some(file)),
        }
        id
    }

    /// The number of a file that is known.
    pub(super) fn known(&self, path: &Path) -> Option<FileId> {
        self.paths.get(path).copied()
    }

    pub(super) fn file(&self, id: FileId) -> Option<&IndexedFile> {
        self.files.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn file_mut(&mut self, id: FileId) -> Option<&mut IndexedFile> {
        self.files.get_mut(id.0 as usize)?.as_mut()
    }

    /// All files, in the order of their paths.
    pub(super) fn files(&self) -> impl Iterator<Item = (FileId, &IndexedFile)> {
        self.paths.values().filter_map(|id| Some((*id, self.file(*id)?)))
    }

    /// Makes the entry of a manifest.
    pub(super) fn entry(&mut self, manifest: &Manifest) -> Entry {
        let namespace = match self.namespaces.get_key_value(manifest.name.namespace.as_str()) {
            Some((namespace, _)) => Arc::clone(namespace),
            None => Arc::from(manifest.name.namespace.as_str()),
        };
        Entry {
            key: Key::of(&manifest.gvk, &manifest.name),
            content: Some(ContentHash::of(&manifest.json)),
            kind: self.kind_id(&manifest.gvk),
            namespace,
            name: manifest.name.name.as_str().into(),
        }
    }

    /// Notes that a file has an object; to be called once for each entry. Tells whether the file's version is the one that
    /// counts.
    pub(super) fn claim(&mut self, entry: &Entry, file: FileId) -> bool {
        let count = self.namespaces.entry(Arc::clone(&entry.namespace)).or_default();
        *count += 1;
        self.namespaces_changed |= *count == 1;
        let Some(winner) = self.winners.get(&entry.key).copied() else {
            self.winners.insert(entry.key, file);
            return true;
        };
        self.rivals.entry((entry.kind, entry.key)).or_default().extend([winner, file]);
        let wins = self.path(file) > self.path(winner);
        if wins {
            self.winners.insert(entry.key, file);
        }
        wins
    }

    /// Notes that a file no longer has an object.
    pub(super) fn release(&mut self, entry: &Entry, file: FileId) -> Released {
        if let Some(count) = self.namespaces.get_mut(&entry.namespace) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.namespaces.remove(&entry.namespace);
                self.namespaces_changed = true;
            }
        }
        let Some(mut rivals) = self.rivals.remove(&(entry.kind, entry.key)) else {
            self.winners.remove(&entry.key);
            return Released::Gone;
        };
        rivals.remove(&file);
        let heir = rivals.iter().copied().max_by(|a, b| self.path(*a).cmp(&self.path(*b)));
        if rivals.len() > 1 {
            self.rivals.insert((entry.kind, entry.key), rivals);
        }
        match heir {
            None => {
                self.winners.remove(&entry.key);
                Released::Gone
            }
            Some(heir) if self.winners.insert(entry.key, heir) == Some(heir) => Released::Unchanged,
            Some(heir) => Released::Inherited(heir),
        }
    }

    /// Whether a file's version of an object is the one that counts.
    pub(super) fn wins(&self, key: Key, file: FileId) -> bool {
        self.winners.get(&key) == Some(&file)
    }

    /// Whether a file that is known lies beneath a path, or at it.
    pub(super) fn known_beneath(&self, path: &Path) -> bool {
        let from = (std::ops::Bound::Included(path), std::ops::Bound::Unbounded);
        self.paths.range::<Path, _>(from).next().is_some_and(|(first, _)| first.starts_with(path))
    }

    /// Takes a file out; its entries must have been released. Its number will be another file's.
    pub(super) fn remove(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id.0 as usize).and_then(Option::take) {
            self.paths.remove(&file.path);
            self.free.push(id);
        }
    }

    /// The name and paths of objects of a kind that several files have, the winner's path last; at most `limit` objects.
    pub(super) fn rivals(&self, kind: KindId, limit: usize) -> Vec<(ObjectName, Vec<Arc<Path>>)> {
        let range = (kind, Key(0, 0))..=(kind, Key(u64::MAX, u64::MAX));
        let rivals = self.rivals.range(range).take(limit);
        rivals
            .filter_map(|((_, key), files)| {
                let files = files.iter().filter_map(|id| self.file(*id));
                let mut paths: Vec<_> = files.clone().map(|file| Arc::clone(&file.path)).collect();
                paths.sort();
                let entry = files.flat_map(|file| file.entries.iter()).find(|entry| entry.key == *key)?;
                Some((entry.name(), paths))
            })
            .collect()
    }

    /// The namespaces that objects are in, if they changed since this was last asked.
    pub(super) fn changed_namespaces(&mut self) -> Option<BTreeSet<String>> {
        std::mem::take(&mut self.namespaces_changed).then(|| self.namespaces())
    }

    /// The namespaces that objects are in.
    pub(super) fn namespaces(&self) -> BTreeSet<String> {
        self.namespaces.keys().filter(|name| !name.is_empty()).map(ToString::to_string).collect()
    }

    fn path(&self, file: FileId) -> Option<&Arc<Path>> {
        self.file(file).map(|file| &file.path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn manifest(namespace: &str, name: &str) -> Manifest {
        Manifest {
            gvk: Gvk::new("", "v1", "Pod"),
            name: ObjectName { namespace: namespace.into(), name: name.into() },
            json: "{}".into(),
        }
    }

    #[test]
    fn the_last_path_wins_and_the_next_one_inherits() {
        let mut index = Index::default();
        let [b, a, c] = ["b", "a", "c"].map(|path| index.file_at(Path::new(path)));
        let entry = index.entry(&manifest("n", "x"));
        assert!(index.claim(&entry, b));
        assert!(!index.claim(&entry, a));
        assert!(index.claim(&entry, c));
        assert!(index.wins(entry.key, c));
        assert_eq!(index.release(&entry, a), Released::Unchanged);
        assert_eq!(index.release(&entry, c), Released::Inherited(b));
        assert!(index.wins(entry.key, b));
        assert_eq!(index.release(&entry, b), Released::Gone);
        assert!(!index.wins(entry.key, b));
    }

    #[test]
    fn namespaces_come_and_go_with_their_objects() {
        let mut index = Index::default();
        let file = index.file_at(Path::new("a"));
        let entries = [("n", "x"), ("n", "y"), ("", "z")].map(|(ns, name)| index.entry(&manifest(ns, name)));
        for entry in &entries {
            index.claim(entry, file);
        }
        assert_eq!(index.changed_namespaces(), Some(BTreeSet::from(["n".to_owned()])));
        index.release(&entries[0], file);
        assert_eq!(index.changed_namespaces(), None);
        index.release(&entries[1], file);
        assert_eq!(index.changed_namespaces(), Some(BTreeSet::new()));
    }
}
