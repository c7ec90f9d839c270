//! Sinks: from sink resources to settings of backends, one file a backend.

mod local;
// Options are read by databases; files have none.
#[cfg_attr(not(any(feature = "postgres", feature = "sqlite")), allow(dead_code, unused_imports))]
mod options;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "postgres")]
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use super::fields::{self, Reporter};
use super::problem::reason;
use super::{Input, Plan, ResourceName, SinkFamily, SinkName, SinkPlan};
use crate::api::{
    self, DatabaseSinkType, EventSinkType, KollectDatabaseSinkSpec, ProvisioningMode, ProvisioningSpec,
    SinkCommon, SnapshotSinkType,
};
use crate::sinks::{ConfigError, DeletionPolicy, Provisioning, SinkConfig};

/// A sink that can be used.
pub(super) struct UsableSink {
    pub(super) config: SinkConfig,
    pub(super) cluster: String,
    pub(super) interval: Option<Duration>,
}

/// All sink resources; `None` for those that can't be used.
pub(super) type Sinks = BTreeMap<SinkName, Option<UsableSink>>;

/// Plans every sink resource.
pub(super) fn plan(input: &Input, plan: &mut Plan) -> Sinks {
    let mut sinks = Sinks::new();
    if input.options.output.is_some() {
        return sinks;
    }
    for (name, sink) in &input.database_sinks {
        let spec = &sink.spec;
        let table = match spec.type_ {
            DatabaseSinkType::Postgres => spec.postgres.as_ref().and_then(|postgres| postgres.table.as_ref()),
            DatabaseSinkType::Sqlite => spec.sqlite.as_ref().and_then(|sqlite| sqlite.table.as_ref()),
        };
        add(
            SinkName { family: SinkFamily::Database, name: name.clone() },
            (&spec.common, table.is_some()),
            |reporter| database(input, name, spec, reporter),
            plan,
            &mut sinks,
        );
    }
    for (name, sink) in &input.snapshot_sinks {
        let spec = &sink.spec;
        add(
            SinkName { family: SinkFamily::Snapshot, name: name.clone() },
            (&spec.common, false),
            |reporter| match spec.type_ {
                SnapshotSinkType::Local => local::config(input, spec, reporter),
            },
            plan,
            &mut sinks,
        );
    }
    for (name, sink) in &input.event_sinks {
        let spec = &sink.spec;
        add(
            SinkName { family: SinkFamily::Event, name: name.clone() },
            (&spec.common, false),
            |reporter| {
                let what = match spec.type_ {
                    EventSinkType::Kafka => "Kafka",
                    EventSinkType::Nats => "NATS",
                };
                let message = format!("this version of Kollect can't write to {what}");
                let remedy = "export to a database or to files for now";
                reporter.report("spec.type", reason::BACKEND_MISSING, message, remedy);
                None
            },
            plan,
            &mut sinks,
        );
    }
    for family in SinkFamily::ALL {
        for (name, _) in input.unusable_of(&[family.kind()]) {
            let sink = SinkName { family, name: name.clone() };
            let none =
                SinkPlan { destination: None, config: None, connection_test: false, tls_insecure: false };
            let planned = plan.sinks.entry(sink.clone()).or_insert(none);
            (planned.destination, planned.config) = (None, None);
            sinks.insert(sink, None);
        }
    }
    sinks
}

fn add(
    name: SinkName,
    (common, named): (&SinkCommon, bool),
    configure: impl FnOnce(&mut Reporter<'_>) -> Option<SinkConfig>,
    plan: &mut Plan,
    sinks: &mut Sinks,
) {
    let mut reporter = Reporter { resource: name.resource(), problems: &mut plan.problems };
    // A bad interval does not keep rows from being exported.
    let interval =
        fields::interval("spec.exportMinInterval", common.export_min_interval.as_ref(), &mut reporter);
    let config = configure(&mut reporter);
    without_effect(name.family, common, named, &mut reporter);
    let tls_insecure = common.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify);
    let connection_test = common.connection_test;
    let destination = config.as_ref().map(SinkConfig::describe);
    plan.sinks.insert(
        name.clone(),
        SinkPlan { destination, config: config.clone(), connection_test, tls_insecure },
    );
    let usable = config.map(|config| UsableSink { config, cluster: common.cluster.clone(), interval });
    sinks.insert(name, usable);
}

/// Says which fields have no effect, although the type knows them: nobody should count on them. `named` says that the settings of
/// the type name what is created.
fn without_effect(family: SinkFamily, common: &SinkCommon, named: bool, reporter: &mut Reporter<'_>) {
    let mut say = |field: &str, message: &str, remedy: &str| {
        reporter.report(field, reason::NO_EFFECT, message, remedy);
    };
    if family != SinkFamily::Snapshot {
        for (field, given) in [
            ("spec.pathTemplate", common.path_template.is_some()),
            ("spec.serialization", common.serialization.is_some()),
            ("spec.layout", common.layout.is_some()),
        ] {
            if given {
                say(field, "the field is about files, and has no effect here", "remove it");
            }
        }
    }
    const TEMPLATE: &str = "spec.provisioning.naming.template";
    if naming_template(common).is_some() && (named || family == SinkFamily::Snapshot) {
        let message = "the field has no effect: the settings of the type say already what things are called";
        say(TEMPLATE, message, "remove it, or the name that stands there");
    }
}

/// How what is created at the destination is called, if a template says it.
fn naming_template(common: &SinkCommon) -> Option<&str> {
    common.provisioning.as_ref()?.naming.as_ref()?.template.as_deref()
}

/// Settings of a database; `None` when it can't be used.
fn database(
    input: &Input,
    name: &ResourceName,
    spec: &KollectDatabaseSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<SinkConfig> {
    match spec.type_ {
        #[cfg(feature = "postgres")]
        DatabaseSinkType::Postgres => postgres::config(input, name, spec, reporter),
        #[cfg(feature = "sqlite")]
        DatabaseSinkType::Sqlite => sqlite::config(input, spec, reporter),
        #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
        _ => {
            let _ = (input, name);
            reporter.report(
                "spec.type",
                reason::SINK_FORBIDDEN,
                "this build of Kollect has no such backend",
                "use a build with the backend's cargo feature",
            );
            None
        }
    }
}

fn checked<C>(config: Result<C, ConfigError>, reporter: &mut Reporter<'_>) -> Option<C> {
    config
        .map_err(|error| reporter.report(error.field, reason::SPEC_INVALID, error.message, error.remedy))
        .ok()
}

fn local_allowed(input: &Input, reporter: &mut Reporter<'_>) -> bool {
    if !input.options.allow_local_sinks {
        reporter.report(
            "spec.type",
            reason::SINK_FORBIDDEN,
            "sinks that write to the operator's own machine are not allowed",
            "use another type, or have the operator started with --allow-local-sinks",
        );
    }
    input.options.allow_local_sinks
}

fn provisioning(spec: Option<&ProvisioningSpec>) -> Provisioning {
    match spec.and_then(|spec| spec.mode).unwrap_or_default() {
        ProvisioningMode::Ensure => Provisioning::Ensure,
        ProvisioningMode::Existing => Provisioning::Existing,
    }
}

fn deletion_policy(policy: api::DeletionPolicy) -> DeletionPolicy {
    match policy {
        api::DeletionPolicy::Delete => DeletionPolicy::Delete,
        api::DeletionPolicy::Retain => DeletionPolicy::Retain,
    }
}
