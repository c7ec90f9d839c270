//! What sink resources become.

use super::{briefly, input, inventory, plan};
use crate::catalog::{
    Catalog, Options, Plan, ResourceName, SecretData, SinkFamily, SinkName, wanted_secrets,
};
use crate::sinks::DeletionPolicy;

fn sink(family: SinkFamily, name: &str) -> SinkName {
    SinkName { family, name: ResourceName::new("a", name) }
}

const POSTGRES: &str = "
kind: KollectDatabaseSink
metadata: {namespace: a, name: pg}
spec:
  type: postgres
  postgres: {databaseRef: {name: dsn}, table: rows, schema: portal}
  tls: {insecureSkipVerify: true}
  deletionPolicy: Retain
---
kind: Secret
metadata: {namespace: a, name: dsn}
stringData: {DATABASE_URL: 'postgres://u:canary-5e@later.example/x', dsn: '  postgres://u:canary-5e@db.example/x '}
---
kind: KollectInventory
metadata: {namespace: a, name: i}
spec: {databaseSinkRefs: [pg]}
";

#[cfg(feature = "postgres")]
#[test]
fn a_postgres_sink_gets_its_connection_string_from_its_secret() {
    let plan = plan(POSTGRES);
    assert_eq!(briefly(&plan), [""; 0]);
    let planned = &plan.sinks[&sink(SinkFamily::Database, "pg")];
    // The first of the keys that is there counts.
    assert_eq!(planned.destination.as_deref(), Some("postgres db.example:5432/x portal.rows"));
    assert!(planned.tls_insecure);
    let binding = &inventory(&plan, "i").bindings[0];
    assert_eq!(binding.config.deletion_policy(), DeletionPolicy::Retain);
    assert!(!format!("{plan:?}").contains("canary"));
}

#[cfg(feature = "postgres")]
#[test]
fn a_rotated_secret_changes_the_binding_and_nothing_else() {
    let mut input = input(POSTGRES);
    let mut catalog = Catalog::default();
    let before = catalog.plan(&input);
    assert!(!format!("{input:?}").contains("canary"));
    let name = ResourceName::new("a", "dsn");
    let data = [("dsn".to_owned(), b"postgres://u:rotated@db.example/x".to_vec())];
    input.secrets.insert(name, SecretData(data.into()));
    let after = catalog.plan(&input);
    assert_ne!(inventory(&before, "i").bindings[0].config, inventory(&after, "i").bindings[0].config);
    assert_eq!(before.targets, after.targets);
    let destinations = |plan: &Plan| -> Vec<_> {
        plan.sinks.iter().map(|(name, sink)| (name.clone(), sink.destination.clone())).collect()
    };
    assert_eq!(destinations(&before), destinations(&after));
}

#[cfg(feature = "postgres")]
#[test]
fn a_general_secret_reference_will_do() {
    let plan = plan(
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, secretRef: {name: dsn}, postgres: {table: rows}}\n---\nkind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {url: 'host=db.example user=u dbname=x'}",
    );
    assert_eq!(briefly(&plan), [""; 0]);
    let planned = &plan.sinks[&sink(SinkFamily::Database, "pg")];
    assert_eq!(planned.destination.as_deref(), Some("postgres db.example:5432/x public.rows"));
}

#[test]
fn deletion_policies_differ_by_family_and_can_be_chosen() {
    let policies = |documents: &str| -> Vec<DeletionPolicy> {
        let plan = plan(&format!(
            "kind: KollectInventory\nmetadata: {{namespace: a, name: i}}\nspec: {{databaseSinkRefs: [db], snapshotSinkRefs: [files]}}\n{documents}"
        ));
        inventory(&plan, "i").bindings.iter().map(|binding| binding.config.deletion_policy()).collect()
    };
    assert_eq!(policies(""), [DeletionPolicy::Delete, DeletionPolicy::Retain]);
    assert_eq!(
        policies(
            "---\nkind: KollectDatabaseSink\nmetadata: {namespace: a, name: db}\nspec: {type: sqlite, endpoint: /a.db, deletionPolicy: Retain}\n---\nkind: KollectSnapshotSink\nmetadata: {namespace: a, name: files}\nspec: {type: local, endpoint: /files, deletionPolicy: Delete}"
        ),
        [DeletionPolicy::Retain, DeletionPolicy::Delete]
    );
}

