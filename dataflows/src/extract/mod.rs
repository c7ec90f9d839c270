//! Extraction: from an object's bytes to the attributes of a row.
//!
//! ```text
//! ProfileSpec ──compile──► Profile ───────────┐
//!                 │                       evaluate ──► Extraction: attributes as canonical JSON, problems
//!                 └──► CompileProblems        │
//! bytes ──parse──► Document ──────────────────┘
//!            ▲
//!        Projection: what the profiles of a kind read; the rest of the bytes is skipped
//! ```
//!
//! A profile is compiled once and evaluated for every object. Problems are values: compiling reports those of
//! all attributes at once, and evaluating never fails and never panics, whatever the object holds.
//!
//! # Paths
//!
//! - `cel:<expression>`, with the object as `object`: CEL's standard library and optionals (`object.?a.?b.orValue(0)`).
//! - Anything else is a JSONPath: RFC 9535 (`$.a.b`), the same without `$` (`.a.b`), kubectl's braces
//!   (`{.a.b}`), and in all of them keys with `-` and `/` without quotes, and kubectl's escaped dots. A path with a wildcard, slice,
//!   filter, union or `..` yields a list, even of one value or none; any other yields the value itself.
//!
//! # Values
//!
//! A JSON null in the object is a value. A JSONPath has no value when it finds nothing; a CEL expression when it fails (a key
//! that does not exist is a failure in CEL) or gives `optional.none()`. Without a value
//!
//! - the default is taken, if there is one;
//! - else an optional attribute is left out;
//! - else the attribute is null, or an empty list for a JSONPath that yields lists. If its evaluation failed,
//!   that is an [`AttributeProblem`]; finding nothing is none.
//!
//! Integers are exact from `i64::MIN` to `u64::MAX`. CEL's timestamps are written in RFC 3339, its durations as Kubernetes
//! writes them (`1h30m0s`), its bytes in base64; NaN and infinities are failures.
//!
//! # The object itself
//!
//! A profile may export the object itself as one attribute, without noise and without secrets: see [`ResourceSpec`].
//!
//! # Bounds
//!
//! Whatever a profile and an object hold, the work and the stack of an evaluation are bounded:
//!
//! | what | bound |
//! | --- | --- |
//! | nesting of an object | 127 |
//! | length of a JSONPath | 4 KiB |
//! | nesting of brackets in a JSONPath | 8 |
//! | length of a CEL expression | 16 KiB |
//! | nesting of a CEL expression, and of its brackets | 64, 32 |
//! | macros (`map`, `all`, …) within macros of a CEL expression | 4 |
//! | values visited or copied by one evaluation of one attribute, a text counting one for every 32 bytes | 1,000,000 |

mod budget;
mod cel;
mod document;
mod node;
mod path;
mod problem;
mod profile;
mod projection;
mod resource;
mod selector;
#[cfg(test)]
mod tests;

pub use document::{Document, DocumentError};
pub use problem::{AttributeProblem, CompileProblem};
pub use profile::{AttributeSpec, Extraction, Profile, ProfileSpec};
pub use projection::Projection;
pub use resource::{Include, Preset, PruneSpec, ResourceSpec};
pub use selector::{LabelSelector, Operator, Requirement, SelectorError};
