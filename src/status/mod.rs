//! What is written back to the custom resources: conditions and counters.
//!
//! ```text
//! problems of the plan ─┐
//!                       ├─► conditions and counters (pure) ─► Writer: server-side apply, on change, not too often
//! report of the runtime ┤
//! report of the probes ─┘
//! ```
//!
//! Every condition carries a reason that the docs explain, says in its message what to do, and names the generation of the
//! resource that it is about.

mod conditions;
mod events;
mod exports;
mod probes;
mod repairs;
mod resources;
mod unreadable;
mod writer;

pub use conditions::{Conditions, Why, binding_state};
pub use events::{Events, Told};
pub use repairs::Repairs;
pub use resources::statuses;
pub use writer::{FIELD_MANAGER, Wanted, Writer, resource_api};
