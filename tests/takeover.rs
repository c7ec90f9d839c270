//! Two operators, one of which writes: processes of the real binary on a real API server, into a real Postgres. The leader is
//! killed or stopped at chosen points, and the standby goes on.
//!
//! The points are reached by waiting, not by sleeping: a trigger keeps a batch where it is, a proxy keeps a request.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "sources/cluster.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cluster;
#[path = "pipeline/kollect.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod kollect_binary;
#[path = "takeover/points.rs"]
mod points;
#[path = "sources/proxy.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod proxy;
#[path = "sinks/server.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod server;
#[path = "takeover/table.rs"]
mod table;
#[path = "takeover/world.rs"]
mod world;
