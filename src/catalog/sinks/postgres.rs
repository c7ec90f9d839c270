//! Settings of a Postgres sink, with the Secrets that it refers to.

use std::time::Duration;

use super::super::fields::Reporter;
use super::super::problem::reason;
use super::super::secrets::{self, Lookup};
use super::super::{Input, ResourceName};
use super::options::OptionsReader;
use super::tls::tls;
use super::{checked, deletion_policy, naming_template, provisioning};
use crate::api::KollectDatabaseSinkSpec;
use crate::sinks::SinkConfig;
use crate::sinks::database::{TableNaming, postgres};

/// Keys of a Secret that hold a connection string, first come first.
const DSN_KEYS: [&str; 4] = ["dsn", "url", "connectionString", "DATABASE_URL"];

/// The field under which the backend reports a connection string that can't be used.
const DSN_FIELD: &str = "spec.postgres.databaseRef";

/// The longest time that one server may be given to answer: all of them have a minute.
const LONGEST_CONNECT_TIMEOUT: Duration = Duration::from_mins(1);

/// The longest time that one statement may be given: an exchange takes no longer.
const LONGEST_STATEMENT_TIMEOUT: Duration = Duration::from_mins(5);

/// The settings; `None` when they can't be used.
pub(super) fn config(
    input: &Input,
    name: &ResourceName,
    spec: &KollectDatabaseSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<SinkConfig> {
    // All that is wrong is said at once.
    let common = &spec.common;
    let tls = tls(input, name, common.tls.as_ref(), reporter);
    let options = options(spec, reporter);
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
    let table = match (&postgres.table, naming_template(common)) {
        (Some(table), _) => TableNaming::Named(table.clone()),
        (None, Some(template)) => TableNaming::Template(template.to_owned()),
        (None, None) => {
            reporter.report(
                "spec.postgres.table",
                reason::SPEC_INVALID,
                "no table is named",
                "name one, or say in spec.provisioning.naming.template how its name is made",
            );
            return None;
        }
    };
    let settings = postgres::Settings {
        dsn: dsn?,
        schema: postgres.schema.clone(),
        table,
        provisioning: provisioning(common.provisioning.as_ref()),
        tls: tls?,
        deletion_policy: common.deletion_policy.map(deletion_policy),
        endpoints: input.options.endpoints.clone(),
        options: options?,
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

/// `spec.options`; `None` when one of them can't be used.
fn options(spec: &KollectDatabaseSinkSpec, reporter: &mut Reporter<'_>) -> Option<postgres::Options> {
    let mut options = OptionsReader::new("postgres", &spec.common.options, reporter);
    let second = Duration::from_secs(1);
    let read = postgres::Options {
        application_name: options.name("applicationName"),
        connect_timeout: options.duration("connectTimeout", second..=LONGEST_CONNECT_TIMEOUT),
        statement_timeout: options.duration("statementTimeout", second..=LONGEST_STATEMENT_TIMEOUT),
    };
    options.finish().then_some(read)
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
