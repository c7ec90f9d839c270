//! Settings of a SQLite sink.

use super::super::Input;
use super::super::fields::Reporter;
use super::{checked, deletion_policy, local_allowed, provisioning};
use crate::api::KollectDatabaseSinkSpec;
use crate::sinks::SinkConfig;
use crate::sinks::database::sqlite;

/// The table of a sink that names none.
const DEFAULT_TABLE: &str = "inventory";

/// The settings; `None` when they can't be used.
pub(super) fn config(
    input: &Input,
    spec: &KollectDatabaseSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<SinkConfig> {
    local_allowed(input, reporter).then_some(())?;
    let table = spec.sqlite.as_ref().and_then(|sqlite| sqlite.table.as_deref());
    let settings = sqlite::Settings {
        endpoint: spec.endpoint.clone().unwrap_or_default(),
        table: table.unwrap_or(DEFAULT_TABLE).to_owned(),
        provisioning: provisioning(spec.provisioning.as_ref()),
        deletion_policy: spec.deletion_policy.map(deletion_policy),
    };
    checked(sqlite::Config::new(settings), reporter).map(SinkConfig::Sqlite)
}
