//! The binary as a user has it: arguments in, standard output, standard error and exit code out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program, with nothing of this process's environment that would change what it prints.
fn kollect() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kollect"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "KOLLECT_LOG", "KOLLECT_LOG_FORMAT", "KUBECONFIG"]
    {
        command.env_remove(name);
    }
    command.env("TERM", "xterm-256color").env("COLUMNS", "100");
    command
}

/// What it did with these arguments, which are separated by blanks.
fn run(arguments: &str) -> Output {
    kollect().args(arguments.split_whitespace()).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn exits(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "stdout: {}\nstderr: {}", out(output), err(output));
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo").join(path)
}

mod help {
    use super::*;

    #[test]
    fn it_goes_to_standard_output_and_names_every_subcommand_with_examples() {
        let output = run("--help");
        exits(&output, 0);
        let text = out(&output);
        for part in [
            "Usage: kollect",
            "collect",
            "operator",
            "preview",
            "validate",
            "crds",
            "Examples:",
            "Exit codes:",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(err(&output), "");
    }

    #[test]
    fn every_subcommand_has_help_with_examples_that_fits_the_terminal() {
        for sub in ["collect", "operator", "preview", "validate", "crds", "completion"] {
            let output = run(&format!("{sub} --help"));
            exits(&output, 0);
            let text = out(&output);
            assert!(text.contains(&format!("Usage: kollect {sub}")) && text.contains("Examples:"), "{text}");
            let (options, _) = text.split_once("Examples:").unwrap();
            assert!(options.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
    }

    #[test]
    fn it_holds_nothing_of_the_environment() {
        let output =
            kollect().env("KOLLECT_CONTEXT", "canary").args(["operator", "--help"]).output().unwrap();
        assert!(out(&output).contains("KOLLECT_CONTEXT") && !out(&output).contains("canary"));
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        for flag in ["--version", "-V"] {
            let output = run(flag);
            exits(&output, 0);
            assert_eq!(out(&output), format!("kollect {}\n", env!("CARGO_PKG_VERSION")));
        }
    }
}

mod usage_errors {
    use super::*;

    #[track_caller]
    fn refused(arguments: &str, named: &str) {
        let output = run(arguments);
        exits(&output, 2);
        assert!(err(&output).contains(named), "{named} is not in\n{}", err(&output));
        assert_eq!(out(&output), "");
    }

    #[test]
    fn nothing_to_do() {
        refused("", "Usage: kollect");
    }

    #[test]
    fn an_unknown_subcommand_gets_the_nearest_one() {
        refused("colect", "collect");
    }

    #[test]
    fn collect_needs_a_pipeline_and_exactly_one_kind_of_source() {
        refused("collect --objects o", "--config");
        refused("collect --config c", "--objects");
        refused("collect --config c --objects o --kubeconfig k", "--kubeconfig");
        refused("collect --config c --objects o --context a", "--context");
    }

    #[test]
    fn preview_needs_a_profile_and_exactly_one_kind_of_source() {
        refused("preview --objects o", "--file");
        refused("preview -f p", "--objects");
        refused("preview -f p --objects o --kubeconfig k", "--kubeconfig");
    }

    #[test]
    fn an_unknown_format_level_or_number_of_workers() {
        refused("crds -o xml", "table");
        refused("crds --log-level kollect=loud", "give a level");
        refused("crds --color pink", "auto");
        refused("operator --workers 0", "--workers");
    }
}

mod colors {
    use super::*;

    const ESCAPE: char = '\u{1b}';

    #[test]
    fn there_are_none_in_a_pipe() {
        for arguments in ["--help", "crds --help", "colect", "validate /does/not/exist"] {
            let output = run(arguments);
            assert!(!out(&output).contains(ESCAPE) && !err(&output).contains(ESCAPE), "{arguments}");
        }
    }

    #[test]
    fn they_can_be_asked_for_and_forbidden() {
        for arguments in ["--color always --help", "collect --help --color=always"] {
            assert!(out(&run(arguments)).contains(ESCAPE), "{arguments}");
        }
        assert!(err(&run("validate /does/not/exist --color always")).contains(ESCAPE));
        let forced =
            kollect().env("CLICOLOR_FORCE", "1").args(["--color", "never", "--help"]).output().unwrap();
        assert!(!out(&forced).contains(ESCAPE));
    }
}

mod pipes {
    use super::*;

    /// What it does when whoever reads its results is gone already.
    fn without_reader(arguments: &str) -> Output {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        kollect().args(arguments.split_whitespace()).stdout(writer).output().unwrap()
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        for arguments in ["--help", "completion bash", "crds"] {
            let output = without_reader(arguments);
            exits(&output, 0);
            assert_eq!(err(&output), "", "{arguments}");
        }
    }

    #[test]
    fn completion_scripts_name_the_subcommands() {
        for shell in ["bash", "zsh", "fish"] {
            let output = run(&format!("completion {shell}"));
            exits(&output, 0);
            assert!(out(&output).contains("preview"), "{shell}");
        }
    }
}

mod crds {
    use super::*;

    const KINDS: [&str; 11] = [
        "KollectProfile",
        "KollectTarget",
        "KollectClusterTarget",
        "KollectInventory",
        "KollectClusterInventory",
        "KollectDatabaseSink",
        "KollectSnapshotSink",
        "KollectEventSink",
        "KollectConnectionTest",
        "KollectScope",
        "KollectClusterScope",
    ];

    fn kind_of(definition: &Value) -> &str {
        assert_eq!(definition["kind"], "CustomResourceDefinition");
        assert_eq!(definition["spec"]["group"], "kollect.dev");
        definition["spec"]["names"]["kind"].as_str().unwrap()
    }

    fn sorted<'a>(kinds: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut kinds: Vec<String> = kinds.into_iter().map(Into::into).collect();
        kinds.sort();
        kinds
    }

    #[test]
    fn they_are_printed_as_yaml_documents_that_kubectl_takes() {
        let output = run("crds");
        exits(&output, 0);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&out(&output)).unwrap();
        assert_eq!(sorted(documents.iter().map(kind_of)), sorted(KINDS));
    }

    #[test]
    fn they_are_printed_as_one_json_list() {
        let output = run("crds -o json");
        exits(&output, 0);
        let list: Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!(list["kind"], "List");
        assert_eq!(sorted(list["items"].as_array().unwrap().iter().map(kind_of)), sorted(KINDS));
    }

    #[test]
    fn they_are_written_one_file_a_kind_and_say_so() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("new/crds");
        let output = kollect().arg("crds").arg("--output").arg(&target).output().unwrap();
        exits(&output, 0);
        let mut kinds = Vec::new();
        for entry in fs::read_dir(&target).unwrap() {
            let path = entry.unwrap().path();
            assert!(out(&output).contains(path.to_str().unwrap()), "{}", out(&output));
            let definition: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let plural = definition["spec"]["names"]["plural"].as_str().unwrap().to_owned();
            assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("kollect.dev_{plural}.yaml"));
            kinds.push(kind_of(&definition).to_owned());
        }
        assert_eq!(sorted(kinds.iter().map(String::as_str)), sorted(KINDS));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let output = kollect().arg("crds").arg("--output").arg(&file).output().unwrap();
        exits(&output, 2);
        assert!(err(&output).contains(file.to_str().unwrap()), "{}", err(&output));
    }
}

