//! Inventories: which targets are merged, and where they are exported to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use kollect_dataflows::data::TargetName;

use super::fields::{self, Reporter};
use super::problem::{ResourceRef, reason};
use super::sinks::{Sinks, UsableSink};
use super::targets;
use super::{
    BindingPlan, Hold, Input, InventoryPlan, Plan, ResourceName, SinkFamily, SinkName, Unusable, rollups,
};
use crate::api::{KollectInventorySpec, SinkRef};
use crate::sinks::snapshot::local;
use crate::sinks::{BindingName, Place, SinkConfig};

/// The kind of the resources.
const KIND: &str = "KollectInventory";

/// The most sinks of an inventory.
const MAX_SINKS: usize = 20;

/// How often unchanged content is verified where nothing says otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// The name of the sink that [`super::Options::output`] stands for.
const OUTPUT: &str = "output";

/// Plans every inventory.
pub(super) fn plan(input: &Input, sinks: &Sinks, plan: &mut Plan) {
    for (name, inventory) in &input.inventories {
        let spec = &inventory.spec;
        let mut reporter = Reporter { resource: ResourceRef::new(KIND, name), problems: &mut plan.problems };
        let feeding = feeding(input, name, spec, &mut reporter);
        let unusable = input.unusable(KIND, name).map(hold);
        let mut planned = InventoryPlan {
            held: unusable.or(feeding.as_ref().err().cloned()),
            targets: feeding.unwrap_or_default(),
            dedupe: spec.dedupe,
            suspended: spec.suspend,
            ..InventoryPlan::default()
        };
        planned.rollups = rollups::plan(&spec.rollups, &planned.targets, &plan.targets, &mut reporter);
        let interval =
            fields::interval("spec.exportMinInterval", Some(&spec.export_min_interval), &mut reporter)
                .unwrap_or(DEFAULT_INTERVAL);
        match &input.options.output {
            Some(directory) => output(input, name, directory, interval, &mut planned, &mut reporter),
            None => bind(input, name, spec, sinks, interval, &mut planned, &mut reporter),
        }
        plan.inventories.insert(name.clone(), planned);
    }
    for (name, why) in input.unusable_of(KIND) {
        plan.inventories
            .entry(name.clone())
            .or_insert_with(|| InventoryPlan { held: Some(hold(why)), ..InventoryPlan::default() });
    }
}

fn hold(why: &Unusable) -> Hold {
    Hold { reason: reason::SPEC_INVALID, message: why.message.clone() }
}

/// The targets that feed an inventory; `Err` when that can't be told, which is reported.
fn feeding(
    input: &Input,
    name: &ResourceName,
    spec: &KollectInventorySpec,
    reporter: &mut Reporter<'_>,
) -> Result<BTreeSet<TargetName>, Hold> {
    let candidates = candidates(input, &name.namespace);
    let mut targets = BTreeSet::new();
    let mut unknown = false;
    let before = reporter.problems.len();
    let mut remedy = "create a KollectTarget in the inventory's namespace";
    if !spec.target_refs.is_empty() {
        if spec.target_selector.is_some() {
            reporter.report(
                "spec.targetSelector",
                reason::SPEC_INVALID,
                "targetRefs and targetSelector exclude each other; targetRefs is used",
                "remove one of them",
            );
        }
        for (index, target) in spec.target_refs.iter().enumerate() {
            let target = ResourceName::new(&name.namespace, target);
            if candidates.contains_key(&target) {
                targets.insert(TargetName::new(target.namespace, target.name));
            } else {
                unknown = true;
                reporter.report_cause(
                    ResourceRef::new(targets::KIND, &target),
                    format!("spec.targetRefs[{index}]"),
                    reason::TARGET_NOT_FOUND,
                    format!("there is no KollectTarget {target}"),
                    "create it, or name one that exists in the inventory's namespace",
                );
            }
        }
    } else if spec.target_selector.is_some() {
        remedy =
            "label a KollectTarget of the inventory's namespace accordingly, or correct spec.targetSelector";
        unknown = true;
        let selector = fields::selector("spec.targetSelector", spec.target_selector.as_ref(), reporter);
        let Ok(selector) = selector else {
            let message = "spec.targetSelector can't be used".to_owned();
            return Err(Hold { reason: reason::SPEC_INVALID, message });
        };
        let selects = |labels: &Labels<'_>| {
            let (Some(selector), Labels::Known(labels)) = (&selector, labels) else { return true };
            selector.matches(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
        };
        let selected = candidates.iter().filter(|(_, labels)| selects(labels));
        targets.extend(selected.map(|(target, _)| TargetName::new(&target.namespace, &target.name)));
    } else {
        unknown = true;
        targets.extend(candidates.keys().map(|target| TargetName::new(&target.namespace, &target.name)));
    }
    if unknown && input.incomplete {
        let message = "something can't be read, which may be a target of the inventory";
        let remedy = "correct what can't be read; until then what is exported stays as it is";
        reporter.report("spec", reason::UNREADABLE, message, remedy);
        return Err(Hold { reason: reason::UNREADABLE, message: message.to_owned() });
    }
    // Who knows that the targets it names do not exist need not be told that it has none.
    if targets.is_empty() && reporter.problems.len() == before {
        reporter.report("spec", reason::NO_TARGETS, "no target feeds the inventory", remedy);
    }
    Ok(targets)
}

