//! Settings of a SQLite sink.

use std::time::Duration;

use super::super::Input;
use super::super::fields::Reporter;
use super::options::OptionsReader;
use super::{checked, deletion_policy, local_allowed, naming_template, provisioning};
use crate::api::KollectDatabaseSinkSpec;
use crate::sinks::SinkConfig;
use crate::sinks::database::{TableNaming, sqlite};

/// The table of a sink that names none.
const DEFAULT_TABLE: &str = "inventory";

/// The longest time to wait for another writer.
const LONGEST_BUSY_TIMEOUT: Duration = Duration::from_mins(1);

/// The settings; `None` when they can't be used.
pub(super) fn config(
    input: &Input,
    spec: &KollectDatabaseSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<SinkConfig> {
    let common = &spec.common;
    let mut options = OptionsReader::new("sqlite", &common.options, reporter);
    let busy_timeout = options.duration("busyTimeout", Duration::ZERO..=LONGEST_BUSY_TIMEOUT);
    let fine = options.finish();
    (local_allowed(input, reporter) && fine).then_some(())?;
    let table = spec.sqlite.as_ref().and_then(|sqlite| sqlite.table.as_deref());
    let settings = sqlite::Settings {
        endpoint: common.endpoint.clone().unwrap_or_default(),
        table: match (table, naming_template(common)) {
            (None, Some(template)) => TableNaming::Template(template.to_owned()),
            (table, _) => table.unwrap_or(DEFAULT_TABLE).into(),
        },
        provisioning: provisioning(common.provisioning.as_ref()),
        deletion_policy: common.deletion_policy.map(deletion_policy),
        busy_timeout,
    };
    checked(sqlite::Config::new(settings), reporter).map(SinkConfig::Sqlite)
}
