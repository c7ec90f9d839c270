//! Changes that wait for a destination: at most one a row.
//!
//! Adding a change must cost next to nothing, because the task that does it serves all bindings. So changes are appended
//! as they come, and put together (sorted by row, those of one row joined) by whoever takes them. Only when there are more
//! than twice as many as there are known to be rows are they put together in between, which keeps the memory bounded. An
//! epoch has one change a row at most, so however large it is, adding it is appending it.

use std::cmp::Ordering;

use kollect_dataflows::data::{Delta, Row};

/// So many changes may wait without being put together, however few rows they concern.
const SLACK: usize = 4096;

/// What became of one row over one or more epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// The row before the first of these epochs, if it was there.
    pub(super) before: Option<Row>,
    /// The last row seen: the one that is there now, or the one that went.
    pub(super) last: Row,
    /// Whether the row is there now.
    pub(super) present: bool,
}

impl Pending {
    fn new(delta: &Delta) -> Self {
        let (before, last, present) = match delta {
            Delta::Insert(row) => (None, row, true),
            Delta::Update { before, after } => (Some(before), after, true),
            Delta::Delete(row) => (Some(row), row, false),
        };
        Self { before: before.cloned(), last: last.clone(), present }
    }

    /// The row as it is now, if it is there.
    pub(super) fn after(&self) -> Option<&Row> {
        self.present.then_some(&self.last)
    }

    fn came_and_went(&self) -> bool {
        self.before.is_none() && !self.present
    }

    fn changed_back(&self) -> bool {
        self.present && self.before.as_ref() == Some(&self.last)
    }
}

/// The changes of one or more whole epochs.
#[derive(Debug, Default)]
pub(super) struct Changes {
    entries: Vec<Pending>,
    /// There are changes of at least so many rows.
    rows: usize,
    /// Keep rows that came and went: the destination may hold such a row from earlier times.
    keep_vanished: bool,
}

impl Changes {
    pub(super) fn new(keep_vanished: bool) -> Self {
        Self { keep_vanished, ..Self::default() }
    }

    /// Appends the deltas of one epoch.
    pub(super) fn extend(&mut self, deltas: &[Delta]) {
        self.entries.extend(deltas.iter().map(Pending::new));
        self.rows = self.rows.max(deltas.len());
        if self.entries.len() > 2 * self.rows + SLACK {
            self.put_together();
        }
    }

    /// How many changes wait. Several of one row may count more than once.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes all changes out.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.keep_vanished))
    }

    /// The changes in key order, one a row; those that cancel out are gone.
    pub(super) fn into_sorted(mut self) -> Vec<Pending> {
        self.put_together();
        self.entries
    }

    fn put_together(&mut self) {
        // Stable, so that changes of one row stay in the order of their epochs; linear where there are sorted runs.
        self.entries.sort_by(|a, b| a.last.cmp_key(&b.last));
        self.entries.dedup_by(|next, first| {
            let same = first.last.cmp_key(&next.last) == Ordering::Equal;
            if same {
                std::mem::swap(&mut first.last, &mut next.last);
                first.present = next.present;
            }
            same
        });
        let keep_vanished = self.keep_vanished;
        self.entries.retain(|entry| !entry.changed_back() && (keep_vanished || !entry.came_and_went()));
        self.rows = self.entries.len();
    }
}
