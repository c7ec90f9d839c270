//! Without faults: what is written, and that nothing else is.

use std::time::Duration;

use kollect_dataflows::data::Delta;

use super::server::Server;
use super::world::World;
use super::{OPTIONS, row, target};
use crate::export::rows::MOST_CHANGES;
use crate::export::{Options, Phase};
use crate::sinks::Sink;

const VERIFYING: Options = Options { min_interval: Duration::from_secs(30), ..OPTIONS };

#[tokio::test(start_paused = true)]
async fn an_empty_destination_gets_all_rows_in_one_batch() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..100).map(|i| row("a", &format!("{i:03}"), "1")));
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    let status = bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.lock().batches, [100]);
    assert_eq!((status.totals.inserted, status.totals.rows()), (100, 100));
    assert_eq!(status.settled.unwrap().rows, 100);
    assert_eq!(status.settled.unwrap().digest, world.lock().digest());
    assert_eq!(status.position, Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_restart_writes_nothing() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "x"), row("b", "2", "x")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    bound.kill().await;
    let status = world.bind(server.rows("x"), OPTIONS).settled().await;
    assert_eq!(server.lock().writes(), 2);
    assert_eq!(status.totals, Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_restart_writes_only_what_changed_meanwhile() {
    let (server, world) = (Server::default(), World::hydrated());
    server.has("x", &[row("a", "1", "old"), row("a", "2", "same"), row("a", "3", "gone")]);
    server.has("y", &[row("a", "3", "of another inventory")]);
    let other = server.holds("y");
    world.put([row("a", "1", "new"), row("a", "2", "same"), row("b", "4", "new")]);
    let status = world.bind(server.rows("x"), OPTIONS).settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.holds("y"), other);
    let totals = status.totals;
    assert_eq!((totals.inserted, totals.updated, totals.deleted), (1, 1, 1));
    assert_eq!(totals.drift_repaired, 0);
}

#[tokio::test(start_paused = true)]
async fn each_change_is_written_once_as_it_comes() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..50).map(|i| row("a", &i.to_string(), "1")));
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.put([row("a", "7", "2")]);
    bound.settled().await;
    world.remove([row("a", "8", "1")]);
    bound.settled().await;
    world.put([row("a", "8", "1"), row("a", "9", "2")]);
    let status = bound.settled().await;
    assert_eq!(server.lock().batches, [50, 1, 1, 2]);
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(status.settled.unwrap().digest, world.lock().digest());
    assert_eq!(status.settled.unwrap().rows, 50);
}

#[tokio::test(start_paused = true)]
async fn the_last_row_deleted_leaves_none() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "x")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.remove([row("a", "1", "x")]);
    bound.settled().await;
    assert_eq!(server.holds("x"), []);
}

