//! A whole inventory as one text: written row by row, read back row by row.
//!
//! - YAML: the list of rows. The same rows give the same bytes.
//! - JSON: the envelope of the contract. Checksum and count stand before the items, so the items are written first, one a
//!   line, and the envelope is put around them.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use kollect_dataflows::data::{Gvk, Row, RowParts, TargetName};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::layout::Format;
use super::yaml;

/// Writes the items of a document.
pub struct Writer<W> {
    out: W,
    format: Format,
    items: u64,
    checksum: Sha256,
    json: Vec<u8>,
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
        Self { out, format, items: 0, checksum: Sha256::new_with_prefix(b"["), json: Vec::new() }
    }

    /// Adds a row; rows come in key order.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn push(&mut self, row: &Row) -> io::Result<()> {
        self.json.clear();
        row.write_json(&mut self.json);
        if self.items > 0 {
            self.checksum.update(b",");
        }
        self.checksum.update(&self.json);
        match self.format {
            Format::Yaml => {
                self.out.write_all(b"- ")?;
                yaml::write_row(&mut self.out, row, 2)?;
            }
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
            Format::Json => self.out.write_all(b"\n]}\n")?,
        }
        self.out.flush()?;
        self.checksum.update(b"]");
        let checksum = self.checksum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((self.out, Summary { items: self.items, checksum }))
    }
}

/// The envelope's beginning, up to the opening bracket of the items.
pub fn envelope(summary: &Summary, generation: u64, exported_at: &str, cluster: &str) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let cluster = if cluster.is_empty() { String::new() } else { format!("\"cluster\":{},", text(cluster)) };
    format!(
        "{{\"schemaVersion\":\"kollect.dev/v1alpha1\",\"checksum\":{},\"generation\":{generation},\"itemCount\":{},\
         \"exportedAt\":{},{cluster}\"items\":[",
        text(&summary.checksum),
        summary.items,
        text(exported_at),
    )
}

/// A row as it stands in a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    target_namespace: String,
    target_name: String,
    namespace: String,
    name: String,
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
    uid: String,
    attributes: Value,
    #[serde(default)]
    incomplete: Vec<String>,
}

impl Item {
    fn into_row(self) -> Row {
        let incomplete: Vec<&str> = self.incomplete.iter().map(String::as_str).collect();
        Row::new(RowParts {
            target: &Arc::new(TargetName::new(self.target_namespace, self.target_name)),
            gvk: &Arc::new(Gvk::new(self.group, self.version, self.kind)),
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
            attributes: &self.attributes.to_string(),
            incomplete: &incomplete,
        })
    }
}

/// Reads the rows of a document that [`Writer`] wrote, one at a time.
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

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// Those of the input, and `InvalidData` where the text is not what was once written.
    pub fn next_row(&mut self) -> io::Result<Option<Row>> {
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
                let item: Item = serde_json::from_str(self.line.trim_end().trim_end_matches(','))?;
                Ok(Some(item.into_row()))
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
                let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
                let items: Vec<Item> =
                    serde_saphyr::from_str(&text).map_err(|error| invalid(error.to_string()))?;
                let item = items.into_iter().next().ok_or_else(|| invalid("an item is empty".to_owned()))?;
                Ok(Some(item.into_row()))
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
            writer.push(row).unwrap();
        }
        let (bytes, summary) = writer.finish().unwrap();
        let items = String::from_utf8(bytes).unwrap();
        match format {
            Format::Yaml => (items, summary),
            Format::Json => (envelope(&summary, 3, "2024-01-01T00:00:00Z", "east") + &items, summary),
        }
    }

    #[test]
    fn rows_come_back_with_the_same_hash() {
        for format in [Format::Yaml, Format::Json] {
            for rows in [&rows()[..], &rows()[..1], &[]] {
                let (text, _) = document(rows, format);
                let mut reader = Reader::new(text.as_bytes()).unwrap();
                let mut back = Vec::new();
                while let Some(row) = reader.next_row().unwrap() {
                    back.push(row);
                }
                assert_eq!(back, rows, "{text}");
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
        let expected: String = Sha256::digest(array).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(json["checksum"], expected.as_str());
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
        let result = (0..4).map(|_| reader.next_row()).find(Result::is_err);
        assert!(result.is_some());
    }
}
