//! What `kubectl get` shows: what is wrong and whose turn it is to act, as the API server's tables have it.

use http::Request;
use serde_json::{Value, json};

use crate::kollect_binary::*;
use crate::operator::World;

/// The rows of a kind in a table, by name: column → cell.
async fn table(world: &World, plural: &str, namespace: Option<&str>) -> Value {
    let place = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
    let request = Request::get(format!("/apis/kollect.dev/v1alpha1/{place}{plural}"))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = world.client.request(request).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let mut rows = json!({});
    for row in table["rows"].as_array().unwrap() {
        let cells = columns.iter().zip(row["cells"].as_array().unwrap());
        // Those of priority 0 are shown without being asked for.
        let shown = cells.filter(|(column, _)| column["priority"] == 0);
        let shown: serde_json::Map<String, Value> =
            shown.map(|(column, cell)| (column["name"].as_str().unwrap().to_owned(), cell.clone())).collect();
        rows[row["cells"][0].as_str().unwrap()] = shown.into();
    }
    rows
}

/// Waits until a row says this, and asserts that its message does not only complain.
async fn shows(
    world: &World,
    plural: &str,
    namespace: Option<&str>,
    name: &str,
    expected: &[(&str, &str)],
    turn: &str,
) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(column, cell)| ((*column).to_owned(), (*cell).to_owned())).collect();
    let mut message = String::new();
    eventually(expected.clone(), async || {
        let row = table(world, plural, namespace).await[name].clone();
        message = row["Message"].as_str().unwrap_or_default().to_owned();
        let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
        expected.iter().map(|(column, _)| (column.clone(), text(&row[column]))).collect()
    })
    .await;
    assert!(message.contains(turn), "{plural}/{name}: {message}");
    assert!(message.len() < 400, "{plural}/{name}: {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_and_whose_turn_it_is_stands_in_the_table() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.pipeline().await;
    let kind = json!({"version": "v1", "kind": "ConfigMap"});
    let strict =
        json!({"targetGVK": kind, "attributes": [{"name": "n", "path": "$.data.v", "type": "bool"}]});
    world.apply("KollectProfile", "strict", strict).await;
    let broken = json!({"targetGVK": kind, "attributes": [{"name": "n", "path": "cel:object.("}]});
    world.apply("KollectProfile", "broken", broken).await;
    let absent = json!({"targetGVK": {"group": "example.dev", "version": "v1", "kind": "Absent"}, "attributes": [{"name": "n", "path": "$.a"}]});
    world.apply("KollectProfile", "absent", absent).await;
    let target = |profile: &str| json!({"profileRef": profile, "includedNamespaces": ["shop"]});
    world.apply("KollectTarget", "strict", target("strict")).await;
    world.apply("KollectTarget", "broken", target("broken")).await;
    world.apply("KollectTarget", "absent", target("absent")).await;
    world.apply("KollectTarget", "lost", target("nowhere")).await;
    let mut paused = target("maps");
    paused["suspend"] = true.into();
    world.apply("KollectTarget", "paused", paused).await;
    let files = json!({"type": "local", "endpoint": world.files.path("out")});
    world.apply("KollectSnapshotSink", "files", files).await;
    world
        .apply(
            "KollectEventSink",
            "events",
            json!({"type": "nats", "nats": {"url": "nats://nats.example:4222", "subject": "a"}}),
        )
        .await;
    let postgres = json!({"databaseRef": {"name": "none"}, "table": "rows"});
    world.apply("KollectDatabaseSink", "no-secret", json!({"type": "postgres", "postgres": postgres})).await;
    world.apply("KollectInventory", "lost", json!({"databaseSinkRefs": ["nowhere"]})).await;
    world
        .apply("KollectInventory", "good", json!({"databaseSinkRefs": ["pg"], "targetRefs": ["maps"]}))
        .await;
    world.apply("KollectInventory", "idle", json!({"targetRefs": ["maps"]})).await;
    let profile = json!({"profileRef": {"name": "nowhere", "namespace": "shop"}});
    world.apply_to_cluster("KollectClusterTarget", "lost", profile).await;
    let sinks = json!({"databaseSinkRefs": ["pg"], "sinkNamespace": "nowhere"});
    world.apply_to_cluster("KollectClusterInventory", "lost", sinks).await;
    world.apply("KollectConnectionTest", "lost", json!({"sinkRef": {"databaseSinkRef": "nowhere"}})).await;
    let operator = world.operator();

    let shop = Some("shop");
    let not = |reason: &'static str| [("Ready", "False"), ("Reason", reason)];
    let targets = "kollecttargets";
    shows(
        &world,
        targets,
        shop,
        "broken",
        &not("ProfileInvalid"),
        "see to the problems of KollectProfile shop/broken",
    )
    .await;
    shows(&world, targets, shop, "lost", &not("ProfileNotFound"), "create it").await;
    shows(&world, targets, shop, "absent", &not("KindNotFound"), "install its definition").await;
    shows(
        &world,
        targets,
        shop,
        "paused",
        &[("Reason", "Suspended"), ("Degraded", "False")],
        "spec.suspend is true",
    )
    .await;
    let degraded = [("Ready", "True"), ("Degraded", "True"), ("Failures", "1"), ("Rows", "1")];
    shows(&world, targets, shop, "strict", &degraded, "fix the profile or the objects").await;
    let fine = [("Ready", "True"), ("Reason", "Collecting"), ("Degraded", "False"), ("Rows", "1")];
    shows(&world, targets, shop, "maps", &fine, "nothing needs attention").await;
    shows(&world, "kollectprofiles", shop, "broken", &not("ProfileInvalid"), "spec.attributes[0].path").await;
    shows(
        &world,
        "kollectprofiles",
        shop,
        "maps",
        &[("Ready", "True"), ("Kind", "ConfigMap"), ("Targets", "2")],
        "compiles",
    )
    .await;
    shows(&world, "kollectsnapshotsinks", shop, "files", &not("SinkForbidden"), "--allow-local-sinks").await;
    shows(&world, "kollecteventsinks", shop, "events", &not("BackendMissing"), "; ").await;
    shows(&world, "kollectdatabasesinks", shop, "no-secret", &not("SecretNotFound"), "create it").await;
    shows(&world, "kollectdatabasesinks", shop, "pg", &[("Ready", "True"), ("Type", "postgres")], "postgres")
        .await;
    let inventories = "kollectinventories";
    shows(&world, inventories, shop, "lost", &not("SinkNotFound"), "create it").await;
    shows(&world, inventories, shop, "idle", &not("NoSinks"), "name a sink").await;
    shows(
        &world,
        inventories,
        shop,
        "fleet",
        &[("Ready", "True"), ("Degraded", "True")],
        "its rows stay as they are",
    )
    .await;
    let fine =
        [("Ready", "True"), ("Reason", "Exported"), ("Degraded", "False"), ("Rows", "1"), ("Targets", "1")];
    shows(&world, inventories, shop, "good", &fine, "nothing needs attention").await;
    shows(&world, "kollectclustertargets", None, "lost", &not("ProfileNotFound"), "create it").await;
    shows(&world, "kollectclusterinventories", None, "lost", &not("SinkNotFound"), "create it").await;
    shows(&world, "kollectconnectiontests", shop, "lost", &not("SinkNotFound"), "create it").await;
    assert_eq!(operator.terminate(), 0);
}
