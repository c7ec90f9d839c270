//! What holds for a whole inventory in one file.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use kollect::sinks::snapshot::layout::{Format, LayoutMode, LayoutSettings};
use kollect::sinks::snapshot::local;
use kollect::sinks::{DocumentSink, Receipt, Rows, Sink, SinkConfig, SinkError, Term};
use kollect_dataflows::data::{Row, TargetName};
use serde_json::Value;

use crate::places::{binding, row, tree};

/// Rows in chunks of two.
pub(crate) struct Chunks(pub(crate) std::vec::IntoIter<Row>);

#[async_trait]
impl Rows for Chunks {
    async fn next(&mut self) -> Option<Vec<Row>> {
        let chunk: Vec<Row> = self.0.by_ref().take(2).collect();
        (!chunk.is_empty()).then_some(chunk)
    }
}

async fn replace(
    sink: &mut dyn DocumentSink,
    rows: &[Row],
    keep: &[TargetName],
) -> Result<Receipt, SinkError> {
    let mut rows = rows.to_vec();
    rows.sort();
    Ok(sink.replace(&mut Chunks(rows.into_iter()), keep).await?.receipt)
}

fn open(directory: &Path, format: Format, cluster: &str) -> Box<dyn DocumentSink> {
    open_in(directory, format, cluster, &Term::unfenced())
}

fn open_in(directory: &Path, format: Format, cluster: &str, term: &Term) -> Box<dyn DocumentSink> {
    let settings =
        local::Settings { endpoint: directory.display().to_string(), format, ..local::Settings::default() };
    open_with(settings, None, cluster, term)
}

pub(crate) fn open_with(
    settings: local::Settings,
    limit: Option<u64>,
    cluster: &str,
    term: &Term,
) -> Box<dyn DocumentSink> {
    let config = SinkConfig::Local(local::Config::new(settings).unwrap()).limited_to(limit);
    match config.open(&binding(cluster, "apps"), term) {
        Sink::Document(sink) => sink,
        Sink::Rows(_) => panic!("this sink takes single rows"),
    }
}

pub(crate) const YAML: &str = "inventory/team/apps.yaml";
pub(crate) const JSON: &str = "inventory/team/apps.json";

fn written(receipt: Receipt) -> (u64, u64) {
    (receipt.files_written, receipt.files_removed)
}

fn times(path: &Path) -> (SystemTime, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(path).unwrap();
    (found.modified().unwrap(), found.ino())
}

