//! From paths to documents with their lines.

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kinds::Loader;
use super::{ManifestProblem, reason};
use crate::sources::directory::{self, files};

/// The greatest file that is read. Manifests are written by people.
const LARGEST_FILE: u64 = 16 << 20;

/// Where something stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The file.
    pub(super) file: &'a Path,
    /// The line, from 1.
    pub(super) line: usize,
}

impl Place<'_> {
    /// A problem of the whole document.
    pub(super) fn problem(
        self,
        reason: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ManifestProblem {
        ManifestProblem {
            file: self.file.to_owned(),
            line: Some(self.line),
            resource: None,
            field: String::new(),
            reason,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// Gives every document of every file to the loader.
pub(super) fn read(paths: &[PathBuf], loader: &mut Loader<'_>) {
    let mut any = false;
    // Nothing breaks off the walk.
    let _ = files::walk(paths, &mut |step| {
        any = true;
        match step {
            files::Step::File(path, _) => match text_of(path) {
                Ok(text) => documents(path, &text, loader),
                Err(error) => loader.unidentified(unreadable(path, &error)),
            },
            files::Step::Unreadable(path, error) => loader.unidentified(unreadable(path, &error)),
        }
        ControlFlow::Continue(())
    });
    if !any && let Some(first) = paths.first() {
        loader.unidentified(ManifestProblem {
            line: None,
            ..Place { file: first, line: 0 }.problem(
                reason::UNREADABLE,
                "there is no manifest here",
                "name files, or directories with files `*.yaml`, `*.yml` or `*.json`",
            )
        });
    }
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    files::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other(format!("it has more than {} MiB", LARGEST_FILE >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not text in UTF-8"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> ManifestProblem {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => "correct the path",
        std::io::ErrorKind::PermissionDenied => "grant read permission on it",
        _ => "correct the file, or leave it out of the paths",
    };
    ManifestProblem {
        line: None,
        ..Place { file: path, line: 0 }.problem(
            reason::UNREADABLE,
            format!("the file can't be read: {error}"),
            remedy,
        )
    }
}

/// Takes a file apart.
fn documents(file: &Path, text: &str, loader: &mut Loader<'_>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let name = file.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let is_json = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("yaml" | "yml") => false,
        Some("json" | "ndjson" | "jsonl") => true,
        _ => text.trim_start().starts_with('{'),
    };
    if is_json {
        json(file, text, loader);
    } else {
        yaml(file, text, loader);
    }
}

/// JSON: one value, or several one after the other.
fn json(file: &Path, text: &str, loader: &mut Loader<'_>) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let rest = &text[values.byte_offset()..];
        let begin = text.len() - rest.trim_start().len();
        let place = Place { file, line: 1 + text[..begin].matches('\n').count() };
        match values.next() {
            None => return,
            Some(Ok(value)) => loader.take(place, value),
            Some(Err(error)) => {
                let place = Place { file, line: error.line() };
                // The rest of the message is the place, which is told already.
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                loader.unidentified(place.problem(
                    reason::UNREADABLE,
                    format!("not valid JSON: {message}"),
                    "correct the file; what follows is not read",
                ));
                return;
            }
        }
    }
}

/// YAML: documents between lines that begin with `---` or `...`.
fn yaml(file: &Path, text: &str, loader: &mut Loader<'_>) {
    let mut document = String::new();
    let mut first = 1;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line, "---") || is_marker(line, "...") {
            yaml_document(file, first, &document, loader);
            document.clear();
            first = index + 1;
            if is_marker(line, "...") {
                first += 1;
                continue;
            }
        }
        document.push_str(line);
    }
    yaml_document(file, first, &document, loader);
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// One document, whose first line is line `first` of the file.
fn yaml_document(file: &Path, first: usize, text: &str, loader: &mut Loader<'_>) {
    let content = text.lines().position(|line| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        !line.is_empty() && !line.starts_with(['#', '%'])
    });
    let Some(content) = content else { return };
    match directory::yaml::to_json(text) {
        Ok(None) => {}
        Ok(Some(json)) => match serde_json::from_str(&json) {
            Ok(value) => loader.take(Place { file, line: first + content }, value),
            Err(error) => loader.unidentified(Place { file, line: first + content }.problem(
                reason::UNREADABLE,
                format!("the document can't be read: {error}"),
                "correct the document",
            )),
        },
        Err(error) => {
            let line = error.line.and_then(|line| usize::try_from(line).ok()).unwrap_or(1);
            loader.unidentified(Place { file, line: first + line.max(1) - 1 }.problem(
                reason::UNREADABLE,
                format!("not valid YAML: {}", error.message),
                "correct the document",
            ));
        }
    }
}
