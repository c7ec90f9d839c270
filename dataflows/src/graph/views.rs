//! Views: which rows become visible and invisible together, and where they go.
//!
//! Whether a target's row is visible depends on the target, the row's namespace, and the gates through which its object was
//! selected; nothing else. All rows that agree in these have one *view*, and carry its number. What the facts say is worked out
//! for views, of which there are few, and only what follows from it is joined with rows: the target by which a view is seen, and
//! the inventories that this target feeds. A namespace that opens or closes costs what its own views cost, and then the rows of
//! those that really change; an epoch in which no fact and no view changes costs nothing here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::facts::{Dedupe, Facts, GateSetting, Touched};
use crate::data::{InventoryId, TargetId};
use crate::extract::Gates;

/// Rows and problems that a view may have before another one like it takes the next.
const FULL: usize = 128;

/// The number of a view, given by its worker. A number is given again when no row has it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct ViewId(u32);

/// What the rows of a view have in common.
#[derive(Clone, Copy)]
pub(super) struct ViewOf<'a> {
    pub(super) target: TargetId,
    pub(super) setting: GateSetting,
    pub(super) namespace: &'a str,
    pub(super) gates: Gates,
}

/// Where the rows of a visible view go: an inventory, and what it does with several rows of one object.
pub(super) type Route = (InventoryId, Dedupe);

/// What a batch changed in what can be seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SightChanges {
    /// Views that became visible (+1) and invisible (-1), with their targets.
    pub(super) visible: Vec<((ViewId, TargetId), isize)>,
    /// Routes that visible views got (+1) and lost (-1).
    pub(super) routes: Vec<((ViewId, Route), isize)>,
    /// By how much the number of visible rows changed.
    pub(super) selected: HashMap<TargetId, isize>,
}

/// What is known of one view.
struct Entry {
    target: TargetId,
    setting: GateSetting,
    namespace: Arc<str>,
    gates: Gates,
    /// Rows and problems that have the view; without any it goes.
    members: usize,
    /// The rows among them.
    rows: isize,
    /// Whether, and with which routes, the view is visible as far as the graph was told.
    visible: bool,
    routes: SmallVec<[Route; 1]>,
}

/// The views of one worker that rows have.
#[derive(Default)]
pub(super) struct Views {
    /// By target and namespace.
    places: HashMap<TargetId, BTreeMap<Arc<str>, SmallVec<[ViewId; 1]>>>,
    /// By number. Free numbers have none.
    entries: Vec<Option<Entry>>,
    free: Vec<ViewId>,
    /// Views of which something other may hold at the end of the batch; some of them more than once.
    touched: Vec<ViewId>,
    /// What the batch has changed so far in the number of visible rows.
    selected: HashMap<TargetId, isize>,
}

impl Entry {
    fn is(&self, view: ViewOf<'_>) -> bool {
        let ViewOf { target, setting, namespace, gates } = view;
        (self.target, self.setting, &*self.namespace, self.gates) == (target, setting, namespace, gates)
    }
}

impl Views {
    /// The number of a view for one row or problem more.
    pub(super) fn enter(&mut self, view: ViewOf<'_>) -> ViewId {
        let ViewOf { target, setting, namespace, gates } = view;
        let places = self.places.entry(target).or_default();
        // The last one is the most likely to have room.
        let known = places.get(namespace).into_iter().flatten().rev();
        let has_room = |entry: &Entry| entry.is(view) && entry.members < FULL;
        let known = known.copied().find(|id| entry(&self.entries, *id).is_some_and(has_room));
        if let Some(id) = known {
            if let Some(entry) = entry_mut(&mut self.entries, id) {
                entry.members += 1;
            }
            return id;
        }
        let id = self.free.pop().unwrap_or(ViewId(self.entries.len() as u32));
        let namespace =
            places.get_key_value(namespace).map_or_else(|| namespace.into(), |(known, _)| Arc::clone(known));
        places.entry(Arc::clone(&namespace)).or_default().push(id);
        if self.entries.len() == id.0 as usize {
            self.entries.push(None);
        }
        let (visible, routes) = (false, SmallVec::new());
        self.entries[id.0 as usize] =
            Some(Entry { target, setting, namespace, gates, members: 1, rows: 0, visible, routes });
        self.touched.push(id);
        id
    }

