//! The newest exemplars of all series, in a ring of a fixed size.
//!
//! The ring forgets in the order in which exemplars came, whatever their series and time. Within
//! a series they stand in time order.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use parking_lot::RwLock;

use crate::base::metrics::{Counter, Gauge, Registry};
use crate::model::{Exemplar, Labels, Matcher};
use crate::series::{SeriesExemplars, TimeRange};

/// What became of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum ExemplarFate {
    /// It is kept.
    Stored,
    /// It is there already.
    Same,
    /// The ring has no room for any.
    Disabled,
    /// Its labels are longer than [`Exemplar::CHARS_MAX`].
    TooLong,
    /// It is older than the newest of its series.
    OutOfOrder,
}

impl ExemplarFate {
    /// True if it counts as refused.
    pub(in crate::storage) const fn is_refused(self) -> bool {
        matches!(self, Self::TooLong | Self::OutOfOrder)
    }
}

/// The ring.
#[derive(Debug)]
pub(in crate::storage) struct ExemplarRing {
    ring: RwLock<Ring>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Ring {
    capacity: usize,
    /// Exemplars that are older than the newest of their series by less than this are taken.
    window_ms: i64,
    /// In the order in which they came: whose it is, and its number.
    order: VecDeque<(Labels, u64)>,
    series: HashMap<Labels, Vec<Kept>>,
    next_number: u64,
}

/// An exemplar, and its number in the order in which they came.
#[derive(Debug)]
struct Kept {
    number: u64,
    exemplar: Exemplar,
}

#[derive(Debug)]
struct Metrics {
    appended: Counter,
    stored: Gauge,
    series: Gauge,
    oldest_seconds: Gauge,
    capacity: Gauge,
    out_of_order: Counter,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        let gauge = |name, help| registry.gauge(name, help);
        let counter = |name, help| registry.counter(name, help);
        Self {
            appended: counter(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Total number of appended exemplars.",
            ),
            stored: gauge(
                "prometheus_tsdb_exemplar_exemplars_in_storage",
                "Number of exemplars currently in circular storage.",
            ),
            series: gauge(
                "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
                "Number of series with exemplars currently in circular storage.",
            ),
            oldest_seconds: gauge(
                "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
                "Time of the oldest exemplar in circular storage.",
            ),
            capacity: gauge(
                "prometheus_tsdb_exemplar_max_exemplars",
                "Total number of exemplars the exemplar storage can store.",
            ),
            out_of_order: counter(
                "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
                "Total number of exemplars refused because they were out of order.",
            ),
        }
    }
}

impl ExemplarRing {
    /// A ring for `capacity` exemplars; with 0 it takes none.
    pub(in crate::storage) fn new(capacity: usize, window_ms: i64, registry: &Registry) -> Self {
        let metrics = Metrics::new(registry);
        metrics.capacity.set(capacity as f64);
        let ring = Ring { capacity, window_ms: window_ms.max(0), ..Ring::default() };
        Self { ring: RwLock::new(ring), metrics }
    }

    /// True if it takes any.
    pub(in crate::storage) fn is_enabled(&self) -> bool {
        self.ring.read().capacity > 0
    }

    /// What would become of an exemplar of a series.
    pub(in crate::storage) fn judge(&self, series: &Labels, exemplar: &Exemplar) -> ExemplarFate {
        self.ring.read().judge(series, exemplar)
    }

    /// Takes an exemplar of a series, if it may have a place.
    pub(in crate::storage) fn add(&self, series: &Labels, exemplar: &Exemplar) -> ExemplarFate {
        let mut ring = self.ring.write();
        let fate = ring.judge(series, exemplar);
        match fate {
            ExemplarFate::Stored => {
                ring.insert(series, exemplar.clone());
                self.metrics.appended.inc();
                self.show(&ring);
            }
            ExemplarFate::OutOfOrder => self.metrics.out_of_order.inc(),
            _ => {}
        }
        fate
    }

    fn show(&self, ring: &Ring) {
        self.metrics.stored.set(ring.order.len() as f64);
        self.metrics.series.set(ring.series.len() as f64);
        let oldest = ring.order.front().and_then(|(series, number)| {
            let kept = ring.series.get(series)?;
            kept.iter().find(|kept| kept.number == *number)
        });
        let oldest_ms = oldest.map_or(0, |kept| kept.exemplar.timestamp_ms);
        self.metrics.oldest_seconds.set(oldest_ms as f64 / 1000.0);
    }

