//! The API server that the tests use.

use std::path::{Path, PathBuf};
use std::process::Command;

use kollect::sources::kubernetes::client;
use kube::Client;
use tokio::sync::OnceCell;

/// A control plane of the tests' own, in a folder under the build's.
pub(crate) struct Cluster {
    folder: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

fn script(name: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/kubernetes").join(name);
    assert!(
        path.exists(),
        "there is no {}: it brings up the API server that this test needs",
        path.display()
    );
    Command::new(path)
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(
        output.status.success(),
        "{command:?} failed, so there is no API server for this test (set KOLLECT_TEST_KUBECONFIG to use another): {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Removes the folders of processes that are gone. Their clusters have ended with them.
fn remove_left_over(parent: &Path, prefix: &str) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            // It may just be ending; then it is removed the next time.
            let _ = script("stop.sh").arg(entry.path()).arg("--remove").output();
        }
    }
}

impl Cluster {
    /// Starts an empty cluster, which ends with this process.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, "")
    }

    /// The same, with these arguments of the API server.
    pub(crate) fn start_with(name: &str, arguments: &str) -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let prefix = format!("sources-{name}-");
        remove_left_over(parent, &prefix);
        Self::start_in(parent.join(format!("{prefix}{}", std::process::id())), arguments)
    }

    fn start_in(folder: PathBuf, arguments: &str) -> Self {
        let mut start = script("start.sh");
        start.arg(&folder).env("OWNER", std::process::id().to_string()).env("APISERVER_ARGS", arguments);
        let kubeconfig = PathBuf::from(run(start));
        Self { folder, kubeconfig }
    }

    /// Ends the servers and starts them again with the same data.
    pub(crate) fn restart(self) -> Self {
        let mut stop = script("stop.sh");
        stop.arg(&self.folder);
        run(stop);
        Self::start_in(self.folder, "")
    }
}

/// The kubeconfig of a cluster that all tests share: that of `KOLLECT_TEST_KUBECONFIG`, or one of their own.
pub(crate) async fn shared() -> &'static Path {
    static SHARED: OnceCell<PathBuf> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            match std::env::var_os("KOLLECT_TEST_KUBECONFIG") {
                Some(path) => PathBuf::from(path),
                None => tokio::task::spawn_blocking(|| Cluster::start("shared").kubeconfig).await.unwrap(),
            }
        })
        .await
}

/// A client of the shared cluster, as administrator.
pub(crate) async fn admin() -> Client {
    client(Some(shared().await), None).await.unwrap()
}
