//! Reads YAML files: splits them into documents, and large lists into items.
//!
//! A document ends at a line that begins with `---` or `...`, as `kubectl` has it (YAML forbids such lines within a document).
//!
//! A document that grows beyond [`SMALL`] and has `items:` at its left margin, with a sequence beneath it, is what
//! `kubectl get -o yaml` writes for many objects. Each item is then read on its own; what stands around the items is kept and
//! read as the rest of the list. Smaller lists are read in one piece, so that anchors may reach from one item to another.

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use super::json::take_objects;
use super::manifest::{Flaw, Found, ListType};
use super::read::{LONGEST_DOCUMENT, SMALL, Take, too_long};
use super::yaml;

/// Takes objects out of a file.
///
/// # Errors
/// The file can't be read on; what stands before that place has been taken.
pub(super) fn read(reader: impl BufRead, take: Take<'_>) -> io::Result<ControlFlow<()>> {
    read_with(reader, SMALL, take)
}

fn read_with(mut reader: impl BufRead, small: usize, take: Take<'_>) -> io::Result<ControlFlow<()>> {
    let mut splitter = Splitter { small, ..Splitter::default() };
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.by_ref().take(LONGEST_DOCUMENT as u64 + 1).read_until(b'\n', &mut line)?;
        let flow = if length == 0 { splitter.finish(take) } else { splitter.line(&line, take) };
        if length == 0 || flow.is_break() {
            return Ok(flow);
        }
    }
}

#[derive(Default)]
struct Splitter {
    /// Up to how many bytes a list is read in one piece.
    small: usize,
    /// Lines read before the present one.
    lines: u64,
    /// The document so far; of a list that is split, what does not belong to its items.
    document: Piece,
    /// Whether the document holds more than comments and directives.
    begun: bool,
    /// Whether the document began with a marker.
    marked: bool,
    /// Whether the document is above the limit; the rest of it is skipped.
    skipped: bool,
    /// The list being split.
    list: Option<Items>,
    /// How long the document was when it was last looked at for being a list.
    tried: usize,
}

/// Lines that lie together.
#[derive(Default)]
struct Piece {
    text: Vec<u8>,
    /// Lines of the file before it.
    first: u64,
}

struct Items {
    /// Column of the dash of each item.
    indent: usize,
    /// The item so far.
    item: Piece,
    /// What is known of the list's type.
    list: ListType,
    /// Whether the sequence of items is over.
    over: bool,
}

impl Splitter {
    fn line(&mut self, line: &[u8], take: Take<'_>) -> ControlFlow<()> {
        let flow = self.sort(line, take);
        self.lines += u64::from(line.ends_with(b"\n"));
        flow
    }

    fn sort(&mut self, line: &[u8], take: Take<'_>) -> ControlFlow<()> {
        if is_marker(line, b"---") {
            if self.begun || self.marked {
                self.finish(take)?;
            }
            self.marked = true;
        }
        if is_marker(line, b"...") {
            return self.finish(take);
        }
        if self.skipped {
            return ControlFlow::Continue(());
        }
        if let Some(items) = &mut self.list {
            match items.place(line) {
                Place::NewItem => {
                    let done = std::mem::replace(&mut items.item, Piece::starting(self.lines));
                    // The dash gives way to a blank, so that the item stands as a document of its own.
                    items.item.text.extend(line.iter().enumerate().map(|(i, byte)| match i {
                        i if i == items.indent => b' ',
                        _ => *byte,
                    }));
                    let list = items.list.clone();
                    return take_piece(&done, Some(&list), take);
                }
                Place::Item => {
                    items.item.text.extend_from_slice(line);
                    if items.item.text.len() > LONGEST_DOCUMENT {
                        self.skipped = true;
                        return take(Found::Flaw(at(too_long(), items.item.first + 1)));
                    }
                    return ControlFlow::Continue(());
                }
                Place::Around => {}
            }
        }
        if self.document.text.is_empty() {
            self.document.first = self.lines;
        }
        self.document.text.extend_from_slice(line);
        self.begun |= !is_marker(line, b"---") && !is_blank(line) && !line.starts_with(b"%")
            || line.starts_with(b"---") && !is_blank(&line[3..]);
        let length = self.document.text.len();
        if self.list.is_none() && length > self.small.max(2 * self.tried) && line.ends_with(b"\n") {
            self.tried = length;
            self.try_list(take)?;
        }
        if self.document.text.len() > LONGEST_DOCUMENT {
            self.skipped = true;
            return take(Found::Flaw(at(too_long(), self.document.first + 1)));
        }
        ControlFlow::Continue(())
    }

