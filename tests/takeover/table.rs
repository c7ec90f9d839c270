//! The table that the operators write: what happens to it, watched from outside, and where batches can be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kollect::sinks::database::postgres::{Config, Settings};
use kollect::sinks::{BindingName, Provisioning, SinkConfig, Term, TlsSettings};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::kollect_binary::eventually;
use crate::server;

/// Where a batch waits while the gate is closed.
#[derive(Clone, Copy)]
pub(crate) enum Gate {
    /// In the middle, after a statement.
    Batch = 1,
    /// When it is being committed, before it is.
    Commit = 2,
}

pub(crate) struct Table {
    pub(crate) schema: String,
    /// For looking, and for holding gates and locks.
    client: Client,
    key: i32,
    allowed_to_go: Arc<Mutex<BTreeSet<String>>>,
    missed: Arc<Mutex<Vec<String>>>,
    observer: JoinHandle<()>,
}

impl Table {
    /// Makes the tables as a sink does, with triggers that keep batches and count what is written.
    pub(crate) async fn new() -> Self {
        let schema = server::unique("takeover");
        let settings = Settings {
            dsn: server::url().to_owned(),
            schema: Some(schema.clone()),
            table: "rows".into(),
            provisioning: Provisioning::Ensure,
            tls: TlsSettings::default(),
            deletion_policy: None,
            endpoints: kollect::sinks::EndpointPolicy::unrestricted(),
            options: kollect::sinks::database::postgres::Options::default(),
        };
        let binding = BindingName {
            cluster: "none".to_owned(),
            inventory_namespace: "none".to_owned(),
            inventory_name: "none".to_owned(),
        };
        let config = SinkConfig::Postgres(Config::new(settings).unwrap());
        config.open(&binding, &Term::unfenced()).connect().await.unwrap();
        let client = server::connect().await;
        let key: i32 = client.query_one("SELECT hashtext($1)", &[&schema]).await.unwrap().get(0);
        client
            .batch_execute(&format!(
                "CREATE TABLE {schema}.written (op text, name text, n bigserial);
                 CREATE FUNCTION {schema}.count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   INSERT INTO {schema}.written VALUES (lower(left(tg_op, 1)), coalesce(new.resource_name, old.resource_name));
                   RETURN NULL; END $$;
                 CREATE FUNCTION {schema}.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   PERFORM pg_advisory_xact_lock_shared({key}, tg_argv[0]::int); RETURN NULL; END $$;
                 CREATE TRIGGER count AFTER INSERT OR UPDATE OR DELETE ON {schema}.rows
                   FOR EACH ROW EXECUTE FUNCTION {schema}.count();
                 CREATE TRIGGER batch AFTER INSERT OR UPDATE OR DELETE ON {schema}.rows
                   FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gate(1);
                 CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT OR UPDATE OR DELETE ON {schema}.rows
                   DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.gate(2)"
            ))
            .await
            .unwrap();
        let allowed_to_go = Arc::<Mutex<BTreeSet<String>>>::default();
        let missed = Arc::<Mutex<Vec<String>>>::default();
        let observer = tokio::spawn(observe(schema.clone(), Arc::clone(&allowed_to_go), Arc::clone(&missed)));
        Self { schema, client, key, allowed_to_go, missed, observer }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(&sql.replace("ROWS", &format!("{}.rows", self.schema))).await.unwrap();
    }

