//! Delivery to a destination whose unit is the whole inventory: each batch is a look at all of it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kollect_dataflows::data::{Row, TargetName};
use tokio::sync::oneshot;

use super::Resumption;
use super::inbox::Answer;
use super::report::Report;
use super::snapshot::Checked;
use super::status::{SetAside, Settled};
use crate::sinks::{DocumentSink, Replaced, Rows, SinkError};

/// Delivers to a [`DocumentSink`].
pub(super) struct DocumentDelivery {
    pub(super) sink: Box<dyn DocumentSink>,
    /// The targets as of the last look of this term.
    targets: Option<BTreeMap<TargetName, bool>>,
}

impl DocumentDelivery {
    pub(super) fn new(sink: Box<dyn DocumentSink>) -> Self {
        Self { sink, targets: None }
    }

    /// Forgets what the destination is thought to hold.
    pub(super) fn forget(&mut self) {
        self.targets = None;
    }

    /// Brings the destination to the epoch of a look.
    pub(super) async fn resume(&mut self, answer: Answer, report: &mut Report) -> Result<Settled, SinkError> {
        let Answer { resumption: mut look, uncounted, .. } = answer;
        let Replaced { receipt, too_large } = replace(self.sink.as_mut(), &mut look).await?;
        report.set_aside(SetAside::too_large(too_large));
        report.wrote(&receipt);
        // Nothing has changed on our side since the last time, so what was written somebody else had changed.
        if uncounted == 0 && self.targets.as_ref() == Some(&look.targets) {
            let rows = receipt.inserted + receipt.updated + receipt.deleted;
            report.drifted(rows.max(receipt.files_written + receipt.files_removed));
        }
        self.targets = Some(look.targets);
        Ok(Settled { epoch: look.epoch, rows: look.count, digest: look.digest })
    }
}

/// Has the sink write the look. One that is not complete never comes to its end as the sink sees it, and the sink is
/// stopped there, before it publishes anything.
async fn replace(sink: &mut dyn DocumentSink, look: &mut Resumption) -> Result<Replaced, SinkError> {
    let keep: Vec<_> =
        look.targets.iter().filter(|(_, hydrated)| !**hydrated).map(|(name, _)| name.clone()).collect();
    let (failed, failure) = oneshot::channel();
    let mut rows = UntilBroken { checked: Checked::new(look), failed: Some(failed) };
    tokio::select! {
        biased;
        Ok(error) = failure => Err(error),
        replaced = sink.replace(&mut rows, &keep) => replaced,
    }
}

struct UntilBroken<'a> {
    checked: Checked<'a>,
    failed: Option<oneshot::Sender<SinkError>>,
}

#[async_trait]
impl Rows for UntilBroken<'_> {
    async fn next(&mut self) -> Option<Vec<Row>> {
        match self.checked.next().await {
            Ok(chunk) => chunk,
            Err(error) => {
                if let Some(failed) = self.failed.take() {
                    // The receiver lives as long as the call that brought us here.
                    let _ = failed.send(error);
                }
                std::future::pending().await
            }
        }
    }
}
