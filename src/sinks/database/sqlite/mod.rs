//! SQLite: the tables of a database server in one file, for demonstrations, laptops, CI jobs and single machines.
//!
//! Several bindings and several processes may share a file: it is in WAL mode, so readers never wait, and writers wait
//! for each other. A commit is on disk when the receipt is given.
//!
//! Tables, for the name `rows`, as in [`super::postgres`]: `rows`, `rows_changes`, `rows_exports` and the view `rows_v1`. JSON is kept
//! as canonical text, times as RFC 3339 in UTC. Instead of a check column, the row hash itself is computed again from
//! what a row holds, so that a row changed by hand is noticed.
//!
//! All work is done on blocking threads.

mod client;
mod config;
mod encode;
mod error;
mod schema;
#[cfg(test)]
mod tests;

pub use client::{Client, probe};
pub use config::{Config, Settings};
pub use schema::definitions;
