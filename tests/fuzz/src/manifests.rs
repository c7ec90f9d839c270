//! Manifests: any text, as a file that is validated and as one that objects are read from.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use kollect::manifests::{self, reason};
use kollect::sources::directory::Directory;
use kollect::sources::{Closed, Event, EventSink, Mode, Source as _};
use kollect_dataflows::data::Gvk;
use kollect_dataflows::extract::{Document, DocumentError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// What every secret of the seeds has in it. No message of ours does.
const CANARY: &str = "canary";

/// A sink and the Secret that it refers to, whatever else there is; the password is put in.
const SINK: &str = "
apiVersion: kollect.dev/v1alpha1
kind: KollectDatabaseSink
metadata: {name: portal, namespace: shop}
spec: {type: postgres, postgres: {databaseRef: {name: portal}, table: rows}}
---
apiVersion: v1
kind: Secret
metadata: {name: portal, namespace: shop}
stringData: {url: 'postgres://kollect:PASSWORD@db.example.com:5432/inventory'}
";

/// Of so many inputs, one is read for its objects too: a source waits a moment for a file to come to rest.
const READ: u32 = 16;

/// Where the files are, and what reads objects.
struct Place {
    folder: TempDir,
    runtime: Runtime,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(Place {
        folder: tempfile::tempdir().unwrap(),
        runtime: Builder::new_current_thread().build().unwrap(),
    });
}

/// Checks an input: what is in the file.
pub fn check(input: &[u8]) {
    PLACE.with_borrow(|Place { folder, runtime }| {
        // What begins with a brace is taken for JSON.
        let file = folder.path().join("manifest");
        std::fs::write(&file, input).unwrap();
        let secrets = secrets_of(input);
        check_validation(folder.path(), &file, input, &secrets);
        if input.iter().map(|byte| u32::from(*byte)).sum::<u32>() % READ == 0 {
            runtime.block_on(read(&file)).iter().for_each(|events| check_objects(events, &secrets));
        }
    });
}

fn check_validation(folder: &Path, file: &Path, input: &[u8], secrets: &BTreeSet<String>) {
    let problems = manifests::validate(&[file.to_owned()]);
    assert_eq!(manifests::validate(&[file.to_owned()]), problems, "validated again");
    assert!(problems.is_sorted());
    // To YAML, either ends a line.
    let lines = input.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    for problem in &problems {
        assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{lines} lines: {problem:?}");
        // Of a document that can't be read, nothing is shown at all.
        let all = format!("{problem} {problem:?}");
        assert!(problem.reason != reason::UNREADABLE || !all.contains(CANARY), "{all}");
        assert!(!secrets.iter().any(|secret| all.contains(secret)), "{all}");
    }
    check_sink(folder, file);
    if problems.is_empty() {
        check_written_again(folder, file);
    }
}

/// What is found does not depend on the value of a Secret.
fn check_sink(folder: &Path, file: &Path) {
    let sink = folder.join("sink.yaml");
    let with = |password: &str| {
        std::fs::write(&sink, SINK.replace("PASSWORD", password)).unwrap();
        manifests::validate(&[file.to_owned(), sink.clone()])
    };
    let one = with("one");
    assert_eq!(with("another"), one, "it depends on the value of a Secret");
}

/// What is valid stays valid when it is written as it has been read.
fn check_written_again(folder: &Path, file: &Path) {
    let (first, problems) = manifests::load(&[file.to_owned()]);
    if !problems.is_empty() {
        // A variable of the environment that is not set.
        return;
    }
    let input = &first.input;
    let mut text = String::new();
    let mut put = |resource: serde_json::Result<String>| text = format!("{text}{}\n", resource.unwrap());
    input.profiles.values().for_each(|resource| put(serde_json::to_string(&**resource)));
    input.targets.values().for_each(|resource| put(serde_json::to_string(&**resource)));
    input.inventories.values().for_each(|resource| put(serde_json::to_string(&**resource)));
    input.database_sinks.values().for_each(|resource| put(serde_json::to_string(&**resource)));
    input.snapshot_sinks.values().for_each(|resource| put(serde_json::to_string(&**resource)));
    let again = folder.join("again.json");
    std::fs::write(&again, &text).unwrap();
    let (second, problems) = manifests::load(&[again]);
    assert_eq!(problems, [], "{text}");
    let second = second.input;
    assert_eq!(second.profiles, input.profiles, "{text}");
    assert_eq!(second.targets, input.targets, "{text}");
    assert_eq!(second.inventories, input.inventories, "{text}");
    assert_eq!(second.database_sinks, input.database_sinks, "{text}");
    assert_eq!(second.snapshot_sinks, input.snapshot_sinks, "{text}");
}

/// The values of the Secrets in the text that stand nowhere else in it, and can be told from the words of a message.
fn secrets_of(input: &[u8]) -> BTreeSet<String> {
    let Ok(text) = std::str::from_utf8(input) else { return BTreeSet::new() };
    let documents: Vec<Value> = match serde_json::Deserializer::from_str(text).into_iter().collect() {
        Ok(documents) => documents,
        Err(_) => serde_saphyr::from_multiple(text).unwrap_or_default(),
    };
    let mut secrets = BTreeSet::new();
    documents.iter().for_each(|document| add_secrets(document, &mut secrets));
    secrets.retain(|secret| secret.contains(CANARY) && text.matches(secret.as_str()).count() == 1);
    secrets
}

fn add_secrets(document: &Value, secrets: &mut BTreeSet<String>) {
    if document["apiVersion"] == "v1" && document["kind"] == "Secret" {
        for part in ["data", "stringData"] {
            let values = document[part].as_object().into_iter().flatten();
            secrets.extend(values.filter_map(|(_, value)| value.as_str().map(str::to_owned)));
        }
    }
    for item in document["items"].as_array().into_iter().flatten() {
        add_secrets(item, secrets);
    }
}

/// Takes all events.
struct Events(Vec<Event>);

#[async_trait]
impl EventSink for Events {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        self.0.push(event);
        Ok(())
    }
}

