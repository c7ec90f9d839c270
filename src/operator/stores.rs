//! The objects of one kind in all the namespaces that the operator is for: one store a namespace, so that one that can't be read
//! leaves the others as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::runtime::ObjectStore;
use crate::sources::{ObjectName, SourceProblem};

/// One store a namespace, or one for the whole cluster.
pub(super) struct Stores(Vec<(Option<String>, ObjectStore)>);

impl Stores {
    /// One store, for the whole cluster.
    pub(super) fn whole(store: ObjectStore) -> Self {
        Self(vec![(None, store)])
    }

    /// One for each namespace.
    pub(super) fn of_each(namespaces: &BTreeSet<String>, mut start: impl FnMut(&str) -> ObjectStore) -> Self {
        Self(namespaces.iter().map(|name| (Some(name.clone()), start(name))).collect())
    }

    /// None: of a kind that is not read there are no objects, and that is all there is to know.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// All objects.
    pub(super) fn objects(&self) -> BTreeMap<ObjectName, Arc<[u8]>> {
        self.0.iter().flat_map(|(_, store)| store.objects()).collect()
    }

    /// Whether everywhere the objects are known, or what keeps them from being so that waiting does not cure.
    pub(super) fn are_known(&self) -> bool {
        self.0.iter().all(|(_, store)| store.is_complete() || out_of_reach(store).is_some())
    }

    /// Whether the API server serves the kind, as far as anybody knows.
    pub(super) fn is_served(&self) -> bool {
        let missing =
            |store: &ObjectStore| store.problem().filter(|problem| problem.reason == "KindNotFound");
        self.0.iter().all(|(_, store)| missing(store).is_none())
    }

    /// Where the objects have never been known and waiting does not cure that, and why: by namespace, or for the whole cluster.
    pub(super) fn out_of_reach(&self) -> impl Iterator<Item = (Option<&str>, SourceProblem)> {
        self.0.iter().filter_map(|(namespace, store)| Some((namespace.as_deref(), out_of_reach(store)?)))
    }
}

/// Why the objects of a store have never been known, unless it is only a matter of waiting.
fn out_of_reach(store: &ObjectStore) -> Option<SourceProblem> {
    let problem = store.problem().filter(|_| !store.is_complete());
    problem.filter(|problem| problem.reason != "SourceUnavailable")
}
