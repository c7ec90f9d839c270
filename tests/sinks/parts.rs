//! What holds for an inventory that is too large for one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use kollect::sinks::snapshot::document::Reader;
use kollect::sinks::snapshot::layout::Format;
use kollect::sinks::snapshot::local;
use kollect::sinks::{DocumentSink, Receipt, Replaced, Term};
use kollect_dataflows::data::{Row, TargetName};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::documents::{Chunks, JSON, YAML, open_with};
use crate::places::{row, tree};

const FORMATS: [(Format, &str); 2] = [(Format::Yaml, YAML), (Format::Json, JSON)];
const LIMIT: u64 = 2_000;

fn open(directory: &Path, format: Format, limit: Option<u64>) -> Box<dyn DocumentSink> {
    let settings =
        local::Settings { endpoint: directory.display().to_string(), format, ..local::Settings::default() };
    open_with(settings, limit, "east", &Term::unfenced())
}

async fn replace(sink: &mut dyn DocumentSink, rows: &BTreeMap<u32, u32>, keep: &[TargetName]) -> Replaced {
    try_replace(sink, rows, keep).await.unwrap()
}

/// Number of a row → length of its text.
async fn try_replace(
    sink: &mut dyn DocumentSink,
    rows: &BTreeMap<u32, u32>,
    keep: &[TargetName],
) -> Result<Replaced, kollect::sinks::SinkError> {
    let mut all: Vec<Row> = rows.iter().map(|(number, length)| row_of(*number, *length)).collect();
    all.sort();
    sink.connect().await?;
    sink.replace(&mut Chunks(all.into_iter()), keep).await
}

fn row_of(number: u32, length: u32) -> Row {
    let text = "x".repeat(length as usize);
    row(["api", "web"][number as usize / 50], &format!("n-{number:03}"), &format!(r#"{{"t":"{text}"}}"#))
}

fn some_rows() -> BTreeMap<u32, u32> {
    (0..100).map(|number| (number, number % 7 * 10)).collect()
}

/// What a reader gets who begins with the index, and knows that no file is too large.
fn read(directory: &Path, format: Format, document: &str) -> BTreeMap<u32, u32> {
    let index = index_of(directory, format, document);
    let mut rows = BTreeMap::new();
    let mut count = 0;
    let mut canonical = Vec::new();
    for part in index["parts"].as_array().unwrap() {
        let path = directory.join("inventory/team").join(part["path"].as_str().unwrap());
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() as u64 <= LIMIT, "{} has {} bytes", path.display(), bytes.len());
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(part["sha256"], hash.as_str());
        let mut items = Reader::new(&bytes[..]).unwrap();
        let mut of_part = 0;
        while let Some(item) = items.next_item().unwrap() {
            let row = item.row().unwrap();
            if of_part == 0 {
                let first = &part["first"];
                assert_eq!(
                    (&first["name"], &first["targetName"]),
                    (&row.key().name.into(), &row.key().target_name.into())
                );
            }
            of_part += 1;
            let mut json = Vec::new();
            row.write_json(&mut json);
            let attributes: Value = serde_json::from_slice(&json).unwrap();
            canonical.push(String::from_utf8(json).unwrap());
            let number = row.key().name.trim_start_matches("n-").parse().unwrap();
            let length = attributes["attributes"]["t"].as_str().unwrap().len() as u32;
            assert_eq!(rows.insert(number, length), None, "row {number} is there twice");
        }
        assert_eq!(part["itemCount"], of_part);
        if format == Format::Json {
            let whole: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(whole["itemCount"], of_part);
            let own = format!("[{}]", canonical[count..].join(","));
            let own: String = Sha256::digest(own).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(whole["checksum"], own.as_str());
        }
        count += of_part;
    }
    assert_eq!(index["itemCount"], count);
    let canonical = format!("[{}]", canonical.join(","));
    let checksum: String = Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(index["checksum"], checksum.as_str());
    assert_eq!(index["cluster"], "east");
    // And there is nothing else.
    assert_eq!(tree(directory).len(), index["parts"].as_array().unwrap().len() + 1);
    rows
}

fn index_of(directory: &Path, format: Format, document: &str) -> Value {
    let path = document.replace("apps.", "apps_index.");
    let text = fs::read_to_string(directory.join(path)).unwrap();
    match format {
        Format::Yaml => serde_saphyr::from_str(&text).unwrap(),
        Format::Json => serde_json::from_str(&text).unwrap(),
    }
}

#[tokio::test]
async fn a_large_document_is_an_index_and_parts_and_a_change_writes_one_of_them() {
    for (format, path) in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = open(directory.path(), format, Some(LIMIT));
        let mut rows = some_rows();
        let replaced = replace(&mut *sink, &rows, &[]).await;
        assert_eq!(replaced.receipt.inserted, 100);
        assert_eq!(read(directory.path(), format, path), rows);
        let before = tree(directory.path());
        assert!(before.len() > 10, "{} files", before.len());
        assert_eq!(replaced.receipt.files_written as usize, before.len());

        // The same, also after a restart, is not written again.
        assert_eq!(replace(&mut *sink, &rows, &[]).await, Replaced::default());
        sink = open(directory.path(), format, Some(LIMIT));
        assert_eq!(replace(&mut *sink, &rows, &[]).await, Replaced::default());
        assert_eq!(tree(directory.path()), before);

        rows.insert(42, 11);
        let receipt = replace(&mut *sink, &rows, &[]).await.receipt;
        let expected = Receipt { updated: 1, files_written: 2, ..Receipt::default() };
        assert_eq!(receipt, expected);
        let after = tree(directory.path());
        assert_eq!(after.iter().filter(|(path, text)| before.get(*path) != Some(text)).count(), 2);
        assert_eq!(read(directory.path(), format, path), rows);
        if format == Format::Json {
            assert_eq!(index_of(directory.path(), format, path)["generation"], 2);
        }

        // What somebody did to a part is put right, and counted.
        let part = after.keys().find(|path| after[*path].contains("n-042")).unwrap();
        fs::write(directory.path().join(part), after[part].replace("n-042", "n-043")).unwrap();
        let receipt = replace(&mut *sink, &rows, &[]).await.receipt;
        assert!(receipt.inserted + receipt.updated > 0 && receipt.files_written > 0, "{receipt:?}");
        assert_eq!(read(directory.path(), format, path), rows);

        // All of it goes, and nothing else.
        fs::write(directory.path().join("inventory/team/apps_mine.txt"), "").unwrap();
        assert_eq!(sink.clear().await.unwrap().deleted, 100);
        assert_eq!(tree(directory.path()).into_keys().collect::<Vec<_>>(), ["inventory/team/apps_mine.txt"]);
    }
}

