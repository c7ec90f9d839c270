//! What bindings left at destinations, and its removal.
//!
//! A binding that ends leaves what it exported. That stays while it may be wanted again or by another binding of its
//! inventory; when nobody refers to it any more, the deletion policy of its sink decides. What is to go is removed in a task of its own,
//! tried until it is done: a destination that is away for a while, or for good, keeps nobody waiting.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::{BindingKey, BindingPlan, Leftover, Plan};
use crate::sinks::{DeletionPolicy, Term};

/// The first pause before a removal is tried again; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// The reason and message of a removal that has neither failed nor come to its end in time.
const TOO_SLOW: (&str, &str) = ("ExportUnavailable", "the destination has not answered in time");

/// What becomes of what a binding left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftoverState {
    /// It stays for the time being.
    Kept,
    /// It is being removed.
    Removing,
    /// It could not be removed so far.
    Failing {
        /// A reason as in conditions.
        reason: &'static str,
        /// What went wrong.
        message: String,
        /// Waiting is of no use: somebody has to act, or it has taken too long.
        hopeless: bool,
    },
    /// It stays for good, and nobody knows where: there is no such sink any more.
    Lost,
    /// It is gone, or another binding has taken it over, or it is to stay for good.
    Settled,
}

/// Something that a binding left, and that may be wanted again.
struct Kept {
    key: BindingKey,
    spec: BindingPlan,
}

/// Something that is being removed.
struct Removal {
    key: BindingKey,
    spec: BindingPlan,
    stop: CancellationToken,
    ended: CancellationToken,
    state: watch::Receiver<Attempt>,
    since: Instant,
}

#[derive(Clone, Debug)]
enum Attempt {
    UnderWay,
    Failed { reason: &'static str, message: String, terminal: bool },
    Done,
}

/// A binding that may still be delivering.
struct Ending {
    key: BindingKey,
    spec: BindingPlan,
    ended: CancellationToken,
}

/// See the module's description.
pub(super) struct Leftovers {
    term: Term,
    /// After so long without success nobody waits for a removal any more; it is still tried.
    patience: Duration,
    kept: Vec<Kept>,
    removals: Vec<Removal>,
    ending: Vec<Ending>,
    /// What can't be got at, and since when.
    out_of_reach: BTreeMap<BindingKey, (Leftover, Instant)>,
    /// What the last plan lists and need not be thought of any more.
    settled: Vec<BindingKey>,
    tasks: TaskTracker,
    /// Fires when no removal is to be tried again.
    over: CancellationToken,
    changed: Arc<watch::Sender<u64>>,
}

impl Leftovers {
    pub(super) fn new(term: Term, patience: Duration, changed: Arc<watch::Sender<u64>>) -> Self {
        Self {
            term,
            patience,
            kept: Vec::new(),
            removals: Vec::new(),
            ending: Vec::new(),
            out_of_reach: BTreeMap::new(),
            settled: Vec::new(),
            tasks: TaskTracker::new(),
            over: CancellationToken::new(),
            changed,
        }
    }

    /// Takes in what a binding leaves that has been told to end; `ended` fires when it has.
    pub(super) fn keep(&mut self, key: BindingKey, spec: BindingPlan, ended: CancellationToken) {
        self.ending.retain(|ending| !ending.ended.is_cancelled());
        self.ending.push(Ending { key: key.clone(), spec: spec.clone(), ended });
        self.kept.push(Kept { key, spec });
    }

    /// Decides what becomes of everything, now that this is the plan.
    pub(super) fn apply(&mut self, plan: &Plan) {
        self.adopt(plan);
        for Kept { key, spec } in std::mem::take(&mut self.kept) {
            match verdict(&key, &spec, plan) {
                Verdict::Keep => self.kept.push(Kept { key, spec }),
                Verdict::Leave => self.settled.push(key),
                Verdict::Remove => self.remove(key, spec),
            }
        }
        // Whoever asked has seen that they are done.
        self.removals.retain(|removal| {
            plan.leftovers.contains_key(&removal.key) || !matches!(*removal.state.borrow(), Attempt::Done)
        });
        self.settled.retain(|key| plan.leftovers.contains_key(key));
    }

