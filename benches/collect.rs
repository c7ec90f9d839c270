//! The whole program: `kollect collect` over 100,000 objects, from files and from an API server, into each sink.
//!
//! `cargo bench --bench collect` brings up an API server and Postgres (see tests/servers), runs the release binary, and writes time
//! and memory of each run to docs/benchmarks.md. With `--test` it does the same with few objects, and writes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment as Resource;
use k8s_openapi::api::core::v1::Namespace;
use kollect::sources::kubernetes::client;
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::Value;
use support::objects::{ATTRIBUTES, NAMESPACES, deployment, namespace};
use support::{docs, memory};

const OBJECTS: u64 = 100_000;
/// Objects in a file.
const IN_A_FILE: u64 = 1_000;
/// Requests to the API server at a time, while it is filled.
const REQUESTS: usize = 24;

const HEAD: &str = "## The whole program

Written by `cargo bench --bench collect`. `kollect collect` over Deployments of 5.7 KB in one inventory with eight attributes; the directory
holds them as JSON lists of 1,000, the API server and Postgres run beside it on the same machine. Memory is the peak of the resident
memory of the whole process. Without a sink there are source and graph alone, so the other lines show what a sink adds. The second run
finds everything as it should be.

| objects | source | sink | first run | peak, MiB | rows written | second run | peak, MiB | rows written |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

/// What one run of the program took.
struct Run {
    time: Duration,
    peak: f64,
    written: u64,
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let objects = if test { 3_000 } else { OBJECTS };
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let postgres = server("postgres", &folder.path().join("postgres"));
    let kubeconfig = server("kubernetes", &folder.path().join("kubernetes"));
    let files = folder.path().join("objects");
    write_files(&files, objects);
    runtime.block_on(fill(Path::new(&kubeconfig), objects));

    let mut text = HEAD.to_owned();
    let sources =
        [("directory", "--objects", files.as_path()), ("API server", "--kubeconfig", Path::new(&kubeconfig))];
    for (source, option, place) in sources {
        for (sink, spec) in sinks(folder.path(), &source.replace(' ', "_"), &postgres) {
            let config = folder.path().join("pipeline.yaml");
            fs::write(&config, format!("{}{spec}", pipeline(sink))).unwrap();
            let collect = || {
                let mut command = Command::new(env!("CARGO_BIN_EXE_kollect"));
                command.args(["collect", "-o", "json", "--config"]).arg(&config).arg(option).arg(place);
                run(command, objects, sink != "none")
            };
            let (first, second) = (collect(), collect());
            let line = format!(
                "| {objects} | {source} | {sink} | {:.1} s | {:.0} | {} | {:.1} s | {:.0} | {} |",
                first.time.as_secs_f64(),
                first.peak,
                first.written,
                second.time.as_secs_f64(),
                second.peak,
                second.written
            );
            println!("{line}");
            writeln!(text, "{line}").unwrap();
        }
    }
    for name in ["postgres", "kubernetes"] {
        script(name, "stop.sh").arg(folder.path().join(name)).arg("--remove").status().unwrap();
    }
    if !test {
        writeln!(text, "\nOn {}.", docs::machine()).unwrap();
        docs::write_section("collect", &text);
    }
}

fn script(server: &str, name: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(server).join(name);
    assert!(script.exists(), "there is no {}", script.display());
    Command::new(script)
}

/// Starts a server that ends with this process; gives what its script prints.
fn server(name: &str, folder: &Path) -> String {
    let mut start = script(name, "start.sh");
    start.arg(folder).env("OWNER", std::process::id().to_string());
    let output = start.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{name} did not start; see above");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn write_files(folder: &Path, objects: u64) {
    fs::create_dir_all(folder).unwrap();
    for file in 0..objects.div_ceil(IN_A_FILE) {
        let items: Vec<String> = (file * IN_A_FILE..objects.min((file + 1) * IN_A_FILE))
            .map(|number| String::from_utf8(deployment(number, 0).json.to_vec()).unwrap())
            .collect();
        let list = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, items.join(","));
        fs::write(folder.join(format!("{file:04}.json")), list).unwrap();
    }
}

