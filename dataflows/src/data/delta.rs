//! What happened to one row.

use super::row::{Row, RowKey};

/// One row's change in one inventory in one epoch.
///
/// The row before and the row after are whole rows, so whoever takes a delta needs no state of its own to
/// write a change log or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// The row was not there before the epoch and is there after it.
    Insert(Row),
    /// The row is there before and after, with other content.
    Update {
        /// The row at the end of the epoch before.
        before: Row,
        /// The row at the end of this epoch.
        after: Row,
    },
    /// The row was there before the epoch and is not there after it.
    Delete(Row),
}

impl Delta {
    /// What leads from one version of a row to another; `None` when there is nothing between them.
    pub fn between(before: Option<Row>, after: Option<Row>) -> Option<Self> {
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(Self::Insert(after)),
            (Some(before), None) => Some(Self::Delete(before)),
            (Some(before), Some(after)) => (before != after).then_some(Self::Update { before, after }),
        }
    }

    /// The row's identity; the same before and after.
    pub fn key(&self) -> RowKey<&str> {
        match self {
            Self::Insert(row) | Self::Delete(row) | Self::Update { after: row, .. } => row.key(),
        }
    }

    /// The row before the epoch, if it was there.
    pub fn before(&self) -> Option<&Row> {
        match self {
            Self::Insert(_) => None,
            Self::Update { before, .. } | Self::Delete(before) => Some(before),
        }
    }

    /// The row after the epoch, if it is there.
    pub fn after(&self) -> Option<&Row> {
        match self {
            Self::Insert(after) | Self::Update { after, .. } => Some(after),
            Self::Delete(_) => None,
        }
    }
}
