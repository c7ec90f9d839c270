//! A whole inventory as one text: written row by row, and read back so as to see what a new one changes.
//!
//! - YAML: the list of rows. The same rows give the same bytes.
//! - JSON: the envelope of the contract. Checksum and count stand before the items, so the items are written first, one a
//!   line, and the envelope is put around them.

use std::cmp::Ordering;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use kollect_dataflows::data::{Gvk, PlainValue, Row, RowKey, RowParts, TargetName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::layout::Format;
use super::yaml;
use crate::sinks::hex;

/// Writes the items of a document.
pub struct Writer<W> {
    out: W,
    format: Format,
    items: u64,
    checksum: Sha256,
    /// The row encoded last, as the contract's JSON, and as the format has it.
    json: Vec<u8>,
    yaml: Vec<u8>,
}

/// What a document holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many rows.
    pub items: u64,
    /// SHA-256 of the canonical JSON array of the rows, in hexadecimal digits.
    pub checksum: String,
}

impl<W: Write> Writer<W> {
    /// A document without items yet.
    pub fn new(out: W, format: Format) -> Self {
        let checksum = Sha256::new_with_prefix(b"[");
        Self { out, format, items: 0, checksum, json: Vec::new(), yaml: Vec::new() }
    }

    /// Encodes a row, for [`Writer::write`] to write.
    ///
    /// # Errors
    /// `InvalidData` when the row's attributes are not JSON.
    pub fn encode(&mut self, row: &Row) -> io::Result<()> {
        self.json.clear();
        row.write_json(&mut self.json);
        if self.format == Format::Yaml {
            self.yaml.clear();
            self.yaml.extend_from_slice(b"- ");
            yaml::write_row(&mut self.yaml, row, 2)?;
        }
        Ok(())
    }

    /// The text of the row encoded last, and its format.
    fn encoded(&self) -> (&[u8], Format) {
        match self.format {
            Format::Yaml => (&self.yaml, Format::Yaml),
            Format::Json => (&self.json, Format::Json),
        }
    }

    /// How many bytes the row encoded last takes, with what is between it and the next.
    pub fn size(&self) -> u64 {
        match self.format {
            Format::Yaml => self.yaml.len() as u64,
            Format::Json => self.json.len() as u64 + 2,
        }
    }

    /// Adds the row encoded last; rows come in key order.
    ///
    /// # Errors
    /// Those of the output.
    pub fn write(&mut self) -> io::Result<()> {
        if self.items > 0 {
            self.checksum.update(b",");
        }
        self.checksum.update(&self.json);
        match self.format {
            Format::Yaml => self.out.write_all(&self.yaml)?,
            Format::Json => {
                self.out.write_all(if self.items == 0 { b"\n" } else { b",\n" })?;
                self.out.write_all(&self.json)?;
            }
        }
        self.items += 1;
        Ok(())
    }

    /// Ends the items and flushes the writer.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<(W, Summary)> {
        match self.format {
            Format::Yaml if self.items == 0 => self.out.write_all(b"[]\n")?,
            Format::Yaml => {}
            Format::Json => self.out.write_all(super::parts::JSON_END.as_bytes())?,
        }
        self.out.flush()?;
        self.checksum.update(b"]");
        let checksum = hex(&self.checksum.finalize());
        Ok((self.out, Summary { items: self.items, checksum }))
    }
}

/// The envelope's beginning, up to the opening bracket of what is in it: `items`, or the parts that have them.
pub fn envelope(summary: &Summary, generation: u64, exported_at: &str, cluster: &str, what: &str) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let cluster = if cluster.is_empty() { String::new() } else { format!("\"cluster\":{},", text(cluster)) };
    format!(
        "{{\"schemaVersion\":\"kollect.dev/v1alpha1\",\"checksum\":{},\"generation\":{generation},\"itemCount\":{},\
         \"exportedAt\":{},{cluster}\"{what}\":[",
        text(&summary.checksum),
        summary.items,
        text(exported_at),
    )
}

/// The identity of a row as it stands in a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    target_namespace: String,
    target_name: String,
    namespace: String,
    name: String,
    uid: String,
}

/// A row as it stands in a file.
#[derive(Deserialize)]
struct Content {
    #[serde(flatten)]
    identity: Identity,
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
    attributes: PlainValue,
    #[serde(default)]
    incomplete: Vec<String>,
}

/// One item of a document that was written before. It is parsed no further than somebody asks.
#[derive(Debug)]
pub struct Item {
    text: String,
    format: Format,
    key: Option<RowKey<String>>,
}

/// What a stored item is to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versus {
    /// It is the row.
    Same,
    /// It is an older version of the row.
    Older,
    /// It is another row, with a lesser key.
    Before,
    /// It is another row, with a greater key.
    After,
}

