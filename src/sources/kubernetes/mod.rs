//! Objects from a Kubernetes API server.
//!
//! ```text
//! discovery ─► list ─► watch ─► events
//!     ▲         ▲  410  │
//!     │         └───────┤
//!     └──── 404 ────────┘
//! ```
//!
//! Each kind has a watch of its own, which goes on whatever happens to the others. Objects are handed over one by one as the
//! bytes that came, nothing is kept of them, and a taker that has no room holds up the connection.
//!
//! - The list is a stream where the server can do that, else it comes in pages whose size follows that of the objects. A list
//!   that breaks off does not end; the next attempt begins it anew.
//! - A watch that breaks off is taken up where it was. When the server no longer knows that place, everything is listed again,
//!   and whoever takes the events sweeps what the new list lacks.
//! - A kind that is not there is reported and waited for. The objects of a kind are gone when discovery says that its group
//!   no longer knows it in any version; a version that is merely not served any more leaves them as they are.
//! - What is denied is reported, tried again now and then, and deletes nothing.
//! - Where the source reaches only some namespaces, nothing outside of them is asked for: each has a watch of its own, and the
//!   watches of a kind are merged into one stream.

mod backoff;
mod client;
mod discovery;
mod lines;
mod merge;
mod object;
mod request;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kollect_dataflows::data::Gvk;
use kube::Client;
use tokio_util::sync::CancellationToken;

pub use self::client::{ClientError, client};
use self::discovery::Discovery;
use self::watch::{Place, Watch};
use super::{EventSink, Mode, Source};

/// How objects are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum InitialList {
    /// As a stream, and in pages where the server refuses that.
    #[default]
    Stream,
    /// In pages.
    Pages,
}

/// What can be set about a [`KubernetesSource`].
#[derive(Clone, Debug)]
pub struct Options {
    /// How objects are listed.
    pub initial_list: InitialList,
    /// Objects in a page at most. Pages become smaller where objects are large.
    pub page_size: u32,
    /// The first pause after a failure; pauses double from there.
    pub first_pause: Duration,
    /// The longest pause after a failure.
    pub longest_pause: Duration,
    /// The longest pause between looks for a kind that is not there.
    pub kind_pause: Duration,
    /// How long a watch goes on before it is taken up anew, at least; at most twice as long.
    pub watch_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            initial_list: InitialList::Stream,
            page_size: 500,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            kind_pause: Duration::from_secs(10),
            // The server says something at least every minute or so, so that a connection that is dead is noticed by
            // the client's read timeout, which is just below five minutes.
            watch_time: Duration::from_secs(280),
        }
    }
}

/// How far a [`KubernetesSource`] reaches.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Reach {
    /// The whole cluster.
    #[default]
    Cluster,
    /// Some namespaces: nothing of others is asked for.
    Namespaces {
        /// Their names; at least one.
        names: BTreeSet<String>,
        /// Whether objects that belong to no namespace are reached too.
        cluster_scoped: bool,
    },
}

/// The objects of a cluster.
#[derive(Clone)]
pub struct KubernetesSource {
    client: Client,
    options: Options,
    reach: Reach,
    discovery: Arc<Discovery>,
}

impl KubernetesSource {
    /// Takes objects through `client`.
    pub fn new(client: Client) -> Self {
        Self::with_options(client, Options::default())
    }

    /// The same with other settings.
    pub fn with_options(client: Client, options: Options) -> Self {
        Self { client, options, reach: Reach::Cluster, discovery: Arc::default() }
    }

    /// The same source, reaching so far. What it knows of the kinds of the cluster is shared.
    pub fn reaching(&self, reach: Reach) -> Self {
        Self { reach, ..self.clone() }
    }
}

impl fmt::Debug for KubernetesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesSource")
            .field("options", &self.options)
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for KubernetesSource {
    async fn watch(&self, gvk: &Gvk, mode: Mode, events: &mut dyn EventSink, stop: &CancellationToken) {
        let watch = async {
            match &self.reach {
                Reach::Cluster => _ = Watch::new(self, gvk, Place::Anywhere, mode, events).run().await,
                Reach::Namespaces { names, .. } => merge::watch(self, names, gvk, mode, events).await,
            }
        };
        stop.run_until_cancelled(watch).await;
    }
}
