//! What holds for every database.

use std::collections::BTreeMap;

use kollect::sinks::{Change, Provisioning, SinkError};
use kollect_dataflows::data::Digest;
use serde_json::{Value, json};

use crate::places::*;
use crate::rows::held;

fn logged(seq: i64, op: &str, name: &str, before: Option<Value>, after: Option<Value>) -> Logged {
    Logged { seq, op: op.to_owned(), name: name.to_owned(), before, after }
}

async fn the_change_log_tells_before_and_after_in_commit_order(place: impl Database) {
    let (name, other) = (binding("east", "apps"), binding("west", "apps"));
    let (mut sink, mut neighbour) = (place.open(&name), place.open(&other));
    sink.connect().await.unwrap();
    neighbour.connect().await.unwrap();
    sink.apply(&[upsert("a", r#"{"n":1}"#), upsert("b", r#"{"n":1}"#)]).await.unwrap();
    neighbour.apply(&[upsert("a", r#"{"n":7}"#)]).await.unwrap();
    let receipt = sink.apply(&[delete("a"), upsert("b", r#"{"n":2}"#), upsert("c", "{}")]).await.unwrap();
    assert_eq!(receipt.position, Some(5));
    let one = || Some(json!({"n": 1}));
    assert_eq!(
        place.log(&name).await,
        [
            logged(1, "c", "a", None, one()),
            logged(2, "c", "b", None, one()),
            logged(3, "d", "a", one(), None),
            logged(4, "u", "b", one(), Some(json!({"n": 2}))),
            logged(5, "c", "c", None, Some(json!({}))),
        ]
    );
    // Every binding has a sequence of its own.
    assert_eq!(place.log(&other).await, [logged(1, "c", "a", None, Some(json!({"n": 7})))]);

    // What is removed is logged, and the sequence goes on afterwards.
    sink.clear().await.unwrap();
    let receipt = sink.apply(&[upsert("z", "{}")]).await.unwrap();
    assert_eq!(receipt.position, Some(8));
    let ops: Vec<String> = place.log(&name).await.into_iter().map(|entry| entry.op).collect();
    assert_eq!(ops.concat(), "ccducddc");
}

async fn position_count_and_digest_follow_the_rows(place: impl Database) {
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    let digest = |rows: &[Change]| {
        let mut digest = Digest::default();
        for change in rows {
            let Change::Upsert(row) = change else { panic!("a row is expected") };
            digest.add(row.hash());
        }
        digest.to_string()
    };
    assert_eq!(place.position(&name).await, (0, 0, digest(&[])));
    let rows = [upsert("a", r#"{"n":1}"#), upsert("b", r#"{"n":1}"#)];
    sink.apply(&rows).await.unwrap();
    assert_eq!(place.position(&name).await, (2, 2, digest(&rows)));
    let rows = [upsert("b", r#"{"n":2}"#)];
    sink.apply(&[delete("a"), rows[0].clone()]).await.unwrap();
    assert_eq!(place.position(&name).await, (4, 1, digest(&rows)));

    // Somebody empties the table. Reading it shows that, and the figures are right again after the repair.
    place.run("DELETE FROM rows").await;
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await, []);
    assert_eq!(place.position(&name).await, (4, 0, digest(&[])));
    sink.apply(&rows).await.unwrap();
    assert_eq!(place.position(&name).await, (5, 1, digest(&rows)));
    sink.clear().await.unwrap();
    assert_eq!(place.position(&name).await, (6, 0, digest(&[])));
}

async fn the_log_is_true_to_the_table_after_an_edit_by_hand(place: impl Database) {
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", r#"{"n":1}"#)]).await.unwrap();
    place.edit(&name, "a").await;
    sink.apply(&[upsert("a", r#"{"n":1}"#)]).await.unwrap();
    let log = place.log(&name).await;
    assert_eq!(log[1], logged(2, "u", "a", Some(json!({"by": "hand"})), Some(json!({"n": 1}))));
}

async fn two_writers_of_one_binding_leave_no_gap(place: impl Database) {
    let name = binding("east", "apps");
    let mut sinks = Vec::new();
    for writer in 0..4 {
        let mut sink = place.open(&name);
        sink.connect().await.unwrap();
        sinks.push((writer, sink));
    }
    let writers = sinks.into_iter().map(|(writer, mut sink)| {
        tokio::spawn(async move {
            for n in 0..15 {
                sink.apply(&[
                    upsert("shared", &format!(r#"{{"n":{n},"writer":{writer}}}"#)),
                    upsert(&format!("w{writer}"), &format!(r#"{{"n":{n}}}"#)),
                ])
                .await
                .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let log = place.log(&name).await;
    assert!(log.len() > 60, "{}", log.len());
    // The log, played back, has no gap, each entry begins where the row's last one ended, and it gives the table.
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    for (i, entry) in log.iter().enumerate() {
        assert_eq!(entry.seq, i as i64 + 1);
        assert_eq!(entry.before, rows.get(&entry.name).cloned());
        rows.insert(entry.name.clone(), entry.after.clone().unwrap());
    }
    let table = place.contents(&name).await;
    assert_eq!(rows.into_iter().map(|(name, json)| (key(&name), json)).collect::<Contents>(), table);
    assert_eq!(place.position(&name).await.0, log.len() as i64);
}

async fn several_may_connect_at_once_for_the_first_time(place: impl Database) {
    let sinks = (0..6).map(|i| {
        let mut sink = place.open(&binding("east", &format!("inventory-{i}")));
        tokio::spawn(async move { sink.connect().await })
    });
    for sink in sinks.collect::<Vec<_>>() {
        sink.await.unwrap().unwrap();
    }
}

async fn a_column_of_another_type_is_named_with_what_is_expected(place: impl Database) {
    let name = binding("east", "apps");
    place.open(&name).connect().await.unwrap();
    place.run("DROP TABLE rows_exports").await;
    place
        .run(
            "CREATE TABLE rows_exports (cluster text, inventory_namespace text, inventory_name text, position text, \
             row_count bigint, digest text, exported_at text)",
        )
        .await;
    let error = place.open(&name).connect().await.unwrap_err();
    let SinkError::Shape { message, hint } = &error else { panic!("{error:?}") };
    for part in ["rows_exports", "position", "text"] {
        assert!(message.to_lowercase().contains(part), "{message}");
    }
    assert!(hint.contains("table"), "{hint}");
}

async fn a_missing_column_is_named(place: impl Database) {
    let name = binding("east", "apps");
    place.open(&name).connect().await.unwrap();
    place.run("ALTER TABLE rows_changes RENAME COLUMN op TO operation").await;
    let error = place.open(&name).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, .. } if message.contains("rows_changes") && message.contains("no column op")),
        "{error:?}"
    );
}

macro_rules! suite {
    ($place:ident: $($test:ident)*) => {
        #[allow(non_snake_case)]
        mod $place {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(crate::places::$place::new().await).await;
                }
            )*

            #[tokio::test]
            async fn existing_mode_creates_nothing_and_works_on_what_is_there() {
                let mut place = crate::places::$place::new().await;
                place.provisioning = super::Provisioning::Existing;
                super::refuses_to_create(&place).await;
                place.provisioning = super::Provisioning::Ensure;
                let name = crate::places::binding("east", "apps");
                crate::places::Place::open(&place, &name).connect().await.unwrap();
                place.provisioning = super::Provisioning::Existing;
                super::super::rows::inserts_updates_and_deletes(place).await;
            }
        }
    };
    ($($place:ident)*) => {
        $(suite!($place:
            the_change_log_tells_before_and_after_in_commit_order
            position_count_and_digest_follow_the_rows
            the_log_is_true_to_the_table_after_an_edit_by_hand
            two_writers_of_one_binding_leave_no_gap
            several_may_connect_at_once_for_the_first_time
            a_column_of_another_type_is_named_with_what_is_expected
            a_missing_column_is_named
        );)*
    };
}

async fn refuses_to_create(place: &impl Place) {
    let error = place.open(&binding("east", "apps")).connect().await.unwrap_err();
    assert!(matches!(&error, SinkError::Shape { hint, .. } if hint.contains("ensure")), "{error:?}");
}

suite!(Postgres Sqlite);