mod validate {
    use super::*;

    fn validate(manifest: &str, more: &[&str]) -> (Output, PathBuf, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pipeline.yaml");
        fs::write(&file, manifest).unwrap();
        let output = kollect().arg("validate").arg(&file).args(more).output().unwrap();
        (output, file, directory)
    }

    const PROFILE: &str = "\
apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {name: images, namespace: shop}
spec:
  targetGVK: {group: apps, version: v1, kind: Deployment}
  attributes:
    - {name: image, path: \"$.spec.template.spec.containers[0].image\"}
";

    #[test]
    fn the_examples_have_no_problem() {
        let output = kollect().arg("validate").arg(example("pipeline")).output().unwrap();
        exits(&output, 0);
        assert_eq!(out(&output), "No problems found.\n");
    }

    #[test]
    fn a_field_without_effect_is_told_and_is_no_problem() {
        let sink = "\
apiVersion: kollect.dev/v1alpha1
kind: KollectDatabaseSink
metadata: {name: reports, namespace: shop}
spec: {type: sqlite, endpoint: /var/lib/x.db, serialization: {format: csv}}
";
        let (output, ..) = validate(sink, &["-o", "json"]);
        exits(&output, 0);
        let findings: Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!(findings["valid"], true);
        assert_eq!(findings["problems"][0]["reason"], "NoEffect");
        let (output, ..) = validate(sink, &[]);
        exits(&output, 0);
        assert!(out(&output).ends_with("No problems found, 1 field without effect.\n"), "{}", out(&output));
    }

    #[test]
    fn a_problem_comes_with_file_line_resource_field_reason_and_remedy() {
        let manifest =
            format!("# A comment.\n---\n{PROFILE}    - {{name: pinned, path: \"cel:obj.spec\"}}\n");
        let (output, file, _directory) = validate(&manifest, &["-o", "json"]);
        exits(&output, 1);
        let findings: Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!(findings["valid"], false);
        let problems = findings["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{findings:#}");
        let problem = &problems[0];
        assert_eq!(problem["file"], file.to_str().unwrap());
        assert_eq!(problem["line"], 3);
        assert_eq!(problem["resource"], "KollectProfile shop/images");
        assert_eq!(problem["field"], "spec.attributes[1].path");
        assert_eq!(problem["reason"], "ProfileInvalid");
        assert!(problem["message"].as_str().unwrap().contains("obj"), "{problem:#}");
        assert!(problem["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{problem:#}");
    }

    #[test]
    fn people_get_the_same_in_blocks() {
        let (output, file, _directory) = validate(&PROFILE.replace("$.spec", "%.spec"), &[]);
        exits(&output, 1);
        let text = out(&output);
        let place = format!("{}:1  KollectProfile shop/images  spec.attributes[0].path", file.display());
        assert!(text.starts_with(&place) && text.contains("→") && text.contains("1 problem"), "{text}");
    }

    #[test]
    fn an_unknown_field_is_named() {
        let (output, _file, _directory) = validate(&PROFILE.replace("attributes:", "attribtes:"), &[]);
        exits(&output, 1);
        assert!(out(&output).contains("attribtes"), "{}", out(&output));
    }

    #[test]
    fn a_profile_that_is_not_there_is_named() {
        let target = "\
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {name: images, namespace: shop}
spec: {profileRef: nowhere}
";
        let (output, _file, _directory) = validate(&format!("{PROFILE}---\n{target}"), &[]);
        exits(&output, 1);
        let text = out(&output);
        assert!(text.contains("KollectTarget shop/images") && text.contains("nowhere"), "{text}");
    }

    #[test]
    fn a_file_that_is_not_yaml_is_a_problem_and_the_others_are_still_checked() {
        let (output, file, _directory) = validate("spec: [1, 2\n", &[]);
        exits(&output, 1);
        assert!(out(&output).contains(file.to_str().unwrap()), "{}", out(&output));
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        let output = run("validate /does/not/exist");
        exits(&output, 2);
        assert!(err(&output).contains("/does/not/exist"), "{}", err(&output));
        assert_eq!(out(&output), "");
    }
}

mod preview {
    use super::*;

    fn preview(more: &[&str]) -> Output {
        kollect()
            .args(["preview", "-f"])
            .arg(example("pipeline"))
            .arg("--objects")
            .arg(example("objects"))
            .args(more)
            .output()
            .unwrap()
    }

    #[test]
    fn every_profile_gives_its_rows() {
        let output = preview(&["-o", "json"]);
        exits(&output, 0);
        let preview: Value = serde_json::from_str(&out(&output)).unwrap();
        let rows = |profile: &str| {
            let profiles = preview["profiles"].as_array().unwrap();
            let found = profiles.iter().find(|found| found["profile"] == format!("inventory/{profile}"));
            found.unwrap()["rows"].as_array().unwrap().clone()
        };
        assert_eq!(rows("deployments").len(), 19);
        assert_eq!(rows("services").len(), 22);
        assert_eq!(rows("cronjobs").len(), 9);
        let web = rows("deployments").into_iter().find(|row| row["name"] == "web").unwrap();
        assert_eq!(web["attributes"]["image"], "cr.lantern.example/storefront/web:4.18.2");
        assert_eq!(web["attributes"]["replicas"], 6);
        let grafana = rows("ingresses").into_iter().find(|row| row["name"] == "grafana").unwrap();
        assert_eq!(grafana["attributes"]["encrypted"], true);
    }

    #[test]
    fn people_get_a_table_a_profile() {
        let output = preview(&[]);
        exits(&output, 0);
        let text = out(&output);
        assert!(text.contains("inventory/deployments  apps/v1/Deployment  19 rows"), "{text}");
        let header = text.lines().find(|line| line.starts_with("NAMESPACE")).unwrap();
        assert!(header.contains("NAME") && header.contains("KEYS"), "{header}");
    }

    #[test]
    fn an_attribute_that_cannot_be_evaluated_is_a_problem_of_its_row() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("profile.yaml");
        fs::write(
            &file,
            "apiVersion: kollect.dev/v1alpha1\nkind: KollectProfile\nmetadata: {name: tls, namespace: shop}\nspec:\n  \
             targetGVK: {group: networking.k8s.io, version: v1, kind: Ingress}\n  \
             attributes: [{name: hosts, path: \"cel:object.spec.tls[0].hosts\"}]\n",
        )
        .unwrap();
        let output = kollect()
            .args(["preview", "-o", "json", "-f"])
            .arg(&file)
            .arg("--objects")
            .arg(example("objects"))
            .output()
            .unwrap();
        exits(&output, 1);
        let preview: Value = serde_json::from_str(&out(&output)).unwrap();
        let profile = &preview["profiles"][0];
        assert_eq!(profile["rows"].as_array().unwrap().len(), 5);
        let problems = profile["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{profile:#}");
        assert_eq!(problems[0]["object"], "fulfilment/Ingress/partners");
        assert_eq!(problems[0]["reason"], "ExtractionFailed");
    }

    #[test]
    fn files_without_a_profile_are_an_error() {
        let output = kollect()
            .args(["preview", "-f"])
            .arg(example("pipeline/sinks.yaml"))
            .arg("--objects")
            .arg(example("objects"))
            .output()
            .unwrap();
        exits(&output, 2);
        assert!(err(&output).contains("KollectProfile"), "{}", err(&output));
    }
}

mod collect {
    use super::*;

