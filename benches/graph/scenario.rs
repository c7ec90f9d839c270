//! Everything that is measured at one size, in order.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use kollect_dataflows::data::TargetName;
use serde::{Deserialize, Serialize};

use super::subject::{Extractor, List, Objects, Subject};
use crate::support::memory::{self, Memory};
use crate::support::objects::{Deployment, mix};
use crate::support::run::repeat;
use crate::support::times::Times;

/// Changes in a batch.
const BATCH: u64 = 1_000;
/// How long one kind of work is done over and over, at the most.
const LIMIT: Duration = Duration::from_secs(4);

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Work {
    Load,
    SameVersions,
    SameContent,
    OneChange,
    Batch,
    Extraction,
    Steady,
    Close,
    Open,
    AllChanged,
    AddTarget,
    RemoveTarget,
}

impl Work {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Load => "initial load",
            Self::SameVersions => "relist, same versions",
            Self::SameContent => "relist, same content in new versions",
            Self::OneChange => "one change",
            Self::Batch => "1,000 changes at once",
            Self::Extraction => "extraction of 1,000 objects alone",
            Self::Steady => "steady 1,000 changes/s, each",
            Self::Close => "a namespace closes",
            Self::Open => "a namespace opens",
            Self::AddTarget => "a target is added, and listed",
            Self::RemoveTarget => "a target is removed",
            Self::AllChanged => "relist, all changed",
        }
    }
}

/// What was measured of one kind of work.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) work: Work,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Of how many.
    pub(crate) count: usize,
    /// Rows that changed, each time.
    pub(crate) deltas: u64,
    /// Memory after it, and at most during it, in MiB.
    pub(crate) resident: f64,
    pub(crate) peak: f64,
}

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rows: u64,
    pub(crate) changes: u64,
    pub(crate) batches: u64,
    pub(crate) steady: u64,
    /// How often a namespace closes and opens.
    pub(crate) moves: u64,
    /// How often a target comes and goes.
    pub(crate) targets: u64,
}

impl Extent {
    pub(crate) fn full(rows: u64) -> Self {
        // At a million, two targets of all objects take more memory than a small machine has to spare.
        let targets = if rows > 100_000 { 0 } else { 3 };
        Self { rows, changes: 2_000, batches: 20, steady: 5_000, moves: 10, targets }
    }

    pub(crate) fn test() -> Self {
        Self { rows: 2_000, changes: 20, batches: 2, steady: 200, moves: 2, targets: 1 }
    }
}

/// The course of one scenario.
struct Course<'a> {
    subject: &'a mut dyn Subject,
    objects: Objects,
    /// The content that objects got last; each change brings another.
    content: u64,
    figures: Vec<Figure>,
    progress: &'a ProgressBar,
}

/// Runs it all.
pub(crate) fn run(subject: &mut dyn Subject, extent: Extent, progress: &ProgressBar) -> Vec<Figure> {
    let objects = Objects { rows: extent.rows };
    let mut course = Course { subject, objects, content: 0, figures: Vec::new(), progress };
    let list = List { objects, version: 1, content: 0 };
    assert_eq!(course.once(Work::Load, |subject| subject.list(list)), extent.rows);
    // Nothing may come out for an unchanged object.
    assert_eq!(course.once(Work::SameVersions, |subject| subject.list(list)), 0);
    assert_eq!(course.once(Work::SameContent, |subject| subject.list(List { version: 2, ..list })), 0);
    course.changes(Work::OneChange, extent.changes, 1);
    course.changes(Work::Batch, extent.batches, BATCH.min(extent.rows / 2));
    course.extraction(extent.batches, BATCH.min(extent.rows / 2));
    course.steady(extent.steady);
    course.moves(extent.moves);
    course.content += 1;
    let changed = List { version: 3, content: course.content, ..list };
    assert_eq!(course.once(Work::AllChanged, |subject| subject.list(changed)), extent.rows);
    if extent.targets > 0 {
        course.targets(extent.targets, changed);
    }
    progress.finish_and_clear();
    course.figures
}

