//! A plan depends on its input alone: not on the order in which resources came, nor on what was there before.

use proptest::prelude::*;

use super::{input, put};
use crate::catalog::{Catalog, Input, Options, Plan, ResourceName};

/// Resources, several versions of some: any subset in any order is a history.
const DOCUMENTS: &[&str] = &[
    "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Pod}, attributes: [{name: a, path: .a}]}",
    "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Pod}, attributes: [{name: a, path: .b}]}",
    "kind: KollectProfile\nmetadata: {namespace: a, name: p}\nspec: {targetGVK: {version: v1, kind: Pod}, attributes: [{name: a, path: '$['}]}",
    "kind: KollectProfile\nmetadata: {namespace: a, name: q}\nspec: {targetGVK: {group: apps, version: v1, kind: Deployment}, attributes: [{name: a, path: 'cel:object.a'}]}",
    "kind: KollectProfile\nmetadata: {namespace: a, name: q}\nspec: {targetGVK: {version: v1, kind: Secret}, attributes: [{name: a, path: .data.a}]}",
    "kind: KollectProfile\nmetadata: {namespace: a, name: q, annotations: {kollect.dev/allow-secret-extraction: 'true'}}\nspec: {targetGVK: {version: v1, kind: Secret}, attributes: [{name: a, path: .data.a}]}",
    "kind: KollectTarget\nmetadata: {namespace: a, name: t, labels: {x: v}}\nspec: {profileRef: p}",
    "kind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: q, namespaceSelector: {matchLabels: {team: a}}}",
    "kind: KollectTarget\nmetadata: {namespace: a, name: u, labels: {x: v}}\nspec: {profileRef: missing}",
    "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [s, db], snapshotSinkRefs: [files]}",
    "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db, s], targetSelector: {matchLabels: {x: v}}}",
    "kind: KollectInventory\nmetadata: {namespace: a, name: i, deletionTimestamp: '2026-01-01T00:00:00Z'}\nspec: {databaseSinkRefs: [db, s]}",
    "kind: KollectInventory\nmetadata: {namespace: a, name: i}\nspec: {databaseSinkRefs: [db]}\nstatus: {sinkExports: [{name: database/a/s}, {name: snapshot/a/files}]}",
    "kind: KollectInventory\nmetadata: {namespace: a, name: j}\nspec: {targetRefs: [t, u]}",
    "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: sqlite, endpoint: /s.db}",
    "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: sqlite}",
    "kind: KollectDatabaseSink\nmetadata: {namespace: a, name: s}\nspec: {type: postgres, postgres: {databaseRef: {name: dsn}, table: rows}}",
    "kind: KollectClusterTarget\nmetadata: {name: ct}\nspec: {profileRef: {namespace: a, name: p}, namespaceSelector: {matchLabels: {team: a}}}",
    "kind: KollectClusterTarget\nmetadata: {name: ct}\nspec: {profileRef: {namespace: a, name: q}}",
    "kind: KollectClusterInventory\nmetadata: {name: ci}\nspec: {databaseSinkRefs: [{name: db, namespace: a}], namespaceSelector: {matchLabels: {team: b}}}",
    "kind: KollectScope\nmetadata: {namespace: a, name: limits}\nspec: {deniedNamespaces: [b], databaseSinkRefs: [s]}",
    "kind: KollectScope\nmetadata: {namespace: a, name: limits}\nspec: {allowedGVKs: [{version: v1, kind: Pod}], minExportInterval: 5m}",
    "kind: KollectClusterScope\nmetadata: {name: limits}\nspec: {allowedNamespaces: [b], allowedStaticRefNamespaces: [b]}",
    "kind: KollectConnectionTest\nmetadata: {namespace: a, name: c}\nspec: {sinkRef: {databaseSinkRef: s}, profileRef: p}",
    "kind: KollectConnectionTest\nmetadata: {namespace: a, name: c}\nspec: {sinkRef: {snapshotSinkRef: files}, profileRef: q}",
    "kind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {dsn: 'postgres://u@db.example/x'}",
    "kind: Secret\nmetadata: {namespace: a, name: dsn}\nstringData: {other: x}",
    "kind: Namespace\nmetadata: {name: a, labels: {team: a}}",
    "kind: Namespace\nmetadata: {name: b, labels: {team: a}}",
    "kind: Namespace\nmetadata: {name: a, labels: {team: b}}",
];

