//! The document of an inventory: one file, or an index and parts where it is larger than a file may be.
//!
//! Rows come in over a channel while a blocking thread encodes and writes them, so at no time is the document in memory.
//!
//! ```text
//! rows ─┬► items, beside the manifest ──► one file, or cut into parts ──► list ──► new files ─► old ones ─► index ─► stale ones go
//! held ─┘                                                             (manifest)
//! ```
//!
//! In this order a row that moves from one part to another is in both for a moment, and at no time in none.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};

use async_trait::async_trait;
use kollect_dataflows::data::{Row, TargetName};
use tokio::sync::mpsc;

use super::client::clear;
use super::config::Config;
use super::encode::{Content, DocumentEntry, Entry, FileHash};
use super::files::{Root, Temporary, failed};
use super::held::{Held, Previous};
use super::manifest::{Entries, Manifest};
use super::parts::Slice;
use crate::sinks::blocking::Gate;
use crate::sinks::snapshot::document::{Summary, Versus, Writer, envelope};
use crate::sinks::snapshot::layout::Format;
use crate::sinks::snapshot::parts::{self, Piece};
use crate::sinks::{BindingName, DocumentSink, Receipt, Replaced, Rows, SinkError, Term};

/// One file for the whole inventory, or one index.
pub(super) struct Document {
    config: Config,
    binding: BindingName,
    term: Term,
    gate: Gate,
}

impl Document {
    pub(super) fn new(config: Config, binding: BindingName, term: Term) -> Self {
        Self { config, binding, term, gate: Gate::default() }
    }
}

#[async_trait]
impl DocumentSink for Document {
    async fn connect(&mut self) -> Result<(), SinkError> {
        let (config, binding, term) = (self.config.clone(), self.binding.clone(), self.term.clone());
        let work = move || {
            let mut root = Root::open(&config)?;
            Manifest::new(config.layout(), &binding, &term).load(&mut root).map(drop)
        };
        self.gate.run(work).await
    }

    async fn replace(&mut self, rows: &mut dyn Rows, keep: &[TargetName]) -> Result<Replaced, SinkError> {
        let (config, binding, term) = (self.config.clone(), self.binding.clone(), self.term.clone());
        let keep = keep.iter().cloned().collect();
        let (sender, receiver) = mpsc::channel(2);
        let written = self.gate.run(move || {
            let mut root = Root::open(&config)?;
            let mut manifest = Manifest::new(config.layout(), &binding, &term);
            let entries = manifest.load(&mut root)?;
            Replacement { config: &config, binding: &binding, root, manifest, entries }
                .run(Incoming::new(receiver), &keep)
        });
        let sent = async {
            while let Some(chunk) = rows.next().await {
                if sender.send(Some(chunk)).await.is_err() {
                    return;
                }
            }
            // Without this, the writer knows that the sender stopped in the middle.
            _ = sender.send(None).await;
            drop(sender);
        };
        futures::join!(written, sent).0
    }

    async fn clear(&mut self) -> Result<Receipt, SinkError> {
        let (config, binding, term) = (self.config.clone(), self.binding.clone(), self.term.clone());
        let work = move || {
            let mut root = Root::open(&config)?;
            let mut manifest = Manifest::new(config.layout(), &binding, &term);
            clear(&mut root, &mut manifest)
        };
        self.gate.run(work).await
    }
}

/// Rows from the channel, one at a time.
struct Incoming {
    receiver: mpsc::Receiver<Option<Vec<Row>>>,
    chunk: std::vec::IntoIter<Row>,
}

