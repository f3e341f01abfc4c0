//! What a question may take, and what it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::GatewayOptions;
use super::error::GatewayError;

/// Thanos counts chunks for samples, as full as Prometheus makes them.
const SAMPLES_PER_CHUNK: u64 = 120;

/// Holds bytes that it can get again.
pub(super) trait Spill: Send + Sync + std::fmt::Debug {
    /// Lets go of those that nobody uses just now. Must not wait.
    fn let_go(&self);
}

/// Bytes that all questions hold.
#[derive(Debug)]
pub(super) struct Memory {
    used_bytes: AtomicU64,
    max_bytes: u64,
    spills: Mutex<Vec<Weak<dyn Spill>>>,
}

impl Memory {
    pub(super) fn new(max_bytes: u64) -> Arc<Self> {
        Arc::new(Self { used_bytes: AtomicU64::new(0), max_bytes, spills: Mutex::default() })
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// True if half of all is left behind so many more bytes: what is only of use may take them.
    pub(super) fn is_half_free(&self, bytes: u64) -> bool {
        self.used_bytes().saturating_add(bytes) <= self.max_bytes / 2
    }

    /// Asks `spill` to let go of what it has before a question is refused.
    pub(super) fn may_spill(&self, spill: &Arc<dyn Spill>) {
        let mut spills = self.spills.lock();
        spills.retain(|one| one.strong_count() > 0);
        spills.push(Arc::downgrade(spill));
    }

    /// Takes bytes until what is returned is dropped.
    pub(super) fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, GatewayError> {
        let held = |_| Held { memory: Arc::clone(self), bytes };
        if let Ok(used) = self.take(bytes) {
            return Ok(held(used));
        }
        let spills: Vec<Arc<dyn Spill>> =
            self.spills.lock().iter().filter_map(Weak::upgrade).collect();
        spills.iter().for_each(|one| one.let_go());
        self.take(bytes).map(held).map_err(|used| {
            GatewayError::Limit(format!(
                "{bytes} more bytes of memory than the {used} in use are more than memory_bytes \
                 ({})",
                self.max_bytes
            ))
        })
    }

    /// Takes bytes if there are so many; tells how many are in use in either case.
    fn take(&self, bytes: u64) -> Result<u64, u64> {
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.max_bytes);
        self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
    }
}

/// Bytes that are held; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Held {
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes over what another holds.
    pub(super) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back all but so many bytes.
    pub(super) fn shrink(&mut self, bytes: u64) {
        let more = self.bytes.saturating_sub(bytes);
        self.memory.used_bytes.fetch_sub(more, Ordering::Relaxed);
        self.bytes -= more;
    }

    /// Takes more bytes.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), GatewayError> {
        self.join(self.memory.hold(bytes)?);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One limit of a question.
#[derive(Debug)]
struct Meter {
    /// The option that sets it.
    name: &'static str,
    max: u64,
    used: AtomicU64,
}

impl Meter {
    const fn new(name: &'static str, max: u64) -> Self {
        Self { name, max, used: AtomicU64::new(0) }
    }

    fn take(&self, count: u64) -> Result<(), GatewayError> {
        let used = self.used.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if self.max == 0 || used <= self.max {
            return Ok(());
        }
        Err(GatewayError::Limit(format!("{used} are more than {} ({})", self.name, self.max)))
    }
}

/// What one question has taken.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) memory: Arc<Memory>,
    series: Meter,
    samples: Meter,
    fetched_bytes: Meter,
}

impl Meters {
    pub(super) fn new(memory: &Arc<Memory>, options: &GatewayOptions) -> Arc<Self> {
        Arc::new(Self {
            memory: Arc::clone(memory),
            series: Meter::new("series_max", options.series_max),
            samples: Meter::new("samples_max", options.samples_max),
            fetched_bytes: Meter::new("fetched_bytes_max", options.fetched_bytes_max),
        })
    }

    pub(super) fn series(&self, count: usize) -> Result<(), GatewayError> {
        self.series.take(count as u64)
    }

    pub(super) fn chunks(&self, count: usize) -> Result<(), GatewayError> {
        self.samples.take(count as u64 * SAMPLES_PER_CHUNK)
    }

    pub(super) fn fetched(&self, bytes: u64) -> Result<(), GatewayError> {
        self.fetched_bytes.take(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_and_never_exceeded() {
        let memory = Memory::new(100);
        let mut first = memory.hold(60).unwrap();
        let refused = memory.hold(41).unwrap_err().to_string();
        assert!(refused.contains("memory_bytes (100)"), "{refused}");
        first.grow(40).unwrap();
        assert!(first.grow(1).is_err());
        assert_eq!(memory.used_bytes(), 100);
        drop(first);
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn limits_are_named_by_their_option() {
        let options = GatewayOptions {
            series_max: 2,
            samples_max: 240,
            fetched_bytes_max: 10,
            ..GatewayOptions::default()
        };
        let meters = Meters::new(&Memory::new(1), &options);
        meters.series(2).unwrap();
        meters.chunks(2).unwrap();
        meters.fetched(10).unwrap();
        let refused = |result: Result<(), GatewayError>| result.unwrap_err().to_string();
        assert!(refused(meters.series(1)).contains("3 are more than series_max (2)"));
        assert!(refused(meters.chunks(1)).contains("360 are more than samples_max (240)"));
        assert!(refused(meters.fetched(1)).contains("11 are more than fetched_bytes_max (10)"));
    }
}