impl Item {
    /// The row's key.
    ///
    /// # Errors
    /// `InvalidData` where the text is not what was once written.
    pub fn key(&mut self) -> io::Result<RowKey<&str>> {
        let key = match self.key.take() {
            Some(key) => key,
            None => {
                // What comes behind it may be large.
                let head = head(self.text.as_bytes(), self.format).unwrap_or_default().len();
                let identity: Identity = match self.format {
                    Format::Json => serde_json::from_str(&format!("{}}}", &self.text[..head]))?,
                    Format::Yaml => from_yaml(&self.text[..head])?,
                };
                RowKey {
                    target_namespace: identity.target_namespace,
                    target_name: identity.target_name,
                    namespace: identity.namespace,
                    name: identity.name,
                    uid: identity.uid,
                }
            }
        };
        Ok(self.key.insert(key).as_ref())
    }

    /// The row.
    ///
    /// # Errors
    /// As [`Item::key`].
    pub fn row(&self) -> io::Result<Row> {
        let content: Content = match self.format {
            Format::Json => serde_json::from_str(&self.text)?,
            Format::Yaml => from_yaml(&self.text)?,
        };
        let identity = content.identity;
        let incomplete: Vec<&str> = content.incomplete.iter().map(String::as_str).collect();
        Ok(Row::new(RowParts {
            target: &Arc::new(TargetName::new(identity.target_namespace, identity.target_name)),
            gvk: &Arc::new(Gvk::new(content.group, content.version, content.kind)),
            namespace: &identity.namespace,
            name: &identity.name,
            uid: &identity.uid,
            attributes: &content.attributes.0.to_string(),
            incomplete: &incomplete,
        }))
    }

    /// What this item is to a row, which the writer has encoded last. Equal texts are equal rows, so most of a document is
    /// compared without being parsed.
    ///
    /// # Errors
    /// As [`Item::key`].
    pub fn versus<W: Write>(&mut self, row: &Row, writer: &Writer<W>) -> io::Result<Versus> {
        let (text, format) = writer.encoded();
        if format == self.format {
            if self.text.as_bytes() == text {
                return Ok(Versus::Same);
            }
            let own = head(self.text.as_bytes(), format);
            if own.is_some() && own == head(text, format) {
                return Ok(Versus::Older);
            }
        }
        Ok(match self.key()?.cmp(&row.key()) {
            Ordering::Less => Versus::Before,
            Ordering::Greater => Versus::After,
            Ordering::Equal if format != self.format && self.row()?.hash() == row.hash() => Versus::Same,
            Ordering::Equal => Versus::Older,
        })
    }
}

/// The part of an item that says which row it is: all that stands before its attributes.
fn head(text: &[u8], format: Format) -> Option<&[u8]> {
    // Neither can be part of a value: in JSON its quotes would be escaped, in YAML names never go over lines.
    let mark: &[u8] = match format {
        Format::Json => b",\"attributes\":",
        Format::Yaml => b"\n  attributes:",
    };
    text.windows(mark.len()).position(|window| window == mark).map(|at| &text[..at])
}

/// The one item of a YAML list.
fn from_yaml<T: DeserializeOwned>(text: &str) -> io::Result<T> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    // The limits that YAML has by default are for what strangers write, and a row may be larger. That of nesting holds for rows too.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        },
    };
    let items: Vec<T> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| invalid(error.to_string()))?;
    items.into_iter().next().ok_or_else(|| invalid("an item is empty".to_owned()))
}

/// Reads the items of a document that [`Writer`] wrote, one at a time.
pub struct Reader<R> {
    input: R,
    /// The first line of the next item, if it has been read already.
    line: String,
    format: Format,
}

