//! The document of an inventory as a file, and which of the two sinks a layout needs.
//!
//! Rows come in over a channel while a blocking thread encodes and writes them, so at no time is the document in memory.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use kollect_dataflows::data::{Row, TargetName};
use tokio::sync::mpsc;

use super::config::Config;
use super::encode::{Content, DocumentEntry, Entry, FileHash};
use super::files::{At, Root, Temporary, failed, no_directory};
use super::manifest::{Entries, Manifest};
use super::resources::Resources;
use crate::sinks::blocking::{self, Gate};
use crate::sinks::path::place_for;
use crate::sinks::snapshot::document::{Item, Reader, Summary, Versus, Writer, envelope};
use crate::sinks::snapshot::layout::{Format, LayoutMode};
use crate::sinks::snapshot::yaml;
use crate::sinks::{BindingName, DocumentSink, Preview, Provisioning, Receipt, Rows, Sink, SinkError, Term};

/// A sink of the shape that the layout asks for.
pub fn open(config: &Config, binding: &BindingName, term: &Term) -> Sink {
    match config.layout().mode() {
        LayoutMode::Document => Sink::Document(Box::new(Document {
            config: config.clone(),
            binding: binding.clone(),
            term: term.clone(),
            gate: Gate::default(),
        })),
        LayoutMode::PerResource => {
            Sink::Rows(Box::new(Resources::new(config.clone(), binding.clone(), term.clone())))
        }
    }
}

/// See [`crate::sinks::SinkConfig::preview`].
pub fn preview(config: &Config, binding: &BindingName, row: Option<&Row>) -> Preview {
    let layout = config.layout();
    let mut bytes = Vec::new();
    let (path, written) = match (layout.mode(), row) {
        (LayoutMode::Document, _) => {
            (Some(layout.document(binding)), row.map(|row| document(config, binding, row)))
        }
        (LayoutMode::PerResource, Some(row)) => {
            let path = format!("{}/{}", layout.inventory(binding), layout.row(binding, row.key(), row.gvk()));
            let written = write_row(&mut bytes, layout.format(), row).map(|()| bytes);
            (Some(path), Some(written))
        }
        (LayoutMode::PerResource, None) => (None, None),
    };
    Preview {
        path: path.map(|path| config.directory().join(path).display().to_string()),
        // A row whose attributes are no JSON has no file either.
        sample: written.and_then(Result::ok).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        ddl: None,
    }
}

/// The document of an inventory of one row.
fn document(config: &Config, binding: &BindingName, row: &Row) -> io::Result<Vec<u8>> {
    let format = config.layout().format();
    let mut writer = Writer::new(Vec::new(), format);
    writer.encode(row)?;
    writer.write()?;
    let (items, summary) = writer.finish()?;
    Ok(match format {
        Format::Yaml => items,
        Format::Json => {
            let envelope = envelope(&summary, 1, "1970-01-01T00:00:00Z", &binding.cluster);
            [envelope.as_bytes(), &items].concat()
        }
    })
}

/// The file of a row.
pub(super) fn write_row(out: &mut impl Write, format: Format, row: &Row) -> io::Result<()> {
    match format {
        Format::Yaml => yaml::write_row(out, row, 0),
        Format::Json => {
            let mut json = Vec::new();
            row.write_json(&mut json);
            json.push(b'\n');
            out.write_all(&json)
        }
    }
}

/// See [`crate::sinks::SinkConfig::probe`].
///
/// # Errors
/// What a binding would run into.
pub async fn probe(config: &Config) -> Result<(), SinkError> {
    let config = config.clone();
    let work = move || {
        let directory = config.directory();
        if config.provisioning() == Provisioning::Existing && !directory.exists() {
            return Err(no_directory(directory));
        }
        place_for(directory)
    };
    blocking::probe(work).await
}

/// One file for the whole inventory.
struct Document {
    config: Config,
    binding: BindingName,
    term: Term,
    gate: Gate,
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

