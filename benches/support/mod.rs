//! What the benches share: the objects, how time and memory are measured and shown, how they are run, and the page that figures
//! are written to.

#![allow(dead_code, reason = "no bench uses all of it")]

pub(crate) mod calibration;
pub(crate) mod docs;
pub(crate) mod memory;
pub(crate) mod objects;
pub(crate) mod run;
pub(crate) mod times;
