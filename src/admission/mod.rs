//! The validating admission webhook: AdmissionReviews in, verdicts out, by the same code as `kollect validate` and the
//! operator.
//!
//! ```text
//!  latest Input of the operator ─────────────┐
//!                                            ▼
//!  API server ─ TLS ─► server ─► review ─► verdict ─► allowed (with warnings), or refused with every reason
//!                        ▲          │        └─ surroundings: what of the input concerns the object
//!                        │          └─► kinds: whether the cluster serves what a profile reads
//!                        │
//!  Secret ◄─► certificate keeper ─► configuration: the ValidatingWebhookConfiguration
//! ```
//!
//! - **What refuses** is what only the object's author can cure ([`crate::catalog::reason::REFUSED`]). What another resource
//!   may still cure is a warning, so that resources can be applied in any order.
//! - **What is never refused**: a change that leaves the spec as it was, and any change of an object that is being
//!   deleted. Metadata and finalizers can thus always be written, whatever has become of the spec.
//! - **Nothing depends on it.** Without the webhook the catalog says the same, and the operator holds what is refused; so
//!   the failure policy is `Ignore` unless it is asked to be otherwise, and even with `Fail` the API server itself
//!   passes by changes of metadata.
//! - **Every operator judges its own**: one that is for some namespaces grants what lies elsewhere unread, and is not even sent it. In
//!   tenant mode resources of the cluster are not sent either; one that comes all the same is refused.
//! - Every replica serves, with one certificate authority.

mod certificate;
mod configuration;
mod kinds;
mod review;
mod server;
mod surroundings;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::catalog::Input;
use certificate::{Keeper, Serving};
use configuration::Configuration;
use kinds::Kinds;

/// Where reviews are posted to.
const PATH: &str = "/validate";

/// Settings of the webhook.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on.
    pub address: SocketAddr,
    /// Where the API server finds it.
    pub location: Location,
    /// Name of the ValidatingWebhookConfiguration, and of the Secret with the certificate.
    pub name: String,
    /// Where the certificate comes from.
    pub certificates: Certificates,
    /// What the API server does when the webhook does not answer.
    pub failure_policy: FailurePolicy,
    /// Which resources are sent at all.
    pub limits: Limits,
}

/// Which resources are sent to the webhook: those that its operator is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The namespaces; all when there are none here.
    pub namespaces: BTreeSet<String>,
    /// Whether resources of the cluster are left out: no selector of namespaces does that.
    pub namespaced_only: bool,
}

/// Where the API server finds the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A Service of the cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
    /// An address outside of the cluster.
    Url {
        /// `https://host:port/validate`.
        url: String,
        /// The host: a name or an IP address.
        host: String,
    },
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// The operator makes it, and keeps it in a Secret for all replicas.
    Own(Rotation),
    /// The files `tls.crt` and `tls.key` of a directory, read again when they change. Whoever writes them puts the
    /// authority into the ValidatingWebhookConfiguration too.
    Directory(PathBuf),
}

/// The times of the operator's own certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// So long a certificate is valid.
    pub valid: Duration,
    /// So long before its end it is renewed.
    pub renew_before: Duration,
    /// So often it is looked after.
    pub check: Duration,
    /// So long API servers may take to hear of a new authority before its certificate is served.
    pub settle: Duration,
}

impl Default for Rotation {
    /// A year, renewed after eight months: clusters may be asleep for long, and a missed renewal is repeated each minute.
    fn default() -> Self {
        Self {
            valid: Duration::from_hours(365 * 24),
            renew_before: Duration::from_hours(120 * 24),
            check: Duration::from_mins(1),
            settle: Duration::from_secs(30),
        }
    }
}

/// What the API server does when the webhook does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It takes the object. The operator reports what is wrong with it in its status, and holds it.
    #[default]
    Ignore,
    /// It refuses new objects and changes of specs.
    Fail,
}

/// Why a location can't be used. Whoever starts the process must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It is not the name of a Service.
    #[error("`{0}` is not a Service; give NAMESPACE/NAME, or NAMESPACE/NAME:PORT")]
    Service(String),
    /// It is not an address that an API server takes.
    #[error(
        "`{0}` is not an address for a webhook; give https://HOST:PORT, without user, query and fragment"
    )]
    Url(String),
}

