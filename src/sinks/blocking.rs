//! Work that waits for a file system: it runs on threads that may wait, not on those of the async runtime.
//!
//! A runtime has a bounded number of such threads. Some of the work here also waits for rows, and whoever reads those needs
//! a thread too, so all sinks together take only a part of them: [`AT_ONCE`].

use std::sync::{Arc, LazyLock};

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use super::SinkError;

/// So many pieces of work run at a time, of all sinks of the process. Far below what a runtime has by default (512), and far
/// above what a disk gains by.
pub(super) const AT_ONCE: usize = 64;

static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

/// So many probes of files run at a time. They have threads of their own: one whose file system never answers keeps its thread, and is
/// made again and again.
const PROBES_AT_ONCE: usize = 4;

static PROBES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(PROBES_AT_ONCE)));

/// Does the work of a probe.
pub(super) async fn probe(
    work: impl FnOnce() -> Result<(), SinkError> + Send + 'static,
) -> Result<(), SinkError> {
    let permit = Arc::clone(&PROBES).acquire_owned().await.ok();
    let work = tokio::task::spawn_blocking(move || {
        let _until_the_end = permit;
        work()
    });
    Work(work).end().await
}

/// Lets one piece of work at a time onto the files of a sink. Work goes on when its caller stops waiting, and has come to
/// its end before the next begins.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<()>>);

impl Gate {
    /// Waits for its turn, without a thread, and then begins the work.
    ///
    /// The work must not wait for other work of a sink.
    pub(super) async fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
    ) -> Work<T> {
        let inside = Arc::clone(&self.0).lock_owned().await;
        // Never closed, so never an error.
        let permit = Arc::clone(&PERMITS).acquire_owned().await.ok();
        Work(tokio::task::spawn_blocking(move || {
            let _until_the_end = (inside, permit);
            work()
        }))
    }

    /// Does the work.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        self.begin(work).await.end().await
    }
}

/// Work that has begun. It goes on when this is dropped.
pub(super) struct Work<T>(JoinHandle<Result<T, SinkError>>);

impl<T> Work<T> {
    /// Waits for the end.
    pub(super) async fn end(self) -> Result<T, SinkError> {
        self.0.await.unwrap_or_else(|error| {
            Err(SinkError::Interrupted { message: format!("the work on files broke off: {error}") })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn work_leaves_threads_for_those_who_bring_what_it_waits_for() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(AT_ONCE + 1)
            .build()
            .unwrap();
        let done = runtime.block_on(async {
            let all = (0..3 * AT_ONCE).map(|_| async {
                let (sender, receiver) = mpsc::channel();
                let waits = move || Ok(receiver.recv().is_ok());
                let gate = Gate::default();
                let brings = async {
                    tokio::task::yield_now().await;
                    tokio::task::spawn_blocking(move || sender.send(())).await.unwrap().unwrap();
                };
                futures::join!(gate.run(waits), brings).0.unwrap()
            });
            tokio::time::timeout(Duration::from_secs(60), futures::future::join_all(all)).await
        });
        runtime.shutdown_background();
        assert_eq!(done.unwrap(), vec![true; 3 * AT_ONCE]);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_over_before_the_next_begins() {
        let gate = Gate::default();
        let (go_on, waits) = mpsc::channel::<()>();
        let (begun, began) = mpsc::channel();
        let (log, logged) = mpsc::channel();
        let first = {
            let log = log.clone();
            gate.begin(move || {
                begun.send(()).unwrap();
                waits.recv().unwrap();
                log.send("first").unwrap();
                Ok(())
            })
        };
        drop(first.await);
        tokio::task::spawn_blocking(move || began.recv().unwrap()).await.unwrap();
        let mut second = Box::pin(gate.run(move || {
            log.send("second").unwrap();
            Ok(())
        }));
        assert!((&mut second).now_or_never().is_none());
        go_on.send(()).unwrap();
        second.await.unwrap();
        assert_eq!(logged.iter().collect::<Vec<_>>(), ["first", "second"]);
    }
}
