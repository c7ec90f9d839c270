//! Profiles, compiled once a spec.

use std::collections::BTreeMap;
use std::sync::Arc;

use kollect_dataflows::data::Gvk;
use kollect_dataflows::extract::{
    ALLOW_SECRET_EXTRACTION, AttributeSpec, CompileProblem, Profile, ProfileSpec, ValueType,
};

use super::fields::Reporter;
use super::problem::{ResourceRef, reason};
use super::{Input, Plan, ProfilePlan, ResourceName};
use crate::api::{AttributeType, KollectProfile, KollectProfileSpec};

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
                Arc::ptr_eq(&compiled.resource, resource)
                    || compiled.resource.spec == resource.spec
                        && allows_secrets(&compiled.resource) == allows_secrets(resource)
            });
            if !known {
                let result = Profile::compile(&spec(resource)).map(Arc::new);
                self.0.insert(name.clone(), Compiled { resource: Arc::clone(resource), result });
            }
            let problems = self.problems(name);
            let empty = resource.spec.attributes.is_empty();
            let usable = problems.is_empty() && !empty;
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
            report(problems, &mut reporter);
            plan.profiles.insert(name.clone(), ProfilePlan { usable, targets: 0 });
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

/// Whether the resource is annotated as one that may read the values of Secrets.
fn allows_secrets(resource: &KollectProfile) -> bool {
    let annotations = resource.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(ALLOW_SECRET_EXTRACTION)).is_some_and(|value| value == "true")
}

fn spec(resource: &KollectProfile) -> ProfileSpec {
    let spec = &resource.spec;
    let attributes = spec.attributes.iter().map(|attribute| AttributeSpec {
        name: attribute.name.clone(),
        path: attribute.path.clone(),
        value_type: attribute.type_.map(value_type),
        optional: attribute.optional,
        default: attribute.default.clone(),
    });
    let gvk = &spec.target_gvk;
    ProfileSpec {
        gvk: Gvk::new(&gvk.group, &gvk.version, &gvk.kind),
        attributes: attributes.collect(),
        allow_secrets: allows_secrets(resource),
    }
}

fn value_type(name: AttributeType) -> ValueType {
    match name {
        AttributeType::String => ValueType::String,
        AttributeType::Int => ValueType::Int,
        AttributeType::Float => ValueType::Float,
        AttributeType::Bool => ValueType::Bool,
        AttributeType::List => ValueType::List,
        AttributeType::Map => ValueType::Map,
        AttributeType::Timestamp => ValueType::Timestamp,
        AttributeType::Quantity => ValueType::Quantity,
    }
}

fn report(problems: &[CompileProblem], reporter: &mut Reporter<'_>) {
    for problem in problems {
        reporter.report(
            format!("spec.attributes[{}].{}", problem.index, problem.field),
            reason::PROFILE_INVALID,
            format!("attribute {}: {}", problem.attribute, problem.message),
            &problem.remedy,
        );
    }
}