/// What is read of Secrets and of ConfigMaps, by two sources that know nothing of each other.
async fn read(file: &Path) -> [Vec<Event>; 2] {
    let kinds = ["Secret", "ConfigMap"].map(|kind| Gvk::new("", "v1", kind));
    let sources = [(); 2].map(|()| Directory::new([PathBuf::from(file)]));
    let watch = async |source: &Directory, gvk: &Gvk| {
        let mut events = Events(Vec::new());
        source.watch(gvk, Mode::Once, &mut events, &CancellationToken::new()).await;
        events.0
    };
    let ([one, another], [secrets, maps]) = (&sources, &kinds);
    let (first, second, again) = tokio::join!(watch(one, secrets), watch(one, maps), watch(another, secrets));
    assert_eq!(describe(&again), describe(&first), "read again");
    [first, second]
}

/// Every object is one, with the name that it is reported under, and every list that does not end has a reason.
fn check_objects(events: &[Event], secrets: &BTreeSet<String>) {
    assert!(matches!(events.first(), Some(Event::ListBegin)), "{:?}", events.first());
    let mut complete = false;
    let mut problems = 0;
    for event in events {
        match event {
            Event::Object { name, json, .. } => match Document::parse(json) {
                Ok(document) => {
                    assert_eq!([document.namespace(), document.name()], [&*name.namespace, &*name.name]);
                    assert!(!document.uid().is_empty(), "an object without a uid: {document:?}");
                }
                // Nested too deep, or with escapes that stand for no character: told when it is extracted from.
                Err(DocumentError::NotJson(_) | DocumentError::TooDeep) => {}
                Err(error) => panic!("{error}"),
            },
            Event::Problem(problem) => {
                problems += 1;
                let all = format!("{problem} {problem:?}");
                assert!(!secrets.iter().any(|secret| all.contains(secret)), "{all}");
            }
            Event::ListEnd => complete = true,
            Event::ListBegin | Event::Deleted { .. } | Event::Recovered => {}
        }
    }
    assert!(complete || problems > 0, "the list does not end, and nothing is wrong");
}

/// The events, to compare them.
fn describe(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::Object { json, .. } => format!("{event:?} {}", String::from_utf8_lossy(json)),
            event => format!("{event:?}"),
        })
        .collect()
}
