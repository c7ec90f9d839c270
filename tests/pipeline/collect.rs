//! `kollect collect`.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, Patch, PatchParams, PostParams};

use crate::cluster;
use crate::kollect_binary::*;
use crate::server;

#[test]
fn an_unchanged_second_run_writes_nothing_and_the_last_object_leaves_no_row() {
    let files = Files::new();
    let database = files.path("rows.db");
    files.write(
        "config/pipeline.yaml",
        &(pipeline("shop", "fleet", "databaseSinkRefs: [lite]") + &sqlite_sink("shop", &database)),
    );
    files.object("a", "1");
    files.object("b", "1");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (0, [2, 0, 0]), "{summary}");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (0, [0, 0, 0]), "{summary}");

    files.object("a", "2");
    files.remove("objects/b.yaml");
    let (_, summary) = files.collect_objects();
    assert_eq!(written(&summary), [0, 1, 1], "{summary}");

    files.remove("objects/a.yaml");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (0, [0, 0, 1]), "{summary}");
    let database = rusqlite::Connection::open(database).unwrap();
    let rows: i64 = database.query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap();
    let log: String = database
        .query_row("SELECT group_concat(op, '') FROM (SELECT op FROM rows_changes ORDER BY seq)", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(rows, 0);
    assert!(log == "ccudd" || log == "ccdud", "{log}");
}

#[test]
fn an_unreadable_manifest_of_objects_deletes_nothing_and_the_others_go_on() {
    let files = Files::new();
    files.write(
        "config/pipeline.yaml",
        &(pipeline("shop", "fleet", "databaseSinkRefs: [lite]")
            + &sqlite_sink("shop", &files.path("rows.db"))),
    );
    files.object("a", "1");
    files.object("b", "1");
    files.collect_objects();
    files.object("a", "2");
    files.write("objects/b.yaml", "{{{ not yaml");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (1, [0, 1, 0]), "{summary}");
    assert_eq!(summary["inventories"][0]["destinations"][0]["state"], "partial");
    assert!(summary["problems"].to_string().contains("b.yaml"), "{summary}");
}

#[test]
fn an_object_that_is_nested_too_deep_is_named_and_keeps_its_row() {
    let files = Files::new();
    files.write(
        "config/pipeline.yaml",
        &(pipeline("shop", "fleet", "databaseSinkRefs: [lite]")
            + &sqlite_sink("shop", &files.path("rows.db"))),
    );
    files.object("a", "1");
    files.object("b", "1");
    files.collect_objects();
    files.object("a", "2");
    let (open, close) = ("[".repeat(200), "]".repeat(200));
    files.remove("objects/b.yaml");
    files.write(
        "objects/b.json",
        &format!(
            r#"{{"data": {{"v": {open}{close}}}, "apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "b", "namespace": "shop", "labels": {{"app": "shop"}}}}}}"#
        ),
    );
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (1, [0, 1, 0]), "{summary}");
    assert_eq!(summary["inventories"][0]["destinations"][0]["state"], "partial");
    let problems = summary["problems"].to_string();
    assert!(
        problems.contains("Unreadable") && problems.contains("v1/ConfigMap shop/b can't be read"),
        "{summary}"
    );

    files.remove("objects/b.json");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (0, [0, 0, 1]), "{summary}");
}

#[test]
fn a_broken_profile_and_a_database_that_is_down_leave_the_rest_alone() {
    let files = Files::new();
    let down =
        postgres_sink("shop", "down", "postgres://nobody@127.0.0.1:1/none?sslmode=disable", "public", "");
    let sinks = "databaseSinkRefs: [lite, down]";
    files.write(
        "config/pipeline.yaml",
        &(pipeline("shop", "fleet", sinks) + &sqlite_sink("shop", &files.path("rows.db")) + &down),
    );
    files.write(
        "config/broken.yaml",
        "apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {name: broken, namespace: shop}
spec:
  targetGVK: {version: v1, kind: Service}
  attributes: [{name: x, path: 'cel:object.spec.('}]
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: broken, namespace: shop}
spec: {profileRef: broken}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: dangling, namespace: shop}
spec: {profileRef: missing}
",
    );
    files.object("a", "1");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (1, [1, 0, 0]), "{summary}");
    let states: Vec<_> = summary["inventories"][0]["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["failed", "partial"], "{summary}");
    let problems = summary["problems"].to_string();
    for part in ["broken.yaml", "spec.attributes[0].path", "ProfileNotFound", "missing"] {
        assert!(problems.contains(part), "{part} in {problems}");
    }
    assert!(!summary.to_string().contains("nobody@"), "{summary}");
}

