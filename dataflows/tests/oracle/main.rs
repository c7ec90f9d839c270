//! The graph against a plain batch recomputation, over random histories of objects, plans, facts and lists.
//!
//! A history is a list of steps, a step a list of operations that are fed without waiting, so that the graph may take
//! them in as one epoch or as many. After each step a mark is awaited and everything that came out is compared:
//!
//! - the accumulated deltas equal the rows that a batch computation finds from scratch;
//! - each delta's row before is the row that was there;
//! - count and digest equal those of the rows, and a snapshot lists exactly the rows in key order;
//! - the accumulated groups of rollups equal the batch's;
//! - the accumulated problems, and the number of objects that each target selects, equal the batch's.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod history;
mod model;
mod rollups;
mod subject;

use std::collections::BTreeMap;

use history::{Change, Content, Op, history};
use kollect_dataflows::data::RowHash;
use model::{INVENTORIES, Model, Plan};
use proptest::prelude::*;
use subject::Subject;

fn run(history: &[Vec<Op>], workers: usize) {
    let mut model = Model::default();
    let mut subject = Subject::start(workers);
    for step in history {
        for op in step {
            subject.apply(op, &mut model);
        }
        subject.settle();
        compare(&model, &mut subject);
    }
}

fn compare(model: &Model, subject: &mut Subject) {
    for inventory in 0..INVENTORIES {
        let expected = model.inventory(inventory);
        let rows = subject.rows.entry(inventory).or_default();
        let actual: BTreeMap<_, _> =
            rows.iter().map(|(key, row)| (key.clone(), format!("{row:?}"))).collect();
        assert_eq!(actual, expected, "inventory {inventory}");
        for row in rows.values() {
            assert_eq!(row.hash(), RowHash::of_json(format!("{row:?}").as_bytes()));
        }
        let snapshot = subject.snapshot(inventory);
        assert!(snapshot.iter().eq(subject.rows[&inventory].values()), "snapshot of inventory {inventory}");
    }
    assert_eq!(subject.rolled_up(), model.rolled_up(), "rollups");
    assert_eq!(subject.problems, model.problems(), "problems");
    assert_eq!(subject.selected, model.selected(), "objects selected");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_worker_equals_the_batch_computation(history in history()) {
        run(&history, 1);
    }

    #[test]
    fn two_workers_equal_the_batch_computation(history in history()) {
        run(&history, 2);
    }

    #[test]
    fn four_workers_equal_the_batch_computation(history in history()) {
        run(&history, 4);
    }
}

/// Histories that once found a fault.
mod regressions {
    use super::*;

    fn content(name: (usize, usize), n: Option<i64>) -> Content {
        Content { name, recreate: false, team: true, wish: 0, v: 2, w: None, n }
    }

    fn plan(target: u32, profile: u8, selection: u8, during: Vec<Change>) -> Op {
        Op::Plan { target, watch: 1, profile, selection, during, own: false }
    }

    fn sees(target: u32, selection: u8, scope: Option<usize>, gates: Option<u8>) -> Op {
        Op::Sees { target, selection, scope, gates }
    }

    const FEEDS: Op = Op::Feeds { target: 3, inventory: 0, on: true };

    #[test]
    fn rows_of_a_target_on_hold_can_become_visible() {
        let upsert = Op::Upsert { watch: 1, content: content((0, 0), None) };
        let hold = vec![plan(3, 1, 0, vec![]), Op::Hold { target: 3 }];
        run(&[vec![upsert], hold, vec![FEEDS], vec![sees(3, 0, Some(0), Some(15))]], 1);
    }

    #[test]
    fn an_object_that_only_the_stream_brings_during_a_list_is_not_swept() {
        let during = vec![Change::Upsert(content((2, 3), Some(1)))];
        run(&[vec![sees(3, 0, None, Some(15)), FEEDS, plan(3, 5, 0, during)]], 2);
    }

    #[test]
    fn rows_that_move_between_workers_are_one_delta_or_none() {
        let upsert = |at: usize, n| Op::Upsert { watch: 1, content: content((at / 4, at % 4), n) };
        let dedupe = |by_resource| Op::Dedupe { inventory: 0, by_resource };
        let mut settled: Vec<Op> = (0..12).map(|at| upsert(at, None)).collect();
        settled.extend([sees(3, 0, None, Some(15)), FEEDS, plan(3, 5, 0, vec![])]);
        for workers in [2, 4] {
            let steps = [
                settled.clone(),
                vec![dedupe(true)],
                vec![dedupe(false), upsert(0, Some(1)), upsert(5, Some(1))],
                vec![upsert(7, Some(2)), dedupe(true), Op::Delete { watch: 1, name: (1, 0) }],
            ];
            run(&steps, workers);
        }
    }

