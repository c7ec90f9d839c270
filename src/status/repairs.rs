//! What bindings put right at destinations, because somebody else had changed it.

use std::collections::BTreeMap;

use super::events::Told;
use crate::catalog::{BindingKey, Input, ResourceName, ResourceRef};
use crate::runtime::Report;

/// The reason of events that tell of it.
const DRIFT_REPAIRED: &str = "DriftRepaired";

/// How much each binding has put right, as far as it was told.
#[derive(Debug, Default)]
pub struct Repairs(BTreeMap<BindingKey, u64>);

impl Repairs {
    /// What has been put right since the last time, an event for each binding.
    pub fn told(&mut self, report: &Report, input: &Input) -> Vec<Told> {
        let mut told = Vec::new();
        self.0.retain(|key, _| report.bindings.contains_key(key));
        for (key, (destination, status)) in &report.bindings {
            let repaired = status.totals.drift_repaired;
            let before = self.0.get(key).copied().unwrap_or_default();
            if repaired != before {
                self.0.insert(key.clone(), repaired);
            }
            // A binding that began anew counts from zero.
            let new = if repaired < before { repaired } else { repaired - before };
            if new > 0 {
                let message = format!(
                    "{}: somebody else had changed what is exported to {destination}; put right: {new}",
                    key.sink
                );
                told.push(event(&key.inventory, input, message));
            }
        }
        told
    }
}

fn event(inventory: &ResourceName, input: &Input, message: String) -> Told {
    let metadata = match inventory.is_of_cluster() {
        true => input.cluster_inventories.get(inventory).map(|resource| &resource.metadata),
        false => input.inventories.get(inventory).map(|resource| &resource.metadata),
    };
    Told {
        key: ResourceRef::inventory(inventory),
        uid: metadata.and_then(|metadata| metadata.uid.clone()),
        warning: true,
        reason: DRIFT_REPAIRED.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{SinkFamily, SinkName};
    use crate::export::{BindingStatus, Totals};

    #[test]
    fn what_is_put_right_is_told_once() {
        let report = |drift_repaired| {
            let sink = SinkName { family: SinkFamily::Database, name: ResourceName::new("a", "db") };
            let key = BindingKey { inventory: ResourceName::new("a", "i"), sink };
            let totals = Totals { drift_repaired, ..Totals::default() };
            let status = BindingStatus { totals, ..BindingStatus::default() };
            Report { bindings: [(key, ("somewhere".to_owned(), status))].into(), ..Report::default() }
        };
        let mut repairs = Repairs::default();
        // The last two are those of a binding that began anew.
        let told = [0, 2, 2, 5, 0, 1].map(|count| repairs.told(&report(count), &Input::default()));
        let told = told.map(|told| told.first().map(|told| told.message.clone()).unwrap_or_default());
        let message = |count| {
            format!(
                "database/a/db: somebody else had changed what is exported to somewhere; put right: {count}"
            )
        };
        assert_eq!(told, [String::new(), message(2), String::new(), message(3), String::new(), message(1)]);
    }
}
