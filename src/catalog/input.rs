//! What a plan is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kollect_dataflows::extract::{WATCH_LABEL, Wish};
use serde_json::Value;

use super::{ResourceRef, SinkFamily, SinkName};
use crate::api::{
    KollectClusterInventory, KollectClusterScope, KollectClusterTarget, KollectConnectionTest,
    KollectDatabaseSink, KollectEventSink, KollectInventory, KollectProfile, KollectScope,
    KollectSnapshotSink, KollectTarget,
};
use crate::sinks::EndpointPolicy;

/// The annotation with which a namespace says whether its objects are collected, where it has no label that does.
const NAMESPACE_WATCH: &str = "kollect.dev/namespace-watch";

/// Namespace and name of a resource; the namespace of one of the cluster is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ResourceName {
    /// Puts a namespace and a name together.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Whether the resource is one of the cluster.
    pub fn is_of_cluster(&self) -> bool {
        self.namespace.is_empty()
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_cluster() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The data of a Secret, decoded. Values never show in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretData(pub BTreeMap<String, Vec<u8>>);

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretData")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a plan depends on of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it says about its objects being collected.
    pub wish: Wish,
    /// It is being deleted, with everything in it, in no particular order.
    pub terminating: bool,
}

impl Namespace {
    /// Takes from a namespace's metadata what counts. The label counts before the annotation.
    pub fn new(labels: BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Self {
        let said = |all: &BTreeMap<String, String>, key| Wish::of(all.get(key).map(String::as_str));
        let wish = match said(&labels, WATCH_LABEL) {
            Wish::Unsaid => said(annotations, NAMESPACE_WATCH),
            wish => wish,
        };
        Self { labels, wish, terminating: false }
    }
}

/// A resource of ours that is there but can't be used as it stands. What it brought about stays as it was, unless it is being
/// deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unusable {
    /// Its labels, as far as they are known: an inventory may select a target by them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// The sinks that it has exported to, if it is an inventory.
    pub exported: BTreeSet<SinkName>,
    /// What a cluster knows of it beside its spec; `None` when it is in none.
    pub stored: Option<Stored>,
    /// Why, in a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// What is stored with a resource, whatever its spec says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its generation.
    pub generation: Option<i64>,
    /// Its uid.
    pub uid: Option<String>,
    /// Its status.
    pub status: Value,
}

/// Everything that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// All profiles.
    pub profiles: BTreeMap<ResourceName, Arc<KollectProfile>>,
    /// All targets.
    pub targets: BTreeMap<ResourceName, Arc<KollectTarget>>,
    /// All inventories.
    pub inventories: BTreeMap<ResourceName, Arc<KollectInventory>>,
    /// All cluster targets.
    pub cluster_targets: BTreeMap<ResourceName, Arc<KollectClusterTarget>>,
    /// All cluster inventories.
    pub cluster_inventories: BTreeMap<ResourceName, Arc<KollectClusterInventory>>,
    /// All scopes.
    pub scopes: BTreeMap<ResourceName, Arc<KollectScope>>,
    /// All cluster scopes.
    pub cluster_scopes: BTreeMap<ResourceName, Arc<KollectClusterScope>>,
    /// Why scopes are not known, if they are not: what they limit then waits.
    pub scopes_unknown: Option<String>,
    /// The same for the scopes of single namespaces.
    pub scopes_unknown_in: BTreeMap<String, String>,
    /// All database sinks.
    pub database_sinks: BTreeMap<ResourceName, Arc<KollectDatabaseSink>>,
    /// All snapshot sinks.
    pub snapshot_sinks: BTreeMap<ResourceName, Arc<KollectSnapshotSink>>,
    /// All event sinks.
    pub event_sinks: BTreeMap<ResourceName, Arc<KollectEventSink>>,
    /// Where there may be sinks beside these, as their kind can't be read: family and namespace, or all namespaces where that is
    /// empty.
    pub sinks_unknown: BTreeSet<(SinkFamily, String)>,
    /// All connection tests.
    pub connection_tests: BTreeMap<ResourceName, Arc<KollectConnectionTest>>,
    /// The resources that can't be used as they stand. Those that can be read all the same are above too, to be checked.
    pub unusable: BTreeMap<ResourceRef, Unusable>,
    /// There may be targets beside these: something can't be read, and it is not known what it is.
    pub incomplete: Incomplete,
    /// The namespaces in which there may be targets beside these.
    pub incomplete_in: BTreeSet<String>,
    /// Those of [`super::wanted_secrets`] that exist.
    pub secrets: BTreeMap<ResourceName, SecretData>,
    /// Why others of them can't be read; whether they exist is not known.
    pub secrets_unreadable: BTreeMap<ResourceName, String>,
    /// All namespaces.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Why the namespaces are not known, if they are not: targets that select namespaces then wait.
    pub namespaces_unknown: Option<String>,
    /// Settings of the process.
    pub options: Options,
}

/// Which kinds of targets may have more than are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incomplete {
    /// Those of namespaces.
    pub targets: bool,
    /// Those of the cluster.
    pub cluster_targets: bool,
}

impl Incomplete {
    /// Both may.
    pub const ALL: Self = Self { targets: true, cluster_targets: true };
}

impl Input {
    /// Why a resource can't be used as it stands, if so.
    pub fn unusable(&self, resource: &ResourceRef) -> Option<&Unusable> {
        self.unusable.get(resource)
    }

    /// The resources of one namespace; those of the cluster, where it is empty.
    pub(super) fn of_namespace<'a, T>(
        all: &'a BTreeMap<ResourceName, T>,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a ResourceName, &'a T)> {
        let first = ResourceName::new(namespace, "");
        all.range(first..).take_while(move |(name, _)| name.namespace == namespace)
    }

    /// The resources of these kinds that can't be used as they stand, and stay for the time being.
    pub(super) fn unusable_of<'a>(
        &'a self,
        kinds: &'a [&'a str],
    ) -> impl Iterator<Item = (&'a ResourceName, &'a Unusable)> {
        self.unusable
            .iter()
            .filter(move |(resource, why)| kinds.contains(&resource.kind.as_str()) && !why.deleted)
            .map(|(resource, why)| (&resource.name, why))
    }
}

/// Settings of the process that plans depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether sinks may write to the machine that the process runs on.
    pub allow_local_sinks: bool,
    /// Which endpoints sinks may connect to.
    pub endpoints: EndpointPolicy,
    /// Stands in for the cluster that sinks name.
    pub cluster: Option<String>,
    /// The same sinks are written for other clusters too, so what they write must tell clusters apart.
    pub several_clusters: bool,
    /// An absolute path: every inventory is written below it, in place of its sinks. Sinks and their Secrets are then
    /// not looked at.
    pub output: Option<PathBuf>,
    /// Secrets that are not in the input may exist all the same: that they are missing is no problem. For manifests that are
    /// checked without the Secrets that they refer to.
    pub secrets_elsewhere: bool,
    /// Keys whose values no Resource export shows, beside those that are known and those of its profile.
    pub scrub_keys: Vec<String>,
    /// The only namespaces whose resources, objects and Secrets are read; all when there are none here.
    pub watch_namespaces: BTreeSet<String>,
    /// Whether resources of the cluster are refused.
    pub tenant_mode: bool,
}

impl Options {
    /// Whether resources, objects and Secrets of a namespace are read.
    pub fn watches(&self, namespace: &str) -> bool {
        self.watch_namespaces.is_empty() || self.watch_namespaces.contains(namespace)
    }
}
