//! The parts of a document as files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::document::{Items, NewContent, Planned, Replacement, now};
use super::encode::{Content, DocumentEntry, Entry, FileHash, Key, PartEntry};
use super::files::{Hashing, failed, short};
use crate::sinks::snapshot::document::{Reader, Summary, envelope};
use crate::sinks::snapshot::layout::Format;
use crate::sinks::snapshot::parts::{self, Listed, Part};
use crate::sinks::{SinkError, hex};

/// Some of the items, as a file of their own.
pub(super) struct Slice {
    items: PathBuf,
    head: String,
    /// The rows, in the file of the items.
    range: Range<u64>,
    tail: &'static str,
}

impl Slice {
    /// Writes it.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(self.head.as_bytes())?;
        io::copy(&mut open(&self.items, &self.range)?, out)?;
        out.write_all(self.tail.as_bytes())
    }
}

fn open(items: &Path, range: &Range<u64>) -> io::Result<impl Read> {
    let mut file = File::open(items)?;
    file.seek(SeekFrom::Start(range.start))?;
    Ok(file.take(range.end - range.start))
}

/// A part that is to be there, and what is known of its file.
struct NewPart {
    path: String,
    hash: FileHash,
    entry: PartEntry,
    content: NewContent,
}

impl Replacement<'_> {
    /// The document as parts, and their index.
    pub(super) fn in_parts(
        &mut self,
        document: &str,
        format: Format,
        parts: &[Part],
        items: &Items,
        generation: u64,
    ) -> Result<Vec<Planned>, SinkError> {
        let new = parts.iter().map(|part| {
            let path = self.config.layout().beside(document, &part.name());
            self.part(path, part, format, items)
        });
        let new = new.collect::<Result<Vec<_>, _>>()?;
        let listed = new.iter().zip(parts).map(|(new, part)| Listed {
            path: new.path.rsplit('/').next().unwrap_or_default().to_owned(),
            item_count: part.rows as u64,
            sha256: new.entry.sha256.clone(),
            first: new.entry.first.parts().into(),
        });
        let listed: Vec<Listed> = listed.collect();
        let text = parts::index(format, &items.summary, generation, &now(), &self.binding.cluster, &listed);
        let path = self.config.layout().beside(document, parts::INDEX);
        let found = self.root.hash(&path)?;
        let hash = short(&Sha256::digest(&text));
        let unchanged = match format {
            Format::Yaml => found.filter(|found| *found == hash),
            // The time in it may differ.
            Format::Json => found.filter(|found| self.lists(&path, *found, &items.summary, &new)),
        };
        let (hash, content) = match unchanged {
            Some(hash) => (hash, NewContent::Unchanged),
            None => (hash, NewContent::Text(text)),
        };
        let Summary { items, checksum } = items.summary.clone();
        let index = Content::Document(Box::new(DocumentEntry { checksum, items, generation, index: true }));
        let parts = new.into_iter().map(|part| {
            let content = Content::Part(Box::new(PartEntry { index: hash, ..part.entry }));
            Planned { path: part.path, entry: Entry { hash: part.hash, content }, content: part.content }
        });
        let index = Planned { path, entry: Entry { hash, content: index }, content };
        Ok(parts.chain([index]).collect())
    }

    /// Whether the index, which is there with this hash, lists these parts and no others.
    fn lists(&self, path: &str, index: FileHash, summary: &Summary, parts: &[NewPart]) -> bool {
        let is_recorded = self
            .entries
            .get(path)
            .is_some_and(|(_, entry)| entry.hash == index && entry.is_document(&summary.checksum, true));
        let is_part = |entry: &Entry| matches!(&entry.content, Content::Part(part) if part.index == index);
        is_recorded
            && parts
                .iter()
                .all(|part| matches!(part.content, NewContent::Unchanged) && part.entry.index == index)
            && self.entries.values().filter(|(_, entry)| is_part(entry)).count() == parts.len()
    }

    fn part(
        &mut self,
        path: String,
        part: &Part,
        format: Format,
        items: &Items,
    ) -> Result<NewPart, SinkError> {
        // Before the first row of JSON there is a line break, and between two a comma and a line break.
        let range = match format {
            Format::Yaml => part.start..part.start + part.bytes,
            Format::Json => part.start + 1..part.start + part.bytes - 1,
        };
        let items = items.file.path();
        let read = |error: io::Error| failed("reading", items, &error);
        let checksum = checksum(items, &range, format).map_err(read)?;
        let found = self.root.hash(&path)?;
        let recorded = self.entries.get(path.as_str()).and_then(|(_, entry)| match &entry.content {
            Content::Part(old) => Some((entry.hash, old)),
            _ => None,
        });
        if let Some((hash, old)) = recorded
            && found == Some(hash)
            && old.checksum == checksum
        {
            return Ok(NewPart { path, hash, entry: old.as_ref().clone(), content: NewContent::Unchanged });
        }
        let first = first(items, &range, format).map_err(read)??;
        let generation = recorded.map_or(0, |(_, old)| old.generation) + 1;
        let summary = Summary { items: part.rows as u64, checksum };
        let (head, tail) = match format {
            Format::Yaml => (String::new(), ""),
            Format::Json => (
                envelope(&summary, generation, &now(), &self.binding.cluster, "items") + "\n",
                parts::JSON_END,
            ),
        };
        let slice = Slice { items: items.to_owned(), head, range, tail };
        let mut file = Hashing::new(io::sink());
        slice.write(&mut file).map_err(read)?;
        let digest = file.hash.finalize();
        let entry = PartEntry {
            // It is known when all parts are.
            index: FileHash(0),
            first,
            checksum: summary.checksum,
            sha256: hex(&digest),
            generation,
        };
        Ok(NewPart { path, hash: short(&digest), entry, content: NewContent::Slice(slice) })
    }
}

/// Of the rows alone: in JSON the one of the contract, that of their array.
fn checksum(items: &Path, range: &Range<u64>, format: Format) -> io::Result<String> {
    let mut rows = open(items, range)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    if format == Format::Json {
        hash.update("[");
    }
    loop {
        let n = match rows.read(&mut buffer)? {
            0 => break,
            n => n,
        };
        match format {
            Format::Yaml => hash.update(&buffer[..n]),
            // No row has a line break.
            Format::Json => buffer[..n].split(|byte| *byte == b'\n').for_each(|line| hash.update(line)),
        }
    }
    if format == Format::Json {
        hash.update("]");
    }
    Ok(hex(&hash.finalize()))
}

/// The key of the first row.
fn first(items: &Path, range: &Range<u64>, format: Format) -> io::Result<Result<Key, SinkError>> {
    // A reader begins with a line that tells the format.
    let head: &[u8] = match format {
        Format::Yaml => b"",
        Format::Json => b"{\n",
    };
    let mut reader = Reader::new(BufReader::new(head.chain(open(items, range)?)))?;
    let mut item = reader.next_item()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Key::new(item.key()?))
}
