//! Which endpoints sinks may connect to.
//!
//! Whoever may create a sink makes the operator connect to an address of their choice, from where it runs: to what
//! listens on its own machine, to the metadata service that hands out the machine's credentials, to networks that only it can reach.
//! So an [`EndpointPolicy`] is asked twice:
//!
//! ```text
//! sink resource ─► catalog: check_host ──────► a problem of the sink: addresses, however they are spelled, and known names
//! connection ────► backend: resolve (DNS) ───► the addresses to connect to, and no others
//! ```
//!
//! What the catalog says is early and cheap; only the second is a guarantee, for a name may lead anywhere, and elsewhere the
//! next time. Invariants:
//!
//! 1. Every connection of every backend goes to an address that [`EndpointPolicy::resolve`] gave for it. A client that
//!    resolves names itself is given addresses; one that follows redirects asks anew for each.
//! 2. The address that was checked is the one that is connected to: nothing is resolved again in between.
//! 3. An IPv6 address that stands for an IPv4 address (mapped, translated, tunnelled) may be used only if both may.

mod address;
mod network;
mod resolve;
mod spelling;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use address::{Access, classify, faces};
pub use network::{Network, NetworkError};
pub use resolve::ResolveError;

/// Names that mean the machine itself wherever they are resolved.
const LOCAL_NAMES: [&str; 6] =
    ["localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"];

/// Names of metadata services.
const METADATA_NAMES: [&str; 7] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Which endpoints sinks may connect to. The default is the operator's: public addresses only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPolicy(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Unrestricted,
    Guarded { private: bool, sockets: bool, networks: Arc<[Network]> },
}

impl Default for Rule {
    fn default() -> Self {
        Self::Guarded { private: false, sockets: false, networks: Arc::default() }
    }
}

/// An endpoint that sinks may not connect to. Whoever wrote the sink must act, or whoever runs the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct Refused {
    /// What is refused, and why: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl EndpointPolicy {
    /// Everything may be connected to: for a person on their own machine, who could do so anyway.
    pub fn unrestricted() -> Self {
        Self(Rule::Unrestricted)
    }

    /// Public addresses and those in `networks` may be connected to; with `private`, those of private networks too. What is not to
    /// be reached even through a network of the list, because handing it out hands out the machine's own credentials (metadata services,
    /// link-local addresses), must be listed as a single address.
    pub fn guarded(private: bool, networks: Vec<Network>) -> Self {
        Self(Rule::Guarded { private, sockets: false, networks: networks.into() })
    }

    /// Unix sockets may be connected to or not: they are files of the machine, as those of local sinks are.
    #[must_use]
    pub fn with_sockets(mut self, allowed: bool) -> Self {
        if let Rule::Guarded { sockets, .. } = &mut self.0 {
            *sockets = allowed;
        }
        self
    }

    /// Checks an address.
    ///
    /// # Errors
    /// It may not be connected to.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        self.check(address, None)
    }

    /// Checks the host of an endpoint as somebody wrote it: a name, or an address in any spelling that a resolver reads. A name
    /// that says nothing by itself passes; where it leads is checked when it is resolved.
    ///
    /// # Errors
    /// It may not be connected to.
    pub fn check_host(&self, host: &str) -> Result<(), Refused> {
        let readings = spelling::readings(host);
        for address in &readings {
            self.check(*address, Some(host))?;
        }
        if !readings.is_empty() {
            return Ok(());
        }
        let name = spelling::name(host);
        let (first, rest) = name.split_once('.').unwrap_or((&name, ""));
        let is_local = LOCAL_NAMES.contains(&first) && (rest.is_empty() || rest.starts_with("localdomain"));
        if name.is_empty() || is_local || name.ends_with(".localhost") {
            // One of the two is enough: what the name resolves to is checked again.
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return match loopback.map(|address| self.check(address, Some(host))) {
                [Err(refused), Err(_)] => Err(refused),
                _ => Ok(()),
            };
        }
        if METADATA_NAMES.contains(&name.as_str()) {
            return self.check(IpAddr::V4(address::METADATA), Some(host));
        }
        Ok(())
    }

    /// Checks a Unix socket.
    ///
    /// # Errors
    /// It may not be connected to.
    pub fn check_socket(&self, path: &Path) -> Result<(), Refused> {
        match self.0 {
            Rule::Guarded { sockets: false, .. } => Err(Refused {
                message: format!(
                    "{} is a socket of the operator's own machine, to which sinks may not connect",
                    path.display()
                ),
                remedy: "give a host, or have the operator started with --allow-local-sinks".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn check(&self, address: IpAddr, host: Option<&str>) -> Result<(), Refused> {
        let Rule::Guarded { private, networks, .. } = &self.0 else { return Ok(()) };
        for face in faces(address) {
            let (access, what) = classify(face);
            let listed = || networks.iter().any(|network| network.contains(face));
            let allowed = match access {
                Access::Open => true,
                Access::Private => *private || listed(),
                Access::Listed => listed(),
                Access::Exact => networks.iter().any(|network| network.is_exactly(face)),
                Access::Never => false,
            };
            if !allowed {
                return Err(refused(host, address, face, access, what));
            }
        }
        Ok(())
    }
}

fn refused(host: Option<&str>, address: IpAddr, face: IpAddr, access: Access, what: &str) -> Refused {
    let address_text = if face == address { face.to_string() } else { format!("{address}, that is {face}") };
    let named = host.filter(|host| *host != address.to_string());
    let subject = match named {
        Some("") => format!("an empty host ({address_text})"),
        Some(host) => format!("{host} ({address_text})"),
        None => address_text,
    };
    let remedy = match access {
        Access::Open | Access::Never => "give the address or the name of a server".to_owned(),
        Access::Private => {
            "give a public endpoint, or have the operator started with --allow-private-endpoints or with the \
                            address's network in --allowed-endpoint-cidrs"
                .to_owned()
        }
        Access::Listed => {
            "give another endpoint, or have the operator started with the address's network in \
                           --allowed-endpoint-cidrs"
                .to_owned()
        }
        Access::Exact => format!(
            "give another endpoint; if it must be this one, have the operator started with exactly {face} in \
             --allowed-endpoint-cidrs"
        ),
    };
    Refused { message: format!("{subject} is {what}, to which sinks may not connect"), remedy }
}

impl fmt::Display for EndpointPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Unrestricted => f.write_str("all endpoints"),
            Rule::Guarded { private, networks, .. } => {
                f.write_str("public endpoints")?;
                if *private {
                    f.write_str(", private ones")?;
                }
                for network in networks.iter() {
                    write!(f, ", {network}")?;
                }
                Ok(())
            }
        }
    }
}
