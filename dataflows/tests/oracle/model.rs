//! The batch computation: what there is, and what follows from it, from scratch.

use std::collections::{BTreeMap, BTreeSet};

use kollect_dataflows::data::{Gvk, RowKey, TargetName};
use kollect_dataflows::graph::Dedupe;
use serde_json::{Map, Value, json};

use crate::history::{Content, Name};
use crate::rollups::{self, Groups};

pub(crate) const WATCHES: u32 = 2;
pub(crate) const TARGETS: u32 = 5;
pub(crate) const INVENTORIES: u32 = 3;
/// Profiles are sets of these attributes, as bits.
pub(crate) const ATTRIBUTES: [&str; 5] = ["v", "w", "n", "team", "vq"];
pub(crate) const PROFILES: u8 = 1 << ATTRIBUTES.len();
pub(crate) const SELECTIONS: u8 = 5;
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];
pub(crate) const NAMESPACES: [&str; 3] = ["", "east", "west"];

/// An object as the oracle sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) uid: u32,
    pub(crate) version: u64,
    pub(crate) team: bool,
    pub(crate) wish: u8,
    pub(crate) v: i64,
    pub(crate) w: Option<u8>,
    pub(crate) n: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) watch: u32,
    pub(crate) profile: u8,
    pub(crate) selection: u8,
}

/// A row as the oracle sees it: its JSON, by the parts that order it, and the gates through which its object comes in.
type OracleRow = (RowKey<String>, String, u8);
/// target, namespace, name, attribute
pub(crate) type OracleProblem = (u32, String, String, String);

/// Rows, and problems with the gates where they show.
type Computed = (Vec<OracleRow>, Vec<(OracleProblem, u8)>);

/// What the oracle knows of a target.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) plan: Plan,
    /// The rows and problems as they were when the target went on hold.
    pub(crate) held: Option<Computed>,
    /// The plan that counts when a list of its watch is complete.
    pub(crate) moving: Option<Plan>,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) objects: [BTreeMap<Name, Object>; WATCHES as usize],
    pub(crate) targets: BTreeMap<u32, Target>,
    pub(crate) feeds: BTreeSet<(u32, u32)>,
    /// Inventories that keep one row an object.
    pub(crate) by_resource: BTreeSet<u32>,
    /// The namespaces whose rows inventories take, of those that do not take all.
    pub(crate) takes: BTreeMap<u32, Vec<usize>>,
    /// Inventory and definition.
    pub(crate) rollups: BTreeSet<(u32, usize)>,
    /// Target, selection and place: the gates that are open.
    pub(crate) sees: BTreeMap<(u32, u8, Option<usize>), u8>,
    pub(crate) version: u64,
    uids: BTreeMap<Name, u32>,
    uid: u32,
}

pub(crate) fn target_name(target: u32) -> TargetName {
    // Names go against the numbers, so that an order by number shows.
    TargetName::new("team", format!("t{}", TARGETS - target))
}

pub(crate) fn gvk(watch: u32) -> Gvk {
    Gvk::new("", "v1", format!("Kind{watch}"))
}

impl Model {
    pub(crate) fn dedupe(&self, inventory: u32) -> Dedupe {
        if self.by_resource.contains(&inventory) { Dedupe::ByResource } else { Dedupe::KeepAll }
    }

    pub(crate) fn object(&mut self, content: &Content) -> Object {
        self.version += 1;
        // The kinds are two versions of one: their objects may have uids in common.
        let uid = match self.uids.get(&content.name) {
            Some(old) if !content.recreate => *old,
            _ => {
                self.uid += 1;
                self.uid
            }
        };
        self.uids.insert(content.name, uid);
        let Content { team, wish, v, w, n, .. } = *content;
        Object { uid, version: self.version, team, wish, v, w, n }
    }

    pub(crate) fn rows_of(&self, target: u32) -> Computed {
        let Some(Target { plan, held, .. }) = self.targets.get(&target) else { return Default::default() };
        if let Some(held) = held {
            return held.clone();
        }
        self.compute(target, plan)
    }

    /// Nothing that happens to objects changes what the target has, until it gets another plan.
    pub(crate) fn hold(&mut self, target: u32) {
        let rows = self.rows_of(target);
        if let Some(target) = self.targets.get_mut(&target) {
            target.held.get_or_insert(rows);
            target.moving = None;
        }
    }

    /// A list of a watch is complete.
    pub(crate) fn listed(&mut self, watch: u32) {
        for target in self.targets.values_mut() {
            if let Some(plan) = target.moving.take_if(|plan| plan.watch == watch) {
                *target = Target { plan, held: None, moving: None };
            }
        }
    }

