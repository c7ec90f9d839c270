//! What holds for whatever text Kollect is given: one module for each kind of text, each with a function `check` that panics
//! when something does not hold.
//!
//! ```text
//! corpus/<target> ──► mutations ──► <target>::check      tests/seeds.rs: few, the same in every run, with all other tests
//!        │
//!        └──────────► libFuzzer ──► <target>::check      fuzz_targets: `make fuzz`, as long as one likes
//! ```
//!
//! Nothing here is about time or memory: the fuzzer has limits for these, which no input may reach.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod cel;
mod extraction;
pub mod helm;
pub mod jsonpath;
pub mod manifests;
mod rows;

/// Checks what is in the files that the command line names: what the fuzzer found, say.
///
/// # Errors
/// A file can't be read.
pub fn check_files(check: fn(&[u8])) -> std::io::Result<()> {
    std::env::args_os().skip(1).try_for_each(|file| {
        check(&std::fs::read(file)?);
        Ok(())
    })
}
