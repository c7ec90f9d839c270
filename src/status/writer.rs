//! Writes status by server-side apply: only what changed, and no resource too often; tells of transitions.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::events::{Events, Transitions};
use crate::api::{API_VERSION, GROUP, VERSION, plural};
use crate::catalog::ResourceRef;

/// The field manager of everything that is written.
pub const FIELD_MANAGER: &str = "kollect";

/// How often a resource is written at most, when only its counters change.
const COUNTER_PAUSE: Duration = Duration::from_secs(2);

/// The same when nothing changes but the times at which unchanged content was verified: every write of status is one for the API
/// server to store, and for everybody who watches.
const TIMES_PAUSE: Duration = Duration::from_secs(300);

/// How long a status that says nothing but that something is under way is held back: mostly it is over by then.
const HESITATION: Duration = Duration::from_secs(2);

/// The same where there is a status already: nobody is to see resources flicker that are well because the operator began anew.
const LONG_HESITATION: Duration = Duration::from_secs(10);

/// So many statuses are under way at a time: hundreds change at the start, and each takes a round trip.
const AT_ONCE: usize = 8;

/// How long the API server may take to write one status.
const PATIENCE: Duration = Duration::from_secs(10);

/// The status that a resource is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The resource.
    pub key: ResourceRef,
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
    written: HashMap<ResourceRef, Written>,
    /// Since when statuses are held back.
    held_back: HashMap<ResourceRef, Instant>,
    transitions: Transitions,
    events: Events,
}

