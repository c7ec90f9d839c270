//! Rollups of inventories and metrics of profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kollect_dataflows::data::TargetName;
use kollect_dataflows::rollup::{self, Field, Op, RollupSpec};

use super::fields::Reporter;
use super::problem::reason;
use super::scopes::{Refusal, Scopes};
use super::{MetricsPlan, Plan, ProfilePlan, ResourceName, ResourceRef, RollupPlan, TargetPlan, profiles};
use crate::api::{AggregateOp, AttributeType, KollectProfileSpec, Metric, MetricType, Rollup};

/// Plans the rollups of an inventory that these targets feed.
pub(super) fn plan(
    rollups: &[Rollup],
    targets: &BTreeSet<TargetName>,
    plan: &BTreeMap<TargetName, TargetPlan>,
    reporter: &mut Reporter<'_>,
) -> BTreeMap<String, RollupPlan> {
    let known = attributes(targets, plan);
    let mut planned = BTreeMap::new();
    for (index, rollup) in rollups.iter().enumerate() {
        let at = format!("spec.rollups[{index}]");
        let mut check = |field: String, name: &str| {
            let attribute = Field::parse(name);
            if let (Some(attribute), Some(known)) = (attribute.attribute(), &known)
                && !known.contains(attribute)
            {
                let message = format!("no target of the inventory has an attribute {attribute}");
                let remedy = "name an attribute of a profile, or a part of the row's identity such as namespace or kind";
                reporter.report(field, reason::ATTRIBUTE_NOT_FOUND, message, remedy);
            }
            attribute
        };
        let group_by = rollup.group_by.iter().enumerate();
        let group_by =
            group_by.map(|(number, name)| check(format!("{at}.groupBy[{number}]"), name)).collect();
        let aggregates = rollup.aggregates.iter().enumerate().map(|(number, aggregate)| {
            let field = aggregate.attribute.as_deref();
            let field = field.map(|name| check(format!("{at}.aggregates[{number}].attribute"), name));
            rollup::Aggregate { op: op(aggregate.op), field }
        });
        let spec = RollupSpec { aggregates: aggregates.collect(), group_by };
        planned.insert(
            rollup.name.clone(),
            RollupPlan {
                group_by: rollup.group_by.clone(),
                aggregates: rollup.aggregates.iter().map(|aggregate| aggregate.name.clone()).collect(),
                spec: Arc::new(spec),
            },
        );
    }
    planned
}

/// The attributes of the rows of targets; `None` when they are not all known, or there are no targets.
fn attributes<'p>(
    targets: &BTreeSet<TargetName>,
    plan: &'p BTreeMap<TargetName, TargetPlan>,
) -> Option<BTreeSet<&'p str>> {
    let mut known = BTreeSet::new();
    for target in targets {
        let TargetPlan::Active(target) = plan.get(target)? else { return None };
        known.extend(target.profile.attribute_names());
    }
    (!targets.is_empty()).then_some(known)
}

fn op(op: AggregateOp) -> Op {
    match op {
        AggregateOp::Count => Op::Count,
        AggregateOp::Sum => Op::Sum,
        AggregateOp::Min => Op::Min,
        AggregateOp::Max => Op::Max,
        AggregateOp::Distinct => Op::Distinct,
    }
}

/// Adds the metrics of a profile to the rollups of an inventory, but for those whose names are taken.
pub(super) fn adopt(
    profile: &ResourceName,
    scopes: &Scopes<'_>,
    profiles: &BTreeMap<ResourceName, ProfilePlan>,
    metrics: &BTreeMap<ResourceName, MetricsPlan>,
    rollups: &mut BTreeMap<String, RollupPlan>,
    reporter: &mut Reporter<'_>,
) {
    const FIELD: &str = "spec.profileRef";
    if let Some(Refusal { reason, message, remedy }) = scopes.profile_namespace(&profile.namespace) {
        return reporter.report(FIELD, reason, message, remedy);
    }
    let cause = ResourceRef::new(profiles::KIND, profile);
    match profiles.get(profile) {
        None => {
            let message = format!("there is no {cause}");
            let remedy = "create it, or name one that exists";
            return reporter.report_cause(cause, FIELD, reason::PROFILE_NOT_FOUND, message, remedy);
        }
        Some(plan) if !plan.usable => {
            let message = format!("profile {profile} can't be used");
            let remedy = format!("see to the problems of {cause}");
            return reporter.report_cause(cause, FIELD, reason::PROFILE_INVALID, message, remedy);
        }
        Some(_) => {}
    }
    for (name, metric) in metrics.get(profile).into_iter().flat_map(|plan| &plan.metrics) {
        rollups.entry(name.clone()).or_insert_with(|| metric.clone());
    }
}

