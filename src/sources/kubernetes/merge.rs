//! One stream of the objects of several namespaces, each of which is watched by itself.
//!
//! ```text
//! watch of namespace a ─┐
//! watch of namespace b ─┼─► merged list, changes, problems
//! watch of namespace c ─┘
//! ```
//!
//! - The merged list ends when the list of every namespace has. So as long as one is denied nothing is taken for gone that may be
//!   there, and the objects of the others flow all the same.
//! - After that, a namespace that is listed anew is nobody else's affair: what its list lacks is reported as deleted, one by one. For
//!   that the names of the objects are kept, and their versions.
//! - A problem is told once each namespace has either been listed or has a problem. One that is denied beside others that are not
//!   is `ScopeForbidden`.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kollect_dataflows::data::Gvk;
use tokio::sync::Mutex;

use super::KubernetesSource;
use super::watch::{End, Place, Watch};
use crate::sources::{Closed, Event, EventSink, Mode, ObjectName, SourceProblem};

/// So many namespaces are named in a message.
const NAMED: usize = 5;

/// Watches a kind in these namespaces or, if its objects belong to none, outside of them.
pub(super) async fn watch(
    source: &KubernetesSource,
    namespaces: &BTreeSet<String>,
    gvk: &Gvk,
    mode: Mode,
    events: &mut dyn EventSink,
) {
    let mut in_namespaces = true;
    loop {
        let end = match namespaces.first() {
            _ if !in_namespaces => Watch::new(source, gvk, Place::NoNamespace, mode, events).run().await,
            Some(only) if namespaces.len() == 1 => {
                Watch::new(source, gvk, Place::Namespace(only), mode, events).run().await
            }
            _ => in_each(source, namespaces, gvk, mode, events).await,
        };
        if end != End::Elsewhere {
            return;
        }
        in_namespaces = !in_namespaces;
    }
}

async fn in_each(
    source: &KubernetesSource,
    namespaces: &BTreeSet<String>,
    gvk: &Gvk,
    mode: Mode,
    events: &mut dyn EventSink,
) -> End {
    let merged = Mutex::new(Merged::new(namespaces, events));
    let mut watches: FuturesUnordered<_> = namespaces
        .iter()
        .enumerate()
        .map(|(number, namespace)| {
            let mut part = Part { number, merged: &merged };
            async move { Watch::new(source, gvk, Place::Namespace(namespace), mode, &mut part).run().await }
        })
        .collect();
    while let Some(end) = watches.next().await {
        if end != End::Over {
            return end;
        }
    }
    End::Over
}

/// Where the events of one namespace go.
struct Part<'m, 'e> {
    number: usize,
    merged: &'m Mutex<Merged<'e>>,
}

#[async_trait]
impl EventSink for Part<'_, '_> {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        self.merged.lock().await.take(self.number, event).await
    }
}

/// What is known of one object.
struct Known {
    version: u64,
    /// The list of its namespace that was the last one when it came.
    list: u64,
}

/// One namespace.
struct Namespace {
    name: String,
    /// By name, the objects that were handed on and are not known to be gone.
    objects: HashMap<Box<str>, Known>,
    /// Counts its lists.
    list: u64,
    /// Whether its last list is under way.
    listing: bool,
    /// Whether a list of it has come to its end.
    listed: bool,
    problems: Vec<SourceProblem>,
}

struct Merged<'e> {
    events: &'e mut dyn EventSink,
    namespaces: Vec<Namespace>,
    /// Whether the merged list has begun.
    begun: bool,
    /// Whether it has ended.
    ended: bool,
    /// The problems that were handed on.
    told: Vec<SourceProblem>,
}

impl<'e> Merged<'e> {
    fn new(namespaces: &BTreeSet<String>, events: &'e mut dyn EventSink) -> Self {
        let namespaces = namespaces.iter().map(|name| Namespace {
            name: name.clone(),
            objects: HashMap::new(),
            list: 0,
            listing: false,
            listed: false,
            problems: Vec::new(),
        });
        Self { events, namespaces: namespaces.collect(), begun: false, ended: false, told: Vec::new() }
    }

