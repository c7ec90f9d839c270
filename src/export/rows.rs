//! Delivery to a destination that takes changes of single rows.

use std::collections::BTreeMap;

use kollect_dataflows::data::{Row, RowHash, RowKey, TargetName};

use super::Resumption;
use super::compare::{Kept, compare};
use super::inbox::Answer;
use super::pending::{Changes, Pending};
use super::report::Report;
use super::status::{Refusal, Refused, SetAside, Settled};
use crate::sinks::{Change, RowSink, SinkError};

/// So many changes go into one transaction at most. It bounds what a destination has to keep for it and what is lost with
/// a broken connection, and is large enough for the load of all but the largest inventories to be one.
pub(super) const MOST_CHANGES: usize = 100_000;

/// When a destination refuses more rows than these, it is not the rows.
pub(super) const MOST_SET_ASIDE: usize = 1_000;

/// So many of the rows that are set aside are shown in the status.
const SHOWN: usize = 10;

/// Changes in key order.
#[derive(Default)]
pub(super) struct Batch {
    changes: Vec<Change>,
    /// By position in `changes`: the content that the destination holds before the change, if it holds the row.
    held: Vec<(usize, RowHash)>,
}

impl Batch {
    /// Adds a change to a row of which the destination holds this content, if any.
    pub(super) fn push(&mut self, change: Change, held: Option<RowHash>) {
        self.held.extend(held.map(|hash| (self.changes.len(), hash)));
        self.changes.push(change);
    }

    fn held(&self, position: usize) -> Option<RowHash> {
        let found = self.held.binary_search_by_key(&position, |(position, _)| *position).ok();
        found.and_then(|at| self.held.get(at)).map(|(_, hash)| *hash)
    }
}

struct RefusedRow {
    message: String,
    /// The older version of it that the destination holds, if any.
    held: Option<RowHash>,
}

/// Delivers to a [`RowSink`].
pub(super) struct RowDelivery {
    pub(super) sink: Box<dyn RowSink>,
    kept: Kept,
    set_aside: BTreeMap<RowKey<String>, RefusedRow>,
    /// The targets as of the last look of this term.
    targets: Option<BTreeMap<TargetName, bool>>,
}

impl RowDelivery {
    pub(super) fn new(sink: Box<dyn RowSink>) -> Self {
        Self { sink, kept: Kept::default(), set_aside: BTreeMap::new(), targets: None }
    }

    /// Forgets what the destination is thought to hold.
    pub(super) fn forget(&mut self) {
        self.kept = Kept::default();
        self.targets = None;
    }

    /// Brings the destination to the epoch of a look.
    pub(super) async fn resume(&mut self, answer: Answer, report: &mut Report) -> Result<Settled, SinkError> {
        let Answer { resumption: mut look, superseded, .. } = answer;
        let differences = compare(self.sink.held().await?, &mut look).await?;
        // The graph keeps what an open snapshot reads.
        let Resumption { epoch, rows, count, digest, targets } = look;
        drop(rows);
        let drift = self.drift(&differences.batch, superseded, &targets);
        self.targets = Some(targets);
        self.kept = differences.kept;
        self.set_aside.clear();
        self.write(differences.batch, report).await?;
        report.drifted(drift);
        Ok(Settled { epoch, rows: count, digest })
    }

    /// How many of the differences somebody else has made. Those are explained that were waiting as changes, that the
    /// destination refuses, or that come from a target which has been added, removed or hydrated since the last look.
    fn drift(&self, batch: &Batch, superseded: Changes, now: &BTreeMap<TargetName, bool>) -> u64 {
        let Some(last) = &self.targets else { return 0 };
        let superseded = superseded.into_sorted();
        let unexplained = batch.changes.iter().filter(|change| {
            let key = change.key();
            let target = TargetName::new(key.target_namespace, key.target_name);
            let (then, now) = (last.get(&target), now.get(&target));
            then == now
                && then != Some(&false)
                && superseded.binary_search_by(|pending| pending.last.key().cmp(&key)).is_err()
                && !self.is_set_aside(key)
        });
        unexplained.count() as u64
    }

