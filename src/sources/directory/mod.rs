//! Objects from manifests in files and directories.
//!
//! ```text
//! paths ─► walk ─► read ─► manifest ──┐
//!            ▲     (gzip, JSON, YAML) ├─► scanner ─► one watch a kind
//! changes ───┘                index ──┘
//! ```
//!
//! Taken are YAML (also several documents a file), JSON (also several values a file), `List`s and typed lists, each also
//! packed with gzip, in files named `*.yaml`, `*.yml`, `*.json`, `*.ndjson`, `*.jsonl`, with or without `.gz`; a file that is
//! given by its own path may have any name. Directories are searched to the bottom, without hidden files and
//! directories; links are followed. YAML is read as `kubectl` reads it.
//!
//! - One scan serves the watches of all kinds. Of the objects only keys and hashes are kept, so a change of one file
//!   leads to events for those of its objects that changed, and memory does not follow the size of the objects.
//! - An object without a uid gets one that is derived from group, kind, namespace and name: the same in every run. An object
//!   without a namespace stays without one.
//! - An object that stands in several files counts as the file has it whose path comes last, and this is reported.
//! - A file or document that can't be read is reported, and all others are taken. What it held before stays, and as long as a
//!   kind might have objects in it, no list of that kind ends. A path that was given and is not there counts as one that
//!   can't be read, so that a volume that is not mounted deletes nothing.
//! - What is no regular file, as `/dev/stdin` and the shell's `<(…)`, is read once and kept in memory: later watches get what
//!   came out of it, and it never changes.
//! - A file that somebody is writing, as far as the operating system tells, is read when it is closed.
//! - A document that is well-formed but not a Kubernetes object (a values file, say) is skipped.

mod changes;
mod index;
mod json;
mod manifest;
mod problems;
mod read;
mod scanner;
mod split;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
mod walk;
pub(crate) mod yaml;

/// Finding and opening files, for manifests of pipelines too.
pub(crate) mod files {
    pub(crate) use super::read::open;
    pub(crate) use super::walk::{Step, walk};
}

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kollect_dataflows::data::Gvk;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::changes::Changes;
use self::scanner::{Command, Namespaces, Scanner, Subscriber};
use super::{Event, EventSink, Mode, Source, SourceProblem};

/// Events that a watch may have waiting. Small, because each may hold an object.
const WAITING: usize = 16;

/// Manifests in files and directories, as a source of objects.
///
/// All watches are served by one thread, which begins with the first of them and ends when this is dropped.
#[derive(Debug)]
pub struct Directory {
    paths: Arc<[PathBuf]>,
    stopping: Arc<AtomicBool>,
    namespaces: watch::Sender<Namespaces>,
    scanner: Mutex<Option<Sender<Command>>>,
}

impl Directory {
    /// Reads nothing yet. The paths, of files and directories, may overlap.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            stopping: Arc::default(),
            namespaces: watch::Sender::new(None),
            scanner: Mutex::default(),
        }
    }

    /// The namespaces that objects of any kind are in, whether or not there is a manifest of the namespace itself.
    ///
    /// Waits until the files have been read; reads them if no watch has begun. Watches that are to share that reading must
    /// begin before this is awaited, or at the same time. Without effect on what watches report.
    pub async fn observed_namespaces(&self) -> BTreeSet<String> {
        let mut receiver = self.namespaces();
        if receiver.borrow().is_none() && self.tell(Command::Scan).is_err() {
            return BTreeSet::new();
        }
        match receiver.wait_for(Option::is_some).await {
            Ok(namespaces) => namespaces.as_deref().cloned().unwrap_or_default(),
            Err(_) => BTreeSet::new(),
        }
    }

    /// The same as they change while some watch follows the files; `None` until the files have been read.
    pub fn namespaces(&self) -> watch::Receiver<Option<Arc<BTreeSet<String>>>> {
        self.namespaces.subscribe()
    }

    /// Gives the thread a command; starts it if need be.
    fn tell(&self, command: Command) -> std::io::Result<()> {
        let mut scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        let command = match &*scanner {
            Some(commands) => match commands.send(command) {
                Ok(()) => return Ok(()),
                Err(unsent) => unsent.0,
            },
            None => command,
        };
        let (commands, receiver) = mpsc::channel();
        let worker = Scanner::new(
            Arc::clone(&self.paths),
            Arc::clone(&self.stopping),
            self.namespaces.clone(),
            Changes::new(commands.clone()),
        );
        std::thread::Builder::new().name("directory".to_owned()).spawn(move || worker.run(&receiver))?;
        // The thread is there and waits for this.
        let _ = commands.send(command);
        *scanner = Some(commands);
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(commands) = scanner {
            let _ = commands.send(Command::Stop);
        }
    }
}

#[async_trait]
impl Source for Directory {
    async fn watch(&self, gvk: &Gvk, mode: Mode, events: &mut dyn EventSink, stop: &CancellationToken) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(WAITING);
        if let Err(error) =
            self.tell(Command::Subscribe(Subscriber { gvk: gvk.clone(), mode, events: sender }))
        {
            let problem = SourceProblem {
                reason: "SourceUnavailable",
                message: format!("manifests can't be read: no thread can be started: {error}"),
                remedy: "raise the limit of threads".to_owned(),
            };
            // Whoever does not take it does not need it.
            let _ = events.send(Event::Problem(problem)).await;
            return;
        }
        let pass_on = async {
            while let Some(event) = receiver.recv().await {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        };
        stop.run_until_cancelled(pass_on).await;
    }
}