    async fn replace(&mut self, rows: &mut dyn Rows, keep: &[TargetName]) -> Result<Receipt, SinkError> {
        let (config, binding, term) = (self.config.clone(), self.binding.clone(), self.term.clone());
        let keep = keep.iter().cloned().collect();
        let (sender, receiver) = mpsc::channel(2);
        let written =
            self.gate.run(move || replace(&config, &binding, &term, Incoming::new(receiver), &keep));
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

/// Removes all files that the manifest lists, and then the manifest.
pub(super) fn clear(root: &mut Root, manifest: &mut Manifest) -> Result<Receipt, SinkError> {
    root.begin();
    let mut receipt = Receipt::default();
    let entries = manifest.load(root)?;
    for (path, (_, entry)) in &entries {
        if root.remove(path)? {
            receipt.files_removed += 1;
            receipt.deleted += match &entry.content {
                Content::Document(document) => document.items,
                Content::Row(_) => 1,
            };
        }
    }
    root.prune(entries.keys().map(|path| &**path))?;
    manifest.remove(root)?;
    Ok(receipt)
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

/// The items of the document as it is.
struct Held<'a> {
    reader: Option<Reader<BufReader<File>>>,
    next: Option<Item>,
    /// The targets whose rows stay.
    keep: &'a HashSet<TargetName>,
    path: PathBuf,
}

impl<'a> Held<'a> {
    fn open(root: &mut Root, path: Option<&str>, keep: &'a HashSet<TargetName>) -> Result<Self, SinkError> {
        let mut held = Self { reader: None, next: None, keep, path: PathBuf::new() };
        if let Some(path) = path
            && root.at(path)? == At::File
        {
            held.path = root.full(path)?;
            match File::open(&held.path).and_then(|file| Reader::new(BufReader::new(file))) {
                Ok(reader) => held.reader = Some(reader),
                Err(error) => held.unreadable(&error)?,
            }
            held.step()?;
        }
        Ok(held)
    }

    /// Goes on to the next item.
    fn step(&mut self) -> Result<(), SinkError> {
        self.next = match self.reader.as_mut().map(Reader::next_item).transpose() {
            Ok(next) => next.flatten(),
            Err(error) => return self.unreadable(&error),
        };
        Ok(())
    }

    /// What the next item is to a row that the writer has encoded last; `None` when there are no more.
    fn versus<W: Write>(&mut self, row: &Row, writer: &Writer<W>) -> Result<Option<Versus>, SinkError> {
        match self.next.as_mut().map(|item| item.versus(row, writer)).transpose() {
            Ok(versus) => Ok(versus),
            Err(error) => self.unreadable(&error).map(|()| None),
        }
    }

    /// The row of the next item, if it is there and stays though nobody knows it at present.
    fn kept(&mut self) -> Result<Option<Row>, SinkError> {
        let Some(item) = self.next.as_mut().filter(|_| !self.keep.is_empty()) else { return Ok(None) };
        let row = item
            .key()
            .map(|key| TargetName::new(key.target_namespace, key.target_name))
            .and_then(|target| if self.keep.contains(&target) { item.row().map(Some) } else { Ok(None) });
        match row {
            Ok(row) => Ok(row),
            Err(error) => self.unreadable(&error).map(|()| None),
        }
    }

    /// Takes in why the document can't be read on. If somebody has edited it, the rest of it counts as not there, unless
    /// rows are lost with it.
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

/// The document as it was.
struct Previous {
    path: String,
    /// Of the file as it is.
    hash: Option<FileHash>,
    document: DocumentEntry,
}

impl Previous {
    /// The last document that was written. After a crash there may be two on the list, of two formats, and the list is
    /// ahead of the files: what counts is first whether the file is there as listed, or at all. Of two with the same content
    /// the one at `path` is meant.
    fn find(root: &mut Root, entries: &Entries, path: &str) -> Result<Option<Self>, SinkError> {
        let mut last = None;
        for (listed, (_, entry)) in entries {
            let Content::Document(document) = &entry.content else { continue };
            let found = root.hash(listed)?;
            let rank = (found == Some(entry.hash), found.is_some(), document.generation, **listed == *path);
            if last.as_ref().is_none_or(|(best, _)| *best < rank) {
                let path = listed.as_ref().to_owned();
                last = Some((rank, Self { path, hash: found, document: document.as_ref().clone() }));
            }
        }
        Ok(last.map(|(_, previous)| previous))
    }
}

/// Writes incoming and kept rows in key order, and counts what that changes. Of two rows with one key the incoming one
/// counts.
fn write_items(
    items: &mut Temporary,
    format: Format,
    incoming: &mut Incoming,
    held: &mut Held<'_>,
) -> Result<(Summary, Receipt), SinkError> {
    let shown = items.path().to_owned();
    let failed = |error: io::Error| failed("writing", &shown, &error);
    let mut writer = Writer::new(items, format);
    let mut receipt = Receipt::default();
    let mut row = incoming.next()?;
    loop {
        let versus = match &row {
            Some(row) => {
                writer.encode(row).map_err(failed)?;
                held.versus(row, &writer)?
            }
            None if held.next.is_none() => break,
            None => Some(Versus::Before),
        };
        match versus {
            Some(Versus::Before) => {
                if let Some(kept) = held.kept()? {
                    writer.encode(&kept).and_then(|()| writer.write()).map_err(failed)?;
                } else {
                    receipt.deleted += u64::from(held.next.is_some());
                }
                held.step()?;
                continue;
            }
            Some(Versus::Same) => held.step()?,
            Some(Versus::Older) => {
                receipt.updated += 1;
                held.step()?;
            }
            Some(Versus::After) | None => receipt.inserted += 1,
        }
        writer.write().map_err(failed)?;
        row = incoming.next()?;
    }
    Ok((writer.finish().map_err(failed)?.1, receipt))
}

/// A file of the envelope's beginning and the items.
fn with_envelope(whole: &mut Temporary, head: &str, items: &Temporary) -> Result<(), SinkError> {
    let mut copy = || -> io::Result<()> {
        whole.write_all(head.as_bytes())?;
        io::copy(&mut File::open(items.path())?, whole).map(drop)
    };
    copy().map_err(|error| failed("writing", items.path(), &error))
}

fn replace(
    config: &Config,
    binding: &BindingName,
    term: &Term,
    mut incoming: Incoming,
    keep: &HashSet<TargetName>,
) -> Result<Receipt, SinkError> {
    let (layout, format) = (config.layout(), config.layout().format());
    let path = layout.document(binding);
    let mut root = Root::open(config)?;
    let mut manifest = Manifest::new(layout, binding, term);
    let mut entries = manifest.load(&mut root)?;
    // The format may have been another one; then that document is read, and removed in the end.
    let previous = Previous::find(&mut root, &entries, &path)?;

    let mut items = manifest.temporary(&mut root)?;
    let mut held = Held::open(&mut root, previous.as_ref().map(|previous| previous.path.as_str()), keep)?;
    let (summary, mut receipt) = write_items(&mut items, format, &mut incoming, &mut held)?;
    let items_hash = items.finish()?;

    let found = match &previous {
        Some(previous) if previous.path == path => previous.hash,
        _ => root.hash(&path)?,
    };
    let recorded = entries.get(path.as_str()).map(|(_, entry)| entry);
    let as_recorded = recorded.is_some_and(|recorded| found == Some(recorded.hash));
    let same_content = previous.as_ref().is_some_and(|old| old.document.checksum == summary.checksum);
    let unchanged = match format {
        Format::Yaml => found == Some(items_hash),
        // The time in it differs, so its own hash says nothing.
        Format::Json => as_recorded && recorded.is_some_and(|recorded| recorded.holds(&summary.checksum)),
    };
    if unchanged {
        receipt = Receipt::default();
    } else if recorded.is_none() {
        root.refuse_foreign(&path)?;
    }
    let stale: Vec<Box<str>> = entries.keys().filter(|listed| ***listed != *path).cloned().collect();
    if unchanged && as_recorded && stale.is_empty() {
        return Ok(Receipt::default());
    }

    let generation = previous.as_ref().map_or(0, |old| old.document.generation) + u64::from(!same_content);
    let (file, hash) = match (found, format) {
        (Some(found), _) if unchanged => (None, found),
        (_, Format::Yaml) => (Some(items), items_hash),
        (_, Format::Json) => {
            let mut whole = manifest.temporary(&mut root)?;
            let exported_at = jiff::Timestamp::now().to_string();
            with_envelope(
                &mut whole,
                &envelope(&summary, generation, &exported_at, &binding.cluster),
                &items,
            )?;
            let hash = whole.finish()?;
            (Some(whole), hash)
        }
    };
    let document = Box::new(DocumentEntry { checksum: summary.checksum, items: summary.items, generation });
    entries.insert(path.as_str().into(), (0, Entry { hash, content: Content::Document(document) }));
    write_list(&mut manifest, &mut root, &entries)?;
    if let Some(mut file) = file {
        file.sync()?;
        manifest.check(&mut root)?;
        file.place(&mut root, &path)?;
        root.sync_directory_of(&path)?;
        receipt.files_written = 1;
    }
    for listed in &stale {
        receipt.files_removed += u64::from(root.remove(listed)?);
        entries.remove(listed);
    }
    if !stale.is_empty() {
        root.prune(stale.iter().map(|path| &**path))?;
        write_list(&mut manifest, &mut root, &entries)?;
    }
    Ok(receipt)
}

fn write_list(manifest: &mut Manifest, root: &mut Root, entries: &Entries) -> Result<(), SinkError> {
    manifest.rewrite(root, entries.iter().map(|(path, (_, entry))| (&**path, entry.clone())))
}
