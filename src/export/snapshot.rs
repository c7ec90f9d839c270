//! Reads a look's rows and believes them only when they are complete.
//!
//! A row that a look lacks is deleted at the destination, so a look that broke off must not pass for a small one: its
//! rows are counted, and their digest is compared with the one that the graph keeps incrementally.

use std::cmp::Ordering;

use kollect_dataflows::data::{Digest, Row};

use super::Resumption;
use crate::sinks::{Rows, SinkError};

/// The rows of a look, checked as they pass.
pub(super) struct Checked<'a> {
    rows: &'a mut dyn Rows,
    /// What is left to come.
    count: u64,
    digest: Digest,
    last: Option<Row>,
}

impl<'a> Checked<'a> {
    pub(super) fn new(look: &'a mut Resumption) -> Self {
        Self { rows: look.rows.as_mut(), count: look.count, digest: look.digest, last: None }
    }

    /// The next rows; `None` after the last, and only if the look was complete.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row>>, SinkError> {
        let Some(chunk) = self.rows.next().await else {
            let complete = self.count == 0 && self.digest == Digest::default();
            return if complete { Ok(None) } else { Err(broken("broke off or does not match its digest")) };
        };
        for row in &chunk {
            if self.last.as_ref().is_some_and(|last| last.cmp_key(row) != Ordering::Less) {
                return Err(broken("is out of order"));
            }
            self.count =
                self.count.checked_sub(1).ok_or_else(|| broken("has more rows than were announced"))?;
            self.digest.remove(row.hash());
            self.last = Some(row.clone());
        }
        Ok(Some(chunk))
    }
}

fn broken(how: &str) -> SinkError {
    SinkError::Interrupted {
        message: format!("the look at the inventory's rows {how}; nothing is concluded from it"),
    }
}
