//! What a storage says of counter resets between histograms: it begins a new chunk at each, and
//! only inside of a chunk it knows that there was none.

use std::collections::BTreeMap;

use crate::model::histogram::{CountsRef, HistogramRef, Layout, ResetHint, Span};
use crate::model::{Column, Value};

/// Sets the hints of all histograms to those that they would be read with from chunks that are
/// cut only where they must be.
pub(super) fn set_hints(column: &mut Column) {
    let mut hints: Vec<(usize, ResetHint)> = Vec::new();
    // The histogram before in the same chunk; a float ends the chunk.
    let mut before: Option<HistogramRef<'_>> = None;
    for (index, (_, _, value)) in column.samples().enumerate() {
        before = match value {
            // The marker of a series of histograms stands in their chunk.
            Value::Float(value) if crate::model::is_stale(value) => before.map(stale),
            Value::Float(_) => None,
            Value::Histogram(one) if one.is_stale() => before.map(stale),
            Value::Histogram(one) => {
                let goes_on = before.is_some_and(|before| goes_on(&before, &one));
                let hint = match (one.hint, goes_on) {
                    (ResetHint::Gauge, _) => ResetHint::Gauge,
                    (_, true) => ResetHint::NotReset,
                    (_, false) => ResetHint::Unknown,
                };
                hints.push((index, hint));
                Some(one)
            }
        };
    }
    for (index, hint) in hints {
        column.histograms.set_hint(index, hint);
    }
}

const fn stale(mut one: HistogramRef<'_>) -> HistogramRef<'_> {
    one.sum = crate::model::stale_nan();
    one
}

/// True if `now` is appended to the chunk of `before`.
fn goes_on(before: &HistogramRef<'_>, now: &HistogramRef<'_>) -> bool {
    let (then, layout): (&Layout, &Layout) = (before.layout, now.layout);
    let is_gauge = |one: &HistogramRef<'_>| one.hint == ResetHint::Gauge;
    if before.is_stale()
        || now.hint == ResetHint::Reset
        || is_gauge(before) != is_gauge(now)
        || before.counts.is_float() != now.counts.is_float()
        || then.schema != layout.schema
        || then.zero_threshold.to_bits() != layout.zero_threshold.to_bits()
        || !then.has_bounds_of(layout)
    {
        return false;
    }
    let ((count, zero, buckets), (old_count, old_zero, old)) = (parts(now), parts(before));
    let fell = count < old_count
        || zero < old_zero
        || old.iter().any(|(place, old)| buckets.get(place).map_or(*old != 0.0, |now| now < old));
    is_gauge(now) || !fell
}

type Buckets = BTreeMap<(bool, i64), f64>;

/// All observations, those near zero, and those by sign and index of their bucket.
fn parts(one: &HistogramRef<'_>) -> (f64, f64, Buckets) {
    let (count, zero, counts): (f64, f64, Vec<f64>) = match one.counts {
        CountsRef::Integer { count, zero_count, buckets } => {
            let buckets = buckets.iter().map(|bucket| *bucket as f64).collect();
            (count as f64, zero_count as f64, buckets)
        }
        CountsRef::Float { count, zero_count, buckets } => (count, zero_count, buckets.to_vec()),
    };
    let positive = indexes(&one.layout.positive).map(|index| (true, index));
    let negative = indexes(&one.layout.negative).map(|index| (false, index));
    (count, zero, positive.chain(negative).zip(counts).collect())
}

fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0;
    spans.iter().flat_map(move |span| {
        let from = next + i64::from(span.offset);
        next = from + i64::from(span.length);
        from..next
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::histogram::{Counts, Histogram};
    use crate::model::stale_nan;

    fn one(offset: i32, buckets: &[f64], hint: ResetHint) -> Histogram {
        let positive = vec![Span::new(offset, buckets.len() as u32)];
        let layout = Arc::new(Layout { positive, ..Layout::default() });
        let count = buckets.iter().sum();
        let counts = Counts::Float { count, zero_count: 0.0, buckets: buckets.to_vec() };
        Histogram { layout, hint, sum: 1.0, counts }
    }

    #[test]
    fn only_inside_of_a_chunk_there_was_surely_no_reset() {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        let mut column = Column::new();
        let rows = [
            (one(0, &[1.0, 2.0], Unknown), Unknown),
            (one(0, &[1.0, 2.0, 1.0], Unknown), NotReset),
            (one(1, &[2.0, 5.0], Unknown), Unknown),
            (one(0, &[0.0, 2.0, 5.0], NotReset), NotReset),
            (one(0, &[9.0, 2.0, 5.0], Reset), Unknown),
            (one(0, &[9.0], Gauge), Gauge),
            (one(0, &[8.0], Gauge), Gauge),
            (one(0, &[9.0], Unknown), Unknown),
        ];
        let mut time_ms = 0;
        for (one, _) in &rows {
            time_ms += 1;
            column.push_histogram(time_ms, one.as_ref());
        }
        column.push(100, stale_nan());
        column.push_histogram(101, one(0, &[9.0], Unknown).as_ref());
        column.push(102, 1.0);
        column.push_histogram(103, one(0, &[9.0], Unknown).as_ref());
        set_hints(&mut column);
        let got: Vec<ResetHint> = column.histograms.iter().map(|(_, one)| one.hint).collect();
        let expected = rows.iter().map(|row| row.1).chain([Unknown, Unknown]);
        assert_eq!(got, expected.collect::<Vec<_>>());
    }
}
