//! The status of resources that can't be read: whoever looks at one must see why nothing happens.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::conditions::Conditions;
use super::writer::Wanted;
use crate::api::{
    ClusterInventoryStatus, ConnectionTestStatus, InventoryStatus, ProfileStatus, SinkStatus, TargetStatus,
};
use crate::catalog::{Input, ResourceRef, Unusable, reason};

/// The statuses of all resources of the input that can't be read and are not being deleted. All but the conditions stays as it was.
pub(super) fn statuses(input: &Input, now: Timestamp) -> impl Iterator<Item = Wanted> {
    let stay = input.unusable.iter().filter(|(_, why)| !why.deleted);
    stay.filter_map(move |(resource, why)| status(resource, why, now))
}

/// `None` for kinds without status, and for resources that are in no cluster.
fn status(resource: &ResourceRef, why: &Unusable, now: Timestamp) -> Option<Wanted> {
    let stored = why.stored.as_ref()?;
    let mut status = match resource.kind.as_str() {
        "KollectProfile" => kept::<ProfileStatus>(&stored.status),
        "KollectTarget" => kept::<TargetStatus>(&stored.status),
        "KollectClusterTarget" => kept::<TargetStatus>(&stored.status),
        "KollectInventory" => kept::<InventoryStatus>(&stored.status),
        "KollectClusterInventory" => kept::<ClusterInventoryStatus>(&stored.status),
        "KollectDatabaseSink" => kept::<SinkStatus>(&stored.status),
        "KollectSnapshotSink" => kept::<SinkStatus>(&stored.status),
        "KollectEventSink" => kept::<SinkStatus>(&stored.status),
        "KollectConnectionTest" => kept::<ConnectionTestStatus>(&stored.status),
        _ => return None,
    };
    let message = format!("spec: {}; {}", why.message, why.remedy);
    let mut conditions = Conditions::new(stored.generation, now);
    conditions.set("Ready", false, reason::SPEC_INVALID, message.clone());
    let exports = ["KollectTarget", "KollectClusterTarget", "KollectInventory", "KollectClusterInventory"];
    if exports.contains(&resource.kind.as_str()) {
        conditions.set("Synced", false, reason::SPEC_INVALID, message.clone());
        conditions.set("Degraded", true, reason::SPEC_INVALID, message);
    }
    status["conditions"] = json!(conditions.finish());
    status["observedGeneration"] = json!(stored.generation);
    let key = resource.clone();
    Some(Wanted { key, status, stored: stored.status.clone(), uid: stored.uid.clone() })
}

/// The status that is stored, if it can be read.
fn kept<T: DeserializeOwned + Default + Serialize>(stored: &Value) -> Value {
    let status: T = serde_json::from_value(stored.clone()).unwrap_or_default();
    // Our own types can be written as JSON.
    serde_json::to_value(status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::{ResourceName, Stored};

    #[test]
    fn what_cannot_be_read_says_so_and_forgets_nothing() {
        let why = |status: Value| Unusable {
            message: "no".to_owned(),
            remedy: "correct it".to_owned(),
            stored: Some(Stored { generation: Some(3), uid: None, status }),
            ..Unusable::default()
        };
        let of = |kind: &str, status: Value| {
            let resource = ResourceRef::new(kind, &ResourceName::new("a", "b"));
            super::status(&resource, &why(status), Timestamp::UNIX_EPOCH).map(|wanted| wanted.status)
        };
        let exports = json!([{ "name": "database/a/db" }]);
        let status = of("KollectInventory", json!({ "itemCount": 7, "sinkExports": exports })).unwrap();
        assert_eq!((&status["itemCount"], &status["sinkExports"]), (&json!(7), &exports));
        let types: Vec<_> = status["conditions"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
        assert_eq!(types, ["Degraded", "Ready", "Synced"]);
        assert_eq!(status["conditions"][1]["message"], "spec: no; correct it");
        // A status that can't be read either is made anew.
        let status = of("KollectProfile", json!({ "targetCount": "many" })).unwrap();
        assert_eq!(
            (status["conditions"].as_array().unwrap().len(), &status["observedGeneration"]),
            (1, &json!(3))
        );
        assert_eq!(of("KollectScope", Value::Null), None);
    }
}
