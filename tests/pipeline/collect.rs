//! `kollect collect`.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, Patch, PatchParams, PostParams};

use crate::cluster;
use crate::kollect_binary::*;
use crate::proxy::{Fault, Proxy};
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
fn rollups_and_metrics_say_what_the_objects_have() {
    let files = Files::new();
    let rollups = "rollups: [
        {name: by-value, groupBy: [v], aggregates: [{name: maps, op: count}, {name: first, op: min, attribute: name}]},
        {name: all, aggregates: [{name: total, op: sum, attribute: v}]}]";
    let pipeline = pipeline("shop", "fleet", &format!("databaseSinkRefs: [lite], {rollups}"));
    // A second target on the same objects: its rows count in the inventory, but each object once in the metric.
    let pipeline = pipeline.replace(
        "- {name: v, path: $.data.v}",
        "- {name: v, path: $.data.v}\n  metrics: [{name: v, path: v, labels: [namespace]}]",
    );
    let second = "---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: named, namespace: shop}
spec: {profileRef: maps, names: [a]}
---
";
    files.write("config/pipeline.yaml", &(pipeline + second + &sqlite_sink("shop", &files.path("rows.db"))));
    files.object("a", "500m");
    files.object("b", "2");
    files.object("c", "2");
    let (code, summary) = files.collect_objects();
    assert_eq!(code, 0, "{summary}");
    let of = |name: &str| {
        let rollups = summary["rollups"].as_array().unwrap();
        rollups.iter().find(|rollup| rollup["name"] == name).unwrap_or_else(|| panic!("{name}: {summary}"))
    };
    assert_eq!(of("by-value")["resource"], "KollectInventory shop/fleet");
    assert_eq!(of("by-value")["groups"], 2);
    assert_eq!(
        of("by-value")["rows"],
        serde_json::json!([
            {"group": {"v": "500m"}, "values": {"maps": 2, "first": "a"}},
            {"group": {"v": "2"}, "values": {"maps": 2, "first": "b"}},
        ])
    );
    assert_eq!(of("all")["rows"], serde_json::json!([{"group": {}, "values": {"total": 5}}]));
    assert_eq!(of("v")["resource"], "KollectProfile shop/maps");
    assert_eq!(
        of("v")["rows"],
        serde_json::json!([{"group": {"namespace": "shop"}, "values": {"value": 4.5}}])
    );
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
fn what_stands_in_the_configuration_but_cannot_be_used_takes_no_rows_away() {
    let files = Files::new();
    files.write(
        "config/pipeline.yaml",
        &(pipeline("shop", "fleet", "databaseSinkRefs: [lite]")
            + &sqlite_sink("shop", &files.path("rows.db"))),
    );
    let target = "apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: second, namespace: shop}
spec: {profileRef: maps, labelSelector: {matchLabels: {app: shop}}}
";
    files.write("config/second.yaml", target);
    files.object("a", "1");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (0, [2, 0, 0]), "{summary}");

    let rows = || {
        let database = rusqlite::Connection::open(files.path("rows.db")).unwrap();
        let query = "SELECT group_concat(target_name || '=' || (attributes ->> 'v'), ' ') FROM (SELECT * FROM rows ORDER BY target_name)";
        database.query_row(query, [], |row| row.get::<_, String>(0)).unwrap()
    };
    files.object("a", "2");
    // Whatever it was, it may have been a target of the inventory.
    for broken in ["{{{ not yaml".to_owned(), target.replace("KollectTarget", "KollectTraget")] {
        files.write("config/second.yaml", &broken);
        let (code, summary) = files.collect_objects();
        assert_eq!(code, 1, "{summary}");
        assert!(summary["problems"].to_string().contains("second.yaml"), "{summary}");
        assert_eq!(rows(), "maps=1 second=1", "{broken}");
    }
    files.remove("config/second.yaml");
    std::os::unix::fs::symlink("nowhere", files.path("config/second.yaml")).unwrap();
    assert_eq!((files.collect_objects().0, rows()), (1, "maps=1 second=1".to_owned()));
    files.remove("config/second.yaml");

    // This one is known by name, so the others go on. Without its selector it would give more rows.
    files.write("objects/b.yaml", &config_map("b", "1").replace("{app: shop}", "{app: other}"));
    for (right, wrong) in [("labelSelector", "labelSelectr"), ("v1alpha1", "v1alpha9")] {
        files.object("a", if right == "v1alpha1" { "4" } else { "3" });
        files.write("config/second.yaml", &target.replace(right, wrong));
        let (code, summary) = files.collect_objects();
        assert_eq!((code, written(&summary)), (1, [0, 1, 0]), "{summary}");
        assert_eq!(summary["inventories"][0]["destinations"][0]["state"], "partial", "{summary}");
    }
    assert_eq!(rows(), "maps=4 second=1");
    files.write("config/second.yaml", target);
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (0, [0, 1, 0]), "{summary}");
    // Only what is gone for good is taken back.
    files.remove("config/second.yaml");
    let (code, summary) = files.collect_objects();
    assert_eq!((code, written(&summary)), (0, [0, 0, 1]), "{summary}");
}