    /// Takes in what the plan knows of and this process does not: it was left by one before.
    fn adopt(&mut self, plan: &Plan) {
        self.out_of_reach.retain(|key, _| plan.leftovers.contains_key(key));
        for (key, leftover) in &plan.leftovers {
            if let Leftover::Reachable(spec) = leftover {
                // What is known of the sink now is worth more than what was known when the removal began.
                let is_worse = |removal: &mut Removal| {
                    removal.key == *key
                        && removal.spec.config != spec.config
                        && matches!(*removal.state.borrow(), Attempt::Failed { .. })
                        && !leaves(&removal.spec, spec)
                };
                for removal in self.removals.extract_if(.., is_worse) {
                    removal.stop.cancel();
                    let Removal { key, spec, ended, .. } = removal;
                    self.ending.push(Ending { key, spec, ended });
                }
            }
            let is_known = self.kept.iter().any(|kept| kept.key == *key)
                || self.removals.iter().any(|removal| removal.key == *key)
                || self.settled.contains(key);
            if is_known {
                self.out_of_reach.remove(key);
                continue;
            }
            if let Leftover::Reachable(spec) = leftover {
                self.out_of_reach.remove(key);
                self.kept.push(Kept { key: key.clone(), spec: BindingPlan::clone(spec) });
                continue;
            }
            if self.out_of_reach.get(key).is_none_or(|(known, _)| known != leftover) {
                self.out_of_reach.insert(key.clone(), (leftover.clone(), Instant::now()));
                // Somebody may wait for it to have taken too long.
                self.look_again_later();
            }
        }
    }

    /// Has whoever waits look again when it has taken too long.
    fn look_again_later(&self) {
        let (changed, patience) = (Arc::clone(&self.changed), self.patience);
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            changed.send_modify(|count| *count += 1);
        });
    }

    fn remove(&mut self, key: BindingKey, spec: BindingPlan) {
        self.look_again_later();
        let before = self.under_way(&key, &spec);
        let (sender, state) = watch::channel(Attempt::UnderWay);
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let end = ended.clone().drop_guard();
        let (term, changed) = (self.term.clone(), Arc::clone(&self.changed));
        let calls = [stop.clone(), self.over.clone()];
        let work = remove(spec.clone(), term.clone(), calls, before, sender, changed);
        self.tasks.spawn(async move {
            let _end = end;
            term.during(work).await;
        });
        self.removals.push(Removal { key, spec, stop, ended, state, since: Instant::now() });
    }

    /// What a binding has to wait for before it begins: whatever is under way at the place that it leads to. Removals there
    /// are called off.
    pub(super) fn make_way(&mut self, key: &BindingKey, spec: &BindingPlan) -> Vec<CancellationToken> {
        let is_there =
            |removal: &mut Removal| removal.key.inventory == key.inventory && !leaves(&removal.spec, spec);
        for Removal { key, spec, stop, ended, .. } in self.removals.extract_if(.., is_there) {
            stop.cancel();
            self.ending.push(Ending { key, spec, ended });
        }
        self.under_way(key, spec)
    }

    /// Bindings that may still deliver to the place that one leads to.
    fn under_way(&mut self, key: &BindingKey, spec: &BindingPlan) -> Vec<CancellationToken> {
        self.ending.retain(|ending| !ending.ended.is_cancelled());
        let is_there = |ending: &&Ending| {
            ending.key == *key || (ending.key.inventory == key.inventory && !leaves(&ending.spec, spec))
        };
        self.ending.iter().filter(is_there).map(|ending| ending.ended.clone()).collect()
    }

    pub(super) fn states(&self) -> BTreeMap<BindingKey, LeftoverState> {
        let settled = self.settled.iter().map(|key| (key.clone(), LeftoverState::Settled));
        let out_of_reach = self.out_of_reach.iter().map(|(key, (leftover, since))| {
            let state = match leftover {
                Leftover::Unreachable(hold) => LeftoverState::Failing {
                    reason: hold.reason,
                    message: hold.message.clone(),
                    hopeless: since.elapsed() >= self.patience,
                },
                Leftover::Lost | Leftover::Reachable(_) => LeftoverState::Lost,
            };
            (key.clone(), state)
        });
        let kept = self.kept.iter().map(|kept| (kept.key.clone(), LeftoverState::Kept));
        let removals = self.removals.iter().map(|removal| {
            let state = match &*removal.state.borrow() {
                Attempt::UnderWay if removal.since.elapsed() < self.patience => LeftoverState::Removing,
                Attempt::UnderWay => LeftoverState::Failing {
                    reason: TOO_SLOW.0,
                    message: TOO_SLOW.1.to_owned(),
                    hopeless: true,
                },
                Attempt::Failed { reason, message, terminal } => LeftoverState::Failing {
                    reason,
                    message: message.clone(),
                    hopeless: *terminal || removal.since.elapsed() >= self.patience,
                },
                Attempt::Done => LeftoverState::Settled,
            };
            (removal.key.clone(), state)
        });
        let mut states = BTreeMap::new();
        // Of several things that one binding left at different places, that which needs most counts.
        for (key, state) in settled.chain(out_of_reach).chain(kept).chain(removals) {
            match states.entry(key) {
                Entry::Vacant(new) => _ = new.insert(state),
                Entry::Occupied(mut known) if weight(&state) > weight(known.get()) => _ = known.insert(state),
                Entry::Occupied(_) => {}
            }
        }
        states
    }

    /// Has no removal tried again, and waits for those that are under way or have not been tried yet, but not longer than this. What
    /// is not removed is known to the next process from the status of the inventory.
    pub(super) async fn stop(&mut self, patience: Duration) {
        self.over.cancel();
        let ended = self.removals.drain(..).map(|removal| removal.ended);
        let ended: Vec<_> = ended.chain(self.ending.drain(..).map(|ending| ending.ended)).collect();
        let all = async {
            for one in &ended {
                one.cancelled().await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("what was exported has not been removed everywhere yet");
        }
    }
}

