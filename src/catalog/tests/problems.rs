//! Which problems a set of resources has, and which it has not.

use super::{BASE, briefly, input, plan};
use crate::catalog::{Catalog, Options, ResourceRef};

/// A case: what it shows, documents beside the base, and the problems.
type Case = (&'static str, &'static str, &'static [&'static str]);

const INVENTORY: &str = "
---
kind: KollectInventory
metadata: {namespace: a, name: all}
spec: {databaseSinkRefs: [db]}
";

const CASES: &[Case] = &[
    ("the base is fine", "", &[]),
    (
        "a profile that compiles and is not used",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, attributes: [{name: a, path: .a}]}",
        &[],
    ),
    (
        "a profile without attributes",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}}",
        &["KollectProfile a/p spec.attributes ProfileInvalid"],
    ),
    (
        "a profile that exports the object itself needs no attributes",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, export: {mode: Resource}}",
        &[],
    ),
    (
        "an export that is not switched on is not looked at",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, attributes: [{name: resource, path: .a}], export: {prune: {jsonPaths: [x]}}}",
        &[],
    ),
    (
        "an export with a name that is taken, and places that can't be read",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, attributes: [{name: it, path: .a}], export: {mode: Resource, as: it, prune: {jsonPaths: [$.a, x], jsonPointers: [a], scrubKeys: ['-'], cel: [x]}}}",
        &[
            "KollectProfile a/p spec.export.as ProfileInvalid",
            "KollectProfile a/p spec.export.prune.cel[0] ProfileInvalid",
            "KollectProfile a/p spec.export.prune.jsonPaths[1] ProfileInvalid",
            "KollectProfile a/p spec.export.prune.jsonPointers[0] ProfileInvalid",
            "KollectProfile a/p spec.export.prune.scrubKeys[0] ProfileInvalid",
        ],
    ),
    (
        "an export of Secrets",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Secret}, export: {mode: Resource}}",
        &["KollectProfile a/p spec.export.mode ProfileInvalid"],
    ),
    (
        "an export of Secrets that is allowed",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p, annotations: {kollect.dev/allow-full-resource-export: 'true'}}\nspec: {targetGVK: {version: v1, kind: Secret}, export: {mode: Resource}}",
        &[],
    ),
    (
        "paths that do not compile, each of them",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, attributes: [{name: a, path: 'cel:('}, {name: b, path: .b}, {name: c, path: '$['}]}",
        &[
            "KollectProfile a/p spec.attributes[0].path ProfileInvalid",
            "KollectProfile a/p spec.attributes[2].path ProfileInvalid",
        ],
    ),
    (
        "two attributes of one name, one of which does not compile either",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, attributes: [{name: a, path: .a}, {name: a, path: '$['}, {name: '', path: .b}]}",
        &[
            "KollectProfile a/p spec.attributes[1].name ProfileInvalid",
            "KollectProfile a/p spec.attributes[1].path ProfileInvalid",
            "KollectProfile a/p spec.attributes[2].name ProfileInvalid",
        ],
    ),
    (
        "types and defaults that do not fit",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, attributes: [{name: a, path: '$.a[*]', type: int}, {name: b, path: .b, type: int, default: x}]}",
        &[
            "KollectProfile a/p spec.attributes[0].type ProfileInvalid",
            "KollectProfile a/p spec.attributes[1].default ProfileInvalid",
        ],
    ),
    (
        "a profile that reads the values of Secrets",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Secret}, attributes: [{name: a, path: .type}, {name: b, path: .data}]}",
        &["KollectProfile a/p spec.attributes[1].path ProfileInvalid"],
    ),
    (
        "a profile that may read the values of Secrets",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p, annotations: {kollect.dev/allow-secret-extraction: 'true'}}\nspec: {targetGVK: {version: v1, kind: Secret}, attributes: [{name: b, path: .data}]}",
        &[],
    ),
    (
        "a profile with an annotation that does not say `true`",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p, annotations: {kollect.dev/allow-secret-extraction: 'yes'}}\nspec: {targetGVK: {version: v1, kind: Secret}, attributes: [{name: b, path: .data}]}",
        &["KollectProfile a/p spec.attributes[0].path ProfileInvalid"],
    ),
    (
        "a target of a profile that can't be used",
        "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Node}, attributes: [{name: a, path: 'cel:('}]}\n---\nkind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: p}",
        &[
            "KollectProfile a/p spec.attributes[0].path ProfileInvalid",
            "KollectTarget a/t spec.profileRef ProfileInvalid",
        ],
    ),
    (
        "a target that names no profile",
        "kind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: ''}",
        &["KollectTarget a/t spec.profileRef MissingProfileRef"],
    ),
    (
        "a target whose profile does not exist",
        "kind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: nodes}",
        &["KollectTarget a/t spec.profileRef ProfileNotFound"],
    ),
    (
        "a target whose profile is in another namespace",
        "kind: KollectTarget\nmetadata: {namespace: b, name: t}\nspec: {profileRef: pods}",
        &["KollectTarget b/t spec.profileRef ProfileNotFound"],
    ),
    (
        "a suspended target is no problem",
        "kind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: pods, suspend: true}",
        &[],
    ),
    (
        "selectors that Kubernetes would refuse, each of them",
        "kind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: pods, labelSelector: {matchExpressions: [{key: a, operator: In}]}, namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}, namespaceExcludeSelector: {matchLabels: {'': x}}}",
        &[
            "KollectTarget a/t spec.labelSelector SpecInvalid",
            "KollectTarget a/t spec.namespaceExcludeSelector SpecInvalid",
            "KollectTarget a/t spec.namespaceSelector SpecInvalid",
        ],
    ),
    ("an inventory with a sink and a target", INVENTORY, &[]),
    (
        "an inventory without sinks",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {}",
        &["KollectInventory a/i spec NoSinks"],
    ),
    (
        "an inventory in a namespace without targets",
        "kind: KollectInventory\nmetadata: {namespace: b, name: i}\nspec: {databaseSinkRefs: [db]}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: b, name: db}\nspec: {type: sqlite, endpoint: /b.db}",
        &["KollectInventory b/i spec NoTargets"],
    ),
    (
        "a selector of targets that selects none",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db], targetSelector: {matchLabels: {tier: top}}}",
        &["KollectInventory a/i spec NoTargets"],
    ),
    (
        "a selector of targets that can't be used",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db], targetSelector: {matchExpressions: [{key: a, operator: NotIn}]}}",
        &["KollectInventory a/i spec.targetSelector SpecInvalid"],
    ),
    (
        "a target that does not exist among others",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db], targetRefs: [pods, nodes]}",
        &["KollectInventory a/i spec.targetRefs[1] TargetNotFound"],
    ),
    (
        "no target that exists is not told twice",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db], targetRefs: [nodes]}",
        &["KollectInventory a/i spec.targetRefs[0] TargetNotFound"],
    ),
    (
        "names and a selector of targets at once",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db], targetRefs: [pods], targetSelector: {}}",
        &["KollectInventory a/i spec.targetSelector SpecInvalid"],
    ),
    (
        "sinks that do not exist, each of them",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [files, db, {name: x}], snapshotSinkRefs: [db]}",
        &[
            "KollectInventory a/i spec.databaseSinkRefs[0] SinkNotFound",
            "KollectInventory a/i spec.databaseSinkRefs[2] SinkNotFound",
            "KollectInventory a/i spec.snapshotSinkRefs[0] SinkNotFound",
        ],
    ),
    (
        "a sink of another namespace does not count",
        "kind: KollectInventory\nmetadata: {namespace: b, name: i}\nspec: {databaseSinkRefs: [db]}",
        &[
            "KollectInventory b/i spec NoTargets",
            "KollectInventory b/i spec.databaseSinkRefs[0] SinkNotFound",
        ],
    ),
    (
        "a sink that is referred to twice",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db, {name: db, exportMinInterval: 1m}]}",
        &["KollectInventory a/i spec.databaseSinkRefs[1] SpecInvalid"],
    ),
    (
        "a reference that names nothing",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db, null]}",
        &["KollectInventory a/i spec.databaseSinkRefs[1] SpecInvalid"],
    ),
    (
        "a misspelled field of a reference",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [{name: db, interval: 1m}]}",
        &["KollectInventory a/i spec.databaseSinkRefs[0].interval SpecInvalid"],
    ),
    (
        "intervals that are none",
        "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {exportMinInterval: soon, databaseSinkRefs: [{name: db, exportMinInterval: 25h}]}",
        &[
            "KollectInventory a/i spec.databaseSinkRefs[0].exportMinInterval SpecInvalid",
            "KollectInventory a/i spec.exportMinInterval SpecInvalid",
        ],
    ),
    (
        "two sinks that lead to the same table",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: db2}\nspec: {type: sqlite, endpoint: 'file:///var/lib/a.db'}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db, db2]}",
        &["KollectInventory a/i spec.databaseSinkRefs[1] SameDestination"],
    ),
    (
        "two sinks that lead to the same table for different clusters",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: db2}\nspec: {type: sqlite, endpoint: /var/lib/a.db, cluster: other}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db, db2]}",
        &[],
    ),
    (
        "two sinks that write different files into one directory",
        "kind: KollectSnapshotSink\nmetadata: {namespace: a, name: json}\nspec: {type: local, endpoint: /var/lib/files, pathTemplate: 'json/{namespace}/{name}', serialization: {format: json}}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {snapshotSinkRefs: [files, json]}",
        &[],
    ),
    (
        "two sinks that keep one list of files",
        "kind: KollectSnapshotSink\nmetadata: {namespace: a, name: json}\nspec: {type: local, endpoint: /var/lib/files, serialization: {format: json}}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {snapshotSinkRefs: [files, json]}",
        &["KollectInventory a/i spec.snapshotSinkRefs[1] SameDestination"],
    ),
    (
        "a SQLite sink without a path",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: sqlite}",
        &["KollectDatabaseSink a/s spec.endpoint SpecInvalid"],
    ),
    (
        "a SQLite sink with a table that can't be",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: sqlite, endpoint: /s.db, sqlite: {table: 'a b'}}",
        &["KollectDatabaseSink a/s spec.sqlite.table SpecInvalid"],
    ),
    (
        "a sink with a bad interval can be used all the same",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: sqlite, endpoint: /s.db, exportMinInterval: never}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [s]}",
        &["KollectDatabaseSink a/s spec.exportMinInterval SpecInvalid"],
    ),
    (
        "an inventory at a sink that can't be used",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: sqlite}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [s, db]}",
        &[
            "KollectDatabaseSink a/s spec.endpoint SpecInvalid",
            "KollectInventory a/i spec.databaseSinkRefs[0] SinkInvalid",
        ],
    ),
];

