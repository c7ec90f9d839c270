//! What inventories left, as their status tells.

use super::{input, plan, put};
use crate::catalog::{Catalog, Leftover, Plan, ResourceName, ResourceRef, SinkFamily, Unusable};

const TARGET: &str =
    "kind: KollectTarget\nmetadata: {namespace: a, name: t}\nspec: {profileRef: pods}\n---\n";

/// An inventory that refers to a sink `db`, with what its status lists and more metadata.
fn exported(metadata: &str, exports: &[&str]) -> String {
    let exports: Vec<String> = exports.iter().map(|name| format!("{{name: {name}}}")).collect();
    format!(
        "kind: KollectInventory\nmetadata: {{namespace: a, name: i{metadata}}}\nspec: {{databaseSinkRefs: [db]}}\nstatus: {{sinkExports: [{}]}}\n",
        exports.join(", ")
    )
}

/// Leftovers as `database/a/db reachable`.
fn left(plan: &Plan) -> Vec<String> {
    let each = plan.leftovers.iter().map(|(key, leftover)| {
        let how = match leftover {
            Leftover::Reachable(_) => "reachable",
            Leftover::Unreachable(_) => "unreachable",
            Leftover::Lost => "lost",
        };
        format!("{} {} {how}", key.inventory, key.sink)
    });
    each.collect()
}

const DELETED: &str = ", deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [x]";

#[test]
fn what_an_inventory_no_longer_refers_to_is_left() {
    let all = ["database/a/db", "snapshot/a/files", "database/a/gone", "nonsense"];
    assert_eq!(
        left(&plan(&exported("", &all))),
        ["a/i database/a/gone lost", "a/i snapshot/a/files reachable"]
    );
    assert_eq!(left(&plan(&exported("", &["database/a/db"]))), [""; 0]);
    // One that is not seen may be there all the same.
    for (family, namespace, how) in [
        (SinkFamily::Database, "", "unreachable"),
        (SinkFamily::Database, "a", "unreachable"),
        (SinkFamily::Database, "b", "lost"),
        (SinkFamily::Event, "a", "lost"),
    ] {
        let mut unseen = input(&exported("", &all));
        unseen.sinks_unknown.insert((family, namespace.to_owned()));
        assert_eq!(left(&Catalog::default().plan(&unseen))[0], format!("a/i database/a/gone {how}"));
    }
    // One that is on hold may refer to anything.
    let mut held = input(&exported("", &all));
    let resource = ResourceRef::inventory(&ResourceName::new("a", "i"));
    held.unusable.insert(resource, Unusable::default());
    assert_eq!(left(&Catalog::default().plan(&held)), [""; 0]);
}

#[test]
fn all_that_an_inventory_exported_is_left_when_it_is_deleted() {
    let deleted = plan(&exported(DELETED, &["snapshot/a/files"]));
    assert_eq!(left(&deleted), ["a/i database/a/db reachable", "a/i snapshot/a/files reachable"]);
    assert!(deleted.inventories.is_empty());
    assert_eq!(deleted.problems, []);
    // Also when it can't be read: then its status tells.
    let mut unreadable = input("");
    let resource = ResourceRef::inventory(&ResourceName::new("a", "i"));
    let why = Unusable {
        deleted: true,
        exported: ["database/a/db".parse().unwrap()].into(),
        ..Unusable::default()
    };
    unreadable.unusable.insert(resource, why);
    let deleted = Catalog::default().plan(&unreadable);
    assert_eq!(left(&deleted), ["a/i database/a/db reachable"]);
    assert!(deleted.inventories.is_empty() && deleted.problems.is_empty());
}

#[test]
fn a_target_that_is_deleted_feeds_nothing_and_an_inventory_of_a_namespace_that_goes_is_held() {
    let inventory = exported("", &[]);
    let deleted = TARGET.replace("name: t", &format!("name: t{DELETED}"));
    let before = plan(&format!("{TARGET}{inventory}"));
    let after = plan(&format!("{deleted}{inventory}"));
    let targets = |plan: &Plan| super::inventory(plan, "i").targets.len();
    assert_eq!((targets(&before), targets(&after)), (2, 1));
    assert_eq!((before.targets.len(), after.targets.len()), (2, 1));

    let mut going = input(&inventory);
    put(&mut going, "kind: Namespace\nmetadata: {name: a}");
    going.namespaces.get_mut("a").unwrap().terminating = true;
    let held = Catalog::default().plan(&going);
    assert_eq!(super::inventory(&held, "i").held.as_ref().unwrap().reason, "NamespaceTerminating");
}
