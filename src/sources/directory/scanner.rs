//! The thread that reads the files, once for all watches.
//!
//! Work is done in rounds. A round begins a moment after the first thing that calls for one (a new watch, a change on
//! disk, the time for looking everything over), so that what comes together is done together. In it the files
//! that changed are read, and those that hold objects of a kind that is watched anew; each object that is new or changed
//! goes to the watches of its kind, and a new watch gets all.
//!
//! Invariants:
//! - An object is reported as deleted only after its file was read without any flaw, or is gone from a directory that could
//!   be listed.
//! - A list ends only when nothing that may hold objects of its kind is flawed, and no file is being written. Until then it
//!   stays open.
//! - A file that is being written is read when it is closed (or, if that takes too long, as it is then).
//! - A watch that takes no events holds up the others, and all of them the reading; so memory stays bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kollect_dataflows::data::Gvk;
use tokio::sync::{mpsc, watch};

use super::changes::{Changes, Dirty, Writing};
use super::index::{ContentHash, Defects, Entry, FileId, Index, Key, KindId, Released};
use super::manifest::{Flaw, Found, Manifest};
use super::read::{self, Content, is_manifest, unreadable};
use super::walk::{Signature, Step, Visit, walk_directories};
use crate::sources::{Event, Mode, SourceProblem};

/// How long nothing must happen before a round begins.
const QUIET: Duration = Duration::from_millis(50);
/// How long a round is put off at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often everything is looked over for changes that nobody told of.
const LOOK_OVER: Duration = Duration::from_secs(if cfg!(test) { 24 * 3600 } else { 30 });
/// The same, while changes of some path can't be told.
const LOOK_OVER_OFTEN: Duration = Duration::from_secs(2);
/// Walks in one round at most, besides the first, when files come and go all the time.
const MOST_WALKS: usize = 3;

/// What the thread is told.
pub(super) enum Command {
    /// A watch begins.
    Subscribe(Subscriber),
    /// The files are to be read, though nobody watches.
    Scan,
    /// Something changed on disk; what, stands in [`Dirty`].
    Changed,
    /// Nobody needs the thread any more.
    Stop,
}

/// The taker of one kind's events.
pub(super) struct Subscriber {
    pub(super) gvk: Gvk,
    pub(super) mode: Mode,
    pub(super) events: mpsc::Sender<Event>,
}

/// The set of namespaces that objects are in, once the files have been read.
pub(super) type Namespaces = Option<Arc<BTreeSet<String>>>;

pub(super) struct Subscription {
    pub(super) subscriber: Subscriber,
    pub(super) kind: KindId,
    /// It has not had its objects yet.
    fresh: bool,
    /// Its list has begun and not ended.
    open: bool,
    reported: Vec<SourceProblem>,
}

pub(super) struct Scanner {
    roots: Arc<[PathBuf]>,
    stopping: Arc<AtomicBool>,
    namespaces: watch::Sender<Namespaces>,
    changes: Changes,
    dirty: Arc<Mutex<Dirty>>,
    pub(super) index: Index,
    pub(super) subscriptions: Vec<Subscription>,
    /// Counts the scans of everything.
    scans: u32,
    /// Files with flaws or repetitions.
    pub(super) flawed: BTreeSet<FileId>,
    /// Files that are being written, and until when they are waited for.
    unfinished: BTreeMap<FileId, Instant>,
    /// Paths that could not be looked into.
    pub(super) unreadable: BTreeMap<PathBuf, Flaw>,
    /// Objects that lost their file, and the files that have another version of them.
    inherited: HashMap<FileId, BTreeSet<Key>>,
}

