//! A cluster with a pipeline of ConfigMaps into Postgres, and operators that share a lease.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kollect_binary::*;
use crate::proxy::Proxy;
use crate::server;
use crate::table::Table;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) table: Table,
    files: Files,
    /// What the table is to hold: object, value.
    pub(crate) rows: BTreeMap<String, String>,
    /// How many changes there have been.
    pub(crate) changes: usize,
    started: usize,
    _cluster: Cluster,
}

/// A process, with a way of its own to the API server.
pub(crate) struct Operator {
    pub(crate) name: String,
    pub(crate) process: Running,
    pub(crate) proxy: Proxy,
    log: std::path::PathBuf,
}

impl Operator {
    /// Waits until its log has this; that it ends instead, or says something else, is then seen in full.
    pub(crate) async fn says(&self, text: &str) {
        let mut log = String::new();
        let until = tokio::time::Instant::now() + PATIENCE;
        while !log.contains(text) {
            assert!(tokio::time::Instant::now() < until, "{} never says {text:?}:\n{log}", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
            log = std::fs::read_to_string(&self.log).unwrap();
        }
    }

    /// Waits until it has read everything and stands by.
    pub(crate) async fn is_warm(&self) {
        self.says("WarmStandby").await;
    }

    /// Waits until it has brought the table up to date.
    pub(crate) async fn is_live(&self) {
        self.says("the destination is up to date").await;
    }

    /// It has delivered nothing before it was the leader.
    pub(crate) fn wrote_only_as_leader(&self) {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let (led, delivered) = (log.find(" leading "), log.find("the destination is up to date"));
        assert!(led.is_some() && (delivered.is_none() || led < delivered), "{log}");
    }

    /// Waits until the process has ended by itself; its exit code.
    pub(crate) async fn ends(&mut self) -> i32 {
        let mut code = None;
        eventually(true, async || {
            code = self.process.0.try_wait().unwrap();
            code.is_some()
        })
        .await;
        code.unwrap().code().unwrap()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let name = server::unique("takeover");
        let cluster = tokio::task::spawn_blocking(move || Cluster::start(&name)).await.unwrap();
        let client = kollect::sources::kubernetes::client(Some(&cluster.kubeconfig), None).await.unwrap();
        let world = Self {
            client,
            table: Table::new().await,
            files: Files::new(),
            rows: BTreeMap::new(),
            changes: 0,
            started: 0,
            _cluster: cluster,
        };
        for crd in kollect::api::crds() {
            let name = crd.metadata.name.clone().unwrap();
            let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
            apply(&api, &name, serde_json::to_value(crd).unwrap()).await;
        }
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        apply(&namespaces, "shop", shop).await;
        world.pipeline().await;
        world
    }

    async fn pipeline(&self) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"dsn": server::url()},
        });
        apply(&Api::<Secret>::namespaced(self.client.clone(), "shop"), "db", secret).await;
        let profile = json!({
            "targetGVK": {"version": "v1", "kind": "ConfigMap"}, "attributes": [{"name": "v", "path": "$.data.v"}],
        });
        self.ours("KollectProfile", "maps", profile).await;
        self.target("maps", "shop").await;
        let postgres = json!({"databaseRef": {"name": "db"}, "schema": self.table.schema, "table": "rows"});
        let sink = json!({"type": "postgres", "cluster": "c", "postgres": postgres});
        self.ours("KollectDatabaseSink", "pg", sink).await;
        self.ours("KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg"]})).await;
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let plural = if kind == "KollectInventory" {
            "kollectinventories".to_owned()
        } else {
            kind.to_lowercase() + "s"
        };
        let gvk = GroupVersionKind::gvk("kollect.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
        Api::namespaced_with(self.client.clone(), "shop", &resource)
    }

    /// Applies one of ours.
    async fn ours(&self, kind: &str, name: &str, spec: Value) {
        let body = json!({
            "apiVersion": "kollect.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        apply(&self.api(kind), name, body).await;
    }

    pub(crate) async fn status(&self, kind: &str, name: &str) -> Value {
        self.api(kind).get(name).await.unwrap().data["status"].clone()
    }

    /// Applies a target of the ConfigMaps with a label.
    pub(crate) async fn target(&self, name: &str, app: &str) {
        let spec = json!({"profileRef": "maps", "labelSelector": {"matchLabels": {"app": app}}});
        self.ours("KollectTarget", name, spec).await;
    }

    async fn map(&self, name: &str, value: &str, app: &str) {
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"app": app}}, "data": {"v": value},
        });
        apply(&Api::<ConfigMap>::namespaced(self.client.clone(), "shop"), name, body).await;
    }

    /// Creates an object, or changes it.
    pub(crate) async fn set(&mut self, name: &str, value: &str) {
        self.set_of("shop", name, value).await;
    }

    pub(crate) async fn set_of(&mut self, app: &str, name: &str, value: &str) {
        self.map(name, value, app).await;
        let before = self.rows.insert(name.to_owned(), value.to_owned());
        assert_ne!(before.as_deref(), Some(value), "this is no change");
        self.changes += 1;
    }

    pub(crate) async fn delete(&mut self, name: &str) {
        self.table.may_go(name);
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), "shop");
        api.delete(name, &DeleteParams::default()).await.unwrap();
        assert!(self.rows.remove(name).is_some());
        self.changes += 1;
    }

    /// Starts an operator.
    pub(crate) async fn operator(&mut self) -> Operator {
        self.start(&[]).await
    }

    /// Starts an operator whose requests with these parts are kept from the beginning.
    pub(crate) async fn start(&mut self, kept: &'static [&'static str]) -> Operator {
        self.started += 1;
        let name = format!("op-{}", self.started);
        let proxy = Proxy::start(&self.client).await;
        proxy.stall(kept);
        let kubeconfig = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: '{}'}}}}], \
             users: [{{name: u, user: {{}}}}], contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}",
            proxy.url
        );
        self.files.write(&name, &kubeconfig);
        let mut command = kollect();
        command.args([
            "operator",
            "--leader-election",
            "--lease-namespace",
            "shop",
            "--lease-name",
            "kollect",
        ]);
        command.args(["--lease-identity", &name, "--lease-duration", "5s", "--lease-renew-deadline", "4s"]);
        // The database is on this machine.
        command.args(["--allowed-endpoint-cidrs", "0.0.0.0/0,::/0"]);
        command.args(["--lease-retry-period", "500ms", "--kubeconfig"]).arg(self.files.path(&name));
        command.env("KOLLECT_LOG", "info,kollect::operator=debug");
        let log = self.files.path(&format!("{name}.log"));
        Operator { process: Running::start(command, &log), name, proxy, log }
    }

    /// A leader that has brought the table up to date, and a standby that is warm.
    pub(crate) async fn pair(&mut self) -> (Operator, Operator) {
        let leader = self.operator().await;
        leader.is_live().await;
        let standby = self.operator().await;
        standby.is_warm().await;
        (leader, standby)
    }

    /// Who holds the lease.
    pub(crate) async fn leader(&self) -> String {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "shop");
        let lease = leases.get_opt("kollect").await.unwrap();
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
        holder.split('_').next().unwrap_or_default().to_owned()
    }

    /// Somebody deletes the lease.
    pub(crate) async fn delete_lease(&self) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "shop");
        leases.delete("kollect", &DeleteParams::default()).await.unwrap();
    }

    /// Waits until it leads.
    pub(crate) async fn leads(&self, operator: &Operator) {
        eventually(operator.name.clone(), async || self.leader().await).await;
    }

    /// The table holds every object, every change is in it once, and nobody saw a row missing.
    pub(crate) async fn is_exact(&self) {
        self.table.expect(&self.rows).await;
        let log = self.table.log().await;
        assert_eq!(log.len(), self.changes, "{log:#?}");
        self.table.no_row_was_missed();
    }

    /// The leader goes on: one more change arrives, once. Then all end in good order.
    pub(crate) async fn goes_on(&mut self, leader: Operator) {
        self.leads(&leader).await;
        leader.is_live().await;
        leader.wrote_only_as_leader();
        self.is_exact().await;
        self.set("pulse", &leader.name).await;
        self.is_exact().await;
        assert_eq!(leader.process.terminate(), 0);
        eventually(String::new(), async || self.leader().await).await;
    }
}

async fn apply<T>(api: &Api<T>, name: &str, body: Value)
where
    T: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    // A definition that has just been created is served a moment later.
    eventually(true, async || {
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&body)).await.is_ok()
    })
    .await;
}
