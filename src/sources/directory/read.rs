//! Reads one file: from bytes on disk to objects, one after the other.
//!
//! ```text
//! file ─► gunzip ─┬─► json   values, elements of large lists one by one ─┬─► objects
//!                 └─► yaml   documents, items of large lists one by one ─┘
//! ```
//!
//! Of a file no more is in memory at a time than one document, or one element of a large list; of a pipe
//! all of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::manifest::{Flaw, Found};
use super::{json, split};

/// The longest document (or list element) that is taken, in bytes. The objects of an API server have at most a few
/// megabytes; without a limit a file that is no manifest at all could fill the memory.
pub(super) const LONGEST_DOCUMENT: usize = 16 << 20;

/// Lists up to this many bytes are read as one document, greater ones element by element.
pub(super) const SMALL: usize = 1 << 20;

/// The most that is taken out of a pipe, in bytes.
const LARGEST_PIPE: u64 = 1 << 30;

const BUFFER: usize = 64 << 10;

/// Takes what a file holds; breaks to stop reading.
pub(super) type Take<'a> = &'a mut dyn FnMut(Found) -> ControlFlow<()>;

/// What a file's name says that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Yaml,
    Json,
}

impl Format {
    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" | "ndjson" | "jsonl" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Whether a file in a directory is taken for a manifest: by its name. Hidden files and what editors leave
/// beside a file while it is open (`.a.yaml.swp`, `a.yaml~`, `#a.yaml#`, `4913`) are not.
pub(super) fn is_manifest(name: &str) -> bool {
    !is_hidden(name) && !name.starts_with('#') && Format::of(name).is_some()
}

/// Whether a file or directory is hidden.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// A file that is open, or what came out of a pipe; can be read from its beginning more than once.
pub(super) enum Content {
    File(File),
    Piped(Arc<[u8]>),
}

impl Content {
    /// Opens a file. What is no regular file (a pipe, say) gives its content only once, so all of it is taken at once.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(Self::File(file));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST_PIPE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_PIPE {
            let limit = LARGEST_PIPE >> 20;
            return Err(io::Error::other(format!(
                "more than {limit} MiB come out of it, and it is no regular file"
            )));
        }
        Ok(Self::Piped(bytes.into()))
    }

    /// Reads from the beginning, unpacked and without a byte order mark.
    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        match self {
            Self::File(file) => {
                let mut file = file;
                file.rewind()?;
                unpack(BufReader::with_capacity(BUFFER, file))
            }
            Self::Piped(bytes) => unpack(&bytes[..]),
        }
    }
}

/// Reads a file. Objects that can be taken are taken, whatever lies around them.
///
/// Breaks when `take` did.
pub(super) fn read(path: &Path, content: &Content, take: Take<'_>) -> ControlFlow<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let format = Format::of(&name).map_or_else(|| sniff(content), Ok);
    match format.and_then(|format| read_as(content, format, take)) {
        Ok(flow) => flow,
        Err(error) => take(Found::Flaw(unreadable(&error))),
    }
}

/// Tells the format by how the text begins.
fn sniff(content: &Content) -> io::Result<Format> {
    for byte in content.reader()?.bytes() {
        match byte? {
            b'{' => return Ok(Format::Json),
            byte if byte.is_ascii_whitespace() => {}
            _ => break,
        }
    }
    Ok(Format::Yaml)
}

fn read_as(content: &Content, format: Format, take: Take<'_>) -> io::Result<ControlFlow<()>> {
    match format {
        Format::Yaml => split::read(content.reader()?, take),
        Format::Json => {
            let mut small = Vec::new();
            content.reader()?.take(SMALL as u64 + 1).read_to_end(&mut small)?;
            if small.len() <= SMALL {
                return Ok(json::read_small(&small, take));
            }
            drop(small);
            // Twice, because the kind of a list may stand after its elements.
            let lists = json::find_lists(content.reader()?);
            json::read_large(content.reader()?, &lists, take)
        }
    }
}

/// The flaw of a file, or of the rest of it, that can't be read.
pub(super) fn unreadable(error: &io::Error) -> Flaw {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "grant read permission on it",
        io::ErrorKind::NotFound => "restore it, or leave it out of the paths",
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            "write the file again: it is damaged or incomplete"
        }
        _ => "see that it can be read",
    };
    Flaw::new(format!("the file can't be read: {error}"), remedy)
}

/// The flaw of a document above the limit.
pub(super) fn too_long() -> Flaw {
    Flaw::new(
        format!("the document has more than {} MiB", LONGEST_DOCUMENT >> 20),
        "split it into several documents, or leave the file out of the paths",
    )
}

/// Opens a file for reading from its beginning, once; unpacks it if it begins as gzip does.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    unpack(BufReader::with_capacity(BUFFER, File::open(path)?))
}

fn unpack<'a>(reader: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let (magic, reader) = peek::<2>(reader)?;
    if magic != [0x1f, 0x8b] {
        return without_mark(reader);
    }
    without_mark(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(reader)))
}

/// Leaves a byte order mark out.
fn without_mark<'a>(reader: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let (first, mut reader) = peek::<{ MARK.len() }>(reader)?;
    if first == MARK {
        reader.consume(MARK.len());
    }
    Ok(Box::new(reader))
}

/// The first bytes, and a reader that still has them; a pipe may give fewer at a time.
fn peek<const COUNT: usize>(mut reader: impl BufRead) -> io::Result<(Vec<u8>, impl BufRead)> {
    let mut first = Vec::new();
    reader.by_ref().take(COUNT as u64).read_to_end(&mut first)?;
    Ok((first.clone(), Cursor::new(first).chain(reader)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_known_by_their_names() {
        for name in ["a.yaml", "a.yml", "A.YAML", "a.json", "a.yaml.gz", "a.json.gz", "a.b.ndjson"] {
            assert!(is_manifest(name), "{name}");
        }
        for name in [
            ".a.yaml",
            "a.yaml~",
            "#a.yaml#",
            ".a.yaml.swp",
            "a.yaml.bak",
            "4913",
            "README.md",
            "a.gz",
            "yaml",
        ] {
            assert!(!is_manifest(name), "{name}");
        }
    }
}
