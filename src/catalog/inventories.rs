//! Inventories: which targets are merged, and where they are exported to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use kollect_dataflows::data::TargetName;

use super::fields::{self, Reporter};
use super::problem::{ResourceRef, reason};
use super::scopes::{Refusal, Scopes};
use super::sinks::{Sinks, UsableSink};
use super::targets::{self, stays};
use super::{
    BindingPlan, Hold, Incomplete, Input, InventoryPlan, Plan, ResourceName, SinkFamily, SinkName, Unusable,
    rollups,
};
use crate::api::{self, Interval, LabelSelector, Rollup, SinkRef};
use crate::sinks::snapshot::local;
use crate::sinks::{BindingName, Place, SinkConfig};

/// The kinds of inventories.
pub(super) const KINDS: [&str; 2] = ["KollectInventory", "KollectClusterInventory"];

/// The most sinks of an inventory.
const MAX_SINKS: usize = 20;

/// How often unchanged content is verified where nothing says otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// The name of the sink that [`super::Options::output`] stands for.
const OUTPUT: &str = "output";

/// An inventory of a namespace or of the cluster.
struct Declared<'a> {
    name: &'a ResourceName,
    target_refs: &'a [String],
    target_selector: Option<&'a LabelSelector>,
    namespaces: &'a [String],
    namespace_selector: Option<&'a LabelSelector>,
    dedupe: api::Dedupe,
    rollups: &'a [Rollup],
    /// The profile whose metrics are rollups too.
    profile: Option<ResourceName>,
    lists: [(SinkFamily, &'static str, &'a [SinkRef]); 3],
    /// The namespace of sinks whose references name none.
    sink_namespace: &'a str,
    interval: &'a Interval,
    max_export_bytes: Option<i64>,
    has_http_endpoint: bool,
    suspend: bool,
}

fn declared(input: &Input) -> impl Iterator<Item = Declared<'_>> {
    const LISTS: [&str; 3] = ["spec.databaseSinkRefs", "spec.snapshotSinkRefs", "spec.eventSinkRefs"];
    let inventories = input.inventories.iter().filter(|(_, inventory)| stays(&inventory.metadata));
    let inventories = inventories.map(|(name, inventory)| {
        let spec = &inventory.spec;
        Declared {
            name,
            target_refs: &spec.target_refs,
            target_selector: spec.target_selector.as_ref(),
            namespaces: &[],
            namespace_selector: None,
            dedupe: spec.dedupe,
            rollups: &spec.rollups,
            profile: None,
            lists: [
                (SinkFamily::Database, LISTS[0], &spec.database_sink_refs),
                (SinkFamily::Snapshot, LISTS[1], &spec.snapshot_sink_refs),
                (SinkFamily::Event, LISTS[2], &spec.event_sink_refs),
            ],
            sink_namespace: &name.namespace,
            interval: &spec.export_min_interval,
            max_export_bytes: spec.max_export_bytes,
            has_http_endpoint: spec.http_endpoint.as_ref().is_some_and(|endpoint| endpoint.enabled),
            suspend: spec.suspend,
        }
    });
    let of_cluster = input.cluster_inventories.iter().filter(|(_, inventory)| stays(&inventory.metadata));
    let of_cluster = of_cluster.map(|(name, inventory)| {
        let spec = &inventory.spec;
        let profile = spec.profile_ref.as_ref();
        Declared {
            name,
            target_refs: &spec.target_refs,
            target_selector: spec.target_selector.as_ref(),
            namespaces: &spec.namespaces,
            namespace_selector: spec.namespace_selector.as_ref(),
            dedupe: spec.dedupe,
            rollups: &spec.rollups,
            profile: profile.map(|profile| ResourceName::new(&profile.namespace, &profile.name)),
            lists: [
                (SinkFamily::Database, LISTS[0], &spec.database_sink_refs),
                (SinkFamily::Snapshot, LISTS[1], &spec.snapshot_sink_refs),
                (SinkFamily::Event, LISTS[2], &spec.event_sink_refs),
            ],
            sink_namespace: &spec.sink_namespace,
            interval: &spec.export_min_interval,
            max_export_bytes: spec.max_export_bytes,
            has_http_endpoint: false,
            suspend: spec.suspend,
        }
    });
    inventories.chain(of_cluster)
}

