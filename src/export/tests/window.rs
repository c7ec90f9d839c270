//! Changes that are held, so that several become one batch.

use std::time::Duration;

use tokio::time::Instant;

use super::server::{Fault, Server};
use super::world::World;
use super::{OPTIONS, row};
use crate::export::Options;
use crate::sinks::Sink;

const WINDOW: Duration = Duration::from_secs(600);

const HOLDING: Options = Options { coalesce_window: WINDOW, ..OPTIONS };

/// A destination of either shape.
const SHAPES: [fn(&Server) -> Sink; 2] = [|server| server.rows("x"), |server| server.document("x")];

#[tokio::test(start_paused = true)]
async fn changes_within_a_window_become_one_batch_at_its_end() {
    for shape in SHAPES {
        let (server, world) = (Server::default(), World::hydrated());
        world.put([row("a", "1", "0"), row("a", "2", "0")]);
        let mut bound = world.bind(shape(&server), HOLDING);
        let begin = Instant::now();
        bound.settled().await;
        assert_eq!(begin.elapsed(), Duration::ZERO, "the first export is not held");
        for second in 0..5 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            world.put([row("a", "1", &second.to_string()), row("a", &format!("new{second}"), "0")]);
        }
        assert_eq!(server.lock().batches, [2]);
        bound.settled().await;
        // From the first change on, not from the last.
        assert_eq!(begin.elapsed(), Duration::from_secs(60) + WINDOW);
        assert_eq!(server.lock().batches, [2, 6]);
        assert_eq!(server.holds("x"), world.expected());
        // The next window begins with the next change.
        tokio::time::sleep(WINDOW * 2).await;
        world.put([row("a", "1", "again")]);
        let begin = Instant::now();
        bound.settled().await;
        assert_eq!(begin.elapsed(), WINDOW);
        assert_eq!(server.lock().batches, [2, 6, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_steady_stream_of_changes_is_not_held_for_longer() {
    for shape in SHAPES {
        let (server, world) = (Server::default(), World::hydrated());
        let mut bound = world.bind(shape(&server), HOLDING);
        world.put([row("a", "0", "0")]);
        bound.settled().await;
        for second in 0..1800 {
            world.put([row("a", "0", &format!("{second}s"))]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let batches = server.lock().batches.clone();
        // The first, and one at the end of each window but the last.
        assert_eq!(batches, [1, 1, 1]);
        bound.settled().await;
        assert_eq!(server.holds("x"), world.expected());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_shows_in_the_status() {
    for shape in SHAPES {
        let (server, world) = (Server::default(), World::hydrated());
        let mut bound = world.bind(shape(&server), HOLDING);
        bound.settled().await;
        world.put([row("a", "1", "0"), row("a", "2", "0")]);
        let status = bound.until(|status| status.backlog.changes == 2).await;
        assert!(status.backlog.lag() < WINDOW);
        let status = bound.settled().await;
        assert_eq!(status.backlog, Default::default());
        assert_eq!(server.lock().batches.last(), Some(&2));
    }
}

#[tokio::test(start_paused = true)]
async fn verifying_does_not_send_what_is_held() {
    for shape in SHAPES {
        let (server, world) = (Server::default(), World::hydrated());
        world.put([row("a", "1", "0")]);
        let options = Options { min_interval: Duration::from_secs(30), ..HOLDING };
        let mut bound = world.bind(shape(&server), options);
        bound.settled().await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        world.put([row("a", "1", "1")]);
        let begin = Instant::now();
        bound.settled().await;
        assert_eq!(begin.elapsed(), WINDOW);
        assert_eq!(server.lock().batches, [1, 1]);
        // Nor does holding keep it from being done afterwards.
        let compared = bound.status.borrow().last_compared;
        bound.until(|status| status.last_compared != compared).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_comparison_that_is_called_for_takes_what_is_held_along() {
    for shape in SHAPES {
        let (server, world) = (Server::default(), World::hydrated());
        let mut bound = world.bind(shape(&server), HOLDING);
        bound.settled().await;
        world.put([row("a", "1", "0")]);
        let begin = Instant::now();
        world.set_target("b", None);
        bound.settled().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(server.holds("x"), world.expected());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_delivered_before_the_end() {
    for shape in SHAPES {
        let (server, world) = (Server::default(), World::hydrated());
        let mut bound = world.bind(shape(&server), HOLDING);
        bound.settled().await;
        world.put([row("a", "1", "0")]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begin = Instant::now();
        let finished = bound.finish().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(finished.status.backlog.changes, 0);
        assert_eq!(server.holds("x"), world.expected());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_at_the_end_of_a_window_loses_nothing() {
    let (server, world) = (Server::default(), World::hydrated());
    let mut bound = world.bind(server.rows("x"), HOLDING);
    bound.settled().await;
    world.put([row("a", "1", "0")]);
    server.lock().faults.push_back(Fault::LostReply);
    bound.settled().await;
    assert_eq!(server.holds("x"), world.expected());
}
