//! Kollect keeps a read model of selected Kubernetes objects and exports it to files, databases and streams.
//!
//! The modules stand in the order in which data flows:
//!
//! ```text
//! api ──► catalog ──► engine ──► export ──► sinks        runtime puts these together,
//!           sources ──►│            │                     operator and cli run it
//!                      └─► status ◄─┘                        admission says beforehand what the catalog would say
//! ```
//!
//! Of several operators the one that holds the [`lease`] writes.

pub mod admission;
pub mod api;
pub mod catalog;
pub mod cli;
pub mod engine;
pub mod export;
pub mod latest;
pub mod lease;
pub mod manifests;
pub mod operator;
pub mod probes;
pub mod runtime;
pub mod sinks;
pub mod sources;
pub mod status;
pub mod telemetry;
