//! Connection tests and probes of sinks by `kollect operator`, on a real API server and a real Postgres that asks for a password.

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use crate::kollect_binary::*;
use crate::operator::World;
use crate::server;

/// What stands in for a credential that must not show anywhere.
const WRONG: &str = "canary-wrong";
const RIGHT: &str = "canary-right";

/// A server whose user `probe` needs a password; gives its host and port.
pub(crate) async fn server_with_password() -> String {
    let url = server::start(&server::directory(&server::unique("password")));
    let connect = async |user: &str, password: &str| {
        let mut config: tokio_postgres::Config = url.parse().unwrap();
        let (client, connection) =
            config.user(user).password(password).connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok::<_, tokio_postgres::Error>(client)
    };
    let client = connect("postgres", "").await.unwrap();
    client
        .batch_execute(&format!(
            "CREATE ROLE probe LOGIN PASSWORD '{RIGHT}'; GRANT CREATE ON DATABASE postgres TO probe; GRANT CREATE ON SCHEMA public TO probe"
        ))
        .await
        .unwrap();
    // Programs run in the data directory.
    client
        .batch_execute(
            "COPY (SELECT 1) TO PROGRAM 'sed -i \"1i host all probe all scram-sha-256\" pg_hba.conf'",
        )
        .await
        .unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually(true, async || connect("probe", WRONG).await.is_err()).await;
    connect("probe", RIGHT).await.unwrap();
    let config: tokio_postgres::Config = url.parse().unwrap();
    format!("127.0.0.1:{}", config.get_ports()[0])
}

fn api(world: &World, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("kollect.dev", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &(kind.to_lowercase() + "s"));
    Api::namespaced_with(world.client.clone(), "shop", &resource)
}

async fn secret(world: &World, host: &str, password: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"},
        "stringData": {"dsn": format!("postgres://probe:{password}@{host}/postgres")},
    });
    world.apply_as("v1", "Secret", "secrets", Some("shop"), "db", secret).await;
}

async fn sink(world: &World, name: &str, connection_test: bool) {
    let postgres = json!({"databaseRef": {"name": "db"}, "table": "rows"});
    let spec = json!({"type": "postgres", "connectionTest": connection_test, "postgres": postgres});
    world.apply("KollectDatabaseSink", name, spec).await;
}

async fn test(world: &World, name: &str, spec: Value) {
    world.apply("KollectConnectionTest", name, spec).await;
}

/// A condition as `True Verified`.
async fn condition(world: &World, kind: &str, name: &str, type_: &str) -> String {
    let Some(resource) = api(world, kind).get_opt(name).await.unwrap() else { return "gone".to_owned() };
    let conditions = resource.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.map(|found| format!("{} {}", found["status"], found["reason"]).replace('"', "")).unwrap_or_default()
}

async fn until(world: &World, kind: &str, name: &str, type_: &str, expected: &str) {
    eventually(expected.to_owned(), async || condition(world, kind, name, type_).await).await;
}

async fn annotate(world: &World, name: &str) {
    let patch = json!({"metadata": {"annotations": {"kollect.dev/test-connection": "true"}}});
    let sinks = api(world, "KollectDatabaseSink");
    sinks.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    eventually(false, async || {
        let annotations = sinks.get(name).await.unwrap().metadata.annotations.unwrap_or_default();
        annotations.contains_key("kollect.dev/test-connection")
    })
    .await;
}

const VERIFIED: &str = "ConnectionVerified";
const SINK: &str = "KollectDatabaseSink";
const TEST: &str = "KollectConnectionTest";

