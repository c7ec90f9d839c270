//! The list of files that are ours, on disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::encode::{self, Entry, Header};
use super::files::{At, Root, Temporary, failed};
use crate::sinks::snapshot::layout::{Layout, LayoutMode};
use crate::sinks::{BindingName, Claim, SinkError, Term};

/// The journal may hold this many times as many lines as there are files before it is written anew.
const SPARE: usize = 2;

/// A number that tells this process from those before it; in a container they all have the same process id.
fn process() -> u64 {
    static TOKEN: LazyLock<u64> = LazyLock::new(|| fastrand::u64(..));
    *TOKEN
}

/// The path of an inventory's manifest, below the root.
pub(super) fn path(layout: &Layout, binding: &BindingName) -> String {
    let inventory = layout.inventory(binding);
    let (directory, name) = inventory.rsplit_once('/').unwrap_or(("", &inventory));
    let separator = if directory.is_empty() { "" } else { "/" };
    format!("{directory}{separator}.{name}.kollect-manifest")
}

/// The manifest of one inventory.
pub(super) struct Manifest {
    path: String,
    header: Header,
    claim: Claim,
    /// Whether the rows that are listed are spread over files as they are to be.
    up_to_date: bool,
    file: Option<File>,
    lines: usize,
    /// A crash left a piece of a line at the end.
    torn: bool,
}

/// What a manifest says: path → entry, with the number of its line.
pub(super) type Entries = BTreeMap<Box<str>, (usize, Entry)>;

impl Manifest {
    /// For an inventory that is spread over files by `layout`.
    pub(super) fn new(layout: &Layout, binding: &BindingName, term: &Term) -> Self {
        let rows = (layout.mode() == LayoutMode::PerResource).then(|| layout.rows());
        Self {
            path: path(layout, binding),
            header: Header { binding: binding.clone(), layout: rows, term: 0 },
            claim: term.claim(),
            up_to_date: true,
            file: None,
            lines: 0,
            torn: false,
        }
    }

