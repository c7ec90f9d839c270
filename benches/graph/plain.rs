//! The plain way: the rows lie in a map, and after every change the whole document is built anew and compared with the last one.
//!
//! Extraction, rows and their JSON are the graph's own, so the difference is what it takes to find out what changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use kollect_dataflows::data::{Row, TargetName};

use super::subject::{Extractor, Feed, List, MOVING, Subject};
use crate::support::objects::{Deployment, number_of};

/// Objects of a list that may wait: about as many bytes as wait for the graph.
const WAITING: usize = 700;

/// Target, namespace and name.
type Key = (usize, String, String);

pub(crate) struct Plain {
    extractor: Extractor,
    targets: [Arc<TargetName>; 2],
    rows: HashMap<Key, Row>,
    closed: bool,
    document: Vec<u8>,
    changes: Receiver<Deployment>,
    sender: Sender<Deployment>,
}

impl Plain {
    pub(crate) fn start() -> Self {
        let (sender, changes) = channel();
        Self {
            extractor: Extractor::new(),
            targets: ["deployments", "others"].map(|name| Arc::new(TargetName::new("platform", name))),
            rows: HashMap::new(),
            closed: false,
            document: Vec::new(),
            changes,
            sender,
        }
    }

    /// Puts an object's row into the map; whether it differs.
    fn put(&mut self, target: usize, Deployment { namespace, name, json }: Deployment) -> bool {
        let row = self.extractor.row(&self.targets[target], &json);
        let before = self.rows.insert((target, namespace, name), row.clone());
        before.is_none_or(|before| before != row)
    }

    /// Builds the document anew, and compares.
    fn rebuild(&mut self) {
        let visible = self.rows.values().filter(|row| !self.closed || row.namespace() != MOVING);
        let mut rows: Vec<&Row> = visible.collect();
        rows.sort_unstable_by(|a, b| a.cmp_key(b));
        let mut document = Vec::with_capacity(self.document.len());
        document.push(b'[');
        for (at, row) in rows.into_iter().enumerate() {
            if at > 0 {
                document.push(b',');
            }
            row.write_json(&mut document);
        }
        document.push(b']');
        if document != self.document {
            self.document = document;
        }
    }

    fn list_of(&mut self, target: usize, list: List) -> u64 {
        let (sender, objects) = sync_channel(WAITING);
        let feeder = thread::spawn(move || {
            for number in 0..list.objects.rows {
                sender.send(list.objects.object(number, list.content)).unwrap();
            }
        });
        let changed = objects.iter().map(|object| u64::from(self.put(target, object))).sum();
        feeder.join().unwrap();
        self.rebuild();
        changed
    }
}

impl Subject for Plain {
    fn list(&mut self, list: List) -> u64 {
        self.list_of(0, list)
    }

    fn change(&mut self, objects: Vec<Deployment>) -> u64 {
        let changed = objects.into_iter().map(|object| u64::from(self.put(0, object))).sum();
        self.rebuild();
        changed
    }

    fn see(&mut self, open: bool) -> u64 {
        self.closed = !open;
        self.rebuild();
        self.rows.values().filter(|row| row.namespace() == MOVING).count() as u64
    }

    fn add_target(&mut self, list: List) -> u64 {
        self.list_of(1, list)
    }

    fn remove_target(&mut self) -> u64 {
        let before = self.rows.len();
        self.rows.retain(|(target, ..), _| *target == 0);
        self.rebuild();
        (before - self.rows.len()) as u64
    }

    fn feed(&mut self) -> Feed {
        let sender = self.sender.clone();
        Box::new(move |object| sender.send(object).unwrap())
    }

    fn next(&mut self) -> Vec<u64> {
        let first = self.changes.recv().unwrap();
        let waiting: Vec<Deployment> = std::iter::once(first).chain(self.changes.try_iter()).collect();
        let numbers = waiting.iter().map(|object| number_of(&object.name)).collect();
        for object in waiting {
            self.put(0, object);
        }
        self.rebuild();
        numbers
    }
}
