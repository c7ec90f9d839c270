#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use kollect_dataflows::data::{Gvk, Row, RowParts, TargetName};

use super::config::{Config, Options, Settings, Verification};
use super::encode::{chunks, notification, quote};
use super::error::without_quoted;
use super::schema::definitions;
use crate::sinks::{
    BindingName, Change, ConfigError, DeletionPolicy, EndpointPolicy, Provisioning, TlsSettings,
};

fn settings(dsn: &str) -> Settings {
    Settings {
        dsn: dsn.to_owned(),
        schema: None,
        table: "rows".into(),
        provisioning: Provisioning::Ensure,
        tls: TlsSettings::default(),
        deletion_policy: None,
        endpoints: EndpointPolicy::default(),
        options: Options::default(),
    }
}

fn config(dsn: &str) -> Result<Config, ConfigError> {
    Config::new(settings(dsn))
}

#[test]
fn describes_the_destination_without_credentials() {
    for (dsn, expected) in [
        ("postgres://me:hunter2@db.example/inventory", "postgres db.example:5432/inventory public.rows"),
        ("postgresql://me:hunter2@[::1]:6432/inventory", "postgres [::1]:6432/inventory public.rows"),
        ("host=a,b port=1,2 user=me password='hunter 2' dbname=x", "postgres a:1,b:2/x public.rows"),
        ("host=db user=me password=hunter2", "postgres db:5432/me public.rows"),
    ] {
        let config = config(dsn).unwrap();
        assert_eq!(config.describe(), expected);
        assert_eq!(config.deletion_policy(), DeletionPolicy::Delete);
        assert!(!format!("{config:?} {:?}", settings(dsn)).contains("hunter"));
    }
}

#[test]
fn sslmode_decides_what_is_checked() {
    use Verification::{Authority, AuthorityAndHost, Nothing};
    for (mode, expected) in [
        ("", Nothing),
        ("disable", Nothing),
        ("prefer", Nothing),
        ("require", AuthorityAndHost),
        ("verify-ca", Authority),
        ("verify-full", AuthorityAndHost),
    ] {
        for dsn in [
            format!("postgres://u:p@h/d?connect_timeout=3&sslmode={mode}&application_name=x"),
            format!("postgres://u:p@h/d?sslmode={mode}"),
            format!("host=h sslmode={mode} user=u"),
            format!("sslmode='{mode}' host=h user=u"),
        ] {
            let dsn = if mode.is_empty() {
                dsn.replace("sslmode=&", "")
                    .replace("?sslmode=", "")
                    .replace("sslmode=''", "")
                    .replace("sslmode=", "")
            } else {
                dsn
            };
            let found = config(&dsn).unwrap();
            assert_eq!(found.verification(), expected, "{dsn}");
            assert_eq!(found.server().split('/').next(), Some("h:5432"), "{dsn}");
        }
    }
    let with_authority = Settings {
        tls: TlsSettings { insecure_skip_verify: false, ca_pem: Some(b"pem".to_vec()), client: None },
        ..settings("postgres://h/d")
    };
    assert_eq!(Config::new(with_authority).unwrap().verification(), AuthorityAndHost);
    let insecure = Settings {
        tls: TlsSettings { insecure_skip_verify: true, ..TlsSettings::default() },
        ..settings("postgres://h/d?sslmode=verify-full")
    };
    assert_eq!(Config::new(insecure).unwrap().verification(), Nothing);
}

