//! What an inventory's document or its parts hold, read beside what is to be written.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::PathBuf;

use kollect_dataflows::data::{Row, TargetName};

use super::encode::{Content, DocumentEntry, FileHash, Key};
use super::files::{At, Root, failed};
use super::manifest::Entries;
use crate::sinks::SinkError;
use crate::sinks::snapshot::document::{Item, Reader, Versus, Writer};

/// The document as it was: one file, or an index and parts.
pub(super) struct Previous {
    /// Of the document or its index.
    path: String,
    /// Of the file at that path as it is.
    found: Option<FileHash>,
    pub(super) document: DocumentEntry,
    /// The files with the rows, in the order of these, and the first row of each part.
    files: Vec<(String, Option<Key>)>,
    /// Whether the parts may overlap: a crash left some of the old and some of the new ones.
    overlap: bool,
}

impl Previous {
    /// The last document that was written. After a crash there may be two on the list, of two formats, or one in parts and one
    /// whole, and the list is ahead of the files: what counts is first whether the file is there as listed, or at all. Of two with
    /// the same content the one at `path` is meant, where a document of that generation is to be.
    pub(super) fn find(
        root: &mut Root,
        entries: &Entries,
        path: impl Fn(u64) -> String,
    ) -> Result<Option<Self>, SinkError> {
        let mut last = None;
        for (listed, (_, entry)) in entries {
            let Content::Document(document) = &entry.content else { continue };
            let found = root.hash(listed)?;
            let in_place = **listed == path(document.generation);
            let rank = (found == Some(entry.hash), found.is_some(), document.generation, in_place);
            if last.as_ref().is_none_or(|(best, _, _)| *best < rank) {
                last =
                    Some((rank, entry.hash, (listed.as_ref().to_owned(), found, document.as_ref().clone())));
            }
        }
        let Some(((as_listed, ..), hash, (path, found, document))) = last else { return Ok(None) };
        if !document.index {
            let files = vec![(path.clone(), None)];
            return Ok(Some(Self { path, found, document, files, overlap: false }));
        }
        // Parts that another index listed are on their way out, or in.
        let parts = entries.iter().filter_map(|(path, (_, entry))| match &entry.content {
            Content::Part(part) if !as_listed || part.index == hash => {
                Some((path.as_ref().to_owned(), Some(part.first.clone())))
            }
            _ => None,
        });
        let mut files: Vec<_> = parts.collect();
        files.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
        Ok(Some(Self { path, found, document, files, overlap: !as_listed }))
    }

    /// The hash of what is at a path, which may be known already.
    pub(super) fn hash_at(
        previous: Option<&Self>,
        root: &mut Root,
        path: &str,
    ) -> Result<Option<FileHash>, SinkError> {
        match previous {
            Some(previous) if previous.path == path => Ok(previous.found),
            _ => root.hash(path),
        }
    }
}

/// The items of the document as it is, one at a time.
pub(super) struct Held<'a> {
    reader: Option<Reader<BufReader<File>>>,
    next: Option<Item>,
    /// The targets whose rows stay.
    keep: &'a HashSet<TargetName>,
    /// The file that is being read.
    path: PathBuf,
    /// Those that are still to be read.
    files: VecDeque<(String, Option<Key>)>,
    overlap: bool,
}

impl<'a> Held<'a> {
    pub(super) fn open(
        root: &mut Root,
        previous: Option<&Previous>,
        keep: &'a HashSet<TargetName>,
    ) -> Result<Self, SinkError> {
        let files = previous.map(|previous| previous.files.clone()).unwrap_or_default();
        let overlap = previous.is_some_and(|previous| previous.overlap);
        let mut held =
            Self { reader: None, next: None, keep, path: PathBuf::new(), files: files.into(), overlap };
        held.open_next(root)?;
        held.step(root)?;
        Ok(held)
    }

    /// Goes on to the next file that is there.
    fn open_next(&mut self, root: &mut Root) -> Result<(), SinkError> {
        self.reader = None;
        while let Some((path, _)) = self.files.pop_front() {
            if root.at(&path)? != At::File {
                continue;
            }
            self.path = root.full(&path)?;
            match File::open(&self.path).and_then(|file| Reader::new(BufReader::new(file))) {
                Ok(reader) => {
                    self.reader = Some(reader);
                    return Ok(());
                }
                Err(error) => self.unreadable(&error)?,
            }
        }
        Ok(())
    }

    /// Goes on to the next item.
    pub(super) fn step(&mut self, root: &mut Root) -> Result<(), SinkError> {
        loop {
            self.next = None;
            let Some(reader) = &mut self.reader else { return Ok(()) };
            match reader.next_item() {
                Ok(next) => self.next = next,
                Err(error) => self.unreadable(&error)?,
            }
            if self.next.is_some() && !self.is_in_the_next_file_too()? {
                return Ok(());
            }
            self.open_next(root)?;
        }
    }

    /// Whether the next item comes again in the file after this one: then that counts, which was written for it.
    fn is_in_the_next_file_too(&mut self) -> Result<bool, SinkError> {
        let (true, Some(item), Some((_, Some(first)))) = (self.overlap, &mut self.next, self.files.front())
        else {
            return Ok(false);
        };
        match item.key().map(|key| key.cmp(&first.parts())) {
            Ok(order) => Ok(order != Ordering::Less),
            Err(error) => self.unreadable(&error).map(|()| true),
        }
    }

    /// Whether there are more items.
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// What the next item is to a row that the writer has encoded last; `None` when there are no more.
    pub(super) fn versus<W: Write>(
        &mut self,
        row: &Row,
        writer: &Writer<W>,
    ) -> Result<Option<Versus>, SinkError> {
        match self.next.as_mut().map(|item| item.versus(row, writer)).transpose() {
            Ok(versus) => Ok(versus),
            Err(error) => self.unreadable(&error).map(|()| None),
        }
    }

    /// The row of the next item.
    pub(super) fn row(&mut self) -> Result<Option<Row>, SinkError> {
        match self.next.as_ref().map(Item::row).transpose() {
            Ok(row) => Ok(row),
            Err(error) => self.unreadable(&error).map(|()| None),
        }
    }

    /// The row of the next item, if it is there and stays though nobody knows it at present.
    pub(super) fn kept(&mut self) -> Result<Option<Row>, SinkError> {
        let Some(item) = self.next.as_mut().filter(|_| !self.keep.is_empty()) else { return Ok(None) };
        let target = item.key().map(|key| TargetName::new(key.target_namespace, key.target_name));
        match target {
            Ok(target) if self.keep.contains(&target) => self.row(),
            Ok(_) => Ok(None),
            Err(error) => self.unreadable(&error).map(|()| None),
        }
    }

    /// Takes in why a file can't be read on. If somebody has edited it, the rest of it counts as not there, unless rows are lost
    /// with it.
    fn unreadable(&mut self, error: &io::Error) -> Result<(), SinkError> {
        (self.reader, self.next) = (None, None);
        if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) {
            return Err(failed("reading", &self.path, error));
        }
        if self.keep.is_empty() {
            return Ok(());
        }
        // What the parser says may quote the file.
        Err(SinkError::Shape {
            message: format!("{} was changed by hand and can't be read any more", self.path.display()),
            hint: "remove it, or restore it; rows of targets that can't be collected now are only there"
                .to_owned(),
        })
    }
}
