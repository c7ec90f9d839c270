//! The sources as whoever takes their events sees them: files that are really written, and a real API server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod directory;
mod kubernetes;
mod namespaces;
#[allow(dead_code, reason = "shared with other tests")]
mod proxy;
mod support;
