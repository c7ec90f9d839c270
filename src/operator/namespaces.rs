//! Namespaces one by one, for an operator that may not list them: a name in, the namespace as it is out, again and again.
//!
//! A Role in a namespace may allow `get` of that namespace. It can't allow a list, nor a watch with a field selector, since these
//! are requests to the whole cluster. So each is looked at now and then, and at once when a watch of that one namespace says that it has
//! changed. Such a watch is an old part of the API: where it is denied or not there, that is no matter.

use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::runtime::ObjectStore;
use crate::sources::{Closed, Event, EventSink as _, ObjectName, SourceProblem};

/// So often a namespace is looked at that can't be watched.
const PAUSE: Duration = Duration::from_secs(5);
/// The same of one that is watched: a connection that is dead is noticed then.
const LONG_PAUSE: Duration = Duration::from_secs(120);
/// So long after a change until the next look.
const SHORT_PAUSE: Duration = Duration::from_millis(200);
/// How long the API server may take to give it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Failures in a row after which an API server that can't be reached is reported.
const FAILURES_TO_REPORT: u32 = 4;

/// Keeps one namespace in a store, until `stop` fires.
pub(super) async fn look_after(client: Client, name: String, store: ObjectStore, stop: CancellationToken) {
    let mut look = Look { client, name, store, last: None, failures: 0, told: None };
    let looks = async { while look.a_while().await.is_ok() {} };
    stop.run_until_cancelled(looks).await;
}

struct Look {
    client: Client,
    name: String,
    store: ObjectStore,
    /// The version that was handed on last; none within when there was no such namespace.
    last: Option<Option<String>>,
    /// Failures since something went well.
    failures: u32,
    told: Option<SourceProblem>,
}

impl Look {
    async fn look(&mut self) -> Result<(), Closed> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let answer = tokio::time::timeout(PATIENCE, api.get_opt(&self.name)).await;
        let (reason, why) = match answer {
            Ok(Ok(namespace)) => return self.take(namespace).await,
            Ok(Err(kube::Error::Api(status))) if [401, 403].contains(&status.code) => {
                ("AccessDenied", status.message.clone())
            }
            Ok(Err(error)) => ("SourceUnavailable", error.to_string()),
            Err(_) => ("SourceUnavailable", "the API server does not answer".to_owned()),
        };
        self.failures += 1;
        if reason == "SourceUnavailable" && self.failures < FAILURES_TO_REPORT {
            return Ok(());
        }
        let name = &self.name;
        let problem = SourceProblem {
            reason,
            message: format!("namespace {name} can't be read: {why}"),
            remedy: format!("grant get on namespaces in namespace {name}"),
        };
        if self.told.as_ref() != Some(&problem) {
            self.told = Some(problem.clone());
            self.store.send(Event::Problem(problem)).await?;
        }
        Ok(())
    }

    /// Looks at the namespace, and again as long as a watch says that it has changed.
    async fn a_while(&mut self) -> Result<(), Closed> {
        let pause = |pause: Duration| tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0));
        // Before the look, so that no change gets lost between the two.
        let changes = self.changes().await;
        self.look().await?;
        let mut line = String::new();
        if let Some(mut changes) = changes {
            loop {
                line.clear();
                match tokio::time::timeout(LONG_PAUSE, changes.read_line(&mut line)).await {
                    Ok(Ok(1..)) => {
                        pause(SHORT_PAUSE).await;
                        self.look().await?;
                    }
                    // It ended, and may do so at once the next time too.
                    Ok(_) => break,
                    Err(_) => return Ok(()),
                }
            }
        }
        pause(PAUSE).await;
        Ok(())
    }

    /// A watch of the namespace; none where that can't be had.
    async fn changes(&self) -> Option<impl AsyncBufRead + Unpin + use<>> {
        if self.told.is_some() {
            return None;
        }
        let request =
            Request::get(format!("/api/v1/watch/namespaces/{}", self.name)).body(Vec::new()).ok()?;
        let answer = self.client.request_stream(request);
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok().map(Box::pin)
    }

    /// Hands a namespace on, if it is another than before.
    async fn take(&mut self, namespace: Option<Namespace>) -> Result<(), Closed> {
        self.failures = 0;
        if self.told.take().is_some() {
            self.store.send(Event::Recovered).await?;
        }
        let version = namespace.as_ref().and_then(|namespace| namespace.metadata.resource_version.clone());
        if self.last.as_ref() == Some(&version) {
            return Ok(());
        }
        self.last = Some(version);
        self.store.send(Event::ListBegin).await?;
        // Our own types can be written as JSON.
        if let Some(json) = namespace.and_then(|namespace| serde_json::to_vec(&namespace).ok()) {
            let name = ObjectName { namespace: String::new(), name: self.name.clone() };
            self.store.send(Event::Object { name, version: 0, json: json.into() }).await?;
        }
        self.store.send(Event::ListEnd).await
    }
}