#[test]
fn an_inventory_that_cannot_be_used_is_neither_written_nor_emptied() {
    let files = Files::new();
    let sink = sqlite_sink("shop", &files.path("rows.db"));
    let write = |spec: &str| {
        let good = "apiVersion: kollect.dev/v1alpha1
kind: KollectInventory
metadata: {name: good, namespace: shop}
spec: {targetRefs: [maps], databaseSinkRefs: [lite]}
---
";
        files.write("config/pipeline.yaml", &(good.to_owned() + &pipeline("shop", "fleet", spec) + &sink));
    };
    let rows = || {
        let database = rusqlite::Connection::open(files.path("rows.db")).unwrap();
        let query = "SELECT group_concat(attributes ->> 'v', '') FROM rows WHERE inventory_name = 'fleet'";
        database.query_row(query, [], |row| row.get::<_, Option<String>>(0)).unwrap()
    };
    write("databaseSinkRefs: [lite]");
    files.object("a", "1");
    assert_eq!(files.collect_objects().0, 0);
    files.object("a", "2");
    for spec in [
        "databaseSinkRefs: [lite], targetSelector: {matchExpressions: [{key: x, operator: In}]}",
        "databaseSinkRefs: [lite], targetRef: [other]",
        "databaseSinkRefs: [lite], dedupe: sometimes",
    ] {
        write(spec);
        let (code, summary) = files.collect_objects();
        assert_eq!(code, 1, "{summary}");
        assert_eq!(rows().as_deref(), Some("1"), "{summary}");
        assert_eq!(summary["inventories"][1]["destinations"][0]["state"], "done", "{summary}");
    }
    write("databaseSinkRefs: [lite]");
    assert_eq!((files.collect_objects().0, rows().as_deref()), (0, Some("2")));
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

#[test]
fn where_nothing_could_be_read_nothing_is_written_and_the_exit_code_is_2() {
    let files = Files::new();
    files.write("config/pipeline.yaml", &pipeline("shop", "fleet", ""));
    let unreachable = "apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {}}]
";
    files.write("kubeconfig", unreachable);
    for (option, place) in [("--objects", "nope"), ("--kubeconfig", "kubeconfig")] {
        let mut command = files.collect();
        command.arg(option).arg(files.path(place)).arg("--output").arg(files.path("out"));
        let (code, summary) = run(command);
        assert_eq!(code, 2, "{summary}");
        assert_eq!(summary["inventories"][0]["destinations"][0]["state"], "partial", "{summary}");
        assert!(!files.path("out/inventory").exists(), "{summary}");

        let mut command = kollect();
        command.args(["preview", "-o", "json", "-f"]).arg(files.path("config"));
        command.arg(option).arg(files.path(place));
        assert_eq!(run(command).0, 2, "{option}");
    }
    let mut command = kollect();
    let command = command.args(["preview", "--objects"]).arg(files.path("objects")).arg("-f");
    let output = command.arg(files.path("nope")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", texts(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_cannot_be_listed_hold_the_targets_that_select_them() {
    let kube = cluster::admin().await;
    let name = server::unique("unlisted").replace('_', "-");
    let namespace = serde_json::json!({"metadata": {"name": name, "labels": {"team": name}}});
    let namespace = serde_json::from_value(namespace).unwrap();
    Api::<Namespace>::all(kube.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(kube.clone(), &name);
    let map = async |name: &str, value: &str| {
        let body = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "shop"}},
            "data": {"v": value}
        });
        maps.patch(name, &PatchParams::apply("test"), &Patch::Apply(&body)).await.unwrap();
    };
    map("a", "1").await;
    let files = Files::new();
    let target = |rest: &str| {
        pipeline("shop", "fleet", "databaseSinkRefs: [lite]")
            .replace("  profileRef: maps\n", &format!("  profileRef: maps\n  {rest}\n"))
    };
    let selecting = "apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: selecting, namespace: shop}