    fn is_set_aside(&self, key: RowKey<&str>) -> bool {
        !self.set_aside.is_empty() && self.set_aside.contains_key(&key.to_owned())
    }

    /// Applies changes that lead from `settled` up to the end of `epoch`.
    pub(super) async fn apply(
        &mut self,
        settled: Settled,
        epoch: u64,
        changes: Changes,
        report: &mut Report,
    ) -> Result<Settled, SinkError> {
        let mut settled = Settled { epoch, ..settled };
        let mut batch = Batch::default();
        for pending in changes.into_sorted() {
            if let Some(before) = &pending.before {
                settled.rows = settled.rows.saturating_sub(1);
                settled.digest.remove(before.hash());
            }
            if let Some(after) = pending.after() {
                settled.rows += 1;
                settled.digest.add(after.hash());
            }
            self.plan(pending, &mut batch);
        }
        self.write(batch, report).await?;
        Ok(settled)
    }

    /// What the destination must do about a change, given what it is known to hold.
    fn plan(&mut self, pending: Pending, batch: &mut Batch) {
        let refused = if self.set_aside.is_empty() {
            None
        } else {
            self.set_aside.remove(&pending.last.key().to_owned())
        };
        let kept = self.kept.take(&pending.last);
        let held = match &refused {
            Some(refused) => refused.held,
            None => kept.or(pending.before.as_ref().map(Row::hash)),
        };
        if let Some(after) = pending.after() {
            if held != Some(after.hash()) {
                batch.push(Change::Upsert(pending.last), held);
            }
        } else if held.is_some() {
            batch.push(Change::Delete(Box::new(pending.last.key().to_owned())), held);
        }
    }

    /// Writes a batch, in one transaction unless it is very large. A batch that is refused for one of its rows is halved
    /// until the row stands alone; it is set aside, and the rest goes through.
    async fn write(&mut self, batch: Batch, report: &mut Report) -> Result<(), SinkError> {
        let total = batch.changes.len();
        let chunks = (0..total).step_by(MOST_CHANGES).map(|start| start..total.min(start + MOST_CHANGES));
        // What is still to be written, the next part last.
        let mut parts: Vec<_> = chunks.rev().collect();
        while let Some(part) = parts.pop() {
            let message = match self.sink.apply(&batch.changes[part.clone()]).await {
                Ok(receipt) => {
                    report.wrote(&receipt);
                    continue;
                }
                Err(SinkError::Row { message }) => message,
                Err(error) => return Err(error),
            };
            // Nothing of this part is applied. A sink wants to be connected after every error.
            self.sink.connect().await?;
            if part.len() > 1 {
                let middle = part.start + part.len() / 2;
                parts.extend([middle..part.end, part.start..middle]);
                continue;
            }
            let key = batch.changes[part.start].key().to_owned();
            self.set_aside.insert(key, RefusedRow { message, held: batch.held(part.start) });
            if self.set_aside.len() > MOST_SET_ASIDE {
                return Err(self.too_many_refused(report));
            }
        }
        report.set_aside(self.refused());
        Ok(())
    }

    fn refused(&self) -> SetAside {
        let shown = self.set_aside.iter().take(SHOWN);
        SetAside {
            cause: Refusal::Destination,
            count: self.set_aside.len() as u64,
            shown: shown
                .map(|(key, row)| Refused { key: key.to_string(), message: row.message.clone() })
                .collect(),
        }
    }

    fn too_many_refused(&self, report: &mut Report) -> SinkError {
        let refused = self.refused();
        let first = refused.shown.first().map(|row| format!(", for example {}: {}", row.key, row.message));
        report.set_aside(refused);
        SinkError::Broken {
            message: format!(
                "the destination refuses more than {MOST_SET_ASIDE} rows{}",
                first.unwrap_or_default()
            ),
            hint: "change the profile, or what the destination accepts".to_owned(),
        }
    }
}
