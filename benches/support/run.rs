//! How a bench was called, and how it shows that it is getting on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What a bench was called for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Everything once, at a small size; nothing is written. That is what `cargo test` wants.
    Test,
    /// Everything, and the page is written.
    Full,
    /// Only those of criterion's benches that match a filter.
    Filtered,
}

impl Call {
    pub(crate) fn of(arguments: &[String]) -> Self {
        let has = |name: &str| arguments.iter().any(|argument| argument == name);
        // `cargo bench` passes `--bench`, and `cargo test` does not.
        if has("--test") || !has("--bench") {
            Self::Test
        } else if arguments.iter().skip(1).any(|argument| argument != "--bench") {
            Self::Filtered
        } else {
            Self::Full
        }
    }
}

/// One line on the terminal that says what is going on; where there is no terminal, it is not there.
pub(crate) fn progress(of: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(of.to_owned());
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {prefix}: {msg} {human_pos}").unwrap());
    bar
}

/// Does something a number of times, but stops when that has taken long enough. What takes longer than that is done twice.
pub(crate) fn repeat<T>(times: u64, limit: Duration, mut one: impl FnMut(u64) -> T) -> Vec<T> {
    let start = std::time::Instant::now();
    let mut results = Vec::new();
    for number in 0..times {
        if number >= 2 && start.elapsed() > limit {
            break;
        }
        results.push(one(number));
    }
    results
}