impl Incoming {
    fn new(receiver: mpsc::Receiver<Option<Vec<Row>>>) -> Self {
        Self { receiver, chunk: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<Row>, SinkError> {
        loop {
            if let Some(row) = self.chunk.next() {
                return Ok(Some(row));
            }
            match self.receiver.blocking_recv() {
                Some(Some(chunk)) => self.chunk = chunk.into_iter(),
                Some(None) => return Ok(None),
                None => {
                    return Err(SinkError::Interrupted {
                        message: "the rows of the document broke off".to_owned(),
                    });
                }
            }
        }
    }
}

/// All items of the new document, in a file.
pub(super) struct Items {
    pub(super) file: Temporary,
    hash: FileHash,
    pub(super) summary: Summary,
    /// One for each row, if the document may have to be cut.
    pieces: Vec<Piece>,
}

/// A file that is to be there.
pub(super) struct Planned {
    pub(super) path: String,
    pub(super) entry: Entry,
    pub(super) content: NewContent,
}

/// Where the content of a file comes from.
pub(super) enum NewContent {
    /// The file is as it is to be.
    Unchanged,
    /// It is written.
    Ready(Temporary),
    /// Some of the items, whose file is there until the end.
    Slice(Slice),
    /// This text.
    Text(String),
}

impl Planned {
    pub(super) fn is_unchanged(&self) -> bool {
        matches!(self.content, NewContent::Unchanged)
    }
}

/// The replacement of a document by another one.
pub(super) struct Replacement<'a> {
    pub(super) config: &'a Config,
    pub(super) binding: &'a BindingName,
    pub(super) root: Root,
    pub(super) manifest: Manifest,
    /// What the manifest lists.
    pub(super) entries: Entries,
}

impl Replacement<'_> {
    fn run(mut self, incoming: Incoming, keep: &HashSet<TargetName>) -> Result<Replaced, SinkError> {
        let format = self.config.layout().format();
        let path = |generation| self.config.layout().document(self.binding, generation);
        // The format may have been another one; then that document is read, and removed in the end.
        let previous = Previous::find(&mut self.root, &self.entries, path)?;
        let around = parts::around(format, &self.binding.cluster);
        let limit = self.config.max_file_bytes().map(|limit| limit.saturating_sub(around));
        let (items, mut replaced) = self.write_items(format, limit, incoming, previous.as_ref(), keep)?;
        let generation = match previous.as_ref().map(|previous| &previous.document) {
            Some(old) if old.checksum == items.summary.checksum => old.generation,
            Some(old) => old.generation + 1,
            None => 1,
        };
        let path = self.config.layout().document(self.binding, generation);
        replaced.receipt = match limit {
            Some(limit) if items.pieces.iter().map(Piece::bytes).sum::<u64>() > limit => {
                let parts = parts::cut(&items.pieces, limit);
                let planned = self.in_parts(&path, format, &parts, &items, generation)?;
                self.publish(planned, replaced.receipt)?
            }
            _ => {
                let whole = self.whole(path, format, items, previous.as_ref(), generation)?;
                self.publish(vec![whole], replaced.receipt)?
            }
        };
        Ok(replaced)
    }

    /// Writes incoming and kept rows in key order, and counts what that changes. Of two rows with one key the incoming one
    /// counts.
    fn write_items(
        &mut self,
        format: Format,
        limit: Option<u64>,
        mut incoming: Incoming,
        previous: Option<&Previous>,
        keep: &HashSet<TargetName>,
    ) -> Result<(Items, Replaced), SinkError> {
        let mut file = self.manifest.temporary(&mut self.root)?;
        let mut held = Held::open(&mut self.root, previous, keep)?;
        let shown = file.path().to_owned();
        let failed = |error: io::Error| failed("writing", &shown, &error);
        let is_too_large = |bytes: u64| limit.is_some_and(|limit| bytes > limit);
        let mut writer = Writer::new(&mut file, format);
        let mut pieces = Vec::new();
        let mut write = |writer: &mut Writer<_>, row: &Row| {
            if limit.is_some() {
                pieces.push(Piece::new(row.key(), writer.size()));
            }
            writer.write().map_err(failed)
        };
        let mut replaced = Replaced::default();
        let receipt = &mut replaced.receipt;
        let mut row = incoming.next()?;
        loop {
            let versus = match &row {
                Some(row) => {
                    writer.encode(row).map_err(failed)?;
                    held.versus(row, &writer)?
                }
                None if !held.has_next() => break,
                None => Some(Versus::Before),
            };
            let Some(new) = row.as_ref().filter(|_| versus != Some(Versus::Before)) else {
                if let Some(kept) = held.kept()? {
                    writer.encode(&kept).map_err(failed)?;
                    write(&mut writer, &kept)?;
                } else {
                    receipt.deleted += u64::from(held.has_next());
                }
                held.step(&mut self.root)?;
                continue;
            };
            let is_held = matches!(versus, Some(Versus::Same | Versus::Older));
            if is_too_large(writer.size()) {
                replaced.too_large.add(new.key(), writer.size());
                // An older version stays, if it is not too large as well.
                if let Some(old) = if is_held { held.row()? } else { None } {
                    writer.encode(&old).map_err(failed)?;
                    match is_too_large(writer.size()) {
                        true => receipt.deleted += 1,
                        false => write(&mut writer, &old)?,
                    }
                }
            } else {
                match versus {
                    Some(Versus::Same) => {}
                    Some(Versus::Older) => receipt.updated += 1,
                    _ => receipt.inserted += 1,
                }
                write(&mut writer, new)?;
            }
            if is_held {
                held.step(&mut self.root)?;
            }
            row = incoming.next()?;
        }
        let summary = writer.finish().map_err(failed)?.1;
        let hash = file.finish()?;
        Ok((Items { file, hash, summary, pieces }, replaced))
    }