/// The labels of a target.
enum Labels<'a> {
    Known(Option<&'a BTreeMap<String, String>>),
    /// They can't be read, so whoever selects by labels may select it.
    Unknown,
}

/// The targets of a namespace, those included that can't be used.
fn candidates<'a>(input: &'a Input, namespace: &str) -> BTreeMap<&'a ResourceName, Labels<'a>> {
    let usable =
        input.targets.iter().map(|(name, target)| (name, Labels::Known(target.metadata.labels.as_ref())));
    let unusable = input.unusable_of(targets::KIND).map(|(name, why)| {
        (name, why.labels.as_ref().map_or(Labels::Unknown, |labels| Labels::Known(Some(labels))))
    });
    usable.chain(unusable).filter(|(name, _)| name.namespace == namespace).collect()
}

/// Binds an inventory to the sinks that it refers to.
fn bind(
    input: &Input,
    name: &ResourceName,
    spec: &KollectInventorySpec,
    sinks: &Sinks,
    interval: Duration,
    planned: &mut InventoryPlan,
    reporter: &mut Reporter<'_>,
) {
    let lists = [
        (SinkFamily::Database, "spec.databaseSinkRefs", &spec.database_sink_refs),
        (SinkFamily::Snapshot, "spec.snapshotSinkRefs", &spec.snapshot_sink_refs),
    ];
    let references = lists.iter().flat_map(|(family, list, references)| {
        references
            .iter()
            .enumerate()
            .map(move |(index, reference)| (*family, format!("{list}[{index}]"), reference))
    });
    let mut fields_of: BTreeMap<SinkName, String> = BTreeMap::new();
    let mut places: Vec<(Place, String)> = Vec::new();
    for (number, (family, field, reference)) in references.enumerate() {
        if reference.name().is_empty() {
            let remedy = "name one, or remove it";
            reporter.report(&field, reason::SPEC_INVALID, "the reference names no sink", remedy);
            continue;
        }
        let min_interval = check(&field, reference, reporter);
        let sink = SinkName { family, name: ResourceName::new(&name.namespace, reference.name()) };
        // What is exported to a sink beyond the limit stays, so it counts as referred to.
        planned.references.insert(sink.clone());
        if number >= MAX_SINKS {
            if number == MAX_SINKS {
                let message = format!(
                    "the inventory refers to more than {MAX_SINKS} sinks; this one and those after it are not used"
                );
                let remedy = "export to the others from a second inventory";
                reporter.report(&field, reason::SPEC_INVALID, message, remedy);
            }
            continue;
        }
        if let Some(first) = fields_of.get(&sink) {
            let message = format!("sink {} is referred to already by {first}", sink.name);
            reporter.report(&field, reason::SPEC_INVALID, message, "remove one of the references");
            continue;
        }
        fields_of.insert(sink.clone(), field.clone());
        let Some(usable) = usable(&sink, &field, sinks, reporter) else { continue };
        let cluster = input.options.cluster.as_ref().unwrap_or(&usable.cluster);
        let binding = binding_name(cluster, name);
        let place = usable.config.place(&binding);
        if let Some((_, first)) = places.iter().find(|(other, _)| *other == place) {
            let message =
                format!("the sink leads to the same place as {first}: {}", usable.config.describe());
            let remedy = "remove one of the references, or change one of the sinks";
            reporter.report(&field, reason::SAME_DESTINATION, message, remedy);
            continue;
        }
        places.push((place, field));
        planned.bindings.push(BindingPlan {
            name: binding,
            sink,
            config: usable.config.clone(),
            min_interval: min_interval.or(usable.interval).unwrap_or(interval),
        });
    }
    if lists.iter().all(|(_, _, references)| references.is_empty()) {
        reporter.report(
            "spec",
            reason::NO_SINKS,
            "the inventory is exported nowhere",
            "name a sink in databaseSinkRefs or snapshotSinkRefs",
        );
    }
}