impl Location {
    /// Reads `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`; the port is 443 when there is none.
    ///
    /// # Errors
    /// When it is something else.
    pub fn service(text: &str) -> Result<Self, LocationError> {
        let error = || LocationError::Service(text.to_owned());
        let is_label = |part: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !part.is_empty()
                && part.len() <= 63
                && part.chars().all(inner)
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        let (namespace, rest) = text.split_once('/').ok_or_else(error)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().ok().filter(|port| *port != 0).ok_or_else(error)?),
            None => (rest, 443),
        };
        if !is_label(namespace) || !is_label(name) {
            return Err(error());
        }
        Ok(Self::Service { namespace: namespace.to_owned(), name: name.to_owned(), port })
    }

    /// Reads `https://HOST:PORT`; the path is `/validate`, given or not.
    ///
    /// # Errors
    /// When it is something else.
    pub fn url(text: &str) -> Result<Self, LocationError> {
        let error = || LocationError::Url(text.to_owned());
        let uri = http::Uri::from_str(text).map_err(|_| error())?;
        let authority = uri.authority().ok_or_else(error)?;
        let plain = uri.scheme_str() == Some("https")
            && ["", "/", PATH].contains(&uri.path())
            && uri.query().is_none()
            && !authority.as_str().contains('@')
            && !text.contains('#');
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if !plain || host.is_empty() {
            return Err(error());
        }
        Ok(Self::Url { url: format!("https://{authority}{PATH}"), host })
    }

    /// The name that the certificate is for.
    fn host(&self) -> String {
        match self {
            Self::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
            Self::Url { host, .. } => host.clone(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { namespace, name, port } => write!(f, "Service {namespace}/{name}:{port}"),
            Self::Url { url, .. } => f.write_str(url),
        }
    }
}

/// Why the webhook can't be started. Whoever starts the process must act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error(
        "the webhook can't listen on {address}: {source}; free the address, or give another --webhook-address"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS can't be set up: a fault of this program.
    #[error("TLS can't be set up for the webhook: {0}; please report this")]
    Tls(#[from] rustls::Error),
}

/// A webhook that runs.
#[derive(Clone, Debug)]
pub struct Webhook {
    address: SocketAddr,
    serving: Arc<Serving>,
    inputs: watch::Receiver<Option<Arc<Input>>>,
}

impl Webhook {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it can answer: it has a certificate, and knows the resources of the cluster. For readiness; whether the process
    /// lives has nothing to do with it.
    pub fn is_ready(&self) -> bool {
        self.has_certificate() && self.inputs.borrow().is_some()
    }

    /// Whether it has a certificate.
    pub fn has_certificate(&self) -> bool {
        self.serving.has_certificate()
    }

    /// Waits until it has a certificate.
    pub async fn certified(&self) {
        self.serving.certified().await;
    }
}

/// Starts the webhook; it ends with `stop`. Verdicts are about the latest of `inputs`.
///
/// It is served as soon as there is a certificate. That there is none yet, because the cluster does not answer or does not
/// permit it, is logged and tried again, and holds nothing up.
///
/// # Errors
/// The address can't be listened on.
pub async fn start(
    client: Client,
    options: Options,
    inputs: watch::Receiver<Option<Arc<Input>>>,
    stop: CancellationToken,
) -> Result<Webhook, StartError> {
    let listen = |source| StartError::Listen { address: options.address, source };
    let listener = TcpListener::bind(options.address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let serving = Arc::new(Serving::default());
    let acceptor = server::acceptor(Arc::clone(&serving))?;
    let webhook = Webhook { address, serving: Arc::clone(&serving), inputs: inputs.clone() };
    let configuration = Configuration::new(&options);
    let kinds = Kinds::new(client.clone());
    let keeper = Keeper::new(client, options, configuration, serving);
    tokio::spawn(stop.clone().run_until_cancelled_owned(keeper.run()));
    tokio::spawn(server::serve(listener, acceptor, inputs, kinds, stop));
    Ok(webhook)
}
