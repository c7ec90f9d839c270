//! Runs the sources: one task a watched kind, and lists beside it for single targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kollect_dataflows::data::{Gvk, TargetName};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, ListOf, SourceAction};
use crate::sources::{Mode, Source};

/// The first pause before a list is tried again; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// The tasks that feed the engine.
pub(super) struct Watches {
    engine: Arc<Engine>,
    source: Arc<dyn Source>,
    mode: Mode,
    stop: CancellationToken,
    running: BTreeMap<Gvk, CancellationToken>,
    tasks: JoinSet<()>,
}

impl Watches {
    pub(super) fn new(engine: Arc<Engine>, source: Arc<dyn Source>, mode: Mode) -> Self {
        let stop = CancellationToken::new();
        Self { engine, source, mode, stop, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    pub(super) fn act(&mut self, actions: Vec<SourceAction>) {
        for action in actions {
            match action {
                SourceAction::Watch(gvk) => self.watch(gvk),
                SourceAction::Unwatch(gvk) => {
                    if let Some(stop) = self.running.remove(&gvk) {
                        stop.cancel();
                    }
                }
                SourceAction::List(gvk, targets) => self.list(gvk, targets),
            }
        }
        // Tasks that have ended are let go of.
        while self.tasks.try_join_next().is_some() {}
    }

    fn watch(&mut self, gvk: Gvk) {
        let stop = self.stop.child_token();
        self.running.insert(gvk.clone(), stop.clone());
        let Some(mut feed) = self.engine.feed(&gvk, ListOf::Watch) else { return };
        let (source, mode) = (Arc::clone(&self.source), self.mode);
        self.tasks.spawn(async move {
            source.watch(&gvk, mode, &mut feed, &stop).await;
            if !feed.has_listed() && !stop.is_cancelled() {
                feed.give_up();
            }
        });
    }

    /// Lists a kind for targets whose plans have changed, until a list has come to its end.
    fn list(&mut self, gvk: Gvk, targets: Vec<TargetName>) {
        let stop = self.running.get(&gvk).unwrap_or(&self.stop).child_token();
        let (engine, source, mode) = (Arc::clone(&self.engine), Arc::clone(&self.source), self.mode);
        self.tasks.spawn(async move {
            let mut pause = FIRST_PAUSE;
            while let Some(mut feed) = engine.feed(&gvk, ListOf::Targets(targets.clone())) {
                source.watch(&gvk, Mode::Once, &mut feed, &stop).await;
                if feed.has_listed() || mode == Mode::Once {
                    return;
                }
                drop(feed);
                let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(jittered) => {}
                }
                pause = (pause * 2).min(LAST_PAUSE);
            }
        });
    }

    /// Whether all tasks have ended.
    pub(super) fn have_ended(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.is_empty()
    }

    /// Waits until all tasks have ended; in [`Mode::Follow`] only after [`Watches::stop`].
    pub(super) async fn join(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
