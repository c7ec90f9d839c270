//! Small writes to resources of ours beside their status, done in a task of its own and tried again until nobody wants them any
//! more: the next version of the resource shows that they are done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::API_VERSION;
use crate::catalog::{ResourceName, ResourceRef};
use crate::latest;
use crate::status::{FIELD_MANAGER, resource_api};

/// So long it takes at most until a resource is seen to be as an errand left it; if it is not, it is done again.
const PAUSE: Duration = Duration::from_secs(10);
/// How long the API server may take for one.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many are under way at a time.
const AT_ONCE: usize = 4;
/// The longest sleep: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The owner that a resource is to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) uid: String,
}

/// A write that can be done twice without harm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Errand {
    /// Takes an annotation away.
    Unannotate { resource: ResourceRef, annotation: &'static str },
    /// Gives a connection test an owner, beside those that it has.
    Own { test: ResourceName, uid: String, owner: Owner },
    /// Removes a connection test.
    Remove { test: ResourceName, uid: String },
    /// Gives a resource these finalizers, if it is still of this version.
    Finalizers { resource: ResourceRef, uid: String, version: String, finalizers: Vec<String> },
}

/// The errands that are wanted.
pub(super) struct Errands(watch::Sender<BTreeMap<Errand, Timestamp>>);

impl Errands {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// Does what is wanted, until `stop` fires: for the leader alone.
    pub(super) fn run(&self, client: Client, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let wanted = self.0.subscribe();
        async move { stop.run_until_cancelled(run(client, wanted)).await.unwrap_or_default() }
    }

    /// Says which errands are to be done from now on, each not before a time.
    pub(super) fn want(&self, wanted: BTreeMap<Errand, Timestamp>) {
        latest::replace(&self.0, wanted);
    }
}

async fn run(client: Client, mut wanted: watch::Receiver<BTreeMap<Errand, Timestamp>>) {
    let mut not_before: BTreeMap<Errand, Instant> = BTreeMap::new();
    loop {
        let errands = wanted.borrow_and_update().clone();
        not_before.retain(|errand, _| errands.contains_key(errand));
        let pause_of = |errand: &Errand, due: &Timestamp, not_before: &BTreeMap<Errand, Instant>| {
            let due = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
            let again = not_before.get(errand).map(|at| at.saturating_duration_since(Instant::now()));
            due.max(again.unwrap_or_default())
        };
        let due: Vec<Errand> = errands
            .iter()
            .filter(|(errand, due)| pause_of(errand, due, &not_before).is_zero())
            .map(|(errand, _)| errand.clone())
            .collect();
        let mut under_way = futures::stream::iter(due)
            .map(|errand| async {
                let done = tokio::time::timeout(PATIENCE, errand.go(&client)).await;
                let late = || kube::Error::Service("the API server does not answer".into());
                (errand, done.unwrap_or_else(|_| Err(late())))
            })
            .buffer_unordered(AT_ONCE);
        while let Some((errand, done)) = under_way.next().await {
            if let Err(error) = done {
                tracing::warn!(?errand, %error, "a resource can't be written; trying again");
            }
            not_before.insert(errand, Instant::now() + PAUSE);
        }
        let pauses = errands.iter().map(|(errand, due)| pause_of(errand, due, &not_before));
        let pause = pauses.min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Errand {
    async fn go(&self, client: &Client) -> Result<(), kube::Error> {
        let done = match self {
            Self::Unannotate { resource, annotation } => {
                let patch = json!({ "metadata": { "annotations": { *annotation: null } } });
                let resources = resource_api(client, resource);
                let patched = resources
                    .patch(&resource.name.name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await;
                patched.map(drop)
            }
            Self::Own { test, uid, owner } => {
                // With its uid, since a resource that is gone would be created otherwise.
                let apply = json!({
                    "apiVersion": API_VERSION,
                    "kind": "KollectConnectionTest",
                    "metadata": {
                        "namespace": test.namespace,
                        "name": test.name,
                        "uid": uid,
                        "ownerReferences": [{
                            "apiVersion": API_VERSION,
                            "kind": owner.kind,
                            "name": owner.name,
                            "uid": owner.uid,
                        }],
                    },
                });
                let tests = resource_api(client, &connection_test(test));
                let params = PatchParams::apply(FIELD_MANAGER).force();
                tests.patch(&test.name, &params, &Patch::Apply(&apply)).await.map(drop)
            }
            Self::Remove { test, uid } => {
                let only_this = Preconditions { uid: Some(uid.clone()), resource_version: None };
                let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
                resource_api(client, &connection_test(test)).delete(&test.name, &params).await.map(drop)
            }
            Self::Finalizers { resource, uid, version, finalizers } => {
                let metadata = json!({ "uid": uid, "resourceVersion": version, "finalizers": finalizers });
                let resources = resource_api(client, resource);
                let patch = Patch::Merge(json!({ "metadata": metadata }));
                resources.patch(&resource.name.name, &PatchParams::default(), &patch).await.map(drop)
            }
        };
        match done {
            // It is gone, or another one stands in its place.
            Err(kube::Error::Api(error)) if error.code == 404 || error.code == 409 => Ok(()),
            done => done,
        }
    }
}

fn connection_test(name: &ResourceName) -> ResourceRef {
    ResourceRef::new("KollectConnectionTest", name)
}
