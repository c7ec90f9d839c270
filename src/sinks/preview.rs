//! What a binding would bring to its destination: computed from settings and a row, without a look at the destination.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use kollect_dataflows::data::Row;

/// A row as JSON.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn json(row: &Row) -> String {
    let mut json = Vec::new();
    row.write_json(&mut json);
    String::from_utf8_lossy(&json).into_owned()
}

/// See the module's description. Parts that a backend does not have are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The path of the row's file or of the inventory's document.
    pub path: Option<String>,
    /// The content of that file with one row in it, or the row as it goes into a table.
    pub sample: Option<String>,
    /// What would be created in a database that has nothing yet.
    pub ddl: Option<String>,
}
