//! Scopes: what the pipelines of a namespace, or those of the cluster, may do.
//!
//! Several scopes apply together: all of them must allow. What is asked for expressly and not allowed is a problem of the resource
//! that asks, and stops what it asks for; what a target would merely see by selecting is left out. A scope that can't be read
//! may say anything, so nothing is allowed until it can.

use std::time::Duration;

use kollect_dataflows::data::Gvk;
use kollect_dataflows::extract::Gates;

use super::{Input, Problem, ResourceName, ResourceRef, Sight, SinkFamily, SinkName, reason};
use crate::api::{self, GvkPattern};

/// The kinds of scopes.
pub(super) const KIND: &str = "KollectScope";
const CLUSTER_KIND: &str = "KollectClusterScope";

/// What scopes say is wrong: the reason, what is not allowed, and the remedy.
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// The scopes that limit the resources of one namespace, or those of the cluster.
pub(super) struct Scopes<'a> {
    scopes: Vec<Scope<'a>>,
    /// Why what they allow is not known.
    unknown: Option<String>,
}

struct Scope<'a> {
    resource: ResourceRef,
    limits: &'a api::Limits,
    /// The namespaces whose profiles and sinks may be referred to; empty: all.
    static_refs: &'a [String],
}

impl<'a> Scopes<'a> {
    /// The scopes of a namespace; those of the cluster, where it is empty.
    pub(super) fn of(input: &'a Input, namespace: &'a str) -> Self {
        let kind = if namespace.is_empty() { CLUSTER_KIND } else { KIND };
        let unusable = |name: &ResourceName| {
            let why = input.unusable(&ResourceRef::new(kind, name))?;
            Some(format!("{kind} {name} can't be used: {}", why.message))
        };
        let mut scopes = Vec::new();
        let unknown = input.scopes_unknown.as_ref().or_else(|| input.scopes_unknown_in.get(namespace));
        let mut unknown = unknown.map(|why| format!("scopes can't be read: {why}"));
        if namespace.is_empty() {
            for (name, scope) in &input.cluster_scopes {
                let spec = &scope.spec;
                let static_refs = &spec.allowed_static_ref_namespaces;
                scopes.push(Scope {
                    resource: ResourceRef::new(kind, name),
                    limits: &spec.limits,
                    static_refs,
                });
            }
        } else {
            for (name, scope) in Input::of_namespace(&input.scopes, namespace) {
                let resource = ResourceRef::new(kind, name);
                scopes.push(Scope { resource, limits: &scope.spec.limits, static_refs: &[] });
            }
        }
        let names =
            input.unusable.keys().filter(|resource| resource.kind == kind).map(|resource| &resource.name);
        unknown = unknown.or(names.filter(|name| name.namespace == namespace).find_map(unusable));
        Self { scopes, unknown }
    }

    /// Why nothing is allowed for now.
    pub(super) fn unknown(&self) -> Option<Refusal> {
        self.unknown.as_ref().map(|message| Refusal {
            reason: reason::SCOPE_UNKNOWN,
            message: message.clone(),
            remedy: "correct that; until then everything stays as it is".to_owned(),
        })
    }

