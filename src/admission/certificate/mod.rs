//! The certificate that is served: made and kept in a Secret, or read from a directory; taken into use while requests run.

mod directory;
mod issue;
mod keeper;

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

pub(super) use keeper::Keeper;

#[cfg(test)]
pub(super) use issue::{Issued, issue, key, lasts};

/// The certificate that new connections get.
#[derive(Debug, Default)]
pub(super) struct Serving(watch::Sender<Option<Arc<CertifiedKey>>>);

impl Serving {
    /// Takes another certificate into use. Connections keep theirs.
    fn set(&self, key: CertifiedKey) {
        self.0.send_replace(Some(Arc::new(key)));
    }

    fn get(&self) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }

    /// Whether there is one.
    pub(super) fn has_certificate(&self) -> bool {
        self.get().is_some()
    }

    /// Waits until there is one.
    pub(super) async fn certified(&self) {
        // The sender is ours, so the channel does not close.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Whether it is this one.
    fn is(&self, key: &CertifiedKey) -> bool {
        self.get().is_some_and(|served| served.cert == key.cert)
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.get()
    }
}
