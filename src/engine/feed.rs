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
        if self.of != ListOf::Watch {
            // Another attempt may have failed before, and this one does not know of it.
            self.recovered()?;
        }
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
            match &self.of {
                ListOf::Watch => {
                    if problem.reason == "Unreadable" && watch.unreadable.len() < UNREADABLE_KEPT {
                        watch.unreadable.push(problem.clone());
                    }
                    watch.problem = Some(problem);
                }
                ListOf::Targets(targets) => drop(watch.list_problems.insert(targets.clone(), problem)),
            }
        }
        drop(state);
        self.handle.mark().map(drop)
    }

    fn recovered(&mut self) -> Result<(), GraphClosed> {
        let mut state = self.shared.lock();
        if let Some(watch) = state.watches.get_mut(&self.gvk) {
            match &self.of {
                ListOf::Watch => {
                    watch.problem = None;
                    watch.unreadable.clear();
                }
                ListOf::Targets(targets) => drop(watch.list_problems.remove(targets)),
            }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::collections::BTreeMap;

    use kollect_dataflows::data::TargetId;

    use super::super::state::{ActivePlan, Target, Watch};
    use super::*;

    fn pods() -> Gvk {
        Gvk::new("", "v1", "Pod")
    }

    fn target(name: &str) -> TargetName {
        TargetName { namespace: "team".into(), name: name.into() }
    }

    /// An engine in which these targets read pods.
    fn engine(targets: &[&str]) -> Engine {
        let engine = Engine::start(1).unwrap();
        let mut state = engine.shared.lock();
        let (problem, list_problems) = (None, BTreeMap::new());
        let watch = Watch { id: WatchId(1), begun: true, problem, list_problems, unreadable: Vec::new() };
        state.watches.insert(pods(), watch);
        for (number, name) in (1..).zip(targets) {
            let plan = Some(ActivePlan { gvk: pods(), fingerprint: 0 });
            let target = Target {
                id: TargetId(number),
                plan,
                sight: None,
                has_old_settings: false,
                sequence: 1,
                listed: false,
                hydrated: false,
                objects: 0,
                failures: 0,
                last_failure: None,
                unreadable: 0,
                last_unreadable: None,
            };
            state.targets.insert(super::tests::target(name), target);
        }
        drop(state);
        engine
    }

    fn problem(message: &str) -> Event {
        Event::Problem(SourceProblem {
            reason: "SourceUnavailable",
            message: message.to_owned(),
            remedy: "wait".to_owned(),
        })
    }

    fn told(engine: &Engine, name: &str) -> Option<String> {
        let report = engine.report();
        report.targets[&target(name)].source_problem.as_ref().map(|problem| problem.message.clone())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_list_beside_the_watch_that_ends_well_ends_the_problem_of_the_attempts_before() {
        let engine = engine(&["a", "b"]);
        let of = ListOf::Targets(vec![target("a")]);
        let mut first = engine.feed(&pods(), of.clone()).unwrap();
        first.send(problem("list")).await.unwrap();
        drop(first);
        assert_eq!((told(&engine, "a"), told(&engine, "b")), (Some("list".into()), None));
        let mut watch = engine.feed(&pods(), ListOf::Watch).unwrap();
        watch.send(Event::Recovered).await.unwrap();
        assert_eq!(told(&engine, "a"), Some("list".into()));
        watch.send(problem("watch")).await.unwrap();
        let mut second = engine.feed(&pods(), of).unwrap();
        second.send(Event::ListBegin).await.unwrap();
        second.send(Event::ListEnd).await.unwrap();
        assert_eq!((told(&engine, "a"), told(&engine, "b")), (Some("watch".into()), Some("watch".into())));
        watch.send(Event::Recovered).await.unwrap();
        assert_eq!((told(&engine, "a"), told(&engine, "b")), (None, None));
    }
}
