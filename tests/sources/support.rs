//! A watch under test: takes events and keeps what a taker would know by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kollect::sources::{Closed, Event, EventSink, Mode, ObjectName, Source};
use kollect_dataflows::data::Gvk;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a condition is waited for before the test fails.
const LIMIT: Duration = Duration::from_secs(90);

struct Sink(UnboundedSender<Event>);

#[async_trait]
impl EventSink for Sink {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        self.0.send(event).map_err(|_| Closed)
    }
}

/// What the events so far amount to.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) objects: BTreeMap<String, (u64, Value)>,
    /// Lists that were complete.
    pub(crate) lists: usize,
    pub(crate) problems: Vec<(String, String)>,
    /// All events, as short text.
    pub(crate) log: Vec<String>,
    listed: Option<BTreeSet<String>>,
}

impl Known {
    fn apply(&mut self, event: Event) {
        let short = |name: &ObjectName| match name.namespace.as_str() {
            "" => name.name.clone(),
            namespace => format!("{namespace}/{}", name.name),
        };
        match event {
            Event::ListBegin => {
                self.listed = Some(BTreeSet::new());
                self.log.push("begin".into());
            }
            Event::Object { name, version, json } => {
                let name = short(&name);
                let json: Value = serde_json::from_slice(&json).unwrap();
                self.log.push(format!("+{name}"));
                self.listed.iter_mut().for_each(|listed| {
                    listed.insert(name.clone());
                });
                self.objects.insert(name, (version, json));
            }
            Event::Deleted { name, .. } => {
                let name = short(&name);
                self.log.push(format!("-{name}"));
                self.objects.remove(&name);
            }
            Event::ListEnd => {
                self.log.push("end".into());
                self.lists += 1;
                let listed = self.listed.take().expect("a list ends that did not begin");
                self.objects.retain(|name, _| listed.contains(name));
            }
            Event::Problem(problem) => {
                self.log.push(format!("!{} {problem}", problem.reason));
                self.problems.push((problem.reason.to_owned(), problem.to_string()));
            }
            Event::Recovered => {
                self.log.push("recovered".into());
                self.problems.clear();
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.objects.keys().map(String::as_str).collect()
    }

    pub(crate) fn at(&self, name: &str, pointer: &str) -> Value {
        self.objects.get(name).and_then(|(_, json)| json.pointer(pointer)).cloned().unwrap_or_default()
    }

    pub(crate) fn has_problem(&self, reason: &str) -> bool {
        self.problems.iter().any(|(known, _)| known == reason)
    }
}

/// A watch that runs.
pub(crate) struct Watching {
    events: UnboundedReceiver<Event>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    pub(crate) known: Known,
}

impl Watching {
    pub(crate) fn begin(source: &Arc<impl Source + 'static>, gvk: &Gvk, mode: Mode) -> Self {
        let (sender, events) = unbounded_channel();
        let stop = CancellationToken::new();
        let (source, gvk, token) = (Arc::clone(source), gvk.clone(), stop.clone());
        let task = tokio::spawn(async move {
            source.watch(&gvk, mode, &mut Sink(sender), &token).await;
        });
        Self { events, stop, task, known: Known::default() }
    }

    /// Takes events until something is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Known) -> bool) -> &Known {
        let deadline = tokio::time::Instant::now() + LIMIT;
        while !is_so(&self.known) {
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Some(event)) => self.known.apply(event),
                Ok(None) => panic!("the watch ended; waited for: {what}; events: {:#?}", self.known.log),
                Err(_) => panic!("not within {LIMIT:?}: {what}; events: {:#?}", self.known.log),
            }
        }
        &self.known
    }

    /// Takes events until these are the objects.
    pub(crate) async fn until_names(&mut self, names: &[&str]) -> &Known {
        self.until(&format!("objects are {names:?}"), |known| known.names() == names).await
    }

    /// Takes all events of a watch that ends by itself.
    pub(crate) async fn finish(mut self) -> Known {
        let all = async {
            while let Some(event) = self.events.recv().await {
                self.known.apply(event);
            }
        };
        if tokio::time::timeout(LIMIT, all).await.is_err() {
            panic!("the watch did not end; events: {:#?}", self.known.log);
        }
        self.task.await.unwrap();
        self.known
    }

    /// Stops the watch; gives what it reported last.
    pub(crate) async fn stop(self) -> Known {
        self.stop.cancel();
        self.finish().await
    }

    /// Forgets the events so far, not what they amount to.
    pub(crate) fn forget_log(&mut self) {
        self.known.log.clear();
    }
}

/// Waits until something is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
