//! Changes that the operating system must tell of: here nothing is looked over now and then.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::*;
use crate::sources::Closed;

struct Sink(UnboundedSender<Event>);

#[async_trait]
impl EventSink for Sink {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        self.0.send(event).map_err(|_| Closed)
    }
}

/// A directory in which paths are watched.
struct Watching {
    dir: TempDir,
    events: UnboundedReceiver<Event>,
    task: Option<JoinHandle<()>>,
    sender: UnboundedSender<Event>,
}

impl Watching {
    fn new(files: &[(&str, &str)]) -> Self {
        let (sender, events) = unbounded_channel();
        let this = Self { dir: tempfile::tempdir().unwrap(), events, task: None, sender };
        for (name, value) in files {
            this.write(name, value);
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file with one object, whose name is that of the file.
    fn write(&self, name: &str, value: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let object = path.file_stem().unwrap().to_str().unwrap();
        fs::write(
            &path,
            format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {object}}}, v: {value}}}\n"),
        )
        .unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Makes a link lead elsewhere, in one step.
    fn switch(&self, link: &str, to: &str) {
        let new = self.path("..new");
        symlink(to, &new).unwrap();
        fs::rename(new, self.path(link)).unwrap();
    }

    async fn begin(&mut self, roots: &[&str]) {
        let source = Directory::new(roots.iter().map(|root| self.path(root)));
        let mut sink = Sink(self.sender.clone());
        self.task = Some(tokio::spawn(async move {
            source
                .watch(&Gvk::new("", "v1", "Pod"), Mode::Follow, &mut sink, &CancellationToken::new())
                .await;
        }));
        self.until("the list ends", |event| matches!(event, Event::ListEnd)).await;
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Event) -> bool) {
        let limit = Duration::from_secs(60);
        loop {
            let event = tokio::time::timeout(limit, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("not told: {what}")).unwrap();
            if is_so(&event) {
                return;
            }
        }
    }

    async fn until_value(&mut self, object: &str, value: &str) {
        let text = format!("\"v\":{value}}}");
        self.until(&format!("{object} is {value}"), |event| match event {
            Event::Object { name, json, .. } => {
                name.name == object && String::from_utf8_lossy(json).contains(&text)
            }
            _ => false,
        })
        .await;
    }

    /// Writes a file several times, and is told each time.
    async fn is_followed(&mut self, file: &str) {
        let object = Path::new(file).file_stem().unwrap().to_str().unwrap().to_owned();
        for value in ["101", "102", "103"] {
            self.write(file, value);
            self.until_value(&object, value).await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_directory_that_another_one_takes_the_place_of_is_followed() {
    let mut watching = Watching::new(&[("o/a.yaml", "1"), ("o2/a.yaml", "2"), ("o3/sub/a.yaml", "3")]);
    watching.begin(&["o"]).await;
    fs::remove_dir_all(watching.path("o")).unwrap();
    watching.rename("o2", "o");
    watching.until_value("a", "2").await;
    watching.is_followed("o/a.yaml").await;
    watching.rename("o", "old");
    watching.rename("o3", "o");
    watching.until_value("a", "3").await;
    watching.is_followed("o/sub/a.yaml").await;
}

#[tokio::test]
async fn a_subdirectory_that_another_one_takes_the_place_of_is_followed() {
    let mut watching = Watching::new(&[("o/x/y/a.yaml", "1"), ("x2/y/a.yaml", "2")]);
    watching.begin(&["o"]).await;
    watching.rename("o/x", "old");
    watching.rename("x2", "o/x");
    watching.until_value("a", "2").await;
    watching.is_followed("o/x/y/a.yaml").await;
}

#[tokio::test]
async fn a_given_link_that_is_switched_is_followed() {
    let mut watching = Watching::new(&[("v1/a.yaml", "1"), ("v2/a.yaml", "2")]);
    symlink("v1", watching.path("cur")).unwrap();
    watching.begin(&["cur"]).await;
    watching.is_followed("v1/a.yaml").await;
    for _ in 0..3 {
        for (version, value) in [("v2", "2"), ("v1", "1")] {
            watching.write(&format!("{version}/a.yaml"), value);
            watching.switch("cur", version);
            watching.until_value("a", value).await;
            watching.is_followed(&format!("{version}/a.yaml")).await;
        }
    }
}

#[tokio::test]
async fn a_directory_and_a_file_in_it_are_both_followed() {
    let mut watching = Watching::new(&[("o/a.yaml", "1")]);
    watching.begin(&["o", "o/a.yaml"]).await;
    watching.is_followed("o/a.yaml").await;
    watching.is_followed("o/new/sub/b.yaml").await;
    watching.is_followed("o/c.yaml").await;
}

#[tokio::test]
async fn where_links_lead_that_come_later_is_followed() {
    let mut watching = Watching::new(&[("o/a.yaml", "1"), ("d/b.yaml", "1"), ("e/f/c.yaml", "1")]);
    symlink("../e/f/c.yaml", watching.path("o/l.yaml")).unwrap();
    watching.begin(&["o"]).await;
    symlink("../d", watching.path("o/link")).unwrap();
    watching.until_value("b", "1").await;
    watching.is_followed("d/b.yaml").await;
    watching.is_followed("d/sub/x.yaml").await;
    watching.is_followed("e/f/c.yaml").await;
    symlink("../g.yaml", watching.path("o/m.yaml")).unwrap();
    watching.is_followed("g.yaml").await;
}

#[tokio::test]
async fn a_single_file_of_a_mounted_config_map_is_followed() {
    let mut watching = Watching::new(&[("..v1/a.yaml", "1")]);
    symlink("..v1", watching.path("..data")).unwrap();
    symlink("..data/a.yaml", watching.path("a.yaml")).unwrap();
    watching.begin(&["a.yaml"]).await;
    for version in ["2", "3", "4"] {
        watching.write(&format!("..v{version}/a.yaml"), version);
        watching.switch("..data", &format!("..v{version}"));
        watching.until_value("a", version).await;
    }
}
