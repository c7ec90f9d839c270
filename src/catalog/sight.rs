//! Where a target looks: which of its gates are open in which namespace.

use std::collections::{BTreeMap, BTreeSet};

use kollect_dataflows::extract::{Gates, LabelSelector, MAX_GROUPS, Wish};

use super::Input;
use super::input::Namespace;
use crate::api::{TargetFilter, WatchMode};

/// The namespace of objects that belong to none.
const NO_NAMESPACE: &str = "";

/// Where a target looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The gates that are open everywhere but in the namespaces below, cluster-scoped objects included. `None` when the
    /// target selects namespaces.
    pub everywhere: Option<Gates>,
    /// The gates that are open in single namespaces, and for objects without one, whose namespace is empty.
    pub namespaces: BTreeMap<String, Gates>,
}

impl Sight {
    /// The namespaces that the target selects; `None` when it selects none in particular.
    pub fn selected(&self) -> Option<impl Iterator<Item = &str>> {
        let open = self.namespaces.iter().filter(|(name, gates)| **gates != Gates::NONE && !name.is_empty());
        self.everywhere.is_none().then(|| open.map(|(name, _)| name.as_str()))
    }

    /// What is left of it in these namespaces, and outside of all namespaces.
    pub(super) fn within(mut self, names: &BTreeSet<String>) -> Self {
        let everywhere = self.everywhere.take();
        let gates = |name: &str| self.namespaces.get(name).copied().or(everywhere);
        let names = names.iter().map(String::as_str).chain([NO_NAMESPACE]);
        self.namespaces = names.filter_map(|name| Some((name.to_owned(), gates(name)?))).collect();
        self
    }
}

/// What decides where a target looks.
#[derive(Default)]
pub(super) struct Selectors {
    pub(super) namespaces: Option<LabelSelector>,
    pub(super) excluded: Option<LabelSelector>,
    /// By group of rules: the namespaces that they are for; all without a selector.
    pub(super) groups: Vec<Option<LabelSelector>>,
}

impl Selectors {
    /// The number of the group of rules that are for these namespaces; `None` when there are too many groups.
    pub(super) fn group(&mut self, namespaces: Option<LabelSelector>) -> Option<u8> {
        let at = self.groups.iter().position(|group| *group == namespaces).unwrap_or_else(|| {
            self.groups.push(namespaces);
            self.groups.len() - 1
        });
        u8::try_from(at).ok().filter(|group| *group < MAX_GROUPS)
    }

    /// Whether namespaces are selected, so that they must be known.
    pub(super) fn need_namespaces(&self, spec: &TargetFilter) -> bool {
        self.namespaces.is_some()
            || self.excluded.is_some()
            || !spec.excluded_namespaces.is_empty()
            || spec.watch_mode == WatchMode::OptIn
            || self.groups.iter().any(Option::is_some)
    }

    /// ((included ∩ selector) − excluded − exclude selector), and what is open there. A namespace that is included by name
    /// takes part before it exists; its labels are then unknown, so a selector does not select it, and does not exclude it either.
    pub(super) fn sight(&self, spec: &TargetFilter, input: &Input) -> Sight {
        let unknown = Namespace::default();
        let known = |name: &str| input.namespaces.get(name);
        let gates = |name: &str| self.gates(spec.watch_mode, known(name));
        if spec.included_namespaces.is_empty()
            && spec.excluded_namespaces.is_empty()
            && self.namespaces.is_none()
            && self.excluded.is_none()
        {
            let everywhere = self.gates(spec.watch_mode, Some(&unknown));
            let all = input.namespaces.keys().map(|name| (name.clone(), gates(name)));
            let namespaces = all.filter(|(_, gates)| *gates != everywhere).collect();
            return Sight { everywhere: Some(everywhere), namespaces };
        }
        let matches = |selector: &LabelSelector, name: &str| {
            known(name).is_some_and(|namespace| selects(selector, namespace))
        };
        let selected = |name: &&String| {
            self.namespaces.as_ref().is_none_or(|selector| matches(selector, name))
                && !spec.excluded_namespaces.contains(name)
                && !self.excluded.as_ref().is_some_and(|selector| matches(selector, name))
        };
        let open = |name: &String| (name.clone(), gates(name));
        let namespaces = if spec.included_namespaces.is_empty() {
            input.namespaces.keys().filter(selected).map(open).collect()
        } else {
            spec.included_namespaces.iter().filter(selected).map(open).collect()
        };
        Sight { everywhere: None, namespaces }
    }

    /// The gates that are open in a namespace.
    fn gates(&self, mode: WatchMode, namespace: Option<&Namespace>) -> Gates {
        let wish = namespace.map(|namespace| namespace.wish).unwrap_or_default();
        let without_asking = match mode {
            WatchMode::All => wish != Wish::Disabled,
            WatchMode::OptIn => wish == Wish::Enabled,
        };
        let holds = |selector: &Option<LabelSelector>| {
            selector
                .as_ref()
                .is_none_or(|selector| namespace.is_some_and(|namespace| selects(selector, namespace)))
        };
        let groups = (0..MAX_GROUPS).zip(&self.groups).filter(|(_, selector)| holds(selector));
        groups.fold(Gates::NONE, |open, (group, _)| {
            let unsaid = if without_asking { Gates::of(group, Wish::Unsaid) } else { Gates::NONE };
            open.with(unsaid).with(Gates::of(group, Wish::Enabled))
        })
    }
}

fn selects(selector: &LabelSelector, namespace: &Namespace) -> bool {
    selector.matches(|key| namespace.labels.get(key).map(String::as_str))
}
