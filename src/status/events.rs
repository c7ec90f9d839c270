//! Kubernetes events: what a condition does not keep, namely that something has changed.
//!
//! There is one for each transition and none for what stays as it is; a start of the operator, which passes through states that nobody has to
//! know of, is no transition. They are published by a task of its own, so that nothing waits for them, and one that can't be published is not
//! tried again: the conditions say the same.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exports::TERMINATING;
use crate::api::API_VERSION;
use crate::catalog::{ResourceRef, reason};

/// Who publishes events.
const CONTROLLER: &str = "kollect.dev/operator";
/// So many wait to be published at most.
const WAITING: usize = 1024;
/// How long the API server may take for one.
const PATIENCE: Duration = Duration::from_secs(10);
/// As long as the API server lets a note be, in bytes.
const LONGEST: usize = 1000;

/// Something to tell about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The resource.
    pub key: ResourceRef,
    /// Its uid.
    pub uid: Option<String>,
    /// Whether it is something to look at.
    pub warning: bool,
    /// A reason as in conditions.
    pub reason: String,
    /// A lowercase sentence, as in conditions.
    pub message: String,
}

/// Publishes events. Clones publish to the same task.
#[derive(Clone)]
pub struct Events(mpsc::Sender<Told>);

impl Events {
    /// Starts the task; it ends with `stop`. `instance` names the process.
    pub fn start(client: Client, instance: Option<String>, stop: &CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let recorder = Recorder::new(client, Reporter { controller: CONTROLLER.to_owned(), instance });
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(publish(recorder, receiver)).await });
        Self(sender)
    }

    /// Has an event published.
    pub fn tell(&self, told: Told) {
        // A crowd of them is of no use to anybody.
        if self.0.try_send(told).is_err() {
            tracing::debug!("too many events at a time; one is left out");
        }
    }
}

async fn publish(recorder: Recorder, mut told: mpsc::Receiver<Told>) {
    while let Some(Told { key, uid, warning, reason, message }) = told.recv().await {
        let regarding = ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(key.kind),
            namespace: (!key.name.is_of_cluster()).then_some(key.name.namespace),
            name: Some(key.name.name),
            uid,
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            action: reason.clone(),
            reason,
            note: Some(cut(message)),
            secondary: None,
        };
        match tokio::time::timeout(PATIENCE, recorder.publish(&event, &regarding)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an event can't be published"),
            Err(_) => tracing::debug!("an event can't be published: the API server does not answer"),
        }
    }
}

/// The beginning of a long text.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// What was last told of each resource, or need not be told.
#[derive(Default)]
pub(super) struct Transitions(HashMap<ResourceRef, State>);

/// What makes a transition when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    ready: Option<(bool, String)>,
    degraded: Option<String>,
}

impl Transitions {
    /// Forgets resources that are gone.
    pub(super) fn retain(&mut self, keep: impl Fn(&ResourceRef) -> bool) {
        self.0.retain(|key, _| keep(key));
    }

    /// What there is to tell of a resource that now has this status; before this process wrote any, it had `stored`.
    pub(super) fn told(
        &mut self,
        key: &ResourceRef,
        uid: Option<&str>,
        status: &Value,
        stored: &Value,
    ) -> Option<Told> {
        let (now, message) = state(status)?;
        let before = self.0.get(key).cloned().or_else(|| Some(state(stored)?.0));
        self.0.insert(key.clone(), now.clone());
        if before.as_ref() == Some(&now) {
            return None;
        }
        let (ready, reason) = now.ready.clone()?;
        let (warning, reason) = match now.degraded {
            Some(degraded) => (true, degraded),
            None => (!ready && reason != reason::SUSPENDED, reason),
        };
        Some(Told { key: key.clone(), uid: uid.map(str::to_owned), warning, reason, message })
    }
}

/// What a status says, and the message to it; nothing while that is on its way to something else.
fn state(status: &Value) -> Option<(State, String)> {
    let condition = |type_: &str| {
        let conditions = status["conditions"].as_array()?;
        conditions.iter().find(|condition| condition["type"] == type_)
    };
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let ready = condition("Ready")?;
    let reason = text(ready, "reason");
    if ready["status"] == "Unknown" || PASSING.contains(&reason.as_str()) {
        return None;
    }
    let degraded = condition("Degraded").filter(|degraded| degraded["status"] == "True");
    let message = text(degraded.unwrap_or(ready), "message");
    let degraded = degraded.map(|degraded| text(degraded, "reason"));
    Some((State { ready: Some((ready["status"] == "True", reason)), degraded }, message))
}

/// Reasons of states that pass by themselves.
const PASSING: [&str; 3] = ["Hydrating", "Probing", TERMINATING];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::catalog::ResourceName;

    fn status(ready: bool, reason: &str, degraded: Option<&str>) -> Value {
        let word = |it: bool| if it { "True" } else { "False" };
        json!({ "conditions": [
            { "type": "Ready", "status": word(ready), "reason": reason, "message": format!("it is {reason}") },
            {
                "type": "Degraded", "status": word(degraded.is_some()), "reason": degraded.unwrap_or(reason),
                "message": format!("degraded by {}", degraded.unwrap_or("nothing")),
            },
        ] })
    }

    fn key() -> ResourceRef {
        ResourceRef::new("K", &ResourceName::new("a", "b"))
    }

    /// The reasons told over these statuses, warnings with an exclamation mark.
    fn told(stored: Value, statuses: &[Value]) -> Vec<String> {
        let mut transitions = Transitions::default();
        let each = statuses.iter().filter_map(|status| transitions.told(&key(), None, status, &stored));
        each.map(|told| format!("{}{}", told.reason, if told.warning { "!" } else { "" })).collect()
    }

    #[test]
    fn only_transitions_are_told() {
        let (well, waits) = (status(true, "Exported", None), status(false, "Hydrating", None));
        let ill = status(false, "SinkUnreachable", Some("SinkUnreachable"));
        let partly = status(true, "Exported", Some("TargetDegraded"));
        let again = [waits.clone(), well.clone(), well.clone()];
        assert_eq!(told(Value::Null, &again), ["Exported"]);
        assert_eq!(told(well.clone(), &again), [""; 0], "a start of the operator");
        assert_eq!(
            told(well.clone(), &[ill.clone(), ill.clone(), waits.clone(), ill.clone(), well.clone()]),
            ["SinkUnreachable!", "Exported"]
        );
        assert_eq!(
            told(well.clone(), &[partly.clone(), partly, well.clone()]),
            ["TargetDegraded!", "Exported"]
        );
        assert_eq!(told(ill, std::slice::from_ref(&well)), ["Exported"]);
        assert_eq!(told(well, &[status(false, "Suspended", None)]), ["Suspended"]);
    }

    #[test]
    fn a_note_is_no_longer_than_it_may_be() {
        let told = cut("ä".repeat(LONGEST));
        assert!(told.len() <= LONGEST && told.ends_with('…'));
        assert_eq!(cut("short".to_owned()), "short");
    }
}
