//! KollectDatabaseSink.

use crate::{accepts, manifest, rejects, rejects_offline};

fn sink(spec: &str) -> String {
    manifest("KollectDatabaseSink", spec)
}

/// A Postgres sink with this beside what it needs.
fn postgres(fields: &str) -> String {
    sink(&format!("{{type: postgres, postgres: {{databaseRef: {{name: dsn}}, table: rows}}, {fields}}}"))
}

/// A SQLite sink with this beside what it needs.
fn sqlite(fields: &str) -> String {
    sink(&format!("{{type: sqlite, endpoint: /var/lib/case.db, {fields}}}"))
}

/// `-----BEGIN CERTIFICATE-----` and more, in base64.
const PEM: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

#[test]
fn accepts_minimal_sinks() {
    accepts(&postgres(""));
    accepts(&sqlite(""));
    accepts(&sink("{type: postgres, secretRef: {name: dsn}, postgres: {table: rows}}"));
}

#[test]
fn accepts_every_field() {
    accepts(&sink(&format!(
        "{{type: postgres, cluster: 'arn:aws:eks:eu-west-1:1:cluster/prod', exportMinInterval: 1m,
           postgres: {{databaseRef: {{name: dsn, namespace: default}}, schema: portal, table: inventory_rows}},
           tls: {{insecureSkipVerify: false, caBundle: {PEM}}},
           provisioning: {{mode: existing}}, deletionPolicy: Retain,
           options: {{applicationName: portal, connectTimeout: 3s, statementTimeout: 1m}}}}"
    )));
    accepts(&postgres("tls: {clientCertSecretRef: {name: me, namespace: default}}"));
    accepts(&sink(
        "{type: postgres, postgres: {databaseRef: {name: dsn}}, provisioning: {naming: {template: '{cluster}_{name}'}}}",
    ));
    accepts(&postgres(
        "tls: {caSecretRef: {name: ca}}, provisioning: {mode: ensure}, deletionPolicy: Delete",
    ));
    accepts(&sqlite("cluster: demo, sqlite: {table: rows}, provisioning: {}"));
    accepts(&sink("{type: sqlite, endpoint: 'file:///var/lib/case.db'}"));
}

#[test]
fn rejects_types_that_are_gone_or_unknown() {
    rejects(&sink("{}"), "spec.type", "missing");
    rejects(
        &sink("{type: postgresql, postgres: {databaseRef: {name: dsn}, table: rows}}"),
        "spec.type",
        "did you mean `postgres`?",
    );
    rejects(&sink("{type: prometheus}"), "spec.type", "supported are `postgres`, `sqlite`");
    rejects(&sink("{type: ''}"), "spec.type", "supported are");
}

#[test]
fn rejects_a_type_without_its_block() {
    rejects(&sink("{type: postgres}"), "spec", "type postgres needs spec.postgres");
    rejects(&sink("{type: postgres, secretRef: {name: dsn}}"), "spec", "type postgres needs spec.postgres");
    rejects(
        &sink("{type: postgres, postgres: {table: rows}}"),
        "spec",
        "name it in spec.postgres.databaseRef",
    );
    rejects(
        &sink("{type: postgres, postgres: {databaseRef: {name: dsn}}}"),
        "spec",
        "type postgres needs a table",
    );
    rejects(
        &sink("{type: postgres, postgres: {databaseRef: {}, table: a}}"),
        "spec.postgres.databaseRef.name",
        "missing",
    );
    rejects(&sink("{type: sqlite}"), "spec", "absolute path");
}

#[test]
fn rejects_a_block_of_another_type() {
    rejects(&postgres("sqlite: {table: rows}"), "spec", "type sqlite only");
    rejects(&sqlite("postgres: {databaseRef: {name: dsn}, table: rows}"), "spec", "type postgres only");
    rejects(&postgres("endpoint: 'postgres://db.example:5432'"), "spec", "takes no endpoint");
    rejects(&sqlite("secretRef: {name: dsn}"), "spec", "neither tls nor secretRef");
    rejects(&sqlite("tls: {insecureSkipVerify: true}"), "spec", "neither tls nor secretRef");
}

