//! What is wrong with a resource.

use std::fmt;

use super::ResourceName;

/// The reasons of problems and states, as conditions carry them.
pub mod reason {
    /// The target names no profile.
    pub const MISSING_PROFILE_REF: &str = "MissingProfileRef";
    /// The profile that is named does not exist.
    pub const PROFILE_NOT_FOUND: &str = "ProfileNotFound";
    /// The profile does not compile.
    pub const PROFILE_INVALID: &str = "ProfileInvalid";
    /// A field has a value that can't be used.
    pub const SPEC_INVALID: &str = "SpecInvalid";
    /// Something can't be read, and it is not known what it is.
    pub const UNREADABLE: &str = "Unreadable";
    /// What the target needs to see can't be listed.
    pub const ACCESS_DENIED: &str = "AccessDenied";
    /// The resource is paused on purpose. A state, not a problem.
    pub const SUSPENDED: &str = "Suspended";
    /// The inventory has no target.
    pub const NO_TARGETS: &str = "NoTargets";
    /// A target that the inventory names does not exist.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// The inventory names no sink.
    pub const NO_SINKS: &str = "NoSinks";
    /// A sink that is named does not exist.
    pub const SINK_NOT_FOUND: &str = "SinkNotFound";
    /// A sink that is named has problems of its own.
    pub const SINK_INVALID: &str = "SinkInvalid";
    /// Two sinks of the inventory lead to the same place.
    pub const SAME_DESTINATION: &str = "SameDestination";
    /// A rollup names an attribute that no row of the inventory has.
    pub const ATTRIBUTE_NOT_FOUND: &str = "AttributeNotFound";
    /// The sink is not allowed here.
    pub const SINK_FORBIDDEN: &str = "SinkForbidden";
    /// The sink leads to an address that sinks may not connect to.
    pub const ENDPOINT_FORBIDDEN: &str = "EndpointForbidden";
    /// A Secret that the sink names does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// The Secret that the sink names has none of the expected keys, or nothing useful under them.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// A Secret that the sink names can't be read, or has not been read yet.
    pub const SECRET_UNREADABLE: &str = "SecretUnreadable";
    /// The sink names a Secret of another namespace, which no scope allows, or which the operator does not watch.
    pub const SECRET_FORBIDDEN: &str = "SecretForbidden";
    /// This version has no backend for the sink's type.
    pub const BACKEND_MISSING: &str = "BackendMissing";
    /// A cluster target refers to a profile of a namespace that a scope does not allow.
    pub const PROFILE_FORBIDDEN: &str = "ProfileForbidden";
    /// A scope does not allow the kind that a target collects.
    pub const SCOPE_GVK_DENIED: &str = "ScopeGVKDenied";
    /// A target names a namespace that a scope does not allow, or that the operator does not watch.
    pub const SCOPE_NAMESPACE_DENIED: &str = "ScopeNamespaceDenied";
    /// A scope does not allow that objects are exported whole.
    pub const SCOPE_RESOURCE_EXPORT_DENIED: &str = "ScopeResourceExportDenied";
    /// A scope does not allow a sink that an inventory names.
    pub const SCOPE_SINK_DENIED: &str = "ScopeSinkDenied";
    /// A scope does not allow the namespace of a sink that a cluster inventory names.
    pub const SINK_NAMESPACE_DENIED: &str = "SinkNamespaceDenied";
    /// The operator takes no resources of the cluster.
    pub const CLUSTER_KIND_DENIED: &str = "ClusterKindDenied";
    /// The namespace is being deleted, so what is in it stays as it is until it is gone. A state, not a problem.
    pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
    /// It is not known what scopes allow, so nothing is.
    pub const SCOPE_UNKNOWN: &str = "ScopeUnknown";

    /// What only a change of the resource itself cures, and what it is forbidden to ask for: admission refuses it.
    ///
    /// A reason that is not here may be cured by another resource, a Secret or a permission that is yet to come, so it is
    /// only warned of: resources that refer to each other can be created in any order.
    pub const REFUSED: &[&str] = &[
        MISSING_PROFILE_REF,
        PROFILE_INVALID,
        SPEC_INVALID,
        SINK_FORBIDDEN,
        ENDPOINT_FORBIDDEN,
        SECRET_FORBIDDEN,
        PROFILE_FORBIDDEN,
        SCOPE_GVK_DENIED,
        SCOPE_NAMESPACE_DENIED,
        SCOPE_RESOURCE_EXPORT_DENIED,
        SCOPE_SINK_DENIED,
        SINK_NAMESPACE_DENIED,
        CLUSTER_KIND_DENIED,
    ];
}

/// A custom resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceRef {
    /// Its kind, for example `KollectTarget`.
    pub kind: String,
    /// Its namespace and name.
    pub name: ResourceName,
}

impl ResourceRef {
    /// A resource of a kind.
    pub fn new(kind: &str, name: &ResourceName) -> Self {
        Self { kind: kind.to_owned(), name: name.clone() }
    }

    /// A target of a namespace or, where that is empty, of the cluster.
    pub fn target(name: &ResourceName) -> Self {
        Self::new(if name.is_of_cluster() { "KollectClusterTarget" } else { "KollectTarget" }, name)
    }

    /// An inventory of a namespace or, where that is empty, of the cluster.
    pub fn inventory(name: &ResourceName) -> Self {
        Self::new(if name.is_of_cluster() { "KollectClusterInventory" } else { "KollectInventory" }, name)
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Something that is wrong with a resource. Never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The resource that the problem is attached to.
    pub resource: ResourceRef,
    /// The field: `spec.attributes[1].path`.
    pub field: String,
    /// The CamelCase reason, one of [`reason`].
    pub reason: &'static str,
    /// What is wrong: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The other resource that is the cause, because it does not exist or has problems of its own: who has seen those
    /// need not be told of this one.
    pub cause: Option<ResourceRef>,
}

impl Problem {
    /// Whether admission refuses the resource for it. What another resource has brought about is not the author's fault.
    pub fn is_refused(&self) -> bool {
        self.cause.is_none() && reason::REFUSED.contains(&self.reason)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}; {}", self.resource, self.field, self.message, self.remedy)
    }
}