impl Writer {
    /// A writer that has written nothing yet.
    pub fn new(client: Client, events: Events) -> Self {
        let (written, held_back) = (HashMap::new(), HashMap::new());
        Self { client, written, held_back, transitions: Transitions::default(), events }
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

    /// Writes the statuses that differ from what was written last, or from what is stored. A status whose conditions are the same
    /// waits until some time has passed since the last write. Returns after how long to come again, when something was left.
    pub async fn write(&mut self, statuses: Vec<Wanted>) -> Option<Duration> {
        let now = Instant::now();
        let keys: HashSet<&ResourceRef> = statuses.iter().map(|wanted| &wanted.key).collect();
        self.written.retain(|key, _| keys.contains(key));
        self.held_back.retain(|key, _| keys.contains(key));
        self.transitions.retain(|key| keys.contains(key));
        let (mut due, mut again) = (Vec::new(), None);
        for mut wanted in statuses {
            match self.wait(&mut wanted, now) {
                None => {}
                Some(Duration::ZERO) => due.push(wanted),
                Some(wait) => again = sooner(again, wait),
            }
        }
        let client = &self.client;
        let mut under_way = futures::stream::iter(due)
            .map(|wanted| async {
                let written =
                    tokio::time::timeout(PATIENCE, patch(client, &wanted.key, &wanted.status)).await;
                let late = || kube::Error::Service("the API server does not answer".into());
                (wanted, written.unwrap_or_else(|_| Err(late())))
            })
            .buffer_unordered(AT_ONCE);
        while let Some((Wanted { key, status, stored, uid }, written)) = under_way.next().await {
            match written {
                Ok(()) => {
                    let told = self.transitions.told(&key, uid.as_deref(), &status, &stored);
                    told.into_iter().for_each(|told| self.events.tell(told));
                    self.written.insert(key, Written { status, at: now });
                }
                // It is gone, or has never been: there is nobody to tell.
                Err(kube::Error::Api(error)) if error.code == 404 => {}
                Err(error) => {
                    tracing::warn!(kind = key.kind, namespace = key.name.namespace, name = key.name.name, %error, "status can't be written; trying again");
                    again = sooner(again, COUNTER_PAUSE);
                }
            }
        }
        again
    }

    /// How long a status has to wait until it is written; `None` when it needs not be.
    fn wait(&mut self, wanted: &mut Wanted, now: Instant) -> Option<Duration> {
        let Wanted { key, status, stored, .. } = wanted;
        let written = self.written.get(key);
        // What was written last may not have come back yet, so it counts more than what is stored.
        let before = written.map_or(&*stored, |written| &written.status);
        keep_transitions(status, before);
        let pause = pause(before, status);
        let is_passing = is_under_way(status) && !is_under_way(before);
        // Which sinks hold something is to be known whatever happens to this process.
        if pause.is_some() && is_passing && sinks(status).is_subset(&sinks(before)) {
            let since = *self.held_back.entry(key.clone()).or_insert(now);
            let new = before["conditions"].is_null();
            let wait = if new { HESITATION } else { LONG_HESITATION }.saturating_sub(now - since);
            if !wait.is_zero() {
                return Some(wait);
            }
        } else {
            self.held_back.remove(key);
        }
        match (pause, written) {
            (Some(pause), Some(written)) => Some(pause.saturating_sub(now - written.at)),
            (Some(_), None) => Some(Duration::ZERO),
            (None, Some(_)) => None,
            (None, None) => {
                // Another process has written it.
                self.written.insert(key.clone(), Written { status: status.clone(), at: now });
                None
            }
        }
    }
}

/// The names of the sinks that a status lists.
fn sinks(status: &Value) -> HashSet<&str> {
    let exports = status["sinkExports"].as_array().into_iter().flatten();
    exports.filter_map(|export| export["name"].as_str()).collect()
}

/// Whether a status says that something is under way, and nobody has to act.
fn is_under_way(status: &Value) -> bool {
    let ready = status["conditions"].as_array().into_iter().flatten();
    let mut ready = ready.filter(|condition| condition["type"] == "Ready" && condition["status"] != "True");
    ready.any(|condition| condition["reason"] == "Hydrating" || condition["reason"] == "Probing")
}

/// How far apart two writes are to be; `None` when they are the same.
fn pause(before: &Value, status: &Value) -> Option<Duration> {
    if before == status {
        return None;
    }
    if before["conditions"] != status["conditions"] {
        return Some(Duration::ZERO);
    }
    Some(if without_times(before) == without_times(status) { TIMES_PAUSE } else { COUNTER_PAUSE })
}

/// A status without the times of its last exports.
fn without_times(status: &Value) -> Value {
    const TIME: &str = "lastExportTime";
    let mut status = status.clone();
    let forget = |status: &mut Value| {
        status.as_object_mut().and_then(|status| status.remove(TIME));
    };
    forget(&mut status);
    status["sinkExports"].as_array_mut().into_iter().flatten().for_each(forget);
    status
}

fn sooner(again: Option<Duration>, wait: Duration) -> Option<Duration> {
    Some(again.map_or(wait, |other| other.min(wait)))
}

async fn patch(client: &Client, resource: &ResourceRef, status: &Value) -> Result<(), kube::Error> {
    let ResourceRef { kind, name } = resource;
    let metadata = match name.is_of_cluster() {
        true => json!({ "name": name.name }),
        false => json!({ "namespace": name.namespace, "name": name.name }),
    };
    let body = json!({ "apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    resource_api(client, resource).patch_status(&name.name, &params, &Patch::Apply(&body)).await?;
    Ok(())
}

/// The door to a resource of ours and its like.
pub fn resource_api(client: &Client, resource: &ResourceRef) -> Api<DynamicObject> {
    let ResourceRef { kind, name } = resource;
    let gvk = GroupVersionKind::gvk(GROUP, VERSION, kind);
    let known = ApiResource::from_gvk_with_plural(&gvk, &plural(kind));
    match name.is_of_cluster() {
        true => Api::all_with(client.clone(), &known),
        false => Api::namespaced_with(client.clone(), &name.namespace, &known),
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

    #[test]
    fn conditions_are_written_at_once_counters_soon_and_times_of_verification_rarely() {
        let status = |ready: &str, rows: u64, at: &str| {
            json!({
                "conditions": [{ "type": "Ready", "status": ready }],
                "itemCount": rows,
                "lastExportTime": at,
                "sinkExports": [{ "name": "a", "rowsWritten": rows, "lastExportTime": at }],
            })
        };
        let before = status("True", 1, "1");
        assert_eq!(pause(&before, &before), None);
        assert_eq!(pause(&before, &status("False", 2, "2")), Some(Duration::ZERO));
        assert_eq!(pause(&before, &status("True", 2, "2")), Some(COUNTER_PAUSE));
        assert_eq!(pause(&before, &status("True", 1, "2")), Some(TIMES_PAUSE));
        assert_eq!(pause(&Value::Null, &before), Some(Duration::ZERO));
    }
}
