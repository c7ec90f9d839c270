//! Reading of whole files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::rules::Rules;
use super::schema::{self, KEYWORDS};
use super::{ManifestProblem, Manifests, load_with, reason, validate_with};
use crate::api;
use crate::catalog::ResourceName;

fn environment(name: &str) -> Option<String> {
    (name == "PGPASSWORD").then(|| "canary-5e".to_owned())
}

/// Files by name and content, read from a directory.
fn load(files: &[(&str, &str)]) -> (Manifests, Vec<ManifestProblem>) {
    with_files(files, |paths| load_with(paths, &environment))
}

fn validate(files: &[(&str, &str)]) -> Vec<String> {
    with_files(files, |paths| briefly(&validate_with(paths, &environment)))
}

fn with_files<T>(files: &[(&str, &str)], read: impl FnOnce(&[PathBuf]) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    read(&[folder.path().to_owned()])
}

/// Problems as `file.yaml:3 KollectTarget a/t spec.names InvalidField`.
fn briefly(problems: &[ManifestProblem]) -> Vec<String> {
    let brief = |problem: &ManifestProblem| {
        assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{problem}");
        assert!(!problem.to_string().contains("canary"), "{problem}");
        let file = problem.file.file_name().unwrap().to_string_lossy().into_owned();
        let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
        let resource = problem.resource.as_ref().map(ToString::to_string).unwrap_or_default();
        let parts = [format!("{file}{line}"), resource, problem.field.clone(), problem.reason.to_owned()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    problems.iter().map(brief).collect()
}

const PROFILE: &str = "apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {name: pods, namespace: a}
spec:
  targetGVK: {version: v1, kind: Pod}
  attributes:
  - {name: phase, path: .status.phase}
";

const TARGET: &str = "apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: pods, namespace: a}
spec: {profileRef: pods}
";

fn secret(data: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: dsn, namespace: a}}\n{data}\n")
}

#[test]
fn the_crds_use_no_keyword_that_is_not_checked_and_no_rule_that_can_not_be() {
    let mut found = BTreeSet::new();
    for crd in api::crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let schema = &schema["openAPIV3Schema"];
        schema::keywords(&schema["properties"]["spec"], &mut found);
        assert_eq!(Rules::compile(schema).broken(), [""; 0]);
    }
    let unknown: Vec<_> = found.iter().filter(|keyword| !KEYWORDS.contains(&keyword.as_str())).collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn files_of_all_forms_are_read() {
    let json = serde_json::json!({
        "apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "kollect.dev/v1alpha1", "kind": "KollectTarget", "metadata": {"name": "t", "namespace": "a"}, "spec": {"profileRef": "pods"}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", "labels": {"team": "b"}}},
        ],
    });
    let (manifests, problems) = load(&[
        ("b/profile.yml", &format!("# a comment\n---\n\n---\n{PROFILE}...\n---\n{TARGET}---\n# nothing\n")),
        ("list.json", &json.to_string()),
        ("notes.txt", "not a manifest"),
        (".hidden.yaml", "{"),
    ]);
    assert_eq!(briefly(&problems), [""; 0]);
    let names: Vec<String> = manifests.origins.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["KollectProfile a/pods", "KollectTarget a/pods", "KollectTarget a/t"]);
    assert_eq!(manifests.input.namespaces["b"].labels["team"], "b");
    assert_eq!(manifests.input.targets.len(), 2);
}

#[test]
fn a_resource_without_a_namespace_is_in_the_default_one() {
    let (manifests, problems) = load(&[("t.yaml", &TARGET.replace(", namespace: a", ""))]);
    assert_eq!(briefly(&problems), [""; 0]);
    let target = &manifests.input.targets[&ResourceName::new("default", "pods")];
    assert_eq!(target.metadata.namespace.as_deref(), Some("default"));
}

#[test]
fn defaults_are_those_that_the_api_server_sets() {
    let inventory = "apiVersion: kollect.dev/v1alpha1\nkind: KollectInventory\nmetadata: {name: i}\nspec: {dedupe: null}\n";
    let (manifests, problems) = load(&[("i.yaml", inventory)]);
    assert_eq!(briefly(&problems), [""; 0]);
    let spec = &manifests.input.inventories[&ResourceName::new("default", "i")].spec;
    assert_eq!((spec.dedupe, spec.export_min_interval.0.as_str()), (api::Dedupe::KeepAll, "30s"));
}

