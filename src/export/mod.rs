//! Delivery: keeps what a destination holds equal to an inventory.
//!
//! One task a binding (one inventory at one sink). It is given the inventory twice over: as deltas, epoch by epoch,
//! and, when it asks, as a look at all rows at one epoch.
//!
//! ```text
//!                 offer(epoch, deltas), look_again()          ┌────────────── Binding ──────────────┐
//!   dispatcher ────────────────────────────────────► Inbox ──►│ live:   changes ──► apply           │
//!        ▲  │                                          ▲      │ resume: held ⋈ rows ──► apply       │──► sink
//!        │  └── Look::answer(all rows at an epoch) ────┘      │ errors: retry, circuit, set aside   │
//!        └───────────────── Feed::ask(Look) ──────────────────┴──► BindingStatus                    │
//!                                                             └─────────────────────────────────────┘
//! ```
//!
//! A term begins with a connection and ends with the first error:
//!
//! 1. **connect**;
//! 2. **look**: ask for all rows of the inventory at one epoch. From that epoch on the inbox keeps deltas;
//! 3. **compare** them with what the destination says it holds, and write the difference, nothing else;
//! 4. **live**: whatever has come in while a batch was written is the next batch. Now and then, and when the
//!    inventory's targets change, 2 and 3 once more.
//!
//! Invariants:
//!
//! - The destination is the only checkpoint. After any error it is unknown what was applied, so the next term starts by
//!   asking; nothing is remembered over an error.
//! - What waits is bounded by the number of rows it concerns ([`Inbox`]), however slow the destination is, and of several
//!   changes of one row one is written.
//! - A row is deleted only if a delta said so, or if a complete look at an inventory whose target is hydrated, or is no
//!   longer a target of the inventory, lacks it. A look that is not complete (its count or digest is wrong) deletes
//!   nothing, and writes no document.
//! - What a destination holds already is not written again.
//! - A destination that lists its rows out of order or twice is not believed.

mod binding;
mod compare;
mod document;
mod inbox;
mod pending;
mod report;
mod rows;
mod schedule;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kollect_dataflows::data::{Digest, TargetName};

use crate::sinks::Rows;

pub use binding::{Binding, Finished, Options};
pub use inbox::{Inbox, Look};
pub use status::{Backlog, BindingStatus, LastError, Phase, Refusal, Refused, SetAside, Settled, Totals};

/// All of an inventory at one epoch, and what may be concluded from it.
pub struct Resumption {
    /// The epoch.
    pub epoch: u64,
    /// The rows at the end of the epoch, in key order.
    pub rows: Box<dyn Rows>,
    /// How many rows there are. A look that yields another number is not used.
    pub count: u64,
    /// The digest of the rows. A look that yields another one is not used.
    pub digest: Digest,
    /// Every target that feeds the inventory by configuration, and whether it is hydrated. Rows that the destination
    /// holds of a target that is listed but not hydrated stay; rows of targets that are not listed are removed.
    pub targets: BTreeMap<TargetName, bool>,
}

/// Takes a binding's requests for a look to whoever dispatches epochs.
///
/// Implemented by every closure that takes a [`Look`]; typically it sends it to the dispatcher.
pub trait Feed: Send {
    /// Asks for a look. Must not wait. The dispatcher answers with [`Look::answer`] between two epochs: the first time
    /// as soon as each target of the inventory is hydrated or known to be broken, later at once. Dropping the look ends
    /// the binding.
    fn ask(&mut self, look: Look);
}

impl<F: FnMut(Look) + Send> Feed for F {
    fn ask(&mut self, look: Look) {
        self(look);
    }
}
