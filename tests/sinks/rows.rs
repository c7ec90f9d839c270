//! What holds for every sink that takes single rows.

use futures::TryStreamExt;
use kollect::sinks::{Change, HeldRow, Receipt, RowSink};
use kollect_dataflows::data::RowHash;

use crate::places::*;

pub(crate) async fn held(sink: &mut dyn RowSink) -> Vec<HeldRow> {
    sink.held().await.unwrap().try_collect().await.unwrap()
}

fn rows_of(receipt: Receipt) -> (u64, u64, u64) {
    (receipt.inserted, receipt.updated, receipt.deleted)
}

pub(crate) async fn inserts_updates_and_deletes(place: impl Place) {
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await, []);

    let receipt = sink.apply(&[upsert("a", r#"{"n":1}"#), upsert("b", r#"{"n":1}"#)]).await.unwrap();
    assert_eq!(rows_of(receipt), (2, 0, 0));
    assert_eq!(place.contents(&name).await, contents([("a", r#"{"n":1}"#), ("b", r#"{"n":1}"#)]));

    let batch = [delete("a"), upsert("b", r#"{"n":2}"#), upsert("c", r#"{"n":1}"#)];
    let receipt = sink.apply(&batch).await.unwrap();
    assert_eq!(rows_of(receipt), (1, 1, 1));
    assert_eq!(place.contents(&name).await, contents([("b", r#"{"n":2}"#), ("c", r#"{"n":1}"#)]));

    // The last row leaves nothing behind.
    sink.apply(&[delete("b"), delete("c")]).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([]));
    assert_eq!(held(&mut *sink).await, []);
}

pub(crate) async fn what_is_there_already_is_not_written(place: impl Place) {
    let name = binding("east", "apps");
    let batch = [upsert("a", r#"{"n":1}"#), upsert("b", r#"{"n":1}"#)];
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    let first = sink.apply(&batch).await.unwrap();
    for _ in 0..2 {
        let again = sink.apply(&batch).await.unwrap();
        assert_eq!(again, Receipt { position: first.position, ..Receipt::default() });
        // A restart.
        sink = place.open(&name);
        sink.connect().await.unwrap();
    }
    // A row that is not there needs no deletion.
    let again = sink.apply(&[delete("never")]).await.unwrap();
    assert_eq!(again, Receipt { position: first.position, ..Receipt::default() });
    let one = sink.apply(&[upsert("a", r#"{"n":1}"#), upsert("b", r#"{"n":2}"#)]).await.unwrap();
    assert_eq!(rows_of(one), (0, 1, 0));
}

pub(crate) async fn tells_what_it_holds_in_key_order(place: impl Place) {
    let name = binding("", "apps");
    let mut rows = Vec::new();
    // Order of bytes, not of a language; and namespace and name before uid.
    for (target, name) in
        [("a", "b"), ("a", "B"), ("a", "_"), ("Z", "z"), ("a-b", "c"), ("a", "é"), ("ab", "a")]
    {
        rows.push(row(target, name, r#"{"x":[1,2.5,null,"ü"]}"#));
    }
    rows.sort();
    let batch: Vec<Change> = rows.iter().cloned().map(Change::Upsert).collect();
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    sink.apply(&batch).await.unwrap();

    let mut restarted = place.open(&name);
    restarted.connect().await.unwrap();
    let expected: Vec<HeldRow> =
        rows.iter().map(|row| HeldRow { key: row.key().to_owned(), hash: row.hash() }).collect();
    assert_eq!(held(&mut *restarted).await, expected);
    // A reader that stops in the middle is no harm.
    drop(restarted.held().await.unwrap());
    assert_eq!(held(&mut *restarted).await, expected);
}

pub(crate) async fn rows_changed_by_hand_are_found_and_repaired(place: impl Place) {
    let name = binding("east", "apps");
    let batch = [upsert("a", r#"{"n":1}"#), upsert("b", r#"{"n":2}"#), upsert("c", r#"{"n":3}"#)];
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    sink.apply(&batch).await.unwrap();
    place.edit(&name, "a").await;
    place.lose(&name, "b").await;

    let mut restarted = place.open(&name);
    restarted.connect().await.unwrap();
    let found = held(&mut *restarted).await;
    let names: Vec<&str> = found.iter().map(|row| row.key.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(
        found[0].hash,
        RowHash(0),
        "the row that was edited must not look like the one that was written"
    );
    assert_ne!(found[1].hash, RowHash(0));

    let receipt = restarted.apply(&batch).await.unwrap();
    assert_eq!(rows_of(receipt), (1, 1, 0));
    assert_eq!(
        place.contents(&name).await,
        contents([("a", r#"{"n":1}"#), ("b", r#"{"n":2}"#), ("c", r#"{"n":3}"#)])
    );
    assert!(held(&mut *restarted).await.iter().all(|row| row.hash != RowHash(0)));
}

pub(crate) async fn inventories_and_clusters_do_not_touch_each_other(place: impl Place) {
    let bindings =
        [binding("east", "apps"), binding("west", "apps"), binding("", "apps"), binding("east", "other")];
    for (i, name) in bindings.iter().enumerate() {
        let mut sink = place.open(name);
        sink.connect().await.unwrap();
        assert_eq!(held(&mut *sink).await, [], "{name}");
        sink.apply(&[upsert("a", &format!(r#"{{"n":{i}}}"#))]).await.unwrap();
    }
    let mut first = place.open(&bindings[0]);
    first.connect().await.unwrap();
    first.apply(&[delete("a")]).await.unwrap();
    let mut second = place.open(&bindings[1]);
    second.connect().await.unwrap();
    second.clear().await.unwrap();
    assert_eq!(place.contents(&bindings[0]).await, contents([]));
    assert_eq!(place.contents(&bindings[1]).await, contents([]));
    assert_eq!(place.contents(&bindings[2]).await, contents([("a", r#"{"n":2}"#)]));
    assert_eq!(place.contents(&bindings[3]).await, contents([("a", r#"{"n":3}"#)]));
}

pub(crate) async fn a_big_batch_is_applied_completely(place: impl Place) {
    let name = binding("east", "apps");
    let names: Vec<String> = (0..5_000).map(|i| format!("object-{i:05}")).collect();
    let batch: Vec<Change> =
        names.iter().enumerate().map(|(i, name)| upsert(name, &format!(r#"{{"n":{i}}}"#))).collect();
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    assert_eq!(rows_of(sink.apply(&batch).await.unwrap()), (5_000, 0, 0));
    assert_eq!(place.contents(&name).await.len(), 5_000);

    // A third goes, a third changes, a third stays.
    let batch: Vec<Change> = names
        .iter()
        .enumerate()
        .map(|(i, name)| match i % 3 {
            0 => delete(name),
            1 => upsert(name, r#"{"n":"changed"}"#),
            _ => upsert(name, &format!(r#"{{"n":{i}}}"#)),
        })
        .collect();
    assert_eq!(rows_of(sink.apply(&batch).await.unwrap()), (0, 1_667, 1_667));
    let left = place.contents(&name).await;
    assert_eq!(left.len(), 3_333);
    assert_eq!(left.values().filter(|attributes| attributes["n"] == "changed").count(), 1_667);
}

pub(crate) async fn clear_removes_everything_and_the_binding_can_begin_again(place: impl Place) {
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}"), upsert("b", "{}")]).await.unwrap();
    assert_eq!(rows_of(sink.clear().await.unwrap()), (0, 0, 2));
    assert_eq!(place.contents(&name).await, contents([]));
    assert_eq!(rows_of(sink.clear().await.unwrap()), (0, 0, 0));
    sink.connect().await.unwrap();
    assert_eq!(rows_of(sink.apply(&[upsert("a", "{}")]).await.unwrap()), (1, 0, 0));
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
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
        }
    };
    ($($place:ident)*) => {
        $(suite!($place:
            inserts_updates_and_deletes
            what_is_there_already_is_not_written
            tells_what_it_holds_in_key_order
            rows_changed_by_hand_are_found_and_repaired
            inventories_and_clusters_do_not_touch_each_other
            a_big_batch_is_applied_completely
            clear_removes_everything_and_the_binding_can_begin_again
        );)*
    };
}

suite!(Postgres Sqlite PerResource PerResourceJson);