#[tokio::test]
async fn unchanged_content_is_not_written_again_not_even_after_a_restart() {
    for (format, path) in [(Format::Yaml, YAML), (Format::Json, JSON)] {
        let directory = tempfile::tempdir().unwrap();
        let rows = [row("web", "a", r#"{"n":1}"#), row("web", "b", "{}"), row("api", "a", "{}")];
        let path = directory.path().join(path);
        let mut sink = open(directory.path(), format, "");
        sink.connect().await.unwrap();
        assert_eq!(written(replace(&mut *sink, &rows, &[]).await.unwrap()), (1, 0));
        let before = times(&path);
        let manifest = times(&directory.path().join("inventory/team/.apps.kollect-manifest"));
        for _ in 0..2 {
            assert_eq!(replace(&mut *sink, &rows, &[]).await.unwrap(), Receipt::default());
            sink = open(directory.path(), format, "");
            sink.connect().await.unwrap();
        }
        assert_eq!(times(&path), before);
        assert_eq!(times(&directory.path().join("inventory/team/.apps.kollect-manifest")), manifest);
        assert_eq!(written(replace(&mut *sink, &rows[1..], &[]).await.unwrap()), (1, 0));
        let left = tree(directory.path());
        assert_eq!(left.len(), 1);
        assert!(
            !fs::read_dir(path.parent().unwrap()).unwrap().any(|entry| entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .contains("tmp"))
        );
    }
}

fn counted(receipt: Receipt) -> (u64, u64, u64) {
    (receipt.inserted, receipt.updated, receipt.deleted)
}

#[tokio::test]
async fn the_receipt_counts_the_rows_that_differ() {
    // Names that need quotes, and content that looks like the text between items.
    let odd = r#"{"text":"- a\n  attributes: {}\n,\"attributes\":"}"#;
    for (format, path) in [(Format::Yaml, YAML), (Format::Json, JSON)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(path);
        let mut sink = open(directory.path(), format, "");
        sink.connect().await.unwrap();
        let rows = |names: &[(&str, &str)]| -> Vec<Row> {
            names.iter().map(|(name, json)| row("web", name, json)).collect()
        };
        let mut count =
            async |names: &[(&str, &str)]| counted(replace(&mut *sink, &rows(names), &[]).await.unwrap());
        assert_eq!(count(&[("b", "{}"), ("d", odd), ("null", "{}")]).await, (3, 0, 0));
        assert_eq!(count(&[("b", "{}"), ("d", odd), ("null", "{}")]).await, (0, 0, 0));
        assert_eq!(count(&[("b", r#"{"n":1}"#), ("d", odd), ("null", "{}")]).await, (0, 1, 0));
        assert_eq!(count(&[("a", "{}"), ("c", odd), ("d", odd), ("z", "{}")]).await, (3, 0, 2));
        assert_eq!(count(&[("b", "{}"), ("c", "{}"), ("e", "{}")]).await, (2, 1, 3));
        // Rows that somebody removes and changes by hand.
        let text = fs::read_to_string(&path).unwrap();
        let edited = match format {
            Format::Yaml => text.replace("name: e\n", "name: f\n"),
            Format::Json => text.replace(r#""name":"e""#, r#""name":"f""#),
        };
        assert_ne!(edited, text);
        fs::write(&path, edited).unwrap();
        assert_eq!(count(&[("b", "{}"), ("c", "{}"), ("e", "{}")]).await, (1, 0, 1));
        // What is no document any more holds no rows.
        fs::write(&path, "- a: [\n").unwrap();
        assert_eq!(count(&[("b", "{}"), ("c", "{}"), ("e", "{}")]).await, (3, 0, 0));
        fs::remove_file(&path).unwrap();
        assert_eq!(count(&[("b", "{}"), ("c", "{}")]).await, (2, 0, 0));
        assert_eq!(counted(sink.clear().await.unwrap()), (0, 0, 2));
    }
}

#[tokio::test]
async fn yaml_is_the_list_of_rows_in_key_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(directory.path(), Format::Yaml, "");
    sink.connect().await.unwrap();
    replace(&mut *sink, &[row("web", "b", r#"{"n":1}"#), row("api", "c", "{}"), row("web", "a", "{}")], &[])
        .await
        .unwrap();
    let items: Vec<Value> = serde_saphyr::from_str(&tree(directory.path())[YAML]).unwrap();
    let names: Vec<_> = items
        .iter()
        .map(|item| (item["targetName"].as_str().unwrap(), item["name"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("api", "c"), ("web", "a"), ("web", "b")]);
    assert_eq!(items[2]["attributes"]["n"], 1);
    replace(&mut *sink, &[], &[]).await.unwrap();
    assert_eq!(tree(directory.path())[YAML], "[]\n");
}

#[tokio::test]
async fn json_counts_contents_and_keeps_its_time_while_nothing_changes() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(directory.path(), Format::Json, "east");
    sink.connect().await.unwrap();
    for (generation, rows) in
        [(1, vec![row("web", "a", "{}")]), (2, vec![]), (3, vec![row("web", "a", "{}")])]
    {
        replace(&mut *sink, &rows, &[]).await.unwrap();
        let json: Value = serde_json::from_str(&tree(directory.path())[JSON]).unwrap();
        assert_eq!(json["generation"], generation);
        assert_eq!(json["itemCount"], rows.len());
        assert_eq!(json["cluster"], "east");
    }
    // Somebody edits it: the same content is written again, and is no new generation.
    fs::write(directory.path().join(JSON), "{}").unwrap();
    assert_eq!(written(replace(&mut *sink, &[row("web", "a", "{}")], &[]).await.unwrap()), (1, 0));
    let json: Value = serde_json::from_str(&tree(directory.path())[JSON]).unwrap();
    assert_eq!((json["generation"].as_u64(), json["itemCount"].as_u64()), (Some(3), Some(1)));
}

#[tokio::test]
async fn rows_of_kept_targets_stay_as_the_document_holds_them() {
    for (format, path) in [(Format::Yaml, YAML), (Format::Json, JSON)] {
        let directory = tempfile::tempdir().unwrap();
        let all =
            [row("api", "x", r#"{"n":1}"#), row("db", "y", r#"{"t":"- a\n- b\n"}"#), row("web", "z", "{}")];
        let mut sink = open(directory.path(), format, "");
        sink.connect().await.unwrap();
        replace(&mut *sink, &all, &[]).await.unwrap();
        let before = tree(directory.path());
        let keep =
            [TargetName::new("team", "db"), TargetName::new("team", "web"), TargetName::new("team", "gone")];
        // Nothing else changed, so nothing is written.
        assert_eq!(replace(&mut *sink, &all[..1], &keep).await.unwrap(), Receipt::default());
        assert_eq!(tree(directory.path()), before);
        // Rows that are not kept go, others come, in order.
        let receipt =
            replace(&mut *sink, &[row("cache", "c", "{}"), row("zoo", "c", "{}")], &keep[..1]).await;
        assert_eq!(counted(receipt.unwrap()), (2, 0, 2));
        let text = &tree(directory.path())[path];
        let places: Vec<_> = ["cache", "db", "zoo"]
            .iter()
            .map(|name| {
                text.find(&format!("targetName: {name}"))
                    .or(text.find(&format!("\"targetName\":\"{name}\"")))
                    .unwrap()
            })
            .collect();
        assert!(places.is_sorted(), "{text}");
        assert!(!text.contains("web") && !text.contains("api"), "{text}");
        // A document that can't be read any more is not thrown away while rows are only there.
        fs::write(directory.path().join(path), "- a: [\n").unwrap();
        let error = replace(&mut *sink, &[], &keep[..1]).await.unwrap_err();
        assert!(matches!(&error, SinkError::Shape { message, .. } if message.contains(path)), "{error:?}");
    }
}

#[tokio::test]
async fn another_format_takes_the_document_over_with_its_kept_rows() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(directory.path(), Format::Yaml, "");
    sink.connect().await.unwrap();
    replace(&mut *sink, &[row("api", "a", "{}"), row("web", "b", r#"{"n":1}"#)], &[]).await.unwrap();
    let mut sink = open(directory.path(), Format::Json, "");
    sink.connect().await.unwrap();
    let receipt =
        replace(&mut *sink, &[row("api", "a", "{}")], &[TargetName::new("team", "web")]).await.unwrap();
    assert_eq!((written(receipt), counted(receipt)), ((1, 1), (0, 0, 0)));
    let files = tree(directory.path());
    assert_eq!(files.keys().collect::<Vec<_>>(), [JSON]);
    let json: Value = serde_json::from_str(&files[JSON]).unwrap();
    assert_eq!(json["items"][1]["attributes"]["n"], 1);
    // The same content in another format is no new generation.
    assert_eq!(json["generation"], 1);
}

#[tokio::test]
async fn files_of_others_are_neither_overwritten_nor_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(YAML);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "mine\n").unwrap();
    fs::write(path.with_file_name("notes.txt"), "mine too\n").unwrap();
    let mut sink = open(directory.path(), Format::Yaml, "");
    sink.connect().await.unwrap();
    let error = replace(&mut *sink, &[row("web", "a", "{}")], &[]).await.unwrap_err();
    assert!(matches!(&error, SinkError::Shape { message, .. } if message.contains(YAML)), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n");

    fs::remove_file(&path).unwrap();
    replace(&mut *sink, &[row("web", "a", "{}")], &[]).await.unwrap();
    assert_eq!(written(sink.clear().await.unwrap()), (0, 1));
    assert_eq!(tree(directory.path()).keys().collect::<Vec<_>>(), ["inventory/team/notes.txt"]);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the manifest is gone too");
}

#[tokio::test]
async fn clearing_removes_emptied_directories_but_not_the_endpoint() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(directory.path(), Format::Yaml, "");
    sink.connect().await.unwrap();
    replace(&mut *sink, &[], &[]).await.unwrap();
    sink.clear().await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn two_clusters_do_not_share_a_document() {
    let directory = tempfile::tempdir().unwrap();
    let mut east = open(directory.path(), Format::Yaml, "east");
    east.connect().await.unwrap();
    replace(&mut *east, &[row("web", "a", "{}")], &[]).await.unwrap();
    let error = open(directory.path(), Format::Yaml, "west").connect().await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Shape { message, hint } if message.contains("east/team/apps") && hint.contains("{cluster}")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_writer_that_stops_in_the_middle_leaves_the_document_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(directory.path(), Format::Yaml, "");
    sink.connect().await.unwrap();
    replace(&mut *sink, &[row("web", "a", "{}")], &[]).await.unwrap();
    let before = tree(directory.path());

    struct Forever(u32);
    #[async_trait]
    impl Rows for Forever {
        async fn next(&mut self) -> Option<Vec<Row>> {
            self.0 += 1;
            if self.0 > 3 {
                std::future::pending::<()>().await;
            }
            Some(vec![row("web", &format!("{}", self.0), "{}")])
        }
    }
    let mut rows = Forever(0);
    let stopped =
        tokio::time::timeout(std::time::Duration::from_millis(50), sink.replace(&mut rows, &[])).await;
    assert!(stopped.is_err());
    sink.connect().await.unwrap();
    assert_eq!(tree(directory.path()), before);
    replace(&mut *sink, &[row("web", "b", "{}")], &[]).await.unwrap();
    assert!(tree(directory.path())[YAML].contains("name: b"));
}

#[tokio::test]
async fn a_file_a_row_takes_the_place_of_the_document_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(directory.path(), Format::Yaml, "");
    sink.connect().await.unwrap();
    replace(&mut *sink, &[row("web", "a", "{}")], &[]).await.unwrap();
    let settings = local::Settings {
        endpoint: directory.path().display().to_string(),
        layout: LayoutSettings { mode: LayoutMode::PerResource, ..LayoutSettings::default() },
        ..local::Settings::default()
    };
    let config = SinkConfig::Local(local::Config::new(settings).unwrap());
    let Sink::Rows(mut rows) = config.open(&binding("", "apps"), &Term::unfenced()) else {
        panic!("rows are expected")
    };
    rows.connect().await.unwrap();
    rows.apply(&[crate::places::upsert("a", "{}")]).await.unwrap();
    assert_eq!(
        tree(directory.path()).keys().collect::<Vec<_>>(),
        ["inventory/team/apps/default/shop/deployment/a.yaml"]
    );
    sink.connect().await.unwrap();
    assert_eq!(written(replace(&mut *sink, &[row("web", "a", "{}")], &[]).await.unwrap()), (1, 1));
    assert_eq!(tree(directory.path()).keys().collect::<Vec<_>>(), [YAML]);
}

#[tokio::test]
async fn a_document_that_is_no_text_any_more_is_written_anew_unless_rows_are_only_there() {
    for (format, path) in [(Format::Yaml, YAML), (Format::Json, JSON)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(path);
        let rows = [row("api", "a", "{}"), row("web", "b", "{}")];
        let mut sink = open(directory.path(), format, "");
        sink.connect().await.unwrap();
        replace(&mut *sink, &rows, &[]).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        // In the first line, and in one that comes later.
        for place in [1, text.rfind("api").unwrap()] {
            let mut broken = text.clone().into_bytes();
            broken[place] = 0xff;
            fs::write(&path, &broken).unwrap();
            let error = replace(&mut *sink, &rows[..1], &[TargetName::new("team", "web")]).await.unwrap_err();
            assert!(
                matches!(&error, SinkError::Shape { message, .. } if message.contains("changed by hand")),
                "{error:?}"
            );
            assert_eq!(fs::read(&path).unwrap(), broken);
            assert_eq!(written(replace(&mut *sink, &rows, &[]).await.unwrap()), (1, 0));
            let again = fs::read_to_string(&path).unwrap();
            assert!(again.contains("uid-a") && again.contains("uid-b"), "{again}");
        }
    }
}

#[tokio::test]
async fn a_crash_while_another_format_takes_over_is_survived() {
    let manifest = "inventory/team/.apps.kollect-manifest";
    let [old, new] = [
        [row("web", "a", "{}"), row("web", "b", r#"{"n":1}"#)],
        [row("web", "a", "{}"), row("web", "b", r#"{"n":2}"#)],
    ];
    for (from, to, path, stale) in
        [(Format::Yaml, Format::Json, JSON, YAML), (Format::Json, Format::Yaml, YAML, JSON)]
    {
        let directory = tempfile::tempdir().unwrap();
        let restore = |path: &str, text: &str| fs::write(directory.path().join(path), text).unwrap();
        let mut sink = open(directory.path(), from, "");
        sink.connect().await.unwrap();
        replace(&mut *sink, &old, &[]).await.unwrap();
        let (before, list_before) =
            (tree(directory.path()), fs::read_to_string(directory.path().join(manifest)).unwrap());
        let mut sink = open(directory.path(), to, "");
        sink.connect().await.unwrap();
        replace(&mut *sink, &new, &[]).await.unwrap();
        let (after, list) =
            (tree(directory.path()), fs::read_to_string(directory.path().join(manifest)).unwrap());
        let both = format!("{list}{}\n", list_before.lines().nth(1).unwrap());

        // The list names both documents, and the new one is there already or not; then the rows change, or can't be known.
        for placed in [false, true] {
            for keep in [false, true] {
                for format in [to, from] {
                    restore(manifest, &both);
                    restore(stale, &before[stale]);
                    _ = fs::remove_file(directory.path().join(path));
                    if placed {
                        restore(path, &after[path]);
                    }
                    let mut sink = open(directory.path(), format, "");
                    sink.connect().await.unwrap();
                    let case = format!("{to:?} {placed} {keep} {format:?}");
                    let last = if keep {
                        replace(&mut *sink, &[], &[TargetName::new("team", "web")]).await
                    } else {
                        replace(&mut *sink, &[row("web", "c", "{}")], &[]).await
                    };
                    last.unwrap_or_else(|error| panic!("{case}: {error}"));
                    let left = tree(directory.path());
                    assert_eq!(
                        left.keys().collect::<Vec<_>>(),
                        [if format == to { path } else { stale }],
                        "{case}"
                    );
                    let text = left.values().next().unwrap();
                    let has = |yaml: &str, json: &str| text.contains(yaml) || text.contains(json);
                    assert_eq!(has(r#""n": 2"#, r#""n":2"#), keep && placed, "{case}: {text}");
                    assert_eq!(has(r#""n": 1"#, r#""n":1"#), keep && !placed, "{case}: {text}");
                    assert_eq!(has("name: c\n", r#""name":"c""#), !keep, "{case}: {text}");
                }
            }
        }
    }
}

/// Rows that are read on a thread that may wait, as those of the graph are, and not before everybody has begun.
struct Together(Option<Arc<tokio::sync::Barrier>>, std::vec::IntoIter<Row>);

#[async_trait]
impl Rows for Together {
    async fn next(&mut self) -> Option<Vec<Row>> {
        if let Some(barrier) = self.0.take() {
            barrier.wait().await;
        }
        let row = self.1.next();
        tokio::task::spawn_blocking(move || row.map(|row| vec![row])).await.unwrap()
    }
}

#[test]
fn more_documents_than_threads_are_written_at_a_time() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(100).build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let barrier = Arc::new(tokio::sync::Barrier::new(150));
    let mut sinks: Vec<_> =
        (0..150).map(|i| open(&directory.path().join(i.to_string()), Format::Yaml, "")).collect();
    for sink in &mut sinks {
        runtime.block_on(sink.connect()).unwrap();
    }
    let all = sinks.iter_mut().map(|sink| {
        let barrier = Arc::clone(&barrier);
        async move {
            let rows = vec![row("web", "a", "{}"), row("web", "b", "{}")];
            sink.replace(&mut Together(Some(barrier), rows.into_iter()), &[]).await.unwrap()
        }
    });
    let written = runtime.block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(60), futures::future::join_all(all)).await
    });
    runtime.shutdown_background();
    let inserted: u64 =
        written.expect("they wait for each other").iter().map(|replaced| replaced.receipt.inserted).sum();
    assert_eq!(inserted, 300);
}

#[tokio::test]
async fn each_content_has_a_document_of_its_own_where_the_path_has_its_number() {
    for (format, extension) in [(Format::Yaml, "yaml"), (Format::Json, "json")] {
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            let settings = local::Settings {
                endpoint: directory.path().display().to_string(),
                path_template: Some("{namespace}/{name}/{generation}/all{extension}".to_owned()),
                format,
                ..local::Settings::default()
            };
            open_with(settings, None, "", &Term::unfenced())
        };
        let rows = [row("web", "a", "{}"), row("web", "b", "{}"), row("web", "c", "{}")];
        for (generation, count) in [(1, 2), (2, 3), (3, 1)] {
            let mut sink = open();
            sink.connect().await.unwrap();
            replace(&mut *sink, &rows[..count], &[]).await.unwrap();
            // The same content is the same generation.
            assert_eq!(replace(&mut *sink, &rows[..count], &[]).await.unwrap(), Receipt::default());
            let files = tree(directory.path());
            assert_eq!(
                files.keys().collect::<Vec<_>>(),
                [&format!("team/apps/{generation}/all.{extension}")]
            );
        }
        // The empty directories are gone too.
        let left: Vec<_> = fs::read_dir(directory.path().join("team/apps")).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        open().clear().await.unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

/// Rows that come to their end only after a new leader has connected.
struct Overtaken {
    rows: Chunks,
    leader: Box<dyn DocumentSink>,
}

#[async_trait]
impl Rows for Overtaken {
    async fn next(&mut self) -> Option<Vec<Row>> {
        let next = self.rows.next().await;
        if next.is_none() {
            self.leader.connect().await.unwrap();
        }
        next
    }
}

#[tokio::test]
async fn a_document_of_an_earlier_term_is_not_published_once_a_later_leader_has_connected() {
    let term = |number| Term::new(number, tokio::time::Instant::now() + std::time::Duration::from_secs(3600));
    for (format, path) in [(Format::Yaml, YAML), (Format::Json, JSON)] {
        let directory = tempfile::tempdir().unwrap();
        let open = |number| open_in(directory.path(), format, "", &term(number));
        let path = directory.path().join(path);
        let rows = [row("web", "a", r#"{"n":1}"#), row("web", "b", "{}"), row("web", "c", "{}")];
        let mut old = open(5);
        old.connect().await.unwrap();
        replace(&mut *old, &rows[..2], &[]).await.unwrap();
        let before = fs::read(&path).unwrap();

        let leader = open(6);
        let mut overtaken = Overtaken { rows: Chunks(Vec::from(rows.clone()).into_iter()), leader };
        let refused = old.replace(&mut overtaken, &[]).await;
        assert!(matches!(refused, Err(SinkError::Fenced { .. })), "{refused:?}");
        assert!(matches!(old.connect().await, Err(SinkError::Fenced { .. })));
        assert!(matches!(old.clear().await, Err(SinkError::Fenced { .. })));
        assert_eq!(fs::read(&path).unwrap(), before);
        // The later one takes over without a write, and then writes.
        let mut leader = overtaken.leader;
        assert_eq!(replace(&mut *leader, &rows[..2], &[]).await.unwrap(), Receipt::default());
        assert_eq!(counted(replace(&mut *leader, &rows, &[]).await.unwrap()), (1, 0, 0));
        assert_eq!(tree(directory.path()).len(), 1);
    }
}