#[tokio::test]
async fn a_document_that_fits_is_one_file_and_parts_come_and_go() {
    for (format, path) in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = open(directory.path(), format, Some(LIMIT));
        let few: BTreeMap<u32, u32> = some_rows().into_iter().take(3).collect();
        replace(&mut *sink, &few, &[]).await;
        let whole = tree(directory.path());
        assert_eq!(whole.keys().collect::<Vec<_>>(), [path]);
        assert!(whole[path].len() as u64 <= LIMIT);

        let receipt = replace(&mut *sink, &some_rows(), &[]).await.receipt;
        assert_eq!((receipt.inserted, receipt.files_removed), (97, 1));
        assert_eq!(read(directory.path(), format, path), some_rows());
        let parts = tree(directory.path()).len() as u64;

        let receipt = replace(&mut *sink, &few, &[]).await.receipt;
        assert_eq!((receipt.deleted, receipt.files_written, receipt.files_removed), (97, 1, parts));
        assert_eq!(tree(directory.path()).keys().collect::<Vec<_>>(), [path]);

        // Another limit is another way to say the same.
        replace(&mut *sink, &some_rows(), &[]).await;
        let mut sink = open(directory.path(), format, None);
        let receipt = replace(&mut *sink, &some_rows(), &[]).await.receipt;
        assert_eq!((receipt.inserted, receipt.updated, receipt.deleted, receipt.files_written), (0, 0, 0, 1));
        assert_eq!(tree(directory.path()).keys().collect::<Vec<_>>(), [path]);
    }
}

#[tokio::test]
async fn rows_of_kept_targets_stay_in_their_parts() {
    let keep = [TargetName::new("team", "api")];
    for (format, path) in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = open(directory.path(), format, Some(LIMIT));
        replace(&mut *sink, &some_rows(), &[]).await;
        let of_web: BTreeMap<u32, u32> =
            some_rows().into_iter().filter(|(number, _)| *number >= 50).collect();
        assert_eq!(replace(&mut *sink, &of_web, &keep).await, Replaced::default());
        assert_eq!(replace(&mut *sink, &BTreeMap::new(), &keep).await.receipt.deleted, 50);
        let of_api: BTreeMap<u32, u32> = some_rows().into_iter().filter(|(number, _)| *number < 50).collect();
        assert_eq!(read(directory.path(), format, path), of_api);
        // Another format reads them from the parts of the first.
        let (other, path) = FORMATS.into_iter().find(|(other, _)| *other != format).unwrap();
        let mut sink = open(directory.path(), other, Some(LIMIT));
        replace(&mut *sink, &of_web, &keep).await;
        assert_eq!(read(directory.path(), other, path), some_rows());
    }
}

