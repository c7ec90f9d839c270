//! Targets: which objects, with which profile.

use std::collections::BTreeSet;

use kollect_dataflows::data::TargetName;
use kollect_dataflows::extract::{LabelSelector, ResourceSpec};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::fields::{self, Reporter};
use super::problem::{ResourceRef, reason};
use super::profiles::{self, CompiledProfiles};
use super::{ActiveTarget, Input, Namespaces, Plan, ResourceName, TargetPlan};
use crate::api::{KollectProfileSpec, KollectTargetSpec};

/// The kind of the resources.
pub(super) const KIND: &str = "KollectTarget";

/// Plans every target.
pub(super) fn plan(input: &Input, profiles: &CompiledProfiles, plan: &mut Plan) {
    for (name, target) in &input.targets {
        let profile = ResourceName::new(&name.namespace, &target.spec.profile_ref);
        if let Some(profile) = plan.profiles.get_mut(&profile) {
            profile.targets += 1;
        }
        let usable = plan.profiles.get(&profile).map(|profile| profile.usable);
        let export = profiles.export(&profile);
        let mut reporter = Reporter { resource: ResourceRef::new(KIND, name), problems: &mut plan.problems };
        let first = reporter.problems.len();
        check_profile(&target.spec, &profile, usable, &mut reporter);
        let parts = Parts::of(&target.spec, &mut reporter);
        let planned = match (plan.problems.get(first), parts, profiles.get(&profile)) {
            // A paused target says so, whatever else is wrong with it.
            _ if target.spec.suspend => {
                TargetPlan::Held { reason: reason::SUSPENDED, message: "the target is suspended".to_owned() }
            }
            (Some(problem), ..) => {
                TargetPlan::Held { reason: problem.reason, message: problem.message.clone() }
            }
            (None, Some(parts), Some((spec, profile))) => TargetPlan::Active(ActiveTarget {
                profile: profile.clone(),
                fingerprint: fingerprint(spec, export, &parts.labels, &parts.names),
                gvk: profile.gvk().clone(),
                namespaces: parts.namespaces(&target.spec, input),
                labels: parts.labels,
                names: parts.names,
            }),
            // Whatever is missing has been reported, so this does not happen; nothing is collected by mistake.
            (None, ..) => TargetPlan::Held {
                reason: reason::PROFILE_INVALID,
                message: "the profile can't be used".to_owned(),
            },
        };
        plan.targets.insert(TargetName::new(&name.namespace, &name.name), planned);
    }
}

/// Says what is wrong with the reference to the profile.
fn check_profile(
    spec: &KollectTargetSpec,
    profile: &ResourceName,
    usable: Option<bool>,
    reporter: &mut Reporter<'_>,
) {
    const FIELD: &str = "spec.profileRef";
    if spec.profile_ref.is_empty() {
        reporter.report(
            FIELD,
            reason::MISSING_PROFILE_REF,
            "the target names no profile",
            "name a KollectProfile of the target's namespace",
        );
        return;
    }
    let cause = ResourceRef::new(profiles::KIND, profile);
    match usable {
        Some(true) => {}
        Some(false) => {
            let message = format!("profile {profile} can't be used");
            let remedy = format!("see to the problems of {cause}");
            reporter.report_cause(cause, FIELD, reason::PROFILE_INVALID, message, remedy);
        }
        None => reporter.report_cause(
            cause,
            FIELD,
            reason::PROFILE_NOT_FOUND,
            format!("there is no KollectProfile {profile}"),
            "create it, or name one that exists in the target's namespace",
        ),
    }
}

/// The selectors of a target.
struct Parts {
    labels: LabelSelector,
    names: BTreeSet<String>,
    namespace_selector: Option<LabelSelector>,
    namespace_exclude_selector: Option<LabelSelector>,
}

impl Parts {
    /// `None` when one can't be used; all of these are reported.
    fn of(spec: &KollectTargetSpec, reporter: &mut Reporter<'_>) -> Option<Self> {
        let labels = fields::selector("spec.labelSelector", spec.label_selector.as_ref(), reporter);
        let include = fields::selector("spec.namespaceSelector", spec.namespace_selector.as_ref(), reporter);
        let exclude = fields::selector(
            "spec.namespaceExcludeSelector",
            spec.namespace_exclude_selector.as_ref(),
            reporter,
        );
        Some(Self {
            labels: labels.ok()?.unwrap_or_default(),
            names: spec.names.iter().cloned().collect(),
            namespace_selector: include.ok()?,
            namespace_exclude_selector: exclude.ok()?,
        })
    }

    /// ((included ∩ selector) − excluded − exclude selector). A namespace that is included by name takes part before it
    /// exists; its labels are then unknown, so a selector does not select it, and does not exclude it either.
    fn namespaces(&self, spec: &KollectTargetSpec, input: &Input) -> Namespaces {
        if spec.included_namespaces.is_empty()
            && spec.excluded_namespaces.is_empty()
            && self.namespace_selector.is_none()
            && self.namespace_exclude_selector.is_none()
        {
            return Namespaces::All;
        }
        let matches = |selector: &LabelSelector, namespace: &str| {
            input
                .namespaces
                .get(namespace)
                .is_some_and(|labels| selector.matches(|key| labels.get(key).map(String::as_str)))
        };
        let mut namespaces: BTreeSet<&str> = if spec.included_namespaces.is_empty() {
            input.namespaces.keys().map(String::as_str).collect()
        } else {
            spec.included_namespaces.iter().map(String::as_str).collect()
        };
        namespaces.retain(|namespace| {
            self.namespace_selector.as_ref().is_none_or(|selector| matches(selector, namespace))
                && !spec.excluded_namespaces.iter().any(|excluded| excluded == namespace)
                && !self
                    .namespace_exclude_selector
                    .as_ref()
                    .is_some_and(|selector| matches(selector, namespace))
        });
        Namespaces::Only(namespaces.into_iter().map(str::to_owned).collect())
    }
}

/// A hash of everything that decides what a row holds and whether an object gives one, namespaces apart. The order in
/// which attributes and conditions are written does not matter.
fn fingerprint(
    profile: &KollectProfileSpec,
    export: Option<&ResourceSpec>,
    labels: &LabelSelector,
    names: &BTreeSet<String>,
) -> u64 {
    let mut attributes: Vec<_> = profile
        .attributes
        .iter()
        .map(|attribute| {
            // A default of null is not the same as none.
            let default = attribute.default.as_ref().map(|value| [value]);
            json!([attribute.name, attribute.path, attribute.optional, default])
        })
        .collect();
    attributes.sort_by_cached_key(ToString::to_string);
    let mut requirements = labels.match_expressions.clone();
    for requirement in &mut requirements {
        requirement.values.sort();
        requirement.values.dedup();
    }
    requirements.sort();
    requirements.dedup();
    // All that it has counts, the keys of the operator included. The text never leaves the process.
    let export = export.map(|export| format!("{export:?}"));
    let all = json!([profile.target_gvk, attributes, export, labels.match_labels, requirements, names]);
    let hash = Sha256::digest(all.to_string());
    hash.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