#[tokio::test(start_paused = true)]
async fn a_slow_destination_gets_one_change_a_row() {
    let (server, world) = (Server::default(), World::hydrated());
    server.lock().latency = Duration::from_secs(1);
    world.put([row("a", "1", "0"), row("a", "2", "0")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.put([row("a", "1", "first")]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    // While the first change is being written:
    for i in 0..100 {
        world.put([row("a", "1", &i.to_string()), row("a", "new", &i.to_string())]);
    }
    world.put([row("a", "2", "changed")]);
    world.put([row("a", "2", "0"), row("a", "brief", "x")]);
    world.remove([row("a", "brief", "x")]);
    assert!(bound.inbox.backlog().lag() <= Duration::from_millis(500));
    bound.settled().await;
    // Two rows are new, one changes, and in the end two changes: one that waited and one that came.
    assert_eq!(server.lock().batches, [2, 1, 2]);
    assert_eq!(server.holds("x"), world.expected());
}

#[tokio::test(start_paused = true)]
async fn a_slow_destination_does_not_hold_up_another() {
    let (slow, fast, world) = (Server::default(), Server::default(), World::hydrated());
    slow.lock().latency = Duration::from_secs(1000);
    let _slow = world.bind(slow.rows("x"), OPTIONS);
    let mut quick = world.bind(fast.rows("x"), OPTIONS);
    let begin = tokio::time::Instant::now();
    for i in 0..10 {
        world.put([row("a", "1", &i.to_string())]);
        quick.settled().await;
    }
    assert_eq!(fast.lock().writes(), 10);
    assert!(begin.elapsed() < Duration::from_secs(1000));
}

#[tokio::test(start_paused = true)]
async fn very_many_changes_are_several_batches() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..=MOST_CHANGES).map(|i| row("a", &i.to_string(), "1")));
    world.bind(server.rows("x"), OPTIONS).settled().await;
    assert_eq!(server.lock().batches, [MOST_CHANGES, 1]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_the_inventory_is_ready() {
    let (server, world) = (Server::default(), World::hydrated());
    world.lock().ready = false;
    server.has("x", &[row("a", "1", "x"), row("a", "2", "x")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.until(|status| status.phase == Phase::Hydrating).await;
    world.put([row("a", "1", "x")]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(server.lock().writes(), 0);
    assert_eq!(bound.inbox.backlog().changes, 1);
    assert_eq!(bound.inbox.backlog().lag(), Duration::from_secs(600));
    world.make_ready();
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.lock().writes(), 1);
    assert_eq!(bound.inbox.backlog(), Default::default());
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_target_that_is_not_hydrated_stay_until_it_is() {
    let (server, world) = (Server::default(), World::hydrated());
    world.set_target("b", Some(false));
    server.has(
        "x",
        &[row("a", "1", "gone"), row("b", "2", "same"), row("b", "3", "gone"), row("c", "4", "removed")],
    );
    world.put([row("a", "5", "new")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    let names = |server: &Server| server.holds("x").into_iter().map(|(key, _)| key.name).collect::<Vec<_>>();
    assert_eq!(names(&server), ["5", "2", "3"]);
    let before = server.lock().writes();

    // Its list comes in: what the destination holds already is not written again.
    world.put([row("b", "2", "same"), row("b", "6", "new")]);
    bound.settled().await;
    assert_eq!(names(&server), ["5", "2", "3", "6"]);
    assert_eq!(server.lock().writes(), before + 1);

    world.set_target("b", Some(true));
    bound.until(|status| status.totals.deleted == 3).await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(bound.status.borrow().totals.drift_repaired, 0);
}

#[tokio::test(start_paused = true)]
async fn a_kept_row_is_written_when_it_turns_up_changed_and_deleted_when_it_goes() {
    let (server, world) = (Server::default(), World::hydrated());
    world.set_target("b", Some(false));
    server.has("x", &[row("b", "1", "old"), row("b", "2", "old"), row("b", "3", "old")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.put([row("b", "1", "new"), row("b", "2", "new")]);
    bound.settled().await;
    world.put([row("b", "1", "old")]);
    world.remove([row("b", "2", "new")]);
    bound.settled().await;
    // This one comes and goes while the destination is busy, and it held it from earlier times.
    server.lock().latency = Duration::from_secs(1);
    world.put([row("a", "4", "x")]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.put([row("b", "3", "old")]);
    world.remove([row("b", "3", "old")]);
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.lock().violations, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_removed_target_are_deleted() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "x")]);
    server.has("x", &[row("b", "2", "x")]);
    world.set_target("b", Some(false));
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    assert_eq!(server.holds("x").len(), 2);
    world.set_target("b", None);
    bound.until(|status| status.totals.deleted == 1).await;
    assert_eq!(server.holds("x"), world.expected());
}

#[tokio::test(start_paused = true)]
async fn changes_go_through_while_a_further_look_is_awaited() {
    let (server, world) = (Server::default(), World::hydrated());
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.lock().ready = false;
    world.set_target("c", Some(false));
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.put([row("a", "1", "x")]);
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    world.make_ready();
    world.put([row("c", "1", "x")]);
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
}

#[tokio::test(start_paused = true)]
async fn changes_after_a_look_are_not_undone_by_it() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "0"), row("a", "2", "0")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    server.lock().latency = Duration::from_secs(10);
    // A batch is being written; a look is asked for and answered; and one more change comes.
    world.put([row("a", "1", "1")]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.put([row("a", "1", "2")]);
    world.set_target("b", Some(true));
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.put([row("a", "1", "3"), row("a", "2", "3")]);
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(bound.status.borrow().totals.drift_repaired, 0);
    let batches = server.lock().batches.len();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(server.lock().batches.len(), batches);
}

#[tokio::test(start_paused = true)]
async fn deltas_that_a_look_has_already_are_not_taken_again() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "0")]);
    world.put([row("a", "1", "1")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    bound.inbox.offer(1, &[Delta::Insert(row("a", "1", "0"))]);
    world.put([row("a", "2", "0")]);
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(server.lock().batches, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_repaired_and_counted() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..5).map(|i| row("a", &i.to_string(), "1")));
    let mut bound = world.bind(server.rows("x"), VERIFYING);
    bound.settled().await;
    {
        let mut server = server.lock();
        let table = server.table("x");
        table.remove(&row("a", "1", "").key().to_owned());
        table.insert(row("a", "2", "").key().to_owned(), row("a", "2", "by hand").hash());
        table.insert(row("b", "9", "").key().to_owned(), row("b", "9", "by hand").hash());
    }
    let status = bound.until(|status| status.totals.drift_repaired > 0).await;
    assert_eq!(status.totals.drift_repaired, 3);
    assert_eq!(server.holds("x"), world.expected());
}

#[tokio::test(start_paused = true)]
async fn a_wiped_destination_is_filled_again() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put((0..5).map(|i| row("a", &i.to_string(), "1")));
    let mut bound = world.bind(server.rows("x"), VERIFYING);
    bound.settled().await;
    server.lock().tables.clear();
    bound.until(|status| status.totals.drift_repaired == 5).await;
    assert_eq!(server.holds("x"), world.expected());
}

#[tokio::test(start_paused = true)]
async fn changes_on_their_way_are_not_taken_for_drift() {
    let (server, world) = (Server::default(), World::hydrated());
    world.put([row("a", "1", "0")]);
    let mut bound = world.bind_with(server.rows("x"), VERIFYING, Duration::from_millis(1700));
    bound.settled().await;
    server.lock().latency = Duration::from_secs(3);
    // Never idle: verified nevertheless, and changes wait whenever a look is opened.
    for i in 0..2000 {
        world.put([row("a", "1", &i.to_string()), row("a", &format!("n{}", i % 7), &i.to_string())]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let status = bound.settled().await;
    assert!(server.lock().reads > 1, "never compared");
    assert_eq!(status.totals.drift_repaired, 0);
    assert_eq!(server.holds("x"), world.expected());
}

#[tokio::test(start_paused = true)]
async fn an_idle_destination_is_compared_each_interval_and_never_with_none() {
    for (options, reads) in [(VERIFYING, 1 + 20), (OPTIONS, 1)] {
        let (server, world) = (Server::default(), World::hydrated());
        world.put([row("a", "1", "0")]);
        let mut bound = world.bind(server.rows("x"), options);
        bound.settled().await;
        tokio::time::sleep(Duration::from_secs(615)).await;
        let server = server.lock();
        assert_eq!((server.reads, server.writes()), (reads, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_epoch_without_changes_settles() {
    let (server, world) = (Server::default(), World::hydrated());
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.put([]);
    let status = bound.settled().await;
    assert_eq!(status.settled.unwrap().epoch, world.lock().epoch);
    assert_eq!(server.lock().batches, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_delivered_before_the_end() {
    let (server, world) = (Server::default(), World::hydrated());
    server.lock().latency = Duration::from_secs(2);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    world.put([row("a", "1", "0")]);
    bound.settled().await;
    world.put([row("a", "1", "1")]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.put([row("a", "2", "0")]);
    let finished = bound.finish().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(finished.status.totals.rows(), 3);
    assert_eq!(finished.status.backlog, Default::default());
    // The sink comes back, for example to remove what the binding wrote.
    let Sink::Rows(mut sink) = finished.sink else { panic!("another sink") };
    sink.connect().await.unwrap();
    assert_eq!(sink.clear().await.unwrap().deleted, 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_longer_than_allowed() {
    let (server, world) = (Server::default(), World::hydrated());
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    server.lock().latency = OPTIONS.drain_timeout * 2;
    world.put([row("a", "1", "0")]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = tokio::time::Instant::now();
    let finished = bound.finish().await;
    assert_eq!(begin.elapsed(), OPTIONS.drain_timeout);
    assert_eq!(finished.status.backlog.changes, 1);
    assert_eq!(server.holds("x"), []);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_at_once_when_nothing_can_be_delivered() {
    let (server, world) = (Server::default(), World::hydrated());
    world.lock().ready = false;
    world.set_target("c", Some(false));
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.until(|status| status.phase == Phase::Hydrating).await;
    world.put([row("a", "1", "0")]);
    let begin = tokio::time::Instant::now();
    let finished = bound.finish().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(finished.status.backlog.changes, 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_request_does_not_hold_up_the_end() {
    let (server, world) = (Server::default(), World::hydrated());
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.lock().ready = false;
    world.set_target("c", Some(false));
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.put([row("a", "1", "0")]);
    let finished = bound.finish().await;
    assert_eq!(server.holds("x"), world.expected());
    assert_eq!(finished.status.backlog.changes, 0);
}

#[test]
fn targets_have_the_names_that_rows_have() {
    assert_eq!(**row("a", "1", "x").target(), target("a"));
}

#[tokio::test(start_paused = true)]
async fn constant_changes_do_not_keep_a_new_target_from_being_compared() {
    let (server, world) = (Server::default(), World::hydrated());
    server.lock().latency = Duration::from_secs(1);
    world.set_target("b", Some(false));
    world.put([row("a", "1", "0")]);
    server.has("x", &[row("b", "2", "gone")]);
    let mut bound = world.bind(server.rows("x"), OPTIONS);
    bound.settled().await;
    world.set_target("b", Some(true));
    // Whenever a batch is written, another change has come in.
    for i in 0..100 {
        world.put([row("a", "1", &format!("{i} s"))]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(bound.inbox.backlog().changes > 0, "it was never idle");
    assert_eq!(server.lock().deleted, 1);
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
}