    /// Takes an event of one of the namespaces.
    async fn take(&mut self, number: usize, event: Event) -> Result<(), Closed> {
        let Some(namespace) = self.namespaces.get_mut(number) else { return Ok(()) };
        match event {
            Event::ListBegin => {
                namespace.list += 1;
                namespace.listing = true;
                if !std::mem::replace(&mut self.begun, true) {
                    self.events.send(Event::ListBegin).await?;
                }
                Ok(())
            }
            Event::Object { name, version, json } => {
                let now = Known { version, list: namespace.list };
                let before = namespace.objects.insert(name.name.as_str().into(), now);
                let older = before.is_some_and(|before| version < before.version);
                if older && self.ended && namespace.listing {
                    // A list is the truth, also when the server has been put back to an earlier state. Outside of the merged list a
                    // version that is older than what is known would count for nothing.
                    self.events.send(Event::Deleted { name: name.clone(), version: 0 }).await?;
                }
                self.events.send(Event::Object { name, version, json }).await
            }
            Event::Deleted { name, version } => {
                namespace.objects.remove(name.name.as_str());
                self.events.send(Event::Deleted { name, version }).await
            }
            Event::ListEnd => self.list_end(number).await,
            Event::Problem(problem) => {
                namespace.problems.push(problem);
                self.tell().await
            }
            Event::Recovered => {
                namespace.problems.clear();
                self.tell().await
            }
        }
    }

    /// The list of a namespace is complete: what it lacks is gone.
    async fn list_end(&mut self, number: usize) -> Result<(), Closed> {
        let Some(namespace) = self.namespaces.get_mut(number) else { return Ok(()) };
        (namespace.listing, namespace.listed) = (false, true);
        let list = namespace.list;
        let gone: Vec<_> = namespace.objects.extract_if(|_, known| known.list != list).collect();
        let namespace = namespace.name.clone();
        for (name, _) in gone {
            let name = ObjectName { namespace: namespace.clone(), name: name.into_string() };
            self.events.send(Event::Deleted { name, version: 0 }).await?;
        }
        if !self.ended && self.namespaces.iter().all(|namespace| namespace.listed) {
            self.ended = true;
            self.events.send(Event::ListEnd).await?;
        }
        self.tell().await
    }

    /// Hands on what is wrong now, if that has changed.
    async fn tell(&mut self) -> Result<(), Closed> {
        let undecided = |namespace: &Namespace| !namespace.listed && namespace.problems.is_empty();
        if self.namespaces.iter().any(undecided) {
            return Ok(());
        }
        let now = self.problems();
        let told = std::mem::replace(&mut self.told, now.clone());
        let mut new = now.as_slice();
        match now.strip_prefix(told.as_slice()) {
            Some(more) => new = more,
            None => self.events.send(Event::Recovered).await?,
        }
        for problem in new {
            self.events.send(Event::Problem(problem.clone())).await?;
        }
        Ok(())
    }

    /// What is wrong with all namespaces together. What keeps some of them from being read comes last, since it counts most.
    fn problems(&self) -> Vec<SourceProblem> {
        let mut all: Vec<SourceProblem> = Vec::new();
        let mut denied = Vec::new();
        for namespace in &self.namespaces {
            for problem in &namespace.problems {
                if problem.reason == "AccessDenied" {
                    denied.push((namespace.name.as_str(), problem));
                } else if !all.contains(problem) {
                    all.push(problem.clone());
                }
            }
        }
        all.extend(self.denial(&denied));
        all
    }

