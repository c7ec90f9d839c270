//! Targets: which objects, with which profile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kollect_dataflows::data::{Gvk, TargetName};
use kollect_dataflows::extract::{
    AttributeSpec, LabelSelector, MAX_GROUPS, Profile, ProfileSpec, RuleProblem, RuleSpec, Selection,
    SelectionSpec,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fields::{self, Reporter};
use super::problem::{ResourceRef, reason};
use super::profiles::{self, CompiledProfiles};
use super::scopes::{Refusal, Scopes};
use super::sight::Selectors;
use super::{ActiveTarget, Input, Options, Plan, ResourceName, TargetPlan, rollups};
use crate::api::{self, ResourceRule, TargetFilter};

/// The kinds of targets.
pub(super) const KINDS: [&str; 2] = ["KollectTarget", "KollectClusterTarget"];

/// A target of a namespace or of the cluster.
struct Declared<'a> {
    name: &'a ResourceName,
    profile: ResourceName,
    filter: &'a TargetFilter,
    suspend: bool,
}

fn declared(input: &Input) -> impl Iterator<Item = Declared<'_>> {
    let targets = input.targets.iter().filter(|(_, target)| stays(&target.metadata));
    let targets = targets.map(|(name, target)| Declared {
        name,
        profile: ResourceName::new(&name.namespace, &target.spec.profile_ref),
        filter: &target.spec.filter,
        suspend: target.spec.suspend,
    });
    let of_cluster = input.cluster_targets.iter().filter(|(_, target)| stays(&target.metadata));
    let of_cluster = of_cluster.map(|(name, target)| Declared {
        name,
        profile: ResourceName::new(&target.spec.profile_ref.namespace, &target.spec.profile_ref.name),
        filter: &target.spec.filter,
        suspend: target.spec.suspend,
    });
    targets.chain(of_cluster)
}

/// Whether a resource is not being deleted.
pub(super) fn stays(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_none()
}

/// Compiled selections, and what is wrong with those that can't be compiled.
#[derive(Debug, Default)]
pub(super) struct CompiledSelections(BTreeMap<SelectionSpec, Compiled>);

type Compiled = Result<Arc<Selection>, Vec<RuleProblem>>;

/// Compiles what is new; what `self.0` does not get in the course of a plan is forgotten after it.
struct Compiler<'a> {
    known: &'a mut BTreeMap<SelectionSpec, Compiled>,
    used: BTreeMap<SelectionSpec, Compiled>,
}

impl Compiler<'_> {
    fn compile(&mut self, spec: &SelectionSpec) -> Compiled {
        let compiled = match (self.used.get(spec), self.known.get(spec)) {
            (Some(compiled), _) | (None, Some(compiled)) => compiled.clone(),
            (None, None) => Selection::compile(spec).map(Arc::new),
        };
        self.used.insert(spec.clone(), compiled.clone());
        compiled
    }
}

/// Plans every target.
pub(super) fn plan(
    input: &Input,
    profiles: &CompiledProfiles,
    selections: &mut CompiledSelections,
    plan: &mut Plan,
) {
    let mut compiler = Compiler { known: &mut selections.0, used: BTreeMap::new() };
    let mut scopes: BTreeMap<&str, Scopes<'_>> = BTreeMap::new();
    for target in declared(input) {
        let Declared { name, profile, filter, suspend } = &target;
        let scopes = scopes.entry(&name.namespace).or_insert_with(|| Scopes::of(input, &name.namespace));
        if let Some(profile) = plan.profiles.get_mut(profile) {
            profile.targets += 1;
        }
        rollups::measure(profile, name, plan);
        let usable = plan.profiles.get(profile).map(|profile| profile.usable);
        let resource = ResourceRef::target(name);
        let unusable = input.unusable(&resource);
        let mut reporter = Reporter { resource, problems: &mut plan.problems };
        let first = reporter.problems.len();
        check_profile(name, profile, usable, &mut reporter);
        let profile = profiles.get(profile);
        check_scopes(&target, profile.map(|(spec, _)| spec), scopes, &mut reporter);
        check_watched(filter, &input.options, &mut reporter);
        let parts = Parts::of(filter, profile.map(|(spec, _)| spec), &mut compiler, &mut reporter);
        if let (Some(why), Some(parts)) = (&input.namespaces_unknown, &parts)
            && parts.selectors.need_namespaces(filter)
        {
            reporter.report(
                "spec",
                reason::ACCESS_DENIED,
                format!("the target selects namespaces, which can't be listed: {why}"),
                "correct that (in a cluster: grant list and watch of namespaces), or name those to collect from in spec.includedNamespaces",
            );
        }
        let held = |reason, message: String| TargetPlan::Held { reason, message };
        let planned = match (unusable, plan.problems.get(first), parts, profile) {
            // A paused target says so, whatever else is wrong with it.
            _ if *suspend => held(
                reason::SUSPENDED,
                "spec.suspend is true: nothing is read, and its rows stay as they are".to_owned(),
            ),
            (Some(why), ..) => held(reason::SPEC_INVALID, why.message.clone()),
            (None, Some(problem), ..) => held(problem.reason, problem.message.clone()),
            (None, None, Some(parts), Some((spec, profile))) => {
                let mut active = parts.activate(filter, spec, profile, input);
                active.sight = scopes.narrow(active.sight);
                if !input.options.watch_namespaces.is_empty() {
                    active.sight = active.sight.within(&input.options.watch_namespaces);
                }
                TargetPlan::Active(active)
            }
            // Whatever is missing has been reported, so this does not happen; nothing is collected by mistake.
            (None, ..) => held(reason::PROFILE_INVALID, "the profile can't be used".to_owned()),
        };
        plan.targets.insert(TargetName::new(&name.namespace, &name.name), planned);
    }
    for (name, why) in input.unusable_of(&KINDS) {
        plan.targets.entry(TargetName::new(&name.namespace, &name.name)).or_insert_with(|| {
            TargetPlan::Held { reason: reason::SPEC_INVALID, message: why.message.clone() }
        });
    }
    selections.0 = compiler.used;
}