impl Scanner {
    pub(super) fn new(
        roots: Arc<[PathBuf]>,
        stopping: Arc<AtomicBool>,
        namespaces: watch::Sender<Namespaces>,
        changes: Changes,
    ) -> Self {
        Self {
            roots,
            stopping,
            namespaces,
            dirty: changes.dirty(),
            changes,
            index: Index::default(),
            subscriptions: Vec::new(),
            scans: 0,
            flawed: BTreeSet::new(),
            unfinished: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            inherited: HashMap::new(),
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut looked_over = Instant::now();
        // When the next round begins, and when at the latest.
        let mut due: Option<(Instant, Instant)> = None;
        let mut everything = false;
        loop {
            let now = Instant::now();
            let look_over = self.follows().then(|| looked_over + self.look_over());
            let unfinished = self.unfinished.values().min().copied();
            let next = due.map(|(quiet, latest)| quiet.min(latest));
            let next = next.into_iter().chain(look_over).chain(unfinished).min();
            let command = match next {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(next) => commands.recv_timeout(next.saturating_duration_since(now)),
            };
            let now = Instant::now();
            match command {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(command) => {
                    everything |= !matches!(command, Command::Changed);
                    if let Command::Subscribe(subscriber) = command {
                        self.subscribe(subscriber);
                    }
                    due = Some((now + QUIET, due.map_or(now + PATIENCE, |(_, latest)| latest)));
                }
                Err(RecvTimeoutError::Timeout) => {
                    everything |= look_over.is_some_and(|look_over| look_over <= now);
                    due = None;
                    if everything {
                        looked_over = now;
                    }
                    if self.round(std::mem::take(&mut everything)).is_break() {
                        return;
                    }
                }
            }
        }
    }

    fn follows(&self) -> bool {
        self.subscriptions.iter().any(|s| s.subscriber.mode == Mode::Follow)
    }

    fn look_over(&self) -> Duration {
        if self.changes.is_complete() && self.unreadable.is_empty() { LOOK_OVER } else { LOOK_OVER_OFTEN }
    }

    fn subscribe(&mut self, subscriber: Subscriber) {
        let kind = self.index.kind_id(&subscriber.gvk);
        let reported = Vec::new();
        self.subscriptions.push(Subscription { subscriber, kind, fresh: true, open: true, reported });
    }

    /// Reads what has to be read. Breaks when the thread is to stop.
    fn round(&mut self, mut everything: bool) -> ControlFlow<()> {
        let dirty = Dirty::take(&self.dirty);
        let mut changed = BTreeSet::new();
        everything |= dirty.everything || (dirty.beside && self.roots_differ());
        if dirty.lost {
            self.changes.forget_all();
        }
        for path in &dirty.paths {
            self.changes.forget(path);
        }
        for path in dirty.paths {
            match self.classify(&path) {
                Affected::Nothing => {}
                Affected::File(file) => drop(changed.insert(file)),
                Affected::Everything => everything = true,
            }
        }
        let written: Vec<FileId> =
            self.unfinished.keys().copied().filter(|id| self.is_written(*id)).collect();
        for file in written {
            self.unfinished.remove(&file);
            changed.insert(file);
        }
        for index in 0..self.subscriptions.len() {
            if self.subscriptions[index].fresh {
                self.send(index, Event::ListBegin);
            }
        }
        for file in &changed {
            everything |= !self.read_again(*file)?;
        }
        if everything {
            self.scan(&changed)?;
        }
        for (file, keys) in std::mem::take(&mut self.inherited) {
            self.hand_over(file, &keys)?;
        }
        for index in 0..self.subscriptions.len() {
            self.conclude(index);
        }
        // A watch that wants one list has had it, or will not get it.
        self.subscriptions.retain(|s| s.subscriber.mode == Mode::Follow && !s.subscriber.events.is_closed());
        if everything && (self.index.changed_namespaces().is_some() || self.namespaces.borrow().is_none()) {
            self.namespaces.send_replace(Some(Arc::new(self.index.namespaces())));
        } else if let Some(namespaces) = self.index.changed_namespaces() {
            self.namespaces.send_replace(Some(Arc::new(namespaces)));
        }
        ControlFlow::Continue(())
    }

    /// Whether a path that was given leads elsewhere than it did.
    fn roots_differ(&self) -> bool {
        self.roots.iter().any(|root| match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => !self.changes.watches(root),
            Ok(metadata) => {
                let file = self.index.known(root).and_then(|id| self.index.file(id));
                file.is_none_or(|file| file.signature != Some(Signature::of(&metadata)))
            }
            Err(_) => !self.unreadable.contains_key(root),
        })
    }

