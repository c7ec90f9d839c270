//! What holds for one file a row.

use std::fs;
use std::sync::Arc;

use kollect::sinks::snapshot::layout::{Format, GroupInPath};
use kollect::sinks::snapshot::local;
use kollect::sinks::{Change, RowSink, Sink, SinkConfig, SinkError, Term};
use kollect_dataflows::data::{Gvk, Row, RowHash, RowParts, TargetName};

use crate::places::*;
use crate::rows::held;

fn object(target: &str, gvk: Gvk, name: &str, uid: &str, attributes: &str) -> Row {
    Row::new(RowParts {
        target: &Arc::new(TargetName::new("team", target)),
        gvk: &Arc::new(gvk),
        namespace: "shop",
        name,
        uid,
        attributes,
        incomplete: &[],
    })
}

fn deployment(target: &str, name: &str) -> Row {
    object(target, Gvk::new("apps", "v1", "Deployment"), name, &format!("uid-{name}"), "{}")
}

fn gone(row: &Row) -> Change {
    Change::Delete(Box::new(row.key().to_owned()))
}

async fn connected(place: &PerResource) -> Box<dyn RowSink> {
    let mut sink = place.open(&binding("east", "apps"));
    sink.connect().await.unwrap();
    sink
}

async fn apply(sink: &mut dyn RowSink, mut changes: Vec<Change>) -> (u64, u64) {
    changes.sort_by(|a, b| a.key().cmp(&b.key()));
    let receipt = sink.apply(&changes).await.unwrap();
    (receipt.files_written, receipt.files_removed)
}

fn names(place: &PerResource) -> Vec<String> {
    tree(place.directory.path())
        .into_keys()
        .map(|path| path.strip_prefix("east/team/apps/east/shop/").unwrap_or(&path).to_owned())
        .collect()
}

