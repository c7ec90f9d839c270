//! Pauses between attempts.

use std::time::Duration;

/// Pauses that double from the first to the longest, each shortened at random by up to a half, so that many
/// watches that failed together do not come back together.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait now.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// Something went well.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut backoff = Backoff::new(first, longest);
        let mut expected = first;
        for _ in 0..10 {
            let pause = backoff.pause();
            assert!(pause >= expected / 2 && pause <= expected, "{pause:?}");
            expected = (expected * 2).min(longest);
        }
        assert_eq!(expected, longest);
        backoff.reset();
        assert!(backoff.pause() <= first);
    }
}
