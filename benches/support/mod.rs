//! What the benches share: the objects, the memory of a process, and the page that figures are written to.

#![allow(dead_code, reason = "no bench uses all of it")]

pub(crate) mod docs;
pub(crate) mod memory;
pub(crate) mod objects;
