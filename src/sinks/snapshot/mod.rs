//! Files: one an inventory, or one a row.
//!
//! - [`layout`]: which file a row belongs to;
//! - [`document`]: a whole inventory as one text, and back;
//! - [`parts`]: a document that is too large, in parts;
//! - [`yaml`]: YAML text that every reader takes back to the same values;
//! - [`local`]: files below a directory of this machine.

pub mod document;
pub mod layout;
pub mod local;
pub mod parts;
mod template;
pub mod yaml;
