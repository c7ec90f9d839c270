//! Previews of sinks: what their bindings bring to the destination, made beside the operator's loop from a row of an inventory.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::SinkPreview;
use crate::catalog::{Plan, ResourceName, SinkName};
use crate::latest;
use crate::runtime::Sampler;
use crate::sinks::{BindingName, SinkConfig};

/// So often a row is looked for where there was none.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the graph may take to give one.
const PATIENCE: Duration = Duration::from_secs(30);
/// As much as a preview shows of one thing, in bytes.
const LONGEST: usize = 16 << 10;

/// What is to be previewed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    config: SinkConfig,
    /// An inventory that is exported to the sink, and the name of its binding.
    exported: Option<(ResourceName, BindingName)>,
}

impl Wanted {
    /// The preview of a sink; `None` when the sink can't be used. Of several inventories the first by name counts.
    pub(super) fn of(sink: &SinkName, plan: &Plan) -> Option<Self> {
        let exported = plan.inventories.iter().find_map(|(name, inventory)| {
            let binding = inventory.bindings.iter().find(|binding| binding.sink == *sink)?;
            Some((name.clone(), binding.name.clone()))
        });
        Some(Self { config: plan.sinks.get(sink)?.config.clone()?, exported })
    }
}

/// Makes previews in a task of its own.
pub(super) struct Previews {
    wanted: watch::Sender<BTreeMap<SinkName, Wanted>>,
    made: watch::Receiver<BTreeMap<SinkName, SinkPreview>>,
}

impl Previews {
    /// Starts the task; it ends with `stop`.
    pub(super) fn start(sampler: Sampler, stop: &CancellationToken) -> Self {
        let (wanted, receiver) = watch::channel(BTreeMap::new());
        let (sender, made) = watch::channel(BTreeMap::new());
        let (stop, task) = (stop.clone(), run(sampler, receiver, sender));
        tokio::spawn(async move { stop.run_until_cancelled(task).await });
        Self { wanted, made }
    }

    /// Says which previews are wanted from now on.
    pub(super) fn want(&self, wanted: BTreeMap<SinkName, Wanted>) {
        latest::replace(&self.wanted, wanted);
    }

    /// The previews that there are.
    pub(super) fn made(&self) -> BTreeMap<SinkName, SinkPreview> {
        self.made.borrow().clone()
    }

    /// Tells when there are others.
    pub(super) fn changes(&self) -> watch::Receiver<BTreeMap<SinkName, SinkPreview>> {
        self.made.clone()
    }
}

/// A preview that was made, and of what.
struct Made {
    wanted: Wanted,
    preview: SinkPreview,
    /// Whether it shows a row.
    complete: bool,
}

async fn run(
    sampler: Sampler,
    mut wanted: watch::Receiver<BTreeMap<SinkName, Wanted>>,
    sender: watch::Sender<BTreeMap<SinkName, SinkPreview>>,
) {
    let mut made: BTreeMap<SinkName, Made> = BTreeMap::new();
    loop {
        let all = wanted.borrow_and_update().clone();
        made.retain(|name, made| all.get(name) == Some(&made.wanted));
        for (name, wanted) in all {
            if made.get(&name).is_none_or(|made| !made.complete) {
                let (preview, complete) = preview(&wanted, &sampler).await;
                made.insert(name, Made { wanted, preview, complete });
            }
        }
        let now: BTreeMap<_, _> =
            made.iter().map(|(name, made)| (name.clone(), made.preview.clone())).collect();
        latest::replace(&sender, now);
        let again = made.values().any(|made| !made.complete);
        let pause = async {
            if again {
                tokio::time::sleep(PAUSE).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

/// A preview, and whether it shows a row.
async fn preview(wanted: &Wanted, sampler: &Sampler) -> (SinkPreview, bool) {
    let row = match &wanted.exported {
        Some((inventory, _)) => {
            let row = tokio::time::timeout(PATIENCE, sampler.first_row(inventory)).await;
            row.ok().flatten()
        }
        None => None,
    };
    let binding = wanted.exported.as_ref().map(|(_, binding)| binding);
    let preview = wanted.config.preview(binding, row.as_ref());
    let shown = SinkPreview {
        inventory: wanted.exported.as_ref().map(|(inventory, _)| inventory.name.clone()),
        path: preview.path,
        sample: preview.sample.map(cut),
        ddl: preview.ddl.map(cut),
    };
    (shown, row.is_some())
}

/// The beginning of a long text.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str("\n…");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sample_is_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut("ä".repeat(LONGEST));
        assert!(long.len() <= LONGEST + 4 && long.ends_with('…'));
    }
}