    /// Begins to split the document if it is a list.
    fn try_list(&mut self, take: Take<'_>) -> ControlFlow<()> {
        let text = &self.document.text;
        let Some(header) = find_line(text, b"items:") else { return ControlFlow::Continue(()) };
        let begin = header + text[header..].iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if !is_blank(&text[header + b"items:".len()..begin]) {
            return ControlFlow::Continue(());
        }
        let Some(first) = lines(&text[begin..]).find(|line| !is_blank(line)) else {
            return ControlFlow::Continue(());
        };
        let indent = first.iter().take_while(|byte| **byte == b' ').count();
        if !is_dash(&first[indent..]) {
            return ControlFlow::Continue(());
        }
        let head = String::from_utf8_lossy(&text[..header]).into_owned();
        let list = ListType { api_version: top_field(&head, "apiVersion"), kind: top_field(&head, "kind") };
        if !list.kind.is_empty() && !ListType::is_list(&list.kind) {
            return ControlFlow::Continue(());
        }
        // What has been read of the items goes through the same hands as what follows.
        let items = self.document.text.split_off(begin);
        let now = std::mem::replace(&mut self.lines, self.document.first + count_lines(&self.document.text));
        let item = Piece::starting(self.lines);
        self.list = Some(Items { indent, item, list, over: false });
        for line in lines(&items) {
            self.line(line, take)?;
        }
        self.lines = now;
        ControlFlow::Continue(())
    }

    /// The document is complete.
    fn finish(&mut self, take: Take<'_>) -> ControlFlow<()> {
        let mut document = std::mem::take(&mut self.document);
        (self.begun, self.marked, self.tried) = (false, false, 0);
        let list = self.list.take();
        if std::mem::take(&mut self.skipped) {
            return ControlFlow::Continue(());
        }
        let Some(items) = list else { return take_piece(&document, None, take) };
        take_piece(&items.item, Some(&items.list), take)?;
        // The rest must be well-formed too, or else the list was cut off.
        if !document.text.ends_with(b"\n") {
            document.text.push(b'\n');
        }
        take_piece(&document, None, take)
    }
}

enum Place {
    NewItem,
    Item,
    Around,
}

impl Items {
    fn place(&mut self, line: &[u8]) -> Place {
        if self.over {
            return Place::Around;
        }
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        let rest = &line[indent..];
        if rest.trim_ascii().is_empty() {
            Place::Item
        } else if indent == self.indent && is_dash(rest) {
            Place::NewItem
        } else if indent > self.indent || rest.starts_with(b"#") {
            Place::Item
        } else {
            self.over = true;
            Place::Around
        }
    }
}

impl Piece {
    fn starting(first: u64) -> Self {
        Self { text: Vec::new(), first }
    }
}