const POSTGRES: &str = "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, postgres: {databaseRef: {name: dsn}, table: rows}}\n---\n";

#[cfg(feature = "postgres")]
const POSTGRES_CASES: &[Case] = &[
    ("no Secret", "", &["KollectDatabaseSink a/pg spec.postgres.databaseRef SecretNotFound"]),
    (
        "a Secret of another namespace",
        "kind: Secret\nmetadata: {namespace: b, name: dsn}\nstringData: {dsn: 'postgres://u:p@db.example/x'}",
        &["KollectDatabaseSink a/pg spec.postgres.databaseRef SecretNotFound"],
    ),
    (
        "a Secret without the key",
        "kind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {password: x}",
        &["KollectDatabaseSink a/pg spec.postgres.databaseRef SecretInvalid"],
    ),
    (
        "a Secret with nothing under the key",
        "kind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: ' '}",
        &["KollectDatabaseSink a/pg spec.postgres.databaseRef SecretInvalid"],
    ),
    (
        "a connection string that is none",
        "kind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: 'postgres://canary-5e@:x'}",
        &["KollectDatabaseSink a/pg spec.postgres.databaseRef SecretInvalid"],
    ),
    (
        "a Secret with the key",
        "kind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {url: 'postgres://u:p@db.example/x'}",
        &[],
    ),
    (
        "no reference and no block",
        "kind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: 'postgres://u:p@db.example/x'}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres}",
        &[
            "KollectDatabaseSink a/pg spec.postgres SpecInvalid",
            "KollectDatabaseSink a/pg spec.postgres.databaseRef SpecInvalid",
        ],
    ),
    (
        "references to Secrets of another namespace",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, tls: {caSecretRef: {name: ca, namespace: b}}, postgres: {databaseRef: {name: dsn, namespace: b}, table: rows}}\n---\nkind: Secret\nmetadata: {namespace: b, name: dsn}\nstringData: {dsn: 'postgres://u:p@db.example/x'}",
        &[
            "KollectDatabaseSink a/pg spec.postgres.databaseRef.namespace SecretForbidden",
            "KollectDatabaseSink a/pg spec.tls.caSecretRef.namespace SecretForbidden",
        ],
    ),
    (
        "two authorities at once",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, tls: {caBundle: eA==, caSecretRef: {name: dsn}}, postgres: {databaseRef: {name: dsn}, table: rows}}\n---\nkind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: 'postgres://u:p@db.example/x'}",
        &["KollectDatabaseSink a/pg spec.tls SpecInvalid"],
    ),
    (
        "an authority that is not in base64, and one that is not PEM",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, tls: {caBundle: '%'}, postgres: {databaseRef: {name: dsn}, table: rows}}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg2}\nspec: {type: postgres, tls: {caBundle: eA==}, postgres: {databaseRef: {name: dsn}, table: rows}}\n---\nkind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: 'postgres://u:p@db.example/x'}",
        &[
            "KollectDatabaseSink a/pg spec.tls.caBundle SpecInvalid",
            "KollectDatabaseSink a/pg2 spec.tls.caBundle SpecInvalid",
        ],
    ),
    (
        "a Secret of authorities that has none",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, tls: {caSecretRef: {name: ca}}, postgres: {databaseRef: {name: dsn}, table: rows}}\n---\nkind: Secret\nmetadata: {namespace: a, name: ca}\nstringData: {ca.crt: hello}\n---\nkind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: 'postgres://u:p@db.example/x'}",
        &["KollectDatabaseSink a/pg spec.tls.caSecretRef SecretInvalid"],
    ),
    (
        "names of tables and schemas that can't be",
        "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg}\nspec: {type: postgres, postgres: {databaseRef: {name: dsn}, table: a.b}}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: a, name: pg2}\nspec: {type: postgres, postgres: {databaseRef: {name: dsn}, table: rows, schema: '1'}}\n---\nkind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: 'postgres://u:p@db.example/x'}",
        &[
            "KollectDatabaseSink a/pg spec.postgres.table SpecInvalid",
            "KollectDatabaseSink a/pg2 spec.postgres.schema SpecInvalid",
        ],
    ),
];

