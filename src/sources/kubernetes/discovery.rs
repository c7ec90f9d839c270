//! Which resource serves a kind: asked from the API server, never guessed.
//!
//! One answer for a group and version serves all watches of its kinds. Whoever has seen a sign that the answer is out of
//! date (a resource that is not found) asks for one that is newer than the sign; then one watch asks, and
//! the others wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kollect_dataflows::data::Gvk;
use kube::Client;
use serde::Deserialize;

use super::request::{self, Failure};

/// A resource that serves a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// Path of its objects in all namespaces, for example `/apis/apps/v1/deployments`.
    pub(super) path: String,
    /// Whether its objects belong to namespaces.
    pub(super) namespaced: bool,
    /// Whether its objects can be listed.
    pub(super) can_list: bool,
    /// Whether its objects can be watched.
    pub(super) can_watch: bool,
}

impl Resource {
    /// Path of its objects in one namespace.
    pub(super) fn path_in(&self, namespace: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((group, name)) => format!("{group}/namespaces/{namespace}/{name}"),
            None => self.path.clone(),
        }
    }
}

/// What the API server says of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It is served.
    Served(Resource),
    /// It is not served in this version, but in others.
    OtherVersions(Vec<String>),
    /// Its group does not know it.
    Unknown,
}

/// Kinds and resources of one group and version; `None` when the server does not know that version.
type Kinds = Option<Arc<Vec<(String, Resource)>>>;

/// Group and version.
type GroupVersion = (String, String);

/// An answer and when it was asked for; locked while it is asked for.
type Entry = tokio::sync::Mutex<Option<(Instant, Kinds)>>;

#[derive(Default)]
pub(super) struct Discovery {
    known: Mutex<HashMap<GroupVersion, Arc<Entry>>>,
}

#[derive(Deserialize)]
struct ApiResourceList {
    #[serde(default)]
    resources: Vec<ApiResource>,
}

#[derive(Deserialize)]
struct ApiResource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
    /// Set where it differs from the list's.
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ApiGroup {
    #[serde(default)]
    versions: Vec<ApiVersion>,
}

#[derive(Deserialize)]
struct ApiVersion {
    version: String,
}

impl Discovery {
    /// Looks a kind up. The answer is not older than `since`, where that is given.
    pub(super) async fn look_up(
        &self,
        client: &Client,
        gvk: &Gvk,
        since: Option<Instant>,
    ) -> Result<Lookup, Failure> {
        let kinds = self.kinds(client, &gvk.group, &gvk.version, since).await?;
        if let Some(resource) = find(&kinds, &gvk.kind) {
            return Ok(Lookup::Served(resource));
        }
        // Gone is only what no version has: objects of a version that is no longer served live on in others.
        let mut others = Vec::new();
        for version in versions(client, &gvk.group).await? {
            if version != gvk.version {
                let kinds = self.kinds(client, &gvk.group, &version, since).await?;
                if find(&kinds, &gvk.kind).is_some() {
                    others.push(version);
                }
            }
        }
        Ok(if others.is_empty() { Lookup::Unknown } else { Lookup::OtherVersions(others) })
    }

    async fn kinds(
        &self,
        client: &Client,
        group: &str,
        version: &str,
        since: Option<Instant>,
    ) -> Result<Kinds, Failure> {
        let entry = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry((group.to_owned(), version.to_owned())).or_default())
        };
        let mut entry = entry.lock().await;
        if let Some((at, kinds)) = &*entry
            && since.is_none_or(|since| *at >= since)
        {
            return Ok(kinds.clone());
        }
        let asked = Instant::now();
        let path = group_path(group, version);
        let kinds = match request::get(client, &path).await {
            Ok(body) => Some(Arc::new(resources(&path, group, version, &body)?)),
            Err(Failure::NotFound) => None,
            Err(failure) => return Err(failure),
        };
        *entry = Some((asked, kinds.clone()));
        Ok(kinds)
    }
}

fn find(kinds: &Kinds, kind: &str) -> Option<Resource> {
    kinds.as_ref()?.iter().find(|(known, _)| known == kind).map(|(_, resource)| resource.clone())
}

fn group_path(group: &str, version: &str) -> String {
    match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    }
}

fn resources(
    path: &str,
    group: &str,
    version: &str,
    body: &[u8],
) -> Result<Vec<(String, Resource)>, Failure> {
    let list: ApiResourceList = undamaged(path, body)?;
    let own = |resource: &ApiResource| {
        let same = |given: &str, own: &str| given.is_empty() || given == own;
        // A name with a slash is that of a subresource.
        !resource.name.contains('/') && same(&resource.group, group) && same(&resource.version, version)
    };
    let can = |resource: &ApiResource, verb: &str| resource.verbs.iter().any(|known| known == verb);
    Ok(list
        .resources
        .iter()
        .filter(|resource| own(resource))
        .map(|resource| {
            let path = format!("{path}/{}", resource.name);
            let (can_list, can_watch) = (can(resource, "list"), can(resource, "watch"));
            (resource.kind.clone(), Resource { path, namespaced: resource.namespaced, can_list, can_watch })
        })
        .collect())
}

async fn versions(client: &Client, group: &str) -> Result<Vec<String>, Failure> {
    if group.is_empty() {
        return Ok(vec!["v1".to_owned()]);
    }
    let path = format!("/apis/{group}");
    match request::get(client, &path).await {
        Ok(body) => {
            let group: ApiGroup = undamaged(&path, &body)?;
            Ok(group.versions.into_iter().map(|version| version.version).collect())
        }
        Err(Failure::NotFound) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

fn undamaged<'a, T: Deserialize<'a>>(path: &str, body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::Unavailable(format!("the answer to {path} can't be read: {error}"), None))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_those_of_the_version_itself() {
        let body = br#"{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[
            {"name":"deployments","kind":"Deployment","namespaced":true,"verbs":["get","list","watch"]},
            {"name":"deployments/scale","kind":"Scale","group":"autoscaling","version":"v1","verbs":["get"]},
            {"name":"others","kind":"Other","group":"else","verbs":["list"]},
            {"name":"reviews","kind":"Review","namespaced":false,"verbs":["create"]}]}"#;
        let resources = resources("/apis/apps/v1", "apps", "v1", body).unwrap();
        let resource = |name: &str, namespaced, all| {
            let path = format!("/apis/apps/v1/{name}");
            Resource { path, namespaced, can_list: all, can_watch: all }
        };
        assert_eq!(
            resources,
            [
                ("Deployment".to_owned(), resource("deployments", true, true)),
                ("Review".to_owned(), resource("reviews", false, false)),
            ]
        );
        assert_eq!(resources[0].1.path_in("shop"), "/apis/apps/v1/namespaces/shop/deployments");
    }
}
