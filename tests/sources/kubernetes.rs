//! A real API server, and what lies between it and us.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kollect::sources::kubernetes::{InitialList, KubernetesSource, Options, client};
use kollect::sources::{Closed, Event, EventSink, Mode, Source as _};
use kollect_dataflows::data::Gvk;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::{Cluster, admin, shared};
use crate::proxy::{Fault, Proxy};
use crate::support::{Known, Watching, eventually};

/// A name that no other test has.
fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}-{}", NEXT.fetch_add(1, Ordering::Relaxed), std::process::id())
}

fn quick() -> Options {
    Options {
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_secs(1),
        kind_pause: Duration::from_millis(500),
        ..Options::default()
    }
}

/// A kind of the test's own, so that tests do not see each other's objects.
struct Kind {
    client: Client,
    plural: String,
    group: String,
    gvk: Gvk,
}

impl Kind {
    fn new(client: &Client) -> Self {
        let name = unique("kind").replace('-', "x");
        let group = format!("{name}.test.kollect.dev");
        let gvk = Gvk::new(group.as_str(), "v1", "Thing");
        // A plural that nobody would guess.
        Self { client: client.clone(), plural: format!("q{name}"), group, gvk }
    }

    async fn created(client: &Client) -> Self {
        let kind = Self::new(client);
        kind.create(&["v1"]).await;
        kind
    }

    /// The same kind, for another client.
    fn with(&self, client: &Client) -> Self {
        Self {
            client: client.clone(),
            plural: self.plural.clone(),
            group: self.group.clone(),
            gvk: self.gvk.clone(),
        }
    }

    fn definitions(&self) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        Api::all_with(
            self.client.clone(),
            &ApiResource::from_gvk_with_plural(&gvk, "customresourcedefinitions"),
        )
    }

    /// Defines the kind with these versions served, and waits until its objects can be listed.
    async fn create(&self, served: &[&str]) {
        let version = |name: &str| {
            json!({"name": name, "served": served.contains(&name), "storage": name == "v1",
                   "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
        };
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{}.{}", self.plural, self.group)},
            "spec": {"group": self.group, "scope": "Namespaced",
                     "names": {"kind": "Thing", "plural": self.plural},
                     "versions": [version("v1"), version("v2")]}});
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        let apply = PatchParams::apply("test").force();
        self.definitions().patch(&name, &apply, &Patch::Apply(definition)).await.unwrap();
        let objects = self.objects(served[0]);
        eventually("the kind is served", || async { objects.list(&Default::default()).await.is_ok() }).await;
    }

    async fn remove(&self) {
        let name = format!("{}.{}", self.plural, self.group);
        self.definitions().delete(&name, &DeleteParams::default()).await.unwrap();
        let definitions = self.definitions();
        eventually("the definition is gone", || async {
            definitions.get_opt(&name).await.unwrap().is_none()
        })
        .await;
    }

    fn objects(&self, version: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(&self.group, version, "Thing");
        let resource = ApiResource::from_gvk_with_plural(&gvk, &self.plural);
        Api::namespaced_with(self.client.clone(), "default", &resource)
    }

    async fn put(&self, name: &str, value: &str) {
        let object = json!({"apiVersion": self.gvk.api_version(), "kind": "Thing",
                            "metadata": {"name": name}, "value": value});
        let apply = PatchParams::apply("test").force();
        self.objects("v1").patch(name, &apply, &Patch::Apply(object)).await.unwrap();
    }

    async fn delete(&self, name: &str) {
        self.objects("v1").delete(name, &DeleteParams::default()).await.unwrap();
    }

    fn follow(&self, client: &Client, options: Options) -> Watching {
        let source = Arc::new(KubernetesSource::with_options(client.clone(), options));
        Watching::begin(&source, &self.gvk, Mode::Follow)
    }

    async fn once(&self, client: &Client, options: Options) -> Known {
        let source = Arc::new(KubernetesSource::with_options(client.clone(), options));
        Watching::begin(&source, &self.gvk, Mode::Once).finish().await
    }
}

