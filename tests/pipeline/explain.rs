//! `kollect explain`: why an object is, or is not, a row.

use serde_json::{Value, json};

use crate::kollect_binary::{Files, kollect, run, texts};

const PIPELINE: &str = "apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {name: maps, namespace: team}
spec:
  targetGVK: {version: v1, kind: ConfigMap}
  attributes:
  - {name: v, path: $.data.v}
  - {name: size, path: 'cel:int(object.data.size)'}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: all, namespace: team}
spec: {profileRef: maps}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: prod, namespace: team}
spec: {profileRef: maps, namespaceSelector: {matchLabels: {env: prod}}}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: rules, namespace: team}
spec:
  profileRef: maps
  resourceRules:
  - {gvk: {version: v1, kind: ConfigMap}, matchLabels: {tier: x}}
  - {gvk: {version: v1, kind: ConfigMap}, matchPolicy: 'object.data.v == \"1\"', namespaceSelector: {matchLabels: {env: prod}}}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: asking, namespace: team}
spec: {profileRef: maps, watchMode: OptIn}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectInventory
metadata: {name: fleet, namespace: team}
spec: {databaseSinkRefs: [db], dedupe: byResourceUID}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectDatabaseSink
metadata: {name: db, namespace: team}
spec: {type: sqlite, endpoint: /tmp/never-written.db}
";

fn object(labels: Value, size: &str) -> String {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "cart", "namespace": "shop", "labels": labels}, "data": {"v": "1", "size": size},
    });
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"env": "test"}}});
    format!("{map}\n---\n{shop}\n")
}

fn explain(files: &Files, arguments: &[&str]) -> std::process::Command {
    let mut command = kollect();
    command.arg("explain").args(arguments).arg("--config").arg(files.path("config"));
    command.arg("--objects").arg(files.path("objects"));
    command
}

fn files(object: &str) -> Files {
    let files = Files::new();
    files.write("config/pipeline.yaml", PIPELINE);
    files.write("objects/all.yaml", object);
    files
}

/// `[target, selected, because]` of each target.
fn verdicts(explained: &Value) -> Vec<(String, bool, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let targets = explained["targets"].as_array().unwrap().iter();
    targets.map(|v| (text(&v["target"]), v["selected"].as_bool().unwrap(), text(&v["because"]))).collect()
}

#[test]
fn each_target_says_what_decides_it_and_the_inventory_which_row_it_holds() {
    let files = files(&object(json!({}), "12"));
    let mut command = explain(&files, &["configmap/cart", "-n", "shop", "-o", "json"]);
    let (code, explained) = run({
        command.env("COLUMNS", "100");
        command
    });
    assert_eq!(code, 0);
    assert_eq!(explained["object"], "shop/ConfigMap/cart");
    let verdicts = verdicts(&explained);
    let expect = [
        ("team/all", true, "the target looks there (in shop)"),
        ("team/asking", false, "asks to be collected"),
        ("team/prod", false, "shop is not among the namespaces in effect"),
        ("team/rules", false, "the rules that it fulfils are not for shop"),
    ];
    for ((target, selected, because), (name, yes, part)) in verdicts.iter().zip(expect) {
        assert_eq!((target.as_str(), *selected), (name, yes), "{because}");
        assert!(because.contains(part), "{target}: {because}");
    }
    assert_eq!(verdicts.len(), expect.len());
    assert_eq!(explained["targets"][0]["row"]["attributes"], json!({"v": "1", "size": 12}));
    assert_eq!(explained["inventories"][0]["rows"], json!(["team/all"]));
}

#[test]
fn labels_and_wishes_decide_too_and_dedupe_says_who_wins() {
    let files = files(&object(json!({"tier": "x", "kollect.dev/watch": "enabled"}), "many"));
    let (code, explained) = run(explain(&files, &["ConfigMap/cart", "--namespace", "shop", "-o", "json"]));
    assert_eq!(code, 0);
    let selected: Vec<_> = verdicts(&explained).into_iter().filter(|v| v.1).map(|v| v.0).collect();
    assert_eq!(selected, ["team/all", "team/asking", "team/rules"]);
    assert_eq!(explained["targets"][0]["problems"][0]["attribute"], "size");
    assert_eq!(explained["targets"][0]["row"]["incomplete"], json!(["size"]));
    assert_eq!(explained["inventories"][0]["rows"], json!(["team/all"]));
    assert!(explained["inventories"][0]["because"].as_str().unwrap().contains("first by name"));

    files.write("objects/all.yaml", &object(json!({"kollect.dev/watch": "disabled"}), "1"));
    let (_, explained) = run(explain(&files, &["ConfigMap/cart", "-n", "shop", "-o", "json"]));
    assert!(
        verdicts(&explained)
            .iter()
            .all(|(_, selected, because)| !selected && because.contains("says disabled"))
    );
    assert!(explained["inventories"][0]["rows"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_not_there_is_said_with_a_hint() {
    let files = files(&object(json!({}), "12"));
    for (arguments, part) in [
        (&["ConfigMap/basket", "-n", "shop"][..], "there is no ConfigMap basket in namespace shop"),
        (&["ConfigMap/cart"], "there is no ConfigMap cart without a namespace"),
        (&["Pod/cart", "-n", "shop"], "no profile reads objects of kind Pod"),
        (&["cart"], "kind and name"),
    ] {
        let output = explain(&files, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", texts(&output));
        assert!(texts(&output).contains(part), "{}", texts(&output));
    }
}

#[test]
fn people_get_tables() {
    let files = files(&object(json!({}), "12"));
    let output = explain(&files, &["ConfigMap/cart", "-n", "shop"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "shop/ConfigMap/cart\n",
        "TARGET",
        "SELECTS IT",
        "INVENTORY",
        "HOLDS IT",
        "ATTRIBUTE OF TEAM/ALL",
        "12",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
