//! Settings of a local sink.

use super::super::Input;
use super::super::fields::Reporter;
use super::super::problem::reason;
use super::options::OptionsReader;
use super::{checked, deletion_policy, local_allowed, provisioning};
use crate::api::{self, KollectSnapshotSinkSpec, SinkCommon};
use crate::sinks::SinkConfig;
use crate::sinks::snapshot::layout::{Format, GroupInPath, LayoutMode, LayoutSettings};
use crate::sinks::snapshot::local;

/// The settings; `None` when they can't be used.
pub(super) fn config(
    input: &Input,
    spec: &KollectSnapshotSinkSpec,
    reporter: &mut Reporter<'_>,
) -> Option<SinkConfig> {
    let common = &spec.common;
    let fine = OptionsReader::new("local", &common.options, reporter).finish();
    let format = format(common, reporter);
    let layout = layout(common, reporter);
    (local_allowed(input, reporter) && fine).then_some(())?;
    let settings = local::Settings {
        endpoint: common.endpoint.clone().unwrap_or_default(),
        path_template: common.path_template.clone(),
        format: format?,
        layout: layout?,
        provisioning: provisioning(common.provisioning.as_ref()),
        deletion_policy: common.deletion_policy.map(deletion_policy),
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

/// Says that a value is one of another type's, or of a later version's.
fn not_yet(field: &str, what: &str, remedy: &str, reporter: &mut Reporter<'_>) {
    let message = format!("this version of Kollect can't {what} for a sink of type local");
    reporter.report(field, reason::SPEC_INVALID, message, remedy);
}

/// The format; `None` when files of this type can't have it.
fn format(common: &SinkCommon, reporter: &mut Reporter<'_>) -> Option<Format> {
    const FIELD: &str = "spec.serialization.format";
    let spec = common.serialization.clone().unwrap_or_default();
    let compression = spec.compression.unwrap_or_default();
    if compression != api::Compression::None {
        let remedy = "leave the field out, or give `none`";
        not_yet("spec.serialization.compression", "compress files", remedy, reporter);
    }
    let format = match spec.format.unwrap_or_default() {
        api::FileFormat::Yaml => Some(Format::Yaml),
        api::FileFormat::Json => Some(Format::Json),
        other @ (api::FileFormat::Ndjson | api::FileFormat::Csv | api::FileFormat::Parquet) => {
            not_yet(FIELD, &format!("write {}", other.as_str()), "give `yaml` or `json`", reporter);
            None
        }
    };
    format.filter(|_| compression == api::Compression::None)
}

/// How files are laid out; `None` when they can't be laid out so.
fn layout(common: &SinkCommon, reporter: &mut Reporter<'_>) -> Option<LayoutSettings> {
    let Some(spec) = &common.layout else { return Some(LayoutSettings::default()) };
    let before = reporter.problems.len();
    if spec.content != api::LayoutContent::Item {
        let remedy = "leave the field out, or give `item`";
        not_yet("spec.layout.content", "write parts of rows into files", remedy, reporter);
    }
    if spec.index.as_ref().is_some_and(|index| index.enabled == Some(true)) {
        not_yet("spec.layout.index", "write an index", "remove it", reporter);
    }
    if spec.mode == api::LayoutMode::Split {
        let remedy = "give `perResource`, which is the same without an index";
        not_yet("spec.layout.mode", "write an index", remedy, reporter);
    }
    if reporter.problems.len() > before {
        return None;
    }
    let filename = spec.filename.clone().unwrap_or_default();
    Some(LayoutSettings {
        mode: match spec.mode {
            api::LayoutMode::Document => LayoutMode::Document,
            api::LayoutMode::PerResource | api::LayoutMode::Split => LayoutMode::PerResource,
        },
        path_template: spec.path_template.clone(),
        group_in_path: match filename.group_in_path.unwrap_or_default() {
            api::GroupInPath::Auto => GroupInPath::Auto,
            api::GroupInPath::Always => GroupInPath::Always,
            api::GroupInPath::Never => GroupInPath::Never,
        },
        lowercase_kind: filename.lowercase_kind,
        max_segment_length: filename.max_segment_length.and_then(|length| u32::try_from(length).ok()),
    })
}