async fn listed(mut watching: Watching) -> Watching {
    watching.until("the list is complete", |known| known.lists == 1).await;
    watching.forget_log();
    watching
}

fn paged(page_size: u32) -> Options {
    Options { initial_list: InitialList::Pages, page_size, ..quick() }
}

#[tokio::test]
async fn a_list_and_then_changes() {
    let admin = admin().await;
    for options in [quick(), paged(2)] {
        let kind = Kind::created(&admin).await;
        for name in ["a", "b", "c", "d", "e"] {
            kind.put(name, "1").await;
        }
        let mut watching = listed(kind.follow(&admin, options)).await;
        assert_eq!(watching.known.names(), ["a", "b", "c", "d", "e"].map(|name| format!("default/{name}")));
        kind.put("a", "2").await;
        watching.until("a changed", |known| known.at("default/a", "/value") == "2").await;
        kind.put("f", "1").await;
        kind.delete("b").await;
        let known = watching
            .until("f is there and b is not", |known| {
                known.objects.contains_key("default/f") && !known.objects.contains_key("default/b")
            })
            .await;
        assert_eq!(known.log, ["+default/a", "+default/f", "-default/b"]);
        for (version, object) in known.objects.values() {
            assert_eq!(object["metadata"]["resourceVersion"], Value::String(version.to_string()));
            assert_eq!(
                (&object["kind"], &object["apiVersion"]),
                (&"Thing".into(), &kind.gvk.api_version().into())
            );
        }
    }
}

#[tokio::test]
async fn streamed_and_paged_lists_hold_the_same_objects() {
    let admin = admin().await;
    let namespace = unique("same");
    let object = Namespace {
        metadata: kube::api::ObjectMeta { name: Some(namespace.clone()), ..Default::default() },
        ..Default::default()
    };
    Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &object).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), &namespace);
    for n in 0..7 {
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": format!("m{n}")}})).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let mut lists = Vec::new();
    // Elements of lists of such kinds come without their type.
    for options in [quick(), paged(3)] {
        let source = Arc::new(KubernetesSource::with_options(admin.clone(), options));
        let known = Watching::begin(&source, &Gvk::new("", "v1", "ConfigMap"), Mode::Once).finish().await;
        assert_eq!((known.lists, known.problems), (1, vec![]));
        let own = known.objects.into_iter().filter(|(name, _)| name.starts_with(&namespace));
        lists.push(own.collect::<Vec<_>>());
    }
    assert_eq!(lists[0].len(), 7);
    assert_eq!(lists[0], lists[1]);
}

#[tokio::test]
async fn a_kind_that_appears_later_is_waited_for() {
    let admin = admin().await;
    let kind = Kind::new(&admin);
    let mut watching = kind.follow(&admin, quick());
    let known = watching.until("the problem is told", |known| known.has_problem("KindNotFound")).await;
    assert_eq!(known.log.len(), 1);
    kind.create(&["v1"]).await;
    kind.put("a", "1").await;
    let known = watching
        .until("the object is there", |known| known.lists == 1 && known.at("default/a", "/value") == "1")
        .await;
    assert_eq!(known.problems, []);
    let told = known.log.iter().filter(|event| event.starts_with("!KindNotFound")).count();
    assert_eq!(told, 1, "{:?}", known.log);
}

#[tokio::test]
async fn with_its_kind_go_the_objects_and_they_come_back_with_it() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    kind.put("a", "1").await;
    let mut watching = listed(kind.follow(&admin, quick())).await;
    kind.remove().await;
    watching.until("the problem is told", |known| known.has_problem("KindNotFound")).await;
    watching.until("an empty list", |known| known.lists == 2).await;
    assert!(watching.known.objects.is_empty());
    kind.create(&["v1"]).await;
    kind.put("b", "1").await;
    watching.until("a new list", |known| known.lists == 3).await;
    let known = watching.until_names(&["default/b"]).await;
    assert_eq!(known.problems, []);
}

