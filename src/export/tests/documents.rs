//! Destinations whose unit is the whole inventory.

use std::time::Duration;

use super::server::{Fault, Server, interrupted};
use super::world::World;
use super::{OPTIONS, row, target};
use crate::export::{Options, Phase};

#[tokio::test(start_paused = true)]
async fn a_document_follows_the_inventory() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "0"), row("a", "2", "0")]);
    let mut bound = world.bind(server.document("x"), OPTIONS);
    let status = bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!((status.totals.inserted, status.totals.files_written), (2, 1));
    world.put([row("a", "1", "1")]);
    world.remove([row("a", "2", "0")]);
    let status = bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!((status.totals.updated, status.totals.deleted), (1, 1));
    assert_eq!(status.totals.drift_repaired, 0);
    assert_eq!(status.settled.unwrap().digest, world.lock().digest());
}

#[tokio::test(start_paused = true)]
async fn changes_while_a_document_is_written_make_one_more() {
    let (server, world) = (Server::default(), World::hydrated());
    server.lock().latency = Duration::from_secs(1);
    let mut bound = world.bind(server.document("x"), OPTIONS);
    world.put([row("a", "1", "0")]);
    bound.settled().await;
    world.put([row("a", "1", "1")]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for i in 0..100 {
        world.put([row("a", &i.to_string(), "1")]);
    }
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.lock().batches, [1, 1, 99]);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_restart_writes_no_document() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "0")]);
    let mut bound = world.bind(server.document("x"), OPTIONS);
    bound.settled().await;
    bound.kill().await;
    world.bind(server.document("x"), OPTIONS).settled().await;
    assert_eq!(server.lock().batches, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_document_keeps_rows_of_a_target_that_is_not_hydrated() {
    let (server, world) = (Server::default(), World::hydrated());
    server.has("x", &[row("a", "1", "gone"), row("b", "2", "unknown")]);
    world.set_target("b", Some(false));
    let mut bound = world.bind(server.document("x"), OPTIONS);
    bound.settled().await;
    assert_eq!(server.lock().keep, [target("b")]);
    assert_eq!(server.holds("x").len(), 1);
    world.set_target("b", Some(true));
    bound.until(|status| status.totals.deleted == 2).await;
    assert_eq!(server.holds("x"), []);
}

#[tokio::test(start_paused = true)]
async fn a_document_changed_by_hand_is_put_right_and_counted() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "0"), row("a", "2", "0")]);
    let options = Options { min_interval: Duration::from_secs(30), ..OPTIONS };
    let mut bound = world.bind(server.document("x"), options);
    bound.settled().await;
    server.lock().tables.clear();
    let status = bound.until(|status| status.totals.drift_repaired > 0).await;
    assert_eq!(status.totals.drift_repaired, 2);
    assert_eq!(server.holds("x"), world.expected());
}

#[tokio::test(start_paused = true)]
async fn a_document_is_not_written_from_a_look_that_breaks_off() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..10).map(|i| row("a", &i.to_string(), "0")));
    let mut bound = world.bind(server.document("x"), OPTIONS);
    bound.settled().await;
    for broken in [0, 5, 9] {
        world.lock().breaks_after = Some(broken);
        world.put([row("a", "3", &format!("after {broken}"))]);
        bound.until(|status| matches!(status.phase, Phase::CircuitOpen { .. })).await;
        assert_eq!(server.holds("x").len(), 10);
        world.lock().breaks_after = None;
        bound.settled().await;
        assert_eq!(server.holds("x"), world.expected());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_does_not_write_a_document_twice() {
    let (server, world) = (Server::default(), World::hydrated());
    server.fail([Fault::LostReply, Fault::Before(interrupted())]);
    world.put([row("a", "1", "0")]);
    let mut bound = world.bind(server.document("x"), OPTIONS);
    let status = bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.lock().batches, [1]);
    assert_eq!(status.last_error.unwrap().error, interrupted());
}

#[tokio::test(start_paused = true)]
async fn a_document_that_waits_is_written_before_the_end() {
    let (server, world) = (Server::default(), World::hydrated());
    server.lock().latency = Duration::from_secs(2);
    let mut bound = world.bind(server.document("x"), OPTIONS);
    bound.settled().await;
    world.put([row("a", "1", "0")]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.put([row("a", "2", "0")]);
    let finished = bound.finish().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(finished.status.backlog.changes, 0);
}
