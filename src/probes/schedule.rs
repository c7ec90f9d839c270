//! Which probe is due, and what is known of each. Pure, but for the time that it is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use super::{Outcome, Pace, ProbeKey, Report, Subject, Wanted};

/// The first pause before an attempt is made again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// All probes.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    probes: BTreeMap<ProbeKey, Probe>,
    /// Attempts so far, of all probes.
    attempts: u64,
}

#[derive(Debug)]
struct Probe {
    wanted: Wanted,
    /// When the next attempt is due, if one is.
    due: Option<Instant>,
    /// The number of the attempt that is under way, if one is.
    under_way: Option<u64>,
    failures: u32,
    /// When the first attempt at this subject was due.
    since: Instant,
    outcome: Option<Outcome>,
    request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    Open,
    Answered,
}

impl Probe {
    fn new(wanted: Wanted, now: Instant) -> Self {
        let mut probe = Self {
            wanted,
            due: None,
            under_way: None,
            failures: 0,
            since: now,
            outcome: None,
            request: Request::None,
        };
        probe.start_over(now);
        probe
    }

    /// The subject is new.
    fn start_over(&mut self, now: Instant) {
        self.under_way = None;
        self.failures = 0;
        self.outcome = None;
        let at_once = self.wanted.pace != Pace::OnRequest || self.request == Request::Open;
        self.due = at_once.then_some(now);
        // A test that was corrected has the time that it has.
        if !matches!(self.wanted.pace, Pace::Until(_)) {
            self.since = now;
        }
    }

    fn want(&mut self, wanted: Wanted, now: Instant) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let is_over = self.outcome.as_ref().is_some_and(|outcome| outcome.last);
        let once_and_for_all = matches!(self.wanted.pace, Pace::Until(_)) && is_over;
        let differs = (&before.subject, before.pace) != (&self.wanted.subject, self.wanted.pace);
        if differs && !once_and_for_all {
            self.start_over(now);
        }
        match (self.wanted.requested, self.request) {
            (true, Request::None) => {
                self.request = Request::Open;
                // One that is under way will do.
                if self.under_way.is_none() {
                    self.due = Some(now);
                }
            }
            (false, _) => self.request = Request::None,
            (true, Request::Open | Request::Answered) => {}
        }
    }

    fn end(&mut self, result: Result<String, (String, String)>, latency: Duration, now: Instant) {
        self.under_way = None;
        if self.request == Request::Open {
            self.request = Request::Answered;
        }
        let end = match self.wanted.pace {
            _ if result.is_ok() => Some(now),
            Pace::Always => None,
            Pace::OnRequest => Some(now),
            Pace::Until(limit) => Some(self.since + limit),
        };
        let is_last = end.is_some_and(|end| end <= now);
        self.due = (!is_last).then(|| {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
            let again = now + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            end.map_or(again, |end| again.min(end))
        });
        self.failures = if result.is_ok() { 0 } else { self.failures.saturating_add(1) };
        // Kubernetes dates to the second.
        let at = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        self.outcome = Some(Outcome { result, latency, at, last: is_last });
    }
}

impl Schedule {
    /// Takes in what is wanted from now on.
    pub(super) fn want(&mut self, wanted: BTreeMap<ProbeKey, Wanted>, now: Instant) {
        self.probes.retain(|key, _| wanted.contains_key(key));
        for (key, wanted) in wanted {
            let new = || Probe::new(Wanted { requested: false, ..wanted.clone() }, now);
            self.probes.entry(key).or_insert_with(new).want(wanted, now);
        }
    }

