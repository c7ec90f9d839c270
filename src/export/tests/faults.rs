//! One test a fault; at the end the destination equals the inventory, and nothing was written twice.

use std::time::Duration;

use super::server::{Fault, Server, interrupted, unreachable};
use super::world::{Bound, World, chunks};
use super::{OPTIONS, row};
use crate::export::rows::MOST_SET_ASIDE;
use crate::export::{BindingStatus, Phase};
use crate::sinks::SinkError;

fn start() -> (Server, World, Bound) {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..10).map(|i| row("a", &i.to_string(), "0")));
    let bound = world.bind(server.rows("x"), OPTIONS);
    (server, world, bound)
}

async fn ends_well(server: &Server, world: &World, mut bound: Bound) -> BindingStatus {
    let status = bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.lock().violations, Vec::<String>::new());
    assert_eq!(status.totals.drift_repaired, 0);
    status
}

#[tokio::test(start_paused = true)]
async fn connection_refused_is_tried_again() {
    let (server, world, mut bound) = start();
    server.fail([Fault::Connect(unreachable()), Fault::Connect(unreachable())]);
    let status = bound.until(|status| status.phase != Phase::Connecting).await;
    assert!(
        matches!(status.phase, Phase::Retrying { reason: "SinkUnreachable", attempt: 1, .. }),
        "{status:?}"
    );
    let status = ends_well(&server, &world, bound).await;
    assert_eq!(server.lock().connects.len(), 3);
    assert_eq!(status.last_error.unwrap().error, unreachable());
}

