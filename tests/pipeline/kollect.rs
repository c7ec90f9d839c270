//! The binary, and what its tests look at.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test gives up on it: several times what it takes on a busy machine, for nothing is said of
/// time here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn kollect() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kollect"));
    command.env("KOLLECT_LOG", "warn").stdin(Stdio::null());
    command
}

/// A pipeline over ConfigMaps in files: a profile, a target and an inventory with the given sinks.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { folder: TempDir::new().unwrap() };
        std::fs::create_dir(files.path("objects")).unwrap();
        std::fs::create_dir(files.path("config")).unwrap();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // As editors do: the file is there in one piece or not at all.
        let new = self.path(".new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn object(&self, name: &str, value: &str) {
        self.write(&format!("objects/{name}.yaml"), &config_map(name, value));
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn collect(&self) -> Command {
        let mut command = kollect();
        command.args(["collect", "-o", "json", "--config"]).arg(self.path("config"));
        command
    }

    /// Collects the objects in the folder, and returns the exit code and the summary.
    pub(crate) fn collect_objects(&self) -> (i32, Value) {
        let mut command = self.collect();
        command.arg("--objects").arg(self.path("objects"));
        run(command)
    }
}

/// Runs a command to its end: the exit code, and what it says as JSON.
pub(crate) fn run(mut command: Command) -> (i32, Value) {
    let output = command.output().unwrap();
    let code = output.status.code().unwrap();
    let summary = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("exit code {code}, {error}: {}", texts(&output)));
    (code, summary)
}

pub(crate) fn texts(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).join("\n")
}

/// `[inserted, updated, deleted]` of the first inventory.
pub(crate) fn written(summary: &Value) -> [u64; 3] {
    let inventory = &summary["inventories"][0];
    ["inserted", "updated", "deleted"].map(|count| inventory[count].as_u64().unwrap())
}

pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop, labels: {{app: shop}}}}\ndata: {{v: '{value}'}}\n"
    )
}

/// A profile, a target and an inventory; `sinks` go into the inventory's spec.
pub(crate) fn pipeline(namespace: &str, inventory: &str, sinks: &str) -> String {
    format!(
        "apiVersion: kollect.dev/v1alpha1
kind: KollectProfile
metadata: {{name: maps, namespace: {namespace}}}
spec:
  targetGVK: {{version: v1, kind: ConfigMap}}
  attributes:
  - {{name: v, path: $.data.v}}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectTarget
metadata: {{name: maps, namespace: {namespace}}}
spec:
  profileRef: maps
  labelSelector: {{matchLabels: {{app: shop}}}}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectInventory
metadata: {{name: {inventory}, namespace: {namespace}}}
spec: {{{sinks}}}
"
    )
}

pub(crate) fn sqlite_sink(namespace: &str, file: &Path) -> String {
    format!(
        "---\napiVersion: kollect.dev/v1alpha1\nkind: KollectDatabaseSink\nmetadata: {{name: lite, namespace: {namespace}}}\nspec: {{type: sqlite, endpoint: {}, sqlite: {{table: rows}}}}\n",
        file.display()
    )
}

pub(crate) fn postgres_sink(namespace: &str, name: &str, url: &str, schema: &str, cluster: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}-db, namespace: {namespace}}}
stringData: {{dsn: '{url}'}}
---
apiVersion: kollect.dev/v1alpha1
kind: KollectDatabaseSink
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  type: postgres
  cluster: '{cluster}'
  postgres: {{databaseRef: {{name: {name}-db}}, schema: {schema}, table: rows}}
"
    )
}

/// A process that ends with its test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Tells it to end, and returns its exit code.
    pub(crate) fn terminate(mut self) -> i32 {
        self.signal("-TERM");
        self.0.wait().unwrap().code().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `get` gives what is expected.
pub(crate) async fn eventually<T: PartialEq + std::fmt::Debug>(expected: T, mut get: impl AsyncFnMut() -> T) {
    let end = Instant::now() + PATIENCE;
    loop {
        let actual = get().await;
        if actual == expected {
            return;
        }
        assert!(Instant::now() < end, "waited in vain: {actual:?} is not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
