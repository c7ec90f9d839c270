//! Random histories.

use proptest::prelude::*;

use crate::model::{INVENTORIES, NAMES, NAMESPACES, PROFILES, SELECTIONS, TARGETS, WATCHES};
use crate::rollups::DEFINITIONS;

/// Positions in [`NAMESPACES`] and [`NAMES`].
pub(crate) type Name = (usize, usize);

/// What an operation does to an object; its version is given when it is fed.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) name: Name,
    pub(crate) recreate: bool,
    pub(crate) team: bool,
    /// What the object's label says about being collected: nothing, enabled, disabled.
    pub(crate) wish: u8,
    pub(crate) v: i64,
    pub(crate) w: Option<u8>,
    pub(crate) n: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The watch's stream brings an object.
    Upsert {
        watch: u32,
        content: Content,
    },
    /// The watch's stream brings an older version than the last.
    Stale {
        watch: u32,
        content: Content,
    },
    /// The watch's stream says that an object is gone.
    Delete {
        watch: u32,
        name: Name,
    },
    /// Changes that the stream missed, and then a complete list.
    Relist {
        watch: u32,
        gone: Vec<Name>,
        changed: Vec<Content>,
    },
    /// A list that breaks off after this many objects.
    BrokenList {
        watch: u32,
        objects: usize,
    },
    /// A target gets a plan, and a list of its own while the stream goes on.
    Plan {
        target: u32,
        watch: u32,
        profile: u8,
        selection: u8,
        during: Vec<Change>,
        /// The list is the watch's own, if nothing comes during it.
        own: bool,
    },
    /// A target gets a plan for another watch, which counts when somebody lists that, if anybody ever does.
    Move {
        target: u32,
        watch: u32,
        profile: u8,
        selection: u8,
    },
    Hold {
        target: u32,
    },
    Remove {
        target: u32,
    },
    Feeds {
        target: u32,
        inventory: u32,
        on: bool,
    },
    /// What an inventory does with several rows of one object.
    Dedupe {
        inventory: u32,
        by_resource: bool,
    },
    /// An inventory is rolled up by one of the definitions, or not any more.
    Rollup {
        inventory: u32,
        definition: usize,
        on: bool,
    },
    /// The namespaces whose rows an inventory takes; all without any.
    Takes {
        inventory: u32,
        namespaces: Option<Vec<usize>>,
    },
    /// The gates of a selection that are open for a target somewhere.
    Sees {
        target: u32,
        selection: u8,
        scope: Option<usize>,
        gates: Option<u8>,
    },
    /// The same for several namespaces, and nowhere else.
    SeesOnly {
        target: u32,
        selection: u8,
        namespaces: Vec<usize>,
        gates: u8,
    },
    /// What was said of a target's other selections than its present one is forgotten.
    KeepSetting {
        target: u32,
    },
}

/// What the stream brings while a target's own list is under way.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Upsert(Content),
    Delete(Name),
}

fn name() -> impl Strategy<Value = Name> {
    (0..NAMESPACES.len(), 0..NAMES.len())
}

fn content() -> impl Strategy<Value = Content> {
    let w = prop::option::of(0..3u8);
    let n = prop::option::of(0..3i64);
    let wish = prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => Just(2)];
    (name(), prop::bool::weighted(0.2), any::<bool>(), wish, 0..3i64, w, n)
        .prop_map(|(name, recreate, team, wish, v, w, n)| Content { name, recreate, team, wish, v, w, n })
}

fn op() -> impl Strategy<Value = Op> {
    let watch = || 0..WATCHES;
    let target = || 0..TARGETS;
    // Most often the first selection, so that facts and plans often fit together.
    let selection = || prop_oneof![2 => Just(0), 3 => 0..SELECTIONS];
    let gates = || prop_oneof![2 => Just(15u8), 3 => 0..16u8];
    let change = prop_oneof![content().prop_map(Change::Upsert), name().prop_map(Change::Delete)];
    let plan =
        (target(), watch(), 1..PROFILES, selection(), prop::collection::vec(change, 0..4), any::<bool>());
    prop_oneof![
        8 => (watch(), content()).prop_map(|(watch, content)| Op::Upsert { watch, content }),
        1 => (watch(), content()).prop_map(|(watch, content)| Op::Stale { watch, content }),
        3 => (watch(), name()).prop_map(|(watch, name)| Op::Delete { watch, name }),
        1 => (watch(), prop::collection::vec(name(), 0..4), prop::collection::vec(content(), 0..4))
            .prop_map(|(watch, gone, changed)| Op::Relist { watch, gone, changed }),
        1 => (watch(), 0..6usize).prop_map(|(watch, objects)| Op::BrokenList { watch, objects }),
        3 => plan.prop_map(|(target, watch, profile, selection, during, own)| {
            Op::Plan { target, watch, profile, selection, during, own }
        }),
        2 => (target(), 0..=WATCHES, 1..PROFILES, selection())
            .prop_map(|(target, watch, profile, selection)| Op::Move { target, watch, profile, selection }),
        1 => target().prop_map(|target| Op::Hold { target }),
        1 => target().prop_map(|target| Op::Remove { target }),
        4 => (target(), 0..INVENTORIES, prop::bool::weighted(0.8))
            .prop_map(|(target, inventory, on)| Op::Feeds { target, inventory, on }),
        1 => (0..INVENTORIES, any::<bool>())
            .prop_map(|(inventory, by_resource)| Op::Dedupe { inventory, by_resource }),
        3 => (0..INVENTORIES, 0..DEFINITIONS.len(), prop::bool::weighted(0.8))
            .prop_map(|(inventory, definition, on)| Op::Rollup { inventory, definition, on }),
        2 => (0..INVENTORIES, prop::option::weighted(0.7, prop::collection::vec(0..NAMESPACES.len(), 0..3)))
            .prop_map(|(inventory, namespaces)| Op::Takes { inventory, namespaces }),
        5 => (target(), selection(), prop::option::of(0..NAMESPACES.len()), prop::option::weighted(0.8, gates()))
            .prop_map(|(target, selection, scope, gates)| Op::Sees { target, selection, scope, gates }),
        1 => (target(), selection(), prop::collection::vec(0..NAMESPACES.len(), 0..3), gates())
            .prop_map(|(target, selection, namespaces, gates)| Op::SeesOnly { target, selection, namespaces, gates }),
        1 => target().prop_map(|target| Op::KeepSetting { target }),
    ]
}

pub(crate) fn history() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 1..8), 1..12)
}
