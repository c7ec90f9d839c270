//! How a command that runs on and on is told to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that fires at the first SIGTERM or SIGINT. At the second one the process ends at once, with the exit code that
/// shells give it.
///
/// # Errors
/// The system refuses the handlers.
pub(super) fn stop_on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        for round in 0.. {
            let code = tokio::select! {
                _ = terminate.recv() => 128 + 15,
                _ = interrupt.recv() => 128 + 2,
            };
            if round > 0 {
                std::process::exit(code);
            }
            fired.cancel();
        }
    });
    Ok(stop)
}
