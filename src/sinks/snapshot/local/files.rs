//! Reading, writing and removing files below one directory, and what went wrong in the sink's terms.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::config::Config;
use super::encode::FileHash;
use crate::sinks::{Provisioning, SinkError};

/// The directory that all paths of a sink are below.
pub(super) struct Root {
    path: PathBuf,
    /// Directories that were found to be real ones, so that they are looked at once a batch.
    known: HashSet<String>,
}

/// Whether [`Root::sync_everything`] does anything.
pub(super) const CAN_SYNC_EVERYTHING: bool = cfg!(target_os = "linux");

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Nothing,
    File,
    /// A directory, a symbolic link, a device, …
    SomethingElse,
}

/// An error at a path in the sink's terms.
pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> SinkError {
    let message = format!("{what} {} failed: {error}", path.display());
    let hint = |hint: &str| hint.to_owned();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            SinkError::Unreachable { message: format!("{message}; free some space") }
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => SinkError::Denied {
            message,
            hint: hint("make the directory writable for this process, or choose another spec.endpoint"),
        },
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
            SinkError::Shape {
                message,
                hint: hint("move away what is there, or choose another spec.pathTemplate"),
            }
        }
        ErrorKind::InvalidFilename => SinkError::Row { message },
        _ => SinkError::Interrupted { message },
    }
}

/// The directory is missing, and may not be created.
pub(super) fn no_directory(path: &Path) -> SinkError {
    SinkError::Shape {
        message: format!("there is no directory {}", path.display()),
        hint: "create it, or set spec.provisioning.mode to ensure".to_owned(),
    }
}

impl Root {
    /// Makes sure of the directory itself.
    pub(super) fn open(config: &Config) -> Result<Self, SinkError> {
        let path = config.directory().to_owned();
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(SinkError::Shape {
                    message: format!("{} is not a directory", path.display()),
                    hint: "choose another spec.endpoint".to_owned(),
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if config.provisioning() == Provisioning::Existing {
                    return Err(no_directory(&path));
                }
                fs::create_dir_all(&path).map_err(|error| failed("creating", &path, &error))?;
            }
            Err(error) => return Err(failed("looking at", &path, &error)),
        }
        Ok(Self { path, known: HashSet::new() })
    }