#[tokio::test]
async fn one_changed_row_is_one_written_file() {
    let place = PerResource::new().await;
    let mut sink = connected(&place).await;
    let batch: Vec<Change> = (0..1_000).map(|i| upsert(&format!("{i:04}"), "{}")).collect();
    sink.apply(&batch).await.unwrap();
    assert_eq!(apply(&mut *sink, vec![upsert("0500", r#"{"n":1}"#)]).await, (1, 0));
    assert_eq!(apply(&mut *sink, vec![delete("0501")]).await, (0, 1));
    assert_eq!(names(&place).len(), 999);
}

#[tokio::test]
async fn rows_that_ask_for_one_path_get_names_of_their_own_whatever_comes_first() {
    let (a, b) = (deployment("one", "cart"), deployment("two", "cart"));
    let mut outcomes = Vec::new();
    for order in [vec![vec![&a], vec![&b]], vec![vec![&b], vec![&a]], vec![vec![&a, &b]]] {
        let place = PerResource::new().await;
        let mut sink = connected(&place).await;
        for batch in order {
            apply(&mut *sink, batch.into_iter().cloned().map(Change::Upsert).collect()).await;
        }
        assert_eq!(held(&mut *sink).await.len(), 2);
        outcomes.push(names(&place));
        assert_eq!(place.contents(&binding("east", "apps")).await.len(), 2);
        // One goes: the other has the path for itself again, after a restart too.
        let mut sink = connected(&place).await;
        apply(&mut *sink, vec![gone(&a)]).await;
        assert_eq!(names(&place), ["deployment/cart.yaml"]);
        assert_eq!(held(&mut *connected(&place).await).await[0].hash, b.hash());
    }
    assert_eq!(outcomes[0].len(), 2);
    assert!(
        outcomes[0].iter().all(|name| name.starts_with("deployment/cart-") && name.ends_with(".yaml")),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[tokio::test]
async fn paths_that_a_file_system_may_take_for_one_are_kept_apart() {
    let place = PerResource::new().await;
    let mut sink = connected(&place).await;
    let rows = [
        deployment("one", "Cart"),
        deployment("one", "cart"),
        deployment("one", "ca:rt"),
        deployment("one", "ca_rt"),
        object("one", Gvk::new("extensions", "v1", "Deployment"), "shop", "1", "{}"),
        object("one", Gvk::new("apps", "v1", "Deployment"), "shop", "2", "{}"),
    ];
    apply(&mut *sink, rows.iter().cloned().map(Change::Upsert).collect()).await;
    let folded: std::collections::BTreeSet<String> =
        names(&place).iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(folded.len(), rows.len());
}

#[tokio::test]
async fn an_object_that_is_made_anew_takes_over_the_file() {
    let gvk = || Gvk::new("apps", "v1", "Deployment");
    for (old, new) in [("1", "2"), ("2", "1")] {
        let place = PerResource::new().await;
        let mut sink = connected(&place).await;
        let (old, new) = (
            object("web", gvk(), "cart", old, r#"{"n":1}"#),
            object("web", gvk(), "cart", new, r#"{"n":2}"#),
        );
        apply(&mut *sink, vec![Change::Upsert(old.clone())]).await;
        assert_eq!(apply(&mut *sink, vec![gone(&old), Change::Upsert(new.clone())]).await, (1, 0));
        assert_eq!(names(&place), ["deployment/cart.yaml"]);
        let held = held(&mut *connected(&place).await).await;
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].hash, new.hash());
    }
}

#[tokio::test]
async fn a_row_that_moves_leaves_no_file_behind() {
    let place = PerResource::new().await;
    let mut sink = connected(&place).await;
    let at = |kind: &str| object("web", Gvk::new("apps", "v1", kind), "cart", "1", "{}");
    apply(&mut *sink, vec![Change::Upsert(at("Deployment"))]).await;
    assert_eq!(apply(&mut *sink, vec![Change::Upsert(at("StatefulSet"))]).await, (1, 1));
    assert_eq!(names(&place), ["statefulset/cart.yaml"]);
    assert!(!place.directory.path().join("east/team/apps/east/shop/deployment").exists());
}

#[tokio::test]
async fn files_of_others_are_neither_overwritten_nor_removed() {
    let place = PerResource::new().await;
    let mut sink = connected(&place).await;
    apply(&mut *sink, vec![upsert("a", "{}")]).await;
    let directory = place.directory.path().join("east/team/apps/east/shop/deployment");
    fs::write(directory.join("b.yaml"), "mine").unwrap();
    let error = sink.apply(&[upsert("b", "{}")]).await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, hint } if message.contains("deployment/b.yaml") && hint.contains("move")),
        "{error:?}"
    );
    sink.connect().await.unwrap();
    assert_eq!(held(&mut *sink).await.len(), 1);
    sink.clear().await.unwrap();
    assert_eq!(names(&place), ["deployment/b.yaml"]);
    assert_eq!(fs::read_to_string(directory.join("b.yaml")).unwrap(), "mine");
}

#[tokio::test]
async fn symbolic_links_are_not_followed() {
    let place = PerResource::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let parent = place.directory.path().join("east/team/apps/east");
    fs::create_dir_all(&parent).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), parent.join("shop")).unwrap();
    let mut sink = connected(&place).await;
    let error = sink.apply(&[upsert("a", "{}")]).await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, .. } if message.contains("symbolic link")),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_manifest_that_leads_elsewhere_removes_nothing_there() {
    let place = PerResource::new().await;
    let mut sink = connected(&place).await;
    apply(&mut *sink, vec![upsert("a", "{}")]).await;
    let victim = place.directory.path().parent().unwrap().join(format!("{}-victim", std::process::id()));
    fs::write(&victim, "precious").unwrap();
    let manifest = place.directory.path().join("east/team/.apps.kollect-manifest");
    let line = format!(
        "{{\"put\":\"../{}\",\"hash\":\"{1}\",\"row\":{{\"key\":[\"\",\"\",\"\",\"\",\"\"],\"hash\":\"{1}\"}}}}\n",
        victim.file_name().unwrap().to_str().unwrap(),
        "0".repeat(32)
    );
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap() + &line).unwrap();
    let error = place.open(&binding("east", "apps")).connect().await.unwrap_err();
    assert!(matches!(&error, SinkError::Shape { message, .. } if message.contains("leads out")), "{error:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    fs::remove_file(victim).unwrap();
}