#[tokio::test(flavor = "multi_thread")]
async fn tests_and_probes_say_what_is_wrong_recover_and_go() {
    let world = World::new().await;
    let host = server_with_password().await;
    secret(&world, &host, WRONG).await;
    sink(&world, "probed", true).await;
    sink(&world, "silent", false).await;
    test(&world, "db", json!({"sinkRef": {"databaseSinkRef": "probed"}, "ttlSecondsAfterFinished": 3600}))
        .await;
    test(&world, "nothing", json!({"sinkRef": {"databaseSinkRef": "absent"}})).await;
    world.profile(json!([{"name": "v", "path": "$.data.v"}])).await;
    world.map("shop", "a", "1", "shop").await;
    test(&world, "profile", json!({"profileRef": "maps", "ttlSecondsAfterFinished": 3600})).await;
    let operator = world.operator_with(&["--allowed-endpoint-cidrs", "127.0.0.1"]);

    until(&world, SINK, "probed", VERIFIED, "False ExportTerminal").await;
    until(&world, SINK, "probed", "Ready", "False ExportTerminal").await;
    until(&world, TEST, "db", VERIFIED, "False ExportTerminal").await;
    until(&world, TEST, "nothing", VERIFIED, "False SinkNotFound").await;
    until(&world, TEST, "profile", "Ready", "True Verified").await;
    let status = world.status(TEST, "kollectconnectiontests", "db").await;
    assert_eq!(status["completed"], false);
    assert!(status["message"].as_str().unwrap().contains("password authentication failed"), "{status}");
    // Nobody asked for that one.
    until(&world, SINK, "silent", "Ready", "True Configured").await;
    assert_eq!(condition(&world, SINK, "silent", VERIFIED).await, "");
    annotate(&world, "silent").await;
    until(&world, SINK, "silent", VERIFIED, "False ExportTerminal").await;
    until(&world, SINK, "silent", "Ready", "True Configured").await;

    // The Secret is corrected: all that is still tried goes through.
    secret(&world, &host, RIGHT).await;
    until(&world, SINK, "probed", "Ready", "True Configured").await;
    until(&world, SINK, "probed", VERIFIED, "True Verified").await;
    until(&world, TEST, "db", "Ready", "True Verified").await;
    let status = world.status(TEST, "kollectconnectiontests", "db").await;
    assert_eq!(status["completed"], true);
    assert!(status["latencyMs"].as_i64().unwrap() >= 0 && status["completedAt"].is_string(), "{status}");
    let owned = api(&world, TEST).get("db").await.unwrap();
    let owner = &owned.metadata.owner_references.unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), (SINK, "probed"));
    assert!(owned.data["spec"]["sinkRef"].is_object());
    annotate(&world, "silent").await;
    until(&world, SINK, "silent", VERIFIED, "True Verified").await;

    // Looked at, and not touched.
    let (client, connection) =
        tokio_postgres::connect(&format!("postgres://postgres@{host}/postgres"), tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);
    let tables = client.query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", &[]).await;
    assert_eq!(tables.unwrap().get::<_, i64>(0), 0);

    // Another operator does not run again what has come to its end, whatever it would find now.
    operator.kill();
    secret(&world, &host, WRONG).await;
    let operator = world.operator_with(&["--allowed-endpoint-cidrs", "127.0.0.1"]);
    until(&world, SINK, "probed", VERIFIED, "False ExportTerminal").await;
    assert_eq!(world.status(TEST, "kollectconnectiontests", "db").await, status);
    // A sink that may not be connected to.
    operator.kill();
    let operator = world.operator_with(&[]);
    until(&world, SINK, "probed", "Ready", "False EndpointForbidden").await;
    test(&world, "forbidden", json!({"sinkRef": {"databaseSinkRef": "probed"}, "ownerSink": false})).await;
    until(&world, TEST, "forbidden", VERIFIED, "False EndpointForbidden").await;
    assert!(api(&world, TEST).get("forbidden").await.unwrap().metadata.owner_references.is_none());
    assert_eq!(operator.terminate(), 0);

    // No credential shows anywhere.
    for kind in [SINK, TEST] {
        let all = api(&world, kind).list(&Default::default()).await.unwrap();
        assert!(!serde_json::to_string(&all).unwrap().contains("canary"));
    }
    assert!(!world.files.read("operator.log").contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_has_come_to_its_end_is_removed_when_its_time_is_over() {
    let world = World::new().await;
    let (here, elsewhere) = (world.files.path("out"), world.files.path("elsewhere"));
    world.apply("KollectSnapshotSink", "files", json!({"type": "local", "endpoint": here})).await;
    let missing = json!({"type": "local", "endpoint": elsewhere, "provisioning": {"mode": "existing"}});
    world.apply("KollectSnapshotSink", "missing", missing).await;
    let short =
        |sink: &str, ttl: u64| json!({"sinkRef": {"snapshotSinkRef": sink}, "ttlSecondsAfterFinished": ttl});
    test(&world, "short", short("files", 1)).await;
    test(&world, "long", short("files", 3600)).await;
    test(&world, "failing", short("missing", 0)).await;
    let operator = world.operator_with(&["--allow-local-sinks"]);
    until(&world, TEST, "long", "Ready", "True Verified").await;
    until(&world, TEST, "short", "Ready", "gone").await;
    until(&world, TEST, "failing", "Ready", "False ExportTerminal").await;
    until(&world, "KollectSnapshotSink", "missing", "Ready", "False ExportTerminal").await;
    // It is tried again by itself.
    std::fs::create_dir(&elsewhere).unwrap();
    until(&world, "KollectSnapshotSink", "missing", "Ready", "True Configured").await;
    until(&world, TEST, "failing", "Ready", "gone").await;
    until(&world, TEST, "long", "Ready", "True Verified").await;
    assert!(!here.exists(), "a probe creates nothing");
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_what_a_sink_gets_for_as_long_as_it_is_asked_for() {
    let world = World::new().await;
    world.pipeline().await;
    let out = world.files.path("out");
    let layout = json!({"mode": "perResource"});
    let files = json!({"type": "local", "endpoint": out, "connectionTest": false, "layout": layout});
    world.apply("KollectSnapshotSink", "files", files).await;
    let inventory = json!({"databaseSinkRefs": ["pg"], "snapshotSinkRefs": ["files"]});
    world.apply("KollectInventory", "fleet", inventory).await;
    let operator =
        world.operator_with(&["--allow-local-sinks", "--allowed-endpoint-cidrs", "0.0.0.0/0,::/0"]);
    let preview = async |kind: &str, name: &str| -> Value {
        api(&world, kind).get(name).await.unwrap().data["status"]["preview"].clone()
    };
    let ask = async |kind: &str, name: &str, value: Value| {
        let patch = json!({"metadata": {"annotations": {"kollect.dev/preview": value}}});
        api(&world, kind).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    ask(SINK, "pg", "true".into()).await;
    ask("KollectSnapshotSink", "files", "true".into()).await;
    eventually(true, async || {
        preview(SINK, "pg").await["ddl"].as_str().is_some_and(|ddl| ddl.contains("CREATE TABLE"))
    })
    .await;
    assert!(preview(SINK, "pg").await["sample"].is_null(), "there is no row");
    // Rendered from a real row as soon as there is one.
    world.map("shop", "a", "1", "shop").await;
    eventually(true, async || {
        preview(SINK, "pg").await["sample"].as_str().is_some_and(|row| row.contains(r#""v":"1""#))
    })
    .await;
    assert_eq!(preview(SINK, "pg").await["inventory"], "fleet");
    eventually(true, async || preview("KollectSnapshotSink", "files").await["path"].is_string()).await;
    let shown = preview("KollectSnapshotSink", "files").await;
    let file = shown["path"].as_str().unwrap().to_owned();
    assert!(file.starts_with(out.to_str().unwrap()) && file.ends_with("a.yaml"), "{file}");
    // That is exactly what is exported.
    eventually(shown["sample"].clone(), async || std::fs::read_to_string(&file).ok().into()).await;
    ask(SINK, "pg", Value::Null).await;
    eventually(Value::Null, async || preview(SINK, "pg").await).await;
    assert_eq!(operator.terminate(), 0);
}