fn take_piece(piece: &Piece, list: Option<&ListType>, take: Take<'_>) -> ControlFlow<()> {
    let text = match std::str::from_utf8(&piece.text) {
        Ok(text) => text,
        Err(error) => {
            let before = &piece.text[..error.valid_up_to()];
            let line = piece.first + 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            return take(Found::Flaw(at(Flaw::new("not valid UTF-8", "save the file in UTF-8"), line)));
        }
    };
    match yaml::to_json(text) {
        Ok(None) => ControlFlow::Continue(()),
        Ok(Some(json)) if json.starts_with(['{', '[']) => take_objects(&json, list, &mut |found| {
            take(match found {
                Found::Flaw(flaw) => Found::Flaw(at(flaw, piece.first + 1 + leading_lines(text))),
                found => found,
            })
        }),
        Ok(Some(_)) => {
            let flaw = Flaw::new("the document is not an object", "correct or remove the file");
            take(Found::Flaw(at(flaw, piece.first + 1)))
        }
        Err(error) => {
            let mut flaw = Flaw::new(format!("not valid YAML: {}", error.message), "correct the file");
            flaw.kind = single_kind(text);
            flaw.column = error.column;
            take(Found::Flaw(at(flaw, piece.first + error.line.unwrap_or(1))))
        }
    }
}

fn at(mut flaw: Flaw, line: u64) -> Flaw {
    flaw.line = Some(line);
    flaw
}

/// The kind of a document that can't be parsed, where its lines leave no doubt: exactly one of them is a `kind`
/// at the margin, and it names no list.
fn single_kind(text: &str) -> Option<String> {
    let mut kinds = text.lines().filter(|line| line.starts_with("kind:"));
    let kind = top_field(kinds.next()?, "kind");
    let sure = !kind.is_empty() && !ListType::is_list(&kind) && kinds.next().is_none();
    (sure && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(kind)
}

/// The value of a plain or quoted field at the margin; empty if there is none.
fn top_field(text: &str, field: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned())
        .unwrap_or_default()
}

/// Whether a line is a document's begin or end: the marker alone, or followed by a blank.
fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// Whether a line holds nothing, or only a comment.
fn is_blank(line: &[u8]) -> bool {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii();
    line.is_empty() || line.starts_with(b"#")
}

