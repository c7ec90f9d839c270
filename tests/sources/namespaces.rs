//! A source that reaches some namespaces only, on a real API server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kollect::sources::Mode;
use kollect::sources::kubernetes::{KubernetesSource, Options, Reach};
use kollect_dataflows::data::Gvk;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::json;

use crate::cluster::admin;
use crate::proxy::{Fault, Proxy};
use crate::support::{Watching, eventually};

fn maps() -> Gvk {
    Gvk::new("", "v1", "ConfigMap")
}

/// Namespaces of the test's own.
async fn namespaces<const N: usize>(admin: &Client, test: &str) -> [String; N] {
    let names = std::array::from_fn(|number| format!("{test}-{number}-{}", std::process::id()));
    let api: Api<Namespace> = Api::all(admin.clone());
    for name in &names {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(body)).await.unwrap();
    }
    names
}

async fn put(admin: &Client, namespace: &str, name: &str, value: &str) {
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value}});
    let api: Api<ConfigMap> = Api::namespaced(admin.clone(), namespace);
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(body)).await.unwrap();
}

async fn delete(admin: &Client, namespace: &str, name: &str) {
    let api: Api<ConfigMap> = Api::namespaced(admin.clone(), namespace);
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

fn source(client: &Client, namespaces: &[String], cluster_scoped: bool) -> Arc<KubernetesSource> {
    let options = Options {
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_secs(1),
        kind_pause: Duration::from_millis(500),
        ..Options::default()
    };
    let names = namespaces.iter().cloned().collect();
    let reach = Reach::Namespaces { names, cluster_scoped };
    Arc::new(KubernetesSource::with_options(client.clone(), options).reaching(reach))
}

#[tokio::test]
async fn nothing_outside_is_asked_for_and_one_namespace_that_is_listed_anew_leaves_the_others_alone() {
    let admin = admin().await;
    let [a, b, other] = namespaces(&admin, "reach").await;
    for (namespace, name) in [(&a, "x"), (&a, "y"), (&b, "x"), (&other, "x")] {
        put(&admin, namespace, name, "1").await;
    }
    let proxy = Proxy::start(&admin).await;
    let source = source(&proxy.client, &[a.clone(), b.clone()], false);
    let once = Watching::begin(&source, &maps(), Mode::Once).finish().await;
    let all = [format!("{a}/x"), format!("{a}/y"), format!("{b}/x")];
    assert_eq!((once.names(), once.lists), (all.iter().map(String::as_str).collect(), 1));
    let mut watching = Watching::begin(&source, &maps(), Mode::Follow);
    watching.until("the list is complete", |known| known.lists == 1).await;
    put(&admin, &b, "y", "1").await;
    watching.until("a change comes", |known| known.objects.contains_key(&format!("{b}/y"))).await;

    proxy.set_down(true);
    delete(&admin, &a, "x").await;
    put(&admin, &a, "y", "2").await;
    delete(&admin, &b, "x").await;
    watching.forget_log();
    let path = Box::leak(format!("/namespaces/{a}/configmaps?watch=true&resourceVersion=").into_boxed_str());
    proxy.add(Fault::Answer { path, status: 410, header: "x: y", times: 1 });
    proxy.set_down(false);
    watching.until_names(&[&format!("{a}/y"), &format!("{b}/y")]).await;
    let known = watching.until("a is listed", |known| known.at(&format!("{a}/y"), "/data/v") == "2").await;
    let log: BTreeSet<&str> =
        known.log.iter().map(String::as_str).filter(|event| !event.contains(&other)).collect();
    let expected = [format!("+{a}/y"), format!("-{a}/x"), format!("-{b}/x")];
    assert_eq!(log, expected.iter().map(String::as_str).collect(), "{:#?}", known.log);
    put(&admin, &a, "z", "1").await;
    watching.until_names(&[&format!("{a}/y"), &format!("{a}/z"), &format!("{b}/y")]).await;
    assert_eq!(watching.known.lists, 1, "the others are not listed again");

    let outside = |path: &String| {
        let within = [&a, &b].iter().any(|name| path.starts_with(&format!("/api/v1/namespaces/{name}/")));
        !within && path != "/api/v1"
    };
    let outside: Vec<String> = proxy.requests().into_iter().filter(outside).collect();
    assert_eq!(outside, Vec::<String>::new());
}

#[tokio::test]
async fn objects_without_a_namespace_are_reached_only_where_that_is_wanted() {
    let admin = admin().await;
    let [a, b] = namespaces(&admin, "without").await;
    let kind = Gvk::new("", "v1", "Namespace");
    let proxy = Proxy::start(&admin).await;
    let known = Watching::begin(&source(&proxy.client, &[a.clone(), b.clone()], false), &kind, Mode::Once);
    let known = known.finish().await;
    assert!(known.has_problem("AccessDenied") && known.names().is_empty(), "{:?}", known.log);
    assert_eq!(proxy.requests(), ["/api/v1"]);
    for reached in [&[a.clone(), b.clone()][..], &[a.clone()][..]] {
        let source = source(&admin, reached, true);
        let known = Watching::begin(&source, &kind, Mode::Once).finish().await;
        assert!(
            known.objects.contains_key(&a) && known.objects.contains_key("kube-system"),
            "{:?}",
            known.log
        );
    }
}

#[tokio::test]
async fn a_kind_that_comes_back_without_namespaces_is_followed() {
    let admin = admin().await;
    let [a, b] = namespaces(&admin, "scope").await;
    let group = format!("scope{}.test.kollect.dev", std::process::id());
    let crds = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    let definitions: Api<DynamicObject> = Api::all_with(admin.clone(), &crds);
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&group, "v1", "Thing"), "things");
    let apply = PatchParams::apply("test").force();
    let name = format!("things.{group}");
    let define = async |scope: &str| {
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
        let body = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
            "spec": {"group": group, "scope": scope, "names": {"kind": "Thing", "plural": "things"}, "versions": [version]},
        });
        definitions.patch(&name, &apply, &Patch::Apply(body)).await.unwrap();
    };
    let thing = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "x"}});
    let put = async |api: Api<DynamicObject>| {
        eventually("the kind is served", || async {
            api.patch("x", &apply, &Patch::Apply(&thing)).await.is_ok()
        })
        .await;
    };

    let source = source(&admin, &[a.clone(), b.clone()], true);
    let mut watching = Watching::begin(&source, &Gvk::new(group.as_str(), "v1", "Thing"), Mode::Follow);
    watching.until("the kind is not there", |known| known.has_problem("KindNotFound")).await;
    define("Namespaced").await;
    put(Api::namespaced_with(admin.clone(), &a, &resource)).await;
    watching.until_names(&[&format!("{a}/x")]).await;
    definitions.delete(&name, &DeleteParams::default()).await.unwrap();
    watching.until_names(&[]).await;
    eventually("the definition is gone", || async { definitions.get_opt(&name).await.unwrap().is_none() })
        .await;
    define("Cluster").await;
    put(Api::all_with(admin.clone(), &resource)).await;
    watching.until_names(&["x"]).await;
    definitions.delete(&name, &DeleteParams::default()).await.unwrap();
    eventually("the definition is gone", || async { definitions.get_opt(&name).await.unwrap().is_none() })
        .await;
    define("Namespaced").await;
    put(Api::namespaced_with(admin.clone(), &b, &resource)).await;
    watching.until_names(&[&format!("{b}/x")]).await;
    definitions.delete(&name, &DeleteParams::default()).await.unwrap();
}
