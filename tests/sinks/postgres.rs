//! What holds for Postgres alone: what it costs, what it says, what happens when it goes away.

use std::time::Duration;

use futures::StreamExt;
use kollect::sinks::database::postgres::{Config, Settings};
use kollect::sinks::{BindingName, Change, RowSink, Sink, SinkConfig, SinkError, Term};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::AsyncMessage;

use crate::places::*;
use crate::rows::held;
use crate::server;

fn open(settings: Settings, name: &BindingName) -> Box<dyn RowSink> {
    match SinkConfig::Postgres(Config::new(settings).unwrap()).open(name, &Term::unfenced()) {
        Sink::Rows(sink) => sink,
        Sink::Document(_) => panic!("this sink takes whole documents"),
    }
}

/// The settings with something more behind the connection string.
fn with(place: &Postgres, option: &str) -> Settings {
    let settings = place.settings();
    let separator = if settings.dsn.contains('?') { '&' } else { '?' };
    Settings { dsn: format!("{}{separator}{option}", settings.dsn), ..settings }
}

/// Waits until a query's answer is the expected one.
async fn until(sql: &str, expected: &str) {
    let client = server::connect().await;
    let mut seen = String::new();
    for _ in 0..600 {
        seen = client.query_one(sql, &[]).await.unwrap().get(0);
        if seen == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{sql}\n  says {seen}\n  and never said {expected}");
}

async fn until_gone(application: &str) {
    until(
        &format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{application}'"),
        "0",
    )
    .await;
}

#[tokio::test]
async fn one_changed_row_of_ten_thousand_is_one_written_row_and_an_unchanged_restart_writes_none() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let application = server::unique("one");
    let batch: Vec<Change> =
        (0..10_000).map(|i| upsert(&format!("{i:05}"), &format!(r#"{{"n":{i}}}"#))).collect();
    let mut sink = open(with(&place, &format!("application_name={application}")), &name);
    sink.connect().await.unwrap();
    sink.apply(&batch).await.unwrap();
    let one = upsert("00700", r#"{"n":"changed"}"#);
    sink.apply(std::slice::from_ref(&one)).await.unwrap();
    // An unchanged restart, by a sender that offers all rows again.
    let mut again = batch.clone();
    again[700] = one;
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await.len(), 10_000);
    sink.apply(&again).await.unwrap();
    drop(sink);
    // Only when a session ends has it told all that it did.
    until_gone(&application).await;
    let writes = |table: &str| {
        format!(
            "SELECT concat_ws(' ', n_tup_ins, n_tup_upd, n_tup_del) FROM pg_stat_user_tables \
             WHERE schemaname = '{}' AND relname = '{table}'",
            place.schema
        )
    };
    until(&writes("rows"), "10000 1 0").await;
    until(&writes("rows_changes"), "10001 0 0").await;
    // One for the binding, then one a batch that changed something.
    until(&writes("rows_exports"), "1 2 0").await;
}

#[tokio::test]
async fn a_row_that_postgres_refuses_is_told_apart_and_nothing_of_its_batch_is_written() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    for bad in [r#"{"secret":"\u0000"}"#, r#"{"secret":1e99999999}"#] {
        let error = sink.apply(&[upsert("a", "{}"), upsert("b", bad), upsert("c", "{}")]).await.unwrap_err();
        assert!(
            matches!(&error, SinkError::Row { message } if message.contains("SQLSTATE 22") && !message.contains("secret")),
            "{error:?}"
        );
        sink.connect().await.unwrap();
        assert_eq!(place.contents(&name).await, contents([]));
    }
    // An escaped backslash is no escaped zero.
    sink.apply(&[upsert("a", r#"{"x":"\\u0000"}"#)]).await.unwrap();
    assert_eq!(place.contents(&name).await[&key("a")], json!({"x": "\\u0000"}));
}

#[tokio::test]
async fn a_connection_that_was_cut_before_the_batch_is_made_anew() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let application = server::unique("before");
    let mut sink = open(with(&place, &format!("application_name={application}")), &name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{application}'"
    );
    server::connect().await.execute(&kill, &[]).await.unwrap();
    until_gone(&application).await;
    let error = sink.apply(&[upsert("b", "{}")]).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    // Until it is connected again it says so.
    assert!(sink.apply(&[upsert("b", "{}")]).await.unwrap_err().is_retryable());
    sink.connect().await.unwrap();
    assert_eq!(sink.apply(&[upsert("b", "{}")]).await.unwrap().position, Some(2));
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_batch_leaves_nothing_of_it() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let application = server::unique("during");
    let mut sink = open(with(&place, &format!("application_name={application}")), &name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    // Somebody holds the row that the batch needs.
    let mut other = server::connect().await;
    let blocker = other.transaction().await.unwrap();
    blocker.batch_execute(&format!("SELECT FROM {} FOR UPDATE", place.table("_exports"))).await.unwrap();
    let batch = tokio::spawn(async move {
        let result = sink.apply(&[upsert("b", "{}")]).await;
        (sink, result)
    });
    until(
        &format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{application}' AND wait_event_type = 'Lock'"
        ),
        "1",
    )
    .await;
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{application}'"
    );
    server::connect().await.execute(&kill, &[]).await.unwrap();
    let (mut sink, result) = batch.await.unwrap();
    let error = result.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    blocker.rollback().await.unwrap();
    sink.connect().await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
    assert_eq!(sink.apply(&[upsert("b", "{}")]).await.unwrap().position, Some(2));
    assert_eq!(place.log(&name).await.len(), 2);
}

/// Forwards one connection to the server at a time, until the client has sent COMMIT; then the server gets that, the client
/// gets no reply, and further connections go through untouched.
async fn cut_after_commit() -> u16 {
    let server: tokio_postgres::Config = server::url().parse().unwrap();
    let tokio_postgres::config::Host::Tcp(host) = server.get_hosts()[0].clone() else {
        panic!("a TCP server is needed")
    };
    let port = server.get_ports().first().copied().unwrap_or(5432);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut cut = false;
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect((host.as_str(), port)).await.unwrap();
            if cut {
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
                continue;
            }
            let (mut to_server, mut to_client) = ([0; 65536], [0; 65536]);
            let mut commits = 0;
            loop {
                tokio::select! {
                    n = client.read(&mut to_server) => {
                        let Ok(n @ 1..) = n else { break };
                        server.write_all(&to_server[..n]).await.unwrap();
                        // The first is that of connecting.
                        commits += to_server[..n].windows(6).filter(|bytes| bytes == b"COMMIT").count();
                        if commits == 2 {
                            break;
                        }
                    }
                    n = server.read(&mut to_client) => {
                        let Ok(n @ 1..) = n else { break };
                        client.write_all(&to_client[..n]).await.unwrap();
                    }
                }
            }
            if commits == 2 {
                cut = true;
                // The server answers: the batch is committed. The client never hears of it.
                let mut answer = Vec::new();
                while !answer.windows(6).any(|bytes| bytes == b"COMMIT") {
                    let n = server.read(&mut to_client).await.unwrap();
                    assert!(n > 0, "the server did not commit");
                    answer.extend_from_slice(&to_client[..n]);
                }
            }
        }
    });
    address
}