    /// All rows and problems of a target, from scratch.
    fn compute(&self, target: u32, plan: &Plan) -> Computed {
        let (mut rows, mut problems) = (Vec::new(), Vec::new());
        for (at, object) in &self.objects[plan.watch as usize] {
            let (namespace, name) = (NAMESPACES[at.0], NAMES[at.1]);
            let (gates, failed) = gates(plan.selection, name, object);
            let problem =
                |attribute: &str| (target, namespace.to_owned(), name.to_owned(), attribute.to_owned());
            problems.extend(failed.map(|(rule, gates)| (problem(&rule), gates)));
            if gates == 0 {
                continue;
            }
            let mut incomplete = String::new();
            let mut attributes = Map::new();
            for (bit, name) in
                ATTRIBUTES.into_iter().enumerate().filter(|(bit, _)| plan.profile & (1 << bit) != 0)
            {
                let value = match bit {
                    0 => json!(object.v),
                    1 => match object.w {
                        Some(w) => json!(w.to_string()),
                        None => continue,
                    },
                    2 => match object.n {
                        Some(n) => json!(n + 1),
                        None => {
                            problems.push((problem("n"), gates));
                            incomplete = r#","incomplete":["n"]"#.to_owned();
                            Value::Null
                        }
                    },
                    3 => json!(if object.team { "yes" } else { "no" }),
                    _ => json!(object.v.to_string()),
                };
                attributes.insert(name.to_owned(), value);
            }
            let attributes = Value::Object(attributes);
            let TargetName { namespace: target_namespace, name: target_name } = target_name(target);
            let uid = format!("u-{}", object.uid);
            let kind = gvk(plan.watch).kind;
            let json = format!(
                r#"{{"targetNamespace":"{target_namespace}","targetName":"{target_name}","namespace":"{namespace}","name":"{name}","version":"v1","kind":"{kind}","uid":"{uid}","attributes":{attributes}{incomplete}}}"#
            );
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            rows.push((RowKey { target_namespace, target_name, namespace, name, uid }, json, gates));
        }
        (rows, problems)
    }

    /// Whether a target sees what comes in through these gates in a namespace.
    fn sees(&self, target: u32, namespace: &str, gates: u8) -> bool {
        let Some(selection) = self.targets.get(&target).map(|target| target.plan.selection) else {
            return false;
        };
        let place = NAMESPACES.iter().position(|known| *known == namespace);
        let named = self.sees.get(&(target, selection, place));
        let open = named.or_else(|| self.sees.get(&(target, selection, None)));
        open.is_some_and(|open| open & gates != 0)
    }

    fn visible_rows(&self, target: u32) -> impl Iterator<Item = (RowKey<String>, String)> {
        let rows = self.rows_of(target).0.into_iter();
        rows.filter(move |(key, _, gates)| self.sees(target, &key.namespace, *gates))
            .map(|(key, json, _)| (key, json))
    }

    /// All rows of an inventory, from scratch.
    pub(crate) fn inventory(&self, inventory: u32) -> BTreeMap<RowKey<String>, String> {
        let fed = (0..TARGETS).filter(|target| self.feeds.contains(&(*target, inventory)));
        let mut rows: BTreeMap<_, _> = fed.flat_map(|target| self.visible_rows(target)).collect();
        if let Some(taken) = self.takes.get(&inventory) {
            rows.retain(|key, _| taken.iter().any(|number| NAMESPACES[*number] == key.namespace));
        }
        if self.by_resource.contains(&inventory) {
            // Rows come in key order, which begins with the target's name: the first of a uid wins.
            let mut seen = BTreeSet::new();
            rows.retain(|key, _| seen.insert(key.uid.clone()));
        }
        rows
    }

    /// All groups of all rollups, from scratch.
    pub(crate) fn rolled_up(&self) -> BTreeMap<(u32, usize), Groups> {
        let groups = |(inventory, definition): &(u32, usize)| {
            let rows = self.inventory(*inventory);
            ((*inventory, *definition), rollups::groups(*definition, rows.values()))
        };
        self.rollups.iter().map(groups).filter(|(_, (_, count))| *count > 0).collect()
    }

    /// How many objects each target selects and sees.
    pub(crate) fn selected(&self) -> BTreeMap<u32, isize> {
        let count = |target| (target, self.visible_rows(target).count() as isize);
        (0..TARGETS).map(count).filter(|(_, count)| *count > 0).collect()
    }

    /// How often each problem is there.
    pub(crate) fn problems(&self) -> BTreeMap<OracleProblem, isize> {
        let mut all = BTreeMap::new();
        for ((target, namespace, name, attribute), gates) in
            (0..TARGETS).flat_map(|target| self.rows_of(target).1)
        {
            if self.sees(target, &namespace, gates) {
                *all.entry((target, namespace, name, attribute)).or_default() += 1;
            }
        }
        all
    }
}

/// The gates through which an object comes in by a selection, and the rule that could not be evaluated, with its gate. See
/// [`crate::subject::selection`] for the same as the graph is given it.
fn gates(selection: u8, name: &str, object: &Object) -> (u8, Option<(String, u8)>) {
    // Two gates a group: for objects that say nothing, and for those that want to be collected.
    let wish = match object.wish {
        0 => 1,
        1 => 2,
        _ => return (0, None),
    };
    let group = |number: u8, fulfilled: bool| if fulfilled { wish << (2 * number) } else { 0 };
    match selection {
        0 => (group(0, true), None),
        1 => (group(0, object.team), None),
        2 => (group(0, name == "a"), None),
        3 => (group(0, object.team) | group(1, object.v >= 2), None),
        _ => match object.n {
            Some(n) => (group(0, object.team) | group(1, n > 0), None),
            None => {
                (group(0, object.team), Some(("resourceRules[1].matchPolicy".to_owned(), group(1, true))))
            }
        },
    }
}
