//! Probes: they find what a binding would run into, and write nothing.

use kollect::sinks::database::postgres;
use kollect::sinks::{EndpointPolicy, Provisioning, SinkConfig, SinkError, Term};

use crate::places::*;
use crate::server;

/// A probe of each kind of place before and after a binding has been there.
async fn finds_what_is_missing(place: impl Place, existing: SinkConfig) {
    place.config().probe().await.unwrap();
    let error = existing.probe().await.unwrap_err();
    assert!(matches!(&error, SinkError::Shape { hint, .. } if hint.contains("ensure")), "{error:?}");
    place.open(&binding("east", "apps")).connect().await.unwrap();
    existing.probe().await.unwrap();
    place.config().probe().await.unwrap();
    assert_eq!(place.contents(&binding("east", "apps")).await, contents([]));
}

#[tokio::test]
async fn a_postgres_database_gets_no_table_and_is_checked_for_its_shape() {
    let place = Postgres::new().await;
    let existing = Postgres { provisioning: Provisioning::Existing, schema: place.schema.clone() };
    let schema = place.schema.clone();
    place.config().probe().await.unwrap();
    let client = server::connect().await;
    let made = "SELECT to_regnamespace($1) IS NOT NULL";
    assert!(!client.query_one(made, &[&schema]).await.unwrap().get::<_, bool>(0));
    finds_what_is_missing(place, existing.config()).await;
    existing.run("ALTER TABLE rows_changes RENAME COLUMN op TO operation").await;
    let place = Postgres { provisioning: Provisioning::Ensure, schema };
    let error = place.config().probe().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, .. } if message.contains("no column op")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_sqlite_file_is_not_created() {
    let place = Sqlite::new().await;
    let existing = place.settings_with(Provisioning::Existing);
    place.config().probe().await.unwrap();
    assert!(!place.path().exists());
    finds_what_is_missing(place, existing).await;
}

#[tokio::test]
async fn a_directory_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("exports");
    let config = |provisioning| {
        let settings = kollect::sinks::snapshot::local::Settings {
            endpoint: directory.display().to_string(),
            provisioning,
            ..Default::default()
        };
        SinkConfig::Local(kollect::sinks::snapshot::local::Config::new(settings).unwrap())
    };
    config(Provisioning::Ensure).probe().await.unwrap();
    assert!(!directory.exists());
    let error = config(Provisioning::Existing).probe().await.unwrap_err();
    assert!(matches!(&error, SinkError::Shape { hint, .. } if hint.contains("ensure")), "{error:?}");
    std::fs::create_dir(&directory).unwrap();
    config(Provisioning::Existing).probe().await.unwrap();
    std::fs::remove_dir(&directory).unwrap();
    std::fs::write(&directory, "").unwrap();
    let error = config(Provisioning::Ensure).probe().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, .. } if message.contains("not a directory")),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_a_postgres_user_may_not_create_is_said() {
    let place = Postgres::new().await;
    let user = server::unique("probe");
    let client = server::connect().await;
    client.batch_execute(&format!("CREATE ROLE {user} LOGIN")).await.unwrap();
    let url = server::url();
    let parsed: tokio_postgres::Config = url.parse().unwrap();
    let database = parsed.get_dbname().unwrap_or("postgres");
    // A later key counts in place of an earlier one.
    let as_user = || {
        let mut settings = place.settings();
        let tokio_postgres::config::Host::Tcp(host) = &parsed.get_hosts()[0] else { panic!("a host") };
        settings.dsn = format!("host={host} port={} user={user} dbname={database}", parsed.get_ports()[0]);
        SinkConfig::Postgres(postgres::Config::new(settings).unwrap())
    };
    let denied = async |grant: &str| {
        let error = as_user().probe().await.unwrap_err();
        assert!(matches!(&error, SinkError::Denied { hint, .. } if hint.contains(grant)), "{error:?}");
        assert!(as_user().open(&binding("east", "apps"), &Term::unfenced()).connect().await.is_err());
    };
    denied("ON DATABASE").await;
    client.batch_execute(&format!("CREATE SCHEMA \"{}\"", place.schema)).await.unwrap();
    denied("ON SCHEMA").await;
    client
        .batch_execute(&format!("GRANT USAGE, CREATE ON SCHEMA \"{}\" TO {user}", place.schema))
        .await
        .unwrap();
    as_user().probe().await.unwrap();
    client.batch_execute(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await.unwrap();
}

#[tokio::test]
async fn a_name_that_leads_to_a_refused_address_is_not_connected_to() {
    let place = Postgres::new().await;
    let parsed: tokio_postgres::Config = server::url().parse().unwrap();
    let (user, port) = (parsed.get_user().unwrap(), parsed.get_ports()[0]);
    let sink = |hosts: &str, endpoints: EndpointPolicy| {
        let dsn = format!("postgres://{user}:canary@{hosts}/postgres?connect_timeout=2");
        let settings = postgres::Settings { dsn, endpoints, ..place.settings() };
        SinkConfig::Postgres(postgres::Config::new(settings).unwrap())
    };
    let loopback =
        || EndpointPolicy::guarded(false, vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
    // The operating system resolves them all to this machine; nothing but that is looked at here.
    for host in ["localhost", "127.1", "0x7f000001", "2130706433", "127.0.0.1"] {
        let hosts = format!("{host}:{port}");
        let error = sink(&hosts, EndpointPolicy::default()).probe().await.unwrap_err();
        let SinkError::Forbidden { message, hint } = &error else { panic!("{host}: {error:?}") };
        assert!(message.contains("a loopback address"), "{message}");
        assert!(hint.contains("--allowed-endpoint-cidrs"), "{hint}");
        assert!(!format!("{error:?}").contains("canary"));
        assert_eq!(error.reason(), "EndpointForbidden");
        assert!(!error.is_retryable());
        let mut binding =
            sink(&hosts, EndpointPolicy::default()).open(&binding("east", "apps"), &Term::unfenced());
        assert_eq!(binding.connect().await, Err(error));
        sink(&hosts, loopback()).probe().await.unwrap();
    }
    // One of several that is refused does not keep from the others, and the other way round.
    sink(&format!("10.0.0.1:{port},127.0.0.1:{port}"), loopback()).probe().await.unwrap();
    let both = sink(&format!("127.0.0.1:{port},10.0.0.1:{port}"), EndpointPolicy::default());
    assert!(matches!(both.probe().await, Err(SinkError::Forbidden { .. })));
}
