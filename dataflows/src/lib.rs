//! The incremental graph of Kollect: objects and facts in, row differences out.
//!
//! # What it computes
//!
//! Kubernetes objects are read by *targets*. A target has a compiled [profile](extract::Profile), which takes a few attributes
//! out of each object it selects: that is a [row](data::Row). *Inventories* merge the rows of several targets. Seen as a
//! batch job, the whole crate is one query:
//!
//! ```text
//! for each inventory: all rows (target, object)
//!     where the target feeds the inventory, sees the object's namespace, and selects the object;
//!     of rows from one object, if the inventory says so, only the first by target name
//! ```
//!
//! # How it stays up to date
//!
//! Running that query again whenever something changes would cost as much for one changed object as for all of them.
//! Instead it is a *differential dataflow*: every operator takes **differences** and gives differences. A difference is a record with
//! a number: `+1` for a record that is now there, `-1` for one that is there no more. An object that changes is two
//! differences, its old row with `-1` and its new one with `+1`; they flow through the operators, each of which keeps, in an
//! index called an *arrangement*, what it needs to work out which of its results differ. What comes out at the end is the one row that
//! changed, with its content before and after, whatever the number of rows that did not.
//!
//! Differences carry a logical time, the *epoch*. When an epoch has passed the last operator, its results are complete and
//! consistent: they are what the batch query would give for everything fed up to then. The tests check exactly that, over random
//! histories, for one, two and four workers.
//!
//! Which targets and inventories there are is data too ([changes](graph::Change)): the graph is built once, and a new pipeline, or a
//! namespace that a target may now see, is one difference more.
//!
//! # The modules
//!
//! - [`data`]: rows, keys, hashes, deltas. All that most users of this crate need.
//! - [`extract`]: from an object's bytes to attributes: JSONPath, CEL, label selectors.
//! - [`rollup`]: rows grouped, and numbers about each group.
//! - [`graph`]: the graph itself, with an example.
//!
//! There is no Kubernetes client in here, no network, no file and no async runtime: the crate is pure computation on threads of
//! its own.

pub mod data;
pub mod extract;
pub mod graph;
pub mod rollup;
