//! `kollect operator` on a real API server into a real Postgres.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kollect_binary::*;
use crate::proxy::{Fault, Proxy};
use crate::server;

pub(crate) struct World {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) client: Client,
    database: tokio_postgres::Client,
    pub(crate) schema: String,
    pub(crate) files: Files,
    _cluster: Cluster,
}

impl World {
    /// A cluster with the custom resource definitions, and a pipeline of ConfigMaps into Postgres.
    pub(crate) async fn new() -> Self {
        Self::with_api_server("").await
    }

    /// The same, with these arguments of the API server.
    pub(crate) async fn with_api_server(arguments: &str) -> Self {
        let (name, arguments) = (server::unique("operator"), arguments.to_owned());
        let cluster =
            tokio::task::spawn_blocking(move || Cluster::start_with(&name, &arguments)).await.unwrap();
        let kubeconfig = cluster.kubeconfig.clone();
        let client = kollect::sources::kubernetes::client(Some(&kubeconfig), None).await.unwrap();
        let world = Self {
            kubeconfig,
            client,
            database: server::connect().await,
            schema: server::unique("operator"),
            files: Files::new(),
            _cluster: cluster,
        };
        for crd in kollect::api::crds() {
            let crd = serde_json::to_value(crd).unwrap();
            let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
            world
                .apply_as(
                    "apiextensions.k8s.io/v1",
                    "CustomResourceDefinition",
                    "customresourcedefinitions",
                    None,
                    &name,
                    crd,
                )
                .await;
        }
        for namespace in ["shop", "east"] {
            world.namespace(namespace, json!({})).await;
        }
        world
    }

