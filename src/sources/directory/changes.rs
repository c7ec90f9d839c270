//! Learns of changes on disk from the operating system.
//!
//! ```text
//! walk ─► directories ─► operating system ─► dirty paths, files being written ─► scanner
//! ```
//!
//! Editors and `kubectl`-like tools write a new file and rename it; a mounted ConfigMap changes where a hidden link points. Both
//! come as events of a path in a directory. So each walk has every directory watched that it enters, before it is listed;
//! and beside them the directories that given paths lie in (what is put in their place is another directory, and is watched
//! anew) and those that linked files lie in. A directory is known by its place on the disk, not by its path. Events may be lost
//! or be missing (network file systems): the scanner looks everything over now and then.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::read::is_manifest;
use super::scanner::Command;
use super::walk::place;

/// Changed paths beyond this number are not told apart.
const MOST_PATHS: usize = 1024;
/// Whether the operating system tells that a file that was written is closed.
const CLOSES_ARE_TOLD: bool = cfg!(any(target_os = "linux", target_os = "android"));
/// How long a file that was written and not closed is waited for after the last write.
const WRITE_PAUSE: Duration = Duration::from_secs(30);
/// The same, after the first write.
const WRITE_LONGEST: Duration = Duration::from_secs(120);

/// What changed since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Paths, as the operating system tells them.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Anything may have changed.
    pub(super) everything: bool,
    /// Something came or went beside what is watched, so that a given path may lead elsewhere.
    pub(super) beside: bool,
    /// Events were lost.
    pub(super) lost: bool,
    /// Files that were written and not closed since: when first, and when last.
    writing: HashMap<PathBuf, (Instant, Instant)>,
    /// Directories of which only some files matter, and these files.
    besides: HashSet<PathBuf>,
    wanted: HashSet<PathBuf>,
}

impl Dirty {
    /// Takes what changed.
    pub(super) fn take(shared: &Mutex<Self>) -> Self {
        let mut this = lock(shared);
        let (paths, everything) = (std::mem::take(&mut this.paths), std::mem::take(&mut this.everything));
        let (beside, lost) = (std::mem::take(&mut this.beside), std::mem::take(&mut this.lost));
        Self { paths, everything, beside, lost, ..Self::default() }
    }

    /// Takes an event in; tells whether it is of interest.
    fn add(&mut self, result: notify::Result<notify::Event>) -> bool {
        match result {
            Ok(event) if !event.need_rescan() && !event.paths.is_empty() => {
                self.note_writing(&event);
                let came_or_went = comes_or_goes(event.kind);
                let mut matters = false;
                for path in event.paths {
                    let beside = path.parent().is_some_and(|parent| self.besides.contains(parent));
                    if !beside || self.wanted.contains(&path) {
                        matters = true;
                        self.paths.insert(path);
                    } else {
                        matters |= came_or_went;
                        self.beside |= came_or_went;
                    }
                }
                self.everything |= self.paths.len() > MOST_PATHS;
                if !matters {
                    return false;
                }
            }
            // Events were lost, or nobody knows what happened.
            _ => {
                (self.everything, self.lost) = (true, true);
                self.writing.clear();
            }
        }
        if self.everything {
            // Those of directories are needed, to watch them anew.
            self.paths.retain(|path| !is_manifest(&path.file_name().unwrap_or_default().to_string_lossy()));
        }
        true
    }

    fn note_writing(&mut self, event: &notify::Event) {
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) if CLOSES_ARE_TOLD => {
                let now = Instant::now();
                for path in &event.paths {
                    self.writing.entry(path.clone()).or_insert((now, now)).1 = now;
                }
            }
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                for path in &event.paths {
                    self.writing.remove(path);
                }
            }
            _ => {}
        }
    }
}