/// The sink that a reference leads to, if it can be used; if not, that is reported.
fn usable<'s>(
    sink: &SinkName,
    field: &str,
    sinks: &'s Sinks,
    reporter: &mut Reporter<'_>,
) -> Option<&'s UsableSink> {
    let cause = sink.resource();
    match sinks.get(sink) {
        Some(Some(usable)) => return Some(usable),
        Some(None) => {
            // One whose Secret is elsewhere has no problems.
            if reporter.problems.iter().any(|problem| problem.resource == cause) {
                let message = format!("sink {} can't be used", sink.name);
                let remedy = format!("see to the problems of {cause}");
                reporter.report_cause(cause, field, reason::SINK_INVALID, message, remedy);
            }
        }
        None => {
            let message = format!("there is no {cause}");
            let remedy = "create it, or name one that exists in the inventory's namespace";
            reporter.report_cause(cause, field, reason::SINK_NOT_FOUND, message, remedy);
        }
    }
    None
}

/// Says what is wrong with a reference that the API server can't say, and gives its interval.
fn check(field: &str, reference: &SinkRef, reporter: &mut Reporter<'_>) -> Option<Duration> {
    for unknown in reference.unknown() {
        reporter.report(
            format!("{field}.{unknown}"),
            reason::SPEC_INVALID,
            format!("a sink reference has no field `{unknown}`"),
            "the fields are name and exportMinInterval",
        );
    }
    fields::interval(&format!("{field}.exportMinInterval"), reference.export_min_interval(), reporter)
}

/// Binds an inventory to the directory that stands in for all sinks.
fn output(
    input: &Input,
    name: &ResourceName,
    directory: &Path,
    min_interval: Duration,
    planned: &mut InventoryPlan,
    reporter: &mut Reporter<'_>,
) {
    let settings =
        local::Settings { endpoint: directory.to_string_lossy().into_owned(), ..local::Settings::default() };
    match local::Config::new(settings) {
        Ok(config) => {
            let sink =
                SinkName { family: SinkFamily::Snapshot, name: ResourceName::new(&name.namespace, OUTPUT) };
            planned.references.insert(sink.clone());
            planned.bindings.push(BindingPlan {
                name: binding_name(input.options.cluster.as_deref().unwrap_or_default(), name),
                sink,
                config: SinkConfig::Local(config),
                min_interval,
            });
        }
        Err(error) => reporter.report("output directory", reason::SPEC_INVALID, error.message, error.remedy),
    }
}

fn binding_name(cluster: &str, inventory: &ResourceName) -> BindingName {
    BindingName {
        cluster: cluster.to_owned(),
        inventory_namespace: inventory.namespace.clone(),
        inventory_name: inventory.name.clone(),
    }
}
