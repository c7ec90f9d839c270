//! The custom resources and namespaces of a cluster: watched, kept, and made the input of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kollect_dataflows::data::Gvk;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::finalizers::Guarded;
use super::namespaces;
use super::stores::Stores;
use super::tenancy::Tenancy;
use crate::api::{GROUP, VERSION};
use crate::catalog::{
    self, Incomplete, Input, ResourceName, ResourceRef, SinkFamily, SinkName, Stored, Unusable,
};
use crate::runtime::{ObjectStore, read_namespaces, watch_objects};
use crate::sources::kubernetes::{KubernetesSource, Reach};
use crate::sources::{Mode, SourceProblem};

/// The custom resources and namespaces of a cluster.
pub(super) struct Resources {
    profiles: Stores,
    targets: Stores,
    cluster_targets: Stores,
    inventories: Stores,
    cluster_inventories: Stores,
    scopes: Stores,
    cluster_scopes: Stores,
    database_sinks: Stores,
    snapshot_sinks: Stores,
    event_sinks: Stores,
    connection_tests: Stores,
    namespaces: Stores,
    pub(super) changed: Arc<watch::Sender<u64>>,
}

impl Resources {
    pub(super) fn watch(
        client: &Client,
        cluster: &KubernetesSource,
        tenancy: &Tenancy,
        stop: &CancellationToken,
    ) -> Self {
        let changed = Arc::new(watch::Sender::new(0));
        let start = |reach: Reach, gvk: Gvk| {
            let store = ObjectStore::new(Arc::clone(&changed));
            let source = Arc::new(cluster.reaching(reach));
            tokio::spawn(watch_objects(source, gvk, Mode::Follow, store.clone(), stop.clone()));
            store
        };
        let watched = tenancy.namespaces();
        let ours = |kind: &str| {
            let gvk = Gvk::new(GROUP, VERSION, kind);
            if watched.is_empty() {
                return Stores::whole(start(Reach::Cluster, gvk));
            }
            Stores::of_each(watched, |name| {
                let names = [name.to_owned()].into();
                start(Reach::Namespaces { names, cluster_scoped: false }, gvk.clone())
            })
        };
        let of_cluster = |gvk: Gvk| match tenancy.is_tenant() {
            true => Stores::none(),
            false => Stores::whole(start(Reach::Cluster, gvk)),
        };
        let ours_of_cluster = |kind: &str| of_cluster(Gvk::new(GROUP, VERSION, kind));
        let one_by_one = |name: &str| {
            let store = ObjectStore::new(Arc::clone(&changed));
            let look_after =
                namespaces::look_after(client.clone(), name.to_owned(), store.clone(), stop.clone());
            tokio::spawn(look_after);
            store
        };
        Self {
            profiles: ours("KollectProfile"),
            targets: ours("KollectTarget"),
            cluster_targets: ours_of_cluster("KollectClusterTarget"),
            inventories: ours("KollectInventory"),
            cluster_inventories: ours_of_cluster("KollectClusterInventory"),
            scopes: ours("KollectScope"),
            cluster_scopes: ours_of_cluster("KollectClusterScope"),
            database_sinks: ours("KollectDatabaseSink"),
            snapshot_sinks: ours("KollectSnapshotSink"),
            event_sinks: ours("KollectEventSink"),
            connection_tests: ours("KollectConnectionTest"),
            namespaces: match tenancy.is_tenant() {
                true => Stores::of_each(watched, one_by_one),
                false => of_cluster(Gvk::new("", "v1", "Namespace")),
            },
            changed,
        }
    }

    /// Those that a plan waits for. Connection tests are not among them: nothing is taken back for the lack of one.
    fn stores(&self) -> [&Stores; 11] {
        [
            &self.profiles,
            &self.targets,
            &self.cluster_targets,
            &self.inventories,
            &self.cluster_inventories,
            &self.scopes,
            &self.cluster_scopes,
            &self.database_sinks,
            &self.snapshot_sinks,
            &self.event_sinks,
            &self.namespaces,
        ]
    }

    /// Whether of each kind the objects are known, or what keeps them from being so that waiting does not cure.
    pub(super) fn are_known(&self) -> bool {
        self.stores().iter().all(|stores| stores.are_known())
    }

    /// Whether the API server serves all kinds of ours.
    pub(super) fn are_served(&self) -> bool {
        self.stores().iter().all(|stores| stores.is_served()) && self.connection_tests.is_served()
    }

    /// The resources that have finalizers or are to get them.
    pub(super) fn guarded(&self) -> Vec<Guarded> {
        let kinds = [
            ("KollectTarget", &self.targets),
            ("KollectClusterTarget", &self.cluster_targets),
            ("KollectInventory", &self.inventories),
            ("KollectClusterInventory", &self.cluster_inventories),
        ];
        let all = kinds.into_iter().flat_map(|(kind, store)| {
            store.objects().into_iter().filter_map(move |(name, json)| {
                let any: Any = serde_json::from_slice(&json).ok()?;
                Guarded::new(kind, ResourceName::new(name.namespace, name.name), any.metadata)
            })
        });
        all.collect()
    }