#[test]
fn problems_name_file_and_line_of_the_document_and_all_come_at_once() {
    let bad = "apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {name: bad, labels: {a: 'b c'}}
spec:
  targetGVK: {kind: Pod}
  attributes:
  - {name: a, pathh: .a}
  - {name: a, path: 'cel:object.'}
";
    let files = [("p.yaml", format!("{PROFILE}---\n{bad}")), ("q.yaml", "a: [1\nb: 2\n".to_owned())];
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
    assert_eq!(
        validate(&files),
        [
            "p.yaml:9 KollectProfile default/bad metadata.labels[a] InvalidField",
            "p.yaml:9 KollectProfile default/bad spec.attributes[0].path InvalidField",
            "p.yaml:9 KollectProfile default/bad spec.attributes[0].pathh UnknownField",
            "p.yaml:9 KollectProfile default/bad spec.attributes[1].name InvalidField",
            "p.yaml:9 KollectProfile default/bad spec.attributes[1].path ProfileInvalid",
            "p.yaml:9 KollectProfile default/bad spec.targetGVK.version InvalidField",
            "q.yaml:2 Unreadable",
        ]
    );
}

#[test]
fn what_can_be_read_is_checked_in_full_even_if_its_fields_are_not_all_right() {
    let bad = PROFILE.replace("path: .status.phase", "path: 'cel:object.', extra: 1");
    assert_eq!(
        validate(&[("p.yaml", &bad)]),
        [
            "p.yaml:1 KollectProfile a/pods spec.attributes[0].extra UnknownField",
            "p.yaml:1 KollectProfile a/pods spec.attributes[0].path ProfileInvalid",
        ]
    );
}

#[test]
fn a_problem_is_told_once_and_not_at_all_that_depend_on_the_resource() {
    // The target's profile is there and has problems; the other one's is not there.
    let broken = PROFILE.replace("version: v1, ", "");
    let other = TARGET.replace("name: pods", "name: other").replace("profileRef: pods", "profileRef: nodes");
    assert_eq!(
        validate(&[("p.yaml", &broken), ("t.yaml", &format!("{TARGET}---\n{other}"))]),
        [
            "p.yaml:1 KollectProfile a/pods spec.targetGVK.version InvalidField",
            "t.yaml:6 KollectTarget a/other spec.profileRef ProfileNotFound",
        ]
    );
    let uncompilable = PROFILE.replace(".status.phase", "'$['");
    assert_eq!(
        validate(&[("p.yaml", &uncompilable), ("t.yaml", TARGET)]),
        ["p.yaml:1 KollectProfile a/pods spec.attributes[0].path ProfileInvalid"]
    );
}