/// Creates the objects in a cluster.
async fn fill(kubeconfig: &Path, objects: u64) {
    let start = Instant::now();
    let client = client(Some(kubeconfig), None).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for number in 0..NAMESPACES {
        let metadata = ObjectMeta { name: Some(namespace(number)), ..ObjectMeta::default() };
        let new = Namespace { metadata, ..Namespace::default() };
        namespaces.create(&PostParams::default(), &new).await.unwrap();
    }
    stream::iter(0..objects)
        .for_each_concurrent(REQUESTS, |number| {
            let client = client.clone();
            async move {
                let mut new: Resource = serde_json::from_slice(&deployment(number, 0).json).unwrap();
                // What the server itself sets.
                new.metadata.uid = None;
                new.metadata.resource_version = None;
                let all = Api::namespaced(client, new.metadata.namespace.as_deref().unwrap());
                all.create(&PostParams::default(), &new).await.unwrap();
                if number % 10_000 == 9_999 {
                    println!("created {} objects in {:.0} s", number + 1, start.elapsed().as_secs_f64());
                }
            }
        })
        .await;
}

/// The sinks to measure, and their manifests.
fn sinks(folder: &Path, source: &str, postgres: &str) -> [(&'static str, String); 5] {
    let folder = folder.join("out").join(source);
    let sink = |kind: &str, spec: String| {
        format!(
            "---\napiVersion: kollect.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: out, namespace: bench}}\nspec: {spec}\n"
        )
    };
    let files = |name: &str, more: &str| {
        let place: PathBuf = folder.join(name);
        sink("KollectSnapshotSink", format!("{{type: local, endpoint: {}{more}}}", place.display()))
    };
    let sqlite = format!("{{type: sqlite, endpoint: {}/rows.db}}", folder.display());
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: dsn, namespace: bench}}\nstringData: {{dsn: '{postgres}'}}\n"
    );
    let table = source.to_lowercase();
    let database = format!(
        "{{type: postgres, postgres: {{databaseRef: {{name: dsn}}, schema: bench, table: {table}}}}}"
    );
    [
        ("none", String::new()),
        ("sqlite", sink("KollectDatabaseSink", sqlite)),
        ("postgres", secret + &sink("KollectDatabaseSink", database)),
        ("local, one document", files("document", "")),
        ("local, a file a row", files("rows", ", layout: {mode: perResource}")),
    ]
}

fn pipeline(sink: &str) -> String {
    let attributes: String =
        ATTRIBUTES.iter().map(|(name, path)| format!("  - {{name: {name}, path: \"{path}\"}}\n")).collect();
    let references = match sink {
        "none" => "{}",
        "sqlite" | "postgres" => "{databaseSinkRefs: [out]}",
        _ => "{snapshotSinkRefs: [out]}",
    };
    format!(
        "apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {{name: deployments, namespace: bench}}
spec:
  targetGVK: {{group: apps, version: v1, kind: Deployment}}
  attributes:
{attributes}---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {{name: deployments, namespace: bench}}
spec: {{profileRef: deployments}}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectInventory
metadata: {{name: all, namespace: bench}}
spec: {references}
"
    )
}

/// Runs the program to its end, and looks at its memory all the while.
fn run(mut command: Command, objects: u64, has_sink: bool) -> Run {
    let start = Instant::now();
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut child = command.stdout(output.reopen().unwrap()).spawn().unwrap();
    let process = child.id().to_string();
    let mut peak: f64 = 0.0;
    let status = loop {
        // The peak only grows, so little is missed between the last look and the end.
        peak = memory::of(&process).map_or(peak, |memory| memory.peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let time = start.elapsed();
    let summary: Value = serde_json::from_reader(output.reopen().unwrap()).unwrap();
    // An inventory that is exported nowhere is a problem, and nothing else may be one.
    assert_eq!(status.code(), Some(if has_sink { 0 } else { 1 }), "{summary:#}");
    let inventory = &summary["inventories"][0];
    assert_eq!(inventory["rows"], objects, "{summary:#}");
    let written =
        ["inserted", "updated", "deleted"].iter().map(|count| inventory[count].as_u64().unwrap()).sum();
    Run { time, peak, written }
}
