//! What holds for SQLite alone.

use std::fs;
use std::time::Duration;

use futures::TryStreamExt;
use kollect::sinks::SinkError;
use serde_json::Value;

use crate::places::*;
use crate::rows::held;

#[tokio::test]
async fn a_file_that_is_something_else_is_left_alone() {
    let place = Sqlite::new().await;
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    let text = "Dear diary, ".repeat(1_000);
    fs::write(place.path(), &text).unwrap();
    let error = place.open(&binding("east", "apps")).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Broken { message, hint } if message.contains("inventory.db") && hint.contains("spec.endpoint")),
        "{error:?}"
    );
    assert_eq!(fs::read_to_string(place.path()).unwrap(), text);
    // A directory is no file either.
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    let error = place.open(&binding("east", "apps")).connect().await.unwrap_err();
    assert!(matches!(&error, SinkError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_was_removed_while_open_is_noticed_and_filled_again() {
    let place = Sqlite::new().await;
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    for end in ["", "-wal", "-shm"] {
        _ = fs::remove_file(format!("{}{end}", place.path().display()));
    }
    let error = sink.apply(&[upsert("b", "{}")]).await.unwrap_err();
    assert!(matches!(&error, SinkError::Interrupted { message } if message.contains("removed")), "{error:?}");
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await, []);
    sink.apply(&[upsert("a", "{}"), upsert("b", "{}")]).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", "{}"), ("b", "{}")]));
}

#[tokio::test]
async fn a_file_that_was_removed_while_idle_is_noticed_by_the_next_comparison() {
    let place = Sqlite::new().await;
    let name = binding("east", "apps");
    for replaced in [false, true] {
        let mut sink = place.open(&name);
        sink.connect().await.unwrap();
        sink.apply(&[upsert("a", "{}")]).await.unwrap();
        for end in ["", "-wal", "-shm"] {
            _ = fs::remove_file(format!("{}{end}", place.path().display()));
        }
        if replaced {
            fs::write(place.path(), "").unwrap();
        }
        let read = sink.held().await.unwrap().try_collect::<Vec<_>>().await;
        let error = read.unwrap_err();
        assert!(
            matches!(&error, SinkError::Interrupted { message } if message.contains("removed")),
            "{error:?}"
        );
        sink.connect().await.unwrap();
        assert_eq!(held(&mut *sink).await, []);
        sink.apply(&[upsert("a", "{}")]).await.unwrap();
        assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
    }
}

#[tokio::test]
async fn a_file_that_somebody_puts_right_is_used_again_without_another_configuration() {
    let place = Sqlite::new().await;
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    let mut sink = place.open(&binding("east", "apps"));
    let is_final = |error: SinkError| {
        assert!(!error.is_retryable(), "{error:?}");
        matches!(error, SinkError::Terminal { .. })
    };
    // Something else, a directory, and one of ours that is broken.
    fs::write(place.path(), "Dear diary, ".repeat(1_000)).unwrap();
    assert!(!is_final(sink.connect().await.unwrap_err()));
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    assert!(!is_final(sink.connect().await.unwrap_err()));
    fs::remove_dir(place.path()).unwrap();
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    drop(sink);
    let mut bytes = fs::read(place.path()).unwrap();
    bytes[100..].fill(0xff);
    fs::write(place.path(), bytes).unwrap();
    let mut sink = place.open(&binding("east", "apps"));
    assert!(!is_final(sink.connect().await.unwrap_err()));
}

#[tokio::test]
async fn a_batch_that_nobody_waits_for_any_more_is_over_before_anything_else_begins() {
    let place = Sqlite::new().await;
    let mut sink = place.open(&binding("east", "apps"));
    sink.connect().await.unwrap();
    let other = rusqlite::Connection::open(place.path()).unwrap();
    for name in ["a", "b", "c", "d"] {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let batch = [upsert(name, "{}")];
        let waited = tokio::time::timeout(Duration::from_millis(100), sink.apply(&batch)).await;
        assert!(waited.is_err(), "{waited:?}");
        other.execute_batch("COMMIT").unwrap();
        sink.connect().await.unwrap();
        let found = held(&mut *sink).await;
        assert_eq!(found.last().map(|row| row.key.name.as_str()), Some(name));
    }
}

#[tokio::test]
async fn a_writer_of_another_process_is_waited_for() {
    let place = Sqlite::new().await;
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = tokio::spawn(async move { sink.apply(&[upsert("a", "{}")]).await });
    // Readers are not held up.
    assert_eq!(place.contents(&name).await, contents([]));
    other.execute_batch("COMMIT").unwrap();
    batch.await.unwrap().unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
}

#[tokio::test]
async fn a_writer_that_keeps_the_file_from_its_write_ahead_log_is_waited_for() {
    let place = Sqlite::new().await;
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE notes (note); BEGIN IMMEDIATE").unwrap();
    let mut sink = place.open(&binding("east", "apps"));
    let mut connecting = tokio::spawn(async move { sink.connect().await });
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut connecting).await;
    assert!(waited.is_err(), "it does not get on while the writer is there: {waited:?}");
    other.execute_batch("COMMIT").unwrap();
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_view_has_the_columns_of_the_public_contract() {
    let place = Sqlite::new().await;
    let mut sink = place.open(&binding("east", "apps"));
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", r#"{"n":1}"#)]).await.unwrap();
    let payload: String = rusqlite::Connection::open(place.path())
        .unwrap()
        .query_row(
            "SELECT payload FROM rows_v1 WHERE inventory_namespace = 'team' AND inventory_name = 'apps' \
             AND target_name = 'web' AND source_uid = 'uid-a' AND cluster = 'east' AND resource_namespace = 'shop' \
             AND exported_at LIKE '20%Z'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let mut json = Vec::new();
    row("web", "a", r#"{"n":1}"#).write_json(&mut json);
    let expected: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), expected);
}

#[tokio::test]
async fn a_text_with_a_zero_character_is_a_row_like_any_other() {
    let place = Sqlite::new().await;
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    let batch = [upsert("a", r#"{"x":"\u0000"}"#)];
    assert_eq!(sink.apply(&batch).await.unwrap().inserted, 1);
    assert_eq!(sink.apply(&batch).await.unwrap().updated, 0);
    assert_eq!(place.contents(&name).await[&key("a")]["x"], "\0");
}
