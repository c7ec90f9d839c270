//! The table of `pairs/`: one file a kind, with specs to start from (`bases`) and pairs.
//!
//! | field of a pair | meaning |
//! | --- | --- |
//! | `on` | the base |
//! | `good` | what is laid over it to make the accepted manifest (a JSON merge patch); nothing when the base itself is it |
//! | `bad` | the same for the other one; of the spec, unless it has `spec` or `metadata` |
//! | `field` | the field that both verdicts must name |
//! | `server` | the same as the API server's schema names it, where that differs |
//! | `says` | a part of message or remedy |
//! | `by` | who refuses: `schema` (the CRD and its rules), `webhook`, or nobody, with a `warning` |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kollect::admission::{FailurePolicy, Rotation};
use kollect::api;
use kollect::manifests;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{Answer, World, eventually, profile, resource, webhook};

const SURROUNDINGS: &str = include_str!("surroundings.yaml");

/// Fewer would not cover what can be said.
const FEWEST: usize = 120;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    bases: BTreeMap<String, Value>,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    on: String,
    #[serde(default)]
    good: Value,
    bad: Value,
    field: String,
    server: Option<String>,
    #[serde(default)]
    says: String,
    #[serde(default)]
    by: By,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    #[default]
    Schema,
    Webhook,
    Warning,
}

/// Lays a merge patch over a value.
fn lay(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (key, patch) in patch {
        if patch.is_null() {
            value.as_object_mut().unwrap().remove(key);
        } else {
            lay(&mut value[key], patch);
        }
    }
}

fn manifest(kind: &str, base: &Value, patch: &Value) -> Value {
    let mut manifest = resource(kind, "case", base.clone());
    let whole = patch.get("spec").is_some() || patch.get("metadata").is_some();
    if whole {
        lay(&mut manifest, patch);
    } else if !patch.is_null() {
        lay(&mut manifest["spec"], patch);
    }
    manifest
}

/// Kind, line of the table, accepted, refused.
fn table() -> Vec<(String, String, Value, Value, Pair)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/admission/pairs");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let table: Table =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let kind = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for (number, pair) in table.pairs.into_iter().enumerate() {
            let base = &table.bases[&pair.on];
            let (good, bad) = (manifest(&kind, base, &pair.good), manifest(&kind, base, &pair.bad));
            let place = format!("{kind}, pair {} ({}): {}", number + 1, pair.field, bad["spec"]);
            all.push((kind.clone(), place, good, bad, pair));
        }
    }
    all
}

/// What `kollect validate` says: field, and message with remedy.
fn offline(manifest: &Value) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.yaml");
    std::fs::write(&file, format!("{manifest}\n---\n{SURROUNDINGS}")).unwrap();
    let problems = manifests::validate(&[file]).into_iter();
    problems.map(|problem| (problem.field, format!("{}; {}", problem.message, problem.remedy))).collect()
}

fn offline_verdict(good: &Value, bad: &Value, pair: &Pair) -> Result<(), String> {
    let problems = offline(good);
    if !problems.is_empty() {
        return Err(format!("offline, the good one has problems: {problems:?}"));
    }
    let problems = offline(bad);
    let told = problems.iter().any(|(field, text)| *field == pair.field && text.contains(&pair.says));
    if told { Ok(()) } else { Err(format!("offline, the bad one has these problems: {problems:?}")) }
}

async fn server_verdict(world: &World, good: &Value, bad: &Value, pair: &Pair) -> Result<(), String> {
    let answer = world.create(good, true).await;
    if !answer.is_taken() || !answer.warnings.is_empty() {
        return Err(format!("the good one gets {}: {} {:?}", answer.code, answer.message(), answer.warnings));
    }
    let answer = world.create(bad, true).await;
    let Answer { code, warnings, .. } = &answer;
    let message = answer.message();
    let by_webhook = answer.is_refused_by_webhook();
    let named = message.contains(pair.server.as_ref().unwrap_or(&pair.field));
    let fine = match pair.by {
        By::Schema => [400, 422].contains(code) && !by_webhook && named,
        By::Webhook => {
            let causes = answer.body["details"]["causes"].as_array().cloned().unwrap_or_default();
            by_webhook
                && message.contains(&format!("{}: ", pair.field))
                && message.contains(&pair.says)
                && causes.iter().any(|cause| cause["field"] == pair.field)
        }
        By::Warning => {
            answer.is_taken()
                && warnings
                    .iter()
                    .any(|text| text.contains(&format!("{}: ", pair.field)) && text.contains(&pair.says))
        }
    };
    if fine { Ok(()) } else { Err(format!("the bad one gets {code}: {message} {warnings:?}")) }
}

#[test]
fn the_table_has_pairs_of_every_kind() {
    let table = table();
    assert!(table.len() >= FEWEST, "there are {} pairs", table.len());
    // Without a backend, there is no good one of an event sink yet.
    let kinds = api::crds().into_iter().map(|crd| crd.spec.names.kind);
    for kind in kinds.filter(|kind| kind != "KollectEventSink") {
        let pairs = table.iter().filter(|(other, ..)| *other == kind).count();
        assert!(pairs > 0, "tests/admission/pairs/{kind}.yaml has no pairs: add the file");
    }
    let by = |by: By| table.iter().filter(|(.., pair)| pair.by == by).count();
    assert!(by(By::Webhook) >= 40, "{} are refused by the webhook", by(By::Webhook));
}

#[test]
fn offline_each_good_one_is_accepted_and_each_bad_one_is_refused() {
    let wrong: Vec<String> = table()
        .iter()
        .filter_map(|(_, place, good, bad, pair)| {
            offline_verdict(good, bad, pair).err().map(|why| format!("{place}\n    {why}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} pairs are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_api_server_each_good_one_is_accepted_and_each_bad_one_is_refused() {
    let world = World::new("pairs").await;
    for document in SURROUNDINGS.split("---\n") {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        let answer = world.create(&object, false).await;
        assert!(answer.is_taken(), "{answer:?}");
    }
    let operator = world.operator(Some(webhook(FailurePolicy::Fail, Rotation::default())));
    // With policy Fail, what is refused may be so because the webhook is not there yet.
    eventually("the webhook is asked", async || {
        world.create(&profile("probe", "cel:("), true).await.is_refused_by_webhook()
    })
    .await;
    let mut wrong = Vec::new();
    for (_, place, good, bad, pair) in &table() {
        if let Err(why) = server_verdict(&world, good, bad, pair).await {
            wrong.push(format!("{place}\n    {why}"));
        }
    }
    operator.stop().await;
    assert!(wrong.is_empty(), "{} pairs are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