    /// Exemplars in `range` of the series that any of the matcher lists describes, in label order.
    pub(in crate::storage) fn select(
        &self,
        any_of: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Vec<SeriesExemplars> {
        let ring = self.ring.read();
        let mut found = Vec::new();
        for (labels, kept) in &ring.series {
            let in_range = kept.iter().filter(|kept| range.contains(kept.exemplar.timestamp_ms));
            let mut in_range = in_range.peekable();
            if in_range.peek().is_some() && any_of.iter().any(|all| matches_all(labels, all)) {
                let exemplars = in_range.map(|kept| kept.exemplar.clone()).collect();
                found.push(SeriesExemplars { labels: labels.clone(), exemplars });
            }
        }
        found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    /// Calls `each` for every exemplar in the order in which they came.
    pub(in crate::storage) fn for_each(&self, mut each: impl FnMut(&Labels, &Exemplar)) {
        let ring = self.ring.read();
        for (series, number) in &ring.order {
            let kept = ring.series.get(series).map_or(&[][..], Vec::as_slice);
            if let Some(kept) = kept.iter().find(|kept| kept.number == *number) {
                each(series, &kept.exemplar);
            }
        }
    }
}

fn matches_all(labels: &Labels, matchers: &[Matcher]) -> bool {
    let matches =
        |matcher: &Matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default());
    matchers.iter().all(matches)
}

impl Ring {
    fn judge(&self, series: &Labels, exemplar: &Exemplar) -> ExemplarFate {
        if self.capacity == 0 {
            return ExemplarFate::Disabled;
        }
        if !exemplar.is_short_enough() {
            return ExemplarFate::TooLong;
        }
        let kept = self.series.get(series).map_or(&[][..], Vec::as_slice);
        let Some(newest) = kept.last().map(|kept| &kept.exemplar) else {
            return ExemplarFate::Stored;
        };
        if newest == exemplar {
            return ExemplarFate::Same;
        }
        let (time_ms, newest_ms) = (exemplar.timestamp_ms, newest.timestamp_ms);
        if time_ms < newest_ms {
            if time_ms <= newest_ms.saturating_sub(self.window_ms) {
                return ExemplarFate::OutOfOrder;
            }
            // A late one of the same time is taken for the same: with several exemplars a sample
            // a closer look would cost more than it is worth.
            let place = kept.partition_point(|kept| kept.exemplar.timestamp_ms <= time_ms);
            let before = place.checked_sub(1).and_then(|before| kept.get(before));
            let is_same = before.is_some_and(|kept| kept.exemplar.timestamp_ms == time_ms);
            return if is_same { ExemplarFate::Same } else { ExemplarFate::Stored };
        }
        // Exemplars of one time ascend by value and labels; so one that came before is recognised
        // without looking at all.
        let is_behind = time_ms > newest_ms
            || exemplar.value > newest.value
            || (exemplar.value == newest.value
                && exemplar.labels.as_ref().hash() >= newest.labels.as_ref().hash())
            || exemplar.value.is_nan()
            || newest.value.is_nan();
        if is_behind { ExemplarFate::Stored } else { ExemplarFate::OutOfOrder }
    }

    fn insert(&mut self, series: &Labels, exemplar: Exemplar) {
        if self.order.len() >= self.capacity {
            self.forget_first();
        }
        let number = self.next_number;
        self.next_number += 1;
        let (labels, kept) = match self.series.entry(series.clone()) {
            Entry::Occupied(known) => (known.key().clone(), known.into_mut()),
            Entry::Vacant(free) => (series.clone(), free.insert(Vec::new())),
        };
        let time_ms = exemplar.timestamp_ms;
        let place = kept.partition_point(|kept| kept.exemplar.timestamp_ms <= time_ms);
        kept.insert(place, Kept { number, exemplar });
        self.order.push_back((labels, number));
    }

    fn forget_first(&mut self) {
        let Some((series, number)) = self.order.pop_front() else { return };
        if let Entry::Occupied(mut known) = self.series.entry(series) {
            known.get_mut().retain(|kept| kept.number != number);
            if known.get().is_empty() {
                known.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn series(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)]).unwrap()
    }