#[test]
fn rejects_connection_strings_without_repeating_them() {
    for dsn in [
        "",
        "hunter2",
        "postgres://me:hunter2@/db",
        "postgres://me:hunter2@host:port/db",
        "postgres://me:hun ter2@host:99999/db",
        "host=db password=a hunter2 user=x",
        "postgres://me:hunter2@host/db?sslmode=hunter2",
        "postgres://me:hunter2@host/db?sslrootcert=/etc/ca",
        "mysql://me:hunter2@host/db",
        // The driver takes what stands before the first `@` for the credentials, wherever that is.
        "postgres://me:S3cr@hunter2@host/db",
        "postgresql://me:S3cr@t/hunter2@host/db",
        "postgres://me:S3cr@hunter2@host?application_name=x",
        "postgres://host/db?user=me&password=S3cr@hunter2",
        "postgres://me:S3cr@t%40hunter2/db",
        "host=me:S3cr@hunter2 user=x",
        "host=db user=x dbname=postgres://me:hunter2@host/db",
    ] {
        let error = config(dsn).unwrap_err();
        assert_eq!(error.field, "spec.postgres.databaseRef", "{dsn}");
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
}

#[test]
fn an_at_sign_may_stand_in_user_and_password_when_encoded_and_in_options() {
    for (dsn, user, password) in [
        ("postgres://me%40db:S3cr%40t@h/d?application_name=me@home&sslmode=require", "me@db", "S3cr@t"),
        ("host=h dbname=d user=me@db password=S3cr@t sslmode=require", "me@db", "S3cr@t"),
    ] {
        let config = config(dsn).unwrap();
        assert_eq!(config.server(), "h:5432/d");
        assert_eq!(config.dsn().get_user(), Some(user));
        assert_eq!(config.dsn().get_password(), Some(password.as_bytes()));
        assert_eq!(config.verification(), Verification::AuthorityAndHost);
    }
}

#[test]
fn rejects_names_and_tls_settings_with_the_field() {
    let field = |settings: Settings| Config::new(settings).unwrap_err().field;
    let dsn = "postgres://h/d";
    assert_eq!(field(Settings { table: "a.b".into(), ..settings(dsn) }), "spec.postgres.table");
    assert_eq!(field(Settings { schema: Some("a\"b".to_owned()), ..settings(dsn) }), "spec.postgres.schema");
    let tls = TlsSettings { insecure_skip_verify: true, ca_pem: Some(Vec::new()), client: None };
    assert_eq!(field(Settings { tls, ..settings(dsn) }), "spec.tls");
}

#[test]
fn equal_settings_are_equal_configurations_and_another_password_is_not() {
    assert_eq!(config("postgres://u:p@h/d").unwrap(), config(" postgres://u:p@h/d\n").unwrap());
    assert_ne!(config("postgres://u:p@h/d").unwrap(), config("postgres://u:q@h/d").unwrap());
}

fn upsert(name: &str, attributes: &str) -> Change {
    Change::Upsert(Row::new(RowParts {
        target: &Arc::new(TargetName::new("team", "web")),
        gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
        namespace: "shop",
        name,
        uid: name,
        attributes,
        incomplete: &[],
    }))
}

#[test]
fn a_batch_is_cut_by_rows_and_by_bytes() {
    let many: Vec<Change> = (0..2_500).map(|i| upsert(&i.to_string(), "{}")).collect();
    assert_eq!(chunks(&many).map(|chunk| chunk.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    let big = format!("{{\"a\":\"{}\"}}", "x".repeat(700_000));
    let large: Vec<Change> = (0..5).map(|i| upsert(&i.to_string(), &big)).collect();
    assert_eq!(chunks(&large).map(|chunk| chunk.len()).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(chunks(&[]).count(), 0);
}

#[test]
fn names_are_quoted_and_data_in_messages_is_left_out() {
    assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    assert_eq!(
        without_quoted("invalid input syntax for type json: \"secret\" at \"x"),
        "invalid input syntax for type json: \"…\" at \"…"
    );
}

#[test]
fn a_notification_carries_the_cursor_and_fits() {
    let binding = BindingName {
        cluster: "c".repeat(253),
        inventory_namespace: "team".to_owned(),
        inventory_name: "apps".to_owned(),
    };
    let text = notification(&binding, u64::MAX);
    // Postgres takes less than 8000 bytes.
    assert!(text.len() < 1_000);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["position"], u64::MAX);
    assert_eq!(json["inventoryName"], "apps");
}

#[test]
fn the_key_of_every_table_holds_cluster_and_inventory() {
    let sql = definitions(&config("postgres://h/d").unwrap());
    assert_eq!(sql.matches("PRIMARY KEY (cluster, inventory_namespace, inventory_name").count(), 3, "{sql}");
}