#[test]
fn rejects_paths_that_are_not_absolute() {
    for endpoint in ["inventory.db", "./inventory.db", "file://inventory.db", "s3://bucket/x"] {
        rejects(&sink(&format!("{{type: sqlite, endpoint: '{endpoint}'}}")), "spec", "absolute path");
    }
    rejects(&sink("{type: sqlite, endpoint: /var/../etc/x.db}"), "spec.endpoint", "direct path");
    rejects(&sink("{type: sqlite, endpoint: ''}"), "spec.endpoint", "empty");
    rejects(&sink(r#"{type: sqlite, endpoint: "/a\n/b"}"#), "spec.endpoint", "one line");
}

#[test]
fn rejects_names_of_tables_that_can_not_be_used() {
    let table = |table: &str| sink(&format!("{{type: sqlite, endpoint: /a.db, sqlite: {{table: {table}}}}}"));
    for name in ["1st", "public.rows", "'a b'", "größe", "'rows; drop table x'"] {
        rejects(&table(name), "spec.sqlite.table", "begin with a letter");
    }
    rejects(&table("''"), "spec.sqlite.table", "empty");
    rejects(&table(&"a".repeat(56)), "spec.sqlite.table", "at most 55");
    accepts(&table(&"a".repeat(55)));
    let schema = "{type: postgres, postgres: {databaseRef: {name: dsn}, table: rows, schema: 'a.b'}}";
    rejects(&sink(schema), "spec.postgres.schema", "begin with a letter");
}

#[test]
fn rejects_two_authorities_at_once() {
    rejects(
        &postgres(&format!("tls: {{caBundle: {PEM}, caSecretRef: {{name: ca}}}}")),
        "spec.tls",
        "give one of them",
    );
}

#[test]
fn rejects_an_authority_that_is_none() {
    rejects(&postgres("tls: {caBundle: '%%%'}"), "spec.tls.caBundle", "base64");
    rejects(&postgres("tls: {caBundle: ''}"), "spec.tls.caBundle", "empty");
    rejects_offline(&postgres("tls: {caBundle: aGVsbG8=}"), "spec.tls.caBundle", "PEM");
}

#[test]
fn rejects_secrets_of_other_namespaces() {
    rejects_offline(
        &sink("{type: postgres, postgres: {databaseRef: {name: dsn, namespace: other}, table: rows}}"),
        "spec.postgres.databaseRef.namespace",
        "another namespace",
    );
    rejects_offline(
        &postgres("tls: {caSecretRef: {name: ca, namespace: other}}"),
        "spec.tls.caSecretRef.namespace",
        "another namespace",
    );
    rejects(
        &sink("{type: postgres, postgres: {databaseRef: {name: dsn, namespace: A}, table: rows}}"),
        "spec.postgres.databaseRef.namespace",
        "lower-case",
    );
}

#[test]
fn rejects_what_the_schema_does_not_know() {
    rejects(&postgres("deletionPolicy: Orphan"), "spec.deletionPolicy", "supported are `Delete`, `Retain`");
    rejects(&postgres("deletionPolicy: retain"), "spec.deletionPolicy", "did you mean `Retain`?");
    rejects(
        &postgres("provisioning: {mode: create}"),
        "spec.provisioning.mode",
        "supported are `ensure`, `existing`",
    );
    rejects(&postgres("provisioning: existing"), "spec.provisioning", "a mapping");
    rejects(&postgres("secretref: {name: a}"), "spec.secretref", "`secretRef`?");
    rejects(&postgres("tls: {insecure: true}"), "spec.tls.insecure", "the fields are");
    rejects(&postgres("exportMinInterval: 48h"), "spec.exportMinInterval", "at most 24h");
    rejects(&postgres(r#"cluster: "a\tb""#), "spec.cluster", "one line");
}

#[test]
fn rejects_options_that_look_like_secrets() {
    for key in [
        "password",
        "PGPASSWORD",
        "passwd",
        "sslPassphrase",
        "clientSecret",
        "token",
        "apiKey",
        "api_key",
        "access-key",
        "privateKey",
        "credentials",
    ] {
        rejects(
            &postgres(&format!("options: {{{key}: x}}")),
            "spec.options",
            "put what is secret into a Secret",
        );
    }
    rejects_offline(&postgres("options: {sslmode: require}"), "spec.options.sslmode", "the options are");
}

#[test]
fn rejects_names_that_no_template_makes() {
    for template in ["{uid}", "rows_{name", "{{ .Name }}"] {
        let naming = format!("provisioning: {{naming: {{template: '{template}'}}}}");
        rejects(&sqlite(&naming), "spec.provisioning.naming.template", "the placeholders are");
    }
}
