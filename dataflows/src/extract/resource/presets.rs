//! Named lists of what is noise.

/// A named list of places that are left out, on top of the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Leaves what a manifest would say: all that the API server and controllers fill in goes, the status included.
    Minimal,
    /// What Argo CD notes on the objects that it manages, and what changes in an Application each time it is looked at.
    ArgoCd,
    /// What Flux notes on objects to have them reconciled, and what changes in its own each time they are.
    Flux,
    /// Times and observed generations in the status, which change without anything having changed.
    StatusNoise,
}

const MINIMAL: [&str; 17] = [
    "$.metadata.creationTimestamp",
    "$.metadata.deletionTimestamp",
    "$.metadata.deletionGracePeriodSeconds",
    "$.metadata.generateName",
    "$.metadata.uid",
    "$.metadata.selfLink",
    "$.metadata.ownerReferences",
    "$.metadata.finalizers",
    "$.metadata.annotations['deployment.kubernetes.io/revision']",
    "$.metadata.annotations['deprecated.daemonset.template.generation']",
    "$.metadata.annotations['control-plane.alpha.kubernetes.io/leader']",
    "$.metadata.annotations['pv.kubernetes.io/bind-completed']",
    "$.metadata.annotations['pv.kubernetes.io/bound-by-controller']",
    "$.metadata.labels['pod-template-hash']",
    "$.metadata.labels['controller-revision-hash']",
    "$.metadata.labels['pod-template-generation']",
    "$.status",
];

const ARGO_CD: [&str; 13] = [
    "$.metadata.annotations['argocd.argoproj.io/tracking-id']",
    "$.metadata.annotations['argocd.argoproj.io/installation-id']",
    "$.metadata.annotations['argocd.argoproj.io/refresh']",
    "$.metadata.annotations['argocd.argoproj.io/hydrate']",
    "$.metadata.labels['argocd.argoproj.io/instance']",
    "$.operation",
    "$.status.operationState",
    "$.status.reconciledAt",
    "$.status.observedAt",
    "$.status.sync.comparedTo",
    "$.status.history",
    "$.status.health.lastTransitionTime",
    "$.status.conditions[*].lastTransitionTime",
];

const FLUX: [&str; 14] = [
    "$.metadata.annotations['reconcile.fluxcd.io/requestedAt']",
    "$.metadata.annotations['reconcile.fluxcd.io/forceAt']",
    "$.metadata.annotations['reconcile.fluxcd.io/resetAt']",
    "$.status.lastHandledReconcileAt",
    "$.status.lastHandledForceAt",
    "$.status.lastHandledResetAt",
    "$.status.lastAttemptedGeneration",
    "$.status.lastAttemptedConfigDigest",
    "$.status.observedGeneration",
    "$.status.artifact.lastUpdateTime",
    "$.status.history[*].firstDeployed",
    "$.status.history[*].lastDeployed",
    "$.status.conditions[*].lastTransitionTime",
    "$.status.conditions[*].observedGeneration",
];

/// Conditions stand in the status itself, or in its parts: the parents of a route, the listeners of a gateway.
const STATUS_NOISE: [&str; 16] = [
    "$.status.observedGeneration",
    "$.status.conditions[*].lastTransitionTime",
    "$.status.conditions[*].lastHeartbeatTime",
    "$.status.conditions[*].lastProbeTime",
    "$.status.conditions[*].lastUpdateTime",
    "$.status.conditions[*].observedGeneration",
    "$.status.*[*].conditions[*].lastTransitionTime",
    "$.status.*[*].conditions[*].lastHeartbeatTime",
    "$.status.*[*].conditions[*].lastProbeTime",
    "$.status.*[*].conditions[*].lastUpdateTime",
    "$.status.*[*].conditions[*].observedGeneration",
    "$.status.*.observedGeneration",
    "$.status.lastUpdateTime",
    "$.status.lastUpdated",
    "$.status.lastHeartbeatTime",
    "$.status.lastProbeTime",
];

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Minimal, Self::ArgoCd, Self::Flux, Self::StatusNoise];

    /// The places, as JSONPaths.
    pub(super) fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Minimal => &MINIMAL,
            Self::ArgoCd => &ARGO_CD,
            Self::Flux => &FLUX,
            Self::StatusNoise => &STATUS_NOISE,
        }
    }
}
