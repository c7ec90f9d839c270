//! From the host of an endpoint to the addresses that may be connected to.

use std::io;
use std::net::SocketAddr;

use super::{EndpointPolicy, Refused};

/// Why there is no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The name can't be resolved. Nobody has to act, or whoever runs the name server: it is tried again.
    #[error("{host} can't be resolved: {source}")]
    Lookup {
        /// The host.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Every address of the name is refused.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl EndpointPolicy {
    /// The addresses of a host that may be connected to; to be asked anew for each connection, and only these are to be connected to.
    ///
    /// # Errors
    /// The host can't be resolved, or none of its addresses may be connected to.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let lookup = async |host: &str, port: u16| Ok(tokio::net::lookup_host((host, port)).await?.collect());
        self.resolve_with(host, port, lookup).await
    }

    /// As [`EndpointPolicy::resolve`], with another resolver than the operating system's.
    pub(super) async fn resolve_with(
        &self,
        host: &str,
        port: u16,
        lookup: impl AsyncFnOnce(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let failed = |source| ResolveError::Lookup { host: host.to_owned(), source };
        let found = lookup(host, port).await.map_err(failed)?;
        let mut first_refused = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found {
            match self.check(address.ip(), Some(host)) {
                Ok(()) => allowed.push(address),
                Err(refused) => first_refused = first_refused.or(Some(refused)),
            }
        }
        match first_refused {
            _ if !allowed.is_empty() => Ok(allowed),
            Some(refused) => Err(refused.into()),
            None => Err(failed(io::Error::new(io::ErrorKind::NotFound, "it has no address"))),
        }
    }
}
