//! Operators of tenants: each with a ServiceAccount and the Roles that docs/tenancy.md gives, on an API server that asks RBAC, into a
//! real Postgres.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kollect_binary::*;
use crate::operator::World;
use crate::proxy::Proxy;
use crate::server;

/// What docs/tenancy.md says a tenant needs, in its words.
fn permissions() -> Vec<Value> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tenancy.md");
    let page = std::fs::read_to_string(page).unwrap();
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    yaml.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn plural(kind: &str) -> String {
    match kind {
        "KollectInventory" => "kollectinventories".to_owned(),
        kind => kind.to_lowercase() + "s",
    }
}

fn resources(world: &World, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("kollect.dev", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural(kind));
    Api::namespaced_with(world.client.clone(), namespace, &resource)
}

/// Applies one of ours.
async fn apply(world: &World, namespace: &str, kind: &str, name: &str, spec: Value) {
    apply_annotated(world, namespace, kind, name, json!({}), spec).await;
}

async fn apply_annotated(
    world: &World,
    namespace: &str,
    kind: &str,
    name: &str,
    annotations: Value,
    spec: Value,
) {
    let body = json!({
        "apiVersion": "kollect.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": spec,
    });
    world.apply_as("kollect.dev/v1alpha1", kind, &plural(kind), Some(namespace), name, body).await;
}

/// A condition as `True Reason`.
async fn condition(world: &World, namespace: &str, kind: &str, name: &str, type_: &str) -> String {
    let resource = resources(world, namespace, kind).get(name).await.unwrap();
    let conditions = resource.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.map(|found| format!("{} {}", found["status"], found["reason"]).replace('"', "")).unwrap_or_default()
}

async fn ready(world: &World, namespace: &str, kind: &str, name: &str) -> String {
    condition(world, namespace, kind, name, "Ready").await
}

/// A tenant with these namespaces, the first of which is the operator's.
struct Tenant {
    namespaces: Vec<&'static str>,
    token: String,
}

impl Tenant {
    async fn new(world: &World, namespaces: &[&'static str]) -> Self {
        let home = namespaces[0];
        for namespace in namespaces {
            world.namespace(namespace, json!({"team": home})).await;
            grant(world, home, namespace).await;
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), home);
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let token = accounts.create_token_request("kollect", &PostParams::default(), &request).await.unwrap();
        Self { namespaces: namespaces.to_vec(), token: token.status.unwrap().token }
    }

    fn home(&self) -> &'static str {
        self.namespaces[0]
    }

    /// A kubeconfig with the tenant's own credentials.
    fn kubeconfig(&self, world: &World) -> PathBuf {
        let admin = std::fs::read_to_string(&world.kubeconfig).unwrap();
        let mut config: Value = serde_saphyr::from_str(&admin).unwrap();
        config["users"] = json!([{"name": "tenant", "user": {"token": self.token}}]);
        config["contexts"][0]["context"]["user"] = "tenant".into();
        config["contexts"][0]["context"]["namespace"] = self.home().into();
        let path = world.files.path(&format!("{}.kubeconfig", self.home()));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn operator(&self, world: &World, kubeconfig: &Path) -> Running {
        let mut command = kollect();
        command.args(["operator", "--kubeconfig"]).arg(kubeconfig).env("KOLLECT_LOG", "info");
        command.args(["--allowed-endpoint-cidrs", "0.0.0.0/0,::/0", "--tenant-mode"]);
        command.args(["--watch-namespaces", &self.namespaces.join(",")]);
        command.args(["--leader-election", "--lease-retry-period", "500ms"]);
        Running::start(command, &world.files.path(&format!("{}.log", self.home())))
    }
}

