//! How far a binding is, and what its rows add up to.

use kollect_dataflows::data::{Digest, RowHash};

use crate::sinks::Receipt;

/// A binding's row in `rows_exports`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last sequence number of the change log.
    pub(crate) seq: u64,
    /// Rows of the binding.
    pub(crate) rows: u64,
    /// The sum of their stored hashes.
    pub(crate) digest: Digest,
}

impl Position {
    /// Takes in one changed row, by its stored hash before and after, and counts it in `receipt`.
    pub(crate) fn count(&mut self, before: Option<RowHash>, after: Option<RowHash>, receipt: &mut Receipt) {
        if let Some(hash) = before {
            self.digest.remove(hash);
        }
        if let Some(hash) = after {
            self.digest.add(hash);
        }
        match (before, after) {
            (None, None) => return,
            (None, Some(_)) => {
                self.rows += 1;
                receipt.inserted += 1;
            }
            (Some(_), Some(_)) => receipt.updated += 1,
            (Some(_), None) => {
                // A table that was changed by hand may hold fewer rows than were counted.
                self.rows = self.rows.saturating_sub(1);
                receipt.deleted += 1;
            }
        }
        self.seq += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_follows_inserts_updates_and_deletes_back_to_nothing() {
        let (a, b) = (RowHash(7), RowHash(u128::MAX));
        let (mut position, mut receipt) = (Position::default(), Receipt::default());
        position.count(None, Some(a), &mut receipt);
        position.count(None, Some(b), &mut receipt);
        assert_eq!((position.seq, position.rows, position.digest), (2, 2, Digest(6)));
        position.count(Some(a), Some(b), &mut receipt);
        position.count(Some(b), None, &mut receipt);
        position.count(Some(b), None, &mut receipt);
        assert_eq!((position.seq, position.rows, position.digest), (5, 0, Digest(0)));
        assert_eq!((receipt.inserted, receipt.updated, receipt.deleted), (2, 1, 2));
    }
}
