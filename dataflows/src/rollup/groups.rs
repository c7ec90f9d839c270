//! The groups of one rollup, kept up to date from the differences of its rows.
//!
//! This is not made of differential operators because none fits: a `reduce` reads a group again for each change in it, and a group
//! may be all rows of an inventory; reducing in stages, as systems on differential dataflow do, takes several arrangements a
//! stage, each of which takes part in every epoch. A group here knows what its aggregates need: a count, an exact sum, and, only for
//! least, greatest and distinct values, how often there is each value. So a change costs the logarithm of the group's size.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Contribution, Op, Value};

/// What a group is grouped by.
type Key = Arc<[Value]>;
/// The values of its aggregates.
type Values = Arc<[Value]>;

/// How one group changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDelta {
    /// What the group's rows agree in, in the order of [`super::RollupSpec::group_by`].
    pub group: Key,
    /// The values of its aggregates before, in the order of [`super::RollupSpec::aggregates`]; none for a new group.
    pub before: Option<Values>,
    /// The values now; none for a group without rows.
    pub after: Option<Values>,
}

/// The groups of one rollup.
///
/// Only the first groups are shown, in the order of their keys, up to a limit: the same ones whatever the order in which rows came.
/// The others are kept (they are never more than there are rows), and move up when there is room.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: HashMap<Key, Group>,
    shown: BTreeMap<Key, Values>,
    hidden: BTreeSet<Key>,
    touched: BTreeSet<Key>,
}

#[derive(Debug, Default)]
struct Group {
    rows: isize,
    accumulators: Vec<Accumulator>,
}

/// What an aggregate needs to know of a group.
#[derive(Debug)]
enum Accumulator {
    Count(isize),
    Sum { billionths: i128, numbers: isize, too_great: isize },
    Values { op: Op, counts: BTreeMap<Value, isize> },
}

impl Groups {
    /// Takes a difference in. Within one epoch differences may come in any order.
    pub(crate) fn update(&mut self, contribution: &Contribution, diff: isize) {
        let Contribution { group, terms } = contribution;
        let key = match self.groups.get_key_value(group.as_ref()) {
            Some((key, _)) => Arc::clone(key),
            None => {
                let key: Key = group.to_vec().into();
                let accumulators = terms.iter().map(|(op, _)| Accumulator::new(*op)).collect();
                self.groups.insert(Arc::clone(&key), Group { rows: 0, accumulators });
                key
            }
        };
        if let Some(group) = self.groups.get_mut(&key) {
            group.rows += diff;
            for (accumulator, (_, value)) in group.accumulators.iter_mut().zip(terms) {
                if let Some(value) = value {
                    accumulator.update(value, diff);
                }
            }
        }
        self.touched.insert(key);
    }

    /// How many groups there are, those beyond the limit included.
    pub(crate) fn count(&self) -> u64 {
        (self.shown.len() + self.hidden.len()) as u64
    }

    /// Ends an epoch: gives the groups that changed, in the order of their keys, of those that are shown.
    pub(crate) fn settle(&mut self, limit: usize) -> Vec<GroupDelta> {
        let mut deltas: BTreeMap<Key, (Option<Values>, Option<Values>)> = BTreeMap::new();
        for key in std::mem::take(&mut self.touched) {
            self.hidden.remove(&key);
            let before = self.shown.remove(&key);
            let after = self.groups.get(&key).filter(|group| group.rows > 0).map(Group::values);
            match &after {
                // Perhaps not for long: see below.
                Some(values) => drop(self.shown.insert(Arc::clone(&key), Arc::clone(values))),
                None => drop(self.groups.remove(&key)),
            }
            deltas.insert(key, (before, after));
        }
        let mut note = |key: &Key, before: Option<Values>, after: Option<Values>| {
            deltas.entry(Arc::clone(key)).or_insert((before, None)).1 = after;
        };
        // Whoever is shown comes before all who are hidden, and there are as many as may be.
        loop {
            let last_gives_way = self.shown.len() > limit
                || matches!((self.shown.last_key_value(), self.hidden.first()), (Some((last, _)), Some(first)) if last > first);
            if last_gives_way && let Some((key, values)) = self.shown.pop_last() {
                note(&key, Some(values), None);
                self.hidden.insert(key);
            } else if self.shown.len() < limit
                && let Some(key) = self.hidden.pop_first()
                && let Some(group) = self.groups.get(&key)
            {
                let values = group.values();
                note(&key, None, Some(Arc::clone(&values)));
                self.shown.insert(key, values);
            } else {
                break;
            }
        }
        deltas
            .into_iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(group, (before, after))| GroupDelta { group, before, after })
            .collect()
    }
}

impl Group {
    fn values(&self) -> Values {
        self.accumulators.iter().map(Accumulator::value).collect()
    }
}

impl Accumulator {
    fn new(op: Op) -> Self {
        match op {
            Op::Count => Self::Count(0),
            Op::Sum => Self::Sum { billionths: 0, numbers: 0, too_great: 0 },
            Op::Min | Op::Max | Op::Distinct => Self::Values { op, counts: BTreeMap::new() },
        }
    }

