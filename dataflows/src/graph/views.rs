//! Views: which rows become visible and invisible together.
//!
//! Whether a target's row is visible depends on the target, the row's namespace, and the gates through which its object was
//! selected; nothing else. All rows that agree in these have one *view*, and carry its number. The facts of what targets see are
//! joined with the views, of which there are few, and only then with rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::facts::GateSetting;
use crate::data::TargetId;
use crate::extract::Gates;

/// The number of a view, given by its worker. A number is given again when no row has it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct ViewId(pub(super) u32);

/// What the rows of a view have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct View {
    pub(super) target: TargetId,
    pub(super) setting: GateSetting,
    pub(super) namespace: Arc<str>,
    pub(super) gates: Gates,
}

/// A view that may not be known yet.
#[derive(Clone, Copy)]
pub(super) struct ViewOf<'a> {
    pub(super) target: TargetId,
    pub(super) setting: GateSetting,
    pub(super) namespace: &'a str,
    pub(super) gates: Gates,
}

impl ViewOf<'_> {
    fn is(self, view: &View) -> bool {
        let View { target, setting, namespace, gates } = view;
        (self.target, self.setting, self.namespace, self.gates) == (*target, *setting, namespace, *gates)
    }
}

impl From<ViewOf<'_>> for View {
    fn from(view: ViewOf<'_>) -> Self {
        let ViewOf { target, setting, namespace, gates } = view;
        Self { target, setting, namespace: namespace.into(), gates }
    }
}

/// The views of one worker that rows have.
#[derive(Default)]
pub(super) struct Views {
    ids: HashMap<View, ViewId>,
    /// By number: the view and how many have it. Free numbers have none.
    slots: Vec<Option<(View, usize)>>,
    free: Vec<ViewId>,
    /// Views that may have lost their last row.
    left: Vec<ViewId>,
    /// Views that came (+1) and went (-1) since this was last asked for.
    changes: Vec<((View, ViewId), isize)>,
}

impl Views {
    /// The number of a view for one row more.
    pub(super) fn enter(&mut self, view: ViewOf<'_>) -> ViewId {
        match self.ids.entry(view.into()) {
            Entry::Occupied(known) => {
                let id = *known.get();
                if let Some(Some((_, rows))) = self.slots.get_mut(id.0 as usize) {
                    *rows += 1;
                }
                id
            }
            Entry::Vacant(new) => {
                let id = self.free.pop().unwrap_or(ViewId(self.slots.len() as u32));
                let view = new.key().clone();
                new.insert(id);
                self.changes.push(((view.clone(), id), 1));
                if self.slots.len() == id.0 as usize {
                    self.slots.push(None);
                }
                self.slots[id.0 as usize] = Some((view, 1));
                id
            }
        }
    }

    /// A row less has the view.
    pub(super) fn leave(&mut self, id: ViewId) {
        if let Some(Some((_, rows))) = self.slots.get_mut(id.0 as usize) {
            *rows -= 1;
            if *rows == 0 {
                // Another row of the same batch may enter it yet.
                self.left.push(id);
            }
        }
    }

    /// Whether a row that enters this view would get this number.
    pub(super) fn is(&self, id: ViewId, view: ViewOf<'_>) -> bool {
        matches!(self.slots.get(id.0 as usize), Some(Some((known, _))) if view.is(known))
    }

    /// Ends a batch: views without rows go. Gives the views that came and went.
    pub(super) fn settle(&mut self) -> Vec<((View, ViewId), isize)> {
        for id in std::mem::take(&mut self.left) {
            let slot = &mut self.slots[id.0 as usize];
            if slot.as_ref().is_some_and(|(_, rows)| *rows == 0)
                && let Some((view, _)) = slot.take()
            {
                self.ids.remove(&view);
                self.free.push(id);
                self.changes.push(((view, id), -1));
            }
        }
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: u32, namespace: &str) -> ViewOf<'_> {
        ViewOf { target: TargetId(target), setting: GateSetting(0), namespace, gates: Gates::ALL }
    }

    fn view(target: u32, namespace: &str) -> View {
        of(target, namespace).into()
    }

    #[test]
    fn a_view_lives_from_its_first_row_to_its_last() {
        let mut views = Views::default();
        let a = views.enter(of(1, "a"));
        assert_eq!(views.enter(of(1, "a")), a);
        let b = views.enter(of(1, "b"));
        assert_ne!(a, b);
        assert_eq!(views.settle(), [((view(1, "a"), a), 1), ((view(1, "b"), b), 1)]);
        views.leave(a);
        assert_eq!(views.settle(), []);
        views.leave(a);
        assert_eq!(views.settle(), [((view(1, "a"), a), -1)]);
        assert!(views.is(b, of(1, "b")) && !views.is(a, of(1, "a")));
        assert_eq!(views.enter(of(2, "c")), a);
        assert_eq!(views.settle(), [((view(2, "c"), a), 1)]);
    }

    #[test]
    fn a_view_that_is_left_and_entered_in_one_batch_stays() {
        let mut views = Views::default();
        let a = views.enter(of(1, "a"));
        views.settle();
        views.leave(a);
        assert_eq!(views.enter(of(1, "a")), a);
        assert_eq!(views.settle(), []);
        views.leave(a);
        assert_eq!(views.settle().len(), 1);
    }
}
