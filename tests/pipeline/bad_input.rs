//! Bad input of all kinds, on a real API server into a real Postgres: it never stalls a watch, whoever is to blame says so, everything
//! else goes on at once, and what is mended is picked up.

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};
use serde_json::{Value, json};

use crate::kollect_binary::*;
use crate::operator::{World, redefine};

const TARGET: [&str; 2] = ["KollectTarget", "kollecttargets"];

/// The condition Ready of a target, and what the message of the condition Degraded begins with.
async fn target_is(world: &World, name: &str, ready: &str) {
    eventually(ready.to_owned(), async || world.ready(TARGET[0], TARGET[1], name).await).await;
}

async fn message(world: &World, name: &str, type_: &str) -> String {
    let status = world.status(TARGET[0], TARGET[1], name).await;
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let condition = conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default();
    condition["message"].as_str().unwrap_or_default().to_owned()
}

/// A definition of widgets with these versions, of which the first is stored: whatever a widget says is kept.
fn widgets(versions: &[(&str, bool)]) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let versions = versions.iter().enumerate().map(|(index, (name, served))| {
        json!({"name": name, "served": served, "storage": index == 0, "schema": schema})
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.dev"},
        "spec": {
            "group": "example.dev", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": versions.collect::<Vec<_>>(),
        },
    })
}

async fn define(world: &World, crd: Value) {
    let (version, kind) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    world.apply_as(version, kind, "customresourcedefinitions", None, "widgets.example.dev", crd).await;
}

async fn widget(world: &World, version: &str, name: &str, spec: Value) {
    let version = format!("example.dev/{version}");
    let metadata = json!({"name": name, "namespace": "shop"});
    let body = json!({"apiVersion": version, "kind": "Widget", "metadata": metadata, "spec": spec});
    world.apply_as(&version, "Widget", "widgets", Some("shop"), name, body).await;
}

