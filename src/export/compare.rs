//! What a destination holds, against what an inventory has.
//!
//! Both come in key order, so one pass tells them apart, and only differences are kept: at most 48 bytes each, beside the
//! rows, which the graph has anyway, and the keys of rows to delete. They are written when the pass is over, because until then the sink is busy
//! reading, and because a look is only believed as a whole.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use futures::StreamExt;
use futures::stream::BoxStream;
use kollect_dataflows::data::{Row, RowHash, RowKey, TargetName};

use super::Resumption;
use super::rows::Batch;
use super::snapshot::Checked;
use crate::sinks::{Change, HeldRow, SinkError};

/// What is to be done so that the destination holds the inventory.
pub(super) struct Differences {
    pub(super) batch: Batch,
    pub(super) kept: Kept,
}

/// Reads both sides to their ends.
pub(super) async fn compare(
    held: BoxStream<'_, Result<HeldRow, SinkError>>,
    look: &mut Resumption,
) -> Result<Differences, SinkError> {
    let targets = std::mem::take(&mut look.targets);
    let compared = compare_with(held, look, &targets).await;
    look.targets = targets;
    compared
}

async fn compare_with(
    held: BoxStream<'_, Result<HeldRow, SinkError>>,
    look: &mut Resumption,
    targets: &BTreeMap<TargetName, bool>,
) -> Result<Differences, SinkError> {
    let mut differences = Differences { batch: Batch::default(), kept: Kept::default() };
    let mut rows = Checked::new(look);
    let mut held = Held { rows: held, current: None };
    held.advance().await?;
    while let Some(chunk) = rows.next().await? {
        for row in chunk {
            while let Some(surplus) = held.current.take_if(|held| held.key.as_ref() < row.key()) {
                differences.surplus(&surplus, targets);
                held.advance_from(surplus).await?;
            }
            match held.current.take_if(|held| held.key.as_ref() == row.key()) {
                Some(same) => {
                    if same.hash != row.hash() {
                        differences.batch.push(Change::Upsert(row), Some(same.hash));
                    }
                    held.advance_from(same).await?;
                }
                None => differences.batch.push(Change::Upsert(row), None),
            }
        }
    }
    while let Some(surplus) = held.current.take() {
        differences.surplus(&surplus, targets);
        held.advance_from(surplus).await?;
    }
    Ok(differences)
}

impl Differences {
    /// The destination holds a row that the inventory lacks.
    fn surplus(&mut self, held: &HeldRow, targets: &BTreeMap<TargetName, bool>) {
        let target = TargetName::new(&held.key.target_namespace, &held.key.target_name);
        if targets.get(&target) == Some(&false) {
            self.kept.insert(held);
        } else {
            self.batch.push(Change::Delete(Box::new(held.key.clone())), Some(held.hash));
        }
    }
}

/// The destination's rows, one ahead.
struct Held<'a> {
    rows: BoxStream<'a, Result<HeldRow, SinkError>>,
    current: Option<HeldRow>,
}

impl Held<'_> {
    async fn advance(&mut self) -> Result<(), SinkError> {
        self.current = self.rows.next().await.transpose()?;
        Ok(())
    }

    async fn advance_from(&mut self, last: HeldRow) -> Result<(), SinkError> {
        self.advance().await?;
        match &self.current {
            Some(current) if current.key <= last.key => Err(SinkError::Broken {
                message: format!(
                    "the destination lists row {} after row {}, so its rows can't be compared with the inventory",
                    current.key, last.key
                ),
                hint: "check the order (byte by byte) and the uniqueness of its keys".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Rows that the destination holds of targets whose objects are not known at present: neither deleted nor, when the
/// object turns up unchanged, written again.
#[derive(Default)]
pub(super) struct Kept {
    /// By a hash of the row's key. Should two keys collide, a row is written once more than needed, no worse: the content
    /// hash covers the key as well.
    hashes: HashMap<u64, RowHash>,
    hasher: RandomState,
}

impl Kept {
    fn insert(&mut self, held: &HeldRow) {
        self.hashes.insert(self.hasher.hash_one(held.key.as_ref()), held.hash);
    }

    /// The content that the destination holds for this row from earlier times. The row is not kept any longer then.
    pub(super) fn take(&mut self, row: &Row) -> Option<RowHash> {
        if self.hashes.is_empty() {
            return None;
        }
        let key: RowKey<&str> = row.key();
        self.hashes.remove(&self.hasher.hash_one(key))
    }
}