fn comes_or_goes(kind: EventKind) -> bool {
    matches!(kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
        || matches!(kind, EventKind::Any | EventKind::Other | EventKind::Modify(ModifyKind::Any))
}

fn lock(shared: &Mutex<Dirty>) -> MutexGuard<'_, Dirty> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether somebody is writing a file at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// As far as is known nobody is.
    No,
    /// It is waited for, until then at the latest.
    Until(Instant),
    /// It has been waited for long enough.
    Overdue,
}

/// Stands for a directory, whatever its path.
type Identity = (u64, u64);

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(path)?;
    if let Some(place) = place(&metadata) {
        return Ok(place);
    }
    let mut hasher = DefaultHasher::new();
    fs::canonicalize(path)?.hash(&mut hasher);
    Ok((hasher.finish(), 0))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A directory that is watched.
struct Watched {
    /// Its path as events tell it.
    absolute: PathBuf,
    /// Its path as walks come upon it; none for one beside what is walked through.
    given: Option<PathBuf>,
    /// Whether the present walk has need of it.
    needed: bool,
}

/// The watcher of the operating system, once there is need of it.
pub(super) struct Changes {
    commands: Sender<Command>,
    dirty: Arc<Mutex<Dirty>>,
    watcher: Option<RecommendedWatcher>,
    directories: HashMap<Identity, Watched>,
    /// The same by their paths.
    paths: HashMap<PathBuf, Identity>,
    /// The paths that were given and the files that links lead to, by their paths in events.
    given: HashMap<PathBuf, PathBuf>,
    /// Where linked files are.
    links: HashMap<PathBuf, PathBuf>,
    complete: bool,
}

impl Changes {
    pub(super) fn new(commands: Sender<Command>) -> Self {
        Self {
            commands,
            dirty: Arc::default(),
            watcher: None,
            directories: HashMap::new(),
            paths: HashMap::new(),
            given: HashMap::new(),
            links: HashMap::new(),
            complete: false,
        }
    }

    /// What has changed.
    pub(super) fn dirty(&self) -> Arc<Mutex<Dirty>> {
        Arc::clone(&self.dirty)
    }

    /// Whether changes of all paths are told.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// A walk begins.
    pub(super) fn begin(&mut self, roots: &[PathBuf]) {
        if self.watcher.is_none() {
            match self.watcher() {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => {
                    tracing::warn!(%error, "changes of files are not told; looking for them instead");
                }
            }
        }
        self.complete = self.watcher.is_some();
        self.directories.values_mut().for_each(|watched| watched.needed = false);
        self.links.clear();
        self.given = roots.iter().map(|root| (absolute(root), root.clone())).collect();
        let parents: BTreeSet<PathBuf> =
            self.given.keys().filter_map(|root| Some(root.parent()?.to_owned())).collect();
        parents.iter().for_each(|parent| self.beside(parent));
        self.publish();
    }

    /// The walk is about to list a directory.
    pub(super) fn enter(&mut self, directory: &Path) {
        self.watch(directory, absolute(directory), Some(directory.to_owned()));
    }

    /// The walk comes upon a file that is a link.
    pub(super) fn link(&mut self, file: &Path) {
        let Ok(target) = fs::canonicalize(file) else { return };
        if let Some(parent) = target.parent() {
            self.beside(parent);
        }
        self.given.insert(target.clone(), file.to_owned());
        self.links.insert(file.to_owned(), target);
    }

    /// The walk is over: what it had no need of is not watched any more.
    pub(super) fn end(&mut self) {
        let old: Vec<PathBuf> =
            self.directories.values().filter(|w| !w.needed).map(|w| w.absolute.clone()).collect();
        old.iter().for_each(|path| self.unwatch(path));
        self.publish();
    }

    fn beside(&mut self, directory: &Path) {
        self.watch(directory, directory.to_owned(), None);
    }

