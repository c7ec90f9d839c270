//! Facts: the small relations that say which pipelines there are.
//!
//! Pipelines are data, not dataflows: a target that starts to feed an inventory, or a namespace that a target may
//! now see, is one fact more. The graph joins facts with rows, so a new fact costs what it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{InventoryId, TargetId, TargetName, WatchId};
use crate::extract::{LabelSelector, Profile};

/// Where a row lies, as far as a target's view is concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Anywhere: the view of a target that selects no namespaces.
    Everything,
    /// In this namespace (the empty one holds cluster-scoped objects).
    Namespace(Arc<str>),
}

/// What an inventory does with rows that several targets extracted from one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dedupe {
    /// Keeps them all.
    #[default]
    KeepAll,
    /// Keeps one a source object: the row whose target comes first by namespace and name.
    ByResource,
}

/// One fact. Facts form a set: to say one twice is to say it once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fact {
    /// The target's rows belong to the inventory.
    Feeds {
        /// The target.
        target: TargetId,
        /// The inventory.
        inventory: InventoryId,
        /// How the inventory treats several rows of one object. One inventory has the same mode in all its facts.
        dedupe: Dedupe,
    },
    /// The target is active and sees objects in this scope. A target whose plan is [`TargetPlan::scoped`] sees nothing
    /// but the namespaces of its facts; any other sees everything or nothing.
    Sees {
        /// The target.
        target: TargetId,
        /// What it sees.
        scope: Scope,
    },
}

/// What a target extracts from the objects of one watch.
#[derive(Debug)]
pub struct TargetPlan {
    /// The number of the target.
    pub id: TargetId,
    /// Its name, which every row carries.
    pub name: Arc<TargetName>,
    /// The watch whose objects it reads.
    pub watch: WatchId,
    /// The compiled profile.
    pub profile: Arc<Profile>,
    /// Labels that an object must have.
    pub labels: LabelSelector,
    /// Names that an object may have; empty for any.
    pub names: BTreeSet<String>,
    /// Whether rows are filtered by namespace: see [`Fact::Sees`].
    pub scoped: bool,
}