fn weight(state: &LeftoverState) -> u8 {
    match state {
        LeftoverState::Settled | LeftoverState::Lost => 0,
        LeftoverState::Kept => 1,
        LeftoverState::Removing => 2,
        LeftoverState::Failing { hopeless: false, .. } => 3,
        LeftoverState::Failing { hopeless: true, .. } => 4,
    }
}

/// What is to become of something that a binding left.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It stays while that is not known.
    Keep,
    /// It stays for good: a binding has taken it over, or the policy says so.
    Leave,
    /// It goes.
    Remove,
}

fn verdict(key: &BindingKey, spec: &BindingPlan, plan: &Plan) -> Verdict {
    let by_policy = match spec.config.deletion_policy() {
        DeletionPolicy::Delete => Verdict::Remove,
        DeletionPolicy::Retain => Verdict::Leave,
    };
    let Some(inventory) = plan.inventories.get(&key.inventory) else { return by_policy };
    if inventory.held.is_some() {
        // It is not known what it refers to.
        return Verdict::Keep;
    }
    // Rather rows stay than that a successor, whatever it is called, finds its own removed, and everybody who reads them with it.
    match by_policy {
        _ if inventory.bindings.iter().any(|other| !leaves(spec, other)) => match inventory.suspended {
            true => Verdict::Keep,
            false => Verdict::Leave,
        },
        Verdict::Remove if inventory.unresolved => Verdict::Keep,
        by_policy => by_policy,
    }
}

/// Whether what a binding exported is certainly not what another one of its inventory exports.
fn leaves(spec: &BindingPlan, other: &BindingPlan) -> bool {
    let (place, next) = (spec.config.place(&spec.name), other.config.place(&other.name));
    place.is_apart_from(&next)
}