#[tokio::test]
async fn a_version_that_is_no_longer_served_leaves_the_objects_as_they_are() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    kind.put("a", "1").await;
    let mut watching = listed(kind.follow(&admin, quick())).await;
    kind.create(&["v2"]).await;
    watching.until("the problem is told", |known| known.has_problem("KindNotFound")).await;
    assert_eq!((watching.known.names(), watching.known.lists), (vec!["default/a"], 1));
    let (_, text) = &watching.known.problems[0];
    assert!(text.contains("use version v2"), "{text}");
    kind.create(&["v1", "v2"]).await;
    watching.until("a new list", |known| known.lists == 2).await;
    assert_eq!((watching.known.names(), watching.known.problems.len()), (vec!["default/a"], 0));
}

#[tokio::test]
async fn one_list_of_a_kind_that_is_not_there_ends_with_a_problem() {
    let admin = admin().await;
    let known = Kind::new(&admin).once(&admin, quick()).await;
    assert!(known.lists == 0 && known.has_problem("KindNotFound"), "{:?}", known.log);
}

#[tokio::test]
async fn a_kind_that_is_denied_keeps_its_objects_and_holds_up_no_other() {
    let admin = admin().await;
    let (denied, allowed) = (Kind::created(&admin).await, Kind::created(&admin).await);
    denied.put("a", "1").await;
    allowed.put("a", "1").await;
    let user = unique("reader");
    let mut config = Config::from_custom_kubeconfig(
        kube::config::Kubeconfig::read_from(shared().await).unwrap(),
        &Default::default(),
    )
    .await
    .unwrap();
    config.auth_info.impersonate = Some(user.clone());
    let reader = Client::try_from(config).unwrap();
    grant(&admin, &user, &[&allowed]).await;
    let source = Arc::new(KubernetesSource::with_options(reader.clone(), quick()));
    let mut first = Watching::begin(&source, &denied.gvk, Mode::Follow);
    let mut second = Watching::begin(&source, &allowed.gvk, Mode::Follow);
    first.until("the problem is told", |known| known.has_problem("AccessDenied")).await;
    second.until("the list is complete", |known| known.lists == 1).await;
    assert_eq!(first.known.lists, 0);

    grant(&admin, &user, &[&allowed, &denied]).await;
    first.until("the list is complete", |known| known.lists == 1 && known.problems.is_empty()).await;
    assert_eq!(first.known.names(), ["default/a"]);

    // What is taken away again deletes nothing. A watch that is open goes on until it is taken up anew.
    let proxy = Proxy::start(&reader).await;
    let mut third = listed(denied.follow(&proxy.client, quick())).await;
    grant(&admin, &user, &[&allowed]).await;
    let objects = denied.with(&reader).objects("v1");
    eventually("the right is gone", || async { objects.list(&Default::default()).await.is_err() }).await;
    proxy.set_down(false);
    third.until("the problem is told", |known| known.has_problem("AccessDenied")).await;
    assert_eq!(third.known.names(), ["default/a"]);
    allowed.put("b", "1").await;
    second.until_names(&["default/a", "default/b"]).await;
    denied.delete("a").await;
    grant(&admin, &user, &[&allowed, &denied]).await;
    third.until_names(&[]).await;
    assert_eq!(third.known.problems, []);
}