fn check(cases: &[Case], before: &str) {
    for (shows, documents, expected) in cases {
        let plan = plan(&format!("{before}{documents}"));
        assert_eq!(briefly(&plan), *expected, "{shows}");
        for problem in &plan.problems {
            let text = problem.to_string();
            assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{shows}: {text}");
            assert!(!text.contains("canary") && !text.contains("u:p"), "{shows}: {text}");
        }
    }
}

#[test]
fn each_problem_is_attached_to_the_resource_and_field_that_must_change() {
    check(CASES, "");
}

#[cfg(feature = "postgres")]
#[test]
fn what_is_wrong_with_a_secret_names_the_sink_that_refers_to_it() {
    check(POSTGRES_CASES, POSTGRES);
    let text = plan(POSTGRES).problems[0].to_string();
    assert!(text.contains("there is no Secret a/dsn") && text.contains("under the key `dsn`"), "{text}");
}

#[test]
fn a_problem_that_another_resource_causes_says_so() {
    let plan = plan(
        "kind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: nodes}\n---\nkind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: sqlite}\n---\nkind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [s]}",
    );
    let causes: Vec<_> =
        plan.problems.iter().map(|p| p.cause.as_ref().map(ToString::to_string).unwrap_or_default()).collect();
    assert_eq!(causes, ["", "KollectDatabaseSink a/s", "KollectProfile a/nodes"]);
    let sink = ResourceRef { kind: "KollectDatabaseSink".into(), name: super::ResourceName::new("a", "s") };
    assert_eq!(plan.problems_of(&sink).count(), 1);
}

#[test]
fn sinks_on_this_machine_must_be_allowed() {
    let mut input = input(INVENTORY);
    input.options = Options::default();
    let plan = Catalog::default().plan(&input);
    assert_eq!(
        briefly(&plan),
        [
            "KollectDatabaseSink a/db spec.type SinkForbidden",
            "KollectInventory a/all spec.databaseSinkRefs[0] SinkInvalid",
            "KollectSnapshotSink a/files spec.type SinkForbidden",
        ]
    );
}

#[test]
fn secrets_that_are_elsewhere_are_no_problem() {
    let mut input = input(&format!(
        "{POSTGRES}kind: KollectInventory\nmetadata: {{namespace: a, name: i}}\nspec: {{databaseSinkRefs: [pg]}}"
    ));
    input.options.secrets_elsewhere = true;
    let plan = Catalog::default().plan(&input);
    assert_eq!(briefly(&plan), [""; 0]);
    assert!(super::inventory(&plan, "i").bindings.is_empty());
    assert_eq!(super::inventory(&plan, "i").references.len(), 1);
    assert!(BASE.contains("kind"));
}