/// Plans every inventory.
pub(super) fn plan(input: &Input, sinks: &Sinks, plan: &mut Plan) {
    for inventory in declared(input) {
        let name = inventory.name;
        let scopes = Scopes::of(input, &name.namespace);
        let resource = ResourceRef::inventory(name);
        let unusable = input.unusable(&resource).map(hold);
        // What it holds goes in any order, and is not to be taken back from where it was exported to for that.
        let terminating = input.namespaces.get(&name.namespace).filter(|namespace| namespace.terminating);
        let terminating = terminating.map(|_| Hold {
            reason: reason::NAMESPACE_TERMINATING,
            message: format!("namespace {} is being deleted", name.namespace),
        });
        let mut reporter = Reporter { resource, problems: &mut plan.problems };
        let unknown = scopes.unknown().map(|Refusal { reason, message, remedy }| {
            reporter.report("spec", reason, &message, remedy);
            Hold { reason, message }
        });
        let feeding = feeding(input, &inventory, &mut reporter);
        let namespaces = namespaces(input, &inventory, &mut reporter);
        let held = [feeding.as_ref().err(), namespaces.as_ref().err()].into_iter().flatten().next();
        let mut planned = InventoryPlan {
            held: terminating.or(unusable).or(unknown).or(held.cloned()),
            targets: feeding.unwrap_or_default(),
            namespaces: namespaces.unwrap_or_default(),
            dedupe: inventory.dedupe,
            suspended: inventory.suspend,
            ..InventoryPlan::default()
        };
        planned.rollups = rollups::plan(inventory.rollups, &planned.targets, &plan.targets, &mut reporter);
        if let Some(profile) = &inventory.profile {
            rollups::adopt(
                profile,
                &scopes,
                &plan.profiles,
                &plan.metrics,
                &mut planned.rollups,
                &mut reporter,
            );
        }
        let interval = fields::interval("spec.exportMinInterval", Some(inventory.interval), &mut reporter)
            .unwrap_or(DEFAULT_INTERVAL);
        if inventory.has_http_endpoint {
            let message = "this version of Kollect has no read API, so the field has no effect";
            reporter.report(
                "spec.httpEndpoint",
                reason::NO_EFFECT,
                message,
                "remove it, or read the exports",
            );
        }
        match &input.options.output {
            Some(directory) => output(
                input,
                name,
                directory,
                (interval, limit(inventory.max_export_bytes)),
                &mut planned,
                &mut reporter,
            ),
            None => bind(input, &inventory, sinks, &scopes, interval, &mut planned, &mut reporter),
        }
        plan.inventories.insert(name.clone(), planned);
    }
    for (name, why) in input.unusable_of(&KINDS) {
        plan.inventories
            .entry(name.clone())
            .or_insert_with(|| InventoryPlan { held: Some(hold(why)), ..InventoryPlan::default() });
    }
}

fn hold(why: &Unusable) -> Hold {
    Hold { reason: reason::SPEC_INVALID, message: why.message.clone() }
}

/// The namespaces whose rows an inventory takes, `None` for all; `Err` when that can't be told, which is reported.
fn namespaces(
    input: &Input,
    inventory: &Declared<'_>,
    reporter: &mut Reporter<'_>,
) -> Result<Option<BTreeSet<String>>, Hold> {
    const FIELD: &str = "spec.namespaceSelector";
    let named = inventory.namespaces;
    let Ok(selector) = fields::selector(FIELD, inventory.namespace_selector, reporter) else {
        return Err(Hold { reason: reason::SPEC_INVALID, message: format!("{FIELD} can't be used") });
    };
    let Some(selector) = selector else {
        return Ok((!named.is_empty()).then(|| named.iter().cloned().collect()));
    };
    if let Some(why) = &input.namespaces_unknown {
        let message = format!("the inventory selects namespaces, which can't be listed: {why}");
        let remedy = "correct that (in a cluster: grant list and watch of namespaces), or name them in spec.namespaces alone";
        reporter.report(FIELD, reason::ACCESS_DENIED, &message, remedy);
        return Err(Hold { reason: reason::ACCESS_DENIED, message });
    }
    let known = input.namespaces.iter();
    let selected = known
        .filter(|(_, known)| selector.matches(|key| known.labels.get(key).map(String::as_str)))
        .map(|(name, _)| name)
        .filter(|name| named.is_empty() || named.contains(name));
    Ok(Some(selected.cloned().collect()))
}

