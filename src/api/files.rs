//! How rows are written into files: formats, and how an inventory is spread over files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, rule};

/// How rows are written into files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SerializationSpec {
    /// The format: `yaml` (the default of local), `json`, `ndjson`, `csv` or `parquet`. Sinks of type local write `yaml` and `json`
    /// in this version, and refuse the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FileFormat")]
    pub format: Option<FileFormat>,
    /// How files are compressed: `none` (default), `gzip`, `snappy` or `zstd`. Sinks of type local do not compress in this version, and
    /// refuse the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Compression")]
    pub compression: Option<Compression>,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
    /// JSON, one row a line.
    Ndjson,
    /// CSV.
    Csv,
    /// Parquet.
    Parquet,
}

impl FileFormat {
    /// The word that stands in the field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip.
    Gzip,
    /// By Snappy.
    Snappy,
    /// By Zstandard.
    Zstd,
}

/// How an inventory is spread over files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LayoutSpec {
    /// `document`: one file an inventory. `perResource`: one file a row. `split`: one file a row, and an index of them; refused by sinks
    /// of type local in this version.
    #[serde(default)]
    pub mode: LayoutMode,
    /// What a row's file holds, in mode perResource: `item`, the row; `attributes`, its attributes alone; `manifest`, the exported object.
    /// Sinks of type local write `item` in this version, and refuse the others.
    #[serde(default)]
    pub content: LayoutContent,
    /// Path of a row's file below the inventory's path, in mode perResource; default
    /// `{cluster}/{sourceNamespace}/{kind}/{sourceName}{extension}`. Holds `{sourceName}`, `{name}` or `{uid}`, and may hold `{cluster}`, `{namespace}`,
    /// `{targetNamespace}`, `{targetName}`, `{sourceNamespace}`, `{group}`, `{kind}`, `{generation}` (refused by type local) and
    /// `{extension}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = schema::ONE_LINE),
        extend("x-kubernetes-validations" = [
            rule("!self.startsWith('/') && !self.contains('\\\\')", "the path is not relative; give one that is relative to the inventory's path"),
            rule(
                "!self.matches('(^|/)[.]{0,2}(/|$)')",
                "a segment of the path is empty, `.` or `..`; use names and placeholders only",
            ),
            rule(
                "self.contains('{sourceName}') || self.contains('{name}') || self.contains('{uid}')",
                "the path is the same for several rows; let it hold {sourceName}, {name} or {uid}",
            ),
            rule(
                "self.matches('^([^{}]|[{](cluster|namespace|name|targetNamespace|targetName|sourceNamespace|sourceName|group|kind|uid|generation|extension)[}])*$')",
                "the path has an unknown placeholder or a brace too many; the placeholders are {cluster}, {namespace}, {name}, {targetNamespace}, {targetName}, {sourceNamespace}, {sourceName}, {group}, {kind}, {uid}, {generation} and {extension}",
            ),
        ])
    )]
    pub path_template: Option<String>,
    /// An index of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexSpec>,
    /// How segments of paths are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<FilenameSpec>,
}

/// An index of the files of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IndexSpec {
    /// Whether there is one; default: in mode split. Refused by sinks of type local in this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Path of the index below the endpoint, with the placeholders of `spec.pathTemplate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = schema::ONE_LINE),
        extend("x-kubernetes-validations" = [
            rule("!self.startsWith('/') && !self.contains('\\\\')", "the path is not relative; give one that is relative to the endpoint"),
            rule(
                "!self.matches('(^|/)[.]{0,2}(/|$)')",
                "a segment of the path is empty, `.` or `..`; use names and placeholders only",
            ),
        ])
    )]
    pub path_template: Option<String>,
}

/// How an inventory is spread over files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LayoutMode {
    /// One file an inventory.
    #[default]
    Document,
    /// One file a row.
    PerResource,
    /// One file a row, and an index.
    Split,
}

/// What a row's file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LayoutContent {
    /// The row.
    #[default]
    Item,
    /// Its attributes alone.
    Attributes,
    /// The exported object.
    Manifest,
}

/// How segments of paths are made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilenameSpec {
    /// Whether the segment of the kind names the API group: `auto` (default) where the group is not one of Kubernetes'
    /// own, `always`, `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GroupInPath")]
    pub group_in_path: Option<GroupInPath>,
    /// Writes the kind in lower case; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowercase_kind: Option<bool>,
    /// The most bytes that a segment may have; default 63. Longer ones are cut off and get a short hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub max_segment_length: Option<i32>,
}

/// Whether the segment of the kind names the API group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GroupInPath {
    /// Where the group is not one of Kubernetes' own.
    #[default]
    Auto,
    /// Wherever there is one.
    Always,
    /// Nowhere.
    Never,
}
