//! Profiles, compiled once a spec.

use std::collections::BTreeMap;
use std::sync::Arc;

use kollect_dataflows::data::Gvk;
use kollect_dataflows::extract::{
    self, ALLOW_SECRET_EXTRACTION, AttributeSpec, CompileProblem, Profile, ProfileSpec, ResourceSpec,
    ValueType,
};

use super::fields::Reporter;
use super::problem::{ResourceRef, reason};
use super::{Input, Plan, ProfilePlan, ResourceName, rollups};
use crate::api::{
    AttributeType, Export, ExportInclude, ExportMode, KollectProfile, KollectProfileSpec, PrunePreset,
    says_true,
};

/// The annotation of a profile that lets it export Secrets as resources.
const ALLOW_FULL_EXPORT: &str = "kollect.dev/allow-full-resource-export";

/// The kind of the resources.
pub(super) const KIND: &str = "KollectProfile";

/// Compiled profiles by name.
#[derive(Debug, Default)]
pub(super) struct CompiledProfiles(BTreeMap<ResourceName, Compiled>);

#[derive(Debug)]
struct Compiled {
    spec: ProfileSpec,
    result: Result<Arc<Profile>, Vec<CompileProblem>>,
}

impl CompiledProfiles {
    /// Compiles what is new, forgets what is gone, and says what is wrong with the rest.
    pub(super) fn update(&mut self, input: &Input, plan: &mut Plan) {
        self.0.retain(|name, _| input.profiles.contains_key(name));
        for (name, resource) in &input.profiles {
            let spec = spec(resource, &input.options.scrub_keys);
            if self.0.get(name).is_none_or(|compiled| compiled.spec != spec) {
                let result = Profile::compile(&spec).map(Arc::new);
                self.0.insert(name.clone(), Compiled { spec, result });
            }
            let problems = self.problems(name);
            let empty = resource.spec.attributes.is_empty() && exported(&resource.spec).is_none();
            let mut reporter =
                Reporter { resource: ResourceRef::new(KIND, name), problems: &mut plan.problems };
            if empty {
                reporter.report(
                    "spec.attributes",
                    reason::PROFILE_INVALID,
                    "the profile has no attributes",
                    "give at least one attribute, or export the object itself with spec.export.mode Resource",
                );
            }
            report(problems, &mut reporter);
            let measurable = rollups::metrics(name, &resource.spec, &mut plan.metrics, &mut reporter);
            let usable = problems.is_empty()
                && !empty
                && measurable
                && input.unusable(&ResourceRef::new(KIND, name)).is_none();
            plan.profiles.insert(name.clone(), ProfilePlan { usable, targets: 0 });
        }
        for (name, _) in input.unusable_of(&[KIND]) {
            plan.profiles.entry(name.clone()).or_default();
        }
    }

    /// The compiled profile and what it is compiled from; `None` when there is none of that name, or it does not compile.
    pub(super) fn get(&self, name: &ResourceName) -> Option<(&ProfileSpec, &Arc<Profile>)> {
        let compiled = self.0.get(name)?;
        Some((&compiled.spec, compiled.result.as_ref().ok()?))
    }

    fn problems(&self, name: &ResourceName) -> &[CompileProblem] {
        match self.0.get(name).map(|compiled| &compiled.result) {
            Some(Err(problems)) => problems,
            _ => &[],
        }
    }
}

/// The profile as it is compiled: a function of its spec, its annotations, and the keys that the operator never shows.
fn spec(profile: &KollectProfile, scrub_keys: &[String]) -> ProfileSpec {
    let spec = &profile.spec;
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
        allow_secrets: says_true(&profile.metadata, ALLOW_SECRET_EXTRACTION),
        export: exported(spec).map(|export| ResourceSpec {
            scrub_keys: scrub_keys.to_vec(),
            allow_secret: says_true(&profile.metadata, ALLOW_FULL_EXPORT),
            ..resource(export)
        }),
    }
}

/// What a profile exports as a resource, if it does.
fn exported(spec: &KollectProfileSpec) -> Option<&Export> {
    spec.export.as_ref().filter(|export| export.mode == ExportMode::Resource)
}

fn resource(export: &Export) -> ResourceSpec {
    let prune = export.prune.clone().unwrap_or_default();
    ResourceSpec {
        name: export.as_.clone(),
        include: match export.include {
            ExportInclude::MetadataOnly => extract::Include::MetadataOnly,
            ExportInclude::SpecOnly => extract::Include::SpecOnly,
            ExportInclude::StatusOnly => extract::Include::StatusOnly,
            ExportInclude::SpecAndStatus => extract::Include::SpecAndStatus,
            ExportInclude::All => extract::Include::All,
        },
        dedupe_identity: export.dedupe_identity,
        prune: extract::PruneSpec {
            defaults: prune.defaults,
            json_pointers: prune.json_pointers,
            json_paths: prune.json_paths,
            scrub_keys: prune.scrub_keys,
            cel: prune.cel,
            preset: prune.preset.map(|preset| match preset {
                PrunePreset::Minimal => extract::Preset::Minimal,
                PrunePreset::ArgoCd => extract::Preset::ArgoCd,
                PrunePreset::Flux => extract::Preset::Flux,
                PrunePreset::StatusNoise => extract::Preset::StatusNoise,
            }),
        },
        ..ResourceSpec::default()
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
    for CompileProblem { field, attribute, message, remedy } in problems {
        let of_attribute = field.starts_with("attributes[");
        let message =
            if of_attribute { format!("attribute {attribute}: {message}") } else { message.clone() };
        reporter.report(format!("spec.{field}"), reason::PROFILE_INVALID, message, remedy);
    }
}
