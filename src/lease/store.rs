//! The lease at the API server.

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};

use super::Settings;

/// Why the lease can't be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoreError {
    /// It is not as it was when it was last read. Nobody has to act: it is read again.
    #[error("the lease was changed by another process")]
    Conflict,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Where the lease is.
#[async_trait]
pub(super) trait Store: Send + Sync + 'static {
    /// The lease as it is; nothing if there is none.
    async fn get(&self) -> Result<Option<Lease>, StoreError>;

    /// Creates it if there is none.
    async fn create(&self, lease: &Lease) -> Result<Lease, StoreError>;

    /// Replaces the version that `lease` was made from, and no other.
    async fn replace(&self, lease: &Lease) -> Result<Lease, StoreError>;
}

/// A lease of a cluster.
pub(super) struct Leases {
    api: Api<Lease>,
    namespace: String,
    name: String,
}

impl Leases {
    pub(super) fn new(client: Client, settings: &Settings) -> Self {
        Self {
            api: Api::namespaced(client, &settings.namespace),
            namespace: settings.namespace.clone(),
            name: settings.name.clone(),
        }
    }

    fn failed(&self, error: kube::Error) -> StoreError {
        let lease = format!("the lease {}/{}", self.namespace, self.name);
        match error {
            // Deleted, created or changed in between.
            kube::Error::Api(status)
                if matches!(status.code, 404 | 409) && !status.is_namespace_missing() =>
            {
                StoreError::Conflict
            }
            kube::Error::Api(status) if status.code == 404 => StoreError::Failed(format!(
                "{lease} can't be created: there is no such namespace; create it, or give another --lease-namespace"
            )),
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => StoreError::Failed(format!(
                "{lease} can't be used: {}; grant get, create and update on leases of coordination.k8s.io there",
                status.message
            )),
            error => StoreError::Failed(format!("{lease} can't be read or written: {error}")),
        }
    }
}

/// What an answer of the API server is about.
trait About {
    fn is_namespace_missing(&self) -> bool;
}

impl About for kube::core::Status {
    fn is_namespace_missing(&self) -> bool {
        self.code == 404 && self.details.as_ref().is_some_and(|details| details.kind == "namespaces")
    }
}

#[async_trait]
impl Store for Leases {
    async fn get(&self) -> Result<Option<Lease>, StoreError> {
        self.api.get_opt(&self.name).await.map_err(|error| self.failed(error))
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.api.create(&PostParams::default(), lease).await.map_err(|error| self.failed(error))
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.api.replace(&self.name, &PostParams::default(), lease).await.map_err(|error| self.failed(error))
    }
}
