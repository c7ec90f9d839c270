//! Files below a directory of this machine.
//!
//! ```text
//! inventory/team/apps.yaml                     the document, or
//! inventory/team/apps_index.yaml, apps_….yaml  the index and the parts of a larger one, or
//! inventory/team/apps/…/deployment/cart.yaml   one file a row
//! inventory/team/.apps.kollect-manifest        which of the files are ours
//! ```
//!
//! Invariants:
//!
//! 1. A file has its old content or its new content, never a part: content is written beside the manifest, synced, and
//!    renamed into place.
//! 2. The manifest lists every file that is ours. A file is listed before it appears and struck off after it is gone, so a
//!    crash in between leaves at most a listed file that is not there or has other content: both are found when the
//!    sink connects, because the manifest has a hash of each file.
//! 3. What the manifest does not list is never overwritten and never removed. Where such a file, or a symbolic link, is in
//!    the way, the sink says so and stops.
//! 4. Unchanged content is not written, unless the manifest says that it was written by another layout.
//!
//! A batch of rows is not atomic over its files: directories have no transactions.

mod client;
mod config;
mod document;
mod encode;
mod files;
mod held;
mod manifest;
mod parts;
mod resources;
#[cfg(test)]
mod tests;

pub use client::{open, preview, probe};
pub use config::{Config, Settings};
