//! Destinations as the suite sees them: what a sink is given, what it left there, and what people do to it by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kollect::sinks::database::{postgres, sqlite};
use kollect::sinks::snapshot::layout::{Format, LayoutMode, LayoutSettings};
use kollect::sinks::snapshot::local;
use kollect::sinks::{
    BindingName, Change, EndpointPolicy, Provisioning, RowSink, Sink, SinkConfig, Term, TlsSettings,
};
use kollect_dataflows::data::{Gvk, Row, RowKey, RowParts, TargetName};
use serde_json::Value;

use crate::server;

/// Rows by key, as text, with their attributes.
pub(crate) type Contents = BTreeMap<String, Value>;

/// One change as a change log tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logged {
    pub(crate) seq: i64,
    pub(crate) op: String,
    pub(crate) name: String,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

#[async_trait]
pub(crate) trait Place: Send + Sync {
    fn config(&self) -> SinkConfig;

    /// What is there, read without the sink.
    async fn contents(&self, binding: &BindingName) -> Contents;

    /// Somebody changes the content of the object's row.
    async fn edit(&self, binding: &BindingName, name: &str);

    /// Somebody removes the object's row.
    async fn lose(&self, binding: &BindingName, name: &str);

    fn open(&self, binding: &BindingName) -> Box<dyn RowSink> {
        self.open_in(binding, &Term::unfenced())
    }

    fn open_in(&self, binding: &BindingName, term: &Term) -> Box<dyn RowSink> {
        match self.config().open(binding, term) {
            Sink::Rows(sink) => sink,
            Sink::Document(_) => panic!("this sink takes whole documents"),
        }
    }
}

/// A place with a change log.
#[async_trait]
pub(crate) trait Database: Place {
    async fn log(&self, binding: &BindingName) -> Vec<Logged>;

    /// Position, row count, digest.
    async fn position(&self, binding: &BindingName) -> (i64, i64, String);

    /// Runs a statement in which `rows` is a placeholder for the row table.
    async fn run(&self, sql: &str);
}

pub(crate) fn binding(cluster: &str, name: &str) -> BindingName {
    BindingName {
        cluster: cluster.to_owned(),
        inventory_namespace: "team".to_owned(),
        inventory_name: name.to_owned(),
    }
}

pub(crate) fn row(target: &str, name: &str, attributes: &str) -> Row {
    Row::new(RowParts {
        target: &Arc::new(TargetName::new("team", target)),
        gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
        namespace: "shop",
        name,
        uid: &format!("uid-{name}"),
        attributes,
        incomplete: &[],
    })
}

pub(crate) fn upsert(name: &str, attributes: &str) -> Change {
    Change::Upsert(row("web", name, attributes))
}

pub(crate) fn delete(name: &str) -> Change {
    Change::Delete(Box::new(row("web", name, "{}").key().to_owned()))
}

/// The key of the row of `name` as [`Contents`] has it.
pub(crate) fn key(name: &str) -> String {
    row("web", name, "{}").key().to_string()
}

pub(crate) fn contents<const N: usize>(rows: [(&str, &str); N]) -> Contents {
    rows.into_iter().map(|(name, json)| (key(name), serde_json::from_str(json).unwrap())).collect()
}

pub(crate) struct Postgres {
    pub(crate) schema: String,
    pub(crate) provisioning: Provisioning,
}

impl Postgres {
    pub(crate) async fn new() -> Self {
        Self { schema: server::unique("sinks"), provisioning: Provisioning::Ensure }
    }

    pub(crate) fn settings(&self) -> postgres::Settings {
        postgres::Settings {
            dsn: server::url().to_owned(),
            schema: Some(self.schema.clone()),
            table: "rows".into(),
            provisioning: self.provisioning,
            tls: TlsSettings::default(),
            deletion_policy: None,
            endpoints: EndpointPolicy::unrestricted(),
            options: postgres::Options::default(),
        }
    }

    pub(crate) fn table(&self, suffix: &str) -> String {
        format!("\"{}\".rows{suffix}", self.schema)
    }
}

const OF_BINDING: &str = "cluster = $1 AND inventory_namespace = $2 AND inventory_name = $3";

#[async_trait]
impl Place for Postgres {
    fn config(&self) -> SinkConfig {
        SinkConfig::Postgres(postgres::Config::new(self.settings()).unwrap())
    }