    /// Runs the example's pipeline, and what is in `more`, on the example's objects into `directory`.
    fn collect(directory: &Path, more: &[&Path]) -> (Output, Value) {
        let output = kollect()
            .args(["collect", "-o", "json", "--config"])
            .arg(example("pipeline"))
            .args(more)
            .arg("--objects")
            .arg(example("objects"))
            .arg("--output")
            .arg(directory)
            .output()
            .unwrap();
        let summary = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output, summary)
    }

    #[test]
    fn an_inventory_is_written_once_and_an_unchanged_run_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (output, first) = collect(directory.path(), &[]);
        exits(&output, 0);
        let inventory = &first["inventories"][0];
        assert_eq!(inventory["inventory"], "inventory/fleet");
        assert_eq!(inventory["rows"], 69);
        assert_eq!(inventory["destinations"][0]["filesWritten"], 1, "{first:#}");
        assert_eq!(inventory["destinations"][0]["state"], "done");
        let (output, second) = collect(directory.path(), &[]);
        exits(&output, 0);
        let inventory = &second["inventories"][0];
        assert_eq!(inventory["rows"], 69);
        for written in ["inserted", "updated", "deleted", "filesWritten", "filesRemoved"] {
            assert_eq!(inventory["destinations"][0][written], 0, "{second:#}");
        }
    }

    #[test]
    fn a_broken_target_is_reported_and_the_others_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let broken = directory.path().join("broken.yaml");
        fs::write(
            &broken,
            "apiVersion: kollect.dev/v1alpha1\nkind: KollectTarget\nmetadata: {name: broken, namespace: inventory}\n\
             spec: {profileRef: nowhere}\n",
        )
        .unwrap();
        let (output, summary) = collect(&directory.path().join("out"), &[&broken]);
        exits(&output, 1);
        assert_eq!(summary["inventories"][0]["rows"], 69, "{summary:#}");
        let problems = summary["problems"].as_array().unwrap();
        assert!(
            problems.iter().any(|problem| problem["resource"] == "KollectTarget inventory/broken"
                && problem["reason"] == "ProfileNotFound"
                && problem["file"] == broken.to_str().unwrap()),
            "{summary:#}"
        );
    }

    #[test]
    fn manifests_without_an_inventory_are_an_error() {
        let output = kollect()
            .args(["collect", "--config"])
            .arg(example("pipeline/profiles.yaml"))
            .arg("--objects")
            .arg(example("objects"))
            .output()
            .unwrap();
        exits(&output, 2);
        assert!(err(&output).contains("KollectInventory"), "{}", err(&output));
    }
}
