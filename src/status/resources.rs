//! The status of every custom resource, from plan and report. Pure, but for the time of transitions.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kollect_dataflows::data::TargetName;
use serde::Serialize;
use serde_json::Value;

use super::conditions::{
    Conditions, Why, binding_state, inventory_conditions, sink_conditions, target_conditions,
};
use super::exports;
use super::unreadable;
use super::writer::Wanted;
use crate::api::{
    ClusterInventoryStatus, InventoryStatus, NamespaceShard, ProfileStatus, RollupStatus, SinkExport,
    SinkPreview, TargetStatus,
};
use crate::catalog::{Input, Plan, ResourceName, ResourceRef, SinkFamily, SinkName, TargetPlan, reason};
use crate::probes;
use crate::runtime::Report;

/// Namespaces that a target's status lists.
const LISTED_NAMESPACES: usize = 100;

/// The shard of objects without a namespace.
const CLUSTER_SHARD: &str = "_cluster";

/// The status of every resource of the input.
pub fn statuses(
    input: &Input,
    plan: &Plan,
    report: &Report,
    probes: &probes::Report,
    previews: &BTreeMap<SinkName, SinkPreview>,
) -> Vec<Wanted> {
    // Kubernetes dates to the second.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let all = All { plan, report, probes, previews, now };
    let mut statuses = Vec::new();
    let mut add = |kind: &str, metadata: &ObjectMeta, status: Value, stored: Value| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let name = ResourceName::new(text(&metadata.namespace), text(&metadata.name));
        let key = ResourceRef::new(kind, &name);
        statuses.push(Wanted { key, status, stored, uid: metadata.uid.clone() });
    };
    for (name, resource) in &input.profiles {
        let status = all.profile(name, resource.metadata.generation);
        add("KollectProfile", &resource.metadata, json(&status), json(&resource.status));
    }
    // A target that is being deleted is gone in a moment.
    for (name, resource) in input.targets.iter().filter(|(_, target)| !is_deleted(&target.metadata)) {
        let status = all.target(name, resource.metadata.generation);
        add("KollectTarget", &resource.metadata, json(&status), json(&resource.status));
    }
    for (name, resource) in input.cluster_targets.iter().filter(|(_, target)| !is_deleted(&target.metadata)) {
        let status = all.target(name, resource.metadata.generation);
        add("KollectClusterTarget", &resource.metadata, json(&status), json(&resource.status));
    }
    for (name, resource) in &input.inventories {
        let (metadata, stored) = (&resource.metadata, resource.status.clone().unwrap_or_default());
        let status = match is_deleted(metadata) {
            true => all.ending_inventory(name, metadata.generation, stored),
            false => Some(all.inventory(name, metadata.generation, &stored.sink_exports)),
        };
        let Some(status) = status else { continue };
        add("KollectInventory", metadata, json(&status), json(&resource.status));
    }
    for (name, resource) in &input.cluster_inventories {
        let (metadata, stored) = (&resource.metadata, resource.status.clone().unwrap_or_default());
        let status = match is_deleted(metadata) {
            true => all.ending_cluster_inventory(name, metadata.generation, stored),
            false => Some(all.cluster_inventory(name, metadata.generation, &stored.sink_exports)),
        };
        let Some(status) = status else { continue };
        add("KollectClusterInventory", metadata, json(&status), json(&resource.status));
    }
    let mut sink = |family: SinkFamily, name: &ResourceName, metadata: &ObjectMeta, stored: Option<&_>| {
        let sink = SinkName { family, name: name.clone() };
        let status = all.sink(&sink, metadata.generation, stored);
        add(family.kind(), metadata, json(&status), json(&stored));
    };
    for (name, resource) in &input.database_sinks {
        let stored = resource.status.as_ref();
        sink(SinkFamily::Database, name, &resource.metadata, stored);
    }
    for (name, resource) in &input.snapshot_sinks {
        let stored = resource.status.as_ref();
        sink(SinkFamily::Snapshot, name, &resource.metadata, stored);
    }
    for (name, resource) in &input.event_sinks {
        let stored = resource.status.as_ref();
        sink(SinkFamily::Event, name, &resource.metadata, stored);
    }
    for (name, resource) in &input.connection_tests {
        // One that has come to its end stays as it is.
        if plan.connection_tests.contains_key(name) {
            let status = all.connection_test(name, resource);
            add("KollectConnectionTest", &resource.metadata, json(&status), json(&resource.status));
        }
    }
    statuses.extend(unreadable::statuses(input, now));
    statuses
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn is_deleted(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some()
}

