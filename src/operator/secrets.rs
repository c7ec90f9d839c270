//! The Secrets that sinks refer to: names in, their data out, read beside the operator's loop.
//!
//! Only these are read, one by one, so no permission for others is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::catalog::{ResourceName, SecretData};
use crate::latest;

/// So often Secrets are read again, for credentials that were rotated.
const PAUSE: Duration = Duration::from_secs(30);
/// The same while one is missing or can't be read.
const SHORT_PAUSE: Duration = Duration::from_secs(5);
/// How long the API server may take to give one.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many are asked for at a time.
const AT_A_TIME: usize = 8;

/// What is known of the Secrets that are wanted.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Known {
    /// Those that are there.
    pub(super) secrets: BTreeMap<ResourceName, SecretData>,
    /// Why others can't be read.
    pub(super) unreadable: BTreeMap<ResourceName, String>,
    /// Those of them that nobody has tried to read yet.
    pub(super) unread: BTreeSet<ResourceName>,
    /// Those that are not there.
    missing: BTreeSet<ResourceName>,
}

impl Known {
    fn knows(&self, name: &ResourceName) -> bool {
        self.secrets.contains_key(name) || self.missing.contains(name)
    }

    fn retain(&mut self, wanted: &BTreeSet<ResourceName>) {
        self.secrets.retain(|name, _| wanted.contains(name));
        self.unreadable.retain(|name, _| wanted.contains(name));
        self.missing.retain(|name| wanted.contains(name));
    }

    fn take(&mut self, name: ResourceName, answer: Result<Option<SecretData>, String>) {
        let data = match answer {
            Ok(data) => data,
            // What was read before is still the best there is.
            Err(why) => {
                tracing::warn!(secret = %name, why, "a Secret can't be read; trying again");
                if !self.knows(&name) {
                    self.unreadable.insert(name, why);
                }
                return;
            }
        };
        self.unreadable.remove(&name);
        self.missing.remove(&name);
        match data {
            Some(data) => _ = self.secrets.insert(name, data),
            None => {
                self.secrets.remove(&name);
                self.missing.insert(name);
            }
        }
    }
}

/// Reads Secrets in a task of its own.
pub(super) struct Secrets {
    wanted: watch::Sender<BTreeSet<ResourceName>>,
    known: watch::Receiver<Known>,
}

impl Secrets {
    /// Starts the task; it ends with `stop`.
    pub(super) fn start(client: Client, stop: &CancellationToken) -> Self {
        let (wanted, receiver) = watch::channel(BTreeSet::new());
        let (sender, known) = watch::channel(Known::default());
        let (stop, task) = (stop.clone(), read(client, receiver, sender));
        tokio::spawn(async move { stop.run_until_cancelled(task).await });
        Self { wanted, known }
    }

    /// What is known of these Secrets. The others are forgotten; those that are new are read, and until then count as
    /// unreadable.
    pub(super) fn get(&self, wanted: BTreeSet<ResourceName>) -> Known {
        let mut known = self.known.borrow().clone();
        known.retain(&wanted);
        for name in &wanted {
            if !known.knows(name) && !known.unreadable.contains_key(name) {
                known.unreadable.insert(name.clone(), "it is being read".to_owned());
                known.unread.insert(name.clone());
            }
        }
        latest::replace(&self.wanted, wanted);
        known
    }

    /// Tells when more is known.
    pub(super) fn changes(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }
}

async fn read(
    client: Client,
    mut wanted: watch::Receiver<BTreeSet<ResourceName>>,
    known: watch::Sender<Known>,
) {
    let mut all = true;
    loop {
        let names = wanted.borrow_and_update().clone();
        let (now, client) = (known.borrow().clone(), &client);
        let due: Vec<_> = names.iter().filter(|name| all || !now.knows(name)).cloned().collect();
        let answers = futures::stream::iter(due)
            .map(|name| async move {
                let answer = get(client, &name).await;
                (name, answer)
            })
            .buffer_unordered(AT_A_TIME);
        let mut answers = std::pin::pin!(answers);
        while let Some((name, answer)) = answers.next().await {
            // Each counts at once: no sink waits for another's Secret.
            known.send_if_modified(|known| {
                let before = known.clone();
                known.take(name, answer);
                *known != before
            });
        }
        known.send_if_modified(|known| {
            known.retain(&names);
            false
        });
        let well = known.borrow().unreadable.is_empty() && known.borrow().missing.is_empty();
        tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => all = false,
                Err(_) => return,
            },
            () = tokio::time::sleep(if well { PAUSE } else { SHORT_PAUSE }) => all = true,
        }
    }
}

/// A Secret's data; `None` when it does not exist.
async fn get(client: &Client, name: &ResourceName) -> Result<Option<SecretData>, String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &name.namespace);
    let Ok(answer) = tokio::time::timeout(PATIENCE, api.get_opt(&name.name)).await else {
        return Err("the API server does not answer".to_owned());
    };
    match answer {
        Ok(secret) => Ok(secret.map(|secret| {
            let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
            SecretData(data.collect())
        })),
        Err(kube::Error::Api(error)) => Err(error.message.clone()),
        Err(error) => Err(error.to_string()),
    }
}
