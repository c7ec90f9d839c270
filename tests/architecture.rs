//! The arrows between modules, and other rules about the sources that no compiler checks.
//!
//! `tests/architecture/rules.rs` has the table of who may name whom; `deny.toml` has the list of banned crates.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/rules.rs"]
mod rules;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use imports::Source;

/// Lines of a file, its tests apart. A longer one has more than one subject.
const MAX_LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under a folder of the project, with the path of its module. Tests are left out.
fn sources(folder: &str) -> Vec<(PathBuf, Vec<String>)> {
    let base = root().join(folder);
    let mut found = Vec::new();
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if stem == "tests" {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let within = path.parent().unwrap().strip_prefix(&base).unwrap();
                let mut module: Vec<String> =
                    within.iter().map(|part| part.to_str().unwrap().into()).collect();
                if !["mod", "lib", "main"].contains(&stem.as_str()) {
                    module.push(stem);
                }
                found.push((path, module));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no Rust file in {}", base.display());
    found
}

fn read(path: &Path, module: &[String]) -> Source {
    Source::read(&fs::read_to_string(path).unwrap(), module)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn fail_if_any(mut violations: Vec<String>) {
    violations.dedup();
    assert!(violations.is_empty(), "\n\n{}\n", violations.join("\n"));
}

fn at(path: &Path, line: usize, text: &str) -> String {
    format!("{}:{line}: {text}", path.strip_prefix(root()).unwrap().display())
}

/// `sinks::database::sqlite` and the like: the folders two levels below `sinks`.
fn backends() -> Vec<String> {
    let folders: BTreeSet<String> = sources("src")
        .into_iter()
        .filter(|(_, module)| module.first().is_some_and(|first| first == "sinks"))
        .filter_map(|(path, module)| {
            let is_folder = path.file_name().is_some_and(|name| name == "mod.rs");
            (is_folder && module.len() == 3).then(|| module.join("::"))
        })
        .collect();
    folders.into_iter().collect()
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let backends = backends();
    fail_if_any(
        sources("src")
            .iter()
            .flat_map(|(path, module)| {
                let found = rules::violations(&read(path, module), module, &backends);
                found.into_iter().map(|(line, text)| at(path, line, &text))
            })
            .collect(),
    );
}

#[test]
fn every_line_of_the_table_is_about_a_module_that_exists() {
    for rule in rules::RULES {
        let folder = root().join("src").join(rule.module);
        assert!(
            folder.is_dir() || folder.with_extension("rs").is_file(),
            "src/{} is in the table of tests/architecture/rules.rs but not there",
            rule.module
        );
    }
}

#[test]
fn the_graph_is_pure_computation() {
    fail_if_any(
        sources("dataflows/src")
            .iter()
            .flat_map(|(path, module)| {
                let found = rules::dataflows_violations(&read(path, module), module);
                found.into_iter().map(|(line, text)| at(path, line, &text))
            })
            .collect(),
    );
}

#[test]
fn files_have_one_subject_and_a_length_that_shows_it() {
    let files = sources("src").into_iter().chain(sources("dataflows/src"));
    fail_if_any(
        files
            .map(|(path, module)| (read(&path, &module).lines, path))
            .filter(|(lines, _)| *lines > MAX_LINES)
            .map(|(lines, path)| {
                at(
                    &path,
                    MAX_LINES,
                    &format!(
                        "the file has {lines} lines without its tests, more than {MAX_LINES}; split it by subject"
                    ),
                )
            })
            .collect(),
    );
}

#[test]
fn the_graph_depends_on_no_client_network_runtime_or_file_access() {
    const FORBIDDEN: [&str; 19] = [
        "kube",
        "kube-client",
        "k8s-openapi",
        "tokio",
        "tokio-util",
        "async-std",
        "smol",
        "mio",
        "socket2",
        "hyper",
        "reqwest",
        "rustls",
        "ring",
        "notify",
        "tempfile",
        "rusqlite",
        "libsqlite3-sys",
        "postgres",
        "tokio-postgres",
    ];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--package", "kollect-dataflows", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("differential-dataflow"), "this is not the tree of the graph: {crates:?}");
    let found: Vec<&str> = FORBIDDEN.into_iter().filter(|name| crates.contains(name)).collect();
    assert!(
        found.is_empty(),
        "kollect-dataflows must not depend on {found:?}: it is pure computation; what needs files, network or an \
         async runtime stands in src/. `cargo tree -p kollect-dataflows -i {}` tells where it comes from",
        found[0]
    );
}

/// Name and version of every locked crate, for every platform and feature.
fn locked() -> Vec<(String, String)> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    let crates: Vec<_> = lock
        .split("[[package]]")
        .filter_map(|block| Some((field(block, "name")?, field(block, "version")?)))
        .collect();
    assert!(crates.iter().any(|(name, _)| name == "kollect"), "Cargo.lock can't be read");
    crates
}

/// The crates that deny.toml bans.
fn banned() -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = text.split_once("\ndeny = [").and_then(|(_, rest)| rest.split_once("\n]")).unwrap().0;
    let names: Vec<String> = list
        .lines()
        .filter_map(|line| line.split_once("crate = \"")?.1.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(names.len() >= 3, "the list `deny` of deny.toml can't be read: {names:?}");
    names
}

#[test]
fn no_banned_crate_is_locked() {
    let banned = banned();
    let found: Vec<_> = locked().into_iter().filter(|(name, _)| banned.contains(name)).collect();
    assert!(
        found.is_empty(),
        "Cargo.lock holds {found:?}, which deny.toml bans, and says why; `cargo tree --target all -i {}` tells where \
         it comes from",
        found[0].0
    );
}

#[test]
fn there_is_one_tls_stack_and_one_crypto_provider() {
    for name in ["rustls", "ring"] {
        let versions: Vec<_> = locked().into_iter().filter(|(locked, _)| locked == name).collect();
        assert_eq!(
            versions.len(),
            1,
            "exactly one version of {name} must be locked, so that every connection has the same TLS settings and the \
             process has one crypto provider: {versions:?}"
        );
    }
}

/// The rules themselves: what they catch, and what they let through.
mod the_rules {
    use super::imports::Source;
    use super::rules;

    fn module(path: &str) -> Vec<String> {
        path.split("::").map(Into::into).collect()
    }

    fn violations(of: &str, text: &str) -> Vec<(usize, String)> {
        let module = module(of);
        let backends = ["sinks::database::sqlite".to_owned(), "sinks::database::postgres".to_owned()];
        rules::violations(&Source::read(text, &module).unwrap(), &module, &backends)
    }

    #[track_caller]
    fn rejects(of: &str, line: usize, text: &str) {
        let found = violations(of, text);
        assert!(found.len() == 1 && found[0].0 == line, "{of}: {text}: {found:?}");
    }

    #[track_caller]
    fn accepts(of: &str, text: &str) {
        let found = violations(of, text);
        assert!(found.is_empty(), "{of}: {text}: {found:?}");
    }

    #[test]
    fn rejects_a_use_declaration_against_an_arrow() {
        rejects("sinks::error", 2, "\nuse crate::export::Batch;");
        rejects("api", 1, "use kollect_dataflows::data::Row;");
        rejects("cli::collect", 1, "use kollect_dataflows::graph::Graph;");
        rejects("runtime", 1, "use crate::cli::Failure;");
    }

    #[test]
    fn rejects_one_branch_of_a_tree() {
        rejects(
            "export",
            3,
            "use crate::{\n  sinks::{self, Row},\n  catalog::{Plan, Binding},\n};"
                .replace("Plan, Binding", "Plan")
                .as_str(),
        );
    }

    #[test]
    fn rejects_a_path_in_an_expression_a_type_and_a_macro() {
        rejects("sinks::error", 1, "fn f() { crate::status::write(1) }");
        rejects("sinks::error", 1, "struct S(Vec<crate::api::Profile>);");
        rejects("sinks::error", 1, "fn f() { tokio::select! { x = crate::runtime::wait() => x } }");
    }

    #[test]
    fn rejects_a_way_out_by_super() {
        rejects("sinks::database::sqlite", 1, "use super::super::super::export::Batch;");
        rejects("sinks::error", 1, "mod inner { use super::super::super::export::Batch; }");
        accepts("sinks::error", "mod inner { use super::super::BindingName; }");
    }

    #[test]
    fn rejects_a_backend_that_names_another() {
        rejects("sinks::database::sqlite::encode", 1, "use crate::sinks::database::postgres::quote;");
        rejects("sinks::database::sqlite::encode", 1, "use super::super::postgres::quote;");
        accepts(
            "sinks::database::sqlite::encode",
            "use super::super::columns::quote; use super::config::Settings;",
        );
        accepts(
            "sinks::database",
            "pub mod sqlite; pub use self::sqlite::Sqlite; pub use postgres::Postgres;",
        );
    }

    #[test]
    fn rejects_a_module_that_the_table_does_not_know() {
        rejects("helpers", 1, "");
    }

    #[test]
    fn accepts_comments_strings_tests_and_other_crates() {
        accepts("api", "// crate::export::Batch\n/// [`crate::cli`]\nconst A: &str = \"crate::cli::x\";");
        accepts("api", "#[cfg(test)]\nmod tests { use crate::cli::main; }");
        accepts("api", "pub(crate) fn f() {} pub(super) struct S; fn g(self) {}");
        accepts("api", "use serde::de::{self, Deserialize}; use kube::runtime::watcher;");
    }

    #[test]
    fn counts_lines_without_tests() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n\n}\nfn b() {}\n";
        assert_eq!(Source::read(text, &module("api")).unwrap().lines, 3);
    }

    #[test]
    fn rejects_the_outside_world_and_arrows_within_the_graph() {
        let check = |of: &str, text: &str| {
            rules::dataflows_violations(&Source::read(text, &module(of)).unwrap(), &module(of)).len()
        };
        assert_eq!(check("graph::observe", "use std::{fmt, fs::File};"), 1);
        assert_eq!(check("graph::observe", "fn f() { std::process::exit(1) }"), 1);
        assert_eq!(check("graph::observe", "use std::fmt; use crate::extract::Profile;"), 0);
        assert_eq!(check("data::row", "use crate::extract::Profile;"), 1);
        assert_eq!(check("extract", "use crate::data::Row; use super::data::Gvk;"), 0);
    }
}
