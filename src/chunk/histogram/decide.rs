//! Whether a histogram goes into a chunk.

use crate::chunk::ChunkError;
use crate::model::histogram::{CountsRef, HistogramRef, Layout, ResetHint};

use super::append::HistogramAppender;
use super::union::{Pair, Union};

/// How a histogram goes into a chunk.
pub(super) enum Fit {
    /// It has the chunk's buckets.
    AsIs,
    /// Its buckets differ from the chunk's.
    Spread(Spread),
    /// It begins the next chunk, whose header says this.
    NextChunk(ResetHint),
}

/// Where the buckets of a chunk and of a histogram lie in those of both.
pub(super) struct Spread {
    /// The layout that the chunk must get first, if it lacks buckets of the histogram.
    pub(super) layout: Option<Layout>,
    /// Positions in the counts, positive buckets first.
    pub(super) pairs: Vec<Pair>,
}

impl HistogramAppender {
    /// Decides as Prometheus's `appendable` and `appendableGauge` do.
    pub(super) fn fit(&self, histogram: HistogramRef<'_>) -> Result<Fit, ChunkError> {
        let is_gauge = histogram.hint == ResetHint::Gauge;
        if is_gauge != (self.reset() == ResetHint::Gauge) {
            // A counter behind a gauge is no reset, says Prometheus.
            let header = if is_gauge { ResetHint::Gauge } else { ResetHint::NotReset };
            return Ok(Fit::NextChunk(header));
        }
        let unknown = if is_gauge { ResetHint::Gauge } else { ResetHint::Unknown };
        let reset = if is_gauge { ResetHint::Gauge } else { ResetHint::Reset };
        if histogram.hint == ResetHint::Reset {
            return Ok(Fit::NextChunk(ResetHint::Reset));
        }
        if histogram.is_stale() {
            return Ok(Fit::AsIs);
        }
        if self.last().is_stale() {
            return Ok(Fit::NextChunk(unknown));
        }
        let (old, new) = (self.layout(), histogram.layout);
        if !is_gauge && is_less(histogram.counts, self.counts(), Total::Count) {
            return Ok(Fit::NextChunk(ResetHint::Reset));
        }
        if old.schema != new.schema || old.zero_threshold != new.zero_threshold {
            return Ok(Fit::NextChunk(unknown));
        }
        if old.is_custom() && old.custom_bounds != new.custom_bounds {
            return Ok(Fit::NextChunk(reset));
        }
        if !is_gauge && is_less(histogram.counts, self.counts(), Total::Zero) {
            return Ok(Fit::NextChunk(ResetHint::Reset));
        }
        self.fit_buckets(histogram, is_gauge)
    }

    fn fit_buckets(&self, histogram: HistogramRef<'_>, is_gauge: bool) -> Result<Fit, ChunkError> {
        let (old, new) = (self.layout(), histogram.layout);
        if old.positive == new.positive && old.negative == new.negative {
            let sinks = !is_gauge && any_bucket_sinks(self.counts(), histogram.counts);
            return Ok(if sinks { Fit::NextChunk(ResetHint::Reset) } else { Fit::AsIs });
        }
        let positive = Union::of(&old.positive, &new.positive)?;
        let negative = Union::of(&old.negative, &new.negative)?;
        let (old_positive, new_positive) = (old.positive_len(), new.positive_len());
        let behind_positive = negative.pairs.iter().map(|pair| Pair {
            old: pair.old.map(|position| position + old_positive),
            new: pair.new.map(|position| position + new_positive),
        });
        let pairs: Vec<Pair> = positive.pairs.iter().copied().chain(behind_positive).collect();
        if !is_gauge && any_pair_sinks(&pairs, self.counts(), histogram.counts) {
            return Ok(Fit::NextChunk(ResetHint::Reset));
        }
        let old_lacks = positive.old_lacks || negative.old_lacks;
        let new_lacks = positive.new_lacks || negative.new_lacks;
        if !old_lacks && !new_lacks {
            return Ok(Fit::AsIs);
        }
        // Which spans say the same buckets is visible in the bytes: Prometheus keeps those of the
        // histogram where it can.
        let spans = |union: Union, new: &Vec<_>| {
            let is_union = union.new_lacks || is_gauge && new_lacks;
            if is_union { union.spans } else { new.clone() }
        };
        let layout = old_lacks.then(|| Layout {
            schema: old.schema,
            zero_threshold: old.zero_threshold,
            positive: spans(positive, &new.positive),
            negative: spans(negative, &new.negative),
            custom_bounds: old.custom_bounds.clone(),
        });
        Ok(Fit::Spread(Spread { layout, pairs }))
    }
}

#[derive(Clone, Copy)]
enum Total {
    Count,
    Zero,
}

/// True if a total of the first is below that of the second.
fn is_less(new: CountsRef<'_>, old: CountsRef<'_>, total: Total) -> bool {
    match (new, old) {
        (
            CountsRef::Integer { count: new, zero_count: new_zero, .. },
            CountsRef::Integer { count: old, zero_count: old_zero, .. },
        ) => match total {
            Total::Count => new < old,
            Total::Zero => new_zero < old_zero,
        },
        (
            CountsRef::Float { count: new, zero_count: new_zero, .. },
            CountsRef::Float { count: old, zero_count: old_zero, .. },
        ) => match total {
            Total::Count => new < old,
            Total::Zero => new_zero < old_zero,
        },
        _ => false,
    }
}

/// True if a bucket is lower than it was, of the same buckets.
fn any_bucket_sinks(old: CountsRef<'_>, new: CountsRef<'_>) -> bool {
    match (old, new) {
        (CountsRef::Integer { buckets: old, .. }, CountsRef::Integer { buckets: new, .. }) => {
            old.iter().zip(new).any(|(old, new)| old > new)
        }
        (CountsRef::Float { buckets: old, .. }, CountsRef::Float { buckets: new, .. }) => {
            old.iter().zip(new).any(|(old, new)| old > new)
        }
        _ => false,
    }
}

/// True if a bucket is lower than it was, or is gone and was not empty.
fn any_pair_sinks(pairs: &[Pair], old: CountsRef<'_>, new: CountsRef<'_>) -> bool {
    match (old, new) {
        (CountsRef::Integer { buckets: old, .. }, CountsRef::Integer { buckets: new, .. }) => {
            pairs.iter().any(|pair| pair_sinks(*pair, old, new))
        }
        (CountsRef::Float { buckets: old, .. }, CountsRef::Float { buckets: new, .. }) => {
            pairs.iter().any(|pair| pair_sinks(*pair, old, new))
        }
        _ => false,
    }
}

fn pair_sinks<T: Copy + Default + PartialOrd>(pair: Pair, old: &[T], new: &[T]) -> bool {
    let Some(old) = pair.old.and_then(|position| old.get(position)) else { return false };
    match pair.new.and_then(|position| new.get(position)) {
        Some(new) => old > new,
        None => *old != T::default(),
    }
}