    fn update(&mut self, value: &Value, diff: isize) {
        match self {
            Self::Count(count) => *count += diff,
            Self::Sum { billionths, numbers, too_great } => match value.billionths() {
                Some(of_value) => {
                    // Exact, so that what is taken back leaves nothing behind; what may be added can't overflow.
                    *billionths += of_value * diff as i128;
                    *numbers += diff;
                }
                None => *too_great += diff,
            },
            Self::Values { counts, .. } => match counts.get_mut(value) {
                Some(count) => {
                    *count += diff;
                    if *count == 0 {
                        counts.remove(value);
                    }
                }
                None => drop(counts.insert(value.clone(), diff)),
            },
        }
    }

    fn value(&self) -> Value {
        let or_null = |value: Option<&Value>| value.cloned().unwrap_or_else(Value::null);
        match self {
            Self::Count(count) => Value::of_count(count.unsigned_abs() as u64),
            Self::Sum { billionths, numbers: 1.., too_great: 0 } => Value::of_billionths(*billionths),
            Self::Sum { .. } => Value::null(),
            Self::Values { op: Op::Min, counts } => or_null(counts.first_key_value().map(|(value, _)| value)),
            Self::Values { op: Op::Max, counts } => or_null(counts.last_key_value().map(|(value, _)| value)),
            Self::Values { counts, .. } => Value::of_count(counts.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A row of a group, with one value for all aggregates.
    fn contribution(group: u8, value: &str) -> Contribution {
        let value = Value::of_json(value);
        let terms = [Op::Count, Op::Sum, Op::Min, Op::Max, Op::Distinct].map(|op| {
            let value = if op == Op::Sum { value.number() } else { Some(value.clone()) };
            (op, value.filter(|value| !value.is_null()))
        });
        Contribution { group: [Value::of_json(&group.to_string())].into(), terms: Box::new(terms) }
    }

    fn shown(delta: &GroupDelta) -> (String, Option<String>) {
        let text = |values: &[Value]| values.iter().map(Value::as_json).collect::<Vec<_>>().join(" ");
        (text(&delta.group), delta.after.as_deref().map(text))
    }

    #[test]
    fn a_group_says_what_its_rows_have() {
        let mut groups = Groups::default();
        let mut after = |changes: &[(&str, isize)]| {
            changes.iter().for_each(|(value, diff)| groups.update(&contribution(1, value), *diff));
            groups.settle(10).iter().map(shown).map(|(_, after)| after).collect::<Vec<_>>()
        };
        let some = |text: &str| vec![Some(text.to_owned())];
        assert_eq!(after(&[("3", 1), ("0.1", 1), ("0.2", 1)]), some("3 3.3 0.1 3 3"));
        assert_eq!(after(&[(r#""200m""#, 1), ("null", 1)]), some(r#"4 3.5 0.1 3 4"#));
        assert_eq!(after(&[("3", -1), ("3", 1)]), []);
        assert_eq!(after(&[("3", -1), (r#""x""#, 1)]), some(r#"4 0.5 0.1 "x" 4"#));
        assert_eq!(after(&[("1e300", 1)]), some(r#"5 null 0.1 "x" 5"#));
        assert_eq!(
            after(&[("1e300", -1), ("0.1", -1), ("0.2", -1), (r#""200m""#, -1)]),
            some(r#"1 null "x" "x" 1"#)
        );
        assert_eq!(after(&[(r#""x""#, -1)]), some("0 null null null 0"));
        assert_eq!(after(&[("null", -1)]), [None]);
        assert!(groups.groups.is_empty() && groups.count() == 0);
    }

    proptest! {
        /// Whatever the history, the first groups are shown, and the deltas add up to them.
        #[test]
        fn the_first_groups_are_shown(steps in prop::collection::vec(prop::collection::vec((0..6u8, 0..3u8, any::<bool>()), 1..6), 1..12)) {
            const LIMIT: usize = 3;
            let mut groups = Groups::default();
            let mut rows: BTreeMap<(u8, u8), isize> = BTreeMap::new();
            let mut seen: BTreeMap<String, Values> = BTreeMap::new();
            for step in steps {
                for (group, value, add) in step {
                    let count = rows.entry((group, value)).or_default();
                    let diff = if add { 1 } else { -*count };
                    *count += diff;
                    if diff != 0 {
                        groups.update(&contribution(group, &value.to_string()), diff);
                    }
                }
                for delta in groups.settle(LIMIT) {
                    let (group, _) = shown(&delta);
                    let before = match delta.after {
                        Some(after) => seen.insert(group, after),
                        None => seen.remove(&group),
                    };
                    prop_assert_eq!(before, delta.before);
                }
                rows.retain(|_, count| *count > 0);
                let mut expected: BTreeMap<String, isize> = BTreeMap::new();
                for ((group, _), count) in &rows {
                    *expected.entry(group.to_string()).or_default() += count;
                }
                prop_assert_eq!(groups.count(), expected.len() as u64);
                let expected: Vec<_> = expected.into_iter().take(LIMIT).map(|(group, count)| (group, count.to_string())).collect();
                let actual: Vec<_> = seen.iter().map(|(group, values)| (group.clone(), values[0].as_json().to_owned())).collect();
                prop_assert_eq!(actual, expected);
            }
        }
    }
}