/// Lets a user list and watch these kinds and no others.
async fn grant(admin: &Client, user: &str, kinds: &[&Kind]) {
    let rules: Vec<_> = kinds
        .iter()
        .map(
            |kind| json!({"apiGroups": [kind.group], "resources": [kind.plural], "verbs": ["list", "watch"]}),
        )
        .collect();
    let meta = json!({"name": user});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    for (plural, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let kind = object["kind"].as_str().unwrap();
        let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
        let api: Api<DynamicObject> =
            Api::all_with(admin.clone(), &ApiResource::from_gvk_with_plural(&gvk, plural));
        api.patch(user, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    }
}

#[tokio::test]
async fn a_watch_that_breaks_is_taken_up_where_it_was() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    kind.put("a", "1").await;
    let proxy = Proxy::start(&admin).await;
    let mut watching = listed(kind.follow(&proxy.client, quick())).await;
    proxy.set_down(true);
    kind.put("b", "1").await;
    kind.delete("a").await;
    proxy.set_down(false);
    watching.until_names(&["default/b"]).await;
    let changes: Vec<_> = watching.known.log.iter().filter(|event| event.contains("default/")).collect();
    assert_eq!(changes, ["+default/b", "-default/a"]);
    assert_eq!(watching.known.lists, 1);
}

#[tokio::test]
async fn an_api_server_that_is_away_for_long_is_told_and_deletes_nothing() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    kind.put("a", "1").await;
    let proxy = Proxy::start(&admin).await;
    let mut watching = listed(kind.follow(&proxy.client, quick())).await;
    proxy.set_down(true);
    watching.until("the problem is told", |known| known.has_problem("SourceUnavailable")).await;
    assert_eq!(watching.known.names(), ["default/a"]);
    proxy.set_down(false);
    watching.until("it is over", |known| known.problems.is_empty()).await;
    kind.put("b", "1").await;
    watching.until_names(&["default/a", "default/b"]).await;
    assert_eq!(watching.known.lists, 1);
}

#[tokio::test]
async fn a_watch_whose_place_is_no_longer_known_lists_again() {
    let admin = admin().await;
    for options in [quick(), paged(1)] {
        let kind = Kind::created(&admin).await;
        for name in ["a", "b"] {
            kind.put(name, "1").await;
        }
        let proxy = Proxy::start(&admin).await;
        let mut watching = listed(kind.follow(&proxy.client, options)).await;
        proxy.set_down(true);
        kind.delete("a").await;
        kind.put("b", "2").await;
        proxy.add(Fault::Answer {
            path: "watch=true&resourceVersion=",
            status: 410,
            header: "x: y",
            times: 1,
        });
        proxy.set_down(false);
        let known = watching.until("a new list", |known| known.lists == 2).await;
        assert_eq!((known.names(), known.at("default/b", "/value")), (vec!["default/b"], "2".into()));
        kind.put("c", "1").await;
        watching.until_names(&["default/b", "default/c"]).await;
    }
}

#[tokio::test]
async fn an_api_server_that_restarts_and_forgets_is_listed_again() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start("restarts")).await.unwrap();
    let admin = client(Some(&cluster.kubeconfig), None).await.unwrap();
    let kind = Kind::created(&admin).await;
    for name in ["a", "b"] {
        kind.put(name, "1").await;
    }
    let proxy = Proxy::start(&admin).await;
    let mut watching = listed(kind.follow(&proxy.client, quick())).await;
    proxy.set_down(true);
    kind.delete("a").await;
    kind.put("b", "2").await;
    // Its memory of changes, from which watches are served, begins anew.
    let cluster = tokio::task::spawn_blocking(|| cluster.restart()).await.unwrap();
    let admin = client(Some(&cluster.kubeconfig), None).await.unwrap();
    let kind = kind.with(&admin);
    eventually("the kind is served", || async { kind.objects("v1").list(&Default::default()).await.is_ok() })
        .await;
    // It may have another port now.
    proxy.set_server(&kind.client);
    proxy.set_down(false);
    let known = watching.until("b changed", |known| known.at("default/b", "/value") == "2").await;
    assert_eq!(known.lists, 1, "the new list has not ended: {:?}", known.log);
    watching.until("a new list", |known| known.lists == 2).await;
    assert_eq!(watching.known.names(), ["default/b"]);
    kind.put("c", "1").await;
    watching.until_names(&["default/b", "default/c"]).await;
}

