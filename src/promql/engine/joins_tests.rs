//! A counter that goes on from other values is the same counter.

use std::sync::Arc;

use proptest::prelude::*;

use crate::model::Labels;
use crate::model::histogram::{Counts, Histogram, Layout, ResetHint, Span};
use crate::promql::{Engine, EngineOptions, ParseOptions, RunOptions, Value};
use crate::series::{Chunk, Column, QueryError, Queryable, Select, Series, SeriesSet, TimeRange};

/// A source with one series.
#[derive(Clone)]
struct One(Labels, Column);

impl Queryable for One {
    fn select(&self, _: &Select) -> Result<SeriesSet, QueryError> {
        let series: Vec<Box<dyn Series>> = vec![Box::new(self.clone())];
        Ok(SeriesSet { series, ..SeriesSet::default() })
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(Vec::new())
    }
}

impl Series for One {
    fn labels(&self) -> &Labels {
        &self.0
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let times = &self.1.timestamps;
        let from = times.partition_point(|time_ms| *time_ms < range.start_ms);
        into.extend_from(&self.1, from..times.partition_point(|time_ms| *time_ms <= range.end_ms));
        Ok(())
    }

    fn chunks(&self, _: TimeRange, _: &mut Vec<Chunk>) -> Result<(), QueryError> {
        Err(QueryError::Unavailable("there are no chunks".into()))
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Grow(u32),
    Reset,
    /// Grows, and is so much higher from now on.
    Join(u32, u32),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u32..100).prop_map(Event::Grow),
        1 => Just(Event::Reset),
        2 => (0_u32..100, 0_u32..1_000_000).prop_map(|(by, lift)| Event::Join(by, lift)),
    ]
}

fn histogram(count: u64) -> Histogram {
    let positive = vec![Span::new(0, 2)];
    let layout = Arc::new(Layout { positive, ..Layout::default() });
    let counts = Counts::Integer {
        count,
        zero_count: 0,
        buckets: vec![(count / 2) as i64, (count - count / 2) as i64],
    };
    Histogram { layout, hint: ResetHint::Unknown, sum: count as f64, counts }
}

/// The counter as one scraper saw it, and with joins.
fn columns(events: &[(i64, Event)], native: bool) -> [Column; 2] {
    let (mut plain, mut joined) = (Column::new(), Column::new());
    // High enough for no rate to be cut where the counter would be zero.
    let (mut time_ms, mut count, mut lift) = (0, 1_u64 << 40, 0_u64);
    for (gap_ms, event) in events {
        time_ms += gap_ms;
        let before = count;
        match event {
            Event::Grow(by) => count += 2 * u64::from(*by),
            Event::Reset => (count, lift) = (count / 4 * 2, 0),
            Event::Join(by, to) => {
                (count, lift) = (count + 2 * u64::from(*by), 2 * u64::from(*to));
                let index = joined.len();
                if native {
                    joined.joins.push_histogram(index, histogram(before + lift).as_ref());
                } else {
                    joined.joins.push(index, (before + lift) as f64);
                }
            }
        }
        for (column, value) in [(&mut plain, count), (&mut joined, count + lift)] {
            if native {
                column.push_histogram(time_ms, histogram(value).as_ref());
            } else {
                column.push(time_ms, value as f64);
            }
        }
    }
    [plain, joined]
}

fn answer(column: &Column, query: &str, (start_ms, step_ms): (i64, i64)) -> Vec<(i64, f64, f64)> {
    let labels = Labels::from_pairs([("__name__", "m_total")]).unwrap();
    let source = One(labels, column.clone());
    let options = EngineOptions { parse: ParseOptions::all(), ..EngineOptions::default() };
    let end_ms = start_ms + 60 * step_ms;
    let run = RunOptions { lookback_ms: Some(100_000), ..RunOptions::default() };
    let answer = Engine::new(options).range(&source, query, start_ms, end_ms, step_ms, &run);
    let Value::Matrix(series) = answer.unwrap().value else { panic!("no matrix") };
    let mut all = Vec::new();
    for column in series.iter().map(|series| &series.column) {
        for (index, (time_ms, value)) in column.timestamps.iter().zip(&column.floats).enumerate() {
            let count =
                column.histograms.get(index).map_or(0.0, |one| match one.counts.to_owned() {
                    Counts::Float { count, .. } => count,
                    Counts::Integer { count, .. } => count as f64,
                });
            all.push((*time_ms, *value, count));
        }
    }
    all
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn joins_change_nothing_of_what_a_counter_counted(
        events in prop::collection::vec((1_i64..40_000, any_event()), 1..60),
        native in any::<bool>(),
        range_s in 10_u32..300,
        grid in (0_i64..200_000, 1_i64..40_000),
    ) {
        let [plain, joined] = columns(&events, native);
        for query in [
            "rate(m_total[R])", "increase(m_total[R])", "irate(m_total[R])", "resets(m_total[R])",
            "increase(m_total[R] anchored)", "rate(m_total[R] smoothed)",
            "resets(m_total[R] anchored)", "histogram_count(increase(m_total[R]))",
        ] {
            let query = query.replace('R', &format!("{range_s}s"));
            let (want, got) = (answer(&plain, &query, grid), answer(&joined, &query, grid));
            prop_assert_eq!(want.len(), got.len(), "{}", &query);
            for (want, got) in want.iter().zip(&got) {
                let is_same = want.0 == got.0 && same(want.1, got.1) && same(want.2, got.2);
                prop_assert!(is_same, "{} {:?} {:?}", &query, want, got);
            }
        }
    }
}

#[test]
fn only_functions_of_counters_look_at_joins() {
    let events: Vec<_> = (1..20).map(|n| (10_000, Event::Join(n, n * 7))).collect();
    let [_, joined] = columns(&events, false);
    let mut without = joined.clone();
    without.joins.clear();
    for function in ["delta", "idelta", "changes", "deriv", "last_over_time", "sum_over_time"] {
        let query = format!("{function}(m_total[50s])");
        let grid = (20_000, 5000);
        assert_eq!(answer(&joined, &query, grid), answer(&without, &query, grid), "{query}");
    }
    let query = "rate(m_total[50s])";
    assert_ne!(answer(&joined, query, (50_000, 5000)), answer(&without, query, (50_000, 5000)));
}
