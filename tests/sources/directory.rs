//! Manifests in files.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use kollect::sources::Mode;
use kollect::sources::directory::Directory;
use kollect_dataflows::data::Gvk;
use tempfile::TempDir;

use crate::support::{Known, Watching};

fn config_maps() -> Gvk {
    Gvk::new("", "v1", "ConfigMap")
}

fn secrets() -> Gvk {
    Gvk::new("", "v1", "Secret")
}

fn yaml(kind: &str, name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: ns\ndata:\n  v: '{value}'\n"
    )
}

fn map(name: &str, value: &str) -> String {
    yaml("ConfigMap", name, value)
}

fn json(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"ns"}},"data":{{"v":"1"}}}}"#
    )
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A directory that is written to.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            this.write(name, text);
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a file beside and renames it, as editors do.
    fn replace(&self, name: &str, text: &str) {
        self.write(".new", text);
        fs::rename(self.path(".new"), self.path(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn source(&self) -> Arc<Directory> {
        Arc::new(Directory::new([self.0.path().to_owned()]))
    }

    fn follow(&self, gvk: &Gvk) -> Watching {
        Watching::begin(&self.source(), gvk, Mode::Follow)
    }

    async fn once(&self, gvk: &Gvk) -> Known {
        Watching::begin(&self.source(), gvk, Mode::Once).finish().await
    }
}

async fn listed(mut watching: Watching) -> Watching {
    watching.until("the list is complete", |known| known.lists == 1).await;
    watching.forget_log();
    watching
}

#[tokio::test]
async fn every_format_is_taken() {
    let files = Files::new(&[
        ("a.yaml", &map("yaml", "1")),
        ("b.yml", &format!("{}---\n{}", map("first", "1"), map("second", "1"))),
        ("c.json", &json("json")),
        ("d.ndjson", &format!("{}\n{}\n", json("line-1"), json("line-2"))),
        ("sub/dir/e.yaml", &map("deep", "1")),
        (
            "f.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: list, namespace: ns}}\n",
        ),
        (
            "g.json",
            r#"{"apiVersion":"v1","items":[{"metadata":{"name":"typed","namespace":"ns"}}],"kind":"ConfigMapList"}"#,
        ),
        (".hidden.yaml", &map("hidden", "1")),
        (".git/h.yaml", &map("hidden-too", "1")),
        ("i.yaml~", &map("backup", "1")),
        ("README.md", "kind: ConfigMap"),
        ("values.yaml", "replicas: 3\n"),
        ("secret.yaml", &yaml("Secret", "other-kind", "1")),
    ]);
    files.write("j.yaml.gz", packed(&map("packed-yaml", "1")));
    files.write("k.json.gz", packed(&json("packed-json")));
    let known = files.once(&config_maps()).await;
    assert_eq!(
        known.names(),
        [
            "ns/deep",
            "ns/first",
            "ns/json",
            "ns/line-1",
            "ns/line-2",
            "ns/list",
            "ns/packed-json",
            "ns/packed-yaml",
            "ns/second",
            "ns/typed",
            "ns/yaml"
        ]
    );
    assert_eq!((known.lists, known.problems), (1, vec![]));
    for (version, object) in known.objects.values() {
        assert_eq!(*version, 0);
        assert_eq!((&object["apiVersion"], &object["kind"]), (&"v1".into(), &"ConfigMap".into()));
        assert_eq!(object["metadata"]["uid"].as_str().unwrap().len(), 36);
    }
}

#[tokio::test]
async fn a_kind_without_objects_has_an_empty_list() {
    let files = Files::new(&[("a.yaml", &map("a", "1"))]);
    assert_eq!(files.once(&secrets()).await.log, ["begin", "end"]);
}

#[tokio::test]
async fn files_given_by_their_own_path_may_have_any_name() {
    let files = Files::new(&[("a.txt", &map("a", "1")), ("b.dump", &json("b"))]);
    files.write("c.bin", packed(&map("c", "1")));
    let paths = ["a.txt", "b.dump", "c.bin"].map(|name| files.path(name));
    let known = Watching::begin(&Arc::new(Directory::new(paths)), &config_maps(), Mode::Once).finish().await;
    assert_eq!(known.names(), ["ns/a", "ns/b", "ns/c"]);
}

#[tokio::test]
async fn objects_without_a_uid_have_the_same_in_every_run() {
    let files = Files::new(&[("a.yaml", &map("a", "1"))]);
    let first = files.once(&config_maps()).await.at("ns/a", "/metadata/uid");
    files.write("a.yaml", map("a", "2"));
    assert_eq!(files.once(&config_maps()).await.at("ns/a", "/metadata/uid"), first);
}

#[tokio::test]
async fn only_objects_that_changed_are_reported() {
    let text = |value| format!("{}---\n{}---\n{}", map("a", "1"), map("b", value), map("c", "1"));
    let files = Files::new(&[("all.yaml", &text("1"))]);
    let mut watching = listed(files.follow(&config_maps())).await;
    files.write("all.yaml", text("2"));
    watching.until("b changed", |known| known.at("ns/b", "/data/v") == "2").await;
    files.write("all.yaml", format!("{}---\n{}", map("a", "1"), map("b", "2")));
    watching.until_names(&["ns/a", "ns/b"]).await;
    assert_eq!(watching.stop().await.log, ["+ns/b", "-ns/c"]);
}

#[tokio::test]
async fn files_come_change_by_rename_and_go() {
    let files = Files::new(&[("a.yaml", &map("a", "1"))]);
    let mut watching = listed(files.follow(&config_maps())).await;
    files.replace("a.yaml", &map("a", "2"));
    watching.until("a changed", |known| known.at("ns/a", "/data/v") == "2").await;
    files.write("new/sub/b.yaml", map("b", "1"));
    watching.until_names(&["ns/a", "ns/b"]).await;
    files.replace("new/sub/b.yaml", &map("b", "2"));
    watching.until("b changed", |known| known.at("ns/b", "/data/v") == "2").await;
    files.remove("a.yaml");
    watching.until_names(&["ns/b"]).await;
    fs::remove_dir_all(files.path("new")).unwrap();
    watching.until_names(&[]).await;
    assert_eq!(watching.stop().await.problems, []);
}

#[tokio::test]
async fn a_file_that_moves_keeps_its_objects() {
    let files = Files::new(&[("m.yaml", &map("a", "1")), ("x.yaml", &map("x", "1"))]);
    let mut watching = listed(files.follow(&config_maps())).await;
    for (from, to, mark) in [("m.yaml", "z.yaml", "x1"), ("z.yaml", "a.yaml", "x2")] {
        fs::rename(files.path(from), files.path(to)).unwrap();
        // Changes are taken in order, so this one tells that the other has been taken.
        files.write(&format!("{mark}.yaml"), map(mark, "1"));
        watching.until(mark, |known| known.objects.contains_key(&format!("ns/{mark}"))).await;
    }
    let known = watching.stop().await;
    assert_eq!(known.names(), ["ns/a", "ns/x", "ns/x1", "ns/x2"]);
    assert!(!known.log.iter().any(|event| event.starts_with('-')), "{:?}", known.log);
    assert_eq!(known.problems, []);
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_config_map_changes_where_its_hidden_link_points() {
    use std::os::unix::fs::symlink;
    let files = Files::new(&[("..v1/a.yaml", &map("a", "1")), ("..v2/a.yaml", &map("a", "2"))]);
    symlink("..v1", files.path("..data")).unwrap();
    symlink("..data/a.yaml", files.path("a.yaml")).unwrap();
    let mut watching = listed(files.follow(&config_maps())).await;
    symlink("..v2", files.path("..data_tmp")).unwrap();
    fs::rename(files.path("..data_tmp"), files.path("..data")).unwrap();
    fs::remove_dir_all(files.path("..v1")).unwrap();
    watching.until("a changed", |known| known.at("ns/a", "/data/v") == "2").await;
    assert_eq!(watching.stop().await.log, ["+ns/a"]);
}

#[tokio::test]
async fn a_file_that_breaks_deletes_nothing_and_heals() {
    let good = format!("{}---\n{}", map("a", "1"), map("b", "1"));
    let files = Files::new(&[("all.yaml", &good), ("other.yaml", &map("c", "1"))]);
    let mut watching = listed(files.follow(&config_maps())).await;
    files.write("all.yaml", format!("{}---\nkind: ConfigMap\ndata: [\n", map("a", "2")));
    let known = watching.until("the problem is told", |known| known.has_problem("Unreadable")).await;
    assert_eq!(known.at("ns/a", "/data/v"), "2");
    assert_eq!(known.names(), ["ns/a", "ns/b", "ns/c"]);
    let (_, text) = &known.problems[0];
    assert!(text.contains("all.yaml:") && text.contains("not valid YAML"), "{text}");
    // Other files are followed all the same.
    files.remove("other.yaml");
    watching.until_names(&["ns/a", "ns/b"]).await;
    files.write("all.yaml", map("a", "3"));
    watching.until("it is healed", |known| known.problems.is_empty()).await;
    let known = watching.stop().await;
    assert_eq!((known.names(), known.at("ns/a", "/data/v")), (vec!["ns/a"], "3".into()));
}

#[tokio::test]
async fn a_list_ends_only_when_every_file_of_its_kind_can_be_read() {
    let files = Files::new(&[
        ("a.yaml", &map("a", "1")),
        ("b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: [\n"),
        ("c.yaml", &yaml("Secret", "s", "1")),
    ]);
    let known = files.once(&config_maps()).await;
    assert_eq!((known.names(), known.lists), (vec!["ns/a"], 0));
    assert!(known.has_problem("Unreadable"), "{:?}", known.log);
    // The broken document is none of a Secret.
    assert_eq!(files.once(&secrets()).await.log, ["begin", "+ns/s", "end"]);

    let mut watching = files.follow(&config_maps());
    watching.until("the problem is told", |known| known.has_problem("Unreadable")).await;
    assert_eq!(watching.known.lists, 0);
    files.write("b.yaml", map("b", "1"));
    let known = watching.until("the list ends", |known| known.lists == 1).await;
    assert_eq!((known.names(), known.problems.len()), (vec!["ns/a", "ns/b"], 0));
}

#[tokio::test]
async fn a_file_that_may_hold_anything_keeps_every_list_open() {
    let files = Files::new(&[("a.yaml", &map("a", "1"))]);
    files.write("b.json.gz", &packed(&json("b"))[..20]);
    for gvk in [config_maps(), secrets()] {
        let known = files.once(&gvk).await;
        assert_eq!(known.lists, 0);
        let (_, text) = &known.problems[0];
        assert!(text.contains("b.json.gz") && text.contains("damaged or incomplete"), "{text}");
    }
}

#[tokio::test]
async fn a_path_that_is_missing_is_told_and_waited_for() {
    let files = Files::new(&[("here/a.yaml", &map("a", "1"))]);
    let source = Arc::new(Directory::new(["here", "there"].map(|name| files.path(name))));
    let mut watching = Watching::begin(&source, &config_maps(), Mode::Follow);
    let known = watching.until("the problem is told", |known| known.has_problem("SourceUnavailable")).await;
    assert_eq!((known.names(), known.lists), (vec!["ns/a"], 0));
    files.write("there/b.yaml", map("b", "1"));
    watching.until("the list ends", |known| known.lists == 1).await;
    assert_eq!(watching.known.names(), ["ns/a", "ns/b"]);
    // A volume that is unmounted deletes nothing.
    fs::rename(files.path("there"), files.path("elsewhere")).unwrap();
    watching.until("the problem is told", |known| known.has_problem("SourceUnavailable")).await;
    fs::rename(files.path("elsewhere"), files.path("there")).unwrap();
    watching.until("it is back", |known| known.problems.is_empty()).await;
    files.remove("there/b.yaml");
    watching.until_names(&["ns/a"]).await;
}

#[tokio::test]
async fn of_two_files_with_one_object_the_last_counts_and_both_are_told() {
    let files = Files::new(&[("a.yaml", &map("x", "first")), ("b.yaml", &map("x", "last"))]);
    let known = files.once(&config_maps()).await;
    assert_eq!((known.at("ns/x", "/data/v"), known.lists), ("last".into(), 1));
    let (_, text) = &known.problems[0];
    assert!(
        text.contains("ns/x is defined in") && text.contains("a.yaml") && text.contains("b.yaml"),
        "{text}"
    );

    let mut watching = listed(files.follow(&config_maps())).await;
    files.write("a.yaml", map("x", "first, changed"));
    files.write("c.yaml", map("other", "1"));
    watching.until_names(&["ns/other", "ns/x"]).await;
    assert_eq!(watching.known.at("ns/x", "/data/v"), "last");
    files.remove("b.yaml");
    watching.until("the other one counts", |known| known.at("ns/x", "/data/v") == "first, changed").await;
    watching.until("no problem is left", |known| known.problems.is_empty()).await;
    assert!(!watching.stop().await.log.contains(&"-ns/x".to_owned()));
}

#[tokio::test]
async fn an_object_twice_in_one_file_is_told_and_the_last_counts() {
    let files = Files::new(&[("a.yaml", &format!("{}---\n{}", map("x", "1"), map("x", "2")))]);
    let known = files.once(&config_maps()).await;
    assert_eq!((known.at("ns/x", "/data/v"), known.lists), ("2".into(), 1));
    assert!(known.problems[0].1.contains("more than once"), "{:?}", known.problems);
}

#[tokio::test]
async fn a_kind_that_is_watched_later_gets_its_objects_and_disturbs_nobody() {
    let files = Files::new(&[
        ("a.yaml", &format!("{}---\n{}", map("a", "1"), yaml("Secret", "s", "1"))),
        ("b.yaml", &map("b", "1")),
    ]);
    let source = files.source();
    let mut first = listed(Watching::begin(&source, &config_maps(), Mode::Follow)).await;
    let mut later = Watching::begin(&source, &secrets(), Mode::Follow);
    later.until("the list is complete", |known| known.lists == 1).await;
    assert_eq!(later.known.log, ["begin", "+ns/s", "end"]);
    files.write("b.yaml", map("b", "2"));
    first.until("b changed", |known| known.at("ns/b", "/data/v") == "2").await;
    assert_eq!(first.stop().await.log, ["+ns/b"]);
    // The one goes on when the other has stopped.
    files.write("s.yaml", yaml("Secret", "t", "1"));
    later.until_names(&["ns/s", "ns/t"]).await;
}

#[tokio::test]
async fn many_watches_of_many_kinds_are_served_together() {
    let files = Files::new(&[]);
    let kinds: Vec<String> = (0..30).map(|n| format!("Kind{n}")).collect();
    for n in 0..40 {
        let text: Vec<String> = kinds.iter().map(|kind| yaml(kind, &format!("o{n}"), "1")).collect();
        files.write(&format!("{n}.yaml"), text.join("---\n"));
    }
    let source = files.source();
    let watches: Vec<_> = kinds
        .iter()
        .map(|kind| Watching::begin(&source, &Gvk::new("", "v1", kind.as_str()), Mode::Once))
        .collect();
    for watching in watches {
        let known = watching.finish().await;
        assert_eq!((known.objects.len(), known.lists), (40, 1));
    }
}

#[tokio::test]
async fn namespaces_of_objects_are_known_and_followed() {
    let files = Files::new(&[
        ("a.yaml", &map("a", "1")),
        ("b.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: b}\n"),
        ("c.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: c, namespace: m}\n"),
    ]);
    let source = files.source();
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(source.observed_namespaces().await, set(&["m", "ns"]));
    let _watching = listed(Watching::begin(&source, &config_maps(), Mode::Follow)).await;
    let mut namespaces = source.namespaces();
    files.remove("c.yaml");
    let wait = namespaces.wait_for(|now| now.as_deref() == Some(&set(&["ns"])));
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap().unwrap();
}

#[tokio::test]
async fn relative_paths_are_followed_and_named_as_given() {
    let files = Files::new(&[("a.yaml", &map("a", "1"))]);
    // Up to the root and down again, without changing the process's working directory.
    let here = std::env::current_dir().unwrap();
    let mut relative: PathBuf = here.components().skip(1).map(|_| "..").collect();
    relative.push(files.path("").strip_prefix("/").unwrap());
    let mut watching =
        listed(Watching::begin(&Arc::new(Directory::new([relative.clone()])), &config_maps(), Mode::Follow))
            .await;
    files.write("a.yaml", map("a", "2"));
    let changed = watching.until("a changed", |known| known.at("ns/a", "/data/v") == "2").await;
    assert_eq!(changed.log, ["+ns/a"]);
    files.write("a.yaml", "a: [");
    let known = watching.until("the problem is told", |known| known.has_problem("Unreadable")).await;
    let (_, text) = &known.problems[0];
    assert!(text.starts_with(&format!("{}:1", relative.join("a.yaml").display())), "{text}");
}

/// A pipe that gives a text to whoever opens the path, as the shell's `<(…)` does.
#[cfg(target_os = "linux")]
fn piped(text: String) -> (std::io::PipeReader, PathBuf) {
    use std::os::fd::AsRawFd as _;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
    std::thread::spawn(move || writer.write_all(text.as_bytes()).unwrap());
    (reader, path)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_comes_through_a_pipe_is_taken_whole_and_kept_for_watches_that_come_later() {
    let filler = " ".repeat(3 << 20);
    for text in [
        format!("{}---\n{}", map("a", "1"), yaml("Secret", "s", "1")),
        format!("{}{}", json("a"), json("s").replace("ConfigMap", "Secret")),
        format!("{}{filler}{}", json("a"), json("s").replace("ConfigMap", "Secret")),
    ] {
        let (_pipe, path) = piped(text);
        let source = Arc::new(Directory::new([path]));
        let mut first = Watching::begin(&source, &config_maps(), Mode::Follow);
        first.until("the list is complete", |known| known.lists == 1).await;
        assert_eq!(first.known.names(), ["ns/a"]);
        let known = Watching::begin(&source, &secrets(), Mode::Once).finish().await;
        assert_eq!(known.log, ["begin", "+ns/s", "end"]);
        assert_eq!(first.stop().await.log, ["begin", "+ns/a", "end"]);
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_in_files_of_any_size() {
    for filler in [0, 2 << 20] {
        let files = Files::new(&[]);
        files.write("a.json", format!("\u{feff}{}{}{}", json("a"), " ".repeat(filler), json("b")));
        files.write("c.yaml", format!("\u{feff}{}", map("c", "1")));
        let given = files.path("given");
        files.write("given", format!("\u{feff}{}", json("d")));
        let source = Arc::new(Directory::new([files.path("a.json"), files.path("c.yaml"), given]));
        let known = Watching::begin(&source, &config_maps(), Mode::Once).finish().await;
        assert_eq!((known.names(), known.problems.len()), (vec!["ns/a", "ns/b", "ns/c", "ns/d"], 0));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_is_being_written_is_read_when_it_is_closed() {
    let files = Files::new(&[("all.yaml", &format!("{}---\n{}", map("a", "1"), map("b", "1")))]);
    let mut watching = listed(files.follow(&config_maps())).await;
    for (round, mark) in ["1", "2"].into_iter().zip(["x1", "x2"]) {
        // Truncated and written piece by piece, as the shell's `>` does.
        let mut file = fs::File::create(files.path("all.yaml")).unwrap();
        if round == "2" {
            file.write_all(format!("{}---\n", map("a", round)).as_bytes()).unwrap();
        }
        // Other files go on meanwhile, also where everything is looked over.
        files.write(&format!("{mark}.yaml"), map(mark, "1"));
        watching.until(mark, |known| known.objects.contains_key(&format!("ns/{mark}"))).await;
        if round == "1" {
            file.write_all(format!("{}---\n", map("a", round)).as_bytes()).unwrap();
        }
        file.write_all(map("b", &format!("new {round}")).as_bytes()).unwrap();
        drop(file);
        let value = format!("new {round}");
        watching.until("b changed", |known| known.at("ns/b", "/data/v") == value.as_str()).await;
    }
    assert_eq!(watching.stop().await.log, ["+ns/x1", "+ns/b", "+ns/x2", "+ns/a", "+ns/b"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_watch_that_begins_while_a_file_is_being_written_ends_its_list_afterwards() {
    let both = |value| format!("{}---\n{}", map("a", value), yaml("Secret", "s", "1"));
    let files = Files::new(&[("all.yaml", &both("1"))]);
    let source = files.source();
    let mut first = listed(Watching::begin(&source, &config_maps(), Mode::Follow)).await;
    let mut file = fs::File::create(files.path("all.yaml")).unwrap();
    files.write("x.yaml", map("x", "1"));
    first.until_names(&["ns/a", "ns/x"]).await;
    let mut later = Watching::begin(&source, &secrets(), Mode::Follow);
    later.until("the list begins", |known| !known.log.is_empty()).await;
    files.write("z.yaml", map("z", "1"));
    first.until_names(&["ns/a", "ns/x", "ns/z"]).await;
    file.write_all(both("2").as_bytes()).unwrap();
    drop(file);
    let known = later.until("the list ends", |known| known.lists == 1).await;
    assert_eq!((known.names(), known.problems.len()), (vec!["ns/s"], 0));
}

#[tokio::test]
async fn an_object_twice_in_one_file_does_not_change_when_the_file_is_touched() {
    let text = format!("{}---\n{}", map("x", "1"), map("x", "2"));
    let files = Files::new(&[("a.yaml", &text)]);
    let mut watching = listed(files.follow(&config_maps())).await;
    watching.until("the problem is told", |known| known.has_problem("Unreadable")).await;
    watching.forget_log();
    for mark in ["m1", "m2"] {
        files.replace("a.yaml", &text);
        files.write(&format!("{mark}.yaml"), map(mark, "1"));
        watching.until(mark, |known| known.objects.contains_key(&format!("ns/{mark}"))).await;
    }
    files.write("a.yaml", format!("{}---\n{}", map("x", "1"), map("x", "3")));
    let known = watching.until("x changed", |known| known.at("ns/x", "/data/v") == "3").await;
    assert_eq!(known.log, ["+ns/m1", "+ns/m2", "+ns/x"]);
    // A watch that comes later gets it once.
    assert_eq!(watching.stop().await.problems.len(), 1);
}
