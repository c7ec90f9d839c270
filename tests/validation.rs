//! Which manifests are taken and which are refused: offline, and by a real API server with our CRDs. Both must say the
//! same of every case.
//!
//! Each case is a manifest. `accepts` wants no problem from either. `rejects` wants both to refuse it, and the offline
//! problem to name the field and to say what to do. `rejects_offline` is for what no schema and no CEL rule can say: the API server takes
//! it, and the operator reports it in the status as `kollect validate` does.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "sources/cluster.rs"]
#[allow(dead_code)]
mod cluster;

#[path = "validation/cluster.rs"]
mod cluster_kinds;
#[path = "validation/connection_test.rs"]
mod connection_test;
#[path = "validation/database_sink.rs"]
mod database_sink;
#[path = "validation/event_sink.rs"]
mod event_sink;
#[path = "validation/inventory.rs"]
mod inventory;
#[path = "validation/metadata.rs"]
mod metadata;
#[path = "validation/profile.rs"]
mod profile;
#[path = "validation/scope.rs"]
mod scope;
#[path = "validation/snapshot_sink.rs"]
mod snapshot_sink;
#[path = "validation/target.rs"]
mod target;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kollect::api;
use kollect::manifests::{self, ManifestProblem};
use kollect::sources::kubernetes::client;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// An API server with our CRDs.
static SERVER: LazyLock<Client> = LazyLock::new(|| {
    let kubeconfig = match std::env::var_os("KOLLECT_TEST_KUBECONFIG") {
        Some(path) => PathBuf::from(path),
        None => cluster::Cluster::start("validation").kubeconfig,
    };
    RUNTIME.block_on(async {
        let client = client(Some(&kubeconfig), None).await.unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let apply = PatchParams::apply("kollect-tests").force();
        for crd in api::crds() {
            let name = crd.metadata.name.clone().unwrap();
            definitions
                .patch(&name, &apply, &Patch::Apply(&crd))
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let established = await_condition(definitions.clone(), &name, conditions::is_crd_established());
            tokio::time::timeout(Duration::from_secs(60), established).await.expect(&name).unwrap();
        }
        client
    })
});

/// What the API server says to the creation of an object, without creating it, as strict as to `kubectl apply`.
async fn create(object: &Value) -> Result<(), String> {
    let kind = object["kind"].as_str().unwrap();
    let crd = api::crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let place = if crd.spec.scope == "Cluster" { "" } else { "namespaces/default/" };
    let plural = crd.spec.names.plural;
    let path = format!("/apis/kollect.dev/v1alpha1/{place}{plural}?dryRun=All&fieldValidation=Strict");
    for attempt in 0.. {
        let request = http::Request::post(&path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        match SERVER.request::<Value>(request).await {
            Ok(_) => return Ok(()),
            // Some time goes by before a new kind is served.
            Err(kube::Error::Api(status)) if status.is_not_found() && attempt < 100 => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => {
                return Err(status.message.clone());
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the loop ends")
}

fn server_verdict(manifest: &str) -> Result<(), String> {
    let object: Value = serde_saphyr::from_str(manifest).unwrap();
    let _ = &*SERVER;
    RUNTIME.block_on(create(&object))
}

fn offline(manifest: &str) -> Vec<ManifestProblem> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.yaml");
    std::fs::write(&file, manifest).unwrap();
    manifests::validate(&[file])
}

/// A manifest of a kind with this spec, and whatever it needs to stand alone.
fn manifest(kind: &str, spec: &str) -> String {
    let spec: Value = serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let metadata = match kind.starts_with("KollectCluster") {
        true => json!({ "name": "case" }),
        false => json!({ "name": "case", "namespace": "default" }),
    };
    json!({
        "apiVersion": api::API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    })
    .to_string()
}

/// Resources that others refer to, so that cases need not bring them.
const SURROUNDINGS: &str = r"
---
apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {name: pods}
spec:
  targetGVK: {version: v1, kind: Pod}
  attributes: [{name: phase, path: .status.phase}]
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: pods, labels: {tier: base}}
spec: {profileRef: pods}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectDatabaseSink
metadata: {name: portal}
spec: {type: sqlite, endpoint: /var/lib/kollect/inventory.db}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectSnapshotSink
metadata: {name: files}
spec: {type: local, endpoint: /var/lib/kollect/files}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectClusterTarget
metadata: {name: pods, labels: {tier: base}}
spec: {profileRef: {name: pods, namespace: default}}
";

fn accepts(manifest: &str) {
    let problems = offline(&format!("{manifest}{SURROUNDINGS}"));
    assert!(problems.is_empty(), "offline: {}", listed(&problems));
    assert_eq!(server_verdict(manifest), Ok(()), "the API server refuses it");
}

/// `says` is a part of the problem's message or remedy.
fn rejects(manifest: &str, field: &str, says: &str) {
    rejects_offline_only(manifest, field, says);
    let verdict = server_verdict(manifest);
    assert!(verdict.is_err(), "the API server takes it");
}

/// For what the API server can't see, in these surroundings.
fn rejects_offline_beside(manifest: &str, field: &str, says: &str, surroundings: &str) {
    expect_problem(&offline(&format!("{manifest}{surroundings}{SURROUNDINGS}")), field, says);
    assert_eq!(server_verdict(manifest), Ok(()), "the API server can see it: use `rejects`");
}

/// For what the API server can't see.
fn rejects_offline(manifest: &str, field: &str, says: &str) {
    rejects_offline_only(manifest, field, says);
    assert_eq!(server_verdict(manifest), Ok(()), "the API server can see it: use `rejects`");
}

fn rejects_offline_only(manifest: &str, field: &str, says: &str) {
    expect_problem(&offline(&format!("{manifest}{SURROUNDINGS}")), field, says);
}

fn expect_problem(problems: &[ManifestProblem], field: &str, says: &str) {
    let found = problems.iter().any(|problem| {
        problem.field == field && (problem.message.contains(says) || problem.remedy.contains(says))
    });
    assert!(found, "no problem of `{field}` says `{says}`: {}", listed(problems));
    for problem in problems {
        assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{problem}");
        assert!(!problem.message.contains("can't be evaluated"), "{problem}");
    }
}

fn listed(problems: &[ManifestProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