    /// A row or problem less has the view.
    pub(super) fn leave(&mut self, id: ViewId) {
        if let Some(entry) = entry_mut(&mut self.entries, id) {
            entry.members -= 1;
            if entry.members == 0 {
                // Another row of the same batch may enter it yet.
                self.touched.push(id);
            }
        }
    }

    /// One row more (+1) or less (-1) is among those that have the view.
    pub(super) fn count_row(&mut self, id: ViewId, diff: isize) {
        if let Some(entry) = entry_mut(&mut self.entries, id) {
            entry.rows += diff;
            if entry.visible {
                *self.selected.entry(entry.target).or_default() += diff;
            }
        }
    }

    /// Whether the rows that have this number belong to the view.
    pub(super) fn is(&self, id: ViewId, view: ViewOf<'_>) -> bool {
        entry(&self.entries, id).is_some_and(|entry| entry.is(view))
    }

    /// Facts about these views have changed.
    pub(super) fn touch(&mut self, touched: &Touched) {
        let Some(places) = self.places.get(&touched.target) else { return };
        match &touched.namespace {
            Some(namespace) => self.touched.extend(places.get(namespace).into_iter().flatten()),
            None => self.touched.extend(places.values().flatten()),
        }
    }

    /// Ends a batch: views without rows go, and of the others what the facts say now holds.
    pub(super) fn settle(&mut self, facts: &Facts) -> SightChanges {
        let mut changes =
            SightChanges { selected: std::mem::take(&mut self.selected), ..SightChanges::default() };
        for id in std::mem::take(&mut self.touched) {
            let Some(entry) = entry_mut(&mut self.entries, id) else { continue };
            let visible = entry.members > 0
                && entry.gates.meets(facts.open(entry.target, entry.setting, &entry.namespace));
            let routes: SmallVec<[Route; 1]> =
                if visible { facts.feeds(entry.target, &entry.namespace).collect() } else { SmallVec::new() };
            if visible != entry.visible {
                let diff = if visible { 1 } else { -1 };
                changes.visible.push(((id, entry.target), diff));
                *changes.selected.entry(entry.target).or_default() += diff * entry.rows;
                entry.visible = visible;
            }
            let without = |routes: &[Route], others: &[Route], diff| {
                let routes = routes.iter().filter(|route| !others.contains(route));
                routes.map(|route| ((id, *route), diff)).collect::<SmallVec<[_; 1]>>()
            };
            changes.routes.extend(without(&entry.routes, &routes, -1));
            changes.routes.extend(without(&routes, &entry.routes, 1));
            entry.routes = routes;
            if entry.members == 0 {
                self.remove(id);
            }
        }
        changes
    }

    fn remove(&mut self, id: ViewId) {
        let Some(entry) = self.entries[id.0 as usize].take() else { return };
        self.free.push(id);
        let Some(places) = self.places.get_mut(&entry.target) else { return };
        if let Some(ids) = places.get_mut(&entry.namespace) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                places.remove(&entry.namespace);
            }
        }
        if places.is_empty() {
            self.places.remove(&entry.target);
        }
    }
}

fn entry(entries: &[Option<Entry>], id: ViewId) -> Option<&Entry> {
    entries.get(id.0 as usize)?.as_ref()
}

