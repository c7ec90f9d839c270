//! What waits for a binding, without the binding.

use std::time::Duration;

use futures::FutureExt;
use kollect_dataflows::data::{Delta, Row};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::world::World;
use super::{OPTIONS, row};
use crate::export::Phase;
use crate::export::inbox::{Event, Inbox};
use crate::export::pending::Changes;

/// Histories of few rows: each step gives one of them a content, or takes it away.
fn history() -> impl Strategy<Value = Vec<Vec<(u8, Option<u8>)>>> {
    let change = (0..6u8, proptest::option::weighted(0.7, 0..3u8));
    prop::collection::vec(prop::collection::vec(change, 0..6), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_put_together_lead_from_the_first_state_to_the_last(
        before in prop::collection::btree_map(0..6u8, 0..3u8, 0..6),
        epochs in history(),
        keep_vanished: bool,
    ) {
        let at = |id: u8, content: u8| row(if id < 3 { "a" } else { "b" }, &id.to_string(), &content.to_string());
        let mut now = before.clone();
        let mut changes = Changes::new(keep_vanished);
        let mut touched = std::collections::BTreeSet::new();
        for epoch in epochs {
            for (id, content) in epoch {
                let old: Option<Row> = now.get(&id).map(|content| at(id, *content));
                let new: Option<Row> = content.map(|content| at(id, content));
                match content {
                    Some(content) => now.insert(id, content),
                    None => now.remove(&id),
                };
                let delta = match (old, new) {
                    (None, Some(new)) => Delta::Insert(new),
                    (Some(old), Some(new)) if old != new => Delta::Update { before: old, after: new },
                    (Some(old), None) => Delta::Delete(old),
                    _ => continue,
                };
                touched.insert(id);
                changes.extend(&[delta]);
            }
        }
        let sorted = changes.into_sorted();
        prop_assert!(sorted.is_sorted_by(|a, b| a.last.key() < b.last.key()));
        let mut state = before.clone();
        for pending in &sorted {
            let id: u8 = pending.last.name().parse().unwrap();
            let known = before.get(&id).map(|content| at(id, *content));
            prop_assert_eq!(&pending.before, &known);
            match (pending.after(), now.get(&id)) {
                (Some(after), Some(content)) => {
                    prop_assert_ne!(pending.before.as_ref(), Some(after));
                    prop_assert_eq!(after, &at(id, *content));
                    state.insert(id, *content);
                }
                (None, None) => { state.remove(&id); }
                _ => prop_assert!(false, "{:?} is not how row {} ended", pending, id),
            }
        }
        prop_assert_eq!(&state, &now);
        // A row that came and went is mentioned only when the destination may hold it.
        let vanished = touched.iter().filter(|id| !before.contains_key(id) && !now.contains_key(id)).count();
        let mentioned = sorted.iter().filter(|p| p.before.is_none() && !p.present).count();
        prop_assert_eq!(mentioned, if keep_vanished { vanished } else { 0 });
    }
}

#[test]
fn changes_of_few_rows_take_little_room_however_many_come() {
    let mut changes = Changes::default();
    let mut last = row("a", "1", "start");
    for i in 0..50_000u32 {
        let after = row("a", "1", if i % 2 == 0 { "x" } else { "y" });
        changes.extend(&[Delta::Update { before: last, after: after.clone() }]);
        last = after;
        assert!(changes.len() <= 5_000, "{} changes of one row", changes.len());
    }
    assert_eq!(changes.into_sorted().len(), 1);
}

#[tokio::test]
async fn only_the_last_request_for_a_look_counts() {
    let (server, world, stop) = (Server::default(), World::hydrated(), CancellationToken::new());
    let inbox = Inbox::new(&server.rows("x"), Duration::ZERO);
    let (first, second, third) = (inbox.ask(), inbox.ask(), inbox.ask());
    assert!(!first.is_wanted() && !second.is_wanted() && third.is_wanted());
    drop(first);
    second.answer(world.lock().look());
    assert!(inbox.next(None, &stop).now_or_never().is_none());
    third.answer(world.lock().look());
    assert!(matches!(inbox.next(None, &stop).now_or_never(), Some(Event::Look(_))));
    assert!(inbox.next(None, &stop).now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn changes_are_counted_and_not_kept_until_a_look_is_answered() {
    let (server, world) = (Server::default(), World::hydrated());
    world.lock().ready = false;
    server.lock().latency = Duration::from_secs(5);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.until(|status| status.phase == Phase::Hydrating).await;
    for i in 0..20_000 {
        world.put([row("a", "1", &i.to_string())]);
    }
    // Kept, they would have been put together by now.
    assert_eq!(bound.inbox.backlog().changes, 20_000);
    world.make_ready();
    // What is being written is still on its way.
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.put([row("a", "1", "last")]);
    let backlog = bound.inbox.backlog();
    assert_eq!((backlog.changes, backlog.lag()), (20_001, Duration::from_secs(2)));
    bound.settled().await;
    assert_eq!(bound.inbox.backlog(), Default::default());
    assert_eq!(server.lock().batches, [1, 1]);
}