fn is_dash(text: &[u8]) -> bool {
    text.strip_prefix(b"-").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Where the line that begins with `prefix` begins.
fn find_line(text: &[u8], prefix: &[u8]) -> Option<usize> {
    let mut begin = 0;
    for line in lines(text) {
        if line.starts_with(prefix) {
            return Some(begin);
        }
        begin += line.len();
    }
    None
}

fn count_lines(text: &[u8]) -> u64 {
    lines(text).count() as u64
}

/// Lines before the first that is more than a comment or a marker.
fn leading_lines(text: &str) -> u64 {
    text.lines().take_while(|line| is_blank(line.as_bytes()) || is_marker(line.as_bytes(), b"---")).count()
        as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn found_with(text: &str, small: usize) -> Vec<String> {
        let mut all = Vec::new();
        let flow = read_with(text.as_bytes(), small, &mut |found| {
            all.push(match found {
                Found::Object(object) => object.name.name,
                Found::Flaw(flaw) => {
                    format!("{}:{} {}", flaw.line.unwrap(), flaw.kind.unwrap_or_default(), flaw.message)
                }
                Found::Other => "other".to_owned(),
            });
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        all
    }

    fn found(text: &str) -> Vec<String> {
        found_with(text, SMALL)
    }

    fn pod(name: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n")
    }

    #[test]
    fn documents_are_split_at_their_markers() {
        let (a, b) = (pod("a"), pod("b"));
        for text in [
            format!("{a}---\n{b}"),
            format!("---\n{a}---\n{b}---\n"),
            format!("# comment\n---\n{a}\n--- # comment\n\n{b}...\n"),
            format!("%YAML 1.1\n---\n{a}...\n%YAML 1.1\n---\n{b}"),
            format!("\u{feff}{a}---\n---\n# empty\n---\n{b}"),
            format!("{}---\r\n{}", a.replace('\n', "\r\n"), b.replace('\n', "\r\n")),
            format!("--- {{apiVersion: v1, kind: Pod, metadata: {{name: a}}}}\n---\n{b}"),
        ] {
            assert_eq!(found(&text), ["a", "b"], "{text}");
        }
    }

    #[test]
    fn markers_in_text_blocks_do_not_split() {
        let text = format!("{}data:\n  file: |\n    ---\n    a: 1\n    ...\n  other: ---x\n", pod("a"));
        assert_eq!(found(&text), ["a"]);
    }

    #[test]
    fn a_broken_document_leaves_the_others_alone_and_tells_its_line_and_kind() {
        let text = format!("{}---\napiVersion: v1\nkind: Secret\ndata: [\n---\n{}", pod("a"), pod("b"));
        let all = found(&text);
        assert_eq!((all[0].as_str(), all[2].as_str(), all.len()), ("a", "b", 3));
        let line: u64 = all[1].split(':').next().unwrap().parse().unwrap();
        assert!((6..=9).contains(&line), "{}", all[1]);
        assert!(all[1].contains(":Secret not valid YAML"), "{}", all[1]);
        let all = found("- x\n---\na: [\n---\njust text\n");
        assert_eq!(all[0], "other");
        assert!(all[1].contains(": not valid YAML"), "{}", all[1]);
        assert_eq!(all[2], "4: the document is not an object");
    }

    #[test]
    fn flaws_of_objects_tell_the_line_of_their_document() {
        let text = format!("{}---\n# comment\napiVersion: v1\nkind: Pod\n", pod("a"));
        assert_eq!(found(&text), ["a", "7:Pod Pod has no metadata"]);
    }

    #[test]
    fn bytes_that_are_not_text_are_told_with_their_line() {
        let mut bytes = pod("a").into_bytes();
        bytes.extend_from_slice(b"---\na: \xff\n");
        let mut flaws = Vec::new();
        let flow = read_with(bytes.as_slice(), SMALL, &mut |found| {
            if let Found::Flaw(flaw) = found {
                flaws.push((flaw.line, flaw.message));
            }
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        assert_eq!(flaws, [(Some(6), "not valid UTF-8".to_owned())]);
    }

    /// Lists as `kubectl` and people write them.
    const LISTS: [&str; 4] = [
        "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a\n  text: |\n    - x\n    b: 1\n\n    c\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: b\nkind: List\nmetadata:\n  resourceVersion: \"\"\n",
        "kind: PodList\napiVersion: v1\nitems:\n\n  # first\n  - metadata:\n      name: a\n    spec:\n      list:\n      - 1\n      - 2\n  - metadata: {name: b}",
        "apiVersion: v1\nkind: List\nitems:\n-\n  apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n",
        "apiVersion: v1\nkind: 'List' # of pods\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Pod\n    metadata: {name: b}\n",
    ];

    #[test]
    fn a_list_gives_the_same_objects_in_one_piece_and_item_by_item() {
        for text in LISTS {
            for text in [text.to_owned(), format!("---\n{text}\n---\n")] {
                assert_eq!(found(&text), ["a", "b"], "{text}");
                for small in 0..text.len() {
                    assert_eq!(found_with(&text, small), ["a", "b"], "{small} {text}");
                }
            }
        }
    }

    #[test]
    fn a_broken_item_of_a_large_list_leaves_the_others_alone() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n";
        let all = found_with(text, 10);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].contains("not valid YAML"), "{all:?}");
        assert_eq!(all[1], "b");
    }

    #[test]
    fn other_kinds_with_items_are_not_split() {
        let text = "apiVersion: x/v1\nkind: Shelf\nmetadata: {name: a}\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n";
        assert_eq!(found_with(text, 10), ["a"]);
    }

    #[test]
    fn a_document_above_the_limit_is_told_and_skipped() {
        let text = format!("a: {}\n---\n{}", "x".repeat(LONGEST_DOCUMENT), pod("b"));
        assert_eq!(found(&text), ["1: the document has more than 16 MiB", "b"]);
    }
}