#[tokio::test]
async fn a_row_above_the_limit_is_set_aside_and_an_older_version_stays() {
    for (format, path) in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = open(directory.path(), format, Some(LIMIT));
        let mut rows = some_rows();
        replace(&mut *sink, &rows, &[]).await;
        rows.insert(10, 5_000);
        rows.insert(20, 5_000);
        rows.insert(30, 1);
        rows.remove(&40);
        rows.insert(100, 5_000);
        let new = rows.split_off(&100);
        let Replaced { receipt, too_large } = replace(&mut *sink, &rows, &[]).await;
        assert_eq!((receipt.inserted, receipt.updated, receipt.deleted), (0, 1, 1));
        assert_eq!(too_large.count, 2);
        let (key, bytes) = &too_large.shown[0];
        assert_eq!(key.name, "n-010");
        assert!((5_000..5_500).contains(bytes), "{bytes}");
        let mut expected = rows.clone();
        expected.insert(10, some_rows()[&10]);
        expected.insert(20, some_rows()[&20]);
        assert_eq!(read(directory.path(), format, path), expected);
        // It is said as long as it is so, and what is there stays.
        let again = replace(&mut *sink, &rows, &[]).await;
        assert_eq!((again.receipt, again.too_large.count), (Receipt::default(), 2));
        // Nothing is there of those that were never small enough.
        assert_eq!(new.len(), 1);
        let only: BTreeMap<u32, u32> = [(1, 5_000), (2, 10)].into();
        let alone = replace(&mut *sink, &only, &[]).await;
        assert_eq!(alone.too_large.count, 1);
        assert_eq!(alone.receipt.deleted, 97);
        assert_eq!(tree(directory.path()).keys().collect::<Vec<_>>(), [path]);
    }
}

/// Numbers that look random, and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }

    fn rows(&mut self) -> BTreeMap<u32, u32> {
        let mut rows = some_rows();
        for _ in 0..self.below(60) {
            let number = self.below(100);
            match self.below(3) {
                0 => _ = rows.remove(&number),
                _ => _ = rows.insert(number, self.below(300)),
            }
        }
        rows
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { _ = fs::copy(&path, &to).unwrap() }
    }
}

#[tokio::test]
async fn no_row_is_lost_wherever_the_writing_of_parts_breaks_off() {
    let everything = [TargetName::new("team", "api"), TargetName::new("team", "web")];
    let mut numbers = Numbers(7);
    let (mut broken, mut torn) = (0, BTreeSet::new());
    for (format, path) in FORMATS {
        for round in 0..3 {
            let (old, new) = (numbers.rows(), numbers.rows());
            let before = tempfile::tempdir().unwrap();
            replace(&mut *open(before.path(), format, Some(LIMIT)), &old, &[]).await;
            // Every third file: each attempt waits for the disk many times.
            for blocked in tree(before.path()).into_keys().skip(round).step_by(3) {
                let directory = tempfile::tempdir().unwrap();
                copy(before.path(), directory.path());
                let mut sink = open(directory.path(), format, Some(LIMIT));
                let place = directory.path().join(&blocked);
                let file = fs::read(&place).unwrap();
                fs::remove_file(&place).unwrap();
                // Nothing can be put there, so that the attempt ends when it comes to it.
                fs::create_dir_all(place.join("x")).unwrap();
                let attempt = try_replace(&mut *sink, &new, &everything[..round / 2]).await;
                fs::remove_dir_all(&place).unwrap();
                fs::write(&place, file).unwrap();
                if attempt.is_ok() {
                    continue;
                }
                broken += 1;
                torn.insert(tree(directory.path()) != tree(before.path()));
                // As the next process finds it: the targets are not known yet.
                let mut sink = open(directory.path(), format, Some(LIMIT));
                replace(&mut *sink, &BTreeMap::new(), &everything).await;
                let found = read(directory.path(), format, path);
                for number in old.keys().filter(|number| new.contains_key(*number)) {
                    let length = found.get(number);
                    assert!(
                        length == old.get(number) || length == new.get(number),
                        "row {number} is {length:?}, not {:?} or {:?}, after {blocked}",
                        old[number],
                        new[number]
                    );
                }
                // And once they are, all is as it is to be.
                replace(&mut *sink, &new, &[]).await;
                assert_eq!(read(directory.path(), format, path), new);
            }
        }
    }
    // The attempts did break off, and some in the middle.
    assert!(broken > 20 && torn.contains(&true), "{broken} {torn:?}");
}