#[tokio::test]
async fn a_list_that_breaks_off_does_not_end() {
    let admin = admin().await;
    // A streamed list that breaks between objects, one that does so for good, and the second page of a paged one.
    for (options, path, after, times) in [
        (quick(), "sendInitialEvents", 1300, 1),
        (quick(), "sendInitialEvents", 1300, usize::MAX),
        (paged(2), "continue=e", 700, 2),
    ] {
        let kind = Kind::created(&admin).await;
        for name in ["a", "b", "c"] {
            kind.put(name, &"x".repeat(500)).await;
        }
        let proxy = Proxy::start(&admin).await;
        proxy.add(Fault::Cut { path, after, times });
        let known = kind.once(&proxy.client, options).await;
        assert_eq!((known.objects.len(), known.lists), (3, 1));
        let begins = known.log.iter().filter(|event| *event == "begin").count();
        assert!(begins >= 2 && known.log.last().unwrap() == "end", "{:?}", known.log);
    }
}

#[tokio::test]
async fn a_server_that_refuses_to_stream_a_list_is_asked_for_pages() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    kind.put("a", "1").await;
    let proxy = Proxy::start(&admin).await;
    proxy.add(Fault::Answer { path: "sendInitialEvents", status: 422, header: "x: y", times: usize::MAX });
    let mut watching = listed(kind.follow(&proxy.client, quick())).await;
    assert!(proxy.requests().iter().any(|path| path.contains("limit=")));
    assert_eq!(watching.known.problems, []);
    kind.put("b", "1").await;
    watching.until_names(&["default/a", "default/b"]).await;
}

#[tokio::test]
async fn a_server_that_is_too_busy_is_left_alone_as_long_as_it_asks() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    kind.put("a", "1").await;
    for (status, mode) in [(429, Mode::Follow), (503, Mode::Once)] {
        let proxy = Proxy::start(&admin).await;
        proxy.add(Fault::Answer { path: "watch=true", status, header: "Retry-After: 1", times: 2 });
        let source = Arc::new(KubernetesSource::with_options(proxy.client.clone(), quick()));
        let mut watching = Watching::begin(&source, &kind.gvk, mode);
        let known = watching.until("the list is complete", |known| known.lists == 1).await;
        assert_eq!((known.names(), known.problems.len()), (vec!["default/a"], 0));
    }
}

#[tokio::test]
async fn one_list_of_a_server_that_does_not_answer_ends_with_a_problem() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    let proxy = Proxy::start(&admin).await;
    proxy.set_down(true);
    let known = kind.once(&proxy.client, quick()).await;
    assert!(known.lists == 0 && known.has_problem("SourceUnavailable"), "{:?}", known.log);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_and_the_others_go_on() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    let proxy = Proxy::start(&admin).await;
    let (from, to) = (r#""name":"bad""#, r#""nome":"bad""#);
    proxy.add(Fault::Replace { path: "sendInitialEvents", from, to, times: 1 });
    let mut watching = listed(kind.follow(&proxy.client, quick())).await;
    kind.put("bad", "1").await;
    kind.put("good", "1").await;
    watching.until_names(&["default/good"]).await;
    assert!(watching.known.has_problem("Unreadable"), "{:?}", watching.known.log);

    // A list that has such an object does not end.
    for (options, path) in [(quick(), "sendInitialEvents"), (paged(10), "limit=")] {
        proxy.add(Fault::Replace { path, from, to, times: 1 });
        let known = kind.once(&proxy.client, options.clone()).await;
        assert!(known.lists == 0 && known.has_problem("Unreadable"), "{:?}", known.log);
        proxy.add(Fault::Replace { path, from, to, times: 1 });
        let mut watching = kind.follow(&proxy.client, options);
        let known = watching.until("the next list is complete", |known| known.lists == 1).await;
        assert_eq!((known.names(), known.problems.len()), (vec!["default/bad", "default/good"], 0));
    }
}

