//! The lines of the manifest; no I/O.
//!
//! The manifest is a journal: a first line that says whose it is, by which layout its rows are
//! spread, and in which term it was written, then one line for each file that was written or removed.
//! Of several lines about one path the last one counts. Each line is one JSON object:
//!
//! ```text
//! {"manifest":"kollect.dev/v1","cluster":"","namespace":"team","inventory":"apps","layout":".yaml {kind}/…","term":7}
//! {"put":"inventory/team/apps/…/cart.yaml","hash":"…","row":{"key":["team","web","shop","cart","u-1"],"hash":"…"}}
//! {"del":"inventory/team/apps/…/cart.yaml"}
//! ```

use std::borrow::Cow;
use std::fmt;

use kollect_dataflows::data::{RowHash, RowKey};
use serde::{Deserialize, Serialize};

use crate::sinks::{BindingName, SinkError};

/// The version of the form of these lines.
const VERSION: &str = "kollect.dev/v1";

/// The first half of the SHA-256 of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHash(pub(super) u128);

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a file of ours holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Hash of its bytes.
    pub(super) hash: FileHash,
    /// What they mean.
    pub(super) content: Content,
}

impl Entry {
    /// Whether it is a document with these rows, or else the index of one.
    pub(super) fn is_document(&self, checksum: &str, index: bool) -> bool {
        matches!(&self.content, Content::Document(document) if document.checksum == checksum && document.index == index)
    }
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The document of the inventory, or the index of its parts.
    Document(Box<DocumentEntry>),
    /// A part of the document.
    Part(Box<PartEntry>),
    /// A row.
    Row(RowEntry),
}

/// What the document of an inventory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DocumentEntry {
    /// The envelope's checksum.
    pub(super) checksum: String,
    /// How many rows.
    pub(super) items: u64,
    /// How many contents there have been, with this one.
    pub(super) generation: u64,
    /// Whether the file only lists the parts that have the rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) index: bool,
}

/// What a part of a document holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartEntry {
    /// Hash of the index that lists the part.
    pub(super) index: FileHash,
    /// Its first row.
    pub(super) first: Key,
    /// Of its rows.
    pub(super) checksum: String,
    /// Of the file's bytes, in hexadecimal digits.
    pub(super) sha256: String,
    /// How many contents the part has had, with this one.
    pub(super) generation: u64,
}

/// The row that a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowEntry {
    /// Which row.
    pub(super) key: Key,
    /// The row's content hash.
    pub(super) hash: RowHash,
    /// The path that the row would have if no other asked for it, where that is another one.
    pub(super) plain: Option<Box<str>>,
}

/// A row's key in one allocation. Its order is that of row keys: no part holds the separator, and nothing is less than it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(Box<str>);

/// Between the parts of a [`Key`].
const SEPARATOR: char = '\0';

impl Key {
    /// # Errors
    /// When a name holds the separator, which no object of a cluster does.
    pub(super) fn new(key: RowKey<&str>) -> Result<Self, SinkError> {
        let parts = [key.target_namespace, key.target_name, key.namespace, key.name, key.uid];
        if parts.iter().any(|part| part.contains(SEPARATOR)) {
            return Err(SinkError::Row {
                message: "a name of the row holds the character U+0000".to_owned(),
            });
        }
        Ok(Self(parts.join("\0").into()))
    }

    pub(super) fn parts(&self) -> RowKey<&str> {
        let mut parts = self.0.split(SEPARATOR);
        let mut next = || parts.next().unwrap_or_default();
        RowKey { target_namespace: next(), target_name: next(), namespace: next(), name: next(), uid: next() }
    }
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    manifest: String,
    cluster: String,
    namespace: String,
    inventory: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    term: Option<u64>,
}

/// A line as it stands in the file.
#[derive(Default, Serialize, Deserialize)]
struct Line<'a> {
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    put: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    del: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document: Option<DocumentEntry>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    row: Option<RowLine<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    part: Option<PartLine<'a>>,
}

/// Target namespace, target name, namespace, name, uid.
#[derive(Serialize, Deserialize)]
struct KeyLine<'a>(#[serde(borrow)] [Cow<'a, str>; 5]);

