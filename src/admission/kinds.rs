//! Whether the cluster serves the kind that a profile reads: asked from the API server, and remembered for a moment.
//!
//! It is the one thing that is looked up for a review. A kind may come later, so it is only warned of; and when the answer
//! takes too long, nothing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use kube::core::DynamicObject;
use serde::Deserialize as _;
use tokio::time::timeout;

use crate::api::Gvk;
use crate::catalog::{Problem, ResourceRef};

/// The reason that targets have in their status.
const KIND_NOT_FOUND: &str = "KindNotFound";

/// So long an answer is remembered: a user who has just installed a CRD should not be told of it.
const MEMORY: Duration = Duration::from_secs(5);

/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many groups are remembered. Names come from whoever creates profiles.
const GROUPS: usize = 64;

/// Group and version.
type GroupVersion = (String, String);

/// The kinds of a group and version, and when they were asked for.
type Answer = (Instant, BTreeSet<String>);

/// See the module's description.
pub(super) struct Kinds {
    client: Client,
    known: Mutex<BTreeMap<GroupVersion, Answer>>,
}

impl Kinds {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// What to tell the author of a profile whose kind is not served.
    pub(super) async fn unserved(&self, resource: &ResourceRef, object: &DynamicObject) -> Option<Problem> {
        if resource.kind != "KollectProfile" {
            return None;
        }
        let gvk = Gvk::deserialize(object.data.pointer("/spec/targetGVK")?).ok()?;
        if self.kinds(&gvk).await?.contains(&gvk.kind) {
            return None;
        }
        let Gvk { group, version, kind } = &gvk;
        let slash = if group.is_empty() { "" } else { "/" };
        Some(Problem {
            resource: resource.clone(),
            field: "spec.targetGVK".to_owned(),
            reason: KIND_NOT_FOUND,
            message: format!("the cluster does not serve {kind} of {group}{slash}{version}"),
            remedy: "correct it, or install its CRD: it is waited for".to_owned(),
            cause: None,
        })
    }

    /// `None` when it can't be told.
    async fn kinds(&self, gvk: &Gvk) -> Option<BTreeSet<String>> {
        let key = (gvk.group.clone(), gvk.version.clone());
        let known = |known: &BTreeMap<GroupVersion, Answer>| {
            known.get(&key).filter(|(at, _)| at.elapsed() < MEMORY).map(|(_, kinds)| kinds.clone())
        };
        if let Some(kinds) = known(&self.known.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Some(kinds);
        }
        let kinds = timeout(PATIENCE, self.ask(gvk)).await.ok()??;
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (at, _)| at.elapsed() < MEMORY);
        if all.len() < GROUPS {
            all.insert(key, (Instant::now(), kinds.clone()));
        }
        Some(kinds)
    }

    async fn ask(&self, gvk: &Gvk) -> Option<BTreeSet<String>> {
        let answer = if gvk.group.is_empty() {
            self.client.list_core_api_resources(&gvk.version).await
        } else {
            self.client.list_api_group_resources(&format!("{}/{}", gvk.group, gvk.version)).await
        };
        match answer {
            Ok(list) => Some(list.resources.into_iter().map(|resource| resource.kind).collect()),
            Err(kube::Error::Api(status)) if status.code == 404 => Some(BTreeSet::new()),
            Err(_) => None,
        }
    }
}