#[tokio::test]
async fn a_lost_reply_to_commit_is_told_as_unknown_and_resuming_writes_nothing_twice() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let port = cut_after_commit().await;
    let user = server::url().parse::<tokio_postgres::Config>().unwrap();
    let dsn = format!(
        "postgres://{}@127.0.0.1:{port}/{}?sslmode=disable",
        user.get_user().unwrap(),
        user.get_dbname().unwrap()
    );
    let mut sink = open(Settings { dsn, ..place.settings() }, &name);
    sink.connect().await.unwrap();
    let error = sink.apply(&[upsert("a", "{}"), upsert("b", "{}")]).await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Interrupted { message } if message.contains("unknown whether")),
        "{error:?}"
    );
    sink.connect().await.unwrap();
    // The server may still be about to commit.
    while held(&mut *sink).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(held(&mut *sink).await.len(), 2);
    let receipt = sink.apply(&[upsert("a", "{}"), upsert("b", "{}")]).await.unwrap();
    assert_eq!((receipt.inserted, receipt.updated, receipt.position), (0, 0, Some(2)));
    assert_eq!(place.log(&name).await.len(), 2);
}

#[tokio::test]
async fn a_batch_whose_caller_stops_waiting_leaves_a_sink_that_can_connect_again() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    let mut other = server::connect().await;
    let blocker = other.transaction().await.unwrap();
    blocker.batch_execute(&format!("SELECT FROM {} FOR UPDATE", place.table("_exports"))).await.unwrap();
    let batch = [upsert("a", "{}")];
    assert!(tokio::time::timeout(Duration::from_millis(100), sink.apply(&batch)).await.is_err());
    blocker.rollback().await.unwrap();
    sink.connect().await.unwrap();
    sink.apply(&batch).await.unwrap();
    assert_eq!(place.contents(&name).await, contents([("a", "{}")]));
    assert_eq!(place.log(&name).await.len(), 1);
}