/// Plans the metrics of a profile. Whether they can be used: what is wrong is reported.
pub(super) fn metrics(
    name: &ResourceName,
    spec: &KollectProfileSpec,
    plan: &mut BTreeMap<ResourceName, MetricsPlan>,
    reporter: &mut Reporter<'_>,
) -> bool {
    let before = reporter.problems.len();
    let mut metrics = BTreeMap::new();
    for (index, metric) in spec.metrics.iter().enumerate() {
        let at = format!("spec.metrics[{index}]");
        let known = |name: &str| spec.attributes.iter().find(|attribute| attribute.name == name);
        let attribute = known(&metric.path);
        let remedy = "name an attribute of spec.attributes";
        match attribute.map(|attribute| attribute.type_) {
            None => {
                let message = format!("metric {}: the profile has no attribute {}", metric.name, metric.path);
                reporter.report(format!("{at}.path"), reason::PROFILE_INVALID, message, remedy);
            }
            Some(Some(kind)) if metric.type_ != MetricType::Count && !is_number(kind) => {
                let message = format!("metric {}: attribute {} is no number", metric.name, metric.path);
                let remedy =
                    "name an attribute of type int, float or quantity, or let the metric's type be count";
                reporter.report(format!("{at}.path"), reason::PROFILE_INVALID, message, remedy);
            }
            Some(_) => {}
        }
        for (number, label) in metric.labels.iter().enumerate() {
            if let Some(attribute) = Field::parse(label).attribute()
                && known(attribute).is_none()
            {
                let message = format!("metric {}: the profile has no attribute {attribute}", metric.name);
                let remedy =
                    "name an attribute of spec.attributes, or a part of the row's identity such as namespace";
                reporter.report(format!("{at}.labels[{number}]"), reason::PROFILE_INVALID, message, remedy);
            }
        }
        metrics.insert(metric.name.clone(), measured(metric));
    }
    if !metrics.is_empty() {
        plan.insert(name.clone(), MetricsPlan { metrics, targets: BTreeSet::new() });
    }
    reporter.problems.len() == before
}

/// Whether values of a type may be numbers. Texts may be quantities.
fn is_number(kind: AttributeType) -> bool {
    match kind {
        AttributeType::Int | AttributeType::Float | AttributeType::Quantity | AttributeType::String => true,
        AttributeType::Bool | AttributeType::List | AttributeType::Map | AttributeType::Timestamp => false,
    }
}

fn measured(metric: &Metric) -> RollupPlan {
    let op = match metric.type_ {
        MetricType::Sum => Op::Sum,
        MetricType::Min => Op::Min,
        MetricType::Max => Op::Max,
        MetricType::Count => Op::Count,
    };
    let field = Some(Field::Attribute(metric.path.clone()));
    RollupPlan {
        group_by: metric.labels.clone(),
        aggregates: vec!["value".to_owned()],
        spec: Arc::new(RollupSpec {
            group_by: metric.labels.iter().map(|label| Field::parse(label)).collect(),
            aggregates: vec![rollup::Aggregate { op, field }],
        }),
    }
}

/// Notes that a target's rows are measured by the metrics of its profile.
pub(super) fn measure(profile: &ResourceName, target: &ResourceName, plan: &mut Plan) {
    if let Some(metrics) = plan.metrics.get_mut(profile) {
        metrics.targets.insert(TargetName::new(&target.namespace, &target.name));
    }
}
