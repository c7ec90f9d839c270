//! Carries the events of one watch into the graph.

use std::sync::Arc;

use async_trait::async_trait;
use kollect_dataflows::data::{Gvk, TargetName, WatchId};
use kollect_dataflows::graph::{GraphClosed, Handle, ListId, ListScope};

use super::{Engine, Shared};
use crate::sources::{Closed, Event, EventSink, SourceProblem};

/// Unreadable objects that are kept to be reported, per watch.
const UNREADABLE_KEPT: usize = 20;

/// What a feed's lists stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListOf {
    /// They are part of the watch's own stream.
    Watch,
    /// They are taken beside it, for these targets.
    Targets(Vec<TargetName>),
}

/// Feeds the graph with the events of one watch.
pub struct WatchFeed {
    handle: Handle,
    shared: Arc<Shared>,
    gvk: Gvk,
    watch: WatchId,
    of: ListOf,
    open: Option<ListId>,
    ended: bool,
}

impl Engine {
    /// A feed for the events of a kind that is watched; `None` when it is not (any more).
    pub fn feed(&self, gvk: &Gvk, of: ListOf) -> Option<WatchFeed> {
        let watch = self.shared.lock().watches.get(gvk)?.id;
        Some(WatchFeed {
            handle: self.handle.clone(),
            shared: Arc::clone(&self.shared),
            gvk: gvk.clone(),
            watch,
            of,
            open: None,
            ended: false,
        })
    }
}

impl WatchFeed {
    /// Whether a list has come to its end.
    pub fn has_listed(&self) -> bool {
        self.ended
    }

    /// Says that the source has ended without coming to the end of a list, so that nobody waits for it.
    pub fn give_up(&mut self) {
        let mut state = self.shared.lock();
        if let Some(watch) = state.watches.get_mut(&self.gvk) {
            watch.problem.get_or_insert_with(|| SourceProblem {
                reason: "SourceUnavailable",
                message: format!("the objects of {} could not be listed completely", self.gvk),
                remedy: "see the log for what the source reported".to_owned(),
            });
        }
        drop(state);
        // A graph that has ended waits for nothing.
        let _ = self.handle.mark();
    }

    fn list_begin(&mut self) -> Result<(), GraphClosed> {
        self.abandon()?;
        let mut state = self.shared.lock();
        let mut ids = Vec::new();
        let mut names = Vec::new();
        for (name, target) in &state.targets {
            let reads = target.plan.as_ref().is_some_and(|plan| plan.gvk == self.gvk);
            let meant = match &self.of {
                ListOf::Watch => true,
                ListOf::Targets(targets) => targets.contains(name),
            };
            if reads && meant {
                ids.push(target.id);
                names.push((name.clone(), target.sequence));
            }
        }
        let scope = match &self.of {
            ListOf::Watch => ListScope::Watch,
            ListOf::Targets(_) => ListScope::Targets(ids.into()),
        };
        let list = self.handle.list_begin(self.watch, scope)?;
        state.lists.insert(list, names);
        if self.of == ListOf::Watch
            && let Some(watch) = state.watches.get_mut(&self.gvk)
        {
            watch.begun = true;
        }
        self.open = Some(list);
        Ok(())
    }

    fn list_end(&mut self) -> Result<(), GraphClosed> {
        let Some(list) = self.open.take() else { return Ok(()) };
        self.ended = true;
        self.handle.list_end(self.watch, list)
    }

    /// Gives up a list that has not come to its end.
    fn abandon(&mut self) -> Result<(), GraphClosed> {
        let Some(list) = self.open.take() else { return Ok(()) };
        self.shared.lock().lists.remove(&list);
        self.handle.list_abandoned(self.watch, list)
    }

    fn problem(&mut self, problem: SourceProblem) -> Result<(), GraphClosed> {
        tracing::warn!(kind = %self.gvk, reason = problem.reason, "{problem}");
        let mut state = self.shared.lock();
        if let Some(watch) = state.watches.get_mut(&self.gvk) {
            if problem.reason == "Unreadable" && watch.unreadable.len() < UNREADABLE_KEPT {
                watch.unreadable.push(problem.clone());
            }
            watch.problem = Some(problem);
        }
        drop(state);
        self.handle.mark().map(drop)
    }

    fn recovered(&mut self) -> Result<(), GraphClosed> {
        let mut state = self.shared.lock();
        if let Some(watch) = state.watches.get_mut(&self.gvk) {
            watch.problem = None;
            watch.unreadable.clear();
        }
        drop(state);
        self.handle.mark().map(drop)
    }

    fn take(&mut self, event: Event) -> Result<(), GraphClosed> {
        match event {
            Event::ListBegin => self.list_begin(),
            Event::Object { name, version, json } => {
                self.handle.object(self.watch, self.open, &name.namespace, &name.name, version, json)
            }
            Event::Deleted { name, version } => {
                self.handle.deleted(self.watch, &name.namespace, &name.name, version)
            }
            Event::ListEnd => self.list_end(),
            Event::Problem(problem) => self.problem(problem),
            Event::Recovered => self.recovered(),
        }
    }
}

#[async_trait]
impl EventSink for WatchFeed {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        let taken = if self.handle.has_room() {
            self.take(event)
        } else {
            // The graph is busy: this thread waits for room, and others take over its tasks meanwhile.
            tokio::task::block_in_place(|| self.take(event))
        };
        taken.map_err(|GraphClosed| Closed)
    }
}

impl Drop for WatchFeed {
    fn drop(&mut self) {
        // A graph that has ended has no open lists.
        let _ = self.abandon();
    }
}
