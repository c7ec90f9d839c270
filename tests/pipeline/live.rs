//! Live reconfiguration by `kollect operator`, on a real API server into a real Postgres: whatever is edited counts at once, for
//! what is there already, and without a restart.
//!
//! | what is promised | proven by |
//! | --- | --- |
//! | a second target on a kind gets all objects that are there | [`a_second_target_on_a_kind_gets_all_that_is_there_at_once`] |
//! | an edited profile or selector counts for rows that are there | [`an_edited_selector_or_profile_counts_for_what_is_there`] |
//! | a namespace that comes later or is relabelled is picked up | `operator`, and [`a_target_that_looks_nowhere_collects_nothing`] |
//! | an empty set of namespaces selects nothing | [`a_target_that_looks_nowhere_collects_nothing`] |
//! | a target that violates a scope stops feeding, its rows stay | `scopes` |
//! | scopes, namespaces and Secrets take effect without a restart | `scopes`, `operator`, [`rotated_credentials_are_used_without_a_restart`] |
//! | updates and deletes of one object apply in order | [`quick_updates_and_deletes_of_one_object_apply_in_order`] |
//! | a kind that is missing neither hangs nor crashes, and is picked up | `operator`; removed and back: `bad_input` |
//! | a limit to the size of files splits what is there, and says what it can't | [`a_document_above_a_limit_becomes_parts_and_comes_back`] |
//! | rotated credentials are used without a restart | [`rotated_credentials_are_used_without_a_restart`] |
//! | failed probes are tried again | `connection_tests` |

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::connection_tests::server_with_password;
use crate::kollect_binary::*;
use crate::operator::World;

const TARGET: [&str; 2] = ["KollectTarget", "kollecttargets"];

/// How many rows each target has in the table.
async fn counts(world: &World) -> Vec<String> {
    world.query("SELECT target_name || ' ' || count(*) FROM ROWS GROUP BY target_name ORDER BY 1").await
}

