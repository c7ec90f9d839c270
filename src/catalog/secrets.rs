//! Secrets that sinks refer to.

use std::collections::BTreeSet;

#[cfg(feature = "postgres")]
use super::fields::Reporter;
#[cfg(feature = "postgres")]
use super::problem::reason;
use super::scopes::Scopes;
use super::{Input, ResourceName};
use crate::api::{KollectDatabaseSinkSpec, SecretRef};

/// The Secrets that a plan for this input needs; no other ever has to be read.
///
/// Those of another namespace than their sink's are among them where scopes allow it; else they are refused unread.
pub fn wanted_secrets(input: &Input) -> BTreeSet<ResourceName> {
    if input.options.output.is_some() {
        return BTreeSet::new();
    }
    input
        .database_sinks
        .iter()
        .flat_map(|(name, sink)| {
            let authority = sink.spec.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref());
            [database_ref(&sink.spec).map(|(_, reference)| reference), authority]
                .into_iter()
                .flatten()
                .filter(|reference| is_allowed(input, reference, &name.namespace))
                .map(|reference| name_of(reference, &name.namespace))
        })
        .collect()
}

/// The reference to the connection string, and its field.
pub(super) fn database_ref(spec: &KollectDatabaseSinkSpec) -> Option<(&'static str, &SecretRef)> {
    let own = spec.postgres.as_ref().and_then(|postgres| postgres.database_ref.as_ref());
    own.map(|reference| ("spec.postgres.databaseRef", reference))
        .or_else(|| spec.secret_ref.as_ref().map(|reference| ("spec.secretRef", reference)))
}

/// The Secret to which a sink of a namespace refers.
fn name_of(reference: &SecretRef, namespace: &str) -> ResourceName {
    ResourceName::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name)
}

/// Whether a sink of a namespace may refer to a Secret.
fn is_allowed(input: &Input, reference: &SecretRef, namespace: &str) -> bool {
    let other = reference.namespace.as_deref().filter(|other| *other != namespace);
    other.is_none_or(|other| {
        input.options.watches(other) && Scopes::of(input, namespace).allow_secrets_of(other)
    })
}

/// What became of looking up a value in a Secret.
#[cfg(feature = "postgres")]
pub(super) enum Lookup<'a> {
    /// It is there.
    Found(&'a [u8]),
    /// The Secret is not in the input, and that is no problem.
    Elsewhere,
    /// It is missing; that has been reported.
    Missing,
}

/// Looks up the first of the keys that the Secret has. What is missing is reported under `field`.
#[cfg(feature = "postgres")]
pub(super) fn look_up<'a>(
    input: &'a Input,
    namespace: &str,
    field: &str,
    reference: &SecretRef,
    keys: &[&str],
    what: &str,
    reporter: &mut Reporter<'_>,
) -> Lookup<'a> {
    let name = name_of(reference, namespace);
    if !is_allowed(input, reference, namespace) {
        let watched = input.options.watches(&name.namespace);
        let remedy = match watched {
            false => format!("put a Secret into namespace {namespace} and leave the field out"),
            true => format!(
                "put a Secret into namespace {namespace} and leave the field out, or have every KollectScope of that namespace allow {} in spec.allowedSecretNamespaces",
                name.namespace
            ),
        };
        let which = if watched {
            "another namespace than the sink"
        } else {
            "a namespace that this operator does not watch"
        };
        let message = format!("Secret {name} is in {which}");
        reporter.report(format!("{field}.namespace"), reason::SECRET_FORBIDDEN, message, remedy);
        return Lookup::Missing;
    }
    let Some(secret) = input.secrets.get(&name) else {
        if input.options.secrets_elsewhere {
            return Lookup::Elsewhere;
        }
        if let Some(why) = input.secrets_unreadable.get(&name) {
            let message = format!("Secret {name} can't be read: {why}");
            let remedy = "see that the operator may `get` it; it is read again by itself";
            reporter.report(field, reason::SECRET_UNREADABLE, message, remedy);
            return Lookup::Missing;
        }
        reporter.report(
            field,
            reason::SECRET_NOT_FOUND,
            format!("there is no Secret {name}"),
            format!("create it with {what} under the key `{}`", keys[0]),
        );
        return Lookup::Missing;
    };
    let given = keys.iter().find_map(|key| secret.0.get(*key).map(|value| (key, value)));
    let (message, remedy) = match given {
        Some((_, value)) if !value.trim_ascii().is_empty() => return Lookup::Found(value),
        Some((key, _)) => {
            (format!("Secret {name} has nothing under the key `{key}`"), format!("put {what} there"))
        }
        None => (
            format!("Secret {name} has none of the keys {}", keys.join(", ")),
            format!("add {what} under the key `{}`", keys[0]),
        ),
    };
    reporter.report(field, reason::SECRET_INVALID, message, remedy);
    Lookup::Missing
}