/// Says what of that which a target asks for scopes do not allow. What it would merely see is left out without a word.
fn check_scopes(
    target: &Declared<'_>,
    profile: Option<&ProfileSpec>,
    scopes: &Scopes<'_>,
    reporter: &mut Reporter<'_>,
) {
    let mut refuse = |field: String, refusal: Option<Refusal>| {
        if let Some(Refusal { reason, message, remedy }) = refusal {
            reporter.report(field, reason, message, remedy);
        }
    };
    const PROFILE: &str = "spec.profileRef";
    refuse("spec".to_owned(), scopes.unknown());
    refuse(PROFILE.to_owned(), scopes.profile_namespace(&target.profile.namespace));
    if let Some(profile) = profile {
        refuse(PROFILE.to_owned(), scopes.kind(&profile.gvk));
        if profile.export.is_some() {
            refuse(PROFILE.to_owned(), scopes.resource_export());
        }
    }
    for (index, namespace) in target.filter.included_namespaces.iter().enumerate() {
        refuse(format!("spec.includedNamespaces[{index}]"), scopes.namespace(namespace));
    }
}

/// Says which of the namespaces that a target names the operator does not watch.
fn check_watched(filter: &TargetFilter, options: &Options, reporter: &mut Reporter<'_>) {
    for (index, namespace) in filter.included_namespaces.iter().enumerate() {
        if !options.watches(namespace) {
            reporter.report(
                format!("spec.includedNamespaces[{index}]"),
                reason::SCOPE_NAMESPACE_DENIED,
                format!("this operator does not watch namespace {namespace}"),
                "leave it out, or have it added to the operator's --watch-namespaces",
            );
        }
    }
}

/// Says what is wrong with the reference to the profile.
fn check_profile(
    target: &ResourceName,
    profile: &ResourceName,
    usable: Option<bool>,
    reporter: &mut Reporter<'_>,
) {
    const FIELD: &str = "spec.profileRef";
    if profile.name.is_empty() {
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
            match target.is_of_cluster() {
                true => "create it, or name one that exists",
                false => "create it, or name one that exists in the target's namespace",
            },
        ),
    }
}

/// What a target selects.
struct Parts {
    spec: SelectionSpec,
    selection: Arc<Selection>,
    selectors: Selectors,
    active_rules: Option<usize>,
}

