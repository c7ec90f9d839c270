//! Databases: one row a row, one transaction a batch.
//!
//! Every backend keeps the same three tables for a configured name `rows`:
//!
//! ```text
//! rows           one row an inventory row; its key holds cluster and inventory
//! rows_changes   what happened to the rows: a sequence without gaps for each binding, in commit order
//! rows_exports   one row a binding: position (the last sequence number), row count, digest, time, the writer's term
//! ```
//!
//! Invariants:
//!
//! 1. A batch is one transaction over all three tables, so whoever reads sees all of it or nothing.
//! 2. The binding's row in `rows_exports` is locked first. Two writers of one binding (an old leader and a new one)
//!    therefore follow each other, and the sequence has no gaps. A leader stores its term there before it reads anything;
//!    a batch that finds a later term there than its own is rolled back.
//! 3. A row whose stored content is already what is asked for is not written, and a batch of such rows writes nothing.
//! 4. `before` in the change log is what the table held, read in the same transaction; never what the sender believed.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod naming;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod position;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod table;

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use naming::{Table, TableNaming};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use table::TableName;