#[test]
fn only_secrets_that_sinks_refer_to_in_their_namespace_are_wanted() {
    let mut input = input(
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, postgres: {databaseRef: {name: dsn}, table: rows}, tls: {caSecretRef: {name: ca, namespace: a}}}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: b, name: pg}\nspec: {type: postgres, secretRef: {name: url}, postgres: {table: rows}}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: c, name: pg}\nspec: {type: postgres, postgres: {databaseRef: {name: dsn, namespace: a}, table: rows}}\n---\nkind: Secret\nmetadata: {namespace: z, name: unrelated}\nstringData: {a: b}",
    );
    let wanted: Vec<String> = wanted_secrets(&input).iter().map(ToString::to_string).collect();
    assert_eq!(wanted, ["a/ca", "a/dsn", "b/url"]);
    input.options = Options { output: Some("/out".into()), ..Options::default() };
    assert!(wanted_secrets(&input).is_empty());
}

#[test]
fn files_of_several_clusters_need_the_cluster_in_their_path() {
    let several = |template: &str| {
        let mut input = input(&format!(
            "
kind: KollectSnapshotSink
metadata: {{namespace: a, name: files}}
spec: {{type: local, endpoint: /var/lib/files{template}}}
---
kind: KollectInventory
metadata: {{namespace: a, name: i}}
spec: {{snapshotSinkRefs: [files]}}
"
        ));
        input.options.several_clusters = true;
        Catalog::default().plan(&input)
    };
    let shared = several("");
    assert_eq!(
        briefly(&shared),
        [
            "KollectInventory a/i spec.snapshotSinkRefs[0] SinkInvalid",
            "KollectSnapshotSink a/files spec.pathTemplate SpecInvalid"
        ]
    );
    assert!(inventory(&shared, "i").bindings.is_empty());
    let apart = several(", pathTemplate: 'inventory/{cluster}/{namespace}/{name}{extension}'");
    assert_eq!(briefly(&apart), [""; 0]);
    assert_eq!(inventory(&apart, "i").bindings.len(), 1);
}

#[cfg(feature = "postgres")]
#[test]
fn a_secret_that_cannot_be_read_is_not_said_to_be_missing() {
    let mut input = input(
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, secretRef: {name: dsn}, postgres: {table: rows}}",
    );
    input.secrets_unreadable.insert(ResourceName::new("a", "dsn"), "secrets \"dsn\" is forbidden".into());
    let plan = Catalog::default().plan(&input);
    assert_eq!(super::briefly(&plan), ["KollectDatabaseSink a/pg spec.secretRef SecretUnreadable"]);
    let message = plan.problems[0].to_string();
    assert!(message.contains("forbidden") && message.contains("`get`"), "{message}");
}

#[cfg(feature = "postgres")]
#[test]
fn a_client_certificate_comes_from_its_secret_and_is_never_shown() {
    let with = |secret: &str| {
        POSTGRES.replace("tls: {insecureSkipVerify: true}", "tls: {clientCertSecretRef: {name: me}}")
            + "---\nkind: Secret\nmetadata: {namespace: a, name: me}\nstringData: "
            + secret
    };
    const CERTIFICATE: &str = "'-----BEGIN CERTIFICATE----- canary-5e'";
    const KEY: &str = "'-----BEGIN EC PRIVATE KEY----- canary-5e'";
    let fine = with(&format!("{{tls.crt: {CERTIFICATE}, tls.key: {KEY}}}"));
    assert!(wanted_secrets(&input(&fine)).contains(&ResourceName::new("a", "me")));
    let planned = plan(&fine);
    assert_eq!(briefly(&planned), [""; 0]);
    assert!(!format!("{planned:?}").contains("canary"));
    let renewed = plan(&fine.replace("CERTIFICATE----- canary-5e", "CERTIFICATE----- canary-5f"));
    assert_ne!(
        inventory(&planned, "i").bindings[0].config,
        inventory(&renewed, "i").bindings[0].config,
        "a renewed certificate is taken"
    );
    for (secret, says) in [
        (format!("{{tls.crt: {CERTIFICATE}}}"), "tls.key"),
        (format!("{{tls.key: {KEY}}}"), "tls.crt"),
        (
            format!("{{tls.crt: {CERTIFICATE}, tls.key: canary-5e}}"),
            "no private key in PEM form under `tls.key`",
        ),
        (format!("{{tls.crt: canary-5e, tls.key: {KEY}}}"), "no certificate in PEM form under `tls.crt`"),
    ] {
        let plan = plan(&with(&secret));
        let problem = &plan.problems[0];
        let (field, reason) = (problem.field.as_str(), problem.reason);
        assert_eq!((field, reason), ("spec.tls.clientCertSecretRef", "SecretInvalid"), "{says}");
        assert!(problem.message.contains(says) && !problem.message.contains("canary"), "{problem}");
    }
}