fn entry_mut(entries: &mut [Option<Entry>], id: ViewId) -> Option<&mut Entry> {
    entries.get_mut(id.0 as usize)?.as_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::facts::Scope;

    const SETTING: GateSetting = GateSetting(0);

    fn of(target: u32, namespace: &str) -> ViewOf<'_> {
        ViewOf { target: TargetId(target), setting: SETTING, namespace, gates: Gates::ALL }
    }

    /// Target 1 sees everything and feeds inventory 7.
    fn facts() -> Facts {
        let mut facts = Facts::default();
        facts.see(TargetId(1), SETTING, Scope::Everywhere, Some(Gates::ALL));
        facts.feed(TargetId(1), InventoryId(7), Some(Dedupe::KeepAll));
        facts
    }

    fn touch(views: &mut Views, touched: Option<Touched>) {
        touched.iter().for_each(|touched| views.touch(touched));
    }

    /// The changes of one visible view, with its route to inventory 7 and this many rows.
    fn change(id: ViewId, diff: isize, rows: isize) -> SightChanges {
        SightChanges {
            visible: vec![((id, TargetId(1)), diff)],
            routes: vec![((id, (InventoryId(7), Dedupe::KeepAll)), diff)],
            selected: [(TargetId(1), rows)].into(),
        }
    }

    #[test]
    fn a_view_lives_from_its_first_row_to_its_last() {
        let (mut views, facts) = (Views::default(), facts());
        let a = views.enter(of(1, "a"));
        views.count_row(a, 1);
        assert_eq!(views.enter(of(1, "a")), a);
        assert_eq!(views.settle(&facts), change(a, 1, 1));
        let unseen = views.enter(of(2, "a"));
        assert_ne!(a, unseen);
        assert_eq!(views.settle(&facts), SightChanges::default());
        views.leave(a);
        assert_eq!(views.settle(&facts), SightChanges::default());
        views.count_row(a, -1);
        views.leave(a);
        let gone = views.settle(&facts);
        assert_eq!((gone.visible, gone.routes), (change(a, -1, 0).visible, change(a, -1, 0).routes));
        assert_eq!(gone.selected, [(TargetId(1), -1)].into());
        assert!(views.is(unseen, of(2, "a")) && !views.is(a, of(1, "a")));
        assert_eq!(views.enter(of(1, "c")), a);
        assert_eq!(views.settle(&facts), change(a, 1, 0));
    }

    #[test]
    fn a_view_that_is_left_and_entered_in_one_batch_stays() {
        let (mut views, facts) = (Views::default(), facts());
        let a = views.enter(of(1, "a"));
        views.settle(&facts);
        views.leave(a);
        assert_eq!(views.enter(of(1, "a")), a);
        assert_eq!(views.settle(&facts), SightChanges::default());
        views.leave(a);
        assert_eq!(views.settle(&facts).visible.len(), 1);
    }

    #[test]
    fn a_full_view_is_followed_by_one_like_it() {
        let (mut views, mut facts) = (Views::default(), facts());
        let ids: Vec<_> = (0..2 * FULL + 1).map(|_| views.enter(of(1, "a"))).collect();
        let numbers = |ids: &[ViewId]| ids.iter().copied().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(numbers(&ids).len(), 3);
        assert!(ids.chunks(FULL).all(|chunk| numbers(chunk).len() == 1));
        assert!(ids.iter().all(|id| views.is(*id, of(1, "a"))));
        assert_eq!(views.settle(&facts).visible.len(), 3);
        // Room in any of them is used.
        views.leave(ids[0]);
        for _ in 1..FULL {
            views.enter(of(1, "a"));
        }
        assert_eq!(views.enter(of(1, "a")), ids[0]);
        let hide = facts.see(TargetId(1), SETTING, Scope::Everywhere, Some(Gates::NONE));
        touch(&mut views, hide);
        assert_eq!(views.settle(&facts).visible.len(), 3);
    }

    #[test]
    fn only_what_really_changes_is_said() {
        let (mut views, mut facts) = (Views::default(), facts());
        let a = views.enter(of(1, "a"));
        let b = views.enter(of(1, "b"));
        [a, a, b].into_iter().for_each(|id| views.count_row(id, 1));
        views.settle(&facts);
        // The same, said of the namespace.
        let see = |facts: &mut Facts, namespace: &str, gates| {
            facts.see(TargetId(1), SETTING, Scope::Namespace(namespace.into()), gates)
        };
        touch(&mut views, see(&mut facts, "a", Some(Gates::ALL)));
        assert_eq!(views.settle(&facts), SightChanges::default());
        touch(&mut views, see(&mut facts, "a", Some(Gates::NONE)));
        assert_eq!(views.settle(&facts), change(a, -1, -2));
        // Taken back and said again in one batch.
        touch(&mut views, facts.feed(TargetId(1), InventoryId(7), None));
        touch(&mut views, facts.feed(TargetId(1), InventoryId(7), Some(Dedupe::KeepAll)));
        assert_eq!(views.settle(&facts), SightChanges::default());
        touch(&mut views, facts.feed(TargetId(1), InventoryId(7), Some(Dedupe::ByResource)));
        let routes = [(Dedupe::KeepAll, -1), (Dedupe::ByResource, 1)];
        let routes = routes.map(|(dedupe, diff)| ((b, (InventoryId(7), dedupe)), diff)).to_vec();
        assert_eq!(views.settle(&facts), SightChanges { routes, ..SightChanges::default() });
    }
}