#[test]
fn kinds_that_are_not_known_are_told_with_what_to_use() {
    for (kind, version, expected) in [
        ("KollectSink", "kollect.dev/v1alpha1", "use KollectDatabaseSink or KollectSnapshotSink"),
        ("KollectHub", "kollect.dev/v1alpha1", "one operator a cluster"),
        ("KollectPublication", "kollect.dev/v1alpha1", "KollectInventory"),
        ("KollectClusterProfile", "kollect.dev/v1alpha1", "KollectProfile"),
        ("KollectClusterDatabaseSink", "kollect.dev/v1alpha1", "KollectDatabaseSink"),
        ("KollectClusterEventSink", "kollect.dev/v1alpha1", "sink in the inventory's namespace"),
        ("KollectTargets", "kollect.dev/v1alpha1", "did you mean KollectTarget?"),
        ("KollectReceiver", "kollect.dev/v1alpha1", "this version knows Kollect"),
        ("KollectTarget", "kollect.dev/v1", "use `apiVersion: kollect.dev/v1alpha1`"),
        ("Deployment", "apps/v1", "leave it out"),
        ("", "v1", "one of Kollect"),
    ] {
        let (_, problems) =
            load(&[("k.yaml", &format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"))]);
        let [problem] = &problems[..] else { panic!("{kind}: {problems:?}") };
        assert_eq!(problem.reason, reason::UNKNOWN_KIND, "{kind}");
        assert!(problem.remedy.contains(expected), "{kind}: {problem}");
        assert_eq!(problem.line, Some(1));
    }
}

#[test]
fn documents_that_are_no_resources_are_told() {
    for (content, line, says) in [
        ("- a\n- b\n", 1, "not a resource"),
        ("# x\n\nhello\n", 3, "not a resource"),
        ("a: 1\n", 1, "no apiVersion and no kind"),
        ("apiVersion: v1\n", 1, "no kind"),
    ] {
        let (_, problems) = load(&[("d.yaml", content)]);
        let [problem] = &problems[..] else { panic!("{content}: {problems:?}") };
        assert_eq!(problem.line, Some(line), "{problem}");
        assert!(problem.message.contains(says), "{problem}");
    }
}

#[test]
fn a_resource_that_stands_in_two_files_is_told_and_the_first_counts() {
    let second = TARGET.replace("profileRef: pods", "profileRef: other");
    let (manifests, problems) = load(&[("a.yaml", TARGET), ("b.yaml", &second)]);
    assert_eq!(briefly(&problems), ["b.yaml:1 KollectTarget a/pods metadata.name DefinedTwice"]);
    assert!(problems[0].message.contains("a.yaml, line 1"), "{}", problems[0]);
    assert_eq!(manifests.input.targets[&ResourceName::new("a", "pods")].spec.profile_ref, "pods");
    let (_, problems) = load(&[("a.yaml", &secret("")), ("b.yaml", &secret(""))]);
    assert_eq!(briefly(&problems), ["b.yaml:1 Secret a/dsn metadata.name DefinedTwice"]);
}

#[test]
fn json_says_where_it_is_broken() {
    let (manifests, problems) = load(&[(
        "t.json",
        "{\"apiVersion\": \"v1\",\n \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}}\n{\"b\": canary-5e}",
    )]);
    assert_eq!(briefly(&problems), ["t.json:3 Unreadable"]);
    assert!(manifests.input.namespaces.contains_key("a"));
}

#[test]
fn paths_that_lead_nowhere_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.yaml");
    let (_, problems) = load_with(std::slice::from_ref(&missing), &environment);
    assert_eq!(briefly(&problems), ["missing.yaml Unreadable"]);
    assert!(problems[0].remedy.contains("correct the path"), "{}", problems[0]);
    let (_, problems) = load_with(&[folder.path().to_owned()], &environment);
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.message.contains("no manifest") && problem.file == folder.path(), "{problem}");
    let binary = folder.path().join("b.yaml");
    fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    let (_, problems) = load_with(&[binary], &environment);
    assert!(problems[0].message.contains("UTF-8"), "{}", problems[0]);
}

fn dsn(data: &str) -> Result<String, Vec<String>> {
    let (manifests, problems) = load(&[("s.yaml", &secret(data))]);
    if !problems.is_empty() {
        return Err(problems.iter().map(ToString::to_string).collect());
    }
    let secret = &manifests.input.secrets[&ResourceName::new("a", "dsn")];
    Ok(String::from_utf8(secret.0["dsn"].clone()).unwrap())
}

#[test]
fn variables_of_the_environment_are_put_into_secrets() {
    for (data, expected) in [
        ("stringData: {dsn: plain}", "plain"),
        ("data: {dsn: cGxhaW4=}", "plain"),
        ("data: {dsn: b2xk}\nstringData: {dsn: new}", "new"),
        ("stringData: {dsn: '${env:PGPASSWORD}'}", "canary-5e"),
        (
            "stringData: {dsn: 'postgres://u:${env:PGPASSWORD}@h/${env:PGPASSWORD}?x'}",
            "postgres://u:canary-5e@h/canary-5e?x",
        ),
        // base64 of `a${env:PGPASSWORD}b`
        ("data: {dsn: YSR7ZW52OlBHUEFTU1dPUkR9Yg==}", "acanary-5eb"),
        ("stringData: {dsn: '$PGPASSWORD ${PGPASSWORD} $ {env'}", "$PGPASSWORD ${PGPASSWORD} $ {env"),
    ] {
        assert_eq!(dsn(data).as_deref(), Ok(expected), "{data}");
    }
}

#[test]
fn secrets_that_can_not_be_completed_are_told_without_their_content() {
    for (data, says) in [
        (
            "stringData: {dsn: 'canary-5e${env:NOT_SET}'}",
            vec!["no variable NOT_SET", "s.yaml:1", "a/dsn", "key `dsn`"],
        ),
        ("data: {dsn: 'canary-5e!'}", vec!["not in base64", "stringData"]),
        ("stringData: {dsn: 'canary-5e${env:}'}", vec!["without a name"]),
        ("stringData: {dsn: 'canary-5e${env:A'}", vec!["without a name"]),
        ("stringData: {dsn: 'canary-5e${env:A B}'}", vec!["without a name"]),
        ("stringData: {dsn: 5}", vec!["not text", "in quotes"]),
        ("stringData: canary-5e", vec!["not a mapping"]),
    ] {
        let problems = dsn(data).unwrap_err();
        let [problem] = &problems[..] else { panic!("{data}: {problems:?}") };
        assert!(says.iter().all(|part| problem.contains(part)), "{data}: {problem}");
        assert!(!problem.contains("canary"), "{problem}");
    }
    let both = dsn("stringData: {dsn: '${env:ONE} ${env:TWO}'}").unwrap_err();
    assert_eq!(both.len(), 2);
}

#[test]
fn the_shipped_examples_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/pipeline");
    assert_eq!(briefly(&validate_with(&[examples], &environment)), [""; 0]);
}