    fn denial(&self, denied: &[(&str, &SourceProblem)]) -> Option<SourceProblem> {
        let (_, first) = denied.first()?;
        if denied.iter().all(|(_, problem)| problem == first) && denied.len() == self.namespaces.len() {
            return Some((*first).clone());
        }
        let names: BTreeSet<&str> = denied.iter().map(|(name, _)| *name).collect();
        let mut named = names.iter().copied().take(NAMED).collect::<Vec<_>>().join(", ");
        if let Some(more) = names.len().checked_sub(NAMED).filter(|more| *more > 0) {
            named = format!("{named} and {more} more");
        }
        let all = names.len() == self.namespaces.len();
        let held = if all { "" } else { "; what is known of its objects there stays as it is" };
        Some(SourceProblem {
            reason: if all { "AccessDenied" } else { "ScopeForbidden" },
            message: format!("{}{held}", first.message),
            remedy: format!("grant list and watch on this kind in namespace {named}"),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Writes events down.
    #[derive(Default)]
    struct Log(Vec<String>);

    #[async_trait]
    impl EventSink for Log {
        async fn send(&mut self, event: Event) -> Result<(), Closed> {
            let name = |name: ObjectName| format!("{}/{}", name.namespace, name.name);
            self.0.push(match event {
                Event::ListBegin => "begin".to_owned(),
                Event::Object { name: of, version, .. } => format!("{} {version}", name(of)),
                Event::Deleted { name: of, version } => format!("-{} {version}", name(of)),
                Event::ListEnd => "end".to_owned(),
                Event::Problem(problem) => format!("{}: {}", problem.reason, problem.message),
                Event::Recovered => "well".to_owned(),
            });
            Ok(())
        }
    }

    fn object(namespace: &str, name: &str, version: u64) -> Event {
        let name = ObjectName { namespace: namespace.to_owned(), name: name.to_owned() };
        Event::Object { name, version, json: Arc::from(&b"{}"[..]) }
    }

    fn denied() -> Event {
        let (message, remedy) = ("no".to_owned(), String::new());
        Event::Problem(SourceProblem { reason: "AccessDenied", message, remedy })
    }

    /// What becomes of the events of namespaces a (0) and b (1).
    async fn merge(events: impl IntoIterator<Item = (usize, Event)>) -> Vec<String> {
        let (names, mut log) = (["a", "b"].map(str::to_owned).into(), Log::default());
        let mut merged = Merged::new(&names, &mut log);
        for (number, event) in events {
            merged.take(number, event).await.unwrap();
        }
        log.0
    }

    #[tokio::test]
    async fn the_merged_list_ends_with_the_last_and_a_relist_deletes_only_in_its_own_namespace() {
        let log = merge([
            (0, Event::ListBegin),
            (1, Event::ListBegin),
            (0, object("a", "x", 1)),
            (1, object("b", "x", 2)),
            (0, Event::ListEnd),
            // A list that breaks off and comes again without what it had brought.
            (1, Event::ListBegin),
            (1, object("b", "y", 3)),
            (1, Event::ListEnd),
            (0, object("a", "z", 4)),
            // The server no longer knows where the watch was.
            (0, Event::ListBegin),
            (0, object("a", "z", 4)),
            (0, Event::ListEnd),
        ])
        .await;
        let expected = ["begin", "a/x 1", "b/x 2", "b/y 3", "-b/x 0", "end", "a/z 4", "a/z 4", "-a/x 0"];
        assert_eq!(log, expected);
    }

    #[tokio::test]
    async fn a_namespace_that_is_denied_keeps_the_list_open_and_the_others_go_on() {
        let log = merge([
            (0, Event::ListBegin),
            (1, Event::ListBegin),
            (1, denied()),
            (0, object("a", "x", 1)),
            (0, Event::ListEnd),
            (0, object("a", "y", 2)),
            (1, Event::ListBegin),
            (1, object("b", "x", 3)),
            (1, Event::Recovered),
            (1, Event::ListEnd),
        ])
        .await;
        let told = "ScopeForbidden: no; what is known of its objects there stays as it is";
        assert_eq!(log, ["begin", "a/x 1", told, "a/y 2", "b/x 3", "end", "well"]);
    }

    #[tokio::test]
    async fn what_is_denied_everywhere_is_no_matter_of_single_namespaces() {
        let missing = || {
            Event::Problem(SourceProblem {
                reason: "KindNotFound",
                message: "unknown".to_owned(),
                remedy: String::new(),
            })
        };
        assert_eq!(merge([(0, denied()), (1, denied())]).await, ["AccessDenied: no"]);
        assert_eq!(merge([(0, missing()), (1, missing())]).await, ["KindNotFound: unknown"]);
    }

    #[tokio::test]
    async fn a_list_of_a_server_that_was_put_back_counts() {
        let log = merge([
            (0, Event::ListBegin),
            (1, Event::ListBegin),
            (0, object("a", "x", 9)),
            (0, Event::ListEnd),
            (1, Event::ListEnd),
            (0, Event::ListBegin),
            (0, object("a", "x", 5)),
            (0, Event::ListEnd),
        ])
        .await;
        assert_eq!(log, ["begin", "a/x 9", "end", "-a/x 0", "a/x 5"]);
    }
}
