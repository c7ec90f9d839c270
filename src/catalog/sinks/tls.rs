//! TLS settings of a sink, with the Secrets that they refer to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::fields::Reporter;
use super::super::problem::reason;
use super::super::secrets::{self, Lookup};
use super::super::{Input, ResourceName};
use crate::api::TlsSpec;
use crate::sinks::{ClientCertificate, TlsSettings};

/// Keys of a Secret that hold certificate authorities, first come first.
const CA_KEYS: [&str; 3] = ["ca.crt", "tls.crt", "ca.pem"];

/// The most bytes of certificate authorities.
const MAX_CA: usize = 64 << 10;

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// How the PEM of a private key of any kind begins, and ends its first line.
const KEY_BEGIN: &[u8] = b"PRIVATE KEY-----";

/// TLS settings with their references resolved; `None` when they can't be.
pub(super) fn tls(
    input: &Input,
    name: &ResourceName,
    spec: Option<&TlsSpec>,
    reporter: &mut Reporter<'_>,
) -> Option<TlsSettings> {
    let Some(spec) = spec else { return Some(TlsSettings::default()) };
    let insecure_skip_verify = spec.insecure_skip_verify;
    // All that is wrong is said at once.
    let client = client(input, name, spec, reporter);
    if insecure_skip_verify && (spec.ca_bundle.is_some() || spec.ca_secret_ref.is_some()) {
        // The backend says so too, but not before there is a Secret.
        reporter.report(
            "spec.tls",
            reason::SPEC_INVALID,
            "an authority is given, and certificates are not to be checked",
            "drop insecureSkipVerify, or the authority",
        );
        return None;
    }
    let (field, reason, pem) = match (&spec.ca_bundle, &spec.ca_secret_ref) {
        (None, None) => return Some(TlsSettings { insecure_skip_verify, ca_pem: None, client: client? }),
        (Some(_), Some(_)) => {
            reporter.report(
                "spec.tls",
                reason::SPEC_INVALID,
                "caBundle and caSecretRef exclude each other",
                "give one of them",
            );
            return None;
        }
        (Some(bundle), None) => {
            const FIELD: &str = "spec.tls.caBundle";
            match BASE64.decode(bundle.split_ascii_whitespace().collect::<String>()) {
                Ok(pem) => (FIELD, reason::SPEC_INVALID, pem),
                Err(_) => {
                    reporter.report(
                        FIELD,
                        reason::SPEC_INVALID,
                        "the certificate authorities are not in base64",
                        "encode the PEM file: `base64 -w0 ca.pem`",
                    );
                    return None;
                }
            }
        }
        (None, Some(reference)) => {
            const FIELD: &str = "spec.tls.caSecretRef";
            let what = "the certificate authorities as PEM";
            let found = secrets::look_up(input, &name.namespace, FIELD, reference, &CA_KEYS, what, reporter);
            let Lookup::Found(pem) = found else { return None };
            (FIELD, reason::SECRET_INVALID, pem.to_vec())
        }
    };
    let (message, remedy) = if pem.len() > MAX_CA {
        (
            format!("the certificate authorities have {} bytes", pem.len()),
            format!("give at most {MAX_CA} bytes: only the authorities that sign the server's certificate"),
        )
    } else if !holds(&pem, PEM_BEGIN) {
        (
            "there is no certificate in PEM form".to_owned(),
            "give the authorities as PEM: text that begins with `-----BEGIN CERTIFICATE-----`".to_owned(),
        )
    } else {
        return Some(TlsSettings { insecure_skip_verify, ca_pem: Some(pem), client: client? });
    };
    reporter.report(field, reason, message, remedy);
    None
}

/// What is shown to a server that asks for a certificate; `None` when it can't be used.
fn client(
    input: &Input,
    name: &ResourceName,
    spec: &TlsSpec,
    reporter: &mut Reporter<'_>,
) -> Option<Option<ClientCertificate>> {
    const FIELD: &str = "spec.tls.clientCertSecretRef";
    let Some(reference) = &spec.client_cert_secret_ref else { return Some(None) };
    let mut look_up = |key: &str, what: &str, begin: &[u8]| {
        let found = secrets::look_up(input, &name.namespace, FIELD, reference, &[key], what, reporter);
        let Lookup::Found(pem) = found else { return None };
        if !holds(pem, begin) {
            let message = format!(
                "there is no {what} in PEM form under `{key}` of Secret {}/{}",
                reference.namespace.as_deref().unwrap_or(&name.namespace),
                reference.name
            );
            let remedy = "put it there as PEM: text that begins with `-----BEGIN`";
            reporter.report(FIELD, reason::SECRET_INVALID, message, remedy);
            return None;
        }
        Some(pem.to_vec())
    };
    let certificate_pem = look_up("tls.crt", "certificate", PEM_BEGIN)?;
    let key_pem = look_up("tls.key", "private key", KEY_BEGIN)?;
    Some(Some(ClientCertificate { certificate_pem, key_pem }))
}

fn holds(pem: &[u8], begin: &[u8]) -> bool {
    pem.windows(begin.len()).any(|window| window == begin)
}