/// Gives the operator of a tenant its permissions in one of the tenant's namespaces.
async fn grant(world: &World, home: &str, namespace: &str) {
    for document in permissions() {
        let text = document.to_string().replace("team-a", home);
        let mut document: Value = serde_json::from_str(&text).unwrap();
        let (kind, name) =
            (document["kind"].as_str().unwrap(), document["metadata"]["name"].as_str().unwrap());
        if namespace != home && (kind == "ServiceAccount" || name == "kollect-lease") {
            continue;
        }
        let (kind, name) = (kind.to_owned(), name.to_owned());
        document["metadata"]["namespace"] = namespace.into();
        let version = document["apiVersion"].as_str().unwrap().to_owned();
        let plural = kind.to_lowercase() + "s";
        world.apply_as(&version, &kind, &plural, Some(namespace), &name, document).await;
    }
}

/// ConfigMaps into the tenant's own table.
async fn pipeline(world: &World, namespace: &str, table: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": namespace},
        "stringData": {"dsn": server::url()},
    });
    world.apply_as("v1", "Secret", "secrets", Some(namespace), "db", secret).await;
    let gvk = json!({"version": "v1", "kind": "ConfigMap"});
    let spec = json!({"targetGVK": gvk, "attributes": [{"name": "v", "path": "$.data.v"}]});
    apply(world, namespace, "KollectProfile", "maps", spec).await;
    apply(world, namespace, "KollectTarget", "maps", json!({"profileRef": "maps"})).await;
    let postgres = json!({"databaseRef": {"name": "db"}, "schema": world.schema, "table": table});
    let spec = json!({"type": "postgres", "cluster": "c", "postgres": postgres});
    // To be probed once on request.
    let asks = json!({"kollect.dev/test-connection": "true"});
    apply_annotated(world, namespace, "KollectDatabaseSink", "pg", asks, spec).await;
    apply(world, namespace, "KollectInventory", "fleet", json!({"databaseSinkRefs": ["pg"]})).await;
}

/// The rows of a table: `target namespace/name value`.
async fn rows(world: &World, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT target_name || ' ' || resource_namespace || '/' || resource_name || ' ' || coalesce(attributes->>'v', '') FROM {}.{table} ORDER BY 1",
        world.schema
    );
    world.query(&query).await
}

async fn expect(world: &World, table: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|row| (*row).to_owned()).collect();
    eventually(expected, async || rows(world, table).await).await;
}

/// Group and resource, and verb.
type Use = (String, String, String);

