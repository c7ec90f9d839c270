//! How fast the machine is, by something that none of our code has a part in.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::objects::deployment;
use super::times::{Times, show};

/// What the reference machine takes: the one whose figures the targets were derived from.
const REFERENCE: Duration = Duration::from_micros(26);
/// Objects read for one measurement.
const OBJECTS: usize = 2_000;

/// The machine's speed, measured now and then while a bench runs: others may use the machine too.
#[derive(Default)]
pub(crate) struct Calibration(Vec<Duration>);

impl Calibration {
    /// Measures once more.
    pub(crate) fn measure(&mut self) {
        let object = deployment(1, 1).json;
        let read = || {
            let start = Instant::now();
            drop(black_box(serde_json::from_slice::<serde_json::Value>(black_box(&object)).unwrap()));
            start.elapsed()
        };
        self.0.push(Times::new((0..OBJECTS).map(|_| read()).collect()).p50());
    }

    /// How many times longer the machine takes than the reference machine.
    pub(crate) fn factor(&self) -> f64 {
        self.times().p50().as_secs_f64() / REFERENCE.as_secs_f64()
    }

    /// For the head of a section.
    pub(crate) fn describe(&self) -> String {
        let times = self.times();
        format!(
            "**Speed of the machine**: `serde_json::from_slice::<Value>` of one such object takes {} here ({} to {} in the course of the \
             bench) and {} on the machine from whose figures the targets were derived, so this machine takes {:.2} times as long. \
             *Calibrated* figures are divided by that factor (rates multiplied): an estimate of what that machine would show.",
            show(times.p50()),
            show(times.percentile(0.0)),
            show(times.percentile(1.0)),
            show(REFERENCE),
            self.factor(),
        )
    }

    fn times(&self) -> Times {
        Times::new(self.0.clone())
    }
}