impl<'a> KeyLine<'a> {
    fn new(key: &'a Key) -> Self {
        let key = key.parts();
        let parts = [key.target_namespace, key.target_name, key.namespace, key.name, key.uid];
        Self(parts.map(Cow::Borrowed))
    }

    fn key(&self) -> Option<Key> {
        let [target_namespace, target_name, namespace, name, uid] = &self.0;
        Key::new(RowKey { target_namespace, target_name, namespace, name, uid }).ok()
    }
}

#[derive(Serialize, Deserialize)]
struct PartLine<'a> {
    index: String,
    #[serde(borrow)]
    first: KeyLine<'a>,
    checksum: Cow<'a, str>,
    sha256: Cow<'a, str>,
    generation: u64,
}

#[derive(Serialize, Deserialize)]
struct RowLine<'a> {
    #[serde(borrow)]
    key: KeyLine<'a>,
    hash: String,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    plain: Option<Cow<'a, str>>,
}

fn line(value: &impl Serialize) -> String {
    // Strings and numbers always serialise; a line that could not be written would be an empty one, which is refused
    // when it is read.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Whose manifest it is.
    pub(super) binding: BindingName,
    /// By which layout the rows are spread over files, if any are.
    pub(super) layout: Option<String>,
    /// The term of the last leader that connected; 0 when none has held a lease.
    pub(super) term: u64,
}

/// The first line.
pub(super) fn header(header: &Header) -> String {
    let Header { binding, layout, term } = header.clone();
    line(&HeaderLine {
        manifest: VERSION.to_owned(),
        cluster: binding.cluster,
        namespace: binding.inventory_namespace,
        inventory: binding.inventory_name,
        layout,
        term: (term > 0).then_some(term),
    })
}

/// What the first line says; nothing if it is not one of ours.
pub(super) fn read_header(text: &str) -> Option<Header> {
    let HeaderLine { manifest, cluster, namespace, inventory, layout, term } =
        serde_json::from_str(text).ok()?;
    let binding = BindingName { cluster, inventory_namespace: namespace, inventory_name: inventory };
    (manifest == VERSION).then_some(Header { binding, layout, term: term.unwrap_or_default() })
}

/// The line of a file that is ours from now on.
pub(super) fn put(path: &str, entry: &Entry) -> String {
    let mut parts = Line { put: Some(path.into()), hash: Some(entry.hash.to_string()), ..Line::default() };
    match &entry.content {
        Content::Document(document) => parts.document = Some(document.as_ref().clone()),
        Content::Part(part) => {
            parts.part = Some(PartLine {
                index: part.index.to_string(),
                first: KeyLine::new(&part.first),
                checksum: part.checksum.as_str().into(),
                sha256: part.sha256.as_str().into(),
                generation: part.generation,
            });
        }
        Content::Row(row) => {
            parts.row = Some(RowLine {
                key: KeyLine::new(&row.key),
                hash: row.hash.to_string(),
                plain: row.plain.as_deref().map(Cow::Borrowed),
            });
        }
    }
    line(&parts)
}

/// The line of a file that is gone.
pub(super) fn del(path: &str) -> String {
    line(&Line { del: Some(path.into()), ..Line::default() })
}

/// A line's path and what is there; nothing if the line can't be read.
pub(super) fn read_line(text: &str) -> Option<(Box<str>, Option<Entry>)> {
    let line: Line<'_> = serde_json::from_str(text).ok()?;
    if let Some(path) = line.del {
        return Some((path.into(), None));
    }
    let file_hash = |text: &str| u128::from_str_radix(text, 16).ok().map(FileHash);
    let content = match (line.row, line.document, line.part) {
        (Some(row), None, None) => Content::Row(RowEntry {
            key: row.key.key()?,
            hash: RowHash::parse(&row.hash)?,
            plain: row.plain.map(|plain| plain.into()),
        }),
        (None, Some(document), None) => Content::Document(Box::new(document)),
        (None, None, Some(part)) => Content::Part(Box::new(PartEntry {
            index: file_hash(&part.index)?,
            first: part.first.key()?,
            checksum: part.checksum.into(),
            sha256: part.sha256.into(),
            generation: part.generation,
        })),
        _ => return None,
    };
    let hash = file_hash(&line.hash?)?;
    Some((line.put?.into(), Some(Entry { hash, content })))
}