/// The targets that feed an inventory; `Err` when that can't be told, which is reported.
fn feeding(
    input: &Input,
    inventory: &Declared<'_>,
    reporter: &mut Reporter<'_>,
) -> Result<BTreeSet<TargetName>, Hold> {
    let Declared { name, target_refs, target_selector, .. } = inventory;
    let of_cluster = name.is_of_cluster();
    let candidates = candidates(input, &name.namespace);
    let mut targets = BTreeSet::new();
    let mut unknown = false;
    let before = reporter.problems.len();
    let (mut remedy, exists) = match of_cluster {
        true => ("create a KollectClusterTarget", "create it, or name one that exists"),
        false => (
            "create a KollectTarget in the inventory's namespace",
            "create it, or name one that exists in the inventory's namespace",
        ),
    };
    if !target_refs.is_empty() {
        if target_selector.is_some() {
            reporter.report(
                "spec.targetSelector",
                reason::SPEC_INVALID,
                "targetRefs and targetSelector exclude each other; targetRefs is used",
                "remove one of them",
            );
        }
        for (index, target) in target_refs.iter().enumerate() {
            let target = ResourceName::new(&name.namespace, target);
            if candidates.contains_key(&target) {
                targets.insert(TargetName::new(target.namespace, target.name));
            } else {
                unknown = true;
                let cause = ResourceRef::target(&target);
                let message = format!("there is no {cause}");
                let field = format!("spec.targetRefs[{index}]");
                reporter.report_cause(cause, field, reason::TARGET_NOT_FOUND, message, exists);
            }
        }
    } else if target_selector.is_some() {
        remedy = match of_cluster {
            true => "label a KollectClusterTarget accordingly, or correct spec.targetSelector",
            false => {
                "label a KollectTarget of the inventory's namespace accordingly, or correct spec.targetSelector"
            }
        };
        unknown = true;
        let selector = fields::selector("spec.targetSelector", *target_selector, reporter);
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
    let Incomplete { targets: of_namespaces, cluster_targets } = input.incomplete;
    let of_namespaces = of_namespaces || input.incomplete_in.contains(&name.namespace);
    if unknown && if of_cluster { cluster_targets } else { of_namespaces } {
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

/// The targets of a namespace, or those of the cluster where it is empty, those included that can't be used.
fn candidates<'a>(input: &'a Input, namespace: &'a str) -> BTreeMap<&'a ResourceName, Labels<'a>> {
    let targets = Input::of_namespace(&input.targets, namespace);
    let targets = targets.map(|(name, target)| (name, &target.metadata));
    let of_cluster = Input::of_namespace(&input.cluster_targets, namespace);
    let of_cluster = of_cluster.map(|(name, target)| (name, &target.metadata));
    let all = targets.chain(of_cluster).filter(|(_, metadata)| stays(metadata));
    let usable = all.map(|(name, metadata)| (name, Labels::Known(metadata.labels.as_ref())));
    let unusable = input.unusable_of(&targets::KINDS).map(|(name, why)| {
        (name, why.labels.as_ref().map_or(Labels::Unknown, |labels| Labels::Known(Some(labels))))
    });
    usable.chain(unusable.filter(|(name, _)| name.namespace == namespace)).collect()
}

/// Binds an inventory to the sinks that it refers to.
fn bind(
    input: &Input,
    inventory: &Declared<'_>,
    sinks: &Sinks,
    scopes: &Scopes<'_>,
    interval: Duration,
    planned: &mut InventoryPlan,
    reporter: &mut Reporter<'_>,
) {
    let Declared { name, lists, sink_namespace, .. } = inventory;
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
        let (min_interval, coalesce_window) = check(&field, name, reference, reporter);
        let namespace = reference.namespace().filter(|_| name.is_of_cluster()).unwrap_or(sink_namespace);
        let sink = SinkName { family, name: ResourceName::new(namespace, reference.name()) };
        // What is exported to a sink beyond the limit stays, so it counts as referred to.
        planned.references.insert(sink.clone());
        if number >= MAX_SINKS {
            planned.unresolved = true;
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
        if let Some(Refusal { reason, message, remedy }) = scopes.sink(&sink) {
            reporter.report(&field, reason, message, remedy);
            planned.unresolved = true;
            continue;
        }
        let Some(usable) = usable(&sink, &field, sinks, reporter) else {
            planned.unresolved = true;
            continue;
        };
        let cluster = input.options.cluster.as_ref().unwrap_or(&usable.cluster);
        let binding = binding_name(cluster, name);
        let limit = limit(reference.max_export_bytes().or(inventory.max_export_bytes));
        let config = usable.config.bound_to(&binding).limited_to(limit);
        let place = config.place(&binding);
        if let Some((_, first)) = places.iter().find(|(other, _)| *other == place) {
            let message = format!("the sink leads to the same place as {first}: {}", config.describe());
            let remedy = "remove one of the references, or change one of the sinks";
            reporter.report(&field, reason::SAME_DESTINATION, message, remedy);
            continue;
        }
        places.push((place, field));
        planned.bindings.push(BindingPlan {
            name: binding,
            sink,
            config,
            min_interval: scopes.raise(min_interval.or(usable.interval).unwrap_or(interval)),
            coalesce_window: coalesce_window.unwrap_or_default(),
        });
    }
    if lists.iter().all(|(_, _, references)| references.is_empty()) {
        reporter.report(
            "spec",
            reason::NO_SINKS,
            "the inventory is exported nowhere",
            "name a sink in databaseSinkRefs, snapshotSinkRefs or eventSinkRefs",
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
            let remedy = format!("create it, or name one that exists in namespace {}", sink.name.namespace);
            reporter.report_cause(cause, field, reason::SINK_NOT_FOUND, message, remedy);
        }
    }
    None
}

/// Says what is wrong with a reference that the API server can't say, and gives its interval and its window.
fn check(
    field: &str,
    inventory: &ResourceName,
    reference: &SinkRef,
    reporter: &mut Reporter<'_>,
) -> (Option<Duration>, Option<Duration>) {
    let own = !inventory.is_of_cluster();
    if own && reference.namespace().is_some() {
        reporter.report(
            format!("{field}.namespace"),
            reason::SPEC_INVALID,
            "an inventory is exported to sinks of its own namespace",
            "leave the field out, or use a KollectClusterInventory",
        );
    }
    let namespace = if own { "" } else { "namespace, " };
    for unknown in reference.unknown() {
        reporter.report(
            format!("{field}.{unknown}"),
            reason::SPEC_INVALID,
            format!("a sink reference has no field `{unknown}`"),
            format!("the fields are name, {namespace}exportMinInterval, coalesceWindow and maxExportBytes"),
        );
    }
    let mut interval =
        |name: &str, value| fields::interval(&format!("{field}.{name}"), value, &mut *reporter);
    (
        interval("exportMinInterval", reference.export_min_interval()),
        interval("coalesceWindow", reference.coalesce_window()),
    )
}

/// A `maxExportBytes`, where 0 is no limit.
fn limit(bytes: Option<i64>) -> Option<u64> {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0)
}

/// Binds an inventory to the directory that stands in for all sinks.
fn output(
    input: &Input,
    name: &ResourceName,
    directory: &Path,
    (min_interval, limit): (Duration, Option<u64>),
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
                config: SinkConfig::Local(config).limited_to(limit),
                min_interval,
                coalesce_window: Duration::ZERO,
            });
        }
        Err(error) => reporter.report("output directory", reason::SPEC_INVALID, error.message, error.remedy),
    }
}

pub(super) fn binding_name(cluster: &str, inventory: &ResourceName) -> BindingName {
    BindingName {
        cluster: cluster.to_owned(),
        inventory_namespace: inventory.namespace.clone(),
        inventory_name: inventory.name.clone(),
    }
}
