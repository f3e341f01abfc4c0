//! Can a histogram have become another one by counting on?

use crate::model::histogram::{Counts, CountsRef, Histogram, HistogramRef, Span};

/// True if no count of `before` is larger in `after`, so that both may be of one counter. Those of
/// different resolution are taken for different counters.
pub(super) fn is_grown(before: HistogramRef<'_>, after: HistogramRef<'_>) -> bool {
    let (a, b) = (before.layout, after.layout);
    let is_same_kind = a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.has_bounds_of(b);
    if !is_same_kind || totals(before) > totals(after) || zeros(before) > zeros(after) {
        return false;
    }
    let (old, new) = (buckets(before), buckets(after));
    old.iter().filter(|(_, count)| *count > 0.0).all(|(place, count)| {
        let found = new.binary_search_by_key(place, |(place, _)| *place);
        found.ok().and_then(|at| new.get(at)).is_some_and(|(_, now)| now >= count)
    })
}

fn totals(one: HistogramRef<'_>) -> f64 {
    match one.counts {
        CountsRef::Integer { count, .. } => count as f64,
        CountsRef::Float { count, .. } => count,
    }
}

fn zeros(one: HistogramRef<'_>) -> f64 {
    match one.counts {
        CountsRef::Integer { zero_count, .. } => zero_count as f64,
        CountsRef::Float { zero_count, .. } => zero_count,
    }
}

/// Side and number of each bucket, and its count, ascending.
fn buckets(one: HistogramRef<'_>) -> Vec<((bool, i64), f64)> {
    let counts: Vec<f64> = match one.counts {
        CountsRef::Integer { buckets, .. } => buckets.iter().map(|count| *count as f64).collect(),
        CountsRef::Float { buckets, .. } => buckets.to_vec(),
    };
    let side = |spans: &[Span], is_negative: bool| {
        let mut end = 0_i64;
        let mut places = Vec::new();
        for span in spans {
            end = end.saturating_add(span.offset.into());
            // Spans of a damaged histogram may name more buckets than it has.
            let length = i64::from(span.length).min(counts.len() as i64);
            places.extend((end..end.saturating_add(length)).map(|place| (is_negative, place)));
            end = end.saturating_add(span.length.into());
        }
        places
    };
    let layout = one.layout;
    let mut places = side(&layout.positive, false);
    places.extend(side(&layout.negative, true));
    places.into_iter().zip(counts).collect()
}

/// The histogram at a part of the way from one to another. Nothing if their buckets differ.
pub(super) fn grown(from: HistogramRef<'_>, to: HistogramRef<'_>, part: f64) -> Option<Histogram> {
    if from.layout != to.layout {
        return None;
    }
    let whole = |a: f64, b: f64| (a + (b - a) * part).clamp(a.min(b), a.max(b));
    let number = |a: u64, b: u64| whole(a as f64, b as f64).floor() as u64;
    let counts = match (from.counts, to.counts) {
        (
            CountsRef::Integer { count: a, zero_count: zero_a, buckets: old },
            CountsRef::Integer { count: b, zero_count: zero_b, buckets: new },
        ) => Counts::Integer {
            count: number(a, b),
            zero_count: number(zero_a, zero_b),
            buckets: old
                .iter()
                .zip(new)
                .map(|(a, b)| whole(*a as f64, *b as f64).floor() as i64)
                .collect(),
        },
        (
            CountsRef::Float { count: a, zero_count: zero_a, buckets: old },
            CountsRef::Float { count: b, zero_count: zero_b, buckets: new },
        ) => Counts::Float {
            count: whole(a, b),
            zero_count: whole(zero_a, zero_b),
            buckets: old.iter().zip(new).map(|(a, b)| whole(*a, *b)).collect(),
        },
        _ => return None,
    };
    let sum = whole(from.sum, to.sum);
    Some(Histogram { layout: std::sync::Arc::clone(from.layout), hint: from.hint, sum, counts })
}