    fn exemplar(timestamp_ms: i64, value: f64, id: &str) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("id", id)]).unwrap(), value, timestamp_ms }
    }

    fn ring(capacity: usize, window_ms: i64) -> ExemplarRing {
        ExemplarRing::new(capacity, window_ms, &Registry::new())
    }

    fn times(ring: &ExemplarRing) -> Vec<(String, Vec<i64>)> {
        let found = ring.select(&[vec![]], TimeRange::ALL).into_iter();
        let times = |one: &SeriesExemplars| one.exemplars.iter().map(|e| e.timestamp_ms).collect();
        found.map(|one| (one.labels.metric_name().unwrap().to_owned(), times(&one))).collect()
    }

    #[test]
    fn a_full_ring_forgets_what_came_first() {
        let ring = ring(3, 0);
        for (name, time) in [("b", 10), ("a", 5), ("b", 11), ("b", 12)] {
            let fate = ring.add(&series(name), &exemplar(time, 1.0, "x"));
            assert_eq!(fate, ExemplarFate::Stored);
        }
        assert_eq!(times(&ring), [("a".into(), vec![5]), ("b".into(), vec![11, 12])]);
    }

    #[test]
    fn a_ring_without_room_takes_none() {
        let ring = ring(0, 0);
        assert_eq!(ring.add(&series("a"), &exemplar(9, 1.0, "")), ExemplarFate::Disabled);
        assert!(times(&ring).is_empty() && !ring.is_enabled());
    }

    #[test]
    fn order_duplicates_and_length_are_watched() {
        let ring = ring(9, 0);
        let add = |exemplar: Exemplar| ring.add(&series("a"), &exemplar);
        assert_eq!(add(exemplar(10, 1.0, "x")), ExemplarFate::Stored);
        assert_eq!(add(exemplar(10, 1.0, "x")), ExemplarFate::Same);
        assert_eq!(add(exemplar(9, 1.0, "x")), ExemplarFate::OutOfOrder);
        assert_eq!(add(exemplar(10, 2.0, "x")), ExemplarFate::Stored, "another bucket's");
        assert_eq!(add(exemplar(10, 1.0, "x")), ExemplarFate::OutOfOrder);
        assert_eq!(add(exemplar(11, 1.0, &"é".repeat(126))), ExemplarFate::Stored);
        assert_eq!(add(exemplar(12, 1.0, &"é".repeat(127))), ExemplarFate::TooLong);
    }

    #[test]
    fn a_window_takes_late_ones_in_their_order() {
        let ring = ring(9, 10);
        let add = |time| ring.add(&series("a"), &exemplar(time, 1.0, "x"));
        assert_eq!([20, 15, 11, 17].map(add), [ExemplarFate::Stored; 4]);
        assert_eq!(add(15), ExemplarFate::Same);
        assert_eq!(add(10), ExemplarFate::OutOfOrder);
        assert_eq!(times(&ring), [("a".into(), vec![11, 15, 17, 20])]);
    }

    #[test]
    fn matchers_and_times_choose() {
        let ring = ring(9, 0);
        for (name, time) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
            ring.add(&series(name), &exemplar(time, 1.0, "x"));
        }
        let name = |value| vec![Matcher::equal("__name__", value)];
        let found = ring.select(&[name("c"), name("a")], TimeRange::new(2, 4));
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.labels.metric_name().unwrap(), one.exemplars.len()))
            .collect();
        assert_eq!(found, [("a", 1), ("c", 1)]);
        assert!(ring.select(&[], TimeRange::ALL).is_empty());
    }

    proptest! {
        #[test]
        fn the_ring_holds_the_last_that_it_took(
            steps in vec((0_u8..3, 0_i64..50, 0_u8..3), 0..80), capacity in 1_usize..10,
            window_ms in 0_i64..30,
        ) {
            let ring = ring(capacity, window_ms);
            let mut taken = Vec::new();
            for (name, time, value) in steps {
                let name = format!("m{name}");
                let exemplar = exemplar(time, f64::from(value), "x");
                if ring.add(&series(&name), &exemplar) == ExemplarFate::Stored {
                    taken.push((name, time, exemplar.value.to_bits()));
                }
            }
            let mut kept = Vec::new();
            ring.for_each(|labels, exemplar| {
                let name = labels.metric_name().unwrap().to_owned();
                kept.push((name, exemplar.timestamp_ms, exemplar.value.to_bits()));
            });
            prop_assert_eq!(&kept[..], &taken[taken.len().saturating_sub(capacity)..]);
            for (_, times) in times(&ring) {
                prop_assert!(times.is_sorted());
            }
        }
    }
}
