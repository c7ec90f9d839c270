//! docs/benchmarks.md: each bench owns one section of it, and writes that as a whole.

use std::fs;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");

/// Puts the section of a bench in place of what the bench wrote before, or at the end.
pub(crate) fn write_section(bench: &str, text: &str) {
    let (begin, end) = (format!("<!-- {bench}: begin -->\n"), format!("<!-- {bench}: end -->\n"));
    let page = fs::read_to_string(PAGE).unwrap();
    let section = format!("{begin}{text}{end}");
    let written = match (page.find(&begin), page.find(&end)) {
        (Some(from), Some(to)) => format!("{}{section}{}", &page[..from], &page[to + end.len()..]),
        _ => format!("{}\n\n{section}", page.trim_end()),
    };
    fs::write(PAGE, written).unwrap();
    println!("written to {PAGE}");
}

/// What the figures were measured on.
pub(crate) fn machine() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {}", model.map_or("an unknown processor", |(_, name)| name.trim()))
}
