//! Random histories: changes, faults, crashes, slow destinations, edits by hand, targets that come late. Whatever
//! happens, when it has come to rest the destination equals the inventory; and on the way no row is written
//! without need, or deleted without being known to be gone.

use std::collections::BTreeMap;
use std::time::Duration;

use kollect_dataflows::data::Row;
use proptest::prelude::*;

use super::server::{Fault, Server, interrupted, unreachable};
use super::world::{Bound, World};
use super::{OPTIONS, row};
use crate::export::Options;

const ROWS: u8 = 10;
const TARGETS: [&str; 2] = ["a", "b"];
/// The content that the destination refuses.
const BAD: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Rows get a content or go, in one epoch.
    Epoch(Vec<(u8, Option<u8>)>),
    /// Time passes, in milliseconds.
    Pass(u16),
    /// The destination takes so long for a batch, in milliseconds.
    Slow(u16),
    Fault(Fault),
    /// Somebody edits a row at the destination.
    Edit(u8, Option<u8>),
    /// The process is killed and starts again; these targets can't be listed at first.
    Crash([bool; 2]),
    /// The process is told to stop, and starts again.
    Restart([bool; 2]),
    /// A target can be listed again.
    Heal(usize),
    /// The dispatcher has the destination compared.
    LookAgain,
}

#[derive(Clone, Debug)]
struct History {
    seed: u64,
    /// How long the answer to a look takes, in milliseconds.
    delay: u16,
    steps: Vec<Step>,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Connect(unreachable())),
        (0..12usize).prop_map(|rows| Fault::Read(rows, interrupted())),
        Just(Fault::Before(interrupted())),
        Just(Fault::LostReply),
    ]
}

fn step(edits: u32, contents: u8) -> impl Strategy<Value = Step> {
    let change = (0..ROWS, proptest::option::weighted(0.7, 0..contents));
    prop_oneof![
        12 => prop::collection::vec(change, 0..6).prop_map(Step::Epoch),
        6 => prop_oneof![0..20u16, 0..2_000u16, 0..50_000u16].prop_map(Step::Pass),
        3 => prop_oneof![Just(0), 0..10_000u16].prop_map(Step::Slow),
        4 => fault().prop_map(Step::Fault),
        edits => (0..ROWS, proptest::option::of(0..3u8)).prop_map(|(id, content)| Step::Edit(id, content)),
        1 => any::<[bool; 2]>().prop_map(Step::Crash),
        1 => any::<[bool; 2]>().prop_map(Step::Restart),
        2 => (0..2usize).prop_map(Step::Heal),
        3 => Just(Step::LookAgain),
    ]
}

fn history(edits: u32, contents: u8) -> impl Strategy<Value = History> {
    let steps = prop::collection::vec(step(edits, contents), 1..60);
    (any::<u64>(), prop_oneof![Just(0), 0..3_000u16], steps).prop_map(|(seed, delay, steps)| History {
        seed,
        delay,
        steps,
    })
}

fn target_of(id: u8) -> usize {
    usize::from(id >= ROWS / 2)
}

fn row_of(id: u8, content: u8) -> Row {
    let content = if content == BAD { "bad".to_owned() } else { content.to_string() };
    row(TARGETS[target_of(id)], &id.to_string(), &content)
}

/// What is true, whether or not the graph knows of it yet.
struct Run {
    world: World,
    server: Server,
    live: BTreeMap<u8, u8>,
    delay: Duration,
    bound: Option<Bound>,
    changes: u64,
    repaired: u64,
}

impl Run {
    fn start(&mut self) {
        let options = Options { min_interval: Duration::from_secs(30), ..OPTIONS };
        self.bound = Some(self.world.bind_with(self.server.rows("x"), options, self.delay));
    }

    async fn stop(&mut self, crash: bool) {
        let bound = self.bound.take().unwrap();
        self.repaired += if crash {
            let repaired = bound.status.borrow().totals.drift_repaired;
            bound.kill().await;
            repaired
        } else {
            bound.finish().await.status.totals.drift_repaired
        };
        self.world.forget_bindings();
    }

    /// A new process, which knows nothing, begins to list.
    fn restart(&mut self, broken: [bool; 2]) {
        {
            let mut inventory = self.world.lock();
            inventory.rows.clear();
            inventory.ready = false;
        }
        self.server.lock().gone.clear();
        self.world.set_target("a", Some(false));
        self.world.set_target("b", Some(false));
        self.start();
        for (target, broken) in broken.into_iter().enumerate() {
            if !broken {
                self.hydrate(target);
            }
        }
        self.world.make_ready();
    }

    fn hydrate(&mut self, target: usize) {
        let of_target = self.live.iter().filter(|(id, _)| target_of(**id) == target);
        let rows: Vec<Row> = of_target.map(|(id, content)| row_of(*id, *content)).collect();
        let (first, second) = rows.split_at(rows.len() / 2);
        self.world.put(first.iter().cloned());
        self.world.put(second.iter().cloned());
        self.world.set_target(TARGETS[target], Some(true));
    }

