//! Cluster targets and cluster inventories on a real API server, into a real Postgres.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::kollect_binary::*;
use crate::operator::World;

const INVENTORY: [&str; 2] = ["KollectClusterInventory", "kollectclusterinventories"];

/// An inventory of the cluster in the sink of namespace shop.
async fn inventory(world: &World, mut spec: Value) {
    spec["databaseSinkRefs"] = json!([{"name": "pg", "namespace": "shop"}]);
    world.apply_to_cluster("KollectClusterInventory", "all", spec).await;
}

async fn status(world: &World) -> Value {
    let [kind, plural] = INVENTORY;
    world.api(kind, plural, None).get("all").await.unwrap().data["status"].clone()
}

/// The rows of the cluster inventory: `target namespace/name`.
async fn expect(world: &World, rows: &[&str]) {
    const ROWS: &str = "SELECT target_namespace || target_name || ' ' || resource_namespace || '/' || resource_name FROM ROWS WHERE inventory_namespace = '' AND inventory_name = 'all' ORDER BY 1";
    let expected: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    eventually(expected, async || world.query(ROWS).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_inventory_merges_cluster_targets_over_the_namespaces_that_it_takes() {
    let world = World::new().await;
    for (namespace, name) in [("shop", "a"), ("shop", "b"), ("east", "c")] {
        world.map(namespace, name, "1", "shop").await;
    }
    let operator = world.operator();
    world.pipeline().await;
    let profile = json!({"name": "maps", "namespace": "shop"});
    let labels = json!({"matchLabels": {"app": "shop"}});
    let target = json!({"profileRef": profile, "labelSelector": labels});
    world.apply_to_cluster("KollectClusterTarget", "everywhere", target).await;
    inventory(&world, json!({})).await;
    expect(&world, &["everywhere east/c", "everywhere shop/a", "everywhere shop/b"]).await;
    // Those of a namespace are left alone.
    const OWN: &str = "SELECT count(*)::text FROM ROWS WHERE inventory_namespace = 'shop'";
    eventually(vec!["3".to_owned()], async || world.query(OWN).await).await;

    let shard = |namespace: &str, rows: u64| json!([namespace, rows, 1]);
    eventually(json!([2, [shard("east", 1), shard("shop", 2)]]), async || {
        let status = status(&world).await;
        let shards = status["namespaceShards"].as_array().cloned().unwrap_or_default();
        let shards =
            shards.iter().map(|shard| json!([shard["namespace"], shard["itemCount"], shard["targetCount"]]));
        json!([status["namespaceShardCount"], shards.collect::<Vec<_>>()])
    })
    .await;
    eventually("True Exported".to_owned(), async || {
        let status = status(&world).await;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.iter().find(|condition| condition["type"] == "ExportSucceeded");
        condition.map(|it| format!("{} {}", it["status"], it["reason"]).replace('"', "")).unwrap_or_default()
    })
    .await;

    // Namespaces by name and by label; labels that change count at once, and nothing but the difference is written.
    let before = world.log().await.len();
    inventory(&world, json!({"namespaces": ["east", "later"]})).await;
    expect(&world, &["everywhere east/c"]).await;
    inventory(&world, json!({"namespaceSelector": {"matchLabels": {"team": "x"}}})).await;
    expect(&world, &[]).await;
    world.namespace("shop", json!({"team": "x"})).await;
    expect(&world, &["everywhere shop/a", "everywhere shop/b"]).await;
    world.namespace("shop", json!({})).await;
    world.namespace("east", json!({"team": "x"})).await;
    expect(&world, &["everywhere east/c"]).await;
    let log = world.log().await;
    assert_eq!(log.len() - before, 8, "{log:#?}");

    // A second cluster target, which only one inventory of the two wants.
    let second = json!({"profileRef": profile, "includedNamespaces": ["east"]});
    world.apply_to_cluster("KollectClusterTarget", "second", second).await;
    expect(&world, &["everywhere east/c", "second east/c"]).await;
    inventory(&world, json!({"targetRefs": ["second"]})).await;
    expect(&world, &["second east/c"]).await;

    // They go while nobody is there, and their rows with them as soon as somebody is, for sinks delete by default.
    let [kind, plural] = INVENTORY;
    let inventories = world.api(kind, plural, None);
    let targets = world.api("KollectClusterTarget", "kollectclustertargets", None);
    let guards = [
        (&inventories, "all", "kollect.dev/cluster-inventory-cleanup"),
        (&targets, "second", "kollect.dev/cluster-target-cleanup"),
    ];
    for (resources, name, finalizer) in guards {
        eventually(Some(vec![finalizer.to_owned()]), async || {
            resources.get(name).await.unwrap().metadata.finalizers
        })
        .await;
    }
    operator.kill();
    for (resources, name, _) in guards {
        resources.delete(name, &DeleteParams::default()).await.unwrap();
        assert!(resources.get_opt(name).await.unwrap().is_some());
    }
    expect(&world, &["second east/c"]).await;
    let operator = world.operator();
    expect(&world, &[]).await;
    eventually(vec!["3".to_owned()], async || world.query(OWN).await).await;
    for (resources, name, _) in guards {
        eventually(true, async || resources.get_opt(name).await.unwrap().is_none()).await;
    }
    assert_eq!(operator.terminate(), 0);
}
