#![allow(clippy::unwrap_used)]

use kollect_dataflows::data::{RowHash, RowKey};

use super::config::{Config, Settings};
use super::encode::{
    Content, DocumentEntry, Entry, FileHash, Header, Key, PartEntry, RowEntry, del, header, put, read_header,
    read_line,
};
use crate::sinks::{BindingName, DeletionPolicy};

#[test]
fn lines_of_the_manifest_come_back_as_they_were() {
    let binding = BindingName {
        cluster: "east\n\"1\"".to_owned(),
        inventory_namespace: String::new(),
        inventory_name: "apps".to_owned(),
    };
    for layout in [None, Some(".yaml {kind}/{sourceName}{extension}".to_owned())] {
        let first = Header { binding: binding.clone(), layout, term: 7 };
        let text = header(&first);
        assert_eq!(text.lines().count(), 1);
        assert_eq!(read_header(text.trim_end()), Some(first));
    }
    let text = header(&Header { binding, layout: None, term: 0 });
    assert_eq!(read_header("{}"), None);
    assert_eq!(read_header(&text.trim_end().replace("kollect.dev/v1", "kollect.dev/v2")), None);

    let key = RowKey { target_namespace: "", target_name: "a b", namespace: "ü", name: "x\"y", uid: "1" };
    assert_eq!(Key::new(key).unwrap().parts(), key);
    assert!(Key::new(RowKey { name: "a\0b", ..key }).is_err());
    let row = RowEntry { key: Key::new(key).unwrap(), hash: RowHash(7), plain: Some("p/plain.yaml".into()) };
    let document = DocumentEntry { checksum: "c".to_owned(), items: 2, generation: 3, index: false };
    let part = PartEntry {
        index: FileHash(3),
        first: Key::new(key).unwrap(),
        checksum: "c".to_owned(),
        sha256: "s".to_owned(),
        generation: 2,
    };
    let index = DocumentEntry { index: true, ..document.clone() };
    let contents = [
        Content::Row(row),
        Content::Document(Box::new(document)),
        Content::Document(Box::new(index)),
        Content::Part(Box::new(part)),
    ];
    for content in contents {
        let entry = Entry { hash: FileHash(9), content };
        let text = put("p/größe\n.yaml", &entry);
        assert_eq!(text.lines().count(), 1);
        assert_eq!(read_line(text.trim_end()), Some(("p/größe\n.yaml".into(), Some(entry))));
    }
    assert_eq!(read_line(del("p").trim_end()), Some(("p".into(), None)));
    assert_eq!(read_line("{\"put\":\"p\""), None);
}

#[test]
fn endpoints_are_absolute_paths_and_files_stay_by_default() {
    let settings = |endpoint: &str| Settings { endpoint: endpoint.to_owned(), ..Settings::default() };
    let config = Config::new(settings("file:///var/lib/exports/")).unwrap();
    assert_eq!(config, Config::new(settings("/var/lib/exports")).unwrap());
    assert_eq!(config.describe(), "local /var/lib/exports");
    assert_eq!(config.deletion_policy(), DeletionPolicy::Retain);
    assert_eq!(Config::new(settings("exports")).unwrap_err().field, "spec.endpoint");
    let template = Settings { path_template: Some("{name}".to_owned()), ..settings("/x") };
    assert_eq!(Config::new(template).unwrap_err().field, "spec.pathTemplate");
}
