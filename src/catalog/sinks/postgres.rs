//! Settings of a Postgres sink, with the Secrets that it refers to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::fields::Reporter;
use super::super::problem::reason;
use super::super::secrets::{self, Lookup};
use super::super::{Input, ResourceName};
use super::{checked, deletion_policy, provisioning};
use crate::api::{KollectDatabaseSinkSpec, TlsSpec};
use crate::sinks::database::postgres;
use crate::sinks::{SinkConfig, TlsSettings};

/// Keys of a Secret that hold a connection string, first come first.
const DSN_KEYS: [&str; 4] = ["dsn", "url", "connectionString", "DATABASE_URL"];

/// The field under which the backend reports a connection string that can't be used.
const DSN_FIELD: &str = "spec.postgres.databaseRef";

/// Keys of a Secret that hold certificate authorities, first come first.
const CA_KEYS: [&str; 3] = ["ca.crt", "tls.crt", "ca.pem"];

/// The most bytes of certificate authorities.
const MAX_CA: usize = 64 << 10;

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The settings; `None` when they can't be used.
pub(super) fn config(
    input: &Input,
    name: &ResourceName,
    spec: &KollectDatabaseSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<SinkConfig> {
    // All that is wrong is said at once.
    let tls = tls(input, name, spec.tls.as_ref(), reporter);
    let dsn = dsn(input, name, spec, reporter);
    let Some(postgres) = &spec.postgres else {
        reporter.report(
            "spec.postgres",
            reason::SPEC_INVALID,
            "a sink of type postgres needs this block",
            "add it, with databaseRef and table",
        );
        return None;
    };
    let settings = postgres::Settings {
        dsn: dsn?,
        schema: postgres.schema.clone(),
        table: postgres.table.clone(),
        provisioning: provisioning(spec.provisioning.as_ref()),
        tls: tls?,
        deletion_policy: spec.deletion_policy.map(deletion_policy),
        endpoints: input.options.endpoints.clone(),
    };
    let config = postgres::Config::new(settings);
    if let Err(error) = &config
        && error.field == DSN_FIELD
    {
        // What is wrong is in the Secret, not in the sink.
        let field = secrets::database_ref(spec).map_or(DSN_FIELD, |(field, _)| field);
        reporter.report(field, reason::SECRET_INVALID, &error.message, &error.remedy);
        return None;
    }
    let config = checked(config, reporter)?;
    if let Err(refused) = config.check_endpoints() {
        let (field, _) = secrets::database_ref(spec)?;
        reporter.report(field, reason::ENDPOINT_FORBIDDEN, refused.message, refused.remedy);
        return None;
    }
    Some(SinkConfig::Postgres(config))
}

/// The connection string; `None` when there is none here.
fn dsn(
    input: &Input,
    name: &ResourceName,
    spec: &KollectDatabaseSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<String> {
    let Some((field, reference)) = secrets::database_ref(spec) else {
        reporter.report(
            "spec.postgres.databaseRef",
            reason::SPEC_INVALID,
            "no Secret with the connection string is named",
            "name a Secret of the sink's namespace that has it under the key `dsn`",
        );
        return None;
    };
    let found = secrets::look_up(
        input,
        &name.namespace,
        field,
        reference,
        &DSN_KEYS,
        "the connection string",
        reporter,
    );
    let Lookup::Found(bytes) = found else { return None };
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(_) => {
            reporter.report(
                field,
                reason::SECRET_INVALID,
                format!("the connection string in Secret {}/{} is not text", name.namespace, reference.name),
                "write it as UTF-8, encoded in base64 once",
            );
            None
        }
    }
}

/// TLS settings with their references resolved; `None` when they can't be.
fn tls(
    input: &Input,
    name: &ResourceName,
    spec: Option<&TlsSpec>,
    reporter: &mut Reporter<'_>,
) -> Option<TlsSettings> {
    let Some(spec) = spec else { return Some(TlsSettings::default()) };
    let insecure_skip_verify = spec.insecure_skip_verify;
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
        (None, None) => return Some(TlsSettings { insecure_skip_verify, ca_pem: None }),
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
    } else if !pem.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) {
        (
            "there is no certificate in PEM form".to_owned(),
            "give the authorities as PEM: text that begins with `-----BEGIN CERTIFICATE-----`".to_owned(),
        )
    } else {
        return Some(TlsSettings { insecure_skip_verify, ca_pem: Some(pem) });
    };
    reporter.report(field, reason, message, remedy);
    None
}
