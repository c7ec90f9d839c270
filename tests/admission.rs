//! The admission webhook, as a real API server asks it.
//!
//! `admission/pairs/` has a table of manifests in pairs, the one accepted and the other refused, one file a kind; each of them goes
//! through the API server and through `kollect validate`'s code. To add a pair, or a kind, add lines or a file there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "sources/cluster.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cluster;
#[path = "admission/life.rs"]
mod life;
#[path = "admission/pairs.rs"]
mod pairs;
#[path = "admission/world.rs"]
mod world;
