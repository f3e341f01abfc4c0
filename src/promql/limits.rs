//! How much may a query hold, how long may it run, and has its caller given up?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::clock::Stopwatch;

use super::engine::EngineError;

/// What a sample takes in memory: its time and its value.
const SAMPLE_BYTES: u64 = 16;

/// The limits of one run. Shared by all threads that work on it.
#[derive(Debug)]
pub(crate) struct Limits {
    max_samples: u64,
    held: AtomicU64,
    read: AtomicU64,
    peak: AtomicU64,
    max_bytes: Option<u64>,
    bytes: AtomicU64,
    running: Stopwatch,
    timeout_seconds: f64,
    cancel: Option<Arc<AtomicBool>>,
}

impl Limits {
    /// Starts the clock.
    pub(crate) fn start(
        max_samples: u64,
        max_bytes: Option<u64>,
        timeout_ms: i64,
        cancel: Option<Arc<AtomicBool>>,
    ) -> Self {
        Self {
            max_samples,
            held: AtomicU64::new(0),
            read: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            max_bytes,
            bytes: AtomicU64::new(0),
            running: Stopwatch::start(),
            timeout_seconds: timeout_ms as f64 / 1000.0,
            cancel,
        }
    }

    /// To be asked once a series and between longer pieces of work.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(EngineError::Canceled);
        }
        if self.running.seconds() > self.timeout_seconds {
            return Err(EngineError::Timeout);
        }
        Ok(())
    }

    /// Samples that are kept until [`Limits::release`], or to the end.
    pub(crate) fn hold(&self, samples: usize) -> Result<(), EngineError> {
        let samples = samples as u64;
        let held = self.held.fetch_add(samples, Ordering::Relaxed) + samples;
        self.weigh(held)
    }

    /// Checks a number of samples that are held at once.
    fn weigh(&self, held: u64) -> Result<(), EngineError> {
        self.peak.fetch_max(held, Ordering::Relaxed);
        if held > self.max_samples {
            return Err(EngineError::TooManySamples);
        }
        match self.max_bytes {
            Some(max) if self.bytes_of(held) > max => Err(EngineError::TooMuchMemory(max)),
            _ => Ok(()),
        }
    }

    fn bytes_of(&self, held: u64) -> u64 {
        held.saturating_mul(SAMPLE_BYTES).saturating_add(self.bytes.load(Ordering::Relaxed))
    }

    /// True if anybody wants to know of memory other than that of samples.
    pub(crate) const fn counts_bytes(&self) -> bool {
        self.max_bytes.is_some()
    }

    /// Memory other than that of samples, which is kept to the end.
    pub(crate) fn hold_bytes(&self, bytes: usize) -> Result<(), EngineError> {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.weigh(self.samples_held())
    }

    /// The most samples that were held at once.
    pub(crate) fn samples_peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Gives back what was held.
    pub(crate) fn release(&self, samples: usize) {
        self.held.fetch_sub(samples as u64, Ordering::Relaxed);
    }

    /// Samples that were read and are dropped right after.
    pub(crate) fn pass(&self, samples: usize) -> Result<(), EngineError> {
        self.read.fetch_add(samples as u64, Ordering::Relaxed);
        self.pass_computed(samples)
    }

    /// Samples that were computed and are dropped right after.
    pub(crate) fn pass_computed(&self, samples: usize) -> Result<(), EngineError> {
        self.weigh(self.samples_held() + samples as u64)
    }

    /// How many samples may be held.
    pub(crate) const fn max_samples(&self) -> u64 {
        self.max_samples
    }

    /// How many samples were read so far.
    pub(crate) fn samples_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// How many samples are held.
    pub(crate) fn samples_held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_released_can_be_held_again() {
        let limits = Limits::start(10, None, 1000, None);
        limits.hold(8).unwrap();
        assert!(matches!(limits.pass(3), Err(EngineError::TooManySamples)));
        limits.release(8);
        limits.pass(3).unwrap();
        assert!(matches!(limits.hold(11), Err(EngineError::TooManySamples)));
        assert_eq!(limits.samples_read(), 6);
    }

    #[test]
    fn label_sets_and_samples_share_the_memory() {
        let limits = Limits::start(1000, Some(320), 1000, None);
        limits.hold(10).unwrap();
        limits.hold_bytes(160).unwrap();
        assert!(matches!(limits.pass(1), Err(EngineError::TooMuchMemory(320))));
        limits.release(1);
        limits.pass(1).unwrap();
        assert_eq!(limits.samples_peak(), 11);
    }

    #[test]
    fn a_caller_that_gave_up_stops_the_query() {
        let cancel = Arc::new(AtomicBool::new(false));
        let limits = Limits::start(10, None, 1000, Some(Arc::clone(&cancel)));
        limits.check().unwrap();
        cancel.store(true, Ordering::Relaxed);
        assert!(matches!(limits.check(), Err(EngineError::Canceled)));
    }

    #[test]
    fn time_runs_out() {
        let limits = Limits::start(10, None, -1, None);
        assert!(matches!(limits.check(), Err(EngineError::Timeout)));
    }
}