#[tokio::test(start_paused = true)]
async fn connection_lost_before_the_commit_loses_no_change() {
    let (server, world, mut bound) = start();
    bound.settled().await;
    server.fail([Fault::Before(interrupted())]);
    world.put([row("a", "1", "1")]);
    ends_well(&server, &world, bound).await;
    assert_eq!(server.lock().batches, [10, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_the_commit_writes_nothing_twice() {
    let (server, world, mut bound) = start();
    bound.settled().await;
    server.fail([Fault::LostReply]);
    world.put([row("a", "1", "1"), row("a", "new", "1")]);
    ends_well(&server, &world, bound).await;
    assert_eq!(server.lock().batches, [10, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_in_the_first_load_writes_nothing_twice() {
    let (server, world, bound) = start();
    server.fail([Fault::LostReply]);
    ends_well(&server, &world, bound).await;
    assert_eq!(server.lock().batches, [10]);
}

#[tokio::test(start_paused = true)]
async fn connection_lost_while_reading_deletes_and_writes_nothing() {
    let (server, world, bound) = start();
    let rows: Vec<_> = (0..10).map(|i| row("a", &i.to_string(), "0")).collect();
    server.has("x", &rows);
    server.fail([Fault::Read(0, interrupted()), Fault::Read(5, interrupted())]);
    ends_well(&server, &world, bound).await;
    assert_eq!(server.lock().writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn changes_during_an_outage_arrive_after_it() {
    let (server, world, mut bound) = start();
    bound.settled().await;
    server.fail([Fault::Before(interrupted())]);
    server.fail(std::iter::repeat_n(Fault::Connect(unreachable()), 8));
    world.put([row("a", "1", "1")]);
    for i in 0..50 {
        world.put([row("a", "2", &format!("{i} s"))]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let backlog = bound.inbox.backlog();
    assert_eq!((backlog.changes, backlog.lag()), (51, Duration::from_secs(50)));
    ends_well(&server, &world, bound).await;
    assert_eq!(server.lock().batches, [10, 2]);
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_the_circuit_and_one_probe_closes_it() {
    let (server, world, mut bound) = start();
    server.fail(std::iter::repeat_n(Fault::Connect(unreachable()), 7));
    let status = bound.until(|status| matches!(status.phase, Phase::CircuitOpen { .. })).await;
    assert_eq!(status.reason(), "CircuitOpen");
    assert_eq!(server.lock().connects.len(), 5);
    ends_well(&server, &world, bound).await;
    let server = server.lock();
    let pauses: Vec<_> = server.connects.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (before, open) = pauses.split_at(4);
    // Full jitter: anything up to a bound that doubles. Virtual time moves by milliseconds.
    for (pause, bound) in before.iter().zip([100, 200, 400, 800]) {
        assert!(*pause <= Duration::from_millis(bound + 1), "{before:?}");
    }
    assert_eq!(open, [Duration::from_secs(30); 3]);
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_not_in_a_row_do_not_open_the_circuit() {
    let (server, world, mut bound) = start();
    for i in 1..20 {
        bound.settled().await;
        server.fail([Fault::Before(interrupted())]);
        world.put([row("a", "1", &i.to_string())]);
        let status = bound.until(|status| status.phase != Phase::Live).await;
        assert!(!matches!(status.phase, Phase::CircuitOpen { .. }));
    }
    ends_well(&server, &world, bound).await;
}

#[tokio::test(start_paused = true)]
async fn a_terminal_error_stops_the_binding_and_says_why() {
    let (server, world, mut bound) = start();
    let error =
        SinkError::Terminal { message: "the authority is not PEM".into(), hint: "check spec.tls".into() };
    server.fail([Fault::Before(error.clone())]);
    let status = bound.until(|status| matches!(status.phase, Phase::Stopped { .. })).await;
    let Phase::Stopped { reason, message, next } = status.phase else { panic!() };
    assert_eq!((reason, message.as_str()), ("ExportTerminal", "the authority is not PEM; check spec.tls"));
    assert_eq!(next, None);
    tokio::time::sleep(Duration::from_secs(3000)).await;
    world.put([row("a", "1", "1")]);
    assert_eq!(server.lock().connects.len(), 1);
    let finished = bound.finish().await;
    assert_eq!(finished.status.last_error.unwrap().error, error);
    assert!(finished.status.backlog.changes > 0);
}

#[tokio::test(start_paused = true)]
async fn a_binding_goes_on_when_the_destination_is_put_right() {
    let (message, hint) = (|| "something is wrong".to_owned(), || "put it right".to_owned());
    for error in [
        SinkError::Denied { message: message(), hint: hint() },
        SinkError::Shape { message: message(), hint: hint() },
        SinkError::Broken { message: message(), hint: hint() },
    ] {
        let (server, world, mut bound) = start();
        server.fail(std::iter::repeat_n(Fault::Connect(error), 10));
        bound.until(|status| matches!(status.phase, Phase::Stopped { next: Some(_), .. })).await;
        ends_well(&server, &world, bound).await;
        let server = server.lock();
        assert!(server.connects.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_secs(60)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_row_is_set_aside_and_the_rest_goes_through() {
    let (server, world, mut bound) = start();
    bound.settled().await;
    world.put((0..10).map(|i| row("a", &i.to_string(), if i == 7 { "bad" } else { "1" })));
    let status = bound.settled().await;
    assert_eq!(status.set_aside.count, 1);
    assert_eq!(status.set_aside.shown[0].key, "team/a/shop/7/7");
    assert_eq!(status.set_aside.shown[0].message, "the value is out of range");
    assert_eq!(status.reason(), "ExportTerminal");
    assert_eq!(server.lock().batches.iter().sum::<usize>(), 10 + 9);
    // The others go on without it, and when it changes it is tried again.
    let before = server.lock().batches.len();
    world.put([row("a", "3", "2")]);
    bound.settled().await;
    assert_eq!(server.lock().batches.len(), before + 1);
    world.put([row("a", "7", "good")]);
    let status = ends_well(&server, &world, bound).await;
    assert_eq!(status.set_aside, Default::default());
    assert_eq!(status.reason(), "Exported");
}

#[tokio::test(start_paused = true)]
async fn a_refused_row_that_goes_is_deleted_only_where_an_older_version_is() {
    let (server, world, mut bound) = start();
    bound.settled().await;
    world.put([row("a", "3", "bad"), row("a", "new", "bad")]);
    let status = bound.settled().await;
    assert_eq!(status.set_aside.count, 2);
    world.remove([row("a", "3", ""), row("a", "new", "")]);
    let status = ends_well(&server, &world, bound).await;
    assert_eq!(status.set_aside.count, 0);
    assert_eq!(server.lock().deleted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_row_is_tried_again_when_rows_are_compared() {
    let (server, world, mut bound) = start();
    world.put([row("a", "3", "bad")]);
    let status = bound.settled().await;
    assert_eq!(status.set_aside.count, 1);
    let compared = status.last_compared;
    world.set_target("b", Some(true));
    let status = bound.until(|status| status.last_compared > compared).await;
    assert_eq!((status.set_aside.count, status.totals.drift_repaired), (1, 0));
    assert_eq!(server.lock().violations, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_everything_is_tried_again_slowly() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..=MOST_SET_ASIDE).map(|i| row("a", &i.to_string(), "bad")));
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    let status = bound.until(|status| matches!(status.phase, Phase::Stopped { .. })).await;
    let error = status.last_error.unwrap().error.to_string();
    assert!(error.contains("refuses more than 1000 rows"), "{error}");
    // A profile that is put right changes rows only.
    world.put((0..=MOST_SET_ASIDE).map(|i| row("a", &i.to_string(), "good")));
    ends_well(&server, &world, bound).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_that_breaks_off_deletes_nothing() {
    let (server, world) = (Server::default(), World::hydrated());
    let rows: Vec<_> = (0..10).map(|i| row("a", &i.to_string(), "0")).collect();
    server.has("x", &rows);
    world.put(rows);
    for broken in [0, 5, 9] {
        world.lock().breaks_after = Some(broken);
        let mut bound = world.bind(server.rows("x"), OPTIONS);
        let status = bound.until(|status| status.last_error.is_some()).await;
        assert!(status.last_error.unwrap().error.is_retryable());
        world.lock().breaks_after = None;
        ends_well(&server, &world, bound).await;
        assert_eq!(server.lock().writes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_out_of_order_deletes_nothing() {
    let (server, world) = (Server::default(), World::hydrated());
    let rows: Vec<_> = (0..10).map(|i| row("a", &i.to_string(), "0")).collect();
    server.has("x", &rows);
    world.put(rows.clone());
    let disorder = rows.into_iter().rev().collect();
    let mut disorder = Some(disorder);
    world.lock().spoil = Some(Box::new(move |look| {
        if let Some(rows) = disorder.take() {
            look.rows = chunks(rows);
        }
    }));
    let bound = world.bind(server.rows("x"), OPTIONS);
    let status = ends_well(&server, &world, bound).await;
    assert_eq!(server.lock().writes(), 0);
    assert!(status.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_look_older_than_what_was_offered_is_not_used() {
    let (server, world, mut bound) = start();
    bound.settled().await;
    // The dispatcher has offered two epochs more than the look knows of.
    let mut stale = 2;
    world.lock().spoil = Some(Box::new(move |look| {
        if stale > 0 {
            stale -= 1;
            look.epoch -= 2;
        }
    }));
    world.put([row("a", "1", "1")]);
    world.put([row("a", "1", "2")]);
    bound.inbox.look_again();
    world.put([row("a", "1", "3")]);
    ends_well(&server, &world, bound).await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_lists_rows_out_of_order_or_twice_is_not_believed() {
    for twice in [false, true] {
        let (server, world) = (Server::default(), World::hydrated());
        let rows: Vec<_> = (0..10).map(|i| row("a", &i.to_string(), "0")).collect();
        server.has("x", &rows);
        server.lock().disorder = Some(Box::new(move |rows| {
            if twice {
                rows.insert(4, rows[3].clone());
            } else {
                rows.swap(3, 8);
            }
        }));
        world.put(rows);
        let mut bound = world.bind(server.rows("x"), OPTIONS);
        let status = bound.until(|status| matches!(status.phase, Phase::Stopped { .. })).await;
        let error = status.last_error.unwrap().error.to_string();
        assert!(error.contains("after row team/a/shop/"), "{error}");
        assert_eq!(server.lock().writes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_binding_whose_look_is_dropped_ends() {
    let (server, world, mut bound) = start();
    world.lock().ready = false;
    bound.until(|status| status.phase == Phase::Hydrating).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.forget_bindings();
    bound.ends().await;
    assert_eq!(server.lock().writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_while_ending_is_reported_and_not_tried_again() {
    let (server, world, mut bound) = start();
    bound.settled().await;
    server.lock().latency = Duration::from_secs(1);
    server.fail([Fault::Before(interrupted())]);
    world.put([row("a", "1", "1")]);
    let finished = bound.finish().await;
    assert_eq!(finished.status.last_error.unwrap().error, interrupted());
    assert_eq!(finished.status.backlog.changes, 1);
    assert_eq!(server.lock().connects.len(), 1);
}
