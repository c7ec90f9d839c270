//! From custom resources to a plan: what is to be collected, merged and exported, and what is wrong with it.
//!
//! ```text
//! profiles, targets, inventories, sinks,
//! scopes; those of the cluster too ──────┐
//! Secrets that sinks refer to ───────────┼──► Catalog::plan ──► Plan: targets, inventories with bindings, sinks,
//! namespaces with their labels ──────────┘                            problems of each resource
//! ```
//!
//! A plan is a function of its [`Input`] alone: no I/O, no clock, no memory of inputs before. (A [`Catalog`] keeps compiled
//! profiles and selections, since compiling is dear; what it gives does not depend on them.) So the operator, `kollect collect` and
//! `kollect validate` say the same, and the order in which resources arrive never matters.
//!
//! Problems are values, attached to the resource that must be changed. One resource's fault is its own, and everything
//! else goes on. What is there but can't be used is held as it was: a target keeps its rows, an inventory is neither
//! written nor removed from anywhere, what went to a sink stays there. Only what is known to be gone is taken back. A target or
//! inventory that is being deleted counts as gone.

mod alike;
mod connection_tests;
mod fields;
mod input;
mod inventories;
mod leftovers;
mod plan;
mod problem;
mod profiles;
mod put;
mod rollups;
mod scopes;
mod secrets;
mod sight;
mod sinks;
mod targets;
#[cfg(test)]
mod tests;

pub use crate::sinks::EndpointPolicy;
pub use input::{Incomplete, Input, Namespace, Options, ResourceName, SecretData, Stored, Unusable};
pub use leftovers::sink_references;
pub use plan::{
    ActiveTarget, BindingKey, BindingPlan, ConnectionTestPlan, Hold, InventoryPlan, Leftover, MetricsPlan,
    Plan, ProfilePlan, RollupPlan, SinkFamily, SinkName, SinkPlan, TargetPlan,
};
pub use problem::{Problem, ResourceRef, reason};
pub use secrets::wanted_secrets;
pub use sight::Sight;

use std::sync::Arc;

use kollect_dataflows::extract::Profile;

use profiles::CompiledProfiles;
use targets::CompiledSelections;

/// Makes plans. Keeps compiled profiles and selections from one plan to the next.
#[derive(Debug, Default)]
pub struct Catalog {
    profiles: CompiledProfiles,
    selections: CompiledSelections,
}

impl Catalog {
    /// The plan for an input.
    pub fn plan(&mut self, input: &Input) -> Plan {
        let mut plan = Plan::default();
        let unusable = input.unusable.iter().filter(|(_, why)| !why.deleted);
        plan.problems.extend(unusable.map(|(resource, why)| Problem {
            resource: resource.clone(),
            field: "spec".to_owned(),
            reason: reason::SPEC_INVALID,
            message: why.message.clone(),
            remedy: why.remedy.clone(),
            // Who has read it knows more.
            cause: Some(resource.clone()),
        }));
        scopes::check(input, &mut plan.problems);
        self.profiles.update(input, &mut plan);
        targets::plan(input, &self.profiles, &mut self.selections, &mut plan);
        let configs = sinks::plan(input, &mut plan);
        inventories::plan(input, &configs, &mut plan);
        leftovers::plan(input, &configs, &mut plan);
        connection_tests::plan(input, &mut plan);
        plan.problems.sort();
        plan
    }

    /// A profile of the last plan, if it compiles.
    pub fn profile(&self, name: &ResourceName) -> Option<Arc<Profile>> {
        self.profiles.get(name).map(|(_, profile)| Arc::clone(profile))
    }
}