async fn widget_profile(world: &World, version: &str, attributes: Value) {
    let gvk = json!({"group": "example.dev", "version": version, "kind": "Widget"});
    world.apply("KollectProfile", "widgets", json!({"targetGVK": gvk, "attributes": attributes})).await;
    world.apply("KollectTarget", "widgets", json!({"profileRef": "widgets"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_of_ours_that_cannot_be_read_hold_up_nothing_but_themselves() {
    let world = World::new().await;
    let names: Vec<(String, String, bool)> = kollect::api::crds()
        .into_iter()
        .map(|crd| (crd.spec.names.kind, crd.spec.names.plural, crd.spec.scope == "Cluster"))
        .collect();
    for (_, plural, _) in &names {
        redefine(&world, &format!("{plural}.kollect.dev"), |crd| {
            crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            crd["spec"]["versions"][0]["selectableFields"] = json!([]);
        })
        .await;
    }
    let garbage = [
        json!("text"),
        json!([1, 2]),
        json!({"suspend": {}, "type": 7, "profileRef": [], "targetGVK": "x", "sinkRef": 1, "exportMinInterval": {}, "allowedNamespaces": 3, "ttlSecondsAfterFinished": "x"}),
        Value::Null,
    ];
    let version = "kollect.dev/v1alpha1";
    for (kind, plural, of_cluster) in &names {
        // Scopes that can't be read may say anything, so that what they limit waits: those are for other namespaces.
        let namespace = if kind.ends_with("Scope") { "east" } else { "shop" };
        let namespace = (!of_cluster).then_some(namespace);
        for (index, spec) in garbage.iter().enumerate() {
            let name = format!("bad-{index}");
            let mut body =
                json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
            if let Some(namespace) = namespace {
                body["metadata"]["namespace"] = namespace.into();
            }
            world.apply_as(version, kind, plural, namespace, &name, body).await;
        }
    }
    world.map("shop", "a", "1", "shop").await;
    let operator = world.operator();
    world.pipeline().await;
    world.expect(&[r#"maps shop/a {"v": "1"}"#]).await;
    target_is(&world, "maps", "True Collecting").await;
    world.map("shop", "a", "2", "shop").await;
    world.expect(&[r#"maps shop/a {"v": "2"}"#]).await;
    // Each of them says so, and what to do.
    for (kind, plural, of_cluster) in names.iter().filter(|(kind, ..)| !kind.ends_with("Scope")) {
        let resources = world.api(kind, plural, (!of_cluster).then_some("shop"));
        for index in 0..garbage.len() {
            eventually(json!("SpecInvalid"), async || {
                let resource = resources.get(&format!("bad-{index}")).await.unwrap();
                let conditions =
                    resource.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
                ready.unwrap_or_default()["reason"].clone()
            })
            .await;
        }
    }
    // The log names each of them, and nothing of what they hold.
    let log = world.files.path("operator.log");
    for (kind, _, _) in &names {
        for index in 0..garbage.len() {
            let said = format!("/bad-{index} spec: the resource can't be read as a {kind}");
            let said_of_cluster = format!(" bad-{index} spec: the resource can't be read as a {kind}");
            eventually(true, async || {
                let log = std::fs::read_to_string(&log).unwrap();
                log.contains(&said) || log.contains(&said_of_cluster)
            })
            .await;
        }
    }
    // While it is watched, one that was in use becomes unreadable: its rows stay as they are. Another is mended.
    world.apply("KollectTarget", "maps", json!({"profileRef": 7})).await;
    eventually(true, async || {
        std::fs::read_to_string(&log).unwrap().contains("shop/maps spec: the resource can't be read")
    })
    .await;
    world.target("bad-0", json!({"names": ["b"]})).await;
    world.map("shop", "b", "1", "shop").await;
    world.map("shop", "a", "3", "shop").await;
    world.expect(&[r#"bad-0 shop/b {"v": "1"}"#, r#"maps shop/a {"v": "2"}"#]).await;
    world.target("maps", json!({"includedNamespaces": ["shop"], "names": ["a"]})).await;
    world.expect(&[r#"bad-0 shop/b {"v": "1"}"#, r#"maps shop/a {"v": "3"}"#]).await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_any_shape_give_rows_or_are_named() {
    let world = World::new().await;
    define(&world, widgets(&[("v1", true)])).await;
    let mut deep = json!(1);
    for _ in 0..500 {
        deep = json!({"d": deep});
    }
    let mut list = json!(1);
    for _ in 0..200 {
        list = json!([list]);
    }
    let shapes = [
        ("plain", json!({"size": 1})),
        ("large", json!({"size": 1, "blob": "x".repeat(1_400_000)})),
        ("large-value", json!({"size": "y".repeat(1_400_000)})),
        (
            "unicode",
            json!({"size": "größe 🦀 \u{202e}\u{feff}", "ключ": {"": "", "a.b/c": 1, "$": [], "🦀": null}}),
        ),
        ("nul", json!({"size": "a\u{0}b"})),
        ("control", json!({"size": "\u{1}\u{7f}\t\n\\\""})),
        ("null", json!({"size": null})),
        ("absent", json!({})),
        ("number", json!({"size": 9007199254740993_i64})),
        ("float", json!({"size": 1.5e300})),
        ("deep", json!({"size": 1, "deep": deep})),
        ("deep-value", json!({"size": deep})),
        ("deep-list", json!({"size": list})),
        ("text", json!("a text for a spec")),
        ("list", json!([1, 2, 3])),
    ];
    world.map("shop", "a", "1", "shop").await;
    world.pipeline().await;
    let operator = world.operator();
    world.expect(&[r#"maps shop/a {"v": "1"}"#]).await;
    let gvk = GroupVersionKind::gvk("example.dev", "v1", "Widget");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "widgets");
    let widgets: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "shop", &resource);
    // Served a moment after it is defined.
    eventually(true, async || widgets.list(&ListParams::default()).await.is_ok()).await;
    for (name, spec) in &shapes {
        let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        // The server takes it; that the answer is too deep for the client to read is the point of some.
        if let Err(error) = widgets.create(&PostParams::default(), &object).await {
            assert!(error.to_string().contains("recursion limit"), "{name}: {error}");
        }
    }
    widget_profile(&world, "v1", json!([{"name": "size", "path": "$.spec.size"}])).await;
    // Postgres has no NUL in a text; what is too deep to be read is not a row.
    let rows = [
        "absent null",
        "control 6",
        "deep number",
        "float number",
        "large number",
        "large-value 1400000",
        "list null",
        "null null",
        "number number",
        "plain number",
        "text null",
        "unicode 10",
    ];
    let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    let query = "SELECT resource_name || ' ' || CASE jsonb_typeof(attributes->'size') WHEN 'string' THEN length(attributes->>'size')::text ELSE jsonb_typeof(attributes->'size') END FROM ROWS WHERE target_name = 'widgets' ORDER BY 1";
    eventually(rows.clone(), async || world.query(query).await).await;
    let refused = async || {
        let status = world.status("KollectInventory", "kollectinventories", "fleet").await;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
        ready["message"].as_str().unwrap_or_default().to_owned()
    };
    eventually(true, async || refused().await.contains("widgets/shop/nul/")).await;
    eventually(true, async || message(&world, "widgets", "Degraded").await.contains("shop/deep-")).await;
    // The others go on, and what is mended is picked up.
    world.map("shop", "a", "2", "shop").await;
    eventually(vec!["2".to_owned()], async || {
        world.query("SELECT attributes->>'v' FROM ROWS WHERE target_name = 'maps'").await
    })
    .await;
    for name in ["deep-list", "deep-value", "nul"] {
        widgets.delete(name, &DeleteParams::default()).await.ok();
        let mended = DynamicObject::new(name, &resource).data(json!({"spec": {"size": 1}}));
        widgets.create(&PostParams::default(), &mended).await.unwrap();
    }
    let mended =
        rows.into_iter().chain(["deep-list", "deep-value", "nul"].map(|name| format!("{name} number")));
    let mut mended: Vec<String> = mended.collect();
    mended.sort();
    eventually(mended, async || {
        let mut rows = world.query(query).await;
        rows.sort();
        rows
    })
    .await;
    target_is(&world, "widgets", "True Collecting").await;
    eventually("True Exported".to_owned(), async || {
        world.ready("KollectInventory", "kollectinventories", "fleet").await
    })
    .await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_too_much_or_holds_bytes_that_are_no_text_degrades_only_itself() {
    let world = World::new().await;
    world.map("shop", "a", "1", "shop").await;
    let data: serde_json::Map<String, Value> = (0..2000).map(|key| (format!("k{key}"), "v".into())).collect();
    let many = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "many", "namespace": "shop"}, "data": data});
    world.apply_as("v1", "ConfigMap", "configmaps", Some("shop"), "many", many.clone()).await;
    world.pipeline().await;
    let operator = world.operator();
    world.expect(&[r#"maps shop/a {"v": "1"}"#]).await;
    // As costly as it may be: every key of an object with all others, and those with all others.
    let costly = "cel:object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != '')))";
    let profile = json!({"targetGVK": {"version": "v1", "kind": "ConfigMap"}, "attributes": [{"name": "v", "path": costly}]});
    world.apply("KollectProfile", "costly", profile).await;
    world.apply("KollectTarget", "costly", json!({"profileRef": "costly", "names": ["many", "a"]})).await;
    // Bytes: a Secret's values as they are stored, and one as a connection string.
    let binary = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bytes", "namespace": "shop"}, "data": {"dsn": "//79/AA=", "b": "AP/+gA=="}});
    world.apply_as("v1", "Secret", "secrets", Some("shop"), "bytes", binary).await;
    let spec = json!({"targetGVK": {"version": "v1", "kind": "Secret"}, "attributes": [{"name": "b", "path": "$.data.b"}]});
    let body = json!({
        "apiVersion": "kollect.dev/v1alpha1", "kind": "KollectProfile", "spec": spec,
        "metadata": {"name": "bytes", "namespace": "shop", "annotations": {"kollect.dev/allow-secret-extraction": "true"}},
    });
    world
        .apply_as("kollect.dev/v1alpha1", "KollectProfile", "kollectprofiles", Some("shop"), "bytes", body)
        .await;
    world.apply("KollectTarget", "bytes", json!({"profileRef": "bytes", "names": ["bytes"]})).await;
    let postgres = json!({"databaseRef": {"name": "bytes"}, "table": "rows"});
    world.apply("KollectDatabaseSink", "bytes", json!({"type": "postgres", "postgres": postgres})).await;
    let expected = |value: &str| {
        [
            r#"bytes shop/bytes {"b": "AP/+gA=="}"#.to_owned(),
            r#"costly shop/a {"v": true}"#.to_owned(),
            r#"costly shop/many {"v": null}"#.to_owned(),
            format!(r#"maps shop/a {{"v": "{value}"}}"#),
        ]
    };
    let expect = async |rows: &[String]| {
        world.expect(&rows.iter().map(String::as_str).collect::<Vec<_>>()).await;
    };
    expect(&expected("1")).await;
    eventually(true, async || message(&world, "costly", "Degraded").await.contains("shop/many: attribute v"))
        .await;
    eventually("False SecretInvalid".to_owned(), async || {
        world.ready("KollectDatabaseSink", "kollectdatabasesinks", "bytes").await
    })
    .await;
    world.map("shop", "a", "2", "shop").await;
    expect(&expected("2")).await;
    // With fewer keys it is cheap enough.
    let mut few = many;
    few["data"] = json!({"k": "v"});
    world.apply_as("v1", "ConfigMap", "configmaps", Some("shop"), "many", few).await;
    let mut mended = expected("2");
    mended[2] = r#"costly shop/many {"v": true}"#.to_owned();
    expect(&mended).await;
    eventually("nothing needs attention".to_owned(), async || message(&world, "costly", "Degraded").await)
        .await;
    assert_eq!(operator.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_goes_or_changes_its_version_takes_nothing_with_it_and_is_picked_up_again() {
    let world = World::new().await;
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definition = ApiResource::from_gvk_with_plural(&gvk, "customresourcedefinitions");
    let definitions: Api<DynamicObject> = Api::all_with(world.client.clone(), &definition);
    define(&world, widgets(&[("v1", true), ("v2", true)])).await;
    widget(&world, "v1", "w", json!({"size": 1})).await;
    world.map("shop", "a", "1", "shop").await;
    world.pipeline().await;
    let size = json!([{"name": "size", "path": "$.spec.size"}]);
    widget_profile(&world, "v1", size.clone()).await;
    let operator = world.operator();
    let both = |value: &str, size: u32| {
        [format!(r#"maps shop/a {{"v": "{value}"}}"#), format!(r#"widgets shop/w {{"size": {size}}}"#)]
    };
    let expect = async |rows: &[String]| {
        world.expect(&rows.iter().map(String::as_str).collect::<Vec<_>>()).await;
    };
    expect(&both("1", 1)).await;
    // A version that nobody serves: the rows of the one before stay, and the others go on.
    widget_profile(&world, "v9", size.clone()).await;
    target_is(&world, "widgets", "False KindNotFound").await;
    let said = message(&world, "widgets", "Ready").await;
    assert!(said.contains("v1") && said.contains("v2"), "{said}");
    world.map("shop", "a", "2", "shop").await;
    expect(&both("2", 1)).await;
    // One that is served takes its place at once: it is the same object, and no row goes in between.
    let deletions = async || world.query("SELECT count(*)::text FROM ROWS_changes WHERE op = 'd'").await;
    let before = deletions().await;
    widget_profile(&world, "v2", json!([{"name": "size", "path": "cel:object.spec.size + 10"}])).await;
    target_is(&world, "widgets", "True Collecting").await;
    expect(&both("2", 11)).await;
    widget_profile(&world, "v1", size.clone()).await;
    expect(&both("2", 1)).await;
    target_is(&world, "widgets", "True Collecting").await;
    assert_eq!(deletions().await, before);
    // The version is not served any more, while it is watched.
    define(&world, widgets(&[("v2", true), ("v1", false)])).await;
    target_is(&world, "widgets", "False KindNotFound").await;
    widget(&world, "v2", "w", json!({"size": 2})).await;
    world.map("shop", "a", "3", "shop").await;
    expect(&both("3", 1)).await;
    define(&world, widgets(&[("v2", true), ("v1", true)])).await;
    expect(&both("3", 2)).await;
    target_is(&world, "widgets", "True Collecting").await;
    // With the kind its objects are gone; it comes back with another object of the name.
    definitions.delete("widgets.example.dev", &DeleteParams::default()).await.unwrap();
    expect(&both("3", 2)[..1]).await;
    target_is(&world, "widgets", "False KindNotFound").await;
    world.map("shop", "a", "4", "shop").await;
    expect(&both("4", 2)[..1]).await;
    eventually(true, async || definitions.get_opt("widgets.example.dev").await.unwrap().is_none()).await;
    define(&world, widgets(&[("v1", true)])).await;
    widget(&world, "v1", "w", json!({"size": 3})).await;
    expect(&both("4", 3)).await;
    target_is(&world, "widgets", "True Collecting").await;
    assert_eq!(operator.terminate(), 0);
}