    async fn column(&self, sql: &str) -> Vec<String> {
        let rows = self.client.query(&sql.replace("SCHEMA", &self.schema), &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn close(&self, gate: Gate) {
        self.run(&format!("SELECT pg_advisory_lock({}, {})", self.key, gate as i32)).await;
    }

    pub(crate) async fn open(&self, gate: Gate) {
        self.run(&format!("SELECT pg_advisory_unlock({}, {})", self.key, gate as i32)).await;
    }

    /// Waits until a batch stands before the gate.
    pub(crate) async fn until_kept(&self, gate: Gate) {
        let sql = format!(
            "SELECT 'kept' FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = {}::bigint & 4294967295 \
             AND objid = {} AND NOT granted LIMIT 1",
            self.key, gate as i32
        );
        eventually(vec!["kept".to_owned()], async || self.column(&sql).await).await;
    }

    /// Waits until an operator waits for a lock that this test holds.
    pub(crate) async fn until_blocked(&self) {
        // The observer may have to wait as well.
        let sql = "SELECT 'blocked' FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)) \
                   AND application_name = 'kollect' LIMIT 1";
        eventually(vec!["blocked".to_owned()], async || {
            // In a transaction the view stays as it was when it was read first.
            self.run("SELECT pg_stat_clear_snapshot()").await;
            self.column(sql).await
        })
        .await;
    }

    /// Object, attribute v.
    pub(crate) async fn rows(&self) -> Vec<String> {
        let sql = "SELECT resource_name || '=' || (attributes ->> 'v') FROM SCHEMA.rows";
        let mut rows = self.column(sql).await;
        rows.sort_unstable();
        rows
    }

    pub(crate) async fn expect(&self, rows: &BTreeMap<String, String>) {
        let mut rows: Vec<String> = rows.iter().map(|(name, value)| format!("{name}={value}")).collect();
        rows.sort_unstable();
        eventually(rows, async || self.rows().await).await;
    }

    /// The change log: operation and object, in order. It is whole, and is what happened to the table.
    pub(crate) async fn log(&self) -> Vec<String> {
        let log =
            self.column("SELECT op || ' ' || resource_name FROM SCHEMA.rows_changes ORDER BY seq").await;
        let gaps = "SELECT seq::text FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM SCHEMA.rows_changes) c WHERE seq <> n";
        assert_eq!(self.column(gaps).await, [""; 0], "the change log has gaps");
        let broken = "SELECT c.seq::text FROM SCHEMA.rows_changes c WHERE before IS DISTINCT FROM \
             (SELECT after FROM SCHEMA.rows_changes p WHERE p.source_uid = c.source_uid AND p.target_name = c.target_name \
              AND p.seq < c.seq ORDER BY p.seq DESC LIMIT 1)";
        assert_eq!(self.column(broken).await, [""; 0], "a change does not begin where the last one ended");
        let written = "SELECT translate(op, 'iud', 'cud') || ' ' || name FROM SCHEMA.written";
        let (mut written, mut logged) = (self.column(written).await, log.clone());
        written.sort_unstable();
        logged.sort_unstable();
        assert_eq!(written, logged, "rows were written that no change explains");
        log
    }

    /// Terms in which the binding was written.
    pub(crate) async fn term(&self) -> String {
        let sql = "SELECT writer_term::text FROM SCHEMA.rows_exports WHERE cluster <> 'none'";
        self.column(sql).await.join(" ")
    }

    /// From now on this row may be missing.
    pub(crate) fn may_go(&self, name: &str) {
        self.allowed_to_go.lock().unwrap().insert(name.to_owned());
    }

    /// Nobody who read the table in the meantime saw a row missing.
    pub(crate) fn no_row_was_missed(&self) {
        assert!(!self.observer.is_finished());
        assert_eq!(*self.missed.lock().unwrap(), [""; 0], "rows were missing for a reader");
    }
}

/// Reads the table again and again, as a portal does.
async fn observe(
    schema: String,
    allowed_to_go: Arc<Mutex<BTreeSet<String>>>,
    missed: Arc<Mutex<Vec<String>>>,
) {
    let client = server::connect().await;
    let sql = format!("SELECT target_name || ' ' || resource_name FROM {schema}.rows");
    let mut before = BTreeSet::new();
    loop {
        let now: BTreeSet<String> =
            client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let may_go = allowed_to_go.lock().unwrap().clone();
        let missing = before
            .difference(&now)
            .filter(|row: &&String| !row.split(' ').nth(1).is_some_and(|name| may_go.contains(name)));
        missed.lock().unwrap().extend(missing.cloned());
        before = now;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