impl<R: BufRead> Reader<R> {
    /// Begins with the first line, which tells the format.
    ///
    /// # Errors
    /// Those of the input.
    pub fn new(mut input: R) -> io::Result<Self> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let format = if line.starts_with('{') { Format::Json } else { Format::Yaml };
        if format == Format::Json {
            line.clear();
        }
        Ok(Self { input, line, format })
    }

    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// Those of the input, and `UnexpectedEof` where the end is missing.
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        let item = |text| Some(Item { text, format: self.format, key: None });
        match self.format {
            Format::Json => {
                self.line.clear();
                if self.input.read_line(&mut self.line)? == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the document ends in the middle",
                    ));
                }
                if self.line.starts_with(']') {
                    return Ok(None);
                }
                let line = self.line.trim_end();
                Ok(item(line.strip_suffix(',').unwrap_or(line).to_owned()))
            }
            Format::Yaml => {
                if self.line.is_empty() || self.line.trim_end() == "[]" {
                    return Ok(None);
                }
                let mut text = std::mem::take(&mut self.line);
                loop {
                    let start = text.len();
                    if self.input.read_line(&mut text)? == 0 {
                        break;
                    }
                    if text[start..].starts_with("- ") {
                        self.line = text.split_off(start);
                        break;
                    }
                }
                Ok(item(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name: &str, group: &str, attributes: &str, incomplete: &[&str]| {
            Row::new(RowParts {
                target: &Arc::new(TargetName::new("team", "web")),
                gvk: &Arc::new(Gvk::new(group, "v1", "Kind")),
                namespace: "shop",
                name,
                uid: "1",
                attributes,
                incomplete,
            })
        };
        vec![
            row("a", "", r#"{"text":"- a\n- b: c\n","x":1.0}"#, &[]),
            row("b", "apps", r#"{"big":18446744073709551615,"s":"yes"}"#, &["owner"]),
            row("c", "apps", "{}", &[]),
        ]
    }

    fn document(rows: &[Row], format: Format) -> (String, Summary) {
        let mut writer = Writer::new(Vec::new(), format);
        for row in rows {
            writer.encode(row).unwrap();
            writer.write().unwrap();
        }
        let (bytes, summary) = writer.finish().unwrap();
        let items = String::from_utf8(bytes).unwrap();
        match format {
            Format::Yaml => (items, summary),
            Format::Json => {
                (envelope(&summary, 3, "2024-01-01T00:00:00Z", "east", "items") + &items, summary)
            }
        }
    }

    #[test]
    fn rows_come_back_with_the_same_hash() {
        for format in [Format::Yaml, Format::Json] {
            for rows in [&rows()[..], &rows()[..1], &[]] {
                let (text, _) = document(rows, format);
                let mut reader = Reader::new(text.as_bytes()).unwrap();
                let mut back = Vec::new();
                while let Some(mut item) = reader.next_item().unwrap() {
                    let row = item.row().unwrap();
                    assert_eq!(item.key().unwrap(), row.key());
                    back.push(row);
                }
                assert_eq!(back, rows, "{text}");
            }
        }
    }

    #[test]
    fn a_row_comes_back_whatever_its_attributes_are() {
        for attributes in [
            r#"{"a":{"$serde_json::private::RawValue":"no JSON"}}"#.to_owned(),
            format!(r#"{{"a":{}1{}}}"#, r#"[{"b":"#.repeat(30), "}]".repeat(30)),
            format!(r#"{{"a":[{}0]}}"#, "0,".repeat(300_000)),
        ] {
            let rows = [Row::new(RowParts {
                target: &Arc::new(TargetName::new("team", "web")),
                gvk: &Arc::new(Gvk::new("", "v1", "Kind")),
                namespace: "",
                name: "a",
                uid: "1",
                attributes: &attributes,
                incomplete: &[],
            })];
            for format in [Format::Yaml, Format::Json] {
                let (text, _) = document(&rows, format);
                let item = Reader::new(text.as_bytes()).unwrap().next_item().unwrap().unwrap();
                let row = item.row().unwrap_or_else(|error| panic!("{error}"));
                assert!(row == rows[0], "another row comes back as {format:?}");
            }
        }
    }

    #[test]
    fn the_envelope_has_the_keys_of_the_contract_and_the_right_checksum() {
        let (text, summary) = document(&rows(), Format::Json);
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["itemCount"], 3);
        assert_eq!(json["generation"], 3);
        assert_eq!(json["cluster"], "east");
        assert_eq!(json["items"].as_array().unwrap().len(), 3);
        let positions: Vec<usize> =
            ["schemaVersion", "checksum", "generation", "itemCount", "exportedAt", "cluster", "items"]
                .iter()
                .map(|key| text.find(&format!("\"{key}\":")).unwrap())
                .collect();
        assert!(positions.is_sorted(), "{text}");
        // The canonical array: the items without the line breaks between them.
        let array = text[text.find("\"items\":").unwrap() + 8..].replace('\n', "");
        let array = array.strip_suffix('}').unwrap();
        assert_eq!(json["checksum"], hex(&Sha256::digest(array)));
        assert_eq!(summary.checksum, document(&rows(), Format::Yaml).1.checksum);
    }

    #[test]
    fn an_empty_inventory_is_an_empty_list() {
        assert_eq!(document(&[], Format::Yaml).0, "[]\n");
        let json: Value = serde_json::from_str(&document(&[], Format::Json).0).unwrap();
        assert_eq!(json["items"], serde_json::json!([]));
    }

    #[test]
    fn a_document_that_was_cut_off_is_an_error() {
        let (text, _) = document(&rows(), Format::Json);
        let mut reader = Reader::new(&text.as_bytes()[..text.len() - 5]).unwrap();
        let result = (0..4).map(|_| reader.next_item()).find(Result::is_err);
        assert!(result.is_some());
    }
}
