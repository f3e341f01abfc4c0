//! How many series there may be: altogether, and with one value of a label.
//!
//! A limit refuses only series that would be new; what is there goes on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use parking_lot::Mutex;

use crate::base::metrics::{Counter, Registry};
use crate::model::LabelsRef;

use super::symbols::SharedLabels;

/// Limits of series in memory. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesLimits {
    /// At most so many series at a time; 0 for no limit.
    pub max_series: usize,
    /// Names of labels, and how many series at a time may have the same value of it.
    pub by_label: Vec<(String, usize)>,
}

/// A new series was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LimitReached {
    pub(super) limit: usize,
}

/// Series with a value of a limited label.
#[derive(Debug)]
struct LabelCount {
    name: Box<str>,
    limit: usize,
    rejected: Counter,
    series: HashMap<Box<str>, usize>,
}

#[derive(Debug, Default)]
struct Counts {
    series: usize,
    labels: Vec<LabelCount>,
}

/// Counts series where a limit needs it.
#[derive(Debug)]
pub(super) struct Limits {
    max_series: usize,
    rejected: Counter,
    is_limited: bool,
    counts: Mutex<Counts>,
}

impl Limits {
    pub(super) fn new(limits: &SeriesLimits, registry: &Registry) -> Self {
        let rejected = |limit: &str| {
            registry.counter_with(
                "promlite_head_series_limit_rejected_total",
                "New series that were refused because of a limit.",
                &[("limit", limit)],
            )
        };
        let labels = limits.by_label.iter().map(|(name, limit)| LabelCount {
            name: name.as_str().into(),
            limit: *limit,
            rejected: rejected(name),
            series: HashMap::new(),
        });
        let labels: Vec<LabelCount> = labels.collect();
        Self {
            max_series: limits.max_series,
            rejected: rejected("max_series"),
            is_limited: limits.max_series > 0 || !labels.is_empty(),
            counts: Mutex::new(Counts { series: 0, labels }),
        }
    }

    /// Counts a new series, unless there are as many as there may be.
    pub(super) fn enter(&self, labels: LabelsRef<'_>) -> Result<(), LimitReached> {
        if !self.is_limited {
            return Ok(());
        }
        let mut counts = self.counts.lock();
        if self.max_series > 0 && counts.series >= self.max_series {
            self.rejected.inc();
            return Err(LimitReached { limit: self.max_series });
        }
        for label in &counts.labels {
            let Some(value) = labels.get(&label.name) else { continue };
            if label.series.get(value).copied().unwrap_or(0) >= label.limit {
                label.rejected.inc();
                return Err(LimitReached { limit: label.limit });
            }
        }
        counts.add(labels);
        Ok(())
    }

    /// Counts a series that was there before the limits.
    pub(super) fn restore(&self, labels: LabelsRef<'_>) {
        if self.is_limited {
            self.counts.lock().add(labels);
        }
    }

    /// Counts a series no more.
    pub(super) fn leave(&self, labels: &SharedLabels) {
        if !self.is_limited {
            return;
        }
        let mut counts = self.counts.lock();
        counts.series = counts.series.saturating_sub(1);
        for label in &mut counts.labels {
            let Some(value) = labels.get(&label.name) else { continue };
            if let Entry::Occupied(mut known) = label.series.entry(value.into()) {
                *known.get_mut() -= 1;
                if *known.get() == 0 {
                    known.remove();
                }
            }
        }
    }
}

impl Counts {
    fn add(&mut self, labels: LabelsRef<'_>) {
        self.series += 1;
        for label in &mut self.labels {
            if let Some(value) = labels.get(&label.name) {
                match label.series.get_mut(value) {
                    Some(known) => *known += 1,
                    None => {
                        label.series.insert(value.into(), 1);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::storage::head::symbols::Symbols;

    #[test]
    fn only_new_series_over_a_limit_are_refused_and_others_take_the_place_of_those_that_left() {
        let by_label = vec![("cluster".to_owned(), 2)];
        let limits = SeriesLimits { max_series: 4, by_label };
        let limits = Limits::new(&limits, &Registry::new());
        let labels = |cluster: &str, n: &str| Labels::from_pairs([("cluster", cluster), ("n", n)]);
        let enter = |cluster, n| limits.enter(labels(cluster, n).unwrap().as_ref());
        assert_eq!((enter("a", "1"), enter("a", "2")), (Ok(()), Ok(())));
        assert_eq!(enter("a", "3"), Err(LimitReached { limit: 2 }));
        assert_eq!((enter("b", "1"), enter("", "1")), (Ok(()), Ok(())));
        assert_eq!(enter("c", "1"), Err(LimitReached { limit: 4 }));
        limits.leave(&Symbols::default().share(labels("a", "1").unwrap().as_ref()));
        assert_eq!(enter("a", "3"), Ok(()));
        let rejected = limits.counts.lock().labels[0].rejected.get();
        assert_eq!((limits.rejected.get(), rejected), (1, 1));
    }

    #[test]
    fn a_label_limit_of_nothing_lets_nothing_in() {
        let limits = SeriesLimits { max_series: 0, by_label: vec![("a".to_owned(), 0)] };
        let limits = Limits::new(&limits, &Registry::new());
        let labels = Labels::from_pairs([("a", "x")]).unwrap();
        assert!(limits.enter(labels.as_ref()).is_err());
        assert!(limits.enter(Labels::from_pairs([("b", "x")]).unwrap().as_ref()).is_ok());
    }
}