spec: {profileRef: maps, namespaceSelector: {matchLabels: {team: TEAM}}, labelSelector: {matchLabels: {app: shop}}}
";
    files.write(
        "config/pipeline.yaml",
        &(target(&format!("includedNamespaces: [{name}]")) + &sqlite_sink("shop", &files.path("rows.db"))),
    );
    files.write("config/selecting.yaml", &selecting.replace("TEAM", &name));
    let proxy = Proxy::start(&kube).await;
    let kubeconfig = format!(
        "apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: '{}'}}}}]
users: [{{name: u, user: {{}}}}]
",
        proxy.url
    );
    files.write("kubeconfig", &kubeconfig);
    let collect = async || {
        let mut command = files.collect();
        command.arg("--kubeconfig").arg(files.path("kubeconfig"));
        tokio::task::spawn_blocking(move || run(command)).await.unwrap()
    };
    let (code, summary) = collect().await;
    assert_eq!((code, written(&summary)), (0, [2, 0, 0]), "{summary}");

    let times = usize::MAX;
    proxy.add(Fault::Answer { path: "/api/v1/namespaces?", status: 403, header: "x: y", times });
    map("a", "2").await;
    let (code, summary) = collect().await;
    assert_eq!((code, written(&summary)), (1, [0, 1, 0]), "{summary}");
    assert!(summary["problems"].to_string().contains("AccessDenied"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_watching_tells_how_it_ended() {
    let files = Files::new();
    let database = files.path("rows.db");
    files.write(
        "config/pipeline.yaml",
        &(pipeline("shop", "fleet", "databaseSinkRefs: [lite]") + &sqlite_sink("shop", &database)),
    );
    let start = |log: &str| {
        let mut command = files.collect();
        command.arg("--watch").arg("--objects").arg(files.path("objects"));
        Running::start(command, &files.path(log))
    };
    let logged = |log: &'static str, text: &'static str| {
        let log = files.path(log);
        async move || std::fs::read_to_string(&log).unwrap().contains(text)
    };
    // What was wrong at first is put right.
    files.write("objects/a.yaml", "{{{ not yaml");
    let watching = start("repaired.log");
    eventually(true, logged("repaired.log", "a.yaml")).await;
    eventually(true, logged("repaired.log", "partial")).await;
    files.object("a", "1");
    eventually(true, logged("repaired.log", "\"v\"")).await;
    assert_eq!(watching.terminate(), 0, "{}", files.read("repaired.log"));

    // What was well at first has come to an end.
    let watching = start("ended.log");
    eventually(true, logged("ended.log", "done")).await;
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute_batch("DROP TABLE rows; CREATE TABLE rows (x)")
        .unwrap();
    files.object("a", "2");
    eventually(true, logged("ended.log", "the binding stops")).await;
    assert_eq!(watching.terminate(), 1, "{}", files.read("ended.log"));
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
