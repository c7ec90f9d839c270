//! Keeps a binding's status up to date for whoever watches it.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::inbox::Inbox;
use super::status::{BindingStatus, LastError, Phase, SetAside, Settled};
use crate::sinks::{Receipt, SinkError};

/// Keeps the status, and sends it on when it has changed.
pub(super) struct Report {
    now: BindingStatus,
    sent: watch::Sender<BindingStatus>,
    inbox: Arc<Inbox>,
}

impl Report {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { now: BindingStatus::default(), sent: watch::Sender::default(), inbox }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<BindingStatus> {
        self.sent.subscribe()
    }

    pub(super) fn into_status(self) -> BindingStatus {
        self.now
    }

    pub(super) fn phase(&mut self, phase: Phase) {
        if matches!(phase, Phase::Live) && self.now.phase != phase {
            tracing::info!("the destination is up to date");
        }
        self.now.phase = phase;
        self.publish();
    }

    /// A part of a batch is at the destination.
    pub(super) fn wrote(&mut self, receipt: &Receipt) {
        self.now.totals.add(receipt);
        self.now.position = receipt.position.or(self.now.position);
        self.now.last_export = Some(SystemTime::now());
        self.publish();
    }

    pub(super) fn drifted(&mut self, rows: u64) {
        if rows > 0 {
            tracing::warn!(
                rows,
                "rows had been changed at the destination; they are as they should be again"
            );
        }
        self.now.totals.drift_repaired += rows;
    }

    pub(super) fn set_aside(&mut self, rows: SetAside) {
        if rows.count > self.now.set_aside.count
            && let Some(first) = rows.shown.first()
        {
            tracing::warn!(
                rows = rows.count,
                row = first.key,
                refusal = first.message,
                "rows are refused; they are set aside"
            );
        }
        self.now.set_aside = rows;
    }

    pub(super) fn failed(&mut self, error: SinkError, phase: Phase) {
        self.now.last_error = Some(LastError { error, at: SystemTime::now() });
        self.phase(phase);
    }

    pub(super) fn compared(&mut self) {
        let now = Some(SystemTime::now());
        self.now.last_compared = now;
        self.now.last_export = now;
    }

    pub(super) fn settled(&mut self, settled: Settled) {
        self.now.settled = Some(settled);
        self.phase(Phase::Live);
    }

    pub(super) fn publish(&mut self) {
        self.now.backlog = self.inbox.backlog();
        self.sent.send_if_modified(|sent| {
            let changed = *sent != self.now;
            if changed {
                sent.clone_from(&self.now);
            }
            changed
        });
    }
}
