//! The section of the page: what was measured at each size, and beside the targets.

use std::fmt::Write as _;

use super::churn::{ALLOWED, Churn};
use super::scenario::{Figure, Work};
use crate::support::calibration::Calibration;
use crate::support::docs;
use crate::support::times::{digits, show};

/// The figures of one size.
pub(crate) struct Size {
    pub(crate) rows: u64,
    pub(crate) one_worker: Vec<Figure>,
    pub(crate) two_workers: Vec<Figure>,
    pub(crate) plain: Vec<Figure>,
}

const HEAD: &str = "## The graph

Written by `cargo bench --bench graph`. Objects are Deployments of 5.7 KB as JSON bytes, of which eight attributes are extracted into one
inventory; extraction is part of every figure. Another thread makes the objects and feeds them, and times run from feeding until
everything that follows is out. *Plain* does the same with the same extraction and the same rows, but keeps the rows in a map,
and after each change (or as many as wait) sorts them, writes the whole document and compares it with the last one. Its worth is the
ratio: both ran one after the other on the same machine.

- Each size and each number of workers has a process of its own. Memory is that of the whole process, with the thread that makes the
  objects: resident after the work, and at most during it.
- Where there is one time, the work was done once, or so rarely that p50 and p99 are the same.
- `rows changed` counts the deltas that came out. In a relist without changes there may be none, or the bench fails. What its two kinds
  differ by is extraction: an object whose version is known is not even read.
- The target for 1,000 changes at once was set from a graph that got rows, so extraction is taken off there; in the tables it is part of
  the batch.
- The namespace has 5,000 rows. The target that is added reads all objects anew, from a list of its own.
";

/// The whole section.
pub(crate) fn section(sizes: &[Size], churn: &Churn, calibration: &Calibration) -> String {
    let mut text = format!("{HEAD}\n{}\n", calibration.describe());
    for size in sizes {
        text.push('\n');
        text += &table(size);
    }
    text.push('\n');
    text += &of_churn(churn);
    text.push('\n');
    text += &targets(sizes, churn, calibration.factor());
    writeln!(text, "\nOn {}.", docs::machine()).unwrap();
    text
}

/// What was measured at one size.
pub(crate) fn table(size: &Size) -> String {
    let mut text = format!(
        "### {} rows

| work | rows changed | 1 worker, p50 / p99 | 2 workers, p50 / p99 | plain, p50 / p99 | plain ÷ 1 worker | 1 worker, MiB / peak | \
         2 workers, MiB / peak | plain, MiB / peak |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
",
        thousands(size.rows)
    );
    for one in &size.one_worker {
        let (two, plain) = (of(&size.two_workers, one.work), of(&size.plain, one.work));
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            one.work.describe(),
            thousands(one.deltas),
            times(one),
            times(two),
            times(plain),
            digits(plain.p50.as_secs_f64() / one.p50.as_secs_f64()),
            memory(one),
            memory(two),
            memory(plain)
        )
        .unwrap();
    }
    text
}

fn of(figures: &[Figure], work: Work) -> &Figure {
    figures.iter().find(|figure| figure.work == work).unwrap()
}

fn times(figure: &Figure) -> String {
    match (show(figure.p50), show(figure.p99)) {
        (p50, p99) if p50 == p99 => p50,
        (p50, p99) => format!("{p50} / {p99}"),
    }
}

fn memory(figure: &Figure) -> String {
    format!("{:.0} / {:.0}", figure.resident, figure.peak)
}

fn of_churn(churn: &Churn) -> String {
    let looks: Vec<String> = churn.resident.iter().map(|mib| format!("{mib:.0}")).collect();
    format!(
        "### Memory under a long run of changes

{} updates of objects picked at random among {}, as fast as they are taken; 1 worker. Resident memory at the start (after the load \
         and a relist without change) and after each tenth of the updates, with half a second of rest before each look, in MiB: {}. From start to end that is {:+.0} %; at most {:+.0} % are allowed, and the bench fails above.
",
        thousands(churn.updates),
        thousands(churn.rows),
        looks.join(", "),
        churn.growth() * 100.0,
        ALLOWED * 100.0
    )
}

/// A line of the targets: times, which depend on the machine, are given calibrated too.
struct Target {
    what: &'static str,
    target: String,
    measured: String,
    calibrated: String,
}

fn targets(sizes: &[Size], churn: &Churn, factor: f64) -> String {
    let size = |rows| sizes.iter().find(|size| size.rows == rows).unwrap();
    let (small, large) = (size(100_000), size(1_000_000));
    let one = |size: &Size, work| *of(&size.one_worker, work);
    let time = |what, target: &str, measured: std::time::Duration| Target {
        what,
        target: format!("≤ {target}"),
        measured: show(measured),
        calibrated: show(measured.div_f64(factor)),
    };
    let other = |what, target: &str, measured| Target {
        what,
        target: target.to_owned(),
        measured,
        calibrated: String::new(),
    };
    let rate = small.rows as f64 / one(small, Work::Load).p50.as_secs_f64();
    let resident = |size| one(size, Work::Load).resident;
    let relist = one(small, Work::SameContent).peak / resident(small) - 1.0;
    let ratio = |size: &Size| {
        of(&size.plain, Work::OneChange).p50.as_secs_f64() / one(size, Work::OneChange).p50.as_secs_f64()
    };
    let batch = one(small, Work::Batch).p50.saturating_sub(one(small, Work::Extraction).p50);
    let lines = [
        other("deltas of one change", "1", one(small, Work::OneChange).deltas.to_string()),
        Target {
            what: "initial load at 100,000 rows, objects/s",
            target: "≥ 80,000".to_owned(),
            measured: thousands(rate as u64),
            calibrated: thousands((rate * factor) as u64),
        },
        time("one change at 100,000 rows, p99", "300 µs", one(small, Work::OneChange).p99),
        time("one change at 1,000,000 rows, p99", "500 µs", one(large, Work::OneChange).p99),
        time("1,000 changes at once at 100,000 rows, less their extraction", "8 ms", batch),
        other("one change at 100,000 rows, plain ÷ graph", "≥ 300", digits(ratio(small))),
        other("one change at 1,000,000 rows, plain ÷ graph", "≥ 300", digits(ratio(large))),
        other("100,000 rows, MiB after the load", "≤ 128", digits(resident(small))),
        other("the same, peak in a relist without change", "≤ +25 %", format!("{:+.0} %", relist * 100.0)),
        other("1,000,000 rows, MiB after the load", "≤ 900", digits(resident(large))),
        other("memory after 1,000,000 updates", "≤ +10 %", format!("{:+.0} %", churn.growth() * 100.0)),
    ];
    let mut text = "### Targets\n\nWith 1 worker.\n\n| what | target | measured | calibrated |\n| --- | --- | --- | --- |\n".to_owned();
    for Target { what, target, measured, calibrated } in lines {
        writeln!(text, "| {what} | {target} | {measured} | {calibrated} |").unwrap();
    }
    text
}

/// A number with a comma before every three digits.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
