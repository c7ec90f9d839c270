//! The samples in examples/samples: each validates, and gives exactly the rows that lie beside it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/samples");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut samples: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    samples.sort();
    samples
}

fn kollect(arguments: &[&str], paths: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kollect"));
    command.args(arguments);
    for (option, path) in paths {
        if !option.is_empty() {
            command.arg(option);
        }
        command.arg(path);
    }
    command.output().unwrap()
}

#[track_caller]
fn succeeds(sample: &Path, output: &Output) {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(output.status.code(), Some(0), "{}: {}", sample.display(), texts.join("\n"));
}

#[test]
fn every_sample_gives_exactly_its_rows_and_no_secret() {
    assert_eq!(
        samples().len(),
        11,
        "a sample more or less changes this test and the README beside the samples"
    );
    for sample in samples() {
        let out = tempfile::tempdir().unwrap();
        let (config, objects) = (sample.join("pipeline.yaml"), sample.join("objects.yaml"));
        let paths = [("--config", config.as_path()), ("--objects", &objects), ("--output", out.path())];
        succeeds(&sample, &kollect(&["collect"], &paths));
        let rows = std::fs::read_to_string(out.path().join("inventory/inventory/sample.yaml")).unwrap();
        let expected = std::fs::read_to_string(sample.join("rows.yaml")).unwrap();
        assert_eq!(rows, expected, "{}", sample.display());
        assert!(!rows.contains("never"), "{}: what must never be shown is", sample.display());
    }
}

#[test]
fn every_sample_validates() {
    for sample in samples() {
        succeeds(&sample, &kollect(&["validate"], &[("", &sample.join("pipeline.yaml"))]));
    }
}

#[test]
fn the_readme_names_every_sample() {
    let readme = std::fs::read_to_string(samples()[0].with_file_name("README.md")).unwrap();
    for sample in samples() {
        let name = sample.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("({name}/pipeline.yaml)")), "{name}");
    }
}