const NAMED: &str = "
kind: KollectDatabaseSink
metadata: {namespace: a, name: files}
spec:
  type: sqlite
  endpoint: /x/inventory.db
  cluster: East
  provisioning: {naming: {template: '{cluster}_{namespace}_{name}'}}
---
kind: KollectInventory
metadata: {namespace: a, name: web.apps}
spec: {databaseSinkRefs: [files]}
---
kind: KollectInventory
metadata: {namespace: a, name: web-apps}
spec: {databaseSinkRefs: [files]}
---
kind: KollectInventory
metadata: {namespace: a, name: jobs}
spec: {databaseSinkRefs: [files]}
";

#[cfg(feature = "sqlite")]
#[test]
fn a_template_names_the_table_of_each_inventory() {
    let plan = plan(NAMED);
    let planned = &plan.sinks[&sink(SinkFamily::Database, "files")];
    assert_eq!(planned.destination.as_deref(), Some("sqlite /x/inventory.db {cluster}_{namespace}_{name}"));
    let goes_to = |name: &str| inventory(&plan, name).bindings[0].config.describe();
    assert_eq!(goes_to("jobs"), "sqlite /x/inventory.db East_a_jobs");
    // Two that come out the same share a table, as they would without a template; their bindings tell them apart.
    assert_eq!(goes_to("web.apps"), "sqlite /x/inventory.db East_a_web_apps");
    assert_eq!(goes_to("web-apps"), goes_to("web.apps"));
    let name = |name: &str| inventory(&plan, name).bindings[0].name.clone();
    assert_ne!(name("web-apps"), name("web.apps"));
}

#[cfg(feature = "sqlite")]
#[test]
fn two_sinks_that_lead_one_inventory_to_one_table_are_told() {
    let twice = NAMED.replace("databaseSinkRefs: [files]", "databaseSinkRefs: [files, other]")
        + "---
kind: KollectDatabaseSink
metadata: {namespace: a, name: other}
spec: {type: sqlite, endpoint: /x/inventory.db, cluster: East, sqlite: {table: East_a_jobs}}
";
    let said = briefly(&plan(&twice));
    assert_eq!(said, ["KollectInventory a/jobs spec.databaseSinkRefs[1] SameDestination"]);
}

#[test]
fn a_window_and_fields_without_effect_reach_the_plan() {
    let plan = plan(
        "
kind: KollectDatabaseSink
metadata: {namespace: a, name: db}
spec: {type: sqlite, endpoint: /x/inventory.db, layout: {mode: split}}
---
kind: KollectSnapshotSink
metadata: {namespace: a, name: files}
spec: {type: local, endpoint: /x/files}
---
kind: KollectInventory
metadata: {namespace: a, name: i}
spec:
  databaseSinkRefs: [{name: db, coalesceWindow: 1h, maxExportBytes: 1}]
  snapshotSinkRefs: [files]
  maxExportBytes: 1024
  httpEndpoint: {enabled: true, port: 8080}
",
    );
    let bindings = &inventory(&plan, "i").bindings;
    let windows: Vec<_> = bindings.iter().map(|binding| binding.coalesce_window.as_secs()).collect();
    // Nothing that has no effect keeps anything from being exported.
    assert_eq!(windows, [3600, 0]);
    assert_eq!(
        briefly(&plan),
        ["KollectDatabaseSink a/db spec.layout NoEffect", "KollectInventory a/i spec.httpEndpoint NoEffect",]
    );
    assert!(plan.problems.iter().all(|problem| problem.is_warning() && !problem.is_refused()));
}
