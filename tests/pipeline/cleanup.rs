//! What is left when targets, references and inventories go: by deletion policy, also when nobody was there at the time, and never for good
//! in the way of a deletion.

use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::kollect_binary::*;
use crate::operator::{World, redefine};
use crate::server;

const INVENTORY: (&str, &str) = ("KollectInventory", "kollectinventories");
const TARGET: (&str, &str) = ("KollectTarget", "kollecttargets");

/// Arguments of operators: the database is on this machine, files may be written, and nobody waits for long.
const ARGUMENTS: [&str; 5] =
    ["--allow-local-sinks", "--allowed-endpoint-cidrs", "0.0.0.0/0,::/0", "--cleanup-timeout", "2s"];

impl World {
    async fn delete(&self, (kind, plural): (&str, &str), name: &str) {
        let resources = self.api(kind, plural, Some("shop"));
        resources.delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn is_there(&self, (kind, plural): (&str, &str), name: &str) -> bool {
        self.api(kind, plural, Some("shop")).get_opt(name).await.unwrap().is_some()
    }

    async fn gone(&self, kind: (&str, &str), name: &str) {
        eventually(false, async || self.is_there(kind, name).await).await;
    }

    async fn finalizers(&self, (kind, plural): (&str, &str), name: &str) -> Vec<String> {
        let resource = self.api(kind, plural, Some("shop")).get(name).await.unwrap();
        resource.metadata.finalizers.unwrap_or_default()
    }

    async fn has_finalizer(&self, kind: (&str, &str), name: &str, finalizer: &str) {
        eventually(vec![finalizer.to_owned()], async || self.finalizers(kind, name).await).await;
    }

    /// A second table in the same database, and a sink that leads there.
    async fn sink(&self, name: &str, policy: &str) {
        let postgres = json!({"databaseRef": {"name": "db"}, "schema": self.schema, "table": name});
        let spec =
            json!({"type": "postgres", "cluster": "c", "postgres": postgres, "deletionPolicy": policy});
        self.apply("KollectDatabaseSink", name, spec).await;
    }

    /// Waits until a table holds rows of these objects.
    async fn holds(&self, table: &str, names: &[&str]) {
        let query = format!("SELECT resource_name FROM {}.{table} ORDER BY 1", self.schema);
        let expected: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        eventually(expected, async || self.query(&query).await).await;
    }

    async fn exported(&self, inventory: &str, sinks: &[&str]) {
        eventually(sinks.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), async || {
            let status = self.status(INVENTORY.0, INVENTORY.1, inventory).await;
            let exports = status["sinkExports"].as_array().cloned().unwrap_or_default();
            exports.iter().map(|export| export["name"].as_str().unwrap().to_owned()).collect()
        })
        .await;
    }

