//! What did not change costs nothing after extraction, and what is known to be unchanged not even that.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use kollect_dataflows::data::{Gvk, InventoryId, RollupId, TargetId, TargetName, WatchId};
use kollect_dataflows::extract::{AttributeSpec, Gates, Profile, ProfileSpec, Selection};
use kollect_dataflows::graph::{
    self, Change, Dedupe, Epochs, GateSetting, Handle, ListScope, Options, Scope, TargetPlan, Work,
};
use kollect_dataflows::rollup::{Aggregate, Field, Op, RollupSpec};

const WATCH: WatchId = WatchId(1);
const TARGET: TargetId = TargetId(1);
const OBJECTS: u64 = 50;

/// Everything that came out since the last mark.
#[derive(Debug, Default, PartialEq)]
struct Came {
    work: Work,
    deltas: usize,
    groups: usize,
    problems: usize,
}

struct Subject {
    handle: Handle,
    epochs: Epochs,
}

impl Subject {
    /// Two inventories, one of which dedupes, and a rollup, over one target.
    fn start(workers: usize) -> Self {
        let (handle, epochs) = graph::start(Options { workers, ..Options::default() }).unwrap();
        let setting = GateSetting::default();
        let attribute = |name: &str, path: &str| AttributeSpec {
            name: name.into(),
            path: path.into(),
            ..AttributeSpec::default()
        };
        let attributes = vec![
            attribute("replicas", "$.spec.replicas"),
            attribute("twice", "cel:object.spec.replicas * 2"),
        ];
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let profile = Profile::compile(&ProfileSpec { gvk, attributes, ..ProfileSpec::default() }).unwrap();
        let plan = TargetPlan {
            id: TARGET,
            name: Arc::new(TargetName::new("team", "apps")),
            watch: WATCH,
            profile: Arc::new(profile),
            selection: Arc::new(Selection::everything()),
            setting,
        };
        let rollup = RollupSpec {
            group_by: vec![Field::parse("namespace")],
            aggregates: vec![Aggregate { op: Op::Sum, field: Some(Field::parse("replicas")) }],
        };
        let feed = |inventory, dedupe| Change::Feed {
            target: TARGET,
            inventory: InventoryId(inventory),
            dedupe: Some(dedupe),
        };
        let changes = [
            Change::See { target: TARGET, setting, scope: Scope::Everywhere, gates: Some(Gates::ALL) },
            feed(1, Dedupe::KeepAll),
            feed(2, Dedupe::ByResource),
            Change::Rollup { rollup: RollupId(1), inventory: InventoryId(1), spec: Some(Arc::new(rollup)) },
            Change::SetTarget(Arc::new(plan)),
        ];
        handle.change(changes).unwrap();
        Self { handle, epochs }
    }

    /// Lists all objects, of this version, whose labels hold a text that nothing reads; and says what came of it.
    fn list(&mut self, version: u64, replicas: u64, unread: &str) -> Came {
        let list = self.handle.list_begin(WATCH, ListScope::Watch).unwrap();
        for number in 0..OBJECTS {
            let (namespace, name) = (format!("ns-{}", number % 5), format!("app-{number}"));
            let json = format!(
                r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}","uid":"u-{number}","labels":{{"unread":"{unread}"}}}},"spec":{{"replicas":{replicas}}}}}"#
            );
            self.handle
                .object(WATCH, Some(list), &namespace, &name, version, json.into_bytes().into())
                .unwrap();
        }
        self.handle.list_end(WATCH, list).unwrap();
        self.settle()
    }

    fn settle(&mut self) -> Came {
        let mark = self.handle.mark().unwrap();
        let mut came = Came::default();
        loop {
            let epoch = self.epochs.recv().unwrap();
            came.work.objects += epoch.work.objects;
            came.work.extractions += epoch.work.extractions;
            came.work.row_differences += epoch.work.row_differences;
            came.deltas += epoch.inventories.values().map(|changed| changed.deltas.len()).sum::<usize>();
            came.groups += epoch.rollups.values().map(|changed| changed.deltas.len()).sum::<usize>();
            came.problems += epoch.problems.len();
            if epoch.marks.contains(&mark) {
                return came;
            }
        }
    }
}

fn came(extractions: u64, row_differences: u64, deltas: usize, groups: usize) -> Came {
    Came { work: Work { objects: OBJECTS, extractions, row_differences }, deltas, groups, problems: 0 }
}

#[test]
fn what_does_not_change_causes_no_work() {
    for workers in [1, 2] {
        let mut subject = Subject::start(workers);
        let first = subject.list(1, 3, "a");
        assert_eq!((first.work.row_differences, first.deltas), (OBJECTS, 2 * OBJECTS as usize));
        assert!(first.groups >= 5, "{first:?}");
        // The same objects again: the versions tell that nothing has changed.
        assert_eq!(subject.list(1, 3, "a"), came(0, 0, 0, 0));
        // Other versions, other content, but nothing that a profile reads.
        assert_eq!(subject.list(2, 3, "b"), came(OBJECTS, 0, 0, 0));
        let changed = subject.list(3, 4, "b");
        assert_eq!((changed.work.extractions, changed.work.row_differences), (OBJECTS, 2 * OBJECTS));
        assert_eq!(changed.deltas, 2 * OBJECTS as usize);
        // The facts that hold, said again.
        let feed = Change::Feed { target: TARGET, inventory: InventoryId(1), dedupe: Some(Dedupe::KeepAll) };
        subject.handle.change([feed]).unwrap();
        assert_eq!(subject.settle(), Came::default());
    }
}
