//! The ValidatingWebhookConfiguration: what is sent to the webhook, and what becomes of it when nobody answers.
//!
//! Only resources of our own group are ever sent, and of these only new objects and changed specs: the API server evaluates
//! `matchConditions` itself, so finalizers, labels, status and deletion don't even need a webhook that runs. No namespace
//! that the operator is for is excluded: nothing that a cluster or this operator needs to start is of our group, and an exclusion
//! would be a way around the check.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{FailurePolicy, Limits, Location, Options, PATH};
use crate::api;

/// The label that says who keeps a resource, and what it says of ours.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// See [`MANAGED_BY`].
pub(super) const MANAGER: &str = "kollect-operator";

/// The field manager of what is applied.
const FIELD_MANAGER: &str = "kollect";

/// The name under which API servers report what the webhook refuses.
const WEBHOOK: &str = "validate.kollect.dev";

/// So many seconds an API server waits. Verdicts take milliseconds, and a user waits too.
const TIMEOUT: u32 = 5;

/// What is sent: see [`super::review::to_judge`], which says the same.
const CONDITIONS: [(&str, &str); 2] = [
    ("is-not-being-deleted", "!has(object.metadata.deletionTimestamp)"),
    (
        "is-new-or-has-another-spec",
        "request.operation != 'UPDATE' || !has(object.spec) || !has(oldObject.spec) || object.spec != oldObject.spec",
    ),
];

/// The configuration, but for the authorities.
pub(super) struct Configuration {
    name: String,
    client: Value,
    resources: Vec<String>,
    failure_policy: &'static str,
    limits: Limits,
    /// The version that was applied last.
    applied: Option<String>,
}

impl Configuration {
    pub(super) fn new(options: &Options) -> Self {
        let client = match &options.location {
            Location::Service { namespace, name, port } => {
                json!({ "service": { "namespace": namespace, "name": name, "port": port, "path": PATH } })
            }
            Location::Url { url, .. } => json!({ "url": url }),
        };
        Self {
            name: options.name.clone(),
            client,
            resources: api::crds().into_iter().map(|crd| crd.spec.names.plural).collect(),
            failure_policy: match options.failure_policy {
                FailurePolicy::Ignore => "Ignore",
                FailurePolicy::Fail => "Fail",
            },
            limits: options.limits.clone(),
            applied: None,
        }
    }

    /// Applies it as a whole, so that edits of others are undone. `authorities` are PEM; without them, those that
    /// somebody else has put there stay. Whether something changed since the last time.
    pub(super) async fn apply(
        &mut self,
        client: &Client,
        authorities: Option<&[u8]>,
    ) -> Result<bool, kube::Error> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&self.name, &parameters, &Patch::Apply(&self.body(authorities))).await?;
        let version = applied.metadata.resource_version;
        let changed = self.applied != version;
        self.applied = version;
        Ok(changed)
    }

    pub(super) fn body(&self, authorities: Option<&[u8]>) -> Value {
        use base64::Engine as _;
        let mut client = self.client.clone();
        if let Some(authorities) = authorities {
            client["caBundle"] = base64::engine::general_purpose::STANDARD.encode(authorities).into();
        }
        let conditions =
            CONDITIONS.map(|(name, expression)| json!({ "name": name, "expression": expression }));
        let Limits { namespaces, namespaced_only } = &self.limits;
        let mut selector = json!({});
        if !namespaces.is_empty() {
            // The API server sets this label, and nobody can change it.
            let key = "kubernetes.io/metadata.name";
            selector =
                json!({ "matchExpressions": [{ "key": key, "operator": "In", "values": namespaces }] });
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": self.name, "labels": { MANAGED_BY: MANAGER } },
            "webhooks": [{
                "name": WEBHOOK,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": TIMEOUT,
                "failurePolicy": self.failure_policy,
                "matchPolicy": "Equivalent",
                "rules": [{
                    "apiGroups": [api::GROUP],
                    "apiVersions": [api::VERSION],
                    "operations": ["CREATE", "UPDATE"],
                    // Without the status: that is the operator's own.
                    "resources": self.resources,
                    "scope": if *namespaced_only { "Namespaced" } else { "*" },
                }],
                "namespaceSelector": selector,
                "matchConditions": conditions,
                "clientConfig": client,
            }],
        })
    }
}
