//! Counters and gauges about ourselves, gathered under Prometheus's own names.
//!
//! A room asks the [`Registry`] for an instrument once and keeps it; counting is one atomic add.
//! `wire::exposition::write` turns [`Registry::gather`] into the text of a `/metrics` page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A value that only grows. Cloning gives another handle on the same value.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down. Cloning gives another handle on the same value.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, delta: f64) {
        let step = |bits: u64| Some((f64::from_bits(bits) + delta).to_bits());
        // The closure always returns a value, so the update cannot be refused.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A classic histogram with fixed upper bounds. Cloning gives another handle on the same one.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Debug)]
struct HistogramCells {
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    above: AtomicU64,
    sum: Gauge,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = bounds.iter().map(|_| AtomicU64::new(0)).collect();
        let sum = Gauge::default();
        Self(Arc::new(HistogramCells { bounds, counts, above: AtomicU64::new(0), sum }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts.get(bucket).unwrap_or(&self.0.above).fetch_add(1, Ordering::Relaxed);
        self.0.sum.add(value);
    }

    fn read(&self) -> Value {
        let mut total = 0;
        let mut buckets = Vec::with_capacity(self.0.bounds.len());
        for (bound, count) in self.0.bounds.iter().zip(&self.0.counts) {
            total += count.load(Ordering::Relaxed);
            buckets.push((*bound, total));
        }
        let count = total + self.0.above.load(Ordering::Relaxed);
        Value::Histogram { buckets, count, sum: self.0.sum.get() }
    }
}

/// What kind of metric a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic histogram.
    Histogram,
}

/// One reading.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A counter's or gauge's value.
    Number(f64),
    /// Cumulative buckets as `(upper bound, count)`, without the `+Inf` one, which is `count`.
    Histogram {
        /// Cumulative counts by upper bound.
        buckets: Vec<(f64, u64)>,
        /// All observations.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// All readings of one metric name.
#[derive(Debug, Clone)]
pub struct Family {
    /// Metric name.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Kind of all its members.
    pub kind: Kind,
    /// Label pairs and reading of each member.
    pub members: Vec<(Vec<(&'static str, String)>, Value)>,
}

enum Instrument {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Read(Box<dyn Fn() -> f64 + Send + Sync>),
}

struct Entry {
    help: &'static str,
    kind: Kind,
    members: BTreeMap<Vec<(&'static str, String)>, Instrument>,
}

/// Hands out instruments and reads them all. Cloning gives another handle on the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<&'static str, Entry>>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("families", &self.0.lock().len()).finish()
    }
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn member<T: Clone>(
        &self,
        family: (&'static str, &'static str, Kind),
        labels: &[(&'static str, &str)],
        make: impl FnOnce() -> (T, Instrument),
        same: impl FnOnce(&Instrument) -> Option<T>,
    ) -> T {
        let (name, help, kind) = family;
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, (*value).into())).collect();
        let mut families = self.0.lock();
        let entry =
            families.entry(name).or_insert_with(|| Entry { help, kind, members: BTreeMap::new() });
        if let Some(known) = entry.members.get(&labels).and_then(same) {
            return known;
        }
        let (handle, instrument) = make();
        entry.members.insert(labels, instrument);
        handle
    }

    /// A counter without labels; the same handle for the same name.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counter_with(name, help, &[])
    }

    /// A counter with labels; the same handle for the same name and labels.
    pub fn counter_with(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        let make = || {
            let counter = Counter::default();
            (counter.clone(), Instrument::Counter(counter))
        };
        self.member((name, help, Kind::Counter), labels, make, |known| match known {
            Instrument::Counter(counter) => Some(counter.clone()),
            _ => None,
        })
    }

    /// A gauge without labels; the same handle for the same name.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauge_with(name, help, &[])
    }

    /// A gauge with labels; the same handle for the same name and labels.
    pub fn gauge_with(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        let make = || {
            let gauge = Gauge::default();
            (gauge.clone(), Instrument::Gauge(gauge))
        };
        self.member((name, help, Kind::Gauge), labels, make, |known| match known {
            Instrument::Gauge(gauge) => Some(gauge.clone()),
            _ => None,
        })
    }

    /// A histogram with the upper bounds `bounds` (ascending); the same handle for the same
    /// name and labels.
    pub fn histogram_with(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        let make = || {
            let histogram = Histogram::new(bounds);
            (histogram.clone(), Instrument::Histogram(histogram))
        };
        self.member((name, help, Kind::Histogram), labels, make, |known| match known {
            Instrument::Histogram(histogram) => Some(histogram.clone()),
            _ => None,
        })
    }

    /// Registers a value that is read when the page is made; replaces one of the same name and
    /// labels.
    pub fn read_with(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let make = || ((), Instrument::Read(Box::new(read)));
        self.member((name, help, kind), labels, make, |_| None);
    }

    /// Drops every member that carries the label pair; used when what it counts is gone.
    pub fn forget(&self, label: &'static str, value: &str) {
        let mut families = self.0.lock();
        for entry in families.values_mut() {
            entry.members.retain(|labels, _| !labels.iter().any(|l| l.0 == label && l.1 == value));
        }
    }

    /// Reads everything, families by name and members by labels.
    #[must_use]
    pub fn gather(&self) -> Vec<Family> {
        let families = self.0.lock();
        let read = |instrument: &Instrument| match instrument {
            Instrument::Counter(counter) => Value::Number(counter.get() as f64),
            Instrument::Gauge(gauge) => Value::Number(gauge.get()),
            Instrument::Histogram(histogram) => histogram.read(),
            Instrument::Read(read) => Value::Number(read()),
        };
        let gather = |(name, entry): (&&'static str, &Entry)| Family {
            name,
            help: entry.help,
            kind: entry.kind,
            members: entry.members.iter().map(|(l, i)| (l.clone(), read(i))).collect(),
        };
        families.iter().map(gather).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_and_labels_give_the_same_counter() {
        let registry = Registry::new();
        registry.counter_with("requests_total", "Requests.", &[("code", "200")]).inc();
        registry.counter_with("requests_total", "Requests.", &[("code", "200")]).add(2);
        registry.counter_with("requests_total", "Requests.", &[("code", "500")]).inc();
        let families = registry.gather();
        assert_eq!(families.len(), 1);
        let values: Vec<_> = families[0].members.iter().map(|member| member.1.clone()).collect();
        assert_eq!(values, [Value::Number(3.0), Value::Number(1.0)]);
    }

    #[test]
    fn histogram_buckets_are_cumulative_and_closed_above() {
        let registry = Registry::new();
        let histogram = registry.histogram_with("seconds", "Time.", &[1.0, 2.0], &[]);
        for value in [0.5, 1.0, 1.5, 9.0] {
            histogram.observe(value);
        }
        let want = Value::Histogram { buckets: vec![(1.0, 2), (2.0, 3)], count: 4, sum: 12.0 };
        assert_eq!(registry.gather()[0].members[0].1, want);
    }
}
