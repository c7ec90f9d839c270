//! Writes status by server-side apply: only what changed, and no resource too often; tells of transitions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::events::{Events, Transitions};
use crate::api::{API_VERSION, GROUP, VERSION};

/// The field manager of everything that is written.
pub const FIELD_MANAGER: &str = "kollect";

/// How often a resource is written at most, when only its counters change.
const COUNTER_PAUSE: Duration = Duration::from_secs(2);

/// How long the API server may take to write one status.
const PATIENCE: Duration = Duration::from_secs(10);

/// A custom resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatusKey {
    /// Its kind.
    pub kind: String,
    /// The plural of its kind.
    pub plural: String,
    /// Its namespace; empty for one of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The status that a resource is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The resource.
    pub key: StatusKey,
    /// Its status.
    pub status: Value,
    /// The status that it has, as far as is known.
    pub stored: Value,
    /// Its uid.
    pub uid: Option<String>,
}

struct Written {
    status: Value,
    at: Instant,
}

/// Writes status of custom resources.
pub struct Writer {
    client: Client,
    written: HashMap<StatusKey, Written>,
    transitions: Transitions,
    events: Events,
}

impl Writer {
    /// A writer that has written nothing yet.
    pub fn new(client: Client, events: Events) -> Self {
        Self { client, written: HashMap::new(), transitions: Transitions::default(), events }
    }

    /// Writes the statuses that are wanted, whenever these change, until `stop` fires or nobody wants any more.
    pub async fn run(mut self, mut wanted: watch::Receiver<Vec<Wanted>>, stop: CancellationToken) {
        let mut again = None;
        let work = async {
            loop {
                let pause = async {
                    match again {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    changed = wanted.changed() => if changed.is_err() { return },
                    () = pause => {}
                }
                let statuses = wanted.borrow_and_update().clone();
                again = self.write(statuses).await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Writes the statuses that differ from what was written last. A status whose conditions are the same waits until some
    /// time has passed since the last write. Returns after how long to come again, when something was left.
    pub async fn write(&mut self, statuses: Vec<Wanted>) -> Option<Duration> {
        let mut again: Option<Duration> = None;
        let now = Instant::now();
        self.written.retain(|key, _| statuses.iter().any(|wanted| wanted.key == *key));
        self.transitions.retain(|key| self.written.contains_key(key));
        for Wanted { key, mut status, stored, uid } in statuses {
            // What was written last may not have come back yet, so it counts more than what is stored.
            keep_transitions(&mut status, self.written.get(&key).map_or(&stored, |written| &written.status));
            if let Some(written) = self.written.get(&key) {
                if written.status == status {
                    continue;
                }
                let wait = COUNTER_PAUSE.saturating_sub(now - written.at);
                if written.status["conditions"] == status["conditions"] && !wait.is_zero() {
                    again = Some(again.map_or(wait, |other| other.min(wait)));
                    continue;
                }
            }
            let written = tokio::time::timeout(PATIENCE, self.patch(&key, &status)).await;
            let late = || kube::Error::Service("the API server does not answer".into());
            match written.unwrap_or_else(|_| Err(late())) {
                Ok(()) => {
                    let told = self.transitions.told(&key, uid.as_deref(), &status, &stored);
                    told.into_iter().for_each(|told| self.events.tell(told));
                    self.written.insert(key, Written { status, at: now });
                }
                // It is gone, or has never been: there is nobody to tell.
                Err(kube::Error::Api(error)) if error.code == 404 => {}
                Err(error) => {
                    tracing::warn!(kind = key.kind, namespace = key.namespace, name = key.name, %error, "status can't be written; trying again");
                    again = Some(again.map_or(COUNTER_PAUSE, |other| other.min(COUNTER_PAUSE)));
                }
            }
        }
        again
    }

    async fn patch(&self, key: &StatusKey, status: &Value) -> Result<(), kube::Error> {
        let gvk = GroupVersionKind::gvk(GROUP, VERSION, &key.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &key.plural);
        let client = self.client.clone();
        let (api, metadata): (Api<DynamicObject>, _) = match key.namespace.as_str() {
            "" => (Api::all_with(client, &resource), json!({ "name": key.name })),
            namespace => (
                Api::namespaced_with(client, namespace, &resource),
                json!({ "namespace": namespace, "name": key.name }),
            ),
        };
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": key.kind,
            "metadata": metadata,
            "status": status,
        });
        api.patch_status(&key.name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&body)).await?;
        Ok(())
    }
}

/// A condition whose status is what it was keeps the time of its last transition.
fn keep_transitions(status: &mut Value, previous: &Value) {
    let (Value::Object(status), Value::Object(previous)) = (status, previous) else { return };
    for (list, key) in [("conditions", "type"), ("sinkExports", "name")] {
        let (Some(Value::Array(items)), Some(Value::Array(before))) =
            (status.get_mut(list), previous.get(list))
        else {
            continue;
        };
        for item in items {
            let Some(before) = before.iter().find(|before| before[key] == item[key]) else { continue };
            if list == "sinkExports" {
                keep_transitions(item, before);
            } else if before["status"] == item["status"] {
                item["lastTransitionTime"] = before["lastTransitionTime"].clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_is_dated_when_the_status_changes_and_not_when_the_reason_does() {
        let condition = |status: &str, reason: &str, at: &str| json!({ "type": "Ready", "status": status, "reason": reason, "lastTransitionTime": at });
        let before = json!({
            "conditions": [condition("False", "Hydrating", "1")],
            "sinkExports": [{ "name": "a", "conditions": [condition("True", "Exported", "1")] }],
        });
        let mut status = json!({
            "conditions": [condition("False", "ProfileNotFound", "2")],
            "sinkExports": [
                { "name": "b", "conditions": [condition("True", "Exported", "2")] },
                { "name": "a", "conditions": [condition("False", "SinkUnreachable", "2")] },
            ],
        });
        keep_transitions(&mut status, &before);
        assert_eq!(status["conditions"][0]["lastTransitionTime"], "1");
        assert_eq!(status["sinkExports"][0]["conditions"][0]["lastTransitionTime"], "2");
        assert_eq!(status["sinkExports"][1]["conditions"][0]["lastTransitionTime"], "2");
    }
}
