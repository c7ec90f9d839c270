#![allow(clippy::unwrap_used)]

use kollect_dataflows::data::{Gvk, RowHash, RowKey};
use rusqlite::ffi;

use super::config::{Config, Settings};
use super::encode::Stored;
use super::error::Doing;
use crate::sinks::{Provisioning, SinkError};

fn settings(endpoint: &str) -> Settings {
    Settings {
        endpoint: endpoint.to_owned(),
        table: "rows".into(),
        provisioning: Provisioning::Ensure,
        deletion_policy: None,
        busy_timeout: None,
    }
}

#[test]
fn takes_absolute_paths_and_file_urls_for_the_same_place() {
    let config = Config::new(settings("/var/lib//kollect/inventory.db")).unwrap();
    assert_eq!(config, Config::new(settings("file:///var/lib/kollect/inventory.db")).unwrap());
    assert_eq!(config.describe(), "sqlite /var/lib/kollect/inventory.db rows");
    for endpoint in ["", "inventory.db", "./x.db", "/var/../etc/x.db", "http://host/x.db", "file://x.db"] {
        assert_eq!(Config::new(settings(endpoint)).unwrap_err().field, "spec.endpoint", "{endpoint}");
    }
}

#[test]
fn a_row_is_as_written_only_if_its_hash_is_that_of_its_content() {
    let mut stored = Stored {
        rowid: 1,
        key: RowKey {
            target_namespace: "team".to_owned(),
            target_name: "web".to_owned(),
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            uid: "1".to_owned(),
        },
        gvk: Gvk::new("apps", "v1", "Deployment"),
        attributes: "{\"n\":1}".to_owned(),
        incomplete: Some("[\"owner\"]".to_owned()),
        hash: RowHash(0),
    };
    assert!(!stored.is_as_written());
    stored.hash = RowHash::of_json(
        br#"{"targetNamespace":"team","targetName":"web","namespace":"shop","name":"cart","group":"apps","version":"v1","kind":"Deployment","uid":"1","attributes":{"n":1},"incomplete":["owner"]}"#,
    );
    assert!(stored.is_as_written());
    for other in [
        Stored { attributes: "{\"n\":2}".to_owned(), ..stored.clone() },
        Stored { incomplete: None, ..stored.clone() },
        Stored { incomplete: Some("owner".to_owned()), ..stored.clone() },
        Stored { gvk: Gvk::new("apps", "v2", "Deployment"), ..stored.clone() },
    ] {
        assert!(!other.is_as_written());
    }
}

#[test]
fn errors_say_whose_turn_it_is() {
    let config = Config::new(settings("/data/inventory.db")).unwrap();
    let doing = Doing { config: &config, what: "writing rows" };
    let error = |code| doing.failed(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
    for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_IOERR] {
        assert!(error(code).is_retryable(), "{code}");
    }
    for code in [ffi::SQLITE_READONLY, ffi::SQLITE_PERM] {
        assert!(matches!(error(code), SinkError::Denied { .. }), "{code}");
    }
    assert!(matches!(error(ffi::SQLITE_TOOBIG), SinkError::Row { .. }));
    for code in [ffi::SQLITE_NOTADB, ffi::SQLITE_CORRUPT, ffi::SQLITE_CANTOPEN] {
        let SinkError::Broken { message, hint } = error(code) else { panic!("{code}") };
        assert!(message.contains("/data/inventory.db") && !hint.is_empty(), "{message}");
    }
}
