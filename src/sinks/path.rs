//! Paths of this machine as endpoints.

use std::path::{Component, Path, PathBuf};

use super::ConfigError;

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
