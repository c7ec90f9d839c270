//! Learns of changes on disk from the operating system.
//!
//! Editors and `kubectl`-like tools write a new file and rename it; a mounted ConfigMap changes where a hidden link points. Both
//! come as events of a path in a directory, so directories are watched, also those of single files. Events may be lost
//! or be missing (network file systems): the scanner looks everything over now and then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::scanner::Command;

/// Changed paths beyond this number are not told apart.
const MOST_PATHS: usize = 1024;

/// What changed since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Paths, as the operating system tells them.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Anything may have changed.
    pub(super) everything: bool,
}

impl Dirty {
    pub(super) fn take(shared: &Mutex<Self>) -> Self {
        std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&mut self, result: notify::Result<notify::Event>) {
        match result {
            Ok(event) if !event.need_rescan() && !event.paths.is_empty() => self.paths.extend(event.paths),
            // Events were lost, or nobody knows what happened.
            _ => self.everything = true,
        }
        if self.paths.len() > MOST_PATHS {
            self.everything = true;
        }
        if self.everything {
            self.paths.clear();
        }
    }
}

/// The watcher of the operating system, once there is need of it.
pub(super) struct Changes {
    commands: Sender<Command>,
    dirty: Arc<Mutex<Dirty>>,
    watcher: Option<RecommendedWatcher>,
    /// The paths that are watched: as given, and as events tell them.
    watched: Vec<(PathBuf, PathBuf)>,
    complete: bool,
}

impl Changes {
    pub(super) fn new(commands: Sender<Command>) -> Self {
        Self { commands, dirty: Arc::default(), watcher: None, watched: Vec::new(), complete: false }
    }

    /// What has changed.
    pub(super) fn dirty(&self) -> Arc<Mutex<Dirty>> {
        Arc::clone(&self.dirty)
    }

    /// Whether changes of all paths are told.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Watches those paths that are there and not watched yet.
    pub(super) fn watch(&mut self, roots: &[PathBuf]) {
        if self.watcher.is_none() {
            match self.watcher() {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => {
                    tracing::warn!(%error, "changes of files are not told; looking for them instead")
                }
            }
        }
        // A directory that was removed is watched anew when it is back.
        self.watched.retain(|(given, _)| given.exists());
        let missing: Vec<_> =
            roots.iter().filter(|root| !self.watched.iter().any(|(given, _)| given == *root)).collect();
        let Some(watcher) = &mut self.watcher else { return };
        self.complete = true;
        for root in missing {
            let absolute = std::path::absolute(root).unwrap_or_else(|_| root.clone());
            let result = if root.is_dir() {
                watcher.watch(&absolute, RecursiveMode::Recursive)
            } else {
                watcher.watch(absolute.parent().unwrap_or(&absolute), RecursiveMode::NonRecursive)
            };
            match result {
                Ok(()) if root.exists() => self.watched.push((root.clone(), absolute)),
                Ok(()) => self.complete = false,
                Err(error) => {
                    self.complete = false;
                    tracing::debug!(path = %root.display(), %error, "changes are not told; looking for them instead");
                }
            }
        }
    }

    /// A path of an event as it would be if it had been found from the given paths.
    pub(super) fn as_given(&self, path: &Path) -> Option<PathBuf> {
        self.watched.iter().find_map(|(given, absolute)| {
            let rest = path.strip_prefix(absolute).ok()?;
            Some(if rest.as_os_str().is_empty() { given.clone() } else { given.join(rest) })
        })
    }

    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let (commands, dirty) = (self.commands.clone(), Arc::clone(&self.dirty));
        notify::recommended_watcher(move |result: notify::Result<notify::Event>| {
            if let Ok(event) = &result
                && matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
            {
                return; // nobody wrote
            }
            dirty.lock().unwrap_or_else(PoisonError::into_inner).add(result);
            // When the scanner is gone, nobody needs to know.
            let _ = commands.send(Command::Changed);
        })
    }
}
