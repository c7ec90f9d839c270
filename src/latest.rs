//! Values of which the latest counts, and of which whoever waits is told only when they have changed.

use tokio::sync::watch;

/// Puts a value in place of the one before, and wakes whoever waits if it is another one.
pub fn replace<T: PartialEq>(latest: &watch::Sender<T>, now: T) {
    latest.send_if_modified(|before| {
        let changed = *before != now;
        *before = now;
        changed
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let (sender, mut receiver) = watch::channel(1);
        replace(&sender, 1);
        assert!(!receiver.has_changed().unwrap_or_default());
        replace(&sender, 2);
        assert!(receiver.has_changed().unwrap_or_default() && *receiver.borrow_and_update() == 2);
    }
}
