//! Many pipelines in one operator: what it asks of the API server and what it writes is counted by a proxy between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::kollect_binary::*;
use crate::operator::World;
use crate::proxy::Proxy;
use crate::server;

/// Each with an inventory in a namespace of its own.
const TEAMS: usize = 50;
/// Of each team.
const TARGETS: usize = 10;
/// Those of the teams among them; each belongs to one team.
const NAMESPACES: usize = 200;
/// In each namespace, each for one target.
const MAPS: usize = 3;
/// How many requests are under way at a time while all of this is created.
const AT_ONCE: usize = 16;

fn namespace(index: usize) -> String {
    if index < TEAMS { format!("team-{index:03}") } else { format!("app-{index:03}") }
}

struct Fleet {
    world: World,
    proxy: Proxy,
    database: tokio_postgres::Client,
    url: String,
}

impl Fleet {
    async fn new() -> Self {
        let world = World::new().await;
        // A connection an inventory.
        let url = server::start_with(&server::directory(&server::unique("fleet")), "-c max_connections=200");
        let (database, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let proxy = Proxy::start(&world.client).await;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: proxy\nclusters: [{{name: proxy, cluster: {{server: '{}'}}}}]\nusers: [{{name: proxy, user: {{}}}}]\ncontexts: [{{name: proxy, context: {{cluster: proxy, user: proxy}}}}]\n",
            proxy.url
        );
        world.files.write("kubeconfig", &kubeconfig);
        let fleet = Self { world, proxy, database, url };
        fleet.each(NAMESPACES, async |index| fleet.namespace(index).await).await;
        fleet.each(TEAMS, async |team| fleet.team(team).await).await;
        fleet
    }

    async fn each(&self, count: usize, go: impl AsyncFn(usize)) {
        futures::stream::iter(0..count)
            .map(|index| go(index))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<()>>()
            .await;
    }

    async fn namespace(&self, index: usize) {
        let name = namespace(index);
        self.world.namespace(&name, json!({"team": format!("t{}", index % TEAMS)})).await;
        for map in 0..MAPS {
            self.map(index, map, "1").await;
        }
    }

    async fn map(&self, index: usize, map: usize, value: &str) {
        let slot = (index / TEAMS * MAPS + map) % TARGETS;
        self.world.map(&namespace(index), &format!("m{map}"), value, &format!("s{slot}")).await;
    }

    async fn apply(&self, team: usize, kind: &str, name: &str, spec: Value) {
        let (namespace, plural) = (namespace(team), plural(kind));
        let version = "kollect.dev/v1alpha1";
        let metadata = json!({"name": name, "namespace": namespace});
        let body = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
        self.world.apply_as(version, kind, &plural, Some(&namespace), name, body).await;
    }