async fn expect_counts(world: &World, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|count| (*count).to_owned()).collect();
    eventually(expected, async || counts(world).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_target_on_a_kind_gets_all_that_is_there_at_once() {
    let world = World::new().await;
    for number in 0..40 {
        let namespace = if number % 2 == 0 { "shop" } else { "east" };
        world.map(namespace, &format!("m{number}"), "1", "shop").await;
    }
    let operator = world.operator();
    world.pipeline().await;
    expect_counts(&world, &["maps 40"]).await;
    world.target("east", json!({"includedNamespaces": ["east"]})).await;
    world.target("two", json!({"names": ["m1", "m2", "absent"]})).await;
    expect_counts(&world, &["east 20", "maps 40", "two 2"]).await;
    // The rows that were there have been left alone.
    eventually(vec!["c 62".to_owned()], async || {
        world.query("SELECT op || ' ' || count(*) FROM ROWS_changes GROUP BY op").await
    })
    .await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_selector_or_profile_counts_for_what_is_there() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.map("shop", "b", "2", "shop").await;
    world.map("shop", "c", "3", "other").await;
    let operator = world.operator();
    world.pipeline().await;
    world.expect(&[r#"maps shop/a {"v": "1"}"#, r#"maps shop/b {"v": "2"}"#]).await;
    // The selector: by labels, by name, by rule.
    world.target("maps", json!({"labelSelector": {"matchLabels": {"app": "other"}}})).await;
    world.expect(&[r#"maps shop/c {"v": "3"}"#]).await;
    world.target("maps", json!({"names": ["a", "c"]})).await;
    world.expect(&[r#"maps shop/a {"v": "1"}"#, r#"maps shop/c {"v": "3"}"#]).await;
    let rule = json!({"gvk": {"version": "v1", "kind": "ConfigMap"}, "matchPolicy": "'v' in object.data && object.data.v > '1'"});
    world.target("maps", json!({"resourceRules": [rule]})).await;
    world.expect(&[r#"maps shop/b {"v": "2"}"#, r#"maps shop/c {"v": "3"}"#]).await;
    // The profile: a path, a type, an attribute more, another kind, and back.
    world.profile(json!([{"name": "v", "path": "cel:object.data.v + '!'"}])).await;
    world.expect(&[r#"maps shop/b {"v": "2!"}"#, r#"maps shop/c {"v": "3!"}"#]).await;
    world.profile(json!([{"name": "v", "path": "$.data.v", "type": "int"}])).await;
    world.expect(&[r#"maps shop/b {"v": 2}"#, r#"maps shop/c {"v": 3}"#]).await;
    world.target("maps", json!({"includedNamespaces": ["shop"]})).await;
    world.expect(&[r#"maps shop/a {"v": 1}"#, r#"maps shop/b {"v": 2}"#, r#"maps shop/c {"v": 3}"#]).await;
    let spec = json!({"targetGVK": {"version": "v1", "kind": "Secret"}, "attributes": [{"name": "n", "path": "$.metadata.name"}]});
    // A slip of the pen takes nothing away: the rows stay until those of the other kind are known.
    let mut slip = spec.clone();
    slip["targetGVK"]["kind"] = "Sekret".into();
    world.apply("KollectProfile", "maps", slip).await;
    eventually("False KindNotFound".to_owned(), async || world.ready(TARGET[0], TARGET[1], "maps").await)
        .await;
    world.map("shop", "a", "4", "shop").await;
    world.expect(&[r#"maps shop/a {"v": 1}"#, r#"maps shop/b {"v": 2}"#, r#"maps shop/c {"v": 3}"#]).await;
    world.apply("KollectProfile", "maps", spec).await;
    world.expect(&[r#"maps shop/db {"n": "db"}"#]).await;
    world.map("shop", "a", "1", "shop").await;
    world.profile(json!([{"name": "v", "path": "$.data.v"}])).await;
    world
        .expect(&[r#"maps shop/a {"v": "1"}"#, r#"maps shop/b {"v": "2"}"#, r#"maps shop/c {"v": "3"}"#])
        .await;
    // The reference to the profile.
    let other = json!({"targetGVK": {"version": "v1", "kind": "ConfigMap"}, "attributes": [{"name": "w", "path": "$.data.v"}]});
    world.apply("KollectProfile", "other", other).await;
    world.apply("KollectTarget", "maps", json!({"profileRef": "other", "names": ["a"]})).await;
    world.expect(&[r#"maps shop/a {"w": "1"}"#]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_looks_nowhere_collects_nothing() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.map("east", "b", "1", "shop").await;
    let operator = world.operator();
    world.pipeline().await;
    world.expect(&[r#"maps east/b {"v": "1"}"#, r#"maps shop/a {"v": "1"}"#]).await;
    let nowhere = [
        json!({"namespaceSelector": {"matchLabels": {"team": "none"}}}),
        json!({"includedNamespaces": ["shop"], "excludedNamespaces": ["shop"]}),
        json!({"includedNamespaces": ["absent"]}),
        json!({"includedNamespaces": ["shop"], "namespaceSelector": {"matchLabels": {"team": "none"}}}),
        json!({"namespaceExcludeSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}}),
    ];
    for filter in &nowhere {
        world.target("maps", filter.clone()).await;
        world.expect(&[]).await;
        eventually(json!([0, "True Collecting"]), async || {
            let status = world.status(TARGET[0], TARGET[1], "maps").await;
            let selected = status["effectiveNamespaces"].as_array().cloned().unwrap_or_default();
            // One that is named counts before it exists.
            let selected = selected.iter().filter(|name| *name != "absent").count();
            json!([selected, world.ready(TARGET[0], TARGET[1], "maps").await])
        })
        .await;
        world.target("maps", json!({"includedNamespaces": ["shop"]})).await;
        world.expect(&[r#"maps shop/a {"v": "1"}"#]).await;
    }
    // A scope can leave nothing too.
    world
        .target(
            "maps",
            json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}),
        )
        .await;
    world.apply("KollectScope", "limits", json!({"allowedNamespaces": ["east"]})).await;
    world.expect(&[]).await;
    // Namespaces that come, are relabelled and are named so after all.
    world.apply("KollectScope", "limits", json!({"deniedNamespaces": ["nowhere"]})).await;
    world.target("maps", nowhere[0].clone()).await;
    world.expect(&[]).await;
    world.namespace("east", json!({"team": "none"})).await;
    world.expect(&[r#"maps east/b {"v": "1"}"#]).await;
    world.namespace("absent", json!({"team": "none"})).await;
    world.map("absent", "c", "1", "shop").await;
    world.namespace("east", json!({"team": "some"})).await;
    world.expect(&[r#"maps absent/c {"v": "1"}"#]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_updates_and_deletes_of_one_object_apply_in_order() {
    let world = World::new().await;
    let operator = world.operator();
    world.pipeline().await;
    world.map("shop", "other", "0", "shop").await;
    world.expect(&[r#"maps shop/other {"v": "0"}"#]).await;
    // Each object of the name has a uid of its own, so a row of its own.
    let mut value = 0;
    for round in 0..30 {
        for _ in 0..=round % 4 {
            value += 1;
            world.map("shop", "a", &value.to_string(), "shop").await;
        }
        if round % 3 != 2 {
            world.delete_map("shop", "a").await;
        }
    }
    world.map("shop", "a", "last", "shop").await;
    world.expect(&[r#"maps shop/a {"v": "last"}"#, r#"maps shop/other {"v": "0"}"#]).await;
    // Whatever was skipped, each change follows from the one before, and no value comes back.
    let query = "SELECT jsonb_build_object('op', op, 'uid', source_uid, 'before', before->'v', 'after', after->'v')::text FROM ROWS_changes WHERE resource_name = 'a' ORDER BY seq";
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    let mut seen = 0;
    let log = world.query(query).await;
    for line in &log {
        let change: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let uid = change["uid"].to_string();
        assert_eq!(rows.remove(&uid).unwrap_or_default(), change["before"], "{log:#?}");
        let after = &change["after"];
        assert_eq!(after.is_null(), change["op"] == "d", "{log:#?}");
        if let Some(number) = after.as_str() {
            let number = if number == "last" { value + 1 } else { number.parse().unwrap() };
            assert!(number > seen, "{number} after {seen}: {log:#?}");
            seen = number;
            rows.insert(uid, after.clone());
        }
    }
    assert_eq!(rows.into_values().collect::<Vec<_>>(), ["last"]);
    assert_eq!(seen, value + 1);
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_credentials_are_used_without_a_restart() {
    let world = World::new().await;
    let host = server_with_password().await;
    let (superuser, connection) =
        tokio_postgres::connect(&format!("postgres://postgres@{host}/postgres"), tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);
    let rotate = async |password: &str| {
        superuser.batch_execute(&format!("ALTER ROLE probe PASSWORD '{password}'")).await.unwrap();
    };
    let secret = async |password: &str| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"},
            "stringData": {"dsn": format!("postgres://probe:{password}@{host}/postgres")},
        });
        world.apply_as("v1", "Secret", "secrets", Some("shop"), "db", secret).await;
    };
    let rows = async || -> Vec<String> {
        let rows = superuser.query("SELECT attributes->>'v' FROM rows ORDER BY 1", &[]).await;
        rows.map(|rows| rows.iter().map(|row| row.get(0)).collect()).unwrap_or_default()
    };
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    rotate("first").await;
    secret("first").await;
    world.profile(json!([{"name": "v", "path": "$.data.v"}])).await;
    world.target("maps", json!({"includedNamespaces": ["shop"]})).await;
    let postgres = json!({"databaseRef": {"name": "db"}, "table": "rows"});
    world.apply("KollectDatabaseSink", "pg", json!({"type": "postgres", "postgres": postgres})).await;
    world.apply("KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg"]})).await;
    world.map("shop", "a", "1", "shop").await;
    let operator = world.operator();
    eventually(values(&["1"]), rows).await;

    // Rotated in the database first: what is connected is cut off, the old password is refused.
    rotate("second").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe'";
    superuser.execute(cut, &[]).await.unwrap();
    world.map("shop", "a", "2", "shop").await;
    eventually("False ExportTerminal".to_owned(), async || {
        world.ready("KollectInventory", "kollectinventories", "fleet").await
    })
    .await;
    world.map("shop", "b", "1", "shop").await;
    assert_eq!(rows().await, ["1"]);
    secret("second").await;
    eventually(values(&["1", "2"]), rows).await;
    eventually("True Exported".to_owned(), async || {
        world.ready("KollectInventory", "kollectinventories", "fleet").await
    })
    .await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_above_a_limit_becomes_parts_and_comes_back() {
    let world = World::new().await;
    for number in 0..30 {
        world.map("shop", &format!("m{number:02}"), "1", "shop").await;
    }
    world.pipeline().await;
    let out = world.files.path("out");
    world.apply("KollectSnapshotSink", "files", json!({"type": "local", "endpoint": out})).await;
    let inventory = async |limit: Value| {
        let files = json!({"name": "files", "maxExportBytes": limit});
        world.apply("KollectInventory", "fleet", json!({"snapshotSinkRefs": [files]})).await;
    };
    let files = || {
        let listed = std::fs::read_dir(out.join("inventory/shop"));
        let names =
            listed.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    };
    let ready = async || world.ready("KollectInventory", "kollectinventories", "fleet").await;
    inventory(json!(2_000)).await;
    let operator = world.operator_with(&["--allow-local-sinks"]);
    eventually(true, async || files().contains(&"fleet_index.yaml".to_owned()) && files().len() > 3).await;
    eventually("True Exported".to_owned(), ready).await;
    let parts = files().into_iter().filter(|name| !name.contains("index"));
    let largest = parts.map(|name| std::fs::metadata(out.join("inventory/shop").join(name)).unwrap().len());
    assert!(largest.max().unwrap() <= 2_000);

    world.map("shop", "large", &"x".repeat(3_000), "shop").await;
    eventually("False PayloadTooLarge".to_owned(), ready).await;
    let status = world.status("KollectInventory", "kollectinventories", "fleet").await;
    let conditions = status["conditions"].as_array().unwrap();
    let message =
        conditions.iter().find(|condition| condition["type"] == "Ready").unwrap()["message"].to_string();
    for part in ["1 row larger than maxExportBytes", "shop/large", "raise that"] {
        assert!(message.contains(part), "{message}");
    }
    inventory(json!(0)).await;
    eventually(vec!["fleet.yaml".to_owned()], async || files()).await;
    eventually("True Exported".to_owned(), ready).await;
    let document = std::fs::read_to_string(out.join("inventory/shop/fleet.yaml")).unwrap();
    assert_eq!(document.matches("targetName: maps").count(), 31);
    assert_eq!(operator.terminate(), 0);
}
