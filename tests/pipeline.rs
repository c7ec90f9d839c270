//! Whole pipelines, from objects to destinations, with the real binary: `kollect collect` and `kollect operator` on a real API
//! server, a real Postgres, SQLite and files.
//!
//! `KOLLECT_TEST_KUBECONFIG` and `KOLLECT_TEST_POSTGRES` name servers to use; without them the tests start their own.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "pipeline/bad_input.rs"]
mod bad_input;
#[path = "pipeline/cleanup.rs"]
mod cleanup;
#[path = "sources/cluster.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cluster;
#[path = "pipeline/cluster_kinds.rs"]
mod cluster_kinds;
#[path = "pipeline/collect.rs"]
mod collect;
#[path = "pipeline/connection_tests.rs"]
mod connection_tests;
#[path = "pipeline/explain.rs"]
mod explain;
#[path = "pipeline/kollect.rs"]
mod kollect_binary;
#[path = "pipeline/live.rs"]
mod live;
#[path = "pipeline/operator.rs"]
mod operator;
#[path = "sources/proxy.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod proxy;
#[path = "pipeline/scale.rs"]
mod scale;
#[path = "pipeline/scopes.rs"]
mod scopes;
#[path = "sinks/server.rs"]
mod server;
#[path = "pipeline/tables.rs"]
mod tables;
#[path = "pipeline/tenancy.rs"]
mod tenancy;