    /// The resources for a plan.
    pub(super) fn input(&self, options: catalog::Options) -> Input {
        let mut unusable = BTreeMap::new();
        // Of a kind that is not served there are no scopes; of one that may not be listed there may be any.
        let scopes = [&self.scopes, &self.cluster_scopes];
        let hidden = |problem: &SourceProblem| problem.reason != "KindNotFound";
        let scopes = scopes.into_iter().flat_map(Stores::out_of_reach).filter(|(_, problem)| hidden(problem));
        let (mut scopes_unknown, mut scopes_unknown_in) = (None, BTreeMap::new());
        for (namespace, SourceProblem { message, .. }) in scopes {
            match namespace {
                Some(namespace) => _ = scopes_unknown_in.insert(namespace.to_owned(), message),
                None => _ = scopes_unknown.get_or_insert(message),
            }
        }
        // A kind that is not served may be back in a moment, so that its targets are not seen does not mean that they are gone.
        let (mut incomplete, mut incomplete_in) = (Incomplete::default(), BTreeSet::new());
        incomplete.cluster_targets = self.cluster_targets.out_of_reach().next().is_some();
        for (namespace, _) in self.targets.out_of_reach() {
            match namespace {
                Some(namespace) => _ = incomplete_in.insert(namespace.to_owned()),
                None => incomplete.targets = true,
            }
        }
        let families =
            SinkFamily::ALL.into_iter().zip([&self.database_sinks, &self.snapshot_sinks, &self.event_sinks]);
        let unknown = families.flat_map(|(family, stores)| {
            stores
                .out_of_reach()
                .map(move |(namespace, _)| (family, namespace.unwrap_or_default().to_owned()))
        });
        Input {
            sinks_unknown: unknown.collect(),
            profiles: typed(&self.profiles, "KollectProfile", &mut unusable),
            targets: typed(&self.targets, "KollectTarget", &mut unusable),
            cluster_targets: typed(&self.cluster_targets, "KollectClusterTarget", &mut unusable),
            inventories: typed(&self.inventories, "KollectInventory", &mut unusable),
            cluster_inventories: typed(&self.cluster_inventories, "KollectClusterInventory", &mut unusable),
            scopes: typed(&self.scopes, "KollectScope", &mut unusable),
            cluster_scopes: typed(&self.cluster_scopes, "KollectClusterScope", &mut unusable),
            scopes_unknown,
            scopes_unknown_in,
            database_sinks: typed(&self.database_sinks, "KollectDatabaseSink", &mut unusable),
            snapshot_sinks: typed(&self.snapshot_sinks, "KollectSnapshotSink", &mut unusable),
            event_sinks: typed(&self.event_sinks, "KollectEventSink", &mut unusable),
            connection_tests: typed(&self.connection_tests, "KollectConnectionTest", &mut unusable),
            unusable,
            incomplete,
            incomplete_in,
            namespaces: read_namespaces(self.namespaces.objects()),
            namespaces_unknown: self.namespaces.out_of_reach().next().map(|(_, problem)| problem.message),
            options,
            ..Input::default()
        }
    }
}

/// What is the same in all resources.
#[derive(Default, Deserialize)]
struct Any {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Value,
}

impl Any {
    /// The sinks that the status of an inventory lists.
    fn exported(&self) -> BTreeSet<SinkName> {
        let exports = self.status["sinkExports"].as_array().into_iter().flatten();
        exports.filter_map(|export| export["name"].as_str()?.parse().ok()).collect()
    }
}

fn typed<T: DeserializeOwned>(
    stores: &Stores,
    kind: &'static str,
    unusable: &mut BTreeMap<ResourceRef, Unusable>,
) -> BTreeMap<ResourceName, Arc<T>> {
    let mut all = BTreeMap::new();
    for (name, json) in stores.objects() {
        let name = ResourceName::new(name.namespace, name.name);
        match serde_json::from_slice(&json) {
            Ok(resource) => {
                all.insert(name, Arc::new(resource));
            }
            Err(error) => {
                let any: Any = serde_json::from_slice(&json).unwrap_or_default();
                let exported = any.exported();
                let Any { metadata, status } = any;
                let deleted = metadata.deletion_timestamp.is_some();
                let (generation, uid) = (metadata.generation, metadata.uid);
                let stored = Some(Stored { generation, uid, status });
                let labels = metadata.name.map(|_| metadata.labels.unwrap_or_default());
                // What the parser says may quote the resource, but for where it is.
                let place = format!("line {}, column {}", error.line(), error.column());
                let message = format!("the resource can't be read as a {kind} (at {place} of its JSON)");
                let remedy = "correct it, or run a version of Kollect that knows its fields".to_owned();
                let why = Unusable { labels, deleted, exported, stored, message, remedy };
                unusable.insert(ResourceRef::new(kind, &name), why);
            }
        }
    }
    all
}