#[tokio::test]
async fn listeners_get_the_cursor_with_the_commit() {
    let place = Postgres { schema: server::unique("sinks"), ..Postgres::new().await };
    let name = binding("east", "apps");
    let table = server::unique("notify");
    let mut sink = open(Settings { table: table.as_str().into(), ..place.settings() }, &name);
    sink.connect().await.unwrap();
    let (client, mut connection) =
        tokio_postgres::connect(server::url(), tokio_postgres::NoTls).await.unwrap();
    let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context)).boxed();
    let listen = format!("LISTEN \"{table}\"");
    let mut listening = Box::pin(client.batch_execute(&listen));
    loop {
        tokio::select! {
            done = &mut listening => break done.unwrap(),
            message = messages.next() => drop(message.unwrap().unwrap()),
        }
    }
    sink.apply(&[upsert("a", "{}"), upsert("b", "{}")]).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let AsyncMessage::Notification(told) = messages.next().await.unwrap().unwrap() {
                return told;
            }
        }
    });
    let told: Value = serde_json::from_str(told.await.unwrap().payload()).unwrap();
    assert_eq!(
        told,
        json!({"cluster": "east", "inventoryNamespace": "team", "inventoryName": "apps", "position": 2})
    );
}

#[tokio::test]
async fn a_table_of_the_public_shape_is_set_aside_and_its_columns_stay_readable() {
    let place = Postgres::new().await;
    let client = server::connect().await;
    let (old, schema) = (place.table(""), &place.schema);
    client
        .batch_execute(&format!(
            "CREATE SCHEMA \"{schema}\"; CREATE TABLE {old} (inventory_namespace text, inventory_name text, target_name text, \
             source_uid text, cluster text, resource_namespace text, payload jsonb, exported_at timestamptz, \
             PRIMARY KEY (inventory_namespace, inventory_name, target_name, source_uid)); \
             INSERT INTO {old} VALUES ('team', 'apps', 'web', 'uid-a', 'east', 'shop', '{{}}', now())"
        ))
        .await
        .unwrap();
    let name = binding("east", "apps");
    let mut existing =
        open(Settings { provisioning: kollect::sinks::Provisioning::Existing, ..place.settings() }, &name);
    assert!(matches!(existing.connect().await.unwrap_err(), SinkError::Shape { .. }));
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await, []);
    sink.apply(&[upsert("a", r#"{"n":1}"#)]).await.unwrap();
    let kept: i64 =
        client.query_one(&format!("SELECT count(*) FROM {}", place.table("_v0")), &[]).await.unwrap().get(0);
    assert_eq!(kept, 1);
    let view = format!(
        "SELECT inventory_namespace, inventory_name, target_name, source_uid, cluster, resource_namespace, payload, \
         exported_at::text FROM {}",
        place.table("_v1")
    );
    let row = client.query_one(&view, &[]).await.unwrap();
    let payload: Value = row.get(6);
    let mut json = Vec::new();
    crate::places::row("web", "a", r#"{"n":1}"#).write_json(&mut json);
    assert_eq!(payload, serde_json::from_slice::<Value>(&json).unwrap());
    assert_eq!((row.get::<_, &str>(2), row.get::<_, &str>(4)), ("web", "east"));
}

#[tokio::test]
async fn refusals_name_the_server_and_what_to_do() {
    let place = Postgres::new().await;
    let name = binding("east", "apps");
    let server: tokio_postgres::Config = server::url().parse().unwrap();
    let port = server.get_ports().first().copied().unwrap_or(5432);
    let tokio_postgres::config::Host::Tcp(host) = server.get_hosts()[0].clone() else {
        panic!("a TCP server is needed")
    };

    // Nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let dsn = format!("postgres://me:hunter2@127.0.0.1:{free}/db");
    let error = open(Settings { dsn, ..place.settings() }, &name).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Unreachable { message } if message.contains(&format!("127.0.0.1:{free}/db"))),
        "{error:?}"
    );
    assert!(!error.to_string().contains("hunter2"));

    // No such database.
    let dsn = format!("postgres://{}@{host}:{port}/nowhere", server.get_user().unwrap());
    let error = open(Settings { dsn, ..place.settings() }, &name).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Broken { message, hint } if message.contains("nowhere") && hint.contains("create the database")),
        "{error:?}"
    );

    // A user that may not create tables, and then one that may only read them.
    let role = server::unique("role");
    let admin = server::connect().await;
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'")).await.unwrap();
    let dsn = format!("postgres://{role}:hunter2@{host}:{port}/{}", server.get_dbname().unwrap());
    let theirs = || Settings { dsn: dsn.clone(), ..place.settings() };
    let error = open(theirs(), &name).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Denied { message, .. } if message.contains("creating the tables")),
        "{error:?}"
    );
    place.open(&name).connect().await.unwrap();
    admin
        .batch_execute(&format!(
            "GRANT USAGE ON SCHEMA \"{0}\" TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA \"{0}\" TO {role}",
            place.schema
        ))
        .await
        .unwrap();
    let error = open(theirs(), &name).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Denied { message, hint } if message.contains("INSERT, UPDATE, DELETE") && hint.starts_with("GRANT")),
        "{error:?}"
    );
    // With what the hints say, it works, and needs no right to create anything.
    admin
        .batch_execute(&format!(
            "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{}\" TO {role}",
            place.schema
        ))
        .await
        .unwrap();
    let mut sink = open(theirs(), &name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let place = Postgres::new().await;
    let error = open(with(&place, "sslmode=require"), &binding("east", "apps")).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Broken { message, hint } if message.contains("TLS") && hint.contains("sslmode")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_view_or_a_foreign_column_in_the_way_is_named() {
    let name = binding("east", "apps");
    let place = Postgres::new().await;
    let client = server::connect().await;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA \"{}\"; CREATE VIEW {} AS SELECT 1",
            place.schema,
            place.table("")
        ))
        .await
        .unwrap();
    let error = place.open(&name).connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, .. } if message.contains("is not a table")),
        "{error:?}"
    );

    let place = Postgres::new().await;
    place.open(&name).connect().await.unwrap();
    place.run("ALTER TABLE rows ADD COLUMN theirs text NOT NULL").await;
    let error = place.open(&name).connect().await.unwrap_err();
    assert!(matches!(&error, SinkError::Shape { message, .. } if message.contains("theirs")), "{error:?}");
    // Columns that need no value are nobody's business.
    place.run("ALTER TABLE rows ALTER COLUMN theirs SET DEFAULT 'x'").await;
    let mut sink = place.open(&name);
    sink.connect().await.unwrap();
    sink.apply(&[upsert("a", "{}")]).await.unwrap();
    client
        .batch_execute(&format!("ALTER TABLE {} DROP CONSTRAINT rows_pkey", place.table("")))
        .await
        .unwrap();
    let error = sink.connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, .. } if message.contains("no primary key")),
        "{error:?}"
    );
}