#[test]
fn what_cannot_be_run_at_all_ends_with_exit_code_2() {
    let files = Files::new();
    files.write("config/empty.yaml", "");
    let mut command = files.collect();
    let output = command.arg("--objects").arg(files.path("objects")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", texts(&output));
    assert!(texts(&output).contains("KollectInventory"), "{}", texts(&output));

    let mut command = files.collect();
    let output = command.arg("--kubeconfig").arg(files.path("nowhere")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", texts(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_its_dump_give_the_same_bytes_and_rows() {
    let kube = cluster::admin().await;
    let namespace = server::unique("same").replace('_', "-");
    let object = serde_json::from_value(serde_json::json!({"metadata": {"name": namespace}})).unwrap();
    Api::<Namespace>::all(kube.clone()).create(&PostParams::default(), &object).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(kube, &namespace);
    for n in 0..20 {
        let value = ["yes", "1.0", "multi\nline", "ünï", " 'quoted\" "][n % 5];
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{n}"), "labels": {"app": "shop"}},
            "data": {"v": value}
        });
        maps.patch(&format!("m{n}"), &PatchParams::apply("test"), &Patch::Apply(&map)).await.unwrap();
    }
    let files = Files::new();
    let in_namespace = pipeline("shop", "fleet", "databaseSinkRefs: [lite]").replace(
        "  profileRef: maps\n",
        &format!("  profileRef: maps\n  includedNamespaces: [{namespace}]\n"),
    );
    files.write("config/pipeline.yaml", &(in_namespace + &sqlite_sink("shop", &files.path("rows.db"))));
    let dump: Vec<String> = maps
        .list(&Default::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|map| {
            let mut map = serde_json::to_value(map).unwrap();
            map["apiVersion"] = "v1".into();
            map["kind"] = "ConfigMap".into();
            map.to_string()
        })
        .collect();
    files.write("objects/dump.json", &dump.join("\n"));

    let collect = |out: &str, from: [&std::ffi::OsStr; 2]| {
        let mut command = files.collect();
        command.args(from).arg("--output").arg(files.path(out));
        let (code, summary) = run(command);
        assert_eq!((code, summary["inventories"][0]["rows"].as_u64()), (0, Some(20)), "{summary}");
        files.read(&format!("{out}/inventory/shop/fleet.yaml"))
    };
    let kubeconfig = cluster::shared().await.as_os_str();
    let from_cluster = collect("a", ["--kubeconfig".as_ref(), kubeconfig]);
    let from_files = collect("b", ["--objects".as_ref(), files.path("objects").as_os_str()]);
    assert_eq!(from_cluster, from_files);

    // Into one table: what the files gave, the cluster finds unchanged.
    let into_table = |from: [&std::ffi::OsStr; 2]| {
        let mut command = files.collect();
        command.args(from);
        written(&run(command).1)
    };
    assert_eq!(into_table(["--objects".as_ref(), files.path("objects").as_os_str()]), [20, 0, 0]);
    assert_eq!(into_table(["--kubeconfig".as_ref(), kubeconfig]), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_change_of_ten_thousand_writes_one_row_and_neighbours_stay_untouched() {
    let files = Files::new();
    let schema = server::unique("one");
    let url = server::url();
    let two = pipeline("shop", "fleet", "databaseSinkRefs: [east, west]")
        + "---\napiVersion: kollect.dev/v1alpha1\nkind: KollectInventory\nmetadata: {name: other, namespace: shop}\nspec: {databaseSinkRefs: [east]}\n"
        + &postgres_sink("shop", "east", url, &schema, "east")
        + &postgres_sink("shop", "west", url, &schema, "west");
    files.write("config/pipeline.yaml", &two);
    let all = |changed: &str| -> String {
        (0..10_000)
            .map(|n| config_map(&format!("m{n:05}"), if n == 7 { changed } else { "1" }) + "---\n")
            .collect()
    };
    files.write("objects/all.yaml", &all("1"));
    let (code, summary) = files.collect_objects();
    assert_eq!(code, 0, "{summary}");

    let database = server::connect().await;
    let count = async |query: &str| -> i64 {
        database.query_one(&query.replace("ROWS", &format!("{schema}.rows")), &[]).await.unwrap().get(0)
    };
    assert_eq!(count("SELECT count(*) FROM ROWS").await, 30_000);
    let writes = async || {
        // Statistics of other sessions come in a moment after their transactions.
        database.execute("SELECT pg_stat_clear_snapshot()", &[]).await.unwrap();
        count(&format!(
            "SELECT (n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = 'rows'"
        ))
        .await
    };
    eventually(30_000, writes).await;

    files.write("objects/all.yaml", &all("2"));
    files.write("config/pipeline.yaml", &two.replace("[east, west]", "[east]"));
    let (code, summary) = files.collect_objects();
    assert_eq!(code, 0, "{summary}");
    // Both inventories have the row; cluster west has not been asked.
    eventually(30_002, writes).await;
    let changed = "SELECT count(*) FROM ROWS WHERE attributes->>'v' = '2' AND cluster = 'east'";
    assert_eq!(count(changed).await, 2);
    assert_eq!(count("SELECT count(*) FROM ROWS WHERE attributes->>'v' = '2'").await, 2);
    let log = "SELECT count(*) FROM ROWS_changes WHERE inventory_name = 'fleet' AND cluster = 'east' AND seq > 10000";
    assert_eq!(count(log).await, 1);
    let entry = database
        .query_one(
            &format!(
                "SELECT op::text, before->>'v', after->>'v' FROM {schema}.rows_changes WHERE inventory_name = 'fleet' AND cluster = 'east' AND seq = 10001"
            ),
            &[],
        )
        .await
        .unwrap();
    let texts: [String; 3] = [entry.get(0), entry.get(1), entry.get(2)];
    assert_eq!(texts, ["u", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_follows_files_and_the_labels_of_namespaces() {
    let files = Files::new();
    let selecting = pipeline("shop", "fleet", "databaseSinkRefs: [lite]").replace(
        "  profileRef: maps\n",
        "  profileRef: maps\n  namespaceSelector: {matchLabels: {team: x}}\n",
    );
    files.write("config/pipeline.yaml", &(selecting + &sqlite_sink("shop", &files.path("rows.db"))));
    let namespace = |team: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{team: {team}}}}}\n")
    };
    files.write("objects/namespace.yaml", &namespace("x"));
    files.object("a", "1");
    let mut command = files.collect();
    command.arg("--watch").arg("--objects").arg(files.path("objects"));
    let watching = Running::start(command, &files.path("watch.log"));
    let values = async || {
        // The file is there once the sink has connected.
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(database) = rusqlite::Connection::open_with_flags(files.path("rows.db"), flags) else {
            return None;
        };
        let query = "SELECT coalesce(group_concat(attributes ->> 'v'), '') FROM rows";
        database.query_row(query, [], |row| row.get::<_, String>(0)).ok()
    };
    eventually(Some("1".to_owned()), values).await;
    files.object("a", "2");
    eventually(Some("2".to_owned()), values).await;
    files.write("objects/namespace.yaml", &namespace("y"));
    eventually(Some(String::new()), values).await;
    files.write("objects/namespace.yaml", &namespace("x"));
    eventually(Some("2".to_owned()), values).await;
    assert_eq!(watching.terminate(), 0, "{}", files.read("watch.log"));
}