/// Removes what a binding exported, as soon as nothing is under way there any more. An attempt that has begun comes to its end,
/// so that whoever waits finds nothing half done.
async fn remove(
    spec: BindingPlan,
    term: Term,
    [stop, over]: [CancellationToken; 2],
    before: Vec<CancellationToken>,
    state: watch::Sender<Attempt>,
    changed: Arc<watch::Sender<u64>>,
) {
    for other in before {
        other.cancelled().await;
    }
    let destination = spec.config.describe();
    let mut pause = FIRST_PAUSE;
    let mut has_failed = false;
    while !stop.is_cancelled() {
        let mut sink = spec.config.open(&spec.name, &term);
        let result = match sink.connect().await {
            Ok(()) => sink.clear().await,
            Err(error) => Err(error),
        };
        let now = match result {
            Ok(receipt) => {
                tracing::info!(binding = %spec.name, destination, deleted = receipt.deleted, "removed what was exported");
                Attempt::Done
            }
            Err(error) => {
                if !has_failed {
                    tracing::warn!(binding = %spec.name, destination, %error, "what was exported could not be removed; trying again");
                }
                has_failed = true;
                let (reason, terminal) = (error.reason(), !error.is_retryable());
                Attempt::Failed { reason, message: format!("{destination}: {error}"), terminal }
            }
        };
        let done = matches!(now, Attempt::Done);
        state.send_replace(now);
        changed.send_modify(|count| *count += 1);
        if done {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = over.cancelled() => return,
            () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::{InventoryPlan, ResourceName, SinkFamily, SinkName};
    use crate::sinks::database::postgres;
    use crate::sinks::snapshot::layout::{Format, LayoutMode, LayoutSettings};
    use crate::sinks::snapshot::local;
    use crate::sinks::{BindingName, EndpointPolicy, Provisioning, SinkConfig, TlsSettings};

    fn plan(cluster: &str, config: SinkConfig) -> BindingPlan {
        BindingPlan {
            name: BindingName {
                cluster: cluster.to_owned(),
                inventory_namespace: "team".to_owned(),
                inventory_name: "apps".to_owned(),
            },
            sink: SinkName { family: SinkFamily::Database, name: ResourceName::new("team", "sink") },
            config,
            min_interval: Duration::ZERO,
            coalesce_window: Duration::ZERO,
        }
    }

    fn postgres(dsn: &str, table: &str) -> SinkConfig {
        let settings = postgres::Settings {
            dsn: dsn.to_owned(),
            schema: None,
            table: table.into(),
            provisioning: Provisioning::Ensure,
            tls: TlsSettings::default(),
            deletion_policy: None,
            endpoints: EndpointPolicy::default(),
            options: postgres::Options::default(),
        };
        SinkConfig::Postgres(postgres::Config::new(settings).unwrap())
    }

    fn files(endpoint: &str, template: &str, format: Format, mode: LayoutMode) -> SinkConfig {
        let settings = local::Settings {
            endpoint: endpoint.to_owned(),
            path_template: Some(template.to_owned()),
            format,
            layout: LayoutSettings { mode, ..LayoutSettings::default() },
            ..local::Settings::default()
        };
        SinkConfig::Local(local::Config::new(settings).unwrap())
    }

    /// A plan with an inventory that has these bindings, or without it.
    fn with(inventory: Option<InventoryPlan>) -> Plan {
        let inventories = inventory.map(|inventory| (ResourceName::new("team", "apps"), inventory));
        Plan { inventories: inventories.into_iter().collect(), ..Plan::default() }
    }

    #[test]
    fn what_is_left_goes_when_it_is_certain_that_nobody_wants_it() {
        let config = |policy| {
            let settings = local::Settings {
                endpoint: "/nowhere".to_owned(),
                deletion_policy: Some(policy),
                ..local::Settings::default()
            };
            SinkConfig::Local(local::Config::new(settings).unwrap())
        };
        let left = |policy| plan("", config(policy));
        let elsewhere = plan("", postgres("postgres://u:p@db/inv", "rows"));
        let same = left(DeletionPolicy::Retain);
        let key = BindingKey { inventory: ResourceName::new("team", "apps"), sink: same.sink.clone() };
        let other = |bindings: Vec<BindingPlan>| InventoryPlan { bindings, ..InventoryPlan::default() };
        for (case, inventory, expected) in [
            ("it is gone", None, Verdict::Remove),
            ("nobody else", Some(other(vec![])), Verdict::Remove),
            ("another place", Some(other(vec![elsewhere.clone()])), Verdict::Remove),
            ("the same place", Some(other(vec![elsewhere.clone(), same.clone()])), Verdict::Leave),
            (
                "the same place, which rests",
                Some(InventoryPlan { suspended: true, ..other(vec![same.clone()]) }),
                Verdict::Keep,
            ),
            (
                "a sink of which nobody knows where it leads",
                Some(InventoryPlan { unresolved: true, ..other(vec![elsewhere]) }),
                Verdict::Keep,
            ),
            (
                "an inventory of which nobody knows what it wants",
                Some(InventoryPlan {
                    held: Some(crate::catalog::Hold { reason: "x", message: String::new() }),
                    ..InventoryPlan::default()
                }),
                Verdict::Keep,
            ),
        ] {
            assert_eq!(verdict(&key, &left(DeletionPolicy::Delete), &with(inventory)), expected, "{case}");
        }
        assert_eq!(verdict(&key, &same, &with(None)), Verdict::Leave);
        assert_eq!(verdict(&key, &same, &with(Some(other(vec![])))), Verdict::Leave);
    }

    #[test]
    fn what_was_exported_is_left_behind_only_by_a_successor_that_goes_elsewhere() {
        let table = || postgres("postgres://u:p@db/inv", "rows");
        let documents = || files("/nowhere", "{namespace}/{name}", Format::Yaml, LayoutMode::Document);
        let rows = LayoutMode::PerResource;
        for (case, before, after, expected) in [
            ("a password", table(), postgres("postgres://u:q@db/inv", "rows"), false),
            ("an alias", table(), postgres("postgres://u:p@alias:5433/inv", "rows"), false),
            ("a standby", table(), postgres("postgres://u:p@db,standby/inv", "rows"), false),
            ("a table", table(), postgres("postgres://u:p@db/inv", "others"), true),
            ("a database", table(), postgres("postgres://u:p@db/other", "rows"), true),
            ("files", table(), documents(), true),
            ("a format", documents(), files("/nowhere", "{namespace}/{name}", Format::Json, rows), false),
            ("a path", documents(), files("/nowhere", "x/{namespace}/{name}", Format::Yaml, rows), true),
            (
                "a path that is spelled otherwise",
                documents(),
                files("/", "nowhere/{namespace}/{name}{extension}", Format::Yaml, rows),
                false,
            ),
        ] {
            assert_eq!(leaves(&plan("east", before), &plan("east", after)), expected, "{case}");
        }
        assert!(leaves(&plan("east", table()), &plan("west", table())), "a cluster");
    }
}
