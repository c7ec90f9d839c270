//! Encrypted connections to Postgres, and whose certificates are taken.

use kollect::sinks::database::postgres::{Config, Settings};
use kollect::sinks::{ClientCertificate, Sink, SinkConfig, SinkError, Term, TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::places::{Postgres, binding};
use crate::server;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// What a certificate for `localhost` says.
fn localhost() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap()
}

/// Has a server write a file of its data directory, so that it belongs to the server's user.
async fn write(client: &tokio_postgres::Client, text: &str, file: &str) {
    // Programs run in the data directory.
    let write = format!(
        "COPY (SELECT unnest(string_to_array('{text}', E'\\n'))) TO PROGRAM 'umask 077; cat > {file}'"
    );
    client.batch_execute(&write).await.unwrap();
}

/// Gives a running server such a certificate.
async fn switch_tls_on(
    url: &str,
    authority: &CertifiedIssuer<'static, KeyPair>,
    parameters: CertificateParams,
) {
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap();
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    write(&client, &certificate.pem(), "server.crt").await;
    write(&client, &key.serialize_pem(), "server.key").await;
    client.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    for _ in 0..600 {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        if client.query_one("SHOW ssl", &[]).await.unwrap().get::<_, &str>(0) == "on" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the server did not switch TLS on");
}

#[tokio::test]
async fn certificates_are_checked_as_the_settings_say() {
    let url = server::start(&server::directory("tls"));
    let (ours, other) = (authority(), authority());
    switch_tls_on(&url, &ours, localhost()).await;
    let parsed: tokio_postgres::Config = url.parse().unwrap();
    let (user, port) = (parsed.get_user().unwrap(), parsed.get_ports()[0]);

    let trusting = |pem: Option<String>| TlsSettings {
        insecure_skip_verify: false,
        ca_pem: pem.map(String::into_bytes),
        client: None,
    };
    let insecure = TlsSettings { insecure_skip_verify: true, ..TlsSettings::default() };
    let place = Postgres::new().await;
    let connect = async |host: &str, mode: &str, tls: &TlsSettings| {
        let application = server::unique("tls");
        let dsn =
            format!("postgres://{user}@{host}:{port}/postgres?sslmode={mode}&application_name={application}");
        let settings = Settings { dsn, tls: tls.clone(), ..place.settings() };
        let config = SinkConfig::Postgres(Config::new(settings).unwrap());
        let Sink::Rows(mut sink) = config.open(&binding("east", "apps"), &Term::unfenced()) else {
            panic!("rows are expected")
        };
        sink.connect().await?;
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let encrypted = client
            .query_one(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1",
                &[&application],
            )
            .await
            .unwrap();
        Ok::<bool, SinkError>(encrypted.get(0))
    };

    let ca = trusting(Some(ours.pem()));
    for (host, mode, tls, encrypted) in [
        ("localhost", "require", &ca, true),
        ("localhost", "verify-full", &ca, true),
        ("127.0.0.1", "verify-ca", &ca, true),
        ("127.0.0.1", "require", &insecure, true),
        ("127.0.0.1", "prefer", &trusting(None), true),
        ("localhost", "disable", &ca, false),
    ] {
        assert_eq!(connect(host, mode, tls).await, Ok(encrypted), "{host} {mode}");
    }
    for (host, mode, tls, remedy) in [
        ("127.0.0.1", "verify-full", &ca, "host name"),
        ("127.0.0.1", "require", &ca, "host name"),
        ("localhost", "require", &trusting(Some(other.pem())), "spec.tls"),
        ("localhost", "verify-ca", &trusting(Some(other.pem())), "spec.tls"),
        ("localhost", "prefer", &trusting(Some(other.pem())), "spec.tls"),
        ("localhost", "require", &trusting(None), "spec.tls"),
    ] {
        let error = connect(host, mode, tls).await.unwrap_err();
        assert!(
            matches!(&error, SinkError::Broken { message, hint } if message.contains("certificate is not trusted") && hint.contains(remedy)),
            "{host} {mode}: {error:?}"
        );
    }
    let error = connect("localhost", "require", &trusting(Some("no PEM".to_owned()))).await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Terminal { message, .. } if message.contains("holds no certificate")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_taken_without_another_configuration() {
    let url = server::start(&server::directory("renewed"));
    let ours = authority();
    let mut expired = localhost();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    switch_tls_on(&url, &ours, expired).await;
    let parsed: tokio_postgres::Config = url.parse().unwrap();
    let (user, port) = (parsed.get_user().unwrap(), parsed.get_ports()[0]);
    let settings = Settings {
        dsn: format!("postgres://{user}@localhost:{port}/postgres?sslmode=verify-full"),
        tls: TlsSettings { insecure_skip_verify: false, ca_pem: Some(ours.pem().into_bytes()), client: None },
        ..Postgres::new().await.settings()
    };
    let config = SinkConfig::Postgres(Config::new(settings).unwrap());
    let mut sink = config.open(&binding("east", "apps"), &Term::unfenced());
    let is_expired =
        |error: &SinkError| matches!(error, SinkError::Broken { hint, .. } if hint.contains("renew"));
    let error = sink.connect().await.unwrap_err();
    assert!(is_expired(&error), "{error:?}");
    switch_tls_on(&url, &ours, localhost()).await;
    // The server takes a moment to read it.
    for _ in 0..600 {
        match sink.connect().await {
            Ok(()) => return,
            Err(error) => assert!(is_expired(&error), "{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the renewed certificate is not taken");
}

/// What a client shows that such a certificate names.
fn client(name: &str, authority: &CertifiedIssuer<'static, KeyPair>) -> ClientCertificate {
    let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap();
    ClientCertificate {
        certificate_pem: certificate.pem().into_bytes(),
        key_pem: key.serialize_pem().into_bytes(),
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_the_one_of_the_settings() {
    let url = server::start(&server::directory("mtls"));
    let (ours, other) = (authority(), authority());
    let (admin, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    write(&admin, &ours.pem(), "ca.crt").await;
    admin.batch_execute("CREATE ROLE portal LOGIN").await.unwrap();
    admin.batch_execute("GRANT CREATE ON DATABASE postgres TO portal").await.unwrap();
    // Whoever is portal proves it by certificate; the tests themselves come without.
    let rules = "hostssl all portal all cert\nhost all portal all reject\n                 host all all all trust\nlocal all all trust";
    write(&admin, rules, "client_hba.conf").await;
    admin.batch_execute("ALTER SYSTEM SET ssl_ca_file = 'ca.crt'").await.unwrap();
    admin.batch_execute("COPY (SELECT 1) TO PROGRAM 'cp client_hba.conf pg_hba.conf'").await.unwrap();
    switch_tls_on(&url, &ours, localhost()).await;
    let parsed: tokio_postgres::Config = url.parse().unwrap();
    let port = parsed.get_ports()[0];
    let place = Postgres::new().await;
    let connect = async |client: Option<ClientCertificate>| {
        let settings = Settings {
            dsn: format!("postgres://portal@localhost:{port}/postgres?sslmode=verify-full"),
            tls: TlsSettings { insecure_skip_verify: false, ca_pem: Some(ours.pem().into_bytes()), client },
            ..place.settings()
        };
        let config = SinkConfig::Postgres(Config::new(settings).unwrap());
        assert!(!format!("{config:?}").contains("BEGIN"));
        config.open(&binding("east", "apps"), &Term::unfenced()).connect().await
    };

    assert_eq!(connect(Some(client("portal", &ours))).await, Ok(()));
    // None, that of somebody else, and one that nobody has signed whom the server trusts.
    for shown in [None, Some(client("admin", &ours)), Some(client("portal", &other))] {
        let error = connect(shown).await.unwrap_err();
        assert!(
            matches!(
                error,
                SinkError::Denied { .. }
                    | SinkError::Unreachable { .. }
                    | SinkError::Interrupted { .. }
                    | SinkError::Broken { .. }
            ),
            "{error:?}"
        );
    }
    // What can't be shown at all is ours to put right, and its content stays out of what is said.
    let mut mixed = client("portal", &ours);
    mixed.key_pem = client("portal", &ours).key_pem;
    for (broken, says) in [
        (mixed, "do not go together"),
        (
            ClientCertificate { certificate_pem: b"canary".to_vec(), ..client("portal", &ours) },
            "no certificate",
        ),
        (ClientCertificate { key_pem: b"canary".to_vec(), ..client("portal", &ours) }, "no private key"),
    ] {
        let error = connect(Some(broken)).await.unwrap_err();
        assert!(
            matches!(&error, SinkError::Terminal { message, hint } if message.contains(says)
                && hint.contains("clientCertSecretRef") && !message.contains("canary")),
            "{error:?}"
        );
    }
}