/// What the audit log says a ServiceAccount has done, and what of it was not in its namespaces or was denied.
fn audited(log: &Path, tenant: &Tenant) -> (BTreeSet<Use>, Vec<String>) {
    let user = format!("system:serviceaccount:{}:kollect", tenant.home());
    let (mut used, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["user"]["username"] != user.as_str() {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let (uri, code) = (text(&event["requestURI"]), event["responseStatus"]["code"].as_u64().unwrap_or(0));
        let within = match object.is_null() {
            // Discovery, which says nothing of what is there.
            true => {
                let path = uri.split('?').next().unwrap();
                path == "/api/v1" || (path.starts_with("/apis/") && path.matches('/').count() <= 3)
            }
            false => tenant.namespaces.contains(&text(&object["namespace"]).as_str()),
        };
        if !within || [401, 403].contains(&code) {
            wrong.push(format!("{} {uri} {code}", event["verb"]));
        } else if !object.is_null() {
            let mut resource = text(&object["resource"]);
            if let Some(part) = object["subresource"].as_str() {
                resource = format!("{resource}/{part}");
            }
            used.insert((text(&object["apiGroup"]), resource, text(&event["verb"])));
        }
    }
    (used, wrong)
}

/// What the Roles of docs/tenancy.md allow.
fn allowed() -> BTreeSet<Use> {
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut all = BTreeSet::new();
    for document in permissions() {
        for rule in document["rules"].as_array().into_iter().flatten() {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    // The rule for what profiles read names resources of several groups.
                    let of_apps = resource == "deployments";
                    if (group == "apps") == of_apps {
                        all.extend(
                            words(&rule["verbs"])
                                .into_iter()
                                .map(|verb| (group.clone(), resource.clone(), verb)),
                        );
                    }
                }
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_with_the_permissions_of_the_docs_each_have_their_own_and_ask_for_nothing_else() {
    let folder = TempDir::new().unwrap();
    let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
    let all = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}],
    });
    std::fs::write(&policy, all.to_string()).unwrap();
    let arguments = format!("--audit-policy-file={} --audit-log-path={}", policy.display(), log.display());
    let world = World::with_api_server(&arguments).await;
    let a = Tenant::new(&world, &["team-a", "team-a-jobs"]).await;
    let b = Tenant::new(&world, &["team-b"]).await;
    for namespace in ["team-a", "team-a-jobs", "team-b"] {
        world.map(namespace, "x", namespace, "shop").await;
    }
    pipeline(&world, "team-a", "of_a").await;
    pipeline(&world, "team-b", "of_b").await;
    let by_label = json!({"profileRef": "maps", "namespaceSelector": {"matchLabels": {"tier": "jobs"}}});
    apply(&world, "team-a", "KollectTarget", "labelled", by_label).await;
    // Sinks that can't be used say so, and answer who asks for a probe.
    let asks = || json!({"kollect.dev/test-connection": "true"});
    let spec = json!({"type": "local", "endpoint": "/var/lib/inventory"});
    apply_annotated(&world, "team-a", "KollectSnapshotSink", "files", asks(), spec).await;
    let spec = json!({"type": "kafka", "kafka": {"brokers": ["kafka:9092"], "topic": "t"}});
    apply_annotated(&world, "team-a", "KollectEventSink", "events", asks(), spec).await;
    // A test, which ends at once when it is done.
    let test = json!({"sinkRef": {"databaseSinkRef": "pg"}, "ttlSecondsAfterFinished": 5});
    apply(&world, "team-a", "KollectConnectionTest", "once", test).await;
    // Deployments, to have one more kind; b looks where it may not.
    let gvk = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let spec = json!({"targetGVK": gvk, "attributes": [{"name": "v", "path": "$.metadata.name"}]});
    apply(&world, "team-a", "KollectProfile", "deployments", spec).await;
    apply(&world, "team-a", "KollectTarget", "deployments", json!({"profileRef": "deployments"})).await;
    let greedy = json!({"profileRef": "maps", "includedNamespaces": ["team-a", "team-b"]});
    apply(&world, "team-b", "KollectTarget", "greedy", greedy).await;
    let selecting = json!({"profileRef": "maps", "namespaceSelector": {"matchLabels": {"team": "team-a"}}});
    apply(&world, "team-b", "KollectTarget", "selecting", selecting).await;
    let gvk = json!({"version": "v1", "kind": "Node"});
    let spec = json!({"targetGVK": gvk, "attributes": [{"name": "v", "path": "$.metadata.name"}]});
    apply(&world, "team-b", "KollectProfile", "nodes", spec).await;
    apply(&world, "team-b", "KollectTarget", "nodes", json!({"profileRef": "nodes"})).await;
    let postgres = json!({"databaseRef": {"name": "db", "namespace": "team-a"}, "table": "stolen"});
    let spec = json!({"type": "postgres", "cluster": "c", "postgres": postgres});
    apply(&world, "team-b", "KollectDatabaseSink", "stolen", spec).await;
    apply(&world, "team-b", "KollectScope", "any", json!({"allowedSecretNamespaces": ["team-a"]})).await;
    // An administrator's, whom nobody serves here.
    let spec = json!({"profileRef": {"name": "maps", "namespace": "team-a"}});
    world.apply_to_cluster("KollectClusterTarget", "all", spec).await;
    let spec = json!({"databaseSinkRefs": [{"name": "pg", "namespace": "team-a"}]});
    world.apply_to_cluster("KollectClusterInventory", "all", spec).await;

    // Two that have finalizers from an operator of the whole cluster.
    for (kind, name, finalizer) in [
        ("KollectInventory", "fleet", "kollect.dev/inventory-cleanup"),
        ("KollectTarget", "maps", "kollect.dev/target-cleanup"),
    ] {
        let patch = json!({"metadata": {"finalizers": [finalizer]}});
        let apply = kube::api::PatchParams::default();
        let resources = resources(&world, "team-b", kind);
        resources.patch(name, &apply, &kube::api::Patch::Merge(patch)).await.unwrap();
    }

    let operators = [&a, &b].map(|tenant| tenant.operator(&world, &tenant.kubeconfig(&world)));
    expect(&world, "of_a", &["maps team-a-jobs/x team-a-jobs", "maps team-a/x team-a"]).await;
    expect(&world, "of_b", &["maps team-b/x team-b"]).await;
    for (namespace, kind, name, expected) in [
        ("team-a", "KollectInventory", "fleet", "True Exported"),
        ("team-a", "KollectTarget", "maps", "True Collecting"),
        ("team-a", "KollectTarget", "labelled", "True Collecting"),
        ("team-a", "KollectSnapshotSink", "files", "False SinkForbidden"),
        ("team-a", "KollectEventSink", "events", "False BackendMissing"),
        ("team-b", "KollectTarget", "maps", "True Collecting"),
        ("team-b", "KollectTarget", "greedy", "False ScopeNamespaceDenied"),
        ("team-b", "KollectTarget", "selecting", "True Collecting"),
        ("team-b", "KollectTarget", "nodes", "False AccessDenied"),
        ("team-b", "KollectDatabaseSink", "stolen", "False SecretForbidden"),
    ] {
        eventually(expected.to_owned(), async || ready(&world, namespace, kind, name).await).await;
    }
    let effective = async |namespace, name| {
        let target = resources(&world, namespace, "KollectTarget").get(name).await.unwrap();
        target.data["status"]["effectiveNamespaces"].clone()
    };
    assert_eq!(effective("team-a", "maps").await, json!(["team-a", "team-a-jobs"]));
    assert_eq!(effective("team-b", "maps").await, json!(["team-b"]));
    assert_eq!(effective("team-b", "selecting").await, json!([]));

    // Labels of namespaces, objects and their ends are followed.
    world.namespace("team-a-jobs", json!({"team": "team-a", "tier": "jobs"})).await;
    let labelled = "labelled team-a-jobs/x team-a-jobs";
    expect(&world, "of_a", &[labelled, "maps team-a-jobs/x team-a-jobs", "maps team-a/x team-a"]).await;
    world.map("team-a", "y", "new", "shop").await;
    world.delete_map("team-a-jobs", "x").await;
    world.map("team-b", "x", "changed", "shop").await;
    expect(&world, "of_a", &["maps team-a/x team-a", "maps team-a/y new"]).await;
    expect(&world, "of_b", &["maps team-b/x changed"]).await;
    // The probes that were asked for are made, and the test is gone.
    for (kind, name) in
        [("KollectDatabaseSink", "pg"), ("KollectSnapshotSink", "files"), ("KollectEventSink", "events")]
    {
        eventually(None, async || {
            let sink = resources(&world, "team-a", kind).get(name).await.unwrap();
            sink.metadata.annotations.unwrap_or_default().remove("kollect.dev/test-connection")
        })
        .await;
    }
    let tests = resources(&world, "team-a", "KollectConnectionTest");
    eventually(true, async || tests.get_opt("once").await.unwrap().is_none()).await;
    for kind in ["KollectClusterTarget", "KollectClusterInventory"] {
        let gvk = GroupVersionKind::gvk("kollect.dev", "v1alpha1", kind);
        let plural = plural(kind).replace("inventorys", "inventories");
        let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
        let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &resource);
        assert_eq!(api.get("all").await.unwrap().data["status"], Value::Null, "{kind}");
    }
    // Nothing holds up a deletion, and what was exported goes with it.
    for (namespace, kind, name) in [
        ("team-a", "KollectInventory", "fleet"),
        ("team-b", "KollectInventory", "fleet"),
        ("team-b", "KollectTarget", "maps"),
    ] {
        eventually(None, async || {
            resources(&world, namespace, kind).get(name).await.unwrap().metadata.finalizers
        })
        .await;
    }
    resources(&world, "team-b", "KollectInventory").delete("fleet", &DeleteParams::default()).await.unwrap();
    expect(&world, "of_b", &[]).await;
    for operator in operators {
        assert_eq!(operator.terminate(), 0);
    }

    // All that they asked for was theirs, and was granted; and of what they may do there is nothing that they don't.
    let (mut used, nothing) = audited(&log, &a);
    assert_eq!(nothing, Vec::<String>::new(), "asked for by tenant a");
    let (used_by_b, nothing) = audited(&log, &b);
    assert_eq!(nothing, Vec::<String>::new(), "asked for by tenant b");
    used.extend(used_by_b);
    let mut spare: BTreeMap<_, _> = BTreeMap::new();
    for (group, resource, verb) in allowed().difference(&used) {
        // Servers that can't stream a list are asked for pages, and an event that comes again is counted.
        let instead = |verb: &str| used.contains(&(group.clone(), resource.clone(), verb.to_owned()));
        let spared = match verb.as_str() {
            "list" => instead("watch"),
            "patch" if resource == "events" => instead("create"),
            _ => false,
        };
        if !spared {
            spare.insert(format!("{group}/{resource}"), verb.clone());
        }
    }
    assert_eq!(spare, BTreeMap::new(), "not used: {used:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_withdrawn_keeps_its_rows_and_the_others_go_on_until_it_is_given_back() {
    let world = World::new().await;
    let tenant = Tenant::new(&world, &["team-a", "team-a-jobs"]).await;
    world.map("team-a", "x", "1", "shop").await;
    world.map("team-a-jobs", "x", "1", "shop").await;
    world.map("team-a-jobs", "y", "1", "shop").await;
    pipeline(&world, "team-a", "of_a").await;
    // Through a proxy with the tenant's credentials, whose connections break when they are to.
    let own = kollect::sources::kubernetes::client(Some(&tenant.kubeconfig(&world)), None).await.unwrap();
    let proxy = Proxy::start(&own).await;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": proxy.url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody", "namespace": "team-a"}}],
    });
    let kubeconfig = world.files.path("proxy.kubeconfig");
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let operator = tenant.operator(&world, &kubeconfig);
    expect(&world, "of_a", &["maps team-a-jobs/x 1", "maps team-a-jobs/y 1", "maps team-a/x 1"]).await;

    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), "team-a-jobs");
    bindings.delete("kollect", &DeleteParams::default()).await.unwrap();
    // The API server looks at permissions only when a watch begins, and a moment after they changed.
    let theirs: Api<ConfigMap> = Api::namespaced(own.clone(), "team-a-jobs");
    eventually(true, async || theirs.list(&Default::default()).await.is_err()).await;
    proxy.set_down(true);
    proxy.set_down(false);
    eventually("False ScopeForbidden".to_owned(), async || {
        ready(&world, "team-a", "KollectTarget", "maps").await
    })
    .await;
    let target = resources(&world, "team-a", "KollectTarget").get("maps").await.unwrap();
    assert!(target.data["status"].to_string().contains("team-a-jobs"), "{:?}", target.data["status"]);
    eventually("True TargetDegraded".to_owned(), async || {
        condition(&world, "team-a", "KollectInventory", "fleet", "Degraded").await
    })
    .await;
    world.delete_map("team-a-jobs", "y").await;
    world.map("team-a-jobs", "z", "1", "shop").await;
    world.map("team-a", "y", "1", "shop").await;
    world.delete_map("team-a", "x").await;
    let held = ["maps team-a-jobs/x 1", "maps team-a-jobs/y 1", "maps team-a/y 1"];
    expect(&world, "of_a", &held).await;

    // One that starts now has never seen them.
    assert_eq!(operator.terminate(), 0);
    let operator = tenant.operator(&world, &kubeconfig);
    let by_label = json!({"profileRef": "maps", "namespaceSelector": {}});
    apply(&world, "team-a", "KollectTarget", "labelled", by_label).await;
    world.map("team-a", "y", "2", "shop").await;
    let held = ["maps team-a-jobs/x 1", "maps team-a-jobs/y 1", "maps team-a/y 2"];
    expect(&world, "of_a", &held).await;
    eventually("False AccessDenied".to_owned(), async || {
        ready(&world, "team-a", "KollectTarget", "labelled").await
    })
    .await;
    eventually("False ScopeForbidden".to_owned(), async || {
        ready(&world, "team-a", "KollectTarget", "maps").await
    })
    .await;
    expect(&world, "of_a", &held).await;

    grant(&world, "team-a", "team-a-jobs").await;
    expect(
        &world,
        "of_a",
        &[
            "labelled team-a-jobs/x 1",
            "labelled team-a-jobs/z 1",
            "labelled team-a/y 2",
            "maps team-a-jobs/x 1",
            "maps team-a-jobs/z 1",
            "maps team-a/y 2",
        ],
    )
    .await;
    for name in ["maps", "labelled"] {
        eventually("True Collecting".to_owned(), async || {
            ready(&world, "team-a", "KollectTarget", name).await
        })
        .await;
    }
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_for_some_namespaces_runs_cluster_pipelines_over_these_and_sees_no_others() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    world.map("east", "b", "1", "shop").await;
    world.pipeline().await;
    pipeline(&world, "east", "of_east").await;
    let profile = json!({"name": "maps", "namespace": "shop"});
    let labels = json!({"matchLabels": {"app": "shop"}});
    let spec = json!({"profileRef": profile, "labelSelector": labels});
    world.apply_to_cluster("KollectClusterTarget", "everywhere", spec).await;
    let gvk = json!({"version": "v1", "kind": "Namespace"});
    let spec = json!({"targetGVK": gvk, "attributes": [{"name": "v", "path": "$.metadata.name"}]});
    apply(&world, "shop", "KollectProfile", "namespaces", spec).await;
    let profile = json!({"name": "namespaces", "namespace": "shop"});
    let spec = json!({"profileRef": profile, "names": ["east"]});
    world.apply_to_cluster("KollectClusterTarget", "of-cluster", spec).await;
    let spec = json!({"databaseSinkRefs": [{"name": "pg", "namespace": "shop"}]});
    world.apply_to_cluster("KollectClusterInventory", "all", spec).await;
    let operator = world.operator_with(&[
        "--allowed-endpoint-cidrs",
        "0.0.0.0/0,::/0",
        "--watch-namespaces",
        "shop,later",
    ]);
    expect(&world, "rows", &["everywhere shop/a 1", "maps shop/a 1", "of-cluster /east east"]).await;
    // One that comes later, and one that is not watched.
    world.namespace("later", json!({})).await;
    world.map("later", "c", "1", "shop").await;
    world.map("east", "d", "1", "shop").await;
    let rows = [
        "everywhere later/c 1",
        "everywhere shop/a 1",
        "maps later/c 1",
        "maps shop/a 1",
        "of-cluster /east east",
    ];
    expect(&world, "rows", &rows).await;
    let other = resources(&world, "east", "KollectInventory").get("fleet").await.unwrap();
    assert_eq!(other.data["status"], Value::Null);
    assert_eq!(operator.terminate(), 0);
    expect(&world, "rows", &rows).await;
}
