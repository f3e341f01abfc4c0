//! Who may see which batch: a reader finds a batch whole or not at all.
//!
//! Batches have numbers that count up. A series remembers the number of its last batch and how
//! many samples that brought. A reader notes which batches are whole when it begins, and leaves
//! the newest samples of a series out if they belong to another.
//!
//! A series belongs to one batch at a time: it may be claimed anew once the batch that claimed it
//! is whole. So along the samples of a series, batches become visible in their order.
//!
//! What a series must remember beyond its last batch is only what some reader must not see:
//! hardly ever anything.

use parking_lot::Mutex;

/// The number of no batch: everybody sees it.
pub(super) const NO_BATCH: u64 = 0;

#[derive(Debug)]
struct State {
    next: u64,
    /// Batches that are not whole; at most as many as there are appending threads.
    open: Vec<u64>,
    /// Of each reader, the first batch that it may not see.
    readers: Vec<u64>,
}

impl State {
    /// All batches before this one are whole.
    fn whole_before(&self) -> u64 {
        self.open.iter().copied().min().unwrap_or(self.next)
    }
}

/// The batches and the readers of a head.
#[derive(Debug)]
pub(super) struct Isolation(Mutex<State>);

impl Isolation {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { next: NO_BATCH + 1, open: Vec::new(), readers: Vec::new() }))
    }

    /// Begins a batch, which is whole when the answer is dropped.
    pub(super) fn begin(&self) -> OpenBatch<'_> {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.open.push(number);
        let mut batch =
            OpenBatch { isolation: self, number, whole_before: 0, whole: NO_BATCH, unseen_from: 0 };
        batch.look(&state);
        batch
    }

    /// Begins to read.
    pub(super) fn reader(&self) -> Reader<'_> {
        let mut state = self.0.lock();
        let whole_before = state.whole_before();
        state.readers.push(whole_before);
        Reader { isolation: self, whole_before, next: state.next, open: state.open.clone() }
    }
}

/// A batch that is not whole yet.
#[derive(Debug)]
pub(super) struct OpenBatch<'a> {
    isolation: &'a Isolation,
    pub(super) number: u64,
    whole_before: u64,
    /// One that was found whole: mostly all series of a batch were in the same batch before.
    whole: u64,
    /// Readers do not see all batches from this one on.
    unseen_from: u64,
}

impl OpenBatch<'_> {
    fn look(&mut self, state: &State) {
        self.whole_before = state.whole_before();
        self.unseen_from = state.readers.iter().copied().min().unwrap_or(u64::MAX);
    }

    /// True if the batch `number` is this one or whole.
    #[inline]
    pub(super) fn may_follow(&mut self, number: u64) -> bool {
        number < self.whole_before
            || number == self.whole
            || number == self.number
            || self.is_whole_by_now(number)
    }

    /// True if the batch `number` is known to be whole and every reader sees it. It may be though
    /// this is false.
    #[inline]
    pub(super) const fn follows_unseen(&self, number: u64) -> bool {
        (number < self.whole_before || number == self.whole) && number < self.unseen_from
    }

    #[cold]
    fn is_whole_by_now(&mut self, number: u64) -> bool {
        let state = self.isolation.0.lock();
        // Whoever reads without seeing that batch has begun before it became whole. So the
        // reader is known now, though it may not have been when this batch began.
        self.look(&state);
        let is_whole = !state.open.contains(&number);
        if is_whole {
            self.whole = number;
        }
        is_whole
    }

    /// True if a reader may have to know of the batch `number` that this one follows.
    #[inline]
    pub(super) const fn must_remember(&self, number: u64) -> bool {
        number >= self.unseen_from
    }
}

impl Drop for OpenBatch<'_> {
    fn drop(&mut self) {
        self.isolation.0.lock().open.retain(|open| *open != self.number);
    }
}

/// What is visible from one moment on, as long as it is copied.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    isolation: &'a Isolation,
    whole_before: u64,
    next: u64,
    open: Vec<u64>,
}

impl Reader<'_> {
    /// True if the batch was whole when the reader began.
    #[inline]
    pub(super) fn sees(&self, number: u64) -> bool {
        number < self.whole_before || (number < self.next && !self.open.contains(&number))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut state = self.isolation.0.lock();
        let place = state.readers.iter().position(|reader| *reader == self.whole_before);
        if let Some(place) = place {
            state.readers.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_what_was_whole_when_it_began() {
        let isolation = Isolation::new();
        let (first, second) = (isolation.begin(), isolation.begin());
        let (first_number, second_number) = (first.number, second.number);
        drop(second);
        let reader = isolation.reader();
        drop(first);
        let third = isolation.begin();
        assert!(reader.sees(NO_BATCH) && reader.sees(second_number));
        assert!(!reader.sees(first_number) && !reader.sees(third.number));
        assert!(third.must_remember(first_number) && third.must_remember(second_number));
        drop(reader);
        assert!(isolation.reader().sees(first_number));
        assert!(!isolation.begin().must_remember(first_number));
    }

    #[test]
    fn a_batch_follows_whole_batches_and_itself() {
        let isolation = Isolation::new();
        let first = isolation.begin();
        let mut second = isolation.begin();
        let (first_number, own) = (first.number, second.number);
        assert!(!second.may_follow(first_number) && second.may_follow(own));
        let reader = isolation.reader();
        assert!(!second.must_remember(first_number));
        drop(first);
        assert!(second.may_follow(first_number));
        // The reader came before the first was whole, and is known since the second asked again.
        assert!(second.must_remember(first_number));
        drop(reader);
    }
}