    fn epoch(&mut self, changes: &[(u8, Option<u8>)]) {
        // One change a row in one epoch: the last.
        let changes: BTreeMap<u8, Option<u8>> = changes.iter().copied().collect();
        for (id, content) in &changes {
            let before = match content {
                Some(content) => self.live.insert(*id, *content),
                None => self.live.remove(id),
            };
            let same = before.map(|c| row_of(*id, c)) == content.map(|c| row_of(*id, c));
            self.changes += u64::from(!same);
        }
        let rows =
            changes.into_iter().map(|(id, content)| (row_of(id, content.unwrap_or(0)), content.is_some()));
        self.world.epoch(rows);
    }

    fn edit(&self, id: u8, content: Option<u8>) {
        let mut server = self.server.lock();
        let key = row_of(id, 0).key().to_owned();
        let table = server.table("x");
        match content {
            Some(content) => table.insert(key.clone(), row_of(id, content).hash()),
            None => table.remove(&key),
        };
        server.edited.insert(key.clone());
        server.gone.insert(key);
    }
}

async fn run(history: History) -> Result<(), TestCaseError> {
    fastrand::seed(history.seed);
    let server = Server::default();
    let world = World::hydrated().judging(&server);
    let mut foreign = Vec::new();
    for id in 0..ROWS {
        server.has("y", &[row_of(id, 9)]);
        foreign = server.holds("y");
    }
    let delay = Duration::from_millis(history.delay.into());
    let mut run = Run {
        world,
        server: server.clone(),
        live: BTreeMap::new(),
        delay,
        bound: None,
        changes: 0,
        repaired: 0,
    };
    let mut edits = 0;
    run.start();
    for step in history.steps {
        match step {
            Step::Epoch(changes) => run.epoch(&changes),
            Step::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
            Step::Slow(ms) => server.lock().latency = Duration::from_millis(ms.into()),
            Step::Fault(fault) => server.fail([fault]),
            Step::Edit(id, content) => {
                run.edit(id, content);
                edits += 1;
            }
            Step::Crash(broken) => {
                run.stop(true).await;
                run.restart(broken);
            }
            Step::Restart(broken) => {
                run.stop(false).await;
                run.restart(broken);
            }
            Step::Heal(target) => run.hydrate(target),
            Step::LookAgain => run.bound.as_ref().unwrap().inbox.look_again(),
        }
        prop_assert_eq!(&server.lock().violations, &Vec::<String>::new());
    }

    // Everything heals, and comes to rest.
    server.lock().faults.clear();
    server.lock().latency = Duration::ZERO;
    run.hydrate(0);
    run.hydrate(1);
    run.epoch(&[]);
    let mut bound = run.bound.take().unwrap();
    // Longer than an open circuit, an answer, and the pause between two comparisons.
    tokio::time::sleep(Duration::from_secs(400)).await;
    let status = bound.settled().await;
    let writes = server.lock().writes();

    let bad = |key: &super::server::Key| {
        run.live.get(&key.name.parse::<u8>().unwrap()).is_some_and(|content| *content == BAD)
    };
    let mut holds = server.holds("x");
    holds.retain(|(key, _)| !bad(key));
    let mut expected = run.world.expected();
    let all = expected.len();
    expected.retain(|(key, _)| !bad(key));
    prop_assert_eq!(holds, &expected[..]);
    prop_assert_eq!(status.set_aside.count as usize, all - expected.len());
    prop_assert_eq!(status.settled.unwrap().rows as usize, all);
    prop_assert_eq!(status.settled.unwrap().digest, run.world.lock().digest());
    prop_assert_eq!(status.backlog, Default::default());
    prop_assert_eq!(server.holds("y"), foreign);
    prop_assert_eq!(&server.lock().violations, &Vec::<String>::new());
    let repaired = run.repaired + status.totals.drift_repaired;
    prop_assert!(repaired <= edits, "{} repaired of {} edited", repaired, edits);
    if edits == 0 {
        prop_assert!(writes <= run.changes, "{} writes for {} changes", writes, run.changes);
    }
    tokio::time::sleep(Duration::from_secs(400)).await;
    prop_assert_eq!(server.lock().writes(), writes);
    Ok(())
}

fn play(history: History) -> Result<(), TestCaseError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(history))
}

proptest! {
    #[test]
    fn a_destination_at_rest_equals_the_inventory(history in history(0, BAD)) {
        play(history)?;
    }

    #[test]
    fn a_destination_at_rest_equals_the_inventory_whoever_edits_it_but_for_refused_rows(history in history(2, BAD + 1)) {
        play(history)?;
    }
}