    async fn contents(&self, of: &BindingName) -> Contents {
        let sql = format!(
            "SELECT target_namespace, target_name, resource_namespace, resource_name, source_uid, attributes FROM {} \
             WHERE {OF_BINDING}",
            self.table("")
        );
        let rows = server::connect()
            .await
            .query(&sql, &[&of.cluster, &of.inventory_namespace, &of.inventory_name])
            .await
            .unwrap();
        rows.iter()
            .map(|row| {
                let key = RowKey {
                    target_namespace: row.get::<_, String>(0),
                    target_name: row.get(1),
                    namespace: row.get(2),
                    name: row.get(3),
                    uid: row.get(4),
                };
                (key.to_string(), row.get(5))
            })
            .collect()
    }

    async fn edit(&self, of: &BindingName, name: &str) {
        let sql = format!(
            "UPDATE {} SET attributes = '{{\"by\": \"hand\"}}' WHERE {OF_BINDING} AND resource_name = $4",
            self.table("")
        );
        let changed = server::connect()
            .await
            .execute(&sql, &[&of.cluster, &of.inventory_namespace, &of.inventory_name, &name])
            .await;
        assert_eq!(changed.unwrap(), 1);
    }

    async fn lose(&self, of: &BindingName, name: &str) {
        let sql = format!("DELETE FROM {} WHERE {OF_BINDING} AND resource_name = $4", self.table(""));
        let changed = server::connect()
            .await
            .execute(&sql, &[&of.cluster, &of.inventory_namespace, &of.inventory_name, &name])
            .await;
        assert_eq!(changed.unwrap(), 1);
    }
}

#[async_trait]
impl Database for Postgres {
    async fn log(&self, of: &BindingName) -> Vec<Logged> {
        let sql = format!(
            "SELECT seq, op, resource_name, before, after FROM {} WHERE {OF_BINDING} ORDER BY seq",
            self.table("_changes")
        );
        let rows = server::connect()
            .await
            .query(&sql, &[&of.cluster, &of.inventory_namespace, &of.inventory_name])
            .await
            .unwrap();
        rows.iter()
            .map(|row| Logged {
                seq: row.get(0),
                op: row.get(1),
                name: row.get(2),
                before: row.get(3),
                after: row.get(4),
            })
            .collect()
    }

    async fn position(&self, of: &BindingName) -> (i64, i64, String) {
        let sql =
            format!("SELECT position, row_count, digest FROM {} WHERE {OF_BINDING}", self.table("_exports"));
        let row = server::connect()
            .await
            .query_one(&sql, &[&of.cluster, &of.inventory_namespace, &of.inventory_name])
            .await
            .unwrap();
        (row.get(0), row.get(1), row.get(2))
    }

    async fn run(&self, sql: &str) {
        let sql = sql.replace("rows", &self.table(""));
        server::connect().await.batch_execute(&sql).await.unwrap();
    }
}

pub(crate) struct Sqlite {
    directory: tempfile::TempDir,
    pub(crate) provisioning: Provisioning,
}

