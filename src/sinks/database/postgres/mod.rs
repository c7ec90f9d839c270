//! Postgres 13 or later.
//!
//! A batch goes to the server in chunks. Each chunk is one prepared statement that takes the changes as arrays, joins
//! them with the row table, drops what is there already, writes the rest to row table and change log, and answers
//! with the hashes before and after, from which the binding's digest is kept. The statements of a batch are pipelined:
//! one change costs two round trips (begin, lock, write; then position, notification, commit).
//!
//! ```text
//! BEGIN ─ lock the binding's row in rows_exports ─ chunk ─ chunk ─ … ┐ hashes before and after
//!                                   ROLLBACK, if nothing differed ◄──┤
//!                  position, rows, digest ─ NOTIFY rows ─ COMMIT ◄───┘
//! ```
//!
//! Tables, for the name `rows` (their types are in `schema.rs`):
//!
//! - `rows`: one row an inventory row; `incomplete` is null for a complete one. `content_check` is the server's own hash of
//!   what it stored: where it does not match, somebody changed the row by hand, and it is written again.
//! - `rows_changes`: `op` is `c` (created), `u` (updated) or `d` (deleted); `before` and `after` are the attributes.
//!   The names of the object are in columns of their own.
//! - `rows_exports`: position, row count, digest and time of each binding, and the term of its writer. Clients that wait for changes `LISTEN rows` and then
//!   read `rows_changes` from the sequence number on that they know.
//! - `rows_v1`: a view with the columns of the public contract (`payload`, `exported_at`).
//!
//! A table of the public contract's shape is set aside under the name `rows_v0` in `ensure` mode; its content comes back
//! with the first export.

mod client;
mod config;
mod connect;
mod encode;
mod error;
mod schema;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{Client, probe};
pub use config::{Config, Options, Settings, Verification};
pub use schema::definitions;
