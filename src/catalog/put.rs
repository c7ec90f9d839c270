//! Takes a resource into an input as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Input, ResourceName};

impl Input {
    /// Puts a resource in, in place of the one of its name. `false` when plans don't depend on resources of its kind.
    ///
    /// # Errors
    /// When it can't be read as its kind; the input is then as it was. The text may quote the resource.
    pub fn put(
        &mut self,
        kind: &str,
        name: ResourceName,
        resource: Value,
    ) -> Result<bool, serde_json::Error> {
        fn put<T: DeserializeOwned>(
            all: &mut BTreeMap<ResourceName, Arc<T>>,
            name: ResourceName,
            resource: Value,
        ) -> Result<bool, serde_json::Error> {
            all.insert(name, Arc::new(serde_json::from_value(resource)?));
            Ok(true)
        }
        match kind {
            "KollectProfile" => put(&mut self.profiles, name, resource),
            "KollectTarget" => put(&mut self.targets, name, resource),
            "KollectClusterTarget" => put(&mut self.cluster_targets, name, resource),
            "KollectInventory" => put(&mut self.inventories, name, resource),
            "KollectClusterInventory" => put(&mut self.cluster_inventories, name, resource),
            "KollectScope" => put(&mut self.scopes, name, resource),
            "KollectClusterScope" => put(&mut self.cluster_scopes, name, resource),
            "KollectEventSink" => put(&mut self.event_sinks, name, resource),
            "KollectConnectionTest" => put(&mut self.connection_tests, name, resource),
            "KollectDatabaseSink" => put(&mut self.database_sinks, name, resource),
            "KollectSnapshotSink" => put(&mut self.snapshot_sinks, name, resource),
            _ => Ok(false),
        }
    }
}