    /// A file for content that is not complete yet, beside the manifest.
    pub(super) fn temporary(&self, root: &mut Root) -> Result<Temporary, SinkError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        root.create(&format!("{}.tmp-{:016x}-{number}", self.path, process()))
    }

    /// Removes what a process that ended in the middle left beside the manifest. Work of this process that is still
    /// coming to its end removes its files itself.
    fn remove_temporaries(&self, root: &mut Root) -> Result<(), SinkError> {
        if !root.directories(&self.path, false)? {
            return Ok(());
        }
        let path = root.full(&self.path)?;
        let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
        else {
            return Ok(());
        };
        let prefix = format!("{name}.tmp-");
        let ours = format!("{:016x}-", process());
        let entries = fs::read_dir(directory).map_err(|error| failed("reading", directory, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("reading", directory, &error))?;
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            if rest.is_some_and(|rest| !rest.starts_with(&ours)) {
                fs::remove_file(entry.path()).map_err(|error| failed("removing", &entry.path(), &error))?;
            }
        }
        Ok(())
    }

    /// Reads what is there, and from then on refuses writers of earlier terms.
    pub(super) fn load(&mut self, root: &mut Root) -> Result<Entries, SinkError> {
        self.claim.check()?;
        let mut found = Header { layout: None, ..self.header.clone() };
        let entries = self.read(root, &mut found)?;
        self.header.term = found.term;
        if found.term < self.claim.number() {
            found.term = self.claim.number();
            let up_to_date = self.up_to_date;
            let mut in_order: Vec<_> = entries.iter().collect();
            in_order.sort_unstable_by_key(|(_, (line, _))| *line);
            self.write(
                root,
                &found,
                in_order.into_iter().map(|(path, (_, entry))| (&**path, entry.clone())),
            )?;
            self.header.term = found.term;
            self.up_to_date = up_to_date;
        }
        Ok(entries)
    }

    /// Refuses to write in a term that is over, or earlier than that of somebody who has connected since. Files have no
    /// transactions: a process that is stopped between this look and what it does next is not held back by it.
    pub(super) fn check(&self, root: &mut Root) -> Result<(), SinkError> {
        self.claim.check()?;
        if self.claim.number() == 0 || root.at(&self.path)? != At::File {
            return Ok(());
        }
        let path = root.full(&self.path)?;
        let mut line = String::new();
        let read = File::open(&path).and_then(|file| BufReader::new(file).read_line(&mut line));
        read.map_err(|error| failed("reading", &path, &error))?;
        let stored = encode::read_header(line.trim_end()).map(|header| header.term).unwrap_or_default();
        self.claim.admit(stored, path.display())
    }

    /// The part of [`Self::check`] that costs nothing.
    pub(super) fn check_clock(&self) -> Result<(), SinkError> {
        self.claim.check()
    }

    fn read(&mut self, root: &mut Root, found: &mut Header) -> Result<Entries, SinkError> {
        self.file = None;
        self.lines = 0;
        self.torn = false;
        self.up_to_date = true;
        self.remove_temporaries(root)?;
        let mut entries = Entries::new();
        let path = root.full(&self.path)?;
        match root.at(&self.path)? {
            At::Nothing => return Ok(entries),
            At::File => {}
            At::SomethingElse => root.refuse_foreign(&self.path)?,
        }
        let unreadable = |line: usize| SinkError::Shape {
            message: format!("line {line} of {} can't be read", path.display()),
            hint: "restore the file; or remove it together with the files that it lists".to_owned(),
        };
        let file = File::open(&path).map_err(|error| failed("reading", &path, &error))?;
        let mut reader = BufReader::new(file);
        let mut text = String::new();
        loop {
            text.clear();
            match reader.read_line(&mut text) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(unreadable(self.lines + 1));
                }
                Err(error) => return Err(failed("reading", &path, &error)),
            }
            // A line that a crash cut off was not needed yet: nothing happens before its line is complete.
            let Some(line) = text.strip_suffix('\n') else {
                self.torn = true;
                break;
            };
            self.lines += 1;
            if self.lines == 1 {
                let header = encode::read_header(line).ok_or_else(|| unreadable(1))?;
                if header.binding != self.header.binding {
                    return Err(SinkError::Shape {
                        message: format!("{} belongs to the inventory {}", path.display(), header.binding),
                        hint: "give each cluster its own files: put {cluster} into spec.pathTemplate, or choose \
                               another spec.endpoint"
                            .to_owned(),
                    });
                }
                self.claim.admit(header.term, path.display())?;
                self.up_to_date = header.layout == self.header.layout;
                *found = header;
                continue;
            }
            match encode::read_line(line).ok_or_else(|| unreadable(self.lines))? {
                (path, Some(entry)) => _ = entries.insert(path, (self.lines, entry)),
                (path, None) => _ = entries.remove(&path),
            }
        }
        Ok(entries)
    }

    /// Whether the rows that were loaded are spread over files as they are to be. If not, [`Self::rewrite`] says that they
    /// are, so it must be given none of them as it was.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.up_to_date
    }

    /// Writes the whole list anew.
    pub(super) fn rewrite<'a>(
        &mut self,
        root: &mut Root,
        entries: impl Iterator<Item = (&'a str, Entry)>,
    ) -> Result<(), SinkError> {
        let header = self.header.clone();
        self.write(root, &header, entries)
    }

    fn write<'a>(
        &mut self,
        root: &mut Root,
        header: &Header,
        entries: impl Iterator<Item = (&'a str, Entry)>,
    ) -> Result<(), SinkError> {
        self.file = None;
        let mut file = self.temporary(root)?;
        let path = file.path().to_owned();
        let mut lines = 1;
        let write = || -> std::io::Result<()> {
            file.write_all(encode::header(header).as_bytes())?;
            for (path, entry) in entries {
                lines += 1;
                file.write_all(encode::put(path, &entry).as_bytes())?;
            }
            Ok(())
        };
        write().map_err(|error| failed("writing", &path, &error))?;
        file.finish()?;
        file.sync()?;
        self.check(root)?;
        file.place(root, &self.path)?;
        root.sync_directory_of(&self.path)?;
        self.lines = lines;
        self.torn = false;
        self.up_to_date = true;
        Ok(())
    }

    /// Whether the list is so much longer than what it says that it should be written anew.
    pub(super) fn is_worn(&self, files: usize) -> bool {
        self.torn || self.lines > SPARE * files + 1_000
    }

    /// Adds lines, and with `sync` makes them last.
    pub(super) fn append(&mut self, root: &mut Root, lines: &str, sync: bool) -> Result<(), SinkError> {
        if self.lines == 0 {
            self.rewrite(root, std::iter::empty())?;
        }
        self.check(root)?;
        let path = root.full(&self.path)?;
        let mut write = || -> std::io::Result<()> {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(OpenOptions::new().append(true).open(&path)?),
            };
            file.write_all(lines.as_bytes())?;
            if sync { file.sync_data() } else { Ok(()) }
        };
        write().map_err(|error| failed("writing", &path, &error))?;
        self.lines += lines.lines().count();
        Ok(())
    }

    /// Removes the list itself.
    pub(super) fn remove(&mut self, root: &mut Root) -> Result<(), SinkError> {
        self.file = None;
        self.lines = 0;
        root.remove(&self.path)?;
        root.prune(std::iter::once(self.path.as_str()))
    }
}