    /// The document as one file.
    fn whole(
        &mut self,
        path: String,
        format: Format,
        items: Items,
        previous: Option<&Previous>,
        generation: u64,
    ) -> Result<Planned, SinkError> {
        let found = Previous::hash_at(previous, &mut self.root, &path)?;
        let recorded = self.entries.get(path.as_str()).map(|(_, entry)| entry);
        let (content, hash) = match format {
            Format::Yaml if found == Some(items.hash) => (NewContent::Unchanged, items.hash),
            Format::Yaml => (NewContent::Ready(items.file), items.hash),
            // The time in it differs, so its own hash says nothing.
            Format::Json => match recorded.filter(|entry| found == Some(entry.hash)) {
                Some(entry) if entry.is_document(&items.summary.checksum, false) => {
                    (NewContent::Unchanged, entry.hash)
                }
                _ => {
                    let head = envelope(&items.summary, generation, &now(), &self.binding.cluster, "items");
                    let (whole, hash) = self.written(|out| {
                        out.write_all(head.as_bytes())?;
                        io::copy(&mut File::open(items.file.path())?, out).map(drop)
                    })?;
                    (NewContent::Ready(whole), hash)
                }
            },
        };
        let Summary { items, checksum } = items.summary;
        let document = DocumentEntry { checksum, items, generation, index: false };
        let entry = Entry { hash, content: Content::Document(Box::new(document)) };
        Ok(Planned { path, entry, content })
    }

    /// Makes these files be there, and no others.
    fn publish(mut self, planned: Vec<Planned>, counted: Receipt) -> Result<Receipt, SinkError> {
        let paths: HashSet<&str> = planned.iter().map(|file| file.path.as_str()).collect();
        let stale: Vec<Box<str>> =
            self.entries.keys().filter(|path| !paths.contains(&***path)).cloned().collect();
        let unchanged = planned.iter().all(Planned::is_unchanged);
        let is_listed = |file: &Planned| {
            self.entries.get(file.path.as_str()).is_some_and(|(_, entry)| *entry == file.entry)
        };
        if unchanged && stale.is_empty() && planned.iter().all(is_listed) {
            return Ok(Receipt::default());
        }
        let mut receipt = if unchanged { Receipt::default() } else { counted };

        // Rows come to new files before they leave others, and readers hear of it last.
        let [mut new, mut old, mut last] = [const { Vec::new() }; 3];
        for file in planned {
            let is_new = !self.entries.contains_key(file.path.as_str());
            if is_new && !file.is_unchanged() {
                self.root.refuse_foreign(&file.path)?;
            }
            match &file.entry.content {
                Content::Document(_) => last.push(file),
                _ if is_new => new.push(file),
                _ => old.push(file),
            }
        }
        for file in new.iter().chain(&old).chain(&last) {
            self.entries.insert(file.path.as_str().into(), (0, file.entry.clone()));
        }
        self.write_list()?;
        for group in [new, old, last] {
            let Some(first) = group.first().map(|file| file.path.clone()) else { continue };
            for file in group {
                receipt.files_written += u64::from(self.place(file)?);
            }
            self.root.sync_directory_of(&first)?;
        }
        for listed in &stale {
            receipt.files_removed += u64::from(self.root.remove(listed)?);
            self.entries.remove(listed);
        }
        if !stale.is_empty() {
            self.root.prune(stale.iter().map(|path| &**path))?;
            self.write_list()?;
        }
        Ok(receipt)
    }

    /// Puts a file into its place. Whether that was needed.
    fn place(&mut self, file: Planned) -> Result<bool, SinkError> {
        let mut content = match file.content {
            NewContent::Unchanged => return Ok(false),
            NewContent::Ready(content) => content,
            NewContent::Slice(slice) => self.written(|out| slice.write(out))?.0,
            NewContent::Text(text) => self.written(|out| out.write_all(text.as_bytes()))?.0,
        };
        content.sync()?;
        self.manifest.check(&mut self.root)?;
        content.place(&mut self.root, &file.path)?;
        Ok(true)
    }

    fn written(
        &mut self,
        write: impl FnOnce(&mut Temporary) -> io::Result<()>,
    ) -> Result<(Temporary, FileHash), SinkError> {
        let mut file = self.manifest.temporary(&mut self.root)?;
        write(&mut file).map_err(|error| failed("writing", file.path(), &error))?;
        let hash = file.finish()?;
        Ok((file, hash))
    }

    fn write_list(&mut self) -> Result<(), SinkError> {
        let entries = self.entries.iter().map(|(path, (_, entry))| (&**path, entry.clone()));
        self.manifest.rewrite(&mut self.root, entries)
    }
}

/// The time, as `exportedAt` has it.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
