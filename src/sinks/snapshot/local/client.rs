//! Which of the two sinks a layout needs, and what they have in common.

use std::io::{self, Write};

use kollect_dataflows::data::Row;

use super::config::Config;
use super::document::Document;
use super::encode::Content;
use super::files::{Root, no_directory};
use super::manifest::Manifest;
use super::resources::Resources;
use crate::sinks::blocking;
use crate::sinks::path::place_for;
use crate::sinks::snapshot::document::{Writer, envelope};
use crate::sinks::snapshot::layout::{Format, LayoutMode};
use crate::sinks::snapshot::yaml;
use crate::sinks::{BindingName, Preview, Provisioning, Receipt, Sink, SinkError, Term};

/// A sink of the shape that the layout asks for.
pub fn open(config: &Config, binding: &BindingName, term: &Term) -> Sink {
    match config.layout().mode() {
        LayoutMode::Document => {
            Sink::Document(Box::new(Document::new(config.clone(), binding.clone(), term.clone())))
        }
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
            (Some(layout.document(binding, 1)), row.map(|row| document(config, binding, row)))
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
            let envelope = envelope(&summary, 1, "1970-01-01T00:00:00Z", &binding.cluster, "items");
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
                // The index has counted its rows.
                Content::Part(_) => 0,
                Content::Row(_) => 1,
            };
        }
    }
    root.prune(entries.keys().map(|path| &**path))?;
    manifest.remove(root)?;
    Ok(receipt)
}