    pub(crate) async fn namespace(&self, name: &str, labels: Value) {
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&body)).await.unwrap();
    }

    pub(crate) async fn apply_as(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: Option<&str>,
        name: &str,
        body: Value,
    ) {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        // A definition that has just been created is served a moment later.
        eventually(Ok(()), async || {
            let applied = api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&body)).await;
            applied.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Applies one of ours in namespace shop.
    pub(crate) async fn apply(&self, kind: &str, name: &str, spec: Value) {
        let body = json!({
            "apiVersion": "kollect.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
        });
        let plural = match kind {
            "KollectInventory" => "kollectinventories".to_owned(),
            kind => kind.to_lowercase() + "s",
        };
        self.apply_as("kollect.dev/v1alpha1", kind, &plural, Some("shop"), name, body).await;
    }

    pub(crate) async fn status(&self, kind: &str, plural: &str, name: &str) -> Value {
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("kollect.dev", "v1alpha1", kind),
            plural,
        );
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "shop", &resource);
        api.get(name).await.unwrap().data["status"].clone()
    }

    pub(crate) async fn ready(&self, kind: &str, plural: &str, name: &str) -> String {
        let status = self.status(kind, plural, name).await;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        ready
            .map(|ready| format!("{} {}", ready["status"], ready["reason"]).replace('"', ""))
            .unwrap_or_default()
    }

    pub(crate) async fn map(&self, namespace: &str, name: &str, value: &str, app: &str) {
        self.apply_map(namespace, name, value, json!({"app": app})).await;
    }

    async fn apply_map(&self, namespace: &str, name: &str, value: &str, labels: Value) {
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": labels}, "data": {"v": value},
        });
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&body)).await.unwrap();
    }

    pub(crate) async fn delete_map(&self, namespace: &str, name: &str) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn pipeline(&self) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"},
            "stringData": {"dsn": server::url()},
        });
        self.apply_as("v1", "Secret", "secrets", Some("shop"), "db", secret).await;
        self.profile(json!([{"name": "v", "path": "$.data.v"}])).await;
        self.target("maps", json!({"labelSelector": {"matchLabels": {"app": "shop"}}})).await;
        let postgres = json!({"databaseRef": {"name": "db"}, "schema": self.schema, "table": "rows"});
        self.apply(
            "KollectDatabaseSink",
            "pg",
            json!({"type": "postgres", "cluster": "c", "postgres": postgres}),
        )
        .await;
        self.apply("KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg"]})).await;
    }

    pub(crate) async fn profile(&self, attributes: Value) {
        let spec = json!({"targetGVK": {"version": "v1", "kind": "ConfigMap"}, "attributes": attributes});
        self.apply("KollectProfile", "maps", spec).await;
    }

    pub(crate) async fn target(&self, name: &str, mut spec: Value) {
        spec["profileRef"] = "maps".into();
        self.apply("KollectTarget", name, spec).await;
    }

    pub(crate) fn operator(&self) -> Running {
        // The database is on this machine.
        self.operator_with(&["--allowed-endpoint-cidrs", "0.0.0.0/0,::/0"])
    }

    pub(crate) fn operator_with(&self, arguments: &[&str]) -> Running {
        let mut command = kollect();
        command.args(["operator", "--kubeconfig"]).arg(&self.kubeconfig).env("KOLLECT_LOG", "info");
        command.args(arguments);
        Running::start(command, &self.files.path("operator.log"))
    }

    pub(crate) async fn query(&self, query: &str) -> Vec<String> {
        let query = query.replace("ROWS", &format!("{}.rows", self.schema));
        match self.database.query(&query, &[]).await {
            Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
            // The operator creates the tables.
            Err(error) => vec![error.to_string()],
        }
    }

    /// Applies one of ours of the cluster.
    pub(crate) async fn apply_to_cluster(&self, kind: &str, name: &str, spec: Value) {
        let body = json!({
            "apiVersion": "kollect.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        let plural = match kind {
            "KollectClusterInventory" => "kollectclusterinventories".to_owned(),
            kind => kind.to_lowercase() + "s",
        };
        self.apply_as("kollect.dev/v1alpha1", kind, &plural, None, name, body).await;
    }

    /// One of ours, of the cluster where there is no namespace.
    pub(crate) fn api(&self, kind: &str, plural: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("kollect.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Waits until the table holds exactly these rows: `target namespace/name attributes`.
    pub(crate) async fn expect(&self, rows: &[&str]) {
        let query = "SELECT target_name || ' ' || resource_namespace || '/' || resource_name || ' ' || attributes::text FROM ROWS ORDER BY 1";
        let expected: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
        eventually(expected, async || self.query(query).await).await;
    }

    /// The change log: operation, object, attributes before and after.
    pub(crate) async fn log(&self) -> Vec<String> {
        let query = "SELECT op::text || ' ' || resource_name || ' ' || coalesce(before::text, '') || ' → ' || coalesce(after::text, '') FROM ROWS_changes ORDER BY seq";
        self.query(query).await
    }

    async fn rows_written(&self) -> Vec<String> {
        let query = format!(
            "SELECT (n_tup_ins + n_tup_upd + n_tup_del)::text FROM pg_stat_user_tables WHERE schemaname = '{}' ORDER BY relname",
            self.schema
        );
        self.database.execute("SELECT pg_stat_clear_snapshot()", &[]).await.unwrap();
        self.query(&query).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_follows_objects_profiles_targets_and_namespaces_and_a_restart_writes_nothing() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.map("shop", "b", "1", "shop").await;
    world.map("shop", "c", "1", "other").await;
    let operator = world.operator();
    world.pipeline().await;
    world.expect(&[r#"maps shop/a {"v": "1"}"#, r#"maps shop/b {"v": "1"}"#]).await;
    eventually("True Exported".to_owned(), async || {
        world.ready("KollectInventory", "kollectinventories", "fleet").await
    })
    .await;
    eventually("True Collecting".to_owned(), async || {
        world.ready("KollectTarget", "kollecttargets", "maps").await
    })
    .await;
    eventually((json!(2), json!(2)), async || {
        let status = world.status("KollectTarget", "kollecttargets", "maps").await;
        (status["objectCount"].clone(), status["rowCount"].clone())
    })
    .await;

    // Create, change, relabel, delete.
    world.map("shop", "d", "1", "shop").await;
    world.map("shop", "a", "2", "shop").await;
    world.map("shop", "c", "1", "shop").await;
    world.map("shop", "b", "1", "other").await;
    world
        .expect(&[r#"maps shop/a {"v": "2"}"#, r#"maps shop/c {"v": "1"}"#, r#"maps shop/d {"v": "1"}"#])
        .await;
    world.delete_map("shop", "c").await;
    world.delete_map("shop", "d").await;
    world.expect(&[r#"maps shop/a {"v": "2"}"#]).await;
    let log = world.log().await;
    assert_eq!(log.len(), 8, "{log:#?}");

    // An edited profile, and one that is broken for a while: rows stay as they were.
    world.profile(json!([{"name": "v", "path": "$.data.v"}, {"name": "n", "path": "$.metadata.name"}])).await;
    world.expect(&[r#"maps shop/a {"n": "a", "v": "2"}"#]).await;
    world.profile(json!([{"name": "v", "path": "cel:object.("}])).await;
    eventually("False ProfileInvalid".to_owned(), async || {
        world.ready("KollectProfile", "kollectprofiles", "maps").await
    })
    .await;
    eventually("False ProfileInvalid".to_owned(), async || {
        world.ready("KollectTarget", "kollecttargets", "maps").await
    })
    .await;
    world.map("shop", "a", "3", "shop").await;
    world.profile(json!([{"name": "v", "path": "$.data.v"}])).await;
    world.expect(&[r#"maps shop/a {"v": "3"}"#]).await;
    let log = world.log().await;
    assert_eq!(log.len(), 10, "{log:#?}");

    // A second target on the kind gets what is there at once; a namespace that comes later is seen, one that is
    // relabelled too.
    world.target("labelled", json!({"namespaceSelector": {"matchLabels": {"team": "x"}}})).await;
    world.map("east", "e", "1", "other").await;
    world.namespace("east", json!({"team": "x"})).await;
    world.expect(&[r#"labelled east/e {"v": "1"}"#, r#"maps shop/a {"v": "3"}"#]).await;
    world.namespace("later", json!({"team": "x"})).await;
    world.map("later", "f", "1", "shop").await;
    world
        .expect(&[
            r#"labelled east/e {"v": "1"}"#,
            r#"labelled later/f {"v": "1"}"#,
            r#"maps later/f {"v": "1"}"#,
            r#"maps shop/a {"v": "3"}"#,
        ])
        .await;
    world.namespace("east", json!({})).await;
    world
        .expect(&[
            r#"labelled later/f {"v": "1"}"#,
            r#"maps later/f {"v": "1"}"#,
            r#"maps shop/a {"v": "3"}"#,
        ])
        .await;

    // An object that asks not to be collected, and a namespace that does; nothing is read anew for the latter.
    world.apply_map("later", "g", "1", json!({"app": "shop", "kollect.dev/watch": "disabled"})).await;
    world.namespace("later", json!({"team": "x", "kollect.dev/watch": "disabled"})).await;
    world.expect(&[r#"maps shop/a {"v": "3"}"#]).await;
    world.namespace("later", json!({"team": "x"})).await;
    world
        .expect(&[
            r#"labelled later/f {"v": "1"}"#,
            r#"maps later/f {"v": "1"}"#,
            r#"maps shop/a {"v": "3"}"#,
        ])
        .await;
    let log = world.log().await;
    assert_eq!(log.len(), 18, "{log:#?}");
    // Rules in place of labels: what is selected as before gives no delta, and the rest comes.
    world
        .target(
            "labelled",
            json!({"resourceRules": [
                {"gvk": {"version": "v1", "kind": "ConfigMap"}, "namespaceSelector": {"matchLabels": {"team": "x"}}, "matchPolicy": "object.data.v == '1' && !('kollect.dev/watch' in object.metadata.labels)"},
                {"gvk": {"version": "v1", "kind": "ConfigMap"}, "matchPolicy": "object.data.v == '3'"},
            ]}),
        )
        .await;
    world
        .expect(&[
            r#"labelled later/f {"v": "1"}"#,
            r#"labelled shop/a {"v": "3"}"#,
            r#"maps later/f {"v": "1"}"#,
            r#"maps shop/a {"v": "3"}"#,
        ])
        .await;
    let log = world.log().await;
    assert_eq!(log.len(), 19, "{log:#?}");
    world.target("labelled", json!({"namespaceSelector": {"matchLabels": {"team": "x"}}})).await;
    world
        .expect(&[
            r#"labelled later/f {"v": "1"}"#,
            r#"maps later/f {"v": "1"}"#,
            r#"maps shop/a {"v": "3"}"#,
        ])
        .await;

    // Killed and started again: nothing is written, in any of the tables.
    operator.kill();
    let mut before = Vec::new();
    eventually(true, async || {
        let now = world.rows_written().await;
        let same = now == before;
        before = now;
        same
    })
    .await;
    let operator = world.operator();
    let log = world.files.path("operator.log");
    eventually(true, async || {
        std::fs::read_to_string(&log).unwrap().contains("the destination is up to date")
    })
    .await;
    assert_eq!(world.rows_written().await, before);

    // What changed while nobody looked is caught up with, deletions too.
    operator.kill();
    world.delete_map("later", "f").await;
    world.map("shop", "a", "4", "shop").await;
    let operator = world.operator();
    world.expect(&[r#"maps shop/a {"v": "4"}"#]).await;
    world.delete_map("shop", "a").await;
    world.expect(&[]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_comes_later_is_waited_for_and_holds_nothing_up() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    let spec = json!({"targetGVK": {"group": "example.dev", "version": "v1", "kind": "Widget"}, "attributes": [{"name": "size", "path": "$.spec.size"}]});
    world.apply("KollectProfile", "widgets", spec).await;
    world.apply("KollectTarget", "widgets", json!({"profileRef": "widgets"})).await;
    world.pipeline().await;
    let operator = world.operator();
    world.expect(&[r#"maps shop/a {"v": "1"}"#]).await;
    eventually("False KindNotFound".to_owned(), async || {
        world.ready("KollectTarget", "kollecttargets", "widgets").await
    })
    .await;

    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.dev"},
        "spec": {
            "group": "example.dev", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    world
        .apply_as(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            None,
            "widgets.example.dev",
            crd,
        )
        .await;
    let widget = json!({"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop"}, "spec": {"size": 9007199254740993_i64}});
    world.apply_as("example.dev/v1", "Widget", "widgets", Some("shop"), "w", widget).await;
    world.expect(&[r#"maps shop/a {"v": "1"}"#, r#"widgets shop/w {"size": 9007199254740993}"#]).await;
    assert_eq!(operator.terminate(), 0);
}

/// Our definitions, with another one in place of one.
pub(crate) async fn redefine(world: &World, name: &str, change: impl Fn(&mut Value)) {
    let all = kollect::api::crds().into_iter().map(|crd| serde_json::to_value(crd).unwrap());
    for mut crd in all.filter(|crd| crd["metadata"]["name"] == name) {
        change(&mut crd);
        let (version, kind) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        world.apply_as(version, kind, "customresourcedefinitions", None, name, crd).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_cannot_be_read_keeps_its_rows_and_a_kind_of_ours_that_is_missing_stops_nothing() {
    let world = World::new().await;
    let definition = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    let definitions: Api<DynamicObject> = Api::all_with(world.client.clone(), &definition);
    let missing = "kollectsnapshotsinks.kollect.dev";
    definitions.delete(missing, &DeleteParams::default()).await.unwrap();
    eventually(true, async || definitions.get_opt(missing).await.unwrap().is_none()).await;
    // A newer version knows more values.
    redefine(&world, "kollectinventories.kollect.dev", |crd| {
        let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        spec["properties"]["dedupe"] = json!({"type": "string"});
    })
    .await;
    world.map("shop", "a", "1", "shop").await;
    world.map("shop", "b", "1", "shop").await;
    world.pipeline().await;
    let operator = world.operator();
    let both = [r#"maps shop/a {"v": "1"}"#, r#"maps shop/b {"v": "1"}"#];
    world.expect(&both).await;
    eventually("True Exported".to_owned(), async || {
        world.ready("KollectInventory", "kollectinventories", "fleet").await
    })
    .await;

    let inventory = |dedupe: &str| json!({"databaseSinkRefs": ["pg"], "dedupe": dedupe});
    world.apply("KollectInventory", "fleet", inventory("byMoonlight")).await;
    let log = world.files.path("operator.log");
    eventually(true, async || {
        std::fs::read_to_string(&log).unwrap().contains("can't be read as a KollectInventory")
    })
    .await;
    world.delete_map("shop", "b").await;
    // Another operator, which has never seen it as it was, does no more.
    operator.kill();
    let operator = world.operator();
    eventually(true, async || {
        std::fs::read_to_string(&log).unwrap().contains("can't be read as a KollectInventory")
    })
    .await;
    eventually("True Collecting".to_owned(), async || {
        world.ready("KollectTarget", "kollecttargets", "maps").await
    })
    .await;
    world.expect(&both).await;
    world.apply("KollectInventory", "fleet", inventory("keepAll")).await;
    world.expect(&both[..1]).await;

    // The missing kind is picked up when it comes.
    redefine(&world, missing, |_| {}).await;
    let spec = json!({"type": "local", "endpoint": world.files.path("out")});
    world.apply("KollectSnapshotSink", "files", spec).await;
    eventually("False SinkForbidden".to_owned(), async || {
        world.ready("KollectSnapshotSink", "kollectsnapshotsinks", "files").await
    })
    .await;

    // Suspended, and then removed: the deletion policy still counts.
    let mut suspended = inventory("keepAll");
    suspended["suspend"] = true.into();
    world.apply("KollectInventory", "fleet", suspended).await;
    eventually("False Suspended".to_owned(), async || {
        world.ready("KollectInventory", "kollectinventories", "fleet").await
    })
    .await;
    world.expect(&both[..1]).await;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("kollect.dev", "v1alpha1", "KollectInventory"),
        "kollectinventories",
    );
    let inventories: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "shop", &resource);
    inventories.delete("fleet", &DeleteParams::default()).await.unwrap();
    world.expect(&[]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_never_answered_hold_up_neither_rows_nor_the_end() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.pipeline().await;
    let postgres = json!({"databaseRef": {"name": "other"}, "table": "rows"});
    world.apply("KollectDatabaseSink", "other", json!({"type": "postgres", "postgres": postgres})).await;
    let proxy = Proxy::start(&world.client).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let options = kollect::operator::Options {
        allow_local_sinks: false,
        endpoints: kollect::sinks::EndpointPolicy::unrestricted(),
        workers: 1,
        cleanup_timeout: std::time::Duration::from_secs(120),
        scrub_keys: Vec::new(),
        tenancy: Default::default(),
        lease: None,
        readiness: Default::default(),
        webhook: None,
    };
    proxy.stall(&["PATCH ", "/secrets/other"]);
    // That namespaces can't be listed is nothing to a target that selects none.
    let (path, times) = ("/api/v1/namespaces?", usize::MAX);
    proxy.add(Fault::Answer { path, status: 403, header: "x: y", times });
    let running = tokio::spawn(kollect::operator::run(proxy.client.clone(), options, stop.clone()));
    world.expect(&[r#"maps shop/a {"v": "1"}"#]).await;
    stop.cancel();
    eventually(true, async || running.is_finished()).await;
    running.await.unwrap().unwrap();
}