    /// What a change of a path on disk may have changed for us.
    fn classify(&self, changed: &Path) -> Affected {
        let Some(path) = self.changes.as_given(changed) else { return Affected::Everything };
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => match self.index.known(&path) {
                Some(file) => Affected::File(file),
                None if is_manifest(&path.file_name().unwrap_or_default().to_string_lossy()) => {
                    Affected::Everything
                }
                None if self.roots.contains(&path) => Affected::Everything,
                None => Affected::Nothing,
            },
            Ok(_) => Affected::Everything,
            Err(_) if self.index.known_beneath(&path) => Affected::Everything,
            Err(_) => Affected::Nothing,
        }
    }

    /// Goes through all files. Those in `done` have just been read.
    ///
    /// A file that is renamed at the wrong moment is seen under neither name. So files that are missing are looked for
    /// again before they count as gone: until two walks agree.
    fn scan(&mut self, done: &BTreeSet<FileId>) -> ControlFlow<()> {
        let mut gone = self.walk(done, false)?;
        for _ in 0..MOST_WALKS {
            if gone.is_empty() {
                break;
            }
            let again = self.walk(done, true)?;
            if std::mem::replace(&mut gone, again) == gone {
                break;
            }
        }
        for file in gone {
            let entries = self.index.file_mut(file).map(|file| std::mem::take(&mut file.entries));
            for entry in entries.into_iter().flat_map(<[Entry]>::into_vec) {
                self.release(&entry, file);
            }
            self.flawed.remove(&file);
            self.inherited.remove(&file);
            self.unfinished.remove(&file);
            self.index.remove(file);
        }
        ControlFlow::Continue(())
    }

    /// Walks through all files and reads those that changed, and, unless it has been done, those that new watches wait for.
    /// Gives the files that are missing.
    fn walk(&mut self, done: &BTreeSet<FileId>, again: bool) -> ControlFlow<(), Vec<FileId>> {
        self.scans += 1;
        self.unreadable.clear();
        let roots = Arc::clone(&self.roots);
        let follows = self.follows();
        if follows {
            self.changes.begin(&roots);
        }
        let flow = walk_directories(&roots, &mut |visit| {
            match visit {
                // Before it is listed, so that no change is missed.
                Visit::Directory(path) if follows => self.changes.enter(path),
                Visit::Directory(_) => {}
                Visit::Step(Step::File(path, signature)) => {
                    if follows && path.is_symlink() {
                        self.changes.link(path);
                    }
                    let file = self.index.file_at(path);
                    return self.visit(file, signature, again || done.contains(&file));
                }
                Visit::Step(Step::Unreadable(path, error)) => {
                    self.unreadable.insert(path.to_owned(), unreadable(&error));
                }
            }
            ControlFlow::Continue(())
        });
        if follows {
            self.changes.end();
        }
        if flow.is_break() {
            return ControlFlow::Break(());
        }
        let beneath = |path: &Path| path.ancestors().any(|path| self.unreadable.contains_key(path));
        let files = self.index.files();
        let missing = files.filter(|(_, file)| file.seen != self.scans && !beneath(&file.path));
        ControlFlow::Continue(missing.map(|(id, _)| id).collect())
    }

    /// Reads a file that a walk has come upon, if it changed or (unless it has been done) a new watch waits for it.
    fn visit(&mut self, id: FileId, signature: Signature, done: bool) -> ControlFlow<()> {
        let scans = self.scans;
        let Some(file) = self.index.file_mut(id) else { return ControlFlow::Continue(()) };
        file.seen = scans;
        let changed = file.signature.as_ref() != Some(&signature);
        let wanted = |entry: &Entry| self.subscriptions.iter().any(|s| s.fresh && s.kind == entry.kind);
        if changed || (!done && file.entries.iter().any(wanted)) {
            return self.read(id, signature);
        }
        ControlFlow::Continue(())
    }

    /// Reads a file; false if it is not there any more.
    fn read_again(&mut self, id: FileId) -> ControlFlow<(), bool> {
        let path = self.index.file(id).map(|file| Arc::clone(&file.path));
        let Some(Ok(metadata)) = path.map(fs::metadata) else { return ControlFlow::Continue(false) };
        match self.read(id, Signature::of(&metadata)) {
            ControlFlow::Continue(()) => ControlFlow::Continue(true),
            ControlFlow::Break(()) => ControlFlow::Break(()),
        }
    }

    /// Whether a file need not be waited for any longer.
    fn is_written(&self, id: FileId) -> bool {
        let path = self.index.file(id).map(|file| &file.path);
        path.is_none_or(|path| !matches!(self.changes.writing(path), Writing::Until(_)))
    }

    /// Until when a file is waited for that somebody is writing at present; with the signature from before it was read,
    /// also if it was written meanwhile.
    fn is_waited_for(&self, path: &Path, before: Option<Signature>) -> Option<Instant> {
        if !self.follows() {
            return None;
        }
        let differs = |before| fs::metadata(path).is_ok_and(|now| Signature::of(&now) != before);
        match self.changes.writing(path) {
            Writing::Until(until) => Some(until),
            // Whoever wrote it is about to be told of.
            Writing::No if before.is_some_and(differs) => Some(Instant::now() + PATIENCE),
            Writing::No | Writing::Overdue => None,
        }
    }

    /// Leaves a file that is being written for later. New watches will get what they have not had of it.
    fn put_off(&mut self, id: FileId, until: Instant) {
        self.unfinished.insert(id, until);
        let Some(file) = self.index.file_mut(id) else { return };
        file.signature = None;
        for entry in &mut file.entries {
            if self.subscriptions.iter().any(|s| s.fresh && s.kind == entry.kind) {
                entry.content = None;
            }
        }
    }

    /// Reads a file and tells what is new in it. The signature must be from before the reading.
    fn read(&mut self, id: FileId, signature: Signature) -> ControlFlow<()> {
        let Some(path) = self.index.file(id).map(|file| Arc::clone(&file.path)) else {
            return ControlFlow::Continue(());
        };
        self.unfinished.remove(&id);
        if let Some(until) = self.is_waited_for(&path, None) {
            self.put_off(id, until);
            return ControlFlow::Continue(());
        }
        let Some(file) = self.index.file_mut(id) else { return ControlFlow::Continue(()) };
        // The last definition of an object counts, so those that were repeated are told when all have been read.
        let repeated: HashSet<Key> =
            file.defects.iter().flat_map(|defects| defects.repeated.clone()).collect();
        let mut before: HashMap<Key, Entry> = std::mem::take(&mut file.entries)
            .into_vec()
            .into_iter()
            .map(|entry| (entry.key, entry))
            .collect();
        let mut now: Vec<Entry> = Vec::new();
        let mut places: HashMap<Key, usize> = HashMap::new();
        let mut defects = Defects::default();
        let mut held: HashMap<Key, Held> = HashMap::new();
        let flow = self.read_content(id, &path, &mut |this, found| {
            match found {
                Found::Object(manifest) => {
                    let entry = this.index.entry(&manifest);
                    let (key, content) = (entry.key, entry.content);
                    let previous = match places.get(&key) {
                        Some(place) => {
                            defects.repeated.push(key);
                            Some(std::mem::replace(&mut now[*place], entry))
                        }
                        None => {
                            let previous = before.remove(&key);
                            if previous.is_none() {
                                this.index.claim(&entry, id);
                            }
                            places.insert(key, now.len());
                            now.push(entry);
                            previous
                        }
                    };
                    let previous = previous.and_then(|previous| previous.content);
                    if repeated.contains(&key) {
                        let previous = held.get(&key).map_or(previous, |held| held.previous);
                        held.insert(key, Held { previous, manifest, content });
                    } else if this.index.wins(key, id) {
                        this.send_object(manifest, previous.is_none() || previous != content);
                    }
                }
                Found::Flaw(flaw) => defects.flaws.push(flaw),
                Found::Other => {
                    tracing::debug!(file = %path.display(), "skipped a document that is not a Kubernetes object");
                }
            }
            this.go_on()
        });
        for (key, Held { previous, manifest, content }) in held {
            if self.index.wins(key, id) {
                self.send_object(manifest, previous.is_none() || previous != content);
            }
        }
        let regular = self.index.file(id).is_some_and(|file| file.piped.is_none());
        let unfinished = if regular { self.is_waited_for(&path, Some(signature)) } else { None };
        let whole = flow.is_continue() && defects.flaws.is_empty() && unfinished.is_none();
        if whole {
            for entry in before.into_values() {
                self.release(&entry, id);
            }
        } else {
            // What can't be read any more may still be there.
            now.extend(before.into_values());
        }
        if let Some(file) = self.index.file_mut(id) {
            file.signature = whole.then_some(signature);
            file.entries = now.into_boxed_slice();
        }
        match unfinished {
            // What is wrong with half a file is of no interest.
            Some(until) => self.put_off(id, until),
            None => self.note_defects(id, defects),
        }
        flow
    }

    fn note_defects(&mut self, id: FileId, defects: Defects) {
        let sound = defects.flaws.is_empty() && defects.repeated.is_empty();
        if sound {
            self.flawed.remove(&id);
        } else {
            self.flawed.insert(id);
        }
        if let Some(file) = self.index.file_mut(id) {
            file.defects = (!sound).then(|| Box::new(defects));
        }
    }

    /// Gives what a file holds to `take`.
    fn read_content(
        &mut self,
        id: FileId,
        path: &Path,
        take: &mut dyn FnMut(&mut Self, Found) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let piped = self.index.file(id).and_then(|file| file.piped.clone());
        let content = match piped.map_or_else(|| Content::open(path), |bytes| Ok(Content::Piped(bytes))) {
            Ok(content) => content,
            Err(error) => return take(self, Found::Flaw(unreadable(&error))),
        };
        if let (Content::Piped(bytes), Some(file)) = (&content, self.index.file_mut(id)) {
            file.piped = Some(Arc::clone(bytes));
        }
        read::read(path, &content, &mut |found| take(self, found))
    }

    /// Reads the objects of a file that count since another file no longer has them.
    fn hand_over(&mut self, id: FileId, keys: &BTreeSet<Key>) -> ControlFlow<()> {
        let Some(path) = self.index.file(id).map(|file| Arc::clone(&file.path)) else {
            return ControlFlow::Continue(());
        };
        self.read_content(id, &path, &mut |this, found| {
            if let Found::Object(manifest) = found {
                let key = Key::of(&manifest.gvk, &manifest.name);
                if keys.contains(&key) && this.index.wins(key, id) {
                    this.send_object(manifest, true);
                }
            }
            this.go_on()
        })
    }

    fn release(&mut self, entry: &Entry, file: FileId) {
        match self.index.release(entry, file) {
            Released::Gone => {
                for index in 0..self.subscriptions.len() {
                    if self.subscriptions[index].kind == entry.kind {
                        self.send(index, Event::Deleted { name: entry.name(), version: 0 });
                    }
                }
            }
            Released::Unchanged => {}
            Released::Inherited(heir) => drop(self.inherited.entry(heir).or_default().insert(entry.key)),
        }
    }

    /// Hands an object to the watches of its kind: to all of them if it changed, or else to the new ones.
    fn send_object(&mut self, manifest: Manifest, changed: bool) {
        let kind = self.index.kind_id(&manifest.gvk);
        let mut json: Option<Arc<[u8]>> = None;
        for index in 0..self.subscriptions.len() {
            let subscription = &self.subscriptions[index];
            if subscription.kind == kind && (changed || subscription.fresh) {
                let json = json.get_or_insert_with(|| Arc::from(manifest.json.as_bytes()));
                let event = Event::Object { name: manifest.name.clone(), version: 0, json: Arc::clone(json) };
                self.send(index, event);
            }
        }
    }

    /// Waits until the watch has room. One that is over takes nothing, and is removed when the round ends.
    fn send(&self, index: usize, event: Event) {
        let _ = self.subscriptions[index].subscriber.events.blocking_send(event);
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.stopping.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Ends a watch's list if it is complete, and reports what is wrong.
    fn conclude(&mut self, index: usize) {
        let (problems, complete) = self.problems(index);
        let subscription = &mut self.subscriptions[index];
        subscription.fresh = false;
        let ends = complete && self.unfinished.is_empty() && std::mem::take(&mut subscription.open);
        let reported = std::mem::replace(&mut subscription.reported, problems.clone());
        let over = reported.iter().any(|problem| !problems.contains(problem));
        if over {
            self.send(index, Event::Recovered);
        }
        if ends {
            self.send(index, Event::ListEnd);
        }
        for problem in problems.into_iter().filter(|problem| over || !reported.contains(problem)) {
            self.send(index, Event::Problem(problem));
        }
    }
}

/// An object that a file defined more than once when it was last read.
struct Held {
    /// What the watches have of it.
    previous: Option<ContentHash>,
    manifest: Manifest,
    content: Option<ContentHash>,
}

enum Affected {
    Nothing,
    File(FileId),
    Everything,
}