    /// When the next attempt is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.probes.values().filter(|probe| probe.under_way.is_none());
        waiting.filter_map(|probe| probe.due).min()
    }

    /// Begins an attempt that is due: its probe, its number, and what is tried. What somebody asked for and what failed least
    /// often goes first, so that many dead sinks do not keep a new one waiting.
    pub(super) fn begin(&mut self, now: Instant) -> Option<(ProbeKey, u64, Subject)> {
        let waiting = self.probes.iter_mut().filter(|(_, probe)| probe.under_way.is_none());
        let due = waiting.filter(|(_, probe)| probe.due.is_some_and(|due| due <= now));
        let rank = |probe: &Probe| (probe.request != Request::Open, probe.failures, probe.due);
        let (key, probe) = due.min_by_key(|(_, probe)| rank(probe))?;
        self.attempts += 1;
        probe.under_way = Some(self.attempts);
        probe.due = None;
        Some((key.clone(), self.attempts, probe.wanted.subject.clone()))
    }

    /// Takes in what came of an attempt, unless nobody waits for it any more: its subject is not what is wanted now.
    pub(super) fn end(
        &mut self,
        key: &ProbeKey,
        number: u64,
        result: Result<String, (String, String)>,
        latency: Duration,
        now: Instant,
    ) {
        if let Some(probe) = self.probes.get_mut(key).filter(|probe| probe.under_way == Some(number)) {
            probe.end(result, latency, now);
        }
    }

    /// What is known.
    pub(super) fn report(&self) -> Report {
        let outcomes =
            self.probes.iter().filter_map(|(key, probe)| Some((key.clone(), probe.outcome.clone()?)));
        let answered = self.probes.iter().filter(|(_, probe)| probe.request == Request::Answered);
        Report { outcomes: outcomes.collect(), answered: answered.map(|(key, _)| key.clone()).collect() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::ResourceName;

    fn key() -> ProbeKey {
        ProbeKey::Test(ResourceName::new("a", "t"), "uid".to_owned())
    }

    fn wanted(generation: i64, pace: Pace, requested: bool) -> Wanted {
        Wanted { subject: Subject { generation: Some(generation), ..Subject::default() }, pace, requested }
    }

    fn failed() -> Result<String, (String, String)> {
        Err(("SinkUnreachable".to_owned(), "refused".to_owned()))
    }

    /// A schedule of one probe, and a clock that is moved by hand.
    struct World {
        schedule: Schedule,
        now: Instant,
    }

    impl World {
        fn new(wanted: Wanted) -> Self {
            let mut world = Self { schedule: Schedule::default(), now: Instant::now() };
            world.want(wanted);
            world
        }

        fn want(&mut self, wanted: Wanted) {
            self.schedule.want([(key(), wanted)].into(), self.now);
        }

        /// Makes the attempt that is due now, if one is.
        fn attempt(&mut self, result: Result<String, (String, String)>) -> bool {
            let Some((key, number, _)) = self.schedule.begin(self.now) else { return false };
            self.schedule.end(&key, number, result, Duration::ZERO, self.now);
            true
        }

        /// Moves the clock to the next attempt, and says how far.
        fn forward(&mut self) -> Option<Duration> {
            let due = self.schedule.next_due()?;
            let pause = due.saturating_duration_since(self.now);
            self.now = self.now.max(due);
            Some(pause)
        }

        fn outcome(&self) -> Option<Outcome> {
            self.schedule.report().outcomes.get(&key()).cloned()
        }

        fn answered(&self) -> bool {
            self.schedule.report().answered.contains(&key())
        }
    }

    #[test]
    fn a_probe_is_made_again_with_growing_pauses_while_it_fails_and_rests_when_it_succeeds() {
        let mut world = World::new(wanted(1, Pace::Always, false));
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            assert!(world.attempt(failed()));
            assert!(!world.outcome().unwrap().last);
            assert!(!world.attempt(failed()), "not before its time");
            longest = longest.max(world.forward().unwrap());
        }
        assert!(longest > LONGEST_PAUSE / 2 && longest <= LONGEST_PAUSE, "{longest:?}");
        assert!(world.attempt(Ok("fine".to_owned())));
        assert_eq!(world.forward(), None);
        assert!(world.outcome().unwrap().result.is_ok());
        // Until what is tried changes.
        world.want(wanted(2, Pace::Always, false));
        assert_eq!(world.outcome(), None);
        assert!(world.attempt(failed()));
        assert!(world.forward().unwrap() <= FIRST_PAUSE, "from the beginning");
    }

    #[test]
    fn an_attempt_at_what_is_not_wanted_any_more_says_nothing() {
        let mut world = World::new(wanted(1, Pace::Always, false));
        let (key, number, _) = world.schedule.begin(world.now).unwrap();
        world.want(wanted(2, Pace::Always, false));
        world.schedule.end(&key, number, Ok("fine".to_owned()), Duration::ZERO, world.now);
        assert_eq!(world.outcome(), None);
        assert!(world.attempt(failed()));
        assert!(world.outcome().unwrap().result.is_err());
        let (key, number, _) = {
            world.forward();
            world.schedule.begin(world.now).unwrap()
        };
        world.schedule.want(BTreeMap::new(), world.now);
        world.schedule.end(&key, number, Ok("fine".to_owned()), Duration::ZERO, world.now);
        assert_eq!(world.schedule.report(), Report::default());
    }

    #[test]
    fn what_failed_before_lets_go_first_what_is_new_or_asked_for() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        let key = |i: usize| ProbeKey::Test(ResourceName::new("a", format!("{i}")), String::new());
        let all = |count: usize, requested: Option<usize>| -> BTreeMap<_, _> {
            (0..count).map(|i| (key(i), wanted(1, Pace::Always, requested == Some(i)))).collect()
        };
        schedule.want(all(10, None), now);
        while let Some((key, number, _)) = schedule.begin(now) {
            schedule.end(&key, number, failed(), Duration::ZERO, now);
        }
        let later = now + LONGEST_PAUSE;
        schedule.want(all(11, Some(5)), later);
        let order: Vec<ProbeKey> =
            std::iter::from_fn(|| schedule.begin(later)).map(|(key, ..)| key).take(2).collect();
        assert_eq!(order, [key(5), key(10)]);
    }

    #[test]
    fn a_request_is_answered_once_and_can_be_made_again() {
        let mut world = World::new(wanted(1, Pace::OnRequest, false));
        assert!(!world.attempt(failed()));
        for _ in 0..2 {
            world.want(wanted(1, Pace::OnRequest, true));
            assert!(!world.answered());
            assert!(world.attempt(failed()));
            assert!(world.answered());
            world.want(wanted(1, Pace::OnRequest, true));
            assert_eq!(world.forward(), None, "once");
            world.want(wanted(1, Pace::OnRequest, false));
            assert!(!world.answered() && world.outcome().is_some());
        }
        // A request for a probe that waits for its next attempt brings that forward.
        let mut world = World::new(wanted(1, Pace::Always, false));
        assert!(world.attempt(failed()));
        world.want(wanted(1, Pace::Always, true));
        assert!(world.attempt(failed()) && world.answered());
    }

    #[test]
    fn a_request_outlives_a_change_of_what_is_tried() {
        let mut world = World::new(wanted(1, Pace::OnRequest, true));
        let (key, number, _) = world.schedule.begin(world.now).unwrap();
        world.want(wanted(2, Pace::OnRequest, true));
        world.schedule.end(&key, number, Ok("of what it was".to_owned()), Duration::ZERO, world.now);
        assert!(!world.answered());
        assert!(world.attempt(Ok("of what it is".to_owned())));
        assert!(world.answered());
    }

    #[test]
    fn a_bounded_probe_ends_with_its_first_success_or_with_its_time() {
        let limit = Duration::from_secs(100);
        let mut world = World::new(wanted(1, Pace::Until(limit), false));
        let begin = world.now;
        let mut attempts = 0;
        while world.attempt(failed()) {
            attempts += 1;
            assert!(attempts < 100);
            // What is corrected on the way is tried at once, but gets no more time.
            if attempts == 3 {
                world.want(wanted(2, Pace::Until(limit), false));
                continue;
            }
            world.forward();
        }
        assert!(attempts > 5, "{attempts}");
        assert_eq!(world.now - begin, limit);
        assert!(world.outcome().unwrap().last);
        world.want(wanted(3, Pace::Until(limit), false));
        assert!(!world.attempt(failed()), "it is over");
        let mut world = World::new(wanted(1, Pace::Until(limit), false));
        assert!(world.attempt(Ok("fine".to_owned())));
        assert!(world.outcome().unwrap().last);
        world.want(wanted(2, Pace::Until(limit), false));
        assert!(!world.attempt(failed()));
        assert!(world.outcome().unwrap().result.is_ok());
    }
}
