//! Vectors of rows that are dropped in portions.
//!
//! When two batches of an arrangement have been merged, both go, and with them a handle to every row. To give back a hundred thousand
//! handles takes about as long as a hundred changes, mostly in waiting for memory; no change should have to wait for that. So the
//! batches of large arrangements hold their rows in these: what is dropped waits until the worker has time for it.

use std::cell::RefCell;
use std::mem;

use differential_dataflow::trace::implementations::BatchContainer;
use timely::container::PushInto;

/// Up to so many elements go at once.
const AT_ONCE: usize = 1 << 8;

/// As a vector; but when it is dropped, its elements go at [`drop_some`].
#[derive(Debug)]
pub(super) struct DeferredVec<T: 'static>(Vec<T>);

/// What is left of a vector.
trait Remains {
    /// Drops up to so many elements; whether that were all.
    fn drop_some(&mut self, count: usize) -> bool;
}

impl<T> Remains for Vec<T> {
    fn drop_some(&mut self, count: usize) -> bool {
        self.truncate(self.len().saturating_sub(count));
        self.is_empty()
    }
}

thread_local! {
    /// What waits to be dropped by this worker.
    static WAITING: RefCell<Vec<Box<dyn Remains>>> = const { RefCell::new(Vec::new()) };
}

/// Drops up to so many elements of what waits. False when nothing did.
pub(super) fn drop_some(count: usize) -> bool {
    // Elements may hold such vectors in turn, so nothing is borrowed while they go.
    let Some(mut remains) = WAITING.with_borrow_mut(Vec::pop) else { return false };
    if !remains.drop_some(count) {
        WAITING.with_borrow_mut(|waiting| waiting.push(remains));
    }
    true
}

impl<T: 'static> Drop for DeferredVec<T> {
    fn drop(&mut self) {
        if self.0.len() > AT_ONCE {
            let remains = Box::new(mem::take(&mut self.0));
            // When the thread is about to end, nobody waits for it, and the elements go at once.
            let _ = WAITING.try_with(|waiting| waiting.borrow_mut().push(remains));
        }
    }
}

impl<T: 'static> PushInto<T> for DeferredVec<T> {
    fn push_into(&mut self, item: T) {
        self.0.push(item);
    }
}

impl<T: Ord + Clone + 'static> BatchContainer for DeferredVec<T> {
    type Owned = T;
    type ReadItem<'a> = &'a T;

    fn into_owned(item: &T) -> T {
        item.clone()
    }

    fn push_ref(&mut self, item: &T) {
        self.0.push(item.clone());
    }

    fn push_own(&mut self, item: &T) {
        self.0.push(item.clone());
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn with_capacity(size: usize) -> Self {
        Self(Vec::with_capacity(size))
    }

    fn merge_capacity(one: &Self, other: &Self) -> Self {
        Self::with_capacity(one.0.len() + other.0.len())
    }

    fn reborrow<'b, 'a: 'b>(item: &'a T) -> &'b T {
        item
    }

    fn index(&self, index: usize) -> &T {
        BatchContainer::index(&self.0, index)
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn what_is_dropped_goes_in_portions() {
        let element = Rc::new(());
        let vec = |count| DeferredVec(vec![Rc::clone(&element); count]);
        drop(vec(AT_ONCE));
        assert_eq!(Rc::strong_count(&element), 1);
        assert!(!drop_some(100));
        drop((vec(1_000), vec(2_000)));
        assert_eq!(Rc::strong_count(&element), 3_001);
        assert!(drop_some(1_500));
        assert!((1_500..=2_001).contains(&Rc::strong_count(&element)));
        while drop_some(1_500) {}
        assert_eq!(Rc::strong_count(&element), 1);
    }
}