    /// The reasons of the events about a resource, with how often each was published.
    async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "shop");
        let of_name = ListParams::default().fields(&format!("involvedObject.name={name}"));
        let all = events.list(&of_name).await.unwrap();
        let mut all: Vec<_> = all.items.into_iter().collect();
        all.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        all.iter()
            .map(|event| {
                let count = event.series.as_ref().and_then(|series| series.count).unwrap_or(1);
                let reason = event.reason.as_deref().unwrap();
                format!("{} {reason} {count}", event.type_.as_deref().unwrap())
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_is_cleaned_up_by_policy_whoever_was_there_when_it_ended() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.map("shop", "b", "1", "east").await;
    world.pipeline().await;
    world.target("others", json!({"labelSelector": {"matchLabels": {"app": "east"}}})).await;
    world.sink("kept", "Retain").await;
    world.sink("copy", "Delete").await;
    world.apply("KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg", "kept", "copy"]})).await;
    let operator = world.operator_with(&ARGUMENTS);
    for table in ["rows", "kept", "copy"] {
        world.holds(table, &["a", "b"]).await;
    }
    world.has_finalizer(INVENTORY, "fleet", "kollect.dev/inventory-cleanup").await;
    world.has_finalizer(TARGET, "maps", "kollect.dev/target-cleanup").await;
    world.exported("fleet", &["database/shop/copy", "database/shop/kept", "database/shop/pg"]).await;

    // A target: it is gone when its rows are.
    world.delete(TARGET, "others").await;
    world.gone(TARGET, "others").await;
    assert_eq!(world.query(&format!("SELECT resource_name FROM {}.rows", world.schema)).await, ["a"]);

    // A reference, while nobody is there; and another target.
    world.target("others", json!({"labelSelector": {"matchLabels": {"app": "east"}}})).await;
    world.holds("rows", &["a", "b"]).await;
    world.has_finalizer(TARGET, "others", "kollect.dev/target-cleanup").await;
    operator.kill();
    world.apply("KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg", "kept"]})).await;
    world.delete(TARGET, "others").await;
    assert!(world.is_there(TARGET, "others").await, "its rows are still there");
    let operator = world.operator_with(&ARGUMENTS);
    world.holds("copy", &[]).await;
    world.holds("rows", &["a"]).await;
    world.gone(TARGET, "others").await;
    world.exported("fleet", &["database/shop/kept", "database/shop/pg"]).await;

    // One that rests remembers where it was exported to, over a restart too.
    let suspended = json!({"databaseSinkRefs": ["pg", "kept"], "suspend": true});
    world.apply("KollectInventory", "fleet", suspended).await;
    eventually("False Suspended".to_owned(), async || world.ready(INVENTORY.0, INVENTORY.1, "fleet").await)
        .await;
    world.exported("fleet", &["database/shop/kept", "database/shop/pg"]).await;
    operator.kill();
    let suspended = json!({"databaseSinkRefs": ["kept"], "suspend": true});
    world.apply("KollectInventory", "fleet", suspended).await;
    let operator = world.operator_with(&ARGUMENTS);
    world.holds("rows", &[]).await;
    world.exported("fleet", &["database/shop/kept"]).await;
    world.holds("kept", &["a"]).await;

    // The inventory, while nobody is there.
    world.apply("KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg", "kept"]})).await;
    world.holds("rows", &["a"]).await;
    operator.kill();
    world.delete(INVENTORY, "fleet").await;
    assert!(world.is_there(INVENTORY, "fleet").await);
    let operator = world.operator_with(&ARGUMENTS);
    world.gone(INVENTORY, "fleet").await;
    world.holds("rows", &[]).await;
    world.holds("kept", &["a"]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_cannot_be_cleaned_up_is_in_the_way_of_a_deletion_for_good() {
    let world = World::new().await;
    // A newer version knows more values.
    redefine(&world, "kollectinventories.kollect.dev", |crd| {
        let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        spec["properties"]["dedupe"] = json!({"type": "string"});
    })
    .await;
    world.map("shop", "a", "1", "shop").await;
    world.pipeline().await;
    world.sink("lost", "Delete").await;
    world.apply("KollectInventory", "lost", json!({"databaseSinkRefs": ["lost"]})).await;
    world.sink("odd", "Delete").await;
    world.apply("KollectInventory", "odd", json!({"databaseSinkRefs": ["odd"]})).await;
    // Nobody answers there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!("postgres://u@{}/x", dead.local_addr().unwrap());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "dead", "namespace": "shop"},
        "stringData": {"dsn": dsn},
    });
    world.apply_as("v1", "Secret", "secrets", Some("shop"), "dead", secret).await;
    let postgres = json!({"databaseRef": {"name": "dead"}, "table": "dead"});
    world.apply("KollectDatabaseSink", "dead", json!({"type": "postgres", "postgres": postgres})).await;
    world.apply("KollectInventory", "dead", json!({"databaseSinkRefs": ["dead"]})).await;
    let operator = world.operator_with(&ARGUMENTS);
    for table in ["rows", "lost", "odd"] {
        world.holds(table, &["a"]).await;
    }
    for inventory in ["lost", "dead", "odd"] {
        world.has_finalizer(INVENTORY, inventory, "kollect.dev/inventory-cleanup").await;
    }
    world.exported("odd", &["database/shop/odd"]).await;

    // A destination that does not answer: it is waited for, and said why, and then no more.
    world.delete(INVENTORY, "dead").await;
    assert!(world.is_there(INVENTORY, "dead").await);
    world.gone(INVENTORY, "dead").await;
    eventually(true, async || world.events("dead").await.contains(&"Warning CleanupTerminal 1".to_owned()))
        .await;

    // A sink that is gone by then, and nobody knows where it led; and one that can't even be read.
    operator.kill();
    world.delete(("KollectDatabaseSink", "kollectdatabasesinks"), "lost").await;
    world.delete(INVENTORY, "lost").await;
    world
        .apply("KollectInventory", "odd", json!({"databaseSinkRefs": ["odd"], "dedupe": "byMoonlight"}))
        .await;
    world.delete(INVENTORY, "odd").await;
    let operator = world.operator_with(&ARGUMENTS);
    world.gone(INVENTORY, "lost").await;
    eventually(true, async || world.events("lost").await.contains(&"Warning CleanupTerminal 1".to_owned()))
        .await;
    world.holds("lost", &["a"]).await;
    world.gone(INVENTORY, "odd").await;
    world.holds("odd", &[]).await;
    world.holds("rows", &["a"]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_takes_what_is_to_stay_from_nobody() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.pipeline().await;
    world.sink("kept", "Retain").await;
    world.apply("KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg", "kept"]})).await;
    let operator = world.operator_with(&ARGUMENTS);
    world.holds("rows", &["a"]).await;
    world.holds("kept", &["a"]).await;
    world.has_finalizer(INVENTORY, "fleet", "kollect.dev/inventory-cleanup").await;
    world.has_finalizer(TARGET, "maps", "kollect.dev/target-cleanup").await;

    // As the namespace controller does it: in any order, here the worst.
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    eventually("False NamespaceTerminating".to_owned(), async || {
        world.ready(INVENTORY.0, INVENTORY.1, "fleet").await
    })
    .await;
    world.delete_map("shop", "a").await;
    world.delete(TARGET, "maps").await;
    world.gone(TARGET, "maps").await;
    for sink in ["pg", "kept"] {
        world.delete(("KollectDatabaseSink", "kollectdatabasesinks"), sink).await;
    }
    world.delete(INVENTORY, "fleet").await;
    world.gone(INVENTORY, "fleet").await;
    world.holds("rows", &[]).await;
    world.holds("kept", &["a"]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_transitions_and_repairs_and_nothing_else() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.pipeline().await;
    let verified = json!({"databaseSinkRefs": ["pg"], "exportMinInterval": "1s"});
    world.apply("KollectInventory", "other", verified).await;
    let operator = world.operator_with(&ARGUMENTS);
    let is = |reasons: &[&str]| reasons.iter().map(|reason| (*reason).to_owned()).collect::<Vec<_>>();
    eventually(is(&["Normal Exported 1"]), async || world.events("fleet").await).await;
    eventually(is(&["Normal Exported 1"]), async || world.events("other").await).await;
    let edit = "UPDATE ROWS SET attributes = '{}' WHERE inventory_name = 'other' RETURNING resource_name";
    assert_eq!(world.query(edit).await, ["a"]);
    eventually(is(&["Normal Exported 1", "Warning DriftRepaired 1"]), async || world.events("other").await)
        .await;
    world.delete(INVENTORY, "other").await;
    world.gone(INVENTORY, "other").await;
    // Rows that change are no transition, nor is a start.
    world.map("shop", "b", "1", "shop").await;
    world.holds("rows", &["a", "b"]).await;
    operator.kill();
    let operator = world.operator_with(&ARGUMENTS);
    world.map("shop", "c", "1", "shop").await;
    world.holds("rows", &["a", "b", "c"]).await;
    eventually("True Exported".to_owned(), async || world.ready(INVENTORY.0, INVENTORY.1, "fleet").await)
        .await;
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(world.client.clone(), "shop");
    let wrong = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"dsn": "nonsense"}});
    secrets.patch("db", &PatchParams::default(), &Patch::Merge(&wrong)).await.unwrap();
    eventually(is(&["Normal Exported 1", "Warning SinkInvalid 1"]), async || world.events("fleet").await)
        .await;
    let right: Value = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"dsn": server::url()}});
    secrets.patch("db", &PatchParams::default(), &Patch::Merge(&right)).await.unwrap();
    let all = is(&["Normal Exported 1", "Warning SinkInvalid 1", "Normal Exported 1"]);
    eventually(all, async || world.events("fleet").await).await;
    assert_eq!(operator.terminate(), 0);
}