    #[test]
    fn problems_of_a_target_on_hold_stay_when_the_object_goes() {
        let upsert = Op::Upsert { watch: 1, content: content((1, 1), None) };
        let delete = Op::Delete { watch: 1, name: (1, 1) };
        let steps = [
            vec![plan(3, 5, 0, vec![])],
            vec![upsert],
            vec![Op::Hold { target: 3 }],
            vec![delete, sees(3, 0, None, Some(15))],
        ];
        run(&steps, 1);
    }
}

/// What nobody may see in between, whatever the epochs.
mod transitions {
    use super::*;

    /// A target with a row each in two namespaces, which feeds an inventory.
    fn settled() -> (Model, Subject) {
        let (mut model, mut subject) = (Model::default(), Subject::start(1));
        let upsert = |name| {
            let content = Content { name, recreate: false, team: true, wish: 0, v: 2, w: None, n: Some(1) };
            Op::Upsert { watch: 1, content }
        };
        for op in [
            upsert((1, 0)),
            upsert((2, 0)),
            Op::Sees { target: 3, selection: 0, scope: None, gates: Some(1) },
            Op::Feeds { target: 3, inventory: 0, on: true },
            Op::Plan { target: 3, watch: 1, profile: 1, selection: 0, during: vec![], own: false },
        ] {
            subject.apply(&op, &mut model);
        }
        subject.settle();
        compare(&model, &mut subject);
        assert_eq!(subject.rows[&0].len(), 2);
        subject.deltas = 0;
        (model, subject)
    }

    fn apply(ops: impl IntoIterator<Item = Op>, model: &mut Model, subject: &mut Subject) {
        for op in ops {
            subject.apply(&op, model);
            // Each in an epoch of its own.
            subject.settle();
        }
        compare(model, subject);
    }

    #[test]
    fn a_selection_that_gives_the_same_rows_gives_no_delta() {
        let (mut model, mut subject) = settled();
        let ops = [
            Op::Sees { target: 3, selection: 1, scope: Some(1), gates: Some(1) },
            Op::Sees { target: 3, selection: 1, scope: Some(2), gates: Some(5) },
            Op::Plan { target: 3, watch: 1, profile: 1, selection: 1, during: vec![], own: false },
            Op::KeepSetting { target: 3 },
        ];
        apply(ops, &mut model, &mut subject);
        assert_eq!(subject.deltas, 0);
    }

    #[test]
    fn sight_of_all_namespaces_becomes_sight_of_each_without_a_delta() {
        let (mut model, mut subject) = settled();
        let see = |scope, gates| Op::Sees { target: 3, selection: 0, scope, gates };
        let ops = [see(Some(1), Some(1)), see(Some(2), Some(1)), see(None, None)];
        apply(ops, &mut model, &mut subject);
        assert_eq!(subject.deltas, 0);
        apply([see(Some(1), Some(0))], &mut model, &mut subject);
        assert_eq!(subject.deltas, 1);
    }

    #[test]
    fn rows_of_another_kind_go_when_a_list_that_began_after_the_plan_ends() {
        let (mut model, mut subject) = settled();
        let upsert = |n| {
            let content =
                Content { name: (1, 1), recreate: false, team: true, wish: 0, v: 2, w: None, n: Some(n) };
            Op::Upsert { watch: 0, content }
        };
        apply([upsert(1)], &mut model, &mut subject);
        // The plan comes while the other kind is being listed: what it was not there for may be missing.
        let list = subject.begin_list(0);
        subject.set(3, &Plan { watch: 0, profile: 1, selection: 0 });
        subject.end_list(0, list);
        subject.settle();
        assert_eq!((subject.rows[&0].len(), subject.deltas), (2, 0));
        let plan = Op::Plan { target: 3, watch: 0, profile: 1, selection: 0, during: vec![], own: false };
        apply([plan], &mut model, &mut subject);
        assert_eq!((subject.rows[&0].len(), subject.deltas), (1, 3));
    }

    #[test]
    fn a_change_of_sight_is_one_epoch() {
        let (mut model, mut subject) = settled();
        // Taken back and said anew in one call: neither is seen alone.
        let swap = Op::SeesOnly { target: 3, selection: 0, namespaces: vec![1, 2], gates: 1 };
        apply(
            [swap.clone(), Op::Sees { target: 3, selection: 0, scope: None, gates: Some(1) }],
            &mut model,
            &mut subject,
        );
        assert_eq!(subject.deltas, 0);
        apply([swap], &mut model, &mut subject);
        assert_eq!(subject.deltas, 0);
    }
}
