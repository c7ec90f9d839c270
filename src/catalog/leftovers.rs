//! What inventories left at sinks that they no longer refer to.
//!
//! The status of an inventory lists the sinks that it has exported to, so that what is to be cleaned up is known also when
//! nobody was there as a reference was removed, or the inventory deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use super::inventories::{self, KINDS};
use super::problem::reason;
use super::sinks::Sinks;
use super::targets::stays;
use super::{BindingKey, BindingPlan, Hold, Input, Leftover, Plan, ResourceName, SinkFamily, SinkName};
use crate::api::{SinkExport, SinkRef};

/// Plans what is left of every inventory; the inventories are planned already.
pub(super) fn plan(input: &Input, sinks: &Sinks, plan: &mut Plan) {
    // That stands in for all sinks, and there is no status.
    if input.options.output.is_some() {
        return;
    }
    for (name, inventory) in &input.inventories {
        let (spec, exports) = (&inventory.spec, inventory.status.as_ref().map(|status| &status.sink_exports));
        let lists = [&spec.database_sink_refs, &spec.snapshot_sink_refs, &spec.event_sink_refs];
        let referred = sink_references(lists, &name.namespace, false);
        let exported = recorded(exports);
        add(input, sinks, name, stays(&inventory.metadata), exported, referred, plan);
    }
    for (name, inventory) in &input.cluster_inventories {
        let (spec, exports) = (&inventory.spec, inventory.status.as_ref().map(|status| &status.sink_exports));
        let lists = [&spec.database_sink_refs, &spec.snapshot_sink_refs, &spec.event_sink_refs];
        let referred = sink_references(lists, &spec.sink_namespace, true);
        let exported = recorded(exports);
        add(input, sinks, name, stays(&inventory.metadata), exported, referred, plan);
    }
    let gone = input
        .unusable
        .iter()
        .filter(|(resource, why)| why.deleted && KINDS.contains(&resource.kind.as_str()));
    for (resource, why) in gone {
        add(input, sinks, &resource.name, false, why.exported.clone(), BTreeSet::new(), plan);
    }
}

fn recorded(exports: Option<&Vec<SinkExport>>) -> BTreeSet<SinkName> {
    exports.into_iter().flatten().filter_map(|export| export.name.parse().ok()).collect()
}

/// What one inventory left: all that it exported if it is being deleted, else what it does not refer to any more.
fn add(
    input: &Input,
    sinks: &Sinks,
    inventory: &ResourceName,
    stays: bool,
    exported: BTreeSet<SinkName>,
    referred: BTreeSet<SinkName>,
    plan: &mut Plan,
) {
    let left: BTreeSet<SinkName> = if stays {
        let Some(planned) = plan.inventories.get(inventory).filter(|planned| planned.held.is_none()) else {
            return;
        };
        exported.difference(&planned.references).cloned().collect()
    } else {
        exported.union(&referred).cloned().collect()
    };
    for sink in left {
        let leftover = match sinks.get(&sink) {
            Some(Some(usable)) => {
                let cluster = input.options.cluster.as_ref().unwrap_or(&usable.cluster);
                let name = inventories::binding_name(cluster, inventory);
                Leftover::Reachable(Box::new(BindingPlan {
                    config: usable.config.bound_to(&name),
                    name,
                    sink: sink.clone(),
                    min_interval: Duration::ZERO,
                    coalesce_window: Duration::ZERO,
                }))
            }
            Some(None) => {
                let message =
                    format!("sink {} can't be used; see to the problems of {}", sink.name, sink.resource());
                Leftover::Unreachable(Hold { reason: reason::SINK_INVALID, message })
            }
            None if may_be_there(input, &sink) => {
                let message = format!(
                    "it is not known whether there is a {}: that kind can't be read",
                    sink.resource()
                );
                Leftover::Unreachable(Hold { reason: reason::UNREADABLE, message })
            }
            None => Leftover::Lost,
        };
        plan.leftovers.insert(BindingKey { inventory: inventory.clone(), sink }, leftover);
    }
}

/// Whether the sinks of its kind and namespace are not all known.
fn may_be_there(input: &Input, sink: &SinkName) -> bool {
    let unknown = |namespace: &str| input.sinks_unknown.contains(&(sink.family, namespace.to_owned()));
    unknown("") || unknown(&sink.name.namespace)
}

/// The sinks that an inventory names in its lists, which are in the order of [`SinkFamily::ALL`]. `namespace` is that of
/// references that name none, or may name none.
pub fn sink_references(lists: [&Vec<SinkRef>; 3], namespace: &str, of_cluster: bool) -> BTreeSet<SinkName> {
    let named = SinkFamily::ALL
        .into_iter()
        .zip(lists)
        .flat_map(|(family, list)| list.iter().map(move |reference| (family, reference)));
    named
        .filter(|(_, reference)| !reference.name().is_empty())
        .map(|(family, reference)| {
            let namespace = reference.namespace().filter(|_| of_cluster).unwrap_or(namespace);
            SinkName { family, name: ResourceName::new(namespace, reference.name()) }
        })
        .collect()
}
