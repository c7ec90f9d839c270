//! Rows: what has been extracted is written to documents, and comes back from them.

use std::sync::Arc;

use kollect::sinks::snapshot::document::{Reader, Writer, envelope};
use kollect::sinks::snapshot::layout::Format;
use kollect_dataflows::data::{Row, RowParts, TargetName};
use kollect_dataflows::extract::{Document, Extraction};

/// A row of an object comes back as it was from a document of either format.
pub(crate) fn check_documents(object: &[u8], extraction: &Extraction) {
    let document = Document::parse(object).unwrap();
    let incomplete: Vec<&str> = extraction.problems.iter().map(|problem| &*problem.attribute).collect();
    let row = Row::new(RowParts {
        target: &Arc::new(TargetName::new("shop", "target")),
        gvk: &Arc::new(crate::extraction::gvk_of(&document)),
        namespace: document.namespace(),
        name: document.name(),
        uid: document.uid(),
        attributes: &extraction.attributes,
        incomplete: &incomplete,
    });
    for format in [Format::Yaml, Format::Json] {
        let mut writer = Writer::new(Vec::new(), format);
        // Twice, so that there is something behind the first.
        for _ in 0..2 {
            writer.encode(&row).unwrap();
            writer.write().unwrap();
        }
        let (items, summary) = writer.finish().unwrap();
        let mut text = match format {
            Format::Yaml => String::new(),
            Format::Json => envelope(&summary, 1, "2026-01-02T03:04:05Z", "", "items"),
        };
        text.push_str(&String::from_utf8(items).unwrap());
        let mut reader = Reader::new(text.as_bytes()).unwrap();
        for _ in 0..2 {
            let mut item = reader.next_item().unwrap().expect(&text);
            assert_eq!(item.key().expect(&text), row.key(), "{text}");
            let back = item.row().unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(back.attributes(), row.attributes(), "{text}");
            assert_eq!(back, row, "{text}");
        }
        assert!(reader.next_item().unwrap().is_none(), "{text}");
    }
}
