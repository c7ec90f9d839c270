//! Tables that a template names, and the options of databases.

use std::time::Duration;

use kollect::sinks::database::{TableNaming, postgres, sqlite};
use kollect::sinks::{BindingName, Provisioning, RowSink, Sink, SinkConfig, SinkError, Term};

use crate::places::*;
use crate::rows::held;
use crate::server;

fn open(config: &SinkConfig, name: &BindingName) -> Box<dyn RowSink> {
    match config.open(name, &Term::unfenced()) {
        Sink::Rows(sink) => sink,
        Sink::Document(_) => panic!("this sink takes whole documents"),
    }
}

fn template() -> TableNaming {
    TableNaming::Template("{cluster}_{name}".to_owned())
}

/// Three inventories, the last two of which come out the same, in a destination of any kind; `tables` lists its row tables.
async fn each_inventory_has_its_table(config: SinkConfig, tables: impl AsyncFn() -> Vec<String>) {
    config.probe().await.unwrap();
    assert_eq!(tables().await, [""; 0], "a probe makes no table");
    let names = ["apps", "web-apps", "web.apps"].map(|name| binding("east", name));
    for (row, name) in ["a", "b", "c"].into_iter().zip(&names) {
        let mut sink = open(&config, name);
        sink.connect().await.unwrap();
        sink.apply(&[upsert(row, "{}")]).await.unwrap();
    }
    assert_eq!(tables().await, ["east_apps", "east_web_apps"]);
    // Those that share a table see their own rows, and leave the other's alone.
    let mut sink = open(&config, &names[1]);
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await.len(), 1);
    sink.clear().await.unwrap();
    let mut sink = open(&config, &names[2]);
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await.len(), 1);
    let ddl = config.preview(Some(&names[0]), None).ddl.unwrap();
    assert!(ddl.contains("\"east_apps\""), "{ddl}");
    config.probe().await.unwrap();
}

#[tokio::test]
async fn a_template_names_tables_in_postgres() {
    let place = Postgres::new().await;
    let config = |provisioning| {
        let settings = postgres::Settings { table: template(), provisioning, ..place.settings() };
        SinkConfig::Postgres(postgres::Config::new(settings).unwrap())
    };
    let schema = place.schema.clone();
    each_inventory_has_its_table(config(Provisioning::Ensure), async || {
        let client = server::connect().await;
        let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 AND tablename LIKE '%apps' ORDER BY 1";
        let rows = client.query(sql, &[&schema]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    })
    .await;
    // Where nothing may be created, each binding says what it lacks.
    let existing = config(Provisioning::Existing);
    existing.probe().await.unwrap();
    open(&existing, &binding("east", "apps")).connect().await.unwrap();
    let error = open(&existing, &binding("east", "other")).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, .. } if message.contains("east_other")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_template_names_tables_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.db");
    let settings = sqlite::Settings {
        endpoint: path.display().to_string(),
        table: template(),
        provisioning: Provisioning::Ensure,
        deletion_policy: None,
        busy_timeout: Some(Duration::from_secs(20)),
    };
    let config = SinkConfig::Sqlite(sqlite::Config::new(settings).unwrap());
    each_inventory_has_its_table(config, async || {
        if !path.exists() {
            return Vec::new();
        }
        let connection = rusqlite::Connection::open(&path).unwrap();
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%apps' ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    })
    .await;
}

#[tokio::test]
async fn sessions_have_the_name_of_the_options_and_give_up_when_they_say() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let application = server::unique("options");
    let settings = postgres::Settings {
        options: postgres::Options {
            application_name: Some(application.clone()),
            connect_timeout: Some(Duration::from_secs(5)),
            statement_timeout: Some(Duration::from_secs(1)),
        },
        ..place.settings()
    };
    let config = SinkConfig::Postgres(postgres::Config::new(settings).unwrap());
    let mut sink = open(&config, &name);
    sink.connect().await.unwrap();
    let client = server::connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    assert_eq!(client.query_one(sql, &[&application]).await.unwrap().get::<_, i64>(0), 1);
    // Somebody holds the table for longer than a statement may take.
    let lock = format!("BEGIN; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", place.table(""));
    client.batch_execute(&lock).await.unwrap();
    let error = sink.apply(&[upsert("a", "{}")]).await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Interrupted { message } if message.contains("statement timeout")),
        "{error:?}"
    );
    client.batch_execute("ROLLBACK").await.unwrap();
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    assert_eq!(held(&mut *sink).await.len(), 1);
}

#[tokio::test]
async fn a_writer_of_a_file_gives_up_when_the_options_say() {
    let place = Sqlite::new().await;
    let settings = sqlite::Settings {
        endpoint: place.path().display().to_string(),
        table: "rows".into(),
        provisioning: Provisioning::Ensure,
        deletion_policy: None,
        busy_timeout: Some(Duration::ZERO),
    };
    let config = SinkConfig::Sqlite(sqlite::Config::new(settings).unwrap());
    let mut sink = open(&config, &binding("east", "apps"));
    sink.connect().await.unwrap();
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = sink.apply(&[upsert("a", "{}")]).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    other.execute_batch("ROLLBACK").unwrap();
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
}