#[tokio::test]
async fn discovery_is_asked_once_for_all_kinds_of_a_version() {
    let proxy = Proxy::start(&admin().await).await;
    let source = Arc::new(KubernetesSource::with_options(proxy.client.clone(), quick()));
    let watches: Vec<_> = ["ConfigMap", "Secret", "Pod", "Service", "Node"]
        .map(|kind| Watching::begin(&source, &Gvk::new("", "v1", kind), Mode::Once))
        .into_iter()
        .collect();
    for watching in watches {
        assert_eq!(watching.finish().await.lists, 1);
    }
    assert_eq!(proxy.requests().iter().filter(|path| *path == "/api/v1").count(), 1);
}

#[tokio::test]
async fn errors_of_kubeconfigs_name_file_and_context_and_no_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(shared().await).unwrap();
    let canary = "canary-7b1f";
    let cases = [
        ("missing", None, None, "can't be read"),
        (
            "broken",
            Some(format!("users:\n- name: a\n  user: {{token: {canary}\ncontexts: [\n")),
            None,
            "not a kubeconfig",
        ),
        ("other", Some(format!("users: {canary}\n")), None, "not a kubeconfig"),
        ("context", Some(good.clone()), Some("nowhere"), "there is no context nowhere; choose one of: "),
        ("none", Some(good.replace("current-context", "x-current-context")), None, "no current context"),
        ("cluster", Some(good.replace("clusters:", "x-clusters:")), None, "cluster"),
        (
            "certificate",
            Some(good.replace(
                "certificate-authority-data:",
                &format!("certificate-authority-data: {canary}{canary} #"),
            )),
            None,
            "certificate",
        ),
    ];
    for (name, text, context, expected) in cases {
        let path = dir.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let Err(error) = client(Some(&path), context).await else { panic!("{name} is taken") };
        let shown = format!("{error} {error:?}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(shown.contains(path.to_str().unwrap()), "{name}: {error}");
        assert!(!shown.contains(canary), "{name}: {shown}");
    }
}

/// A kubeconfig whose user has these credentials.
fn kubeconfig(server: &str, user: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
           "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
           "clusters": [{"name": "c", "cluster": {"server": server}}],
           "users": [{"name": "u", "user": user}]})
    .to_string()
}

#[tokio::test]
async fn a_credential_plugin_that_fails_is_told_without_its_command_and_output() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let canary = "canary-5e7b";
    for (command, args, expected) in [
        ("sh", vec!["-c".to_owned(), format!("echo {canary}; echo {canary} >&2; exit 3")], "status: 3"),
        ("sh", vec!["-c".to_owned(), format!("echo '{canary}: ['")], "credentials"),
        ("no-such-plugin-canary-5e7b", vec![], "credentials"),
    ] {
        let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command,
                                   "args": args, "interactiveMode": "Never"}});
        std::fs::write(&path, kubeconfig("https://127.0.0.1:1", &exec)).unwrap();
        let Err(error) = client(Some(&path), None).await else { panic!("{args:?} is taken") };
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(path.to_str().unwrap()) && shown.contains(expected), "{shown}");
        assert!(!shown.contains(canary), "{shown}");
    }
}

#[tokio::test]
async fn a_credential_plugin_that_fails_later_is_told_without_its_command_and_output() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let canary = "canary-5e7b";
    let expired = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                         "status": {"token": canary, "expirationTimestamp": "2020-01-01T00:00:00Z"}});
    let mark = dir.path().join("mark");
    let script = format!(
        "if [ -e {mark} ]; then echo {canary}; exit 3; fi; touch {mark}; echo '{expired}'",
        mark = mark.display()
    );
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
                               "args": ["-c", script], "interactiveMode": "Never"}});
    std::fs::write(&path, kubeconfig("https://127.0.0.1:1", &exec)).unwrap();
    let source = Arc::new(KubernetesSource::with_options(client(Some(&path), None).await.unwrap(), quick()));
    let known = Watching::begin(&source, &Gvk::new("", "v1", "Pod"), Mode::Once).finish().await;
    let [(reason, text)] = &known.problems[..] else { panic!("{:?}", known.log) };
    assert!(reason == "AccessDenied" && text.contains("status: 3"), "{text}");
    assert!(!text.contains(canary), "{text}");
}