fn json(status: &impl Serialize) -> Value {
    // Our own types can be written as JSON.
    serde_json::to_value(status).unwrap_or_default()
}

pub(super) struct All<'a> {
    pub(super) plan: &'a Plan,
    pub(super) report: &'a Report,
    pub(super) probes: &'a probes::Report,
    pub(super) previews: &'a BTreeMap<SinkName, SinkPreview>,
    pub(super) now: Timestamp,
}

impl All<'_> {
    /// What the catalog has against a resource: the first problem, and how many more there are.
    pub(super) fn problem(&self, resource: &ResourceRef) -> Option<Why> {
        let mut problems = self.plan.problems_of(resource).filter(|problem| !problem.is_warning());
        let first = problems.next()?;
        let more = problems.count();
        let and_more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let message = format!("{}: {}; {}{and_more}", first.field, first.message, first.remedy);
        Some((first.reason.to_owned(), message))
    }

    /// Why a target is held, and what to do about it, where that is known.
    fn held(&self, name: &ResourceName, reason: &str, message: &str) -> Why {
        let resource = ResourceRef::target(name);
        let problem = self.plan.problems_of(&resource).find(|problem| problem.reason == reason);
        let text =
            problem.map(|problem| format!("{}: {}; {}", problem.field, problem.message, problem.remedy));
        (reason.to_owned(), text.unwrap_or_else(|| message.to_owned()))
    }

    fn profile(&self, name: &ResourceName, generation: Option<i64>) -> ProfileStatus {
        let mut conditions = Conditions::new(generation, self.now);
        let targets = self.plan.profiles.get(name).map(|profile| profile.targets).unwrap_or_default();
        let problem = self.problem(&ResourceRef::new("KollectProfile", name));
        sink_conditions(
            &mut conditions,
            problem,
            ("Compiled", format!("compiles; used by {}", count(targets, "target"))),
        );
        ProfileStatus {
            observed_generation: generation,
            target_count: i64::try_from(targets).ok(),
            conditions: conditions.finish(),
        }
    }

    fn target(&self, name: &ResourceName, generation: Option<i64>) -> TargetStatus {
        let target = TargetName::new(&name.namespace, &name.name);
        let report = self.report.engine.targets.get(&target).cloned().unwrap_or_default();
        let mut conditions = Conditions::new(generation, self.now);
        let problem = match self.plan.targets.get(&target) {
            Some(TargetPlan::Held { reason, message }) => Some(self.held(name, reason, message)),
            _ => self.problem(&ResourceRef::target(name)),
        };
        target_conditions(&mut conditions, problem, &report);
        let active = match self.plan.targets.get(&target) {
            Some(TargetPlan::Active(active)) => Some(active),
            _ => None,
        };
        let namespaces: Option<Vec<&str>> =
            active.and_then(|active| active.sight.selected()).map(Iterator::collect);
        let matched = active.and_then(|active| active.matched.as_deref());
        TargetStatus {
            observed_generation: generation,
            matched_namespaces: matched.map(|names| names.iter().take(LISTED_NAMESPACES).cloned().collect()),
            matched_namespace_count: matched.and_then(|names| i64::try_from(names.len()).ok()),
            object_count: i64::try_from(report.objects).ok(),
            row_count: i64::try_from(report.rows).ok(),
            hydrated: Some(report.hydrated),
            effective_namespaces: namespaces
                .as_ref()
                .map(|names| names.iter().take(LISTED_NAMESPACES).map(ToString::to_string).collect()),
            effective_namespace_count: namespaces.and_then(|names| i64::try_from(names.len()).ok()),
            active_resource_rules: active
                .and_then(|active| active.active_rules)
                .and_then(|rules| i64::try_from(rules).ok()),
            extraction_failures: i64::try_from(report.failures).ok(),
            last_extraction_error: report.last_failure,
            conditions: conditions.finish(),
        }
    }

    /// `stored` are the exports of the status that the inventory has.
    fn inventory(
        &self,
        name: &ResourceName,
        generation: Option<i64>,
        stored: &[SinkExport],
    ) -> InventoryStatus {
        let mut conditions = Conditions::new(generation, self.now);
        let report = self.report.engine.inventories.get(name);
        let plan = self.plan.inventories.get(name);
        let bindings: Vec<_> =
            self.report.bindings.iter().filter(|(key, _)| key.inventory == *name).collect();
        let states: Vec<_> =
            bindings.iter().map(|(key, (_, status))| (key.sink.to_string(), binding_state(status))).collect();
        let problem = self.problem(&ResourceRef::inventory(name));
        let suspended = plan.filter(|plan| plan.suspended).map(|_| exports::suspended());
        let held = plan.and_then(|plan| plan.held.as_ref()).map(|hold| {
            (hold.reason.to_owned(), format!("{}; what is exported stays as it is", hold.message))
        });
        // A problem with one reference of several leaves the others working.
        let (whole, part) =
            if bindings.is_empty() { (held.or(suspended).or(problem), None) } else { (None, problem) };
        let degraded = part.or_else(|| self.degraded_target(name)).or_else(|| self.stuck_leftover(name));
        inventory_conditions(&mut conditions, whole, degraded, report, &states);
        let running: Vec<_> = bindings
            .iter()
            .zip(states)
            .map(|((key, (_, status)), (_, state))| (*key, status, state))
            .collect();
        let exports = self.exports(name, generation, &running, stored);
        let rollups = report.map(|report| report.rollups.clone()).unwrap_or_default();
        InventoryStatus {
            observed_generation: generation,
            item_count: report.and_then(|report| i64::try_from(report.rows).ok()),
            digest: report.map(|report| report.digest.to_string()),
            target_count: report.and_then(|report| i64::try_from(report.targets.len()).ok()),
            rollups: rollups
                .into_iter()
                .map(|(name, rollup)| RollupStatus {
                    name,
                    groups: i64::try_from(rollup.count).unwrap_or(i64::MAX),
                })
                .collect(),
            last_export_time: exports.iter().filter_map(|export| export.last_export_time.clone()).max(),
            sink_exports: exports,
            conditions: conditions.finish(),
        }
    }

    fn cluster_inventory(
        &self,
        name: &ResourceName,
        generation: Option<i64>,
        stored: &[SinkExport],
    ) -> ClusterInventoryStatus {
        let InventoryStatus {
            observed_generation,
            item_count,
            digest,
            target_count,
            rollups,
            last_export_time,
            sink_exports,
            conditions: mut built,
        } = self.inventory(name, generation, stored);
        let mut conditions = Conditions::new(generation, self.now);
        let failed = sink_exports.iter().find_map(|export| {
            let synced = export.conditions.iter().find(|condition| condition.type_ == "Ready")?;
            (synced.status != "True")
                .then(|| (synced.reason.clone(), format!("{}: {}", export.name, synced.message)))
        });
        match failed {
            Some((reason, message)) => conditions.set("ExportSucceeded", false, &reason, message),
            None if sink_exports.is_empty() => {
                let ready = built.iter().find(|condition| condition.type_ == "Ready");
                let (reason, message) =
                    ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_else(|| {
                        (reason::NO_SINKS.to_owned(), "the inventory is exported nowhere".to_owned())
                    });
                conditions.set("ExportSucceeded", false, &reason, message);
            }
            None => conditions.set(
                "ExportSucceeded",
                true,
                "Exported",
                "every sink holds the rows of the inventory",
            ),
        }
        built.extend(conditions.finish());
        built.sort_by(|a, b| a.type_.cmp(&b.type_));
        let shards = self.report.engine.inventories.get(name).and_then(|report| report.shards.clone());
        let shards = shards.unwrap_or_default();
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        ClusterInventoryStatus {
            observed_generation,
            item_count,
            digest,
            target_count,
            namespace_shard_count: Some(count(shards.count)),
            namespace_shards: shards
                .first
                .into_iter()
                .map(|(namespace, shard)| NamespaceShard {
                    namespace: if namespace.is_empty() { CLUSTER_SHARD.to_owned() } else { namespace },
                    item_count: count(shard.rows),
                    target_count: count(shard.targets),
                    checksum: shard.digest.to_string(),
                })
                .collect(),
            rollups,
            last_export_time,
            sink_exports,
            conditions: built,
        }
    }

    /// A target of an inventory that can't see its objects.
    fn degraded_target(&self, name: &ResourceName) -> Option<Why> {
        let inventory = self.plan.inventories.get(name)?;
        inventory.targets.iter().find_map(|target| {
            let why = match self.plan.targets.get(target)? {
                TargetPlan::Held { reason, .. } if *reason == reason::SUSPENDED => return None,
                TargetPlan::Held { message, .. } => message.clone(),
                TargetPlan::Active(_) => {
                    self.report.engine.targets.get(target)?.source_problem.as_ref()?.to_string()
                }
            };
            let message = format!("target {target}: {why}; its rows stay as they are");
            Some(("TargetDegraded".to_owned(), message))
        })
    }
}
