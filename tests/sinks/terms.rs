//! Two leaders at once: what sinks do about a writer whose term is over and who does not know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kollect::sinks::{Change, Provisioning, RowSink, SinkError, Term};
use tokio::time::Instant;

use crate::places::*;
use crate::rows::held;

fn term(number: u64) -> Term {
    Term::new(number, Instant::now() + Duration::from_secs(3600))
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, SinkError>) -> bool {
    matches!(&result, Err(SinkError::Fenced { .. })) || panic!("{result:?} is not refused for its term")
}

async fn a_writer_of_an_earlier_term_is_refused_as_soon_as_a_later_one_connects(place: impl Place) {
    let name = binding("east", "apps");
    let (mut old, mut new) = (place.open_in(&name, &term(5)), place.open_in(&name, &term(6)));
    old.connect().await.unwrap();
    old.apply(&[upsert("a", r#"{"n":1}"#), upsert("b", r#"{"n":1}"#)]).await.unwrap();
    new.connect().await.unwrap();
    assert!(is_fenced(old.apply(&[delete("a"), upsert("c", r#"{"n":1}"#)]).await));
    // Nor by connecting again, as it does after every error.
    assert!(is_fenced(old.connect().await));
    old = place.open_in(&name, &term(5));
    assert!(is_fenced(old.connect().await));
    assert_eq!(place.contents(&name).await, contents([("a", r#"{"n":1}"#), ("b", r#"{"n":1}"#)]));
    // The new one takes over what is there.
    assert_eq!(held(&mut *new).await.len(), 2);
    new.apply(&[upsert("b", r#"{"n":2}"#)]).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", r#"{"n":1}"#), ("b", r#"{"n":2}"#)]));
    // It may end and begin again in its term.
    let mut again = place.open_in(&name, &term(6));
    again.connect().await.unwrap();
    again.apply(&[delete("a")]).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("b", r#"{"n":2}"#)]));
}

async fn what_an_earlier_term_wrote_is_not_cleared_by_it_either(place: impl Place) {
    let name = binding("east", "apps");
    let (mut old, mut new) = (place.open_in(&name, &term(5)), place.open_in(&name, &term(6)));
    old.connect().await.unwrap();
    old.apply(&[upsert("a", "{}")]).await.unwrap();
    new.connect().await.unwrap();
    assert!(is_fenced(old.clear().await));
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
}

async fn nothing_is_written_when_the_term_is_over(place: impl Place) {
    let name = binding("east", "apps");
    let short = term(5);
    let mut sink = place.open_in(&name, &short);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    short.end();
    assert!(is_fenced(sink.apply(&[upsert("b", "{}")]).await));
    assert!(is_fenced(sink.connect().await));
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
}

async fn a_writer_without_a_lease_is_never_refused_and_leaves_the_term_as_it_is(place: impl Place) {
    let name = binding("east", "apps");
    let (mut leader, mut other) = (place.open_in(&name, &term(5)), place.open(&name));
    leader.connect().await.unwrap();
    leader.apply(&[upsert("a", r#"{"n":1}"#)]).await.unwrap();
    other.connect().await.unwrap();
    other.apply(&[upsert("a", r#"{"n":2}"#)]).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", r#"{"n":2}"#)]));
    leader.connect().await.unwrap();
    leader.apply(&[upsert("a", r#"{"n":3}"#)]).await.unwrap();
    assert!(is_fenced(place.open_in(&name, &term(4)).connect().await));
}

async fn a_leader_learns_of_the_later_term_and_goes_above_it(place: impl Place) {
    let name = binding("east", "apps");
    place.open_in(&name, &term(9)).connect().await.unwrap();
    let own = term(5);
    let mut sink = place.open_in(&name, &own);
    assert!(is_fenced(sink.connect().await));
    assert_eq!(*own.seen().borrow(), 9);
    own.raise(10);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    assert!(is_fenced(place.open_in(&name, &term(9)).connect().await));
}

async fn a_number_counts_only_once_the_place_was_told(place: impl Place) {
    let (name, own) = (binding("east", "apps"), term(5));
    let mut sink = place.open_in(&name, &own);
    sink.connect().await.unwrap();
    let mut later = place.open_in(&name, &term(9));
    later.connect().await.unwrap();
    own.raise(10);
    // Else both would write by turns: the place has heard of 9 alone.
    assert!(is_fenced(sink.apply(&[upsert("a", "{}")]).await));
    later.apply(&[upsert("b", "{}")]).await.unwrap();
    sink.connect().await.unwrap();
    assert!(is_fenced(later.apply(&[upsert("c", "{}")]).await));
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", "{}"), ("b", "{}")]));
}

async fn another_inventory_at_the_same_place_has_terms_of_its_own(place: impl Place) {
    place.open_in(&binding("east", "apps"), &term(9)).connect().await.unwrap();
    let name = binding("west", "apps");
    let mut sink = place.open_in(&name, &term(5));
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
}

async fn a_takeover_of_what_is_unchanged_writes_nothing(place: impl Database) {
    let name = binding("east", "apps");
    let batch = [upsert("a", "{}"), upsert("b", "{}")];
    let mut old = place.open_in(&name, &term(5));
    old.connect().await.unwrap();
    old.apply(&batch).await.unwrap();
    let before = place.position(&name).await;
    let mut new = place.open_in(&name, &term(6));
    new.connect().await.unwrap();
    assert_eq!(held(&mut *new).await.len(), 2);
    let receipt = new.apply(&batch).await.unwrap();
    assert_eq!((receipt.inserted, receipt.updated, receipt.deleted), (0, 0, 0));
    assert_eq!(place.position(&name).await, before);
    assert_eq!(place.log(&name).await.len(), 2);
}

async fn two_leaders_that_write_all_the_time_never_write_after_one_another(place: impl Database) {
    let name = binding("east", "apps");
    place.open(&name).connect().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // Six leaders; each of them believes that it still is one, and tries for ever.
    let mut tasks = Vec::new();
    for number in 1..=6 {
        let (name, stop) = (name.clone(), Arc::clone(&stop));
        let mut sink = place.open_in(&name, &term(number));
        tasks.push(tokio::spawn(async move {
            let (mut written, mut refused) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let content = format!(r#"{{"term":{number},"n":{written}}}"#);
                let batch = [upsert("shared", &content), upsert(&format!("w{number}"), &content)];
                let attempt: Result<(), SinkError> = async {
                    sink.connect().await?;
                    for _ in 0..3 {
                        sink.apply(&batch).await?;
                        tokio::task::yield_now().await;
                    }
                    Ok(())
                }
                .await;
                match attempt {
                    Ok(()) => written += 1,
                    Err(SinkError::Fenced { .. }) => refused += 1,
                    // Others hold the lock.
                    Err(SinkError::Unreachable { .. } | SinkError::Interrupted { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            (written, refused)
        }));
        // Each leads for a while before the next one comes.
        for _ in 0..1_000 {
            let log = place.log(&name).await;
            if log.iter().any(|entry| entry.name == format!("w{number}")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (number, task) in tasks.into_iter().enumerate() {
        let (_, refused) = task.await.unwrap();
        assert!(refused > 0 || number == 5, "term {} was never refused", number + 1);
    }
    let log = place.log(&name).await;
    let terms: Vec<u64> =
        log.iter().map(|entry| entry.after.as_ref().unwrap()["term"].as_u64().unwrap()).collect();
    assert!(terms.is_sorted(), "an earlier term wrote after a later one: {terms:?}");
    assert_eq!(terms.last(), Some(&6));
    for (i, entry) in log.iter().enumerate() {
        assert_eq!(entry.seq, i as i64 + 1);
    }
}

async fn tables_of_before_get_a_place_for_the_term(mut place: impl Database + Provisioned) {
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    let before = place.position(&name).await;
    drop(sink);
    place.run("ALTER TABLE rows_exports DROP COLUMN writer_term").await;
    place.set(Provisioning::Existing);
    let error = place.open_in(&name, &term(5)).connect().await.unwrap_err();
    let SinkError::Shape { message, hint } = &error else { panic!("{error:?}") };
    assert!(message.contains("rows_exports") && message.contains("writer_term"), "{message}");
    assert!(hint.contains("add it") && hint.contains("DEFAULT 0"), "{hint}");
    place.set(Provisioning::Ensure);
    // Several at once, as in a rolling update.
    let mut sinks: Vec<Box<dyn RowSink>> = (0..4).map(|_| place.open_in(&name, &term(5))).collect();
    let connected = futures::future::join_all(sinks.iter_mut().map(|sink| sink.connect())).await;
    assert!(connected.iter().all(Result::is_ok), "{connected:?}");
    assert_eq!(place.position(&name).await, before);
    assert!(is_fenced(place.open_in(&name, &term(4)).connect().await));
    place.set(Provisioning::Existing);
    place.open_in(&name, &term(6)).connect().await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
}

trait Provisioned {
    fn set(&mut self, provisioning: Provisioning);
}

impl Provisioned for crate::places::Postgres {
    fn set(&mut self, provisioning: Provisioning) {
        self.provisioning = provisioning;
    }
}

impl Provisioned for crate::places::Sqlite {
    fn set(&mut self, provisioning: Provisioning) {
        self.provisioning = provisioning;
    }
}

/// A batch waits in its transaction while its term ends. It is not committed.
async fn does_not_commit(mut sink: Box<dyn RowSink>, own: Term, begin: impl AsyncFn(), end: impl AsyncFn()) {
    begin().await;
    let batch: [Change; 1] = [upsert("b", "{}")];
    let batch = tokio::spawn(async move { sink.apply(&batch).await });
    // It has begun, or soon will; both are to come to nothing.
    tokio::time::sleep(Duration::from_millis(200)).await;
    own.end();
    end().await;
    assert!(is_fenced(batch.await.unwrap()));
}

#[tokio::test]
async fn postgres_does_not_commit_a_batch_that_was_under_way_when_the_term_ended() {
    let (place, name, own) = (crate::places::Postgres::new().await, binding("east", "apps"), term(5));
    let mut sink = place.open_in(&name, &own);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    let blocker = crate::server::connect().await;
    let lock = format!("BEGIN; SELECT FROM {} FOR UPDATE", place.table("_exports"));
    does_not_commit(
        sink,
        own,
        async || blocker.batch_execute(&lock).await.unwrap(),
        async || blocker.batch_execute("ROLLBACK").await.unwrap(),
    )
    .await;
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
}

#[tokio::test]
async fn sqlite_does_not_commit_a_batch_that_was_under_way_when_the_term_ended() {
    let (place, name, own) = (crate::places::Sqlite::new().await, binding("east", "apps"), term(5));
    let mut sink = place.open_in(&name, &own);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    let blocker = rusqlite::Connection::open(place.path()).unwrap();
    does_not_commit(
        sink,
        own,
        async || blocker.execute_batch("BEGIN IMMEDIATE").unwrap(),
        async || blocker.execute_batch("ROLLBACK").unwrap(),
    )
    .await;
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
}

macro_rules! suite {
    ($($place:ident: $($test:ident)*;)*) => {
        $(
            #[allow(non_snake_case)]
            mod $place {
                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $test() {
                        super::$test(crate::places::$place::new().await).await;
                    }
                )*
            }
        )*
    };
}

macro_rules! suites {
    ($($place:ident: $($more:ident)*;)*) => {
        suite!($($place:
            a_writer_of_an_earlier_term_is_refused_as_soon_as_a_later_one_connects
            what_an_earlier_term_wrote_is_not_cleared_by_it_either
            nothing_is_written_when_the_term_is_over
            a_writer_without_a_lease_is_never_refused_and_leaves_the_term_as_it_is
            a_leader_learns_of_the_later_term_and_goes_above_it
            a_number_counts_only_once_the_place_was_told
            another_inventory_at_the_same_place_has_terms_of_its_own
            $($more)*
        ;)*);
    };
}

suites!(
    Postgres:
        a_takeover_of_what_is_unchanged_writes_nothing
        two_leaders_that_write_all_the_time_never_write_after_one_another
        tables_of_before_get_a_place_for_the_term;
    Sqlite:
        a_takeover_of_what_is_unchanged_writes_nothing
        two_leaders_that_write_all_the_time_never_write_after_one_another
        tables_of_before_get_a_place_for_the_term;
    PerResource:;
);
