//! The task of one binding.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Feed;
use super::document::DocumentDelivery;
use super::inbox::{Answer, Event, Inbox};
use super::pending::Changes;
use super::report::Report;
use super::rows::RowDelivery;
use super::schedule::{Pace, Retry};
use super::status::{BindingStatus, Phase, Settled};
use crate::sinks::{Sink, SinkError};

/// So often the status of a binding that holds changes says how many.
const SHOW_HELD: Duration = Duration::from_secs(10);

/// Settings of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// After so much time without a change, all rows at the destination are compared with the inventory. Zero: only
    /// after errors and when targets change. It never delays a change.
    pub min_interval: Duration,
    /// So long changes are held after the first of them, so that several become one batch; zero: not at all. What has been
    /// waiting when a destination is compared goes with that, and a comparison that is merely due waits for the changes.
    pub coalesce_window: Duration,
    /// So long a binding that is told to stop may take to deliver what is waiting.
    pub drain_timeout: Duration,
}

/// One inventory bound to one sink.
pub struct Binding {
    name: String,
    delivery: Delivery,
    inbox: Arc<Inbox>,
    feed: Box<dyn Feed>,
    options: Options,
    retry: Retry,
    report: Report,
}

/// What is left of a binding that has ended.
pub struct Finished {
    /// The sink, to be connected anew before it is used.
    pub sink: Sink,
    /// The last status. Its backlog is what could not be delivered.
    pub status: BindingStatus,
}

impl Binding {
    /// Prepares a binding. `name` stands in log lines. Nothing happens before [`Binding::run`].
    pub fn new(name: impl Into<String>, sink: Sink, feed: impl Feed + 'static, options: Options) -> Self {
        let inbox = Inbox::new(&sink, options.coalesce_window);
        let delivery = match sink {
            Sink::Rows(sink) => Delivery::Rows(RowDelivery::new(sink)),
            Sink::Document(sink) => Delivery::Document(DocumentDelivery::new(sink)),
        };
        let report = Report::new(Arc::clone(&inbox));
        Self {
            name: name.into(),
            delivery,
            inbox,
            feed: Box::new(feed),
            options,
            retry: Retry::new(),
            report,
        }
    }

    /// Where the dispatcher puts what changes.
    pub fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// The binding's status, as it changes.
    pub fn status(&self) -> watch::Receiver<BindingStatus> {
        self.report.subscribe()
    }

    /// Keeps the destination equal to the inventory until `stop` fires, then delivers what is waiting and returns.
    pub async fn run(mut self, stop: CancellationToken) -> Finished {
        let span = tracing::info_span!("binding", name = self.name);
        let drain_timeout = self.options.drain_timeout;
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(drain_timeout).await;
        };
        tokio::select! {
            () = self.deliver(&stop).instrument(span) => {}
            () = overdue => {}
        }
        self.inbox.close();
        self.report.publish();
        let sink = match self.delivery {
            Delivery::Rows(rows) => Sink::Rows(rows.sink),
            Delivery::Document(document) => Sink::Document(document.sink),
        };
        Finished { sink, status: self.report.into_status() }
    }

    async fn deliver(&mut self, stop: &CancellationToken) {
        loop {
            let Err(error) = self.term(stop).await else { return };
            self.inbox.close();
            self.delivery.forget();
            let next = self.failed(error);
            if stop.is_cancelled() {
                return;
            }
            let pause = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => {}
            }
        }
    }

    /// From a connection to the first error, or to the end of the binding.
    async fn term(&mut self, stop: &CancellationToken) -> Result<(), SinkError> {
        if !self.retry.is_failing() {
            self.report.phase(Phase::Connecting);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connected = self.delivery.connect() => connected?,
        }
        let mut pace = Pace::new(self.options.min_interval);
        let mut settled = None;
        loop {
            match (self.next(pace.due(), stop).await, settled) {
                (Event::Look(answer), _) => {
                    if settled.is_none() {
                        self.report.phase(Phase::Resuming);
                    }
                    let begin = Instant::now();
                    let reached = self.delivery.resume(*answer, &mut self.report).await?;
                    pace.compared(begin);
                    self.report.compared();
                    settled = Some(self.settle(reached));
                }
                (Event::Changes { epoch, changes }, Some(from)) => {
                    if changes.len() > 0 {
                        pace.changed();
                    }
                    let reached = self.delivery.apply(from, epoch, changes, &mut self.report).await?;
                    settled = Some(self.settle(reached));
                }
                // The inbox hands out changes only after a look.
                (Event::Changes { .. } | Event::LookAgain | Event::Due, _) => {
                    if settled.is_none() {
                        self.report.phase(Phase::Hydrating);
                    }
                    pace.asked();
                    self.feed.ask(self.inbox.ask());
                }
                (Event::Done, _) => return Ok(()),
            }
        }
    }

    /// Waits for something to do. What is held meanwhile shows in the status, though nothing happens to it.
    async fn next(&mut self, due: Option<Instant>, stop: &CancellationToken) -> Event {
        if self.options.coalesce_window.is_zero() {
            return self.inbox.next(due, stop).await;
        }
        loop {
            // Nothing is taken out of the inbox unless it is returned at once.
            tokio::select! {
                event = self.inbox.next(due, stop) => return event,
                () = tokio::time::sleep(SHOW_HELD) => self.report.publish(),
            }
        }
    }

    fn settle(&mut self, settled: Settled) -> Settled {
        self.inbox.settle(settled.epoch);
        if self.retry.is_failing() {
            tracing::info!("delivering again");
        }
        self.retry.succeeded();
        self.report.settled(settled);
        settled
    }

    fn failed(&mut self, error: SinkError) -> Option<Instant> {
        let (phase, next) = self.retry.failed(&error);
        match &phase {
            Phase::Stopped { reason, .. } => tracing::error!(reason, %error, "the binding stops"),
            Phase::CircuitOpen { reason, .. } => {
                tracing::warn!(reason, %error, "delivery fails again and again")
            }
            _ => tracing::warn!(reason = error.reason(), %error, "delivery failed; trying again"),
        }
        self.report.failed(error, phase);
        next
    }
}

/// How a sink of either shape is served.
enum Delivery {
    Rows(RowDelivery),
    Document(DocumentDelivery),
}

impl Delivery {
    async fn connect(&mut self) -> Result<(), SinkError> {
        match self {
            Self::Rows(rows) => rows.sink.connect().await,
            Self::Document(document) => document.sink.connect().await,
        }
    }

    fn forget(&mut self) {
        match self {
            Self::Rows(rows) => rows.forget(),
            Self::Document(document) => document.forget(),
        }
    }

    async fn resume(&mut self, answer: Answer, report: &mut Report) -> Result<Settled, SinkError> {
        match self {
            Self::Rows(rows) => rows.resume(answer, report).await,
            Self::Document(document) => document.resume(answer, report).await,
        }
    }

    async fn apply(
        &mut self,
        from: Settled,
        epoch: u64,
        changes: Changes,
        report: &mut Report,
    ) -> Result<Settled, SinkError> {
        match self {
            Self::Rows(rows) => rows.apply(from, epoch, changes, report).await,
            // Its inbox hands out epochs without changes only.
            Self::Document(_) => Ok(Settled { epoch, ..from }),
        }
    }
}