    /// The full path. Relative paths come from templates and from the manifest, which somebody may have edited.
    pub(super) fn full(&self, relative: &str) -> Result<PathBuf, SinkError> {
        let path = Path::new(relative);
        if relative.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(SinkError::Shape {
                message: format!(
                    "the path `{}` leads out of {}",
                    relative.escape_debug(),
                    self.path.display()
                ),
                hint: "remove the line with it from the manifest".to_owned(),
            });
        }
        Ok(self.path.join(path))
    }

    /// Forgets what is known of directories.
    pub(super) fn begin(&mut self) {
        self.known.clear();
    }

    /// Checks that the directories above a path are no symbolic links, which might lead elsewhere; with `create`, makes
    /// those that are missing. False if one is missing.
    pub(super) fn directories(&mut self, relative: &str, create: bool) -> Result<bool, SinkError> {
        let Some((parents, _)) = relative.rsplit_once('/') else { return Ok(true) };
        if self.known.contains(parents) {
            return Ok(true);
        }
        let mut end = 0;
        for name in parents.split('/') {
            end += name.len();
            let directory = &parents[..end];
            end += 1;
            if self.known.contains(directory) {
                continue;
            }
            let path = self.full(directory)?;
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(found) => {
                    let what = if found.is_symlink() { "a symbolic link" } else { "not a directory" };
                    return Err(SinkError::Shape {
                        message: format!("{} is {what}", path.display()),
                        hint: "move it away, or choose another spec.pathTemplate".to_owned(),
                    });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if !create {
                        return Ok(false);
                    }
                    match fs::create_dir(&path) {
                        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                            return Err(failed("creating", &path, &error));
                        }
                        _ => {}
                    }
                }
                Err(error) => return Err(failed("looking at", &path, &error)),
            }
            self.known.insert(directory.to_owned());
        }
        Ok(true)
    }

    /// What is at a path.
    pub(super) fn at(&mut self, relative: &str) -> Result<At, SinkError> {
        if !self.directories(relative, false)? {
            return Ok(At::Nothing);
        }
        let path = self.full(relative)?;
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(At::File),
            Ok(_) => Ok(At::SomethingElse),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(At::Nothing),
            Err(error) => Err(failed("looking at", &path, &error)),
        }
    }

    /// Refuses a path at which something is that is not ours.
    pub(super) fn refuse_foreign(&mut self, relative: &str) -> Result<(), SinkError> {
        if self.at(relative)? == At::Nothing {
            return Ok(());
        }
        Err(SinkError::Shape {
            message: format!("{} is not ours and in the way", self.full(relative)?.display()),
            hint: "move it away, or choose another spec.pathTemplate".to_owned(),
        })
    }

    /// The hash of a file's bytes; nothing if there is no file.
    pub(super) fn hash(&mut self, relative: &str) -> Result<Option<FileHash>, SinkError> {
        if self.at(relative)? != At::File {
            return Ok(None);
        }
        let path = self.full(relative)?;
        let read = || -> io::Result<FileHash> {
            let mut hashing = Hashing::new(io::sink());
            io::copy(&mut File::open(&path)?, &mut hashing)?;
            Ok(short(&hashing.hash.finalize()))
        };
        match read() {
            Ok(hash) => Ok(Some(hash)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", &path, &error)),
        }
    }

    /// A new file whose name ends in `name`; nothing has that name yet.
    pub(super) fn create(&mut self, relative: &str) -> Result<Temporary, SinkError> {
        self.directories(relative, true)?;
        let path = self.full(relative)?;
        let create = || OpenOptions::new().write(true).create_new(true).open(&path);
        let file = create().or_else(|error| match error.kind() {
            // An earlier process left a piece of something behind.
            ErrorKind::AlreadyExists => fs::remove_file(&path).and_then(|()| create()),
            _ => Err(error),
        });
        let file = file.map_err(|error| failed("creating", &path, &error))?;
        Ok(Temporary { path, out: Some(BufWriter::new(Hashing::new(file))), file: None, kept: false })
    }

    /// Moves a file of ours.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), SinkError> {
        self.directories(to, true)?;
        let (from, to) = (self.full(from)?, self.full(to)?);
        fs::rename(&from, &to).map_err(|error| failed("moving", &from, &error))
    }

    /// Removes a file of ours. Whether there was one.
    pub(super) fn remove(&mut self, relative: &str) -> Result<bool, SinkError> {
        if self.at(relative)? != At::File {
            return Ok(false);
        }
        let path = self.full(relative)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("removing", &path, &error)),
        }
    }

    /// Removes those of the directories above the paths that are empty now; never the root itself.
    pub(super) fn prune<'a>(&mut self, paths: impl Iterator<Item = &'a str>) -> Result<(), SinkError> {
        let parent = |path: &str| path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
        let mut directories: BTreeSet<String> = BTreeSet::new();
        for path in paths {
            match path.rsplit_once('/') {
                Some((directory, _)) if !directories.contains(directory) => {
                    _ = directories.insert(directory.to_owned())
                }
                _ => {}
            }
        }
        // The last is never above another one.
        while let Some(directory) = directories.pop_last() {
            // One that is not empty stays, and so do those above it.
            if fs::remove_dir(self.full(&directory)?).is_ok() {
                self.known.remove(&directory);
                directories.extend(parent(&directory));
            }
        }
        Ok(())
    }

    /// Makes all that was written to the file system last: quicker than one file after the other when there are many.
    #[cfg(target_os = "linux")]
    pub(super) fn sync_everything(&self) -> Result<(), SinkError> {
        let sync = || rustix::fs::syncfs(File::open(&self.path)?).map_err(io::Error::from);
        sync().map_err(|error| failed("syncing", &self.path, &error))
    }

    /// Not to be had here: see [`CAN_SYNC_EVERYTHING`].
    #[cfg(not(target_os = "linux"))]
    pub(super) fn sync_everything(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Makes what happened to the names in the directory of a path last.
    pub(super) fn sync_directory_of(&self, relative: &str) -> Result<(), SinkError> {
        self.sync_directory(relative.rsplit_once('/').map_or("", |(directory, _)| directory))
    }

    /// Makes what happened to the names in a directory last.
    pub(super) fn sync_directory(&self, relative: &str) -> Result<(), SinkError> {
        let directory = if relative.is_empty() { self.path.clone() } else { self.full(relative)? };
        match File::open(&directory).and_then(|directory| directory.sync_all()) {
            // It was empty and is gone, or the system does not do this.
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::Unsupported
                ) =>
            {
                Err(failed("syncing", &directory, &error))
            }
            _ => Ok(()),
        }
    }
}

/// The hash of a file by the SHA-256 of its bytes.
pub(super) fn short(whole: &[u8]) -> FileHash {
    let mut first = [0; 16];
    first.copy_from_slice(&whole[..16]);
    FileHash(u128::from_be_bytes(first))
}

/// Hashes what is written.
pub(super) struct Hashing<W> {
    out: W,
    pub(super) hash: Sha256,
}

impl<W> Hashing<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, hash: Sha256::new() }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file under a temporary name; removed again unless it is put into place.
pub(super) struct Temporary {
    path: PathBuf,
    out: Option<BufWriter<Hashing<File>>>,
    /// The finished file, until its content lasts.
    file: Option<File>,
    kept: bool,
}

impl Temporary {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the content; gives back its hash.
    pub(super) fn finish(&mut self) -> Result<FileHash, SinkError> {
        let out = self.out.take().ok_or_else(|| io::Error::from(ErrorKind::BrokenPipe));
        let finished = out.and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error));
        let Hashing { out: file, hash } = finished.map_err(|error| failed("writing", &self.path, &error))?;
        self.file = Some(file);
        Ok(short(&hash.finalize()))
    }

    /// Makes the content last.
    pub(super) fn sync(&mut self) -> Result<(), SinkError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        file.sync_all().map_err(|error| failed("syncing", &self.path, &error))
    }

    /// Lets go of the file: something else makes the content last.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Puts the file into its place, at once and completely.
    pub(super) fn place(mut self, root: &mut Root, relative: &str) -> Result<(), SinkError> {
        root.directories(relative, true)?;
        let to = root.full(relative)?;
        fs::rename(&self.path, &to).map_err(|error| failed("putting into place", &to, &error))?;
        self.kept = true;
        Ok(())
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().ok_or(ErrorKind::BrokenPipe)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().ok_or(ErrorKind::BrokenPipe)?.flush()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // If this fails too, the next sink that connects removes it.
            _ = fs::remove_file(&self.path);
        }
    }
}