#[tokio::test]
async fn a_crash_at_any_line_of_the_manifest_is_survived() {
    // What a process leaves that ends in the middle of a batch: the list ahead of the files, or cut off, or files of
    // temporary names.
    let place = PerResource::new().await;
    let mut sink = connected(&place).await;
    let one = deployment("one", "cart");
    let before = vec![Change::Upsert(one.clone()), upsert("a", "{}"), upsert("b", "{}")];
    apply(&mut *sink, before.clone()).await;
    let manifest = place.directory.path().join("east/team/.apps.kollect-manifest");
    let (list, files) = (fs::read_to_string(&manifest).unwrap(), tree(place.directory.path()));
    // A batch that writes, moves and removes.
    let after = vec![
        Change::Upsert(deployment("two", "cart")),
        upsert("a", r#"{"n":1}"#),
        delete("b"),
        upsert("c", "{}"),
    ];
    apply(&mut *sink, after.clone()).await;
    let (new_list, new_files) = (fs::read_to_string(&manifest).unwrap(), tree(place.directory.path()));
    assert!(new_list.starts_with(&list));

    let restore = |files: &std::collections::BTreeMap<String, String>| {
        for path in tree(place.directory.path()).keys() {
            fs::remove_file(place.directory.path().join(path)).unwrap();
        }
        for (path, text) in files {
            let path = place.directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    };
    for end in (list.len()..=new_list.len()).step_by(7).chain([new_list.len()]) {
        // The files as they were before, because the list comes first; but what is struck off the list is gone.
        restore(&files);
        for line in new_list[list.len()..end].split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(path) = line["del"].as_str() {
                fs::remove_file(place.directory.path().join(path)).unwrap();
            }
        }
        fs::write(&manifest, &new_list[..end]).unwrap();
        fs::write(place.directory.path().join("east/team/.apps.kollect-manifest.tmp-9"), "half").unwrap();
        let mut sink = connected(&place).await;
        // What is held is never something that is not there.
        let contents = place.contents(&binding("east", "apps")).await;
        for row in held(&mut *sink).await {
            assert!(contents.contains_key(&row.key.to_string()), "{end}");
        }
        // The exporter writes the difference; here, everything.
        let mut all = vec![Change::Upsert(one.clone())];
        all.extend(after.iter().cloned());
        apply(&mut *sink, all).await;
        assert_eq!(tree(place.directory.path()), new_files, "{end}");
        assert!(!place.directory.path().join("east/team/.apps.kollect-manifest.tmp-9").exists());
        assert!(held(&mut *connected(&place).await).await.iter().all(|row| row.hash != RowHash(0)));
    }
}

#[tokio::test]
async fn the_manifest_does_not_grow_with_history() {
    let place = PerResource::new().await;
    let mut sink = connected(&place).await;
    for n in 0..1_300 {
        sink.apply(&[upsert("a", &format!(r#"{{"n":{n}}}"#))]).await.unwrap();
    }
    let manifest = place.directory.path().join("east/team/.apps.kollect-manifest");
    assert!(fs::read_to_string(manifest).unwrap().lines().count() < 1_100);
}

/// What the exporter writes when it compares these rows with what the sink holds.
async fn compare(sink: &mut dyn RowSink, rows: &[Row]) -> (u64, u64) {
    let held = held(sink).await;
    let differs =
        |row: &&Row| !held.iter().any(|held| held.key.as_ref() == row.key() && held.hash == row.hash());
    apply(sink, rows.iter().filter(differs).cloned().map(Change::Upsert).collect()).await
}

#[tokio::test]
async fn a_changed_layout_moves_unchanged_rows() {
    type Change = fn(&mut local::Settings);
    let changes: [(Change, [&str; 2]); 5] = [
        (|settings| settings.format = Format::Json, ["deployment/cart.json", "deployment/shop.json"]),
        (
            |settings| {
                settings.layout.path_template =
                    Some("{cluster}/{sourceNamespace}/{sourceName}.{kind}{extension}".to_owned());
            },
            ["cart.deployment.yaml", "shop.deployment.yaml"],
        ),
        (
            |settings| settings.layout.lowercase_kind = Some(false),
            ["Deployment/cart.yaml", "Deployment/shop.yaml"],
        ),
        (
            |settings| settings.layout.group_in_path = GroupInPath::Always,
            ["deployment.apps/cart.yaml", "deployment.apps/shop.yaml"],
        ),
        // Of two rows that swap their paths, each is written.
        (
            |settings| {
                settings.layout.path_template =
                    Some("{cluster}/{sourceNamespace}/{kind}/{uid}{extension}".to_owned());
            },
            ["deployment/shop.yaml", "deployment/cart.yaml"],
        ),
    ];
    let gvk = || Gvk::new("apps", "v1", "Deployment");
    let rows = [object("web", gvk(), "cart", "shop", "{}"), object("web", gvk(), "shop", "cart", "{}")];
    for (change, expected) in changes {
        let place = PerResource::new().await;
        let mut sink = connected(&place).await;
        assert_eq!(compare(&mut *sink, &rows).await, (2, 0));
        let mut settings = place.settings();
        change(&mut settings);
        let open = || {
            let config = SinkConfig::Local(local::Config::new(settings.clone()).unwrap());
            let Sink::Rows(sink) = config.open(&binding("east", "apps"), &Term::unfenced()) else {
                panic!("rows are expected")
            };
            sink
        };
        // A process that ends before anything is written makes no difference, nor does a row that can't be known yet.
        for written in [0, 1, 2] {
            let mut sink = open();
            sink.connect().await.unwrap();
            compare(&mut *sink, &rows[..written]).await;
        }
        let files = tree(place.directory.path());
        assert_eq!(files.len(), 2, "{files:?}");
        for (row, path) in rows.iter().zip(expected) {
            let file: serde_json::Value =
                serde_saphyr::from_str(&files[&format!("east/team/apps/east/shop/{path}")]).unwrap();
            assert_eq!(file["name"], row.name());
        }
        let mut again = open();
        again.connect().await.unwrap();
        assert_eq!(compare(&mut *again, &rows).await, (0, 0), "and that is all");
        assert_eq!(held(&mut *again).await.len(), 2);
    }
}
