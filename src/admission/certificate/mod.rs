//! The certificate that is served: made and kept in a Secret, or read from a directory; taken into use while requests run.

mod directory;
mod issue;
mod keeper;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub(super) use keeper::Keeper;

#[cfg(test)]
pub(super) use issue::{Issued, issue, key, lasts};

/// The certificate that new connections get.
#[derive(Debug, Default)]
pub(super) struct Serving(RwLock<Option<Arc<CertifiedKey>>>);

impl Serving {
    /// Takes another certificate into use. Connections keep theirs.
    fn set(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
    }

    fn get(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is one.
    pub(super) fn has_certificate(&self) -> bool {
        self.get().is_some()
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