    async fn team(&self, team: usize) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": namespace(team)},
            "stringData": {"dsn": self.url},
        });
        self.world.apply_as("v1", "Secret", "secrets", Some(&namespace(team)), "db", secret).await;
        let attributes = json!([{"name": "v", "path": "$.data.v"}]);
        let profile = json!({"targetGVK": {"version": "v1", "kind": "ConfigMap"}, "attributes": attributes});
        self.apply(team, "KollectProfile", "maps", profile).await;
        for target in 0..TARGETS {
            self.target(team, target, target).await;
        }
        let postgres = json!({"databaseRef": {"name": "db"}, "table": "rows"});
        let sink = json!({"type": "postgres", "cluster": "c", "postgres": postgres});
        self.apply(team, "KollectDatabaseSink", "pg", sink).await;
        // Content is verified often, so that a short time shows what a long one would.
        let inventory = json!({"databaseSinkRefs": ["pg"], "exportMinInterval": "2s"});
        self.apply(team, "KollectInventory", "fleet", inventory).await;
    }

    /// A target that collects from its team's namespaces what is for a slot.
    async fn target(&self, team: usize, target: usize, slot: usize) {
        let spec = json!({
            "profileRef": "maps",
            "namespaceSelector": {"matchLabels": {"team": format!("t{team}")}},
            "labelSelector": {"matchLabels": {"app": format!("s{slot}")}},
        });
        self.apply(team, "KollectTarget", &format!("t{target}"), spec).await;
    }

    fn operator(&self) -> Running {
        let mut command = kollect();
        command.args(["operator", "--allowed-endpoint-cidrs", "127.0.0.1", "--kubeconfig"]);
        command.arg(self.world.files.path("kubeconfig")).env("KOLLECT_LOG", "info");
        Running::start(command, &self.world.files.path("operator.log"))
    }

    async fn query(&self, query: &str) -> Vec<String> {
        match self.database.query(query, &[]).await {
            Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
            // The operator creates the tables.
            Err(error) => vec![error.to_string()],
        }
    }

    /// How far each inventory's change log is.
    async fn positions(&self) -> BTreeMap<String, u64> {
        let query =
            "SELECT inventory_namespace || ' ' || max(seq) FROM rows_changes GROUP BY inventory_namespace";
        let rows = self.query(query).await;
        let of = |row: &String| {
            let (namespace, position) = row.split_once(' ').unwrap_or_else(|| panic!("{row}"));
            (namespace.to_owned(), position.parse().unwrap())
        };
        rows.iter().map(of).collect()
    }

    /// Waits until each team has so many resources of a kind that are ready with this reason, and no others. One team after the other,
    /// so that a slow machine has time for all.
    async fn all_ready(&self, kind: &str, count: usize, reason: &str) {
        let expected = vec![format!("True {reason}"); count];
        for team in 0..TEAMS {
            let api = self.world.api(kind, &plural(kind), Some(&namespace(team)));
            eventually(expected.clone(), async || {
                let all = api.list(&ListParams::default()).await.unwrap();
                let state = |resource: &DynamicObject| {
                    let conditions = resource.data["status"]["conditions"].as_array().cloned();
                    let mut conditions = conditions.unwrap_or_default().into_iter();
                    let ready = conditions.find(|condition| condition["type"] == "Ready").unwrap_or_default();
                    format!("{} {}", ready["status"], ready["reason"]).replace('"', "")
                };
                all.iter().map(state).collect()
            })
            .await;
        }
    }

    /// The requests since the first so many, by what is asked for.
    fn requests(&self, since: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.proxy.requests()[since..] {
            let path = request.split('?').next().unwrap_or_default();
            *counts.entry(path.to_owned()).or_default() += 1;
        }
        counts
    }

    /// Writes of status since the first so many requests, by resource: `namespace kind/name`.
    fn status_writes(&self, since: usize) -> BTreeMap<String, usize> {
        let requests = self.requests(since).into_iter();
        let writes = requests.filter_map(|(path, count)| {
            let path = path.strip_prefix("/apis/kollect.dev/v1alpha1/namespaces/")?;
            Some((path.strip_suffix("/status")?.replacen('/', " ", 1), count))
        });
        writes.collect()
    }

    /// Waits until no status has been written for longer than anything is held back; gives the number of requests so far.
    async fn rest(&self) -> usize {
        let mut before = usize::MAX;
        eventually(true, async || {
            tokio::time::sleep(Duration::from_millis(3500)).await;
            let now = self.status_writes(0).into_values().sum();
            let same = now == before;
            before = now;
            same
        })
        .await;
        self.proxy.requests().len()
    }

    /// Asserts that since so many requests no status was written but these, and each of them at most twice: what was changed, and
    /// counters that follow.
    fn expect_writes(&self, since: usize, allowed: &[&str]) {
        let writes = self.status_writes(since);
        assert!(writes.keys().all(|resource| allowed.contains(&resource.as_str())), "{writes:#?}");
        assert!(writes.values().all(|count| *count <= 2), "{writes:#?}");
    }

    /// Waits until the change logs of these teams have grown by so many, and asserts that no other has.
    async fn expect_grown(&self, before: &BTreeMap<String, u64>, grown: &[(usize, u64)]) {
        let mut expected = before.clone();
        for (team, by) in grown {
            *expected.get_mut(&namespace(*team)).unwrap() += by;
        }
        eventually(expected, async || self.positions().await).await;
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "KollectInventory" => "kollectinventories".to_owned(),
        kind => kind.to_lowercase() + "s",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_many_pipelines_changes_touches_no_other() {
    let fleet = Fleet::new().await;
    let operator = fleet.operator();
    let rows = async || fleet.query("SELECT count(*)::text FROM rows").await;
    eventually(vec![(NAMESPACES * MAPS).to_string()], rows).await;
    fleet.all_ready("KollectTarget", TARGETS, "Collecting").await;
    fleet.all_ready("KollectInventory", 1, "Exported").await;
    fleet.all_ready("KollectDatabaseSink", 1, "Configured").await;
    fleet.all_ready("KollectProfile", 1, "Compiled").await;
    assert_eq!(rows().await, [(NAMESPACES * MAPS).to_string()]);
    let rest = fleet.rest().await;

    // The start: a kind is listed and watched once, however many targets read it (some kinds are asked for twice, as their
    // definitions are a moment old). All else is about one resource: its finalizer, its status, its events, a Secret now and then.
    for (path, count) in fleet.requests(0) {
        let most = match path.contains("/namespaces/") {
            true if path.ends_with("/secrets/db") => usize::MAX,
            true if path.ends_with("/events") => 4 * (TARGETS + 3),
            true => 4,
            false => 3,
        };
        assert!(count <= most, "{path}: {count}");
    }
    // Each status is written when it is first known, perhaps once more because it took a while to become so, and twice for
    // counters that came later.
    let writes = fleet.status_writes(0);
    assert_eq!(writes.len(), TEAMS * (TARGETS + 3));
    assert!(writes.values().all(|count| *count <= 4), "{writes:#?}");

    // Nothing changes, though every inventory is verified several times: nothing is written.
    let verified =
        async || fleet.query("SELECT sum(seq_scan + idx_scan)::text FROM pg_stat_user_tables").await;
    let before = verified().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_ne!(verified().await, before);
    fleet.expect_writes(rest, &[]);

    // One target looks for something else: one row goes, and one comes.
    let positions = fleet.positions().await;
    assert_eq!(positions.len(), TEAMS);
    fleet.target(7, 5, 4).await;
    fleet.expect_grown(&positions, &[(7, 2)]).await;
    let rest = {
        let now = fleet.rest().await;
        fleet.expect_writes(rest, &["team-007 kollecttargets/t5", "team-007 kollectinventories/fleet"]);
        now
    };
    // One object changes, and one namespace passes from one team to another. Nobody else hears of it.
    let positions = fleet.positions().await;
    fleet.map(61, 1, "2").await;
    fleet.world.namespace(&namespace(160), json!({"team": "t20"})).await;
    fleet.expect_grown(&positions, &[(11, 1), (10, 3), (20, 3)]).await;
    let rest = {
        let now = fleet.rest().await;
        let writes = fleet.status_writes(rest);
        let teams: BTreeSet<&str> = writes.keys().filter_map(|key| Some(key.split_once(' ')?.0)).collect();
        assert!(teams.is_subset(&BTreeSet::from(["team-010", "team-011", "team-020"])), "{writes:#?}");
        assert!(!writes.contains_key("team-011 kollecttargets/t4"), "its counters are what they were");
        now
    };

    // Started again: no row is written, and of each status at most what was said before and what is said now.
    operator.kill();
    let positions = fleet.positions().await;
    let operator = fleet.operator();
    let log = fleet.world.files.path("operator.log");
    eventually(TEAMS, async || {
        std::fs::read_to_string(&log).unwrap().matches("the destination is up to date").count()
    })
    .await;
    fleet.rest().await;
    fleet.all_ready("KollectTarget", TARGETS, "Collecting").await;
    fleet.all_ready("KollectInventory", 1, "Exported").await;
    assert_eq!(fleet.positions().await, positions);
    let writes = fleet.status_writes(rest);
    assert!(writes.values().all(|count| *count <= 3), "{writes:#?}");
    assert_eq!(operator.terminate(), 0);
}