#[tokio::test]
async fn a_server_that_stays_too_busy_is_told_with_what_it_answers() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    let proxy = Proxy::start(&admin).await;
    proxy.add(Fault::Answer { path: "limit=", status: 429, header: "x: y", times: usize::MAX });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    std::fs::write(&path, kubeconfig(&proxy.url, &json!({}))).unwrap();
    let client = client(Some(&path), None).await.unwrap();
    let known = kind.once(&client, paged(10)).await;
    let [(reason, text)] = &known.problems[..] else { panic!("{:?}", known.log) };
    assert!(reason == "SourceUnavailable" && text.contains("429"), "{text}");
    let asked = proxy.requests().iter().filter(|path| path.contains("limit=")).count();
    assert_eq!(asked, 4);
}

#[tokio::test]
async fn objects_that_the_server_gives_no_uid_have_one_of_their_own() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    for name in ["a", "b"] {
        kind.put(name, "1").await;
    }
    let mut seen: Vec<BTreeMap<String, String>> = Vec::new();
    for options in [quick(), paged(10)] {
        let proxy = Proxy::start(&admin).await;
        proxy.add(Fault::Replace { path: "", from: r#""uid":"#, to: r#""wid":"#, times: usize::MAX });
        let mut watching = listed(kind.follow(&proxy.client, options)).await;
        kind.put("a", &seen.len().to_string()).await;
        let value = seen.len().to_string();
        watching.until("a changed", |known| known.at("default/a", "/value") == value.as_str()).await;
        let known = watching.stop().await;
        let uid = |name: &str| known.at(name, "/metadata/uid").as_str().unwrap_or_default().to_owned();
        seen.push(known.names().into_iter().map(|name| (name.to_owned(), uid(name))).collect());
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].values().all(|uid| uid.len() == 36), "{seen:?}");
    assert_ne!(seen[0]["default/a"], seen[0]["default/b"]);
}

/// Notes how many lists had been asked for when the first one began.
struct Beginnings<'a> {
    proxy: &'a Proxy,
    asked: Vec<usize>,
}

#[async_trait]
impl EventSink for Beginnings<'_> {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        if matches!(event, Event::ListBegin) {
            let lists = |path: &&String| path.contains("limit=") || path.contains("sendInitialEvents");
            self.asked.push(self.proxy.requests().iter().filter(lists).count());
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_list_begins_before_the_server_is_asked_for_it() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    for options in [quick(), paged(10)] {
        let proxy = Proxy::start(&admin).await;
        // The first request fails.
        proxy.add(Fault::Answer { path: "imit=", status: 503, header: "x: y", times: 1 });
        proxy.add(Fault::Answer { path: "sendInitialEvents", status: 503, header: "x: y", times: 1 });
        let source = KubernetesSource::with_options(proxy.client.clone(), options);
        let mut sink = Beginnings { proxy: &proxy, asked: Vec::new() };
        source.watch(&kind.gvk, Mode::Once, &mut sink, &Default::default()).await;
        assert_eq!(sink.asked, [0, 1]);
    }
}

#[tokio::test]
async fn a_kind_whose_list_was_never_answered_is_not_emptied_when_it_goes() {
    let admin = admin().await;
    let kind = Kind::created(&admin).await;
    let proxy = Proxy::start(&admin).await;
    proxy.add(Fault::Answer { path: "sendInitialEvents", status: 503, header: "x: y", times: usize::MAX });
    let mut watching = kind.follow(&proxy.client, quick());
    watching.until("the problem is told", |known| known.has_problem("SourceUnavailable")).await;
    kind.remove().await;
    proxy.heal();
    watching.until("the problem is told", |known| known.has_problem("KindNotFound")).await;
    assert_eq!(watching.stop().await.lists, 0);
}