/// What a history does in one step.
#[derive(Clone, Debug)]
enum Step {
    /// Puts a resource in, or another version of it.
    Put(usize),
    /// Takes one out.
    Remove(usize),
    /// Asks for a plan.
    Plan,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..DOCUMENTS.len()).prop_map(Step::Put),
        2 => (0..DOCUMENTS.len()).prop_map(Step::Remove),
        2 => Just(Step::Plan),
    ]
}

/// Kind and name of the resource of a document.
fn identity(document: &str) -> (String, ResourceName) {
    let value: serde_json::Value = serde_saphyr::from_str(document).unwrap();
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    (value["kind"].as_str().unwrap().to_owned(), ResourceName::new(text("namespace"), text("name")))
}

/// Takes the resource of a document out.
fn remove(input: &mut Input, document: &str) {
    let (kind, name) = identity(document);
    match kind.as_str() {
        "KollectProfile" => _ = input.profiles.remove(&name),
        "KollectTarget" => _ = input.targets.remove(&name),
        "KollectClusterTarget" => _ = input.cluster_targets.remove(&name),
        "KollectInventory" => _ = input.inventories.remove(&name),
        "KollectClusterInventory" => _ = input.cluster_inventories.remove(&name),
        "KollectScope" => _ = input.scopes.remove(&name),
        "KollectClusterScope" => _ = input.cluster_scopes.remove(&name),
        "KollectDatabaseSink" => _ = input.database_sinks.remove(&name),
        "KollectConnectionTest" => _ = input.connection_tests.remove(&name),
        "Secret" => _ = input.secrets.remove(&name),
        "Namespace" => _ = input.namespaces.remove(&name.name),
        other => panic!("{other}"),
    }
}

/// The same resources as new objects, as another process would have them.
fn anew(input: &Input) -> Input {
    fn copy<T: Clone>(
        all: &std::collections::BTreeMap<ResourceName, std::sync::Arc<T>>,
    ) -> std::collections::BTreeMap<ResourceName, std::sync::Arc<T>> {
        all.iter().rev().map(|(name, value)| (name.clone(), std::sync::Arc::new(T::clone(value)))).collect()
    }
    Input {
        profiles: copy(&input.profiles),
        targets: copy(&input.targets),
        cluster_targets: copy(&input.cluster_targets),
        cluster_inventories: copy(&input.cluster_inventories),
        scopes: copy(&input.scopes),
        cluster_scopes: copy(&input.cluster_scopes),
        inventories: copy(&input.inventories),
        database_sinks: copy(&input.database_sinks),
        snapshot_sinks: copy(&input.snapshot_sinks),
        connection_tests: copy(&input.connection_tests),
        ..input.clone()
    }
}

fn same(a: &Plan, b: &Plan) -> Result<(), TestCaseError> {
    prop_assert_eq!(a, b);
    // Profiles are not compared by that.
    for (name, a) in &a.targets {
        prop_assert_eq!(format!("{a:?}"), format!("{:?}", b.targets[name]));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_does_not_depend_on_what_was_there_before(steps in proptest::collection::vec(step(), 1..60)) {
        let mut input = input("");
        let mut catalog = Catalog::default();
        for step in steps {
            match step {
                Step::Put(index) => put(&mut input, DOCUMENTS[index]),
                Step::Remove(index) => remove(&mut input, DOCUMENTS[index]),
                Step::Plan => same(&catalog.plan(&input), &Catalog::default().plan(&anew(&input)))?,
            }
        }
        same(&catalog.plan(&input), &Catalog::default().plan(&anew(&input)))?;
    }

    #[test]
    fn resources_may_come_in_any_order(
        order in Just((0..DOCUMENTS.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        // Of several versions of a resource the last one of the table counts, whenever it comes.
        let latest = |index: &usize| {
            (*index + 1..DOCUMENTS.len()).all(|later| identity(DOCUMENTS[later]) != identity(DOCUMENTS[*index]))
        };
        let mut shuffled = Input { options: Options { allow_local_sinks: true, ..Options::default() }, ..Input::default() };
        let mut catalog = Catalog::default();
        for index in order.iter().filter(|index| latest(index)) {
            put(&mut shuffled, DOCUMENTS[*index]);
            catalog.plan(&shuffled);
        }
        let mut sorted = Input { options: shuffled.options.clone(), ..Input::default() };
        (0..DOCUMENTS.len()).filter(|index| latest(index)).for_each(|index| put(&mut sorted, DOCUMENTS[index]));
        same(&catalog.plan(&shuffled), &Catalog::default().plan(&sorted))?;
    }
}