    /// The first scope of which this does not hold.
    fn first_without(&self, allows: impl Fn(&Scope<'_>) -> bool) -> Option<&ResourceRef> {
        self.scopes.iter().find(|scope| !allows(scope)).map(|scope| &scope.resource)
    }

    fn refusal(
        &self,
        reason: &'static str,
        what: &str,
        allows: impl Fn(&Scope<'_>) -> bool,
        field: &str,
    ) -> Option<Refusal> {
        let scope = self.first_without(allows)?;
        Some(Refusal {
            reason,
            message: format!("{scope} does not allow {what}"),
            remedy: format!("do without it, or have it allowed in {field} of the scope"),
        })
    }

    /// Why objects of a kind may not be collected.
    pub(super) fn kind(&self, gvk: &Gvk) -> Option<Refusal> {
        let matches = |pattern: &GvkPattern| pattern.matches(&gvk.group, &gvk.version, &gvk.kind);
        let allows = |scope: &Scope<'_>| {
            let allowed = &scope.limits.allowed_gvks;
            allowed.is_empty() || allowed.iter().any(matches)
        };
        let what = format!("that {gvk} is collected");
        self.refusal(reason::SCOPE_GVK_DENIED, &what, allows, "spec.allowedGVKs")
    }

    /// Why objects may not be exported whole.
    pub(super) fn resource_export(&self) -> Option<Refusal> {
        self.refusal(
            reason::SCOPE_RESOURCE_EXPORT_DENIED,
            "that objects are exported whole",
            |scope| scope.limits.allow_resource_export != Some(false),
            "spec.allowResourceExport",
        )
    }

    /// Why objects of a namespace that is named may not be collected.
    pub(super) fn namespace(&self, name: &str) -> Option<Refusal> {
        let what = format!("that objects of namespace {name} are collected");
        let allows = |scope: &Scope<'_>| allows_namespace(scope.limits, name);
        let field = "spec.allowedNamespaces and spec.deniedNamespaces";
        self.refusal(reason::SCOPE_NAMESPACE_DENIED, &what, allows, field)
    }

    /// Why a profile of a namespace may not be used.
    pub(super) fn profile_namespace(&self, name: &str) -> Option<Refusal> {
        self.static_ref(reason::PROFILE_FORBIDDEN, &format!("profiles of namespace {name}"), name)
    }

    /// Why a sink may not be exported to.
    pub(super) fn sink(&self, sink: &SinkName) -> Option<Refusal> {
        let SinkName { family, name } = sink;
        let what = format!("sinks of namespace {}", name.namespace);
        if let Some(refusal) = self.static_ref(reason::SINK_NAMESPACE_DENIED, &what, &name.namespace) {
            return Some(refusal);
        }
        let (field, names): (_, fn(&api::Limits) -> &Vec<String>) = match family {
            SinkFamily::Database => ("spec.databaseSinkRefs", |limits| &limits.database_sink_refs),
            SinkFamily::Snapshot => ("spec.snapshotSinkRefs", |limits| &limits.snapshot_sink_refs),
            SinkFamily::Event => ("spec.eventSinkRefs", |limits| &limits.event_sink_refs),
        };
        let allows = |scope: &Scope<'_>| {
            let names = names(scope.limits);
            names.is_empty() || names.contains(&name.name)
        };
        self.refusal(reason::SCOPE_SINK_DENIED, &format!("exports to sink {name}"), allows, field)
    }

    fn static_ref(&self, reason: &'static str, what: &str, namespace: &str) -> Option<Refusal> {
        let allows = |scope: &Scope<'_>| {
            scope.static_refs.is_empty() || scope.static_refs.iter().any(|allowed| allowed == namespace)
        };
        self.refusal(reason, what, allows, "spec.allowedStaticRefNamespaces")
    }

    /// Whether sinks may refer to Secrets of a namespace that is not theirs: there is a scope, and all of them name it.
    pub(super) fn allow_secrets_of(&self, namespace: &str) -> bool {
        let names = |scope: &Scope<'_>| {
            scope.limits.allowed_secret_namespaces.iter().any(|allowed| allowed == namespace)
        };
        self.unknown.is_none() && !self.scopes.is_empty() && self.first_without(names).is_none()
    }

    /// An interval, raised to what scopes allow. Zero, which stands for never, stays.
    pub(super) fn raise(&self, interval: Duration) -> Duration {
        let floors =
            self.scopes.iter().filter_map(|scope| scope.limits.min_export_interval.as_ref()?.parse().ok());
        if interval.is_zero() { interval } else { floors.fold(interval, Duration::max) }
    }

    /// What is left of what a target sees: (… ∩ allowed) − denied, for each scope.
    pub(super) fn narrow(&self, mut sight: Sight) -> Sight {
        for Scope { limits, .. } in &self.scopes {
            if !limits.allowed_namespaces.is_empty() {
                let everywhere = sight.everywhere.take();
                let gates = |name: &String| sight.namespaces.get(name).copied().or(everywhere);
                let allowed = limits.allowed_namespaces.iter();
                sight.namespaces = allowed.filter_map(|name| Some((name.clone(), gates(name)?))).collect();
            }
            for name in &limits.denied_namespaces {
                match sight.everywhere {
                    Some(_) => sight.namespaces.insert(name.clone(), Gates::NONE),
                    None => sight.namespaces.remove(name),
                };
            }
        }
        sight
    }
}

fn allows_namespace(limits: &api::Limits, name: &str) -> bool {
    let has = |names: &[String]| names.iter().any(|other| other == name);
    (limits.allowed_namespaces.is_empty() || has(&limits.allowed_namespaces))
        && !has(&limits.denied_namespaces)
}

/// Says what is wrong with scopes themselves.
pub(super) fn check(input: &Input, problems: &mut Vec<Problem>) {
    let scopes = input.scopes.iter().map(|(name, scope)| (KIND, name, &scope.spec.limits));
    let of_cluster =
        input.cluster_scopes.iter().map(|(name, scope)| (CLUSTER_KIND, name, &scope.spec.limits));
    for (kind, name, limits) in scopes.chain(of_cluster) {
        let mut reporter = super::fields::Reporter { resource: ResourceRef::new(kind, name), problems };
        super::fields::interval("spec.minExportInterval", limits.min_export_interval.as_ref(), &mut reporter);
    }
}