impl Sqlite {
    pub(crate) async fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), provisioning: Provisioning::Ensure }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("made/for/it/inventory.db")
    }

    pub(crate) fn settings_with(&self, provisioning: Provisioning) -> SinkConfig {
        let settings = sqlite::Settings {
            endpoint: self.path().display().to_string(),
            table: "rows".into(),
            provisioning,
            deletion_policy: None,
            busy_timeout: None,
        };
        SinkConfig::Sqlite(sqlite::Config::new(settings).unwrap())
    }

    fn connect(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

const OF_BINDING_LITE: &str = "cluster = ?1 AND inventory_namespace = ?2 AND inventory_name = ?3";

#[async_trait]
impl Place for Sqlite {
    fn config(&self) -> SinkConfig {
        self.settings_with(self.provisioning)
    }

    async fn contents(&self, of: &BindingName) -> Contents {
        let connection = self.connect();
        let mut statement = connection
            .prepare(&format!(
                "SELECT target_namespace, target_name, resource_namespace, resource_name, source_uid, attributes \
                 FROM rows WHERE {OF_BINDING_LITE}"
            ))
            .unwrap();
        statement
            .query_map([&of.cluster, &of.inventory_namespace, &of.inventory_name], |row| {
                let key = RowKey {
                    target_namespace: row.get::<_, String>(0)?,
                    target_name: row.get(1)?,
                    namespace: row.get(2)?,
                    name: row.get(3)?,
                    uid: row.get(4)?,
                };
                let attributes: String = row.get(5)?;
                Ok((key.to_string(), serde_json::from_str(&attributes).unwrap()))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    async fn edit(&self, of: &BindingName, name: &str) {
        let sql = format!(
            "UPDATE rows SET attributes = '{{\"by\":\"hand\"}}' WHERE {OF_BINDING_LITE} AND resource_name = ?4"
        );
        let parameters = [of.cluster.as_str(), &of.inventory_namespace, &of.inventory_name, name];
        assert_eq!(self.connect().execute(&sql, parameters).unwrap(), 1);
    }

    async fn lose(&self, of: &BindingName, name: &str) {
        let sql = format!("DELETE FROM rows WHERE {OF_BINDING_LITE} AND resource_name = ?4");
        let parameters = [of.cluster.as_str(), &of.inventory_namespace, &of.inventory_name, name];
        assert_eq!(self.connect().execute(&sql, parameters).unwrap(), 1);
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn log(&self, of: &BindingName) -> Vec<Logged> {
        let connection = self.connect();
        let mut statement = connection
            .prepare(&format!(
                "SELECT seq, op, resource_name, before, after FROM rows_changes WHERE {OF_BINDING_LITE} ORDER BY seq"
            ))
            .unwrap();
        let json = |text: Option<String>| text.map(|text| serde_json::from_str(&text).unwrap());
        statement
            .query_map([&of.cluster, &of.inventory_namespace, &of.inventory_name], |row| {
                Ok(Logged {
                    seq: row.get(0)?,
                    op: row.get(1)?,
                    name: row.get(2)?,
                    before: json(row.get(3)?),
                    after: json(row.get(4)?),
                })
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    async fn position(&self, of: &BindingName) -> (i64, i64, String) {
        self.connect()
            .query_row(
                &format!("SELECT position, row_count, digest FROM rows_exports WHERE {OF_BINDING_LITE}"),
                [&of.cluster, &of.inventory_namespace, &of.inventory_name],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap()
    }

    async fn run(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }
}

/// A directory with one file a row.
pub(crate) struct Files<const JSON: bool> {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) layout: LayoutSettings,
}

pub(crate) type PerResource = Files<false>;
pub(crate) type PerResourceJson = Files<true>;

impl<const JSON: bool> Files<JSON> {
    pub(crate) async fn new() -> Self {
        let layout = LayoutSettings { mode: LayoutMode::PerResource, ..LayoutSettings::default() };
        Self { directory: tempfile::tempdir().unwrap(), layout }
    }

    pub(crate) fn settings(&self) -> local::Settings {
        local::Settings {
            endpoint: self.directory.path().display().to_string(),
            path_template: Some("{cluster}/{namespace}/{name}{extension}".to_owned()),
            format: if JSON { Format::Json } else { Format::Yaml },
            layout: self.layout.clone(),
            ..local::Settings::default()
        }
    }

    /// The files of an inventory, with what is in them.
    fn files(&self, of: &BindingName) -> Vec<(std::path::PathBuf, Value)> {
        let cluster = if of.cluster.is_empty() { "default" } else { &of.cluster };
        let directory =
            self.directory.path().join(cluster).join(&of.inventory_namespace).join(&of.inventory_name);
        tree(&directory)
            .into_iter()
            .map(|(path, text)| {
                let content = if JSON {
                    serde_json::from_str(&text).unwrap()
                } else {
                    serde_saphyr::from_str(&text).unwrap()
                };
                (directory.join(path), content)
            })
            .collect()
    }
}

#[async_trait]
impl<const JSON: bool> Place for Files<JSON> {
    fn config(&self) -> SinkConfig {
        SinkConfig::Local(local::Config::new(self.settings()).unwrap())
    }

    async fn contents(&self, of: &BindingName) -> Contents {
        self.files(of)
            .into_iter()
            .map(|(_, row)| {
                let text = |key: &str| row[key].as_str().unwrap().to_owned();
                let key = RowKey {
                    target_namespace: text("targetNamespace"),
                    target_name: text("targetName"),
                    namespace: text("namespace"),
                    name: text("name"),
                    uid: text("uid"),
                };
                (key.to_string(), row["attributes"].clone())
            })
            .collect()
    }

    async fn edit(&self, of: &BindingName, name: &str) {
        let files = self.files(of);
        let (path, row) = files.iter().find(|(_, row)| row["name"] == name).unwrap();
        let mut row = row.clone();
        row["attributes"] = serde_json::json!({"by": "hand"});
        std::fs::write(path, row.to_string()).unwrap();
    }

    async fn lose(&self, of: &BindingName, name: &str) {
        let files = self.files(of);
        let (path, _) = files.iter().find(|(_, row)| row["name"] == name).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

/// All files below a directory but the sink's own, by their path there.
pub(crate) fn tree(directory: &std::path::Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}
