//! The Postgres server that the tests share.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The URL of a database in which the user may create schemas.
pub(crate) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        std::env::var("KOLLECT_TEST_POSTGRES").unwrap_or_else(|_| {
            remove_leftovers();
            start(&directory("postgres"))
        })
    })
}

/// Where a server of this process has its data.
pub(crate) fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{LEFTOVERS}{}-{name}", std::process::id()))
}

const LEFTOVERS: &str = "kollect-sinks-";

/// Removes the data of servers whose processes are gone: nothing runs after the last test that could have done it.
fn remove_leftovers() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(LEFTOVERS)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Starts a server that stops when this process is gone; gives back its URL.
pub(crate) fn start(directory: &Path) -> String {
    start_with(directory, "")
}

/// As [`start`], with more arguments for the server.
pub(crate) fn start_with(directory: &Path, arguments: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/postgres/start.sh");
    let output = Command::new(&script)
        .arg(directory)
        .env("OWNER", std::process::id().to_string())
        .env("PG_ARGS", arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{} can't be run: {error}; set KOLLECT_TEST_POSTGRES to the URL of a server",
                script.display()
            )
        });
    assert!(
        output.status.success(),
        "{} did not start a server (see above); set KOLLECT_TEST_POSTGRES to the URL of one",
        script.display()
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A connection for looking at what a sink did, and for doing what other people do to tables.
pub(crate) async fn connect() -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{prefix}_{nanos}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
