//! Tests of delivery, against a destination that lives in memory and can be made to fail at any point. (That real
//! destinations behave as this one does is what the sinks' own tests show, on real servers.) Time is virtual.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod delivery;
mod documents;
mod faults;
mod inbox;
mod model;
mod server;
mod window;
mod world;

use std::sync::Arc;
use std::time::Duration;

use kollect_dataflows::data::{Gvk, Row, RowParts, TargetName};

use super::Options;

/// Long enough for every test; virtual.
const LIMIT: Duration = Duration::from_secs(3600);

const OPTIONS: Options = Options {
    min_interval: Duration::ZERO,
    coalesce_window: Duration::ZERO,
    drain_timeout: Duration::from_secs(10),
};

fn target(name: &str) -> TargetName {
    TargetName::new("team", name)
}

fn row(target_name: &str, name: &str, content: &str) -> Row {
    Row::new(RowParts {
        target: &Arc::new(target(target_name)),
        gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
        namespace: "shop",
        name,
        uid: name,
        attributes: &format!("{{\"v\":\"{content}\"}}"),
        incomplete: &[],
    })
}
