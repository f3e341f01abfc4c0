//! Labels that all series of a source have towards the outside: which cluster, which replica.

use std::sync::Arc;

use crate::model::{Column, Labels, LabelsBuf, Matcher};

use super::chunk::{Chunk, TimeRange};
use super::merge::join_equals;
use super::select::{QueryError, Queryable, Select, Series, SeriesSet};

/// A source whose series carry more labels than it knows of. Where a series has a label of the
/// same name, the external one wins.
#[derive(Clone)]
pub struct External {
    inner: Arc<dyn Queryable>,
    labels: Labels,
}

impl External {
    /// All series of `inner`, with `labels`.
    #[must_use]
    pub fn new(inner: Arc<dyn Queryable>, labels: Labels) -> Self {
        Self { inner, labels }
    }

    /// The question to the inner source: without the matchers that the external labels answer.
    /// Nothing if these say no.
    fn inner_ask(&self, ask: &Select) -> Option<Select> {
        let mut matchers = Vec::with_capacity(ask.matchers.len());
        for matcher in &ask.matchers {
            match self.labels.get(matcher.name()) {
                Some(value) if !matcher.matches(value) => return None,
                Some(_) => {}
                None => matchers.push(Matcher::clone(matcher)),
            }
        }
        Some(Select { matchers, range: ask.range, hints: ask.hints.clone() })
    }

    /// The labels towards the outside. Nothing if they are longer than labels can be.
    fn outside(&self, labels: &Labels, buf: &mut LabelsBuf) -> Option<Labels> {
        buf.clear();
        let mut ours = self.labels.iter().peekable();
        for (name, value) in labels.iter() {
            while let Some((our_name, our_value)) = ours.next_if(|(ours, _)| *ours < name) {
                buf.push(our_name, our_value);
            }
            if ours.peek().is_none_or(|(ours, _)| *ours != name) {
                buf.push(name, value);
            }
        }
        ours.for_each(|(name, value)| buf.push(name, value));
        buf.finish().ok().map(|labels| labels.to_labels())
    }

    fn has_any(&self, ask: &Select) -> Result<bool, QueryError> {
        let Some(mut inner) = self.inner_ask(ask) else { return Ok(false) };
        inner.hints.limit = 1;
        Ok(!self.inner.select(&inner)?.series.is_empty())
    }
}

impl std::fmt::Debug for External {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "External({})", self.labels)
    }
}

impl Queryable for External {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let Some(inner) = self.inner_ask(ask) else { return Ok(SeriesSet::default()) };
        let set = self.inner.select(&inner)?;
        if self.labels.is_empty() {
            return Ok(set);
        }
        let mut buf = LabelsBuf::new();
        let mut series: Vec<Box<dyn Series>> = Vec::with_capacity(set.series.len());
        for one in set.series {
            let too_long = || QueryError::Corrupt("the labels of a series are too long".into());
            let labels = self.outside(one.labels(), &mut buf).ok_or_else(too_long)?;
            series.push(Box::new(Renamed { labels, inner: one }));
        }
        if !series.is_sorted_by(|a, b| a.labels() < b.labels()) {
            // Series that differed in an overridden label only are one now.
            series.sort_by(|a, b| a.labels().cmp(b.labels()));
            series = join_equals(series);
        }
        Ok(SeriesSet { series, warnings: set.warnings })
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let Some(inner) = self.inner_ask(ask) else { return Ok(Vec::new()) };
        let mut names = self.inner.label_names(&inner)?;
        if !names.is_empty() {
            names.extend(self.labels.iter().map(|(name, _)| Arc::from(name)));
            names.sort();
            names.dedup();
        }
        if ask.hints.limit > 0 {
            names.truncate(ask.hints.limit);
        }
        Ok(names)
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        if let Some(value) = self.labels.get(name) {
            return Ok(if self.has_any(ask)? { vec![Arc::from(value)] } else { Vec::new() });
        }
        let Some(inner) = self.inner_ask(ask) else { return Ok(Vec::new()) };
        self.inner.label_values(name, &inner)
    }
}

/// A series under other labels.
pub(super) struct Renamed {
    pub(super) labels: Labels,
    pub(super) inner: Box<dyn Series>,
}

impl Series for Renamed {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn resolution_ms(&self) -> i64 {
        self.inner.resolution_ms()
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        self.inner.read(range, into)
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        self.inner.chunks(range, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MatchOp;
    use crate::testkit::ModelStore;

    fn source() -> External {
        let store = ModelStore::new();
        for (job, zone, time) in [("a", "x", 1), ("b", "x", 2), ("b", "y", 3)] {
            let pairs = [("__name__", "m"), ("job", job), ("zone", zone)];
            store.add(&Labels::from_pairs(pairs).unwrap(), time, 1.0);
        }
        let labels = Labels::from_pairs([("cluster", "c1"), ("zone", "z")]).unwrap();
        External::new(Arc::new(store), labels)
    }

    fn ask(matchers: Vec<Matcher>) -> Select {
        Select::new(matchers, TimeRange::ALL)
    }

    fn shown(set: &SeriesSet) -> Vec<String> {
        set.series.iter().map(|series| series.labels().to_string()).collect()
    }

    #[test]
    fn every_series_carries_them_and_they_win() {
        let set = source().select(&ask(Vec::new())).unwrap();
        let want = [
            r#"{__name__="m", cluster="c1", job="a", zone="z"}"#,
            r#"{__name__="m", cluster="c1", job="b", zone="z"}"#,
        ];
        assert_eq!(shown(&set), want);
        let mut column = Column::new();
        set.series[1].read(TimeRange::ALL, &mut column).unwrap();
        assert_eq!(column.timestamps, [2, 3]);
    }

    #[test]
    fn matchers_see_them_and_not_what_they_hide() {
        let source = source();
        let count = |matcher: Matcher| source.select(&ask(vec![matcher])).unwrap().series.len();
        assert_eq!(count(Matcher::equal("cluster", "c1")), 2);
        assert_eq!(count(Matcher::equal("cluster", "c2")), 0);
        assert_eq!(count(Matcher::equal("zone", "x")), 0);
        assert_eq!(count(Matcher::equal("job", "b")), 1);
        assert_eq!(count(Matcher::new("cluster", MatchOp::NotEqual, "c1").unwrap()), 0);
    }

    #[test]
    fn names_and_values_are_those_towards_the_outside() {
        let source = source();
        let names = source.label_names(&ask(Vec::new())).unwrap();
        assert_eq!(names, ["__name__", "cluster", "job", "zone"].map(Arc::from));
        let values = |name: &str, job: &str| {
            source.label_values(name, &ask(vec![Matcher::equal("job", job)])).unwrap()
        };
        assert_eq!(values("zone", "a"), ["z"].map(Arc::from));
        assert_eq!(values("zone", "none"), [] as [Arc<str>; 0]);
        assert_eq!(values("job", "b"), ["b"].map(Arc::from));
        let none = source.label_names(&ask(vec![Matcher::equal("cluster", "c2")])).unwrap();
        assert!(none.is_empty());
    }
}
