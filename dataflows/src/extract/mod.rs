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
//! - `cel:<expression>`, with the object as `object`: CEL's standard library, optionals (`object.?a.?b.orValue(0)`), and the libraries of
//!   Kubernetes' own CEL: strings, lists, sets, math, regex, quantity, semver, url, ip, cidr and format.
//! - `helm:release.<field>`, in profiles of Secrets and ConfigMaps: what a Helm 3 release is called, its revision and status, the
//!   metadata of its chart, and the values its user gave, without sensitive ones. An object that is no release has no value. It
//!   is read once an object.
//! - Anything else is a JSONPath: RFC 9535 (`$.a.b`), the same without `$` (`.a.b`), kubectl's braces
//!   (`{.a.b}`), and in all of them keys with `-` and `/` without quotes, and kubectl's escaped dots. A path with a wildcard, slice,
//!   filter, union or `..` yields a list, even of one value or none; any other yields the value itself.
//!
//! # Values
//!
//! A JSON null in the object is a value. A JSONPath has no value when it finds nothing; a CEL expression when it fails (a key
//! that does not exist is a failure in CEL) or gives `optional.none()`; any of them when it can't be converted to the attribute's
//! type. Without a value
//!
//! - the default is taken, if there is one;
//! - else an optional attribute is left out;
//! - else the attribute is null, or an empty list for a JSONPath that yields lists. If its evaluation failed,
//!   that is an [`AttributeProblem`]; finding nothing is none.
//!
//! Integers are exact from `i64::MIN` to `u64::MAX`. CEL's timestamps are written in RFC 3339, its durations as Kubernetes
//! writes them (`1h30m0s`), its bytes in base64, and quantities, versions, URLs, addresses and networks as their canonical texts; NaN and
//! infinities are failures.
//!
//! # Types
//!
//! An attribute may have a [`ValueType`]. Its values are then of that type: converted where they can be (`"3"` to the int 3), and a
//! failure of the evaluation where they can't. A null stays null, whatever the type. A path that yields lists can only
//! have the type list: a type is about the value as a whole. A default is converted when the profile is compiled.
//!
//! # Secrets
//!
//! A profile of core Secrets that can reach their values does not compile, unless it is
//! [allowed to](ProfileSpec::allow_secrets); what it can reach is told from the analysis that the projection uses. And whatever
//! compiles, a [`Document`] shows these values to no other profile. `helm:` needs no permission: nothing but what
//! it is about comes out of a release.
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
//! | nesting of an object, of an attribute's value | 127, 60 |
//! | length of a JSONPath | 4 KiB |
//! | nesting of brackets in a JSONPath | 8 |
//! | length of a CEL expression | 16 KiB |
//! | nesting of a CEL expression, and of its brackets | 64, 32 |
//! | macros (`map`, `all`, …) within macros of a CEL expression | 4 |
//! | size of a compiled regular expression of a CEL expression, of a JSONPath | 256 KiB, 32 KiB |
//! | a Helm release, stored and unpacked | 4 MiB, 32 MiB |
//! | one part of a Helm release that can be asked for | 1 MiB |
//! | values visited or copied by one evaluation of one attribute, a text counting one for every 32 bytes | 1,000,000 |
//!
//! The functions of the libraries count what they read and what they make; one that may make much of little is paid for before it
//! does. A byte that a regular expression looks at counts as one, compiling one that is computed as 10,000.

mod budget;
mod cel;
mod document;
mod guard;
mod helm;
mod nesting;
mod node;
mod path;
mod problem;
mod profile;
mod projection;
mod quantity;
mod resource;
mod selection;
mod selector;
#[cfg(test)]
mod tests;
mod types;

pub use document::{Document, DocumentError};
pub use guard::ALLOW_SECRET_EXTRACTION;
pub use problem::{AttributeProblem, CompileProblem};
pub use profile::{AttributeSpec, Extraction, Profile, ProfileSpec};
pub use projection::Projection;
pub(crate) use quantity::Quantity;
pub use resource::{Include, Preset, PruneSpec, ResourceSpec};
pub use selection::{
    ExplainedRule, Explanation, Gates, MAX_GROUPS, RuleProblem, RuleSpec, Selection, SelectionSpec,
    WATCH_LABEL, Wish,
};
pub use selector::{LabelSelector, Operator, Requirement, SelectorError};
pub use types::ValueType;
