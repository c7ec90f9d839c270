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