impl Course<'_> {
    fn begin(&self, work: Work) {
        self.progress.set_message(work.describe());
        memory::forget_peak();
    }

    fn end(&mut self, work: Work, times: Vec<Duration>, deltas: u64) {
        let Memory { now: resident, peak } = memory::of("self").unwrap();
        let times = Times::new(times);
        let (p50, p99, count) = (times.p50(), times.p99(), times.count());
        self.figures.push(Figure { work, p50, p99, count, deltas, resident, peak });
    }

    fn time(&mut self, work: impl FnOnce(&mut dyn Subject) -> u64) -> (Duration, u64) {
        let start = Instant::now();
        let deltas = work(self.subject);
        (start.elapsed(), deltas)
    }

    fn once(&mut self, work: Work, does: impl FnOnce(&mut dyn Subject) -> u64) -> u64 {
        self.begin(work);
        let (time, deltas) = self.time(does);
        self.end(work, vec![time], deltas);
        deltas
    }

    /// Objects with another content, picked at random.
    fn changed(&mut self, count: u64) -> Vec<Deployment> {
        self.content += 1;
        let Self { objects, content, .. } = *self;
        let mut numbers = BTreeSet::new();
        let mut next = content * 1_000_003;
        while (numbers.len() as u64) < count {
            numbers.insert(mix(next) % objects.rows);
            next += 1;
        }
        numbers.into_iter().map(|number| objects.object(number, content)).collect()
    }

    fn changes(&mut self, work: Work, times: u64, count: u64) {
        self.begin(work);
        let times = repeat(times, LIMIT, |_| {
            let objects = self.changed(count);
            let (time, deltas) = self.time(|subject| subject.change(objects));
            assert_eq!(deltas, count);
            time
        });
        self.end(work, times, count);
    }

    /// What of a batch is extraction.
    fn extraction(&mut self, times: u64, count: u64) {
        self.begin(Work::Extraction);
        let (extractor, target) = (Extractor::new(), Arc::new(TargetName::new("platform", "deployments")));
        let times = repeat(times, LIMIT, |_| {
            let objects = self.changed(count);
            let start = Instant::now();
            for object in &objects {
                black_box(extractor.row(&target, &object.json));
            }
            start.elapsed()
        });
        self.end(Work::Extraction, times, 0);
    }

    /// One change each millisecond from another thread, which waits for nothing: how long it takes from feeding it until it is out.
    fn steady(&mut self, changes: u64) {
        self.begin(Work::Steady);
        self.content += 1;
        let Self { objects, content, .. } = *self;
        let feed = self.subject.feed();
        // Together these visit each object at most once, since the step is a prime and no size is its multiple.
        let changes = changes.min(objects.rows);
        let numbers = move || (0..changes).map(move |change| change * 7_919 % objects.rows);
        let (sender, fed_at): (_, Receiver<Instant>) = mpsc::channel();
        let feeder = thread::spawn(move || {
            let start = Instant::now();
            for (number, millisecond) in numbers().zip(0..) {
                let object = objects.object(number, content);
                let due = start + Duration::from_millis(millisecond);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                sender.send(Instant::now()).unwrap();
                feed(object);
            }
        });
        let mut out = vec![None; objects.rows as usize];
        let mut waiting = changes;
        while waiting > 0 {
            for number in self.subject.next() {
                assert!(out[number as usize].replace(Instant::now()).is_none());
                waiting -= 1;
            }
        }
        feeder.join().unwrap();
        let times = numbers().zip(fed_at).map(|(number, fed)| out[number as usize].unwrap() - fed).collect();
        self.end(Work::Steady, times, 1);
    }

    fn moves(&mut self, times: u64) {
        let moved = self.objects.moved();
        let mut see = |work, open| {
            let (time, deltas) = self.time(|subject| subject.see(open));
            assert_eq!(deltas, moved, "{work:?}");
            time
        };
        memory::forget_peak();
        let times = repeat(times, LIMIT, |_| (see(Work::Close, false), see(Work::Open, true)));
        let (close, open) = times.into_iter().unzip();
        self.end(Work::Close, close, moved);
        self.end(Work::Open, open, moved);
    }

    fn targets(&mut self, times: u64, list: List) {
        self.progress.set_message(Work::AddTarget.describe());
        memory::forget_peak();
        let times = repeat(times, LIMIT, |_| {
            let (added, deltas) = self.time(|subject| subject.add_target(list));
            assert_eq!(deltas, list.objects.rows);
            let (removed, deltas) = self.time(|subject| subject.remove_target());
            assert_eq!(deltas, list.objects.rows);
            (added, removed)
        });
        let (added, removed) = times.into_iter().unzip();
        self.end(Work::AddTarget, added, list.objects.rows);
        self.end(Work::RemoveTarget, removed, list.objects.rows);
    }
}
