//! Profiles, compiled once a spec.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kollect_dataflows::data::Gvk;
use kollect_dataflows::extract::{AttributeSpec, CompileProblem, Profile, ProfileSpec};

use super::fields::Reporter;
use super::problem::{ResourceRef, reason};
use super::{Input, Plan, ProfilePlan, ResourceName};
use crate::api::{KollectProfile, KollectProfileSpec};

/// The kind of the resources.
pub(super) const KIND: &str = "KollectProfile";

/// Compiled profiles by name.
#[derive(Debug, Default)]
pub(super) struct CompiledProfiles(BTreeMap<ResourceName, Compiled>);

#[derive(Debug)]
struct Compiled {
    resource: Arc<KollectProfile>,
    result: Result<Arc<Profile>, Vec<CompileProblem>>,
}

impl CompiledProfiles {
    /// Compiles what is new, forgets what is gone, and says what is wrong with the rest.
    pub(super) fn update(&mut self, input: &Input, plan: &mut Plan) {
        self.0.retain(|name, _| input.profiles.contains_key(name));
        for (name, resource) in &input.profiles {
            let known = self.0.get(name).is_some_and(|compiled| {
                Arc::ptr_eq(&compiled.resource, resource) || compiled.resource.spec == resource.spec
            });
            if !known {
                let result = Profile::compile(&spec(&resource.spec)).map(Arc::new);
                self.0.insert(name.clone(), Compiled { resource: Arc::clone(resource), result });
            }
            let problems = self.problems(name);
            let empty = resource.spec.attributes.is_empty();
            let usable = problems.is_empty() && !empty && input.unusable(KIND, name).is_none();
            let mut reporter =
                Reporter { resource: ResourceRef::new(KIND, name), problems: &mut plan.problems };
            if empty {
                reporter.report(
                    "spec.attributes",
                    reason::PROFILE_INVALID,
                    "the profile has no attributes",
                    "give at least one attribute",
                );
            }
            report(&resource.spec, problems, &mut reporter);
            plan.profiles.insert(name.clone(), ProfilePlan { usable, targets: 0 });
        }
        for (name, _) in input.unusable_of(KIND) {
            plan.profiles.entry(name.clone()).or_default();
        }
    }

    /// The compiled profile; `None` when there is none of that name, or it does not compile.
    pub(super) fn get(&self, name: &ResourceName) -> Option<(&KollectProfileSpec, &Arc<Profile>)> {
        let compiled = self.0.get(name)?;
        Some((&compiled.resource.spec, compiled.result.as_ref().ok()?))
    }

    fn problems(&self, name: &ResourceName) -> &[CompileProblem] {
        match self.0.get(name).map(|compiled| &compiled.result) {
            Some(Err(problems)) => problems,
            _ => &[],
        }
    }
}

fn spec(spec: &KollectProfileSpec) -> ProfileSpec {
    let attributes = spec.attributes.iter().map(|attribute| AttributeSpec {
        name: attribute.name.clone(),
        path: attribute.path.clone(),
        optional: attribute.optional,
        default: attribute.default.clone(),
    });
    let gvk = &spec.target_gvk;
    ProfileSpec { gvk: Gvk::new(&gvk.group, &gvk.version, &gvk.kind), attributes: attributes.collect() }
}

/// A problem of an attribute concerns its name or its path; where the name is bad, that problem comes first.
fn report(spec: &KollectProfileSpec, problems: &[CompileProblem], reporter: &mut Reporter<'_>) {
    let mut names = BTreeSet::from([""]);
    let mut bad_names: BTreeSet<usize> = spec
        .attributes
        .iter()
        .enumerate()
        .filter_map(|(index, attribute)| (!names.insert(&attribute.name)).then_some(index))
        .collect();
    for problem in problems {
        let part = if bad_names.remove(&problem.index) { "name" } else { "path" };
        let field = format!("spec.attributes[{}].{part}", problem.index);
        reporter.report(
            field,
            reason::PROFILE_INVALID,
            format!("attribute {}: {}", problem.attribute, problem.message),
            &problem.remedy,
        );
    }
}
