//! One suite against every sink, on real servers and files.
//!
//! The Postgres server is the one that `KOLLECT_TEST_POSTGRES` names (a URL), else one that `tests/servers/postgres/start.sh` starts and
//! that ends with this process. Each test uses a schema, file or directory of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "sinks/database.rs"]
mod database;
#[path = "sinks/documents.rs"]
mod documents;
#[path = "sinks/files.rs"]
mod files;
#[path = "sinks/naming.rs"]
mod naming;
#[path = "sinks/parts.rs"]
mod parts;
#[path = "sinks/places.rs"]
mod places;
#[path = "sinks/postgres.rs"]
mod postgres;
#[path = "sinks/probes.rs"]
mod probes;
#[path = "sinks/rows.rs"]
mod rows;
#[path = "sinks/server.rs"]
mod server;
#[path = "sinks/sqlite.rs"]
mod sqlite;
#[path = "sinks/terms.rs"]
mod terms;
#[path = "sinks/tls.rs"]
mod tls;
