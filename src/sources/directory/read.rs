//! Reads one file: from bytes on disk to objects, one after the other.
//!
//! ```text
//! file ─► gunzip ─┬─► json   values, elements of large lists one by one ─┬─► objects
//!                 └─► yaml   documents, items of large lists one by one ─┘
//! ```
//!
//! Of a file no more is in memory at a time than one document, or one element of a large list.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::manifest::{Flaw, Found};
use super::{json, split};

/// The longest document (or list element) that is taken, in bytes. The objects of an API server have at most a few
/// megabytes; without a limit a file that is no manifest at all could fill the memory.
pub(super) const LONGEST_DOCUMENT: usize = 16 << 20;

/// Lists up to this many bytes are read as one document, greater ones element by element.
pub(super) const SMALL: usize = 1 << 20;

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

/// Reads a file. Objects that can be taken are taken, whatever lies around them.
///
/// Breaks when `take` did.
pub(super) fn read(path: &Path, take: Take<'_>) -> ControlFlow<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let result = match Format::of(&name) {
        Some(format) => read_as(path, format, take),
        None => open(path).and_then(|mut file| {
            let first = file.fill_buf()?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
            read_as(path, if first == Some(b'{') { Format::Json } else { Format::Yaml }, take)
        }),
    };
    match result {
        Ok(flow) => flow,
        Err(error) => take(Found::Flaw(unreadable(&error))),
    }
}

fn read_as(path: &Path, format: Format, take: Take<'_>) -> io::Result<ControlFlow<()>> {
    match format {
        Format::Yaml => split::read(open(path)?, take),
        Format::Json => {
            let mut small = Vec::new();
            open(path)?.take(SMALL as u64 + 1).read_to_end(&mut small)?;
            if small.len() <= SMALL {
                return Ok(json::read_small(&small, take));
            }
            drop(small);
            // Twice, because the kind of a list may stand after its elements.
            let lists = json::find_lists(open(path)?);
            json::read_large(open(path)?, &lists, take)
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

/// Opens a file for reading and unpacks it if it begins as gzip does.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    const BUFFER: usize = 64 << 10;
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    let packed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if packed {
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
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