    fn watch(&mut self, directory: &Path, absolute: PathBuf, given: Option<PathBuf>) {
        let Ok(identity) = identity(directory) else { return self.complete = false };
        match self.directories.get_mut(&identity) {
            Some(watched) if given.is_none() || watched.absolute == absolute => {
                watched.needed = true;
                if given.is_some() && watched.given != given {
                    watched.given = given;
                    lock(&self.dirty).besides.remove(&absolute);
                }
                return;
            }
            Some(watched) => {
                let other = watched.absolute.clone();
                self.unwatch(&other);
            }
            None => {}
        }
        // Another directory may have been at that path before.
        self.unwatch(&absolute);
        let Some(watcher) = &mut self.watcher else { return };
        if let Err(error) = watcher.watch(&absolute, RecursiveMode::NonRecursive) {
            self.complete = false;
            tracing::debug!(path = %absolute.display(), %error, "changes are not told; looking for them instead");
            return;
        }
        self.paths.insert(absolute.clone(), identity);
        self.directories.insert(identity, Watched { absolute, given, needed: true });
    }

    fn unwatch(&mut self, absolute: &Path) {
        let Some(identity) = self.paths.remove(absolute) else { return };
        self.directories.remove(&identity);
        if let Some(watcher) = &mut self.watcher {
            // It may be gone, and no longer be watched for that.
            let _ = watcher.unwatch(absolute);
        }
    }

    /// Tells the watcher's thread which events are of interest.
    fn publish(&self) {
        let mut dirty = lock(&self.dirty);
        let besides = self.directories.values().filter(|watched| watched.given.is_none());
        dirty.besides = besides.map(|watched| watched.absolute.clone()).collect();
        dirty.wanted = self.given.keys().cloned().collect();
    }

    /// Something happened to what is at a path. If it was a directory, it may be another one now: the next walk has it watched
    /// anew.
    pub(super) fn forget(&mut self, path: &Path) {
        if self.paths.contains_key(path) {
            let beneath: Vec<PathBuf> = self.paths.keys().filter(|p| p.starts_with(path)).cloned().collect();
            beneath.iter().for_each(|path| self.unwatch(path));
        }
    }

    /// Nobody knows what happened.
    pub(super) fn forget_all(&mut self) {
        let all: Vec<PathBuf> = self.paths.keys().cloned().collect();
        all.iter().for_each(|path| self.unwatch(path));
    }

    /// Whether the directory that is at a path now is watched.
    pub(super) fn watches(&self, directory: &Path) -> bool {
        identity(directory).is_ok_and(|identity| self.directories.contains_key(&identity))
    }

    /// A path of an event as it would be if it had been found from the given paths.
    pub(super) fn as_given(&self, path: &Path) -> Option<PathBuf> {
        if let Some(given) = self.given.get(path) {
            return Some(given.clone());
        }
        let directory = |path: &Path| self.directories.get(self.paths.get(path)?)?.given.as_ref();
        match directory(path) {
            Some(given) => Some(given.clone()),
            None => Some(directory(path.parent()?)?.join(path.file_name()?)),
        }
    }

    /// Whether somebody is writing a file, by its path as walks come upon it.
    pub(super) fn writing(&self, file: &Path) -> Writing {
        let dirty = lock(&self.dirty);
        if dirty.writing.is_empty() {
            return Writing::No;
        }
        let told = dirty.writing.get(&absolute(file));
        let told = told.or_else(|| dirty.writing.get(self.links.get(file)?));
        let Some((first, last)) = told else { return Writing::No };
        let until = (*first + WRITE_LONGEST).min(*last + WRITE_PAUSE);
        if until > Instant::now() { Writing::Until(until) } else { Writing::Overdue }
    }

    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let (commands, dirty) = (self.commands.clone(), Arc::clone(&self.dirty));
        notify::recommended_watcher(move |result: notify::Result<notify::Event>| {
            if let Ok(event) = &result
                && matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
            {
                return; // nobody wrote
            }
            if lock(&dirty).add(result) {
                // When the scanner is gone, nobody needs to know.
                let _ = commands.send(Command::Changed);
            }
        })
    }
}