impl Parts {
    /// `None` when a selector or rule can't be used; all of these are reported.
    fn of(
        spec: &TargetFilter,
        profile: Option<&ProfileSpec>,
        compiler: &mut Compiler<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Option<Self> {
        let labels = fields::selector("spec.labelSelector", spec.label_selector.as_ref(), reporter);
        let namespaces =
            fields::selector("spec.namespaceSelector", spec.namespace_selector.as_ref(), reporter);
        let excluded = fields::selector(
            "spec.namespaceExcludeSelector",
            spec.namespace_exclude_selector.as_ref(),
            reporter,
        );
        let mut selectors = Selectors::default();
        let rules: Vec<Option<RuleSpec>> = spec
            .resource_rules
            .iter()
            .enumerate()
            .map(|(index, rule)| self::rule(index, rule, &mut selectors, reporter))
            .collect();
        (selectors.namespaces, selectors.excluded) = (namespaces.ok()?, excluded.ok()?);
        let labels = labels.ok()?.unwrap_or_default();
        let rules: Vec<RuleSpec> = rules.into_iter().collect::<Option<_>>()?;
        if rules.is_empty() {
            let rules = vec![RuleSpec { index: 0, labels, condition: None, group: selectors.group(None)? }];
            let spec = SelectionSpec { names: spec.names.iter().cloned().collect(), rules };
            let selection = compiler.compile(&spec).ok()?;
            return Some(Self { spec, selection, selectors, active_rules: None });
        }
        // Those for other kinds are compiled too: a mistake in them is a mistake.
        let mut all = SelectionSpec { names: BTreeSet::new(), rules };
        compiler.compile(&all).map_err(|problems| report(problems, reporter)).ok()?;
        all.rules.retain(|rule| {
            let gvk = spec.resource_rules.get(rule.index).map(|rule| &rule.gvk);
            let gvk = gvk.map(|gvk| Gvk::new(&gvk.group, &gvk.version, &gvk.kind));
            profile.is_some_and(|profile| gvk.as_ref() == Some(&profile.gvk))
        });
        let (selection, active_rules) = (compiler.compile(&all).ok()?, Some(all.rules.len()));
        Some(Self { spec: all, selection, selectors, active_rules })
    }

    fn activate(
        self,
        target: &TargetFilter,
        spec: &ProfileSpec,
        profile: &Arc<Profile>,
        input: &Input,
    ) -> ActiveTarget {
        let sight = self.selectors.sight(target, input);
        ActiveTarget {
            fingerprint: fingerprint(spec, &self.spec),
            gate_setting: self.gate_setting(),
            matched: sight.selected().map(|names| names.map(str::to_owned).collect()),
            sight,
            profile: Arc::clone(profile),
            gvk: Arc::clone(profile.gvk()),
            selection: self.selection,
            active_rules: self.active_rules,
        }
    }

    /// A hash of what the groups of rules mean.
    fn gate_setting(&self) -> u64 {
        let groups = self.selectors.groups.iter();
        let groups: Vec<_> = groups.map(|group| group.as_ref().map(canonical)).collect();
        hash(&json!(groups))
    }
}

/// Reports rules that can't be compiled.
fn report(problems: Vec<RuleProblem>, reporter: &mut Reporter<'_>) {
    for RuleProblem { index, message, remedy } in problems {
        let field = format!("spec.resourceRules[{index}].matchPolicy");
        reporter.report(field, reason::SPEC_INVALID, message, remedy);
    }
}

/// A rule's own part of the selection; `None` when it can't be used.
fn rule(
    index: usize,
    rule: &ResourceRule,
    selectors: &mut Selectors,
    reporter: &mut Reporter<'_>,
) -> Option<RuleSpec> {
    let field = |name: &str| format!("spec.resourceRules[{index}]{name}");
    let labels = api::LabelSelector {
        match_labels: rule.match_labels.clone(),
        match_expressions: rule.match_expressions.clone(),
    };
    let labels = fields::selector(&field(""), Some(&labels), reporter);
    let namespaces =
        fields::selector(&field(".namespaceSelector"), rule.namespace_selector.as_ref(), reporter);
    let group = selectors.group(namespaces.ok()?);
    if group.is_none() {
        reporter.report(
            field(".namespaceSelector"),
            reason::SPEC_INVALID,
            format!("the rules have more than {MAX_GROUPS} different namespace selectors"),
            "select namespaces by fewer different selectors, or split the target",
        );
    }
    // The prefix that attributes have is taken here too.
    let condition = rule.match_policy.as_deref().map(|policy| {
        let policy = policy.trim_start();
        policy.strip_prefix("cel:").unwrap_or(policy).to_owned()
    });
    Some(RuleSpec { index, labels: labels.ok()?.unwrap_or_default(), condition, group: group? })
}

/// A hash of everything that decides what a row holds and whether an object gives one, namespaces apart. The order in
/// which attributes and conditions are written does not matter.
fn fingerprint(profile: &ProfileSpec, selection: &SelectionSpec) -> u64 {
    let ProfileSpec { gvk, attributes, allow_secrets, export } = profile;
    let mut attributes: Vec<_> = attributes
        .iter()
        .map(|attribute| {
            let AttributeSpec { name, path, value_type, optional, default } = attribute;
            // A default of null is not the same as none.
            let default = default.as_ref().map(|value| [value]);
            json!([name, path, value_type.map(|value_type| format!("{value_type:?}")), optional, default])
        })
        .collect();
    attributes.sort_by_cached_key(ToString::to_string);
    let rules: Vec<_> = selection
        .rules
        .iter()
        .map(|rule| json!([rule.index, canonical(&rule.labels), rule.condition, rule.group]))
        .collect();
    // All that an export has counts, the keys of the operator included. The text never leaves the process.
    let export = export.as_ref().map(|export| format!("{export:?}"));
    hash(&json!([gvk.to_string(), attributes, allow_secrets, export, rules, selection.names]))
}

/// A selector without what makes no difference: the order of its conditions, and conditions said twice.
fn canonical(labels: &LabelSelector) -> Value {
    let mut requirements = labels.match_expressions.clone();
    for requirement in &mut requirements {
        requirement.values.sort();
        requirement.values.dedup();
    }
    requirements.sort();
    requirements.dedup();
    json!([labels.match_labels, requirements])
}

fn hash(value: &Value) -> u64 {
    let hash = Sha256::digest(value.to_string());
    hash.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
