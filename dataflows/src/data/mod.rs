//! Plain data that crosses the borders of the graph: names, rows, changes.
//!
//! Everything outside this crate that handles rows (sinks, export, the command line) needs this module
//! and nothing else of the crate.
//!
//! - [`Row`]: what one target extracted from one object; compact, immutable, cheap to clone.
//! - [`RowKey`]: a row's identity within an inventory; its order is the order of every export.
//! - [`RowHash`] and [`Digest`]: content hashes of one row and of a set of rows.
//! - [`Delta`]: what happened to one row in one epoch.
//! - [`PlainValue`]: how the attributes of a row, which are JSON, are read.

mod delta;
mod names;
mod plain;
mod row;

pub use delta::Delta;
pub use names::{Gvk, InventoryId, RollupId, TargetId, TargetName, WatchId};
pub use plain::PlainValue;
pub use row::{Digest, Row, RowHash, RowKey, RowParts};
