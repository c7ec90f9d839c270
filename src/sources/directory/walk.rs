//! Finds the files under the given paths.
//!
//! Directories are walked in the order of their entries' names, links are followed, and a file or directory that
//! can be reached in two ways is visited once, by the path that comes first.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::read::{is_hidden, is_manifest};

/// What tells that a file was written: a hash of its times, its size and its place on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature(u64);

impl Signature {
    /// Makes a signature of what the file system tells of a file.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let mut hasher = DefaultHasher::new();
        (metadata.modified().ok(), metadata.len(), place(metadata), changed(metadata)).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Where a file is on the disk, the same for all its names; `None` where that is not told.
#[cfg(unix)]
pub(super) fn place(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
pub(super) fn place(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// When a file's content, name or rights changed, which nobody can set.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> (i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> (i64, i64) {
    (0, 0)
}

/// What a walk comes upon.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A file that is taken for a manifest.
    File(&'a Path, Signature),
    /// A path that can't be looked into: files known beneath it are neither there nor gone.
    Unreadable(&'a Path, io::Error),
}

/// The same, and the directories.
#[derive(Debug)]
pub(super) enum Visit<'a> {
    /// A directory that is about to be listed.
    Directory(&'a Path),
    Step(Step<'a>),
}

/// Walks through all paths, sorted; breaks when `visit` does.
pub(crate) fn walk(roots: &[PathBuf], visit: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    walk_directories(roots, &mut |step| match step {
        Visit::Directory(_) => ControlFlow::Continue(()),
        Visit::Step(step) => visit(step),
    })
}

/// The same; also tells of each directory before it is listed.
pub(super) fn walk_directories(
    roots: &[PathBuf],
    visit: &mut dyn FnMut(Visit<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut roots: Vec<&PathBuf> = roots.iter().collect();
    roots.sort();
    let mut walk = Walk { visit, directories: HashSet::new(), files: HashSet::new() };
    for root in roots {
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => walk.directory(root)?,
            Ok(metadata) => walk.file(root, &metadata)?,
            Err(error) => walk.step(Step::Unreadable(root, error))?,
        }
    }
    ControlFlow::Continue(())
}

struct Walk<'a> {
    visit: &'a mut dyn FnMut(Visit<'_>) -> ControlFlow<()>,
    directories: HashSet<PathBuf>,
    /// Files that can be reached in several ways: links, and files with several names.
    files: HashSet<(u64, u64)>,
}

impl Walk<'_> {
    fn step(&mut self, step: Step<'_>) -> ControlFlow<()> {
        (self.visit)(Visit::Step(step))
    }

    fn directory(&mut self, directory: &Path) -> ControlFlow<()> {
        match fs::canonicalize(directory).map(|canonical| self.directories.insert(canonical)) {
            Ok(true) => (self.visit)(Visit::Directory(directory))?,
            Ok(false) => return ControlFlow::Continue(()),
            Err(error) => return self.step(Step::Unreadable(directory, error)),
        }
        let entries = fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
        let mut names: Vec<OsString> = match entries {
            Ok(names) => names,
            Err(error) => return self.step(Step::Unreadable(directory, error)),
        };
        names.retain(|name| !is_hidden(&name.to_string_lossy()));
        names.sort();
        for name in names {
            let path = directory.join(&name);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.directory(&path)?,
                Ok(metadata) if metadata.is_file() && is_manifest(&name.to_string_lossy()) => {
                    self.file(&path, &metadata)?;
                }
                Ok(_) => {}
                // It went away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
                Err(error) if is_manifest(&name.to_string_lossy()) => {
                    self.step(Step::Unreadable(&path, error))?;
                }
                Err(_) => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) -> ControlFlow<()> {
        if place(metadata).is_some_and(|place| !self.files.insert(place)) {
            return ControlFlow::Continue(());
        }
        self.step(Step::File(path, Signature::of(metadata)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn files(roots: &[PathBuf]) -> Vec<String> {
        let mut all = Vec::new();
        let flow = walk(roots, &mut |step| {
            let (path, mark) = match step {
                Step::File(path, _) => (path, ""),
                Step::Unreadable(path, _) => (path, "!"),
            };
            all.push(format!("{mark}{}", path.file_name().unwrap().to_string_lossy()));
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        all
    }

    #[test]
    fn files_come_in_the_order_of_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/z.yaml", "b/a.json", "a.yaml", "c.yml.gz", "b/.hidden/x.yaml", ".y.yaml", "b.txt"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(files(&[dir.path().into()]), ["a.yaml", "a.json", "z.yaml", "c.yml.gz"]);
        let named = dir.path().join("b.txt");
        assert_eq!(files(&[named, dir.path().join("b")]), ["a.json", "z.yaml", "b.txt"]);
        assert_eq!(files(&[dir.path().join("none")]), ["!none"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_cycles_are_not() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(dir.path().join("other")).unwrap();
        fs::write(root.join("a.yaml"), "").unwrap();
        fs::write(dir.path().join("other/o.yaml"), "").unwrap();
        symlink(&root, root.join("sub/up")).unwrap();
        symlink(dir.path().join("other"), root.join("sub/other")).unwrap();
        symlink(root.join("a.yaml"), root.join("b.yaml")).unwrap();
        symlink(root.join("nowhere"), root.join("c.yaml")).unwrap();
        assert_eq!(files(&[root]), ["a.yaml", "!c.yaml", "o.yaml"]);
    }
}
