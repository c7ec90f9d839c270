//! Paths of this machine as endpoints.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::{ConfigError, SinkError};

/// Reads an endpoint that is a path: absolute, or `file:///` and an absolute path; without `..`.
///
/// # Errors
/// With `field` when it is anything else. `example` is the last part of the path that the remedy shows.
pub(super) fn absolute(field: &str, endpoint: &str, example: &str) -> Result<PathBuf, ConfigError> {
    let error =
        |message: String, remedy: String| Err(ConfigError { field: field.to_owned(), message, remedy });
    let remedy = || format!("give an absolute path, for example `/var/lib/kollect/{example}`");
    if endpoint.is_empty() {
        return error("a path is missing".to_owned(), remedy());
    }
    let path = match endpoint.split_once("://") {
        None => endpoint,
        Some(("file", path)) => path,
        Some((scheme, _)) => return error(format!("`{scheme}://` is not a path on this machine"), remedy()),
    };
    let path = Path::new(path);
    if !path.is_absolute() {
        return error(format!("`{endpoint}` is not an absolute path"), remedy());
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return error(format!("`{endpoint}` leads through `..`"), remedy());
    }
    // Collecting drops repeated and trailing slashes, so that equal places are equal settings.
    Ok(path.components().collect())
}

/// Checks that this process may write into a directory, or create it. Changes nothing.
pub(super) fn place_for(directory: &Path) -> Result<(), SinkError> {
    // What is not there is created in what there is above it.
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    if !there.is_dir() {
        return Err(SinkError::Shape {
            message: format!("{} is not a directory", there.display()),
            hint: "choose another spec.endpoint".to_owned(),
        });
    }
    may_write(there).map_err(|error| SinkError::Denied {
        message: format!("the directory {} can't be written: {error}", there.display()),
        hint: "make it writable for this process, or choose another spec.endpoint".to_owned(),
    })
}

#[cfg(target_os = "linux")]
fn may_write(directory: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(not(target_os = "linux"))]
fn may_write(directory: &Path) -> io::Result<()> {
    match std::fs::metadata(directory)?.permissions().readonly() {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}
