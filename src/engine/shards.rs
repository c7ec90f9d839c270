//! What cluster inventories say of each namespace: counted as deltas come by.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kollect_dataflows::data::{Delta, Digest, Row, TargetName};

/// How many shards a report lists.
const LISTED: usize = 100;

/// The rows of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// Number of rows.
    pub rows: u64,
    /// Number of targets that these are of.
    pub targets: u64,
    /// Digest of the rows.
    pub digest: Digest,
}

/// The rows of an inventory by the namespaces of their objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardsReport {
    /// In how many namespaces there are rows; objects without a namespace count as one more.
    pub count: u64,
    /// The first of them, by name.
    pub first: BTreeMap<String, ShardReport>,
}

#[derive(Default)]
struct Shard {
    rows_by_target: HashMap<Arc<TargetName>, u64>,
    rows: u64,
    digest: Digest,
}

/// The shards of one inventory.
#[derive(Default)]
pub(super) struct Shards(BTreeMap<String, Shard>);

impl Shards {
    /// Takes in a delta.
    pub(super) fn take_in(&mut self, delta: &Delta) {
        if let Some(row) = delta.before() {
            self.remove(row);
        }
        if let Some(row) = delta.after() {
            self.add(row);
        }
    }

    fn add(&mut self, row: &Row) {
        let shard = match self.0.get_mut(row.namespace()) {
            Some(shard) => shard,
            None => self.0.entry(row.namespace().to_owned()).or_default(),
        };
        shard.rows += 1;
        shard.digest.add(row.hash());
        *shard.rows_by_target.entry(Arc::clone(row.target())).or_default() += 1;
    }

    fn remove(&mut self, row: &Row) {
        let Some(shard) = self.0.get_mut(row.namespace()) else { return };
        shard.rows -= 1;
        shard.digest.remove(row.hash());
        if let Some(rows) = shard.rows_by_target.get_mut(row.target()) {
            *rows -= 1;
            if *rows == 0 {
                shard.rows_by_target.remove(row.target());
            }
        }
        if shard.rows == 0 {
            self.0.remove(row.namespace());
        }
    }

    pub(super) fn report(&self) -> ShardsReport {
        let report = |shard: &Shard| ShardReport {
            rows: shard.rows,
            targets: shard.rows_by_target.len() as u64,
            digest: shard.digest,
        };
        ShardsReport {
            count: self.0.len() as u64,
            first: self.0.iter().take(LISTED).map(|(name, shard)| (name.clone(), report(shard))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kollect_dataflows::data::{Gvk, RowParts};

    use super::*;

    fn row(target: &str, namespace: &str, name: &str, attributes: &str) -> Row {
        Row::new(RowParts {
            target: &Arc::new(TargetName::new("", target)),
            gvk: &Arc::new(Gvk::new("", "v1", "Pod")),
            namespace,
            name,
            uid: name,
            attributes,
            incomplete: &[],
        })
    }

    #[test]
    fn shards_follow_deltas_back_to_nothing() {
        let (a, b, c) = (row("t", "x", "a", "{}"), row("u", "x", "b", "{}"), row("t", "", "c", "{}"));
        let after = row("t", "x", "a", r#"{"v":1}"#);
        let mut shards = Shards::default();
        for row in [&a, &b, &c] {
            shards.take_in(&Delta::Insert(row.clone()));
        }
        shards.take_in(&Delta::Update { before: a, after: after.clone() });
        let mut digest = Digest::default();
        digest.add(after.hash());
        digest.add(b.hash());
        let report = shards.report();
        assert_eq!(report.count, 2);
        assert_eq!(report.first["x"], ShardReport { rows: 2, targets: 2, digest });
        assert_eq!(report.first[""].rows, 1);
        for row in [b, after, c] {
            shards.take_in(&Delta::Delete(row));
        }
        assert_eq!(shards.report(), ShardsReport::default());
    }
}
