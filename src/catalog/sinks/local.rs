//! Settings of a local sink.

use super::super::Input;
use super::super::fields::Reporter;
use super::super::problem::reason;
use super::{checked, deletion_policy, local_allowed, provisioning};
use crate::api::{self, KollectSnapshotSinkSpec};
use crate::sinks::SinkConfig;
use crate::sinks::snapshot::layout::{Format, GroupInPath, LayoutMode, LayoutSettings};
use crate::sinks::snapshot::local;

/// The settings; `None` when they can't be used.
pub(super) fn config(
    input: &Input,
    spec: &KollectSnapshotSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<SinkConfig> {
    local_allowed(input, reporter).then_some(())?;
    let format = spec.serialization.as_ref().and_then(|serialization| serialization.format);
    let settings = local::Settings {
        endpoint: spec.endpoint.clone().unwrap_or_default(),
        path_template: spec.path_template.clone(),
        format: match format.unwrap_or_default() {
            api::FileFormat::Yaml => Format::Yaml,
            api::FileFormat::Json => Format::Json,
        },
        layout: spec.layout.as_ref().map(layout).unwrap_or_default(),
        provisioning: provisioning(spec.provisioning.as_ref()),
        deletion_policy: spec.deletion_policy.map(deletion_policy),
    };
    let config = checked(local::Config::new(settings), reporter)?;
    if input.options.several_clusters && !config.layout().tells_clusters_apart() {
        reporter.report(
            "spec.pathTemplate",
            reason::SPEC_INVALID,
            "{cluster} is missing, so several clusters would share a file".to_owned(),
            "put it in, as in `inventory/{cluster}/{namespace}/{name}{extension}`".to_owned(),
        );
        return None;
    }
    Some(SinkConfig::Local(config))
}

fn layout(spec: &api::LayoutSpec) -> LayoutSettings {
    let filename = spec.filename.clone().unwrap_or_default();
    LayoutSettings {
        mode: match spec.mode {
            api::LayoutMode::Document => LayoutMode::Document,
            api::LayoutMode::PerResource => LayoutMode::PerResource,
        },
        path_template: spec.path_template.clone(),
        group_in_path: match filename.group_in_path.unwrap_or_default() {
            api::GroupInPath::Auto => GroupInPath::Auto,
            api::GroupInPath::Always => GroupInPath::Always,
            api::GroupInPath::Never => GroupInPath::Never,
        },
        lowercase_kind: filename.lowercase_kind,
        max_segment_length: filename.max_segment_length.and_then(|length| u32::try_from(length).ok()),
    }
}
