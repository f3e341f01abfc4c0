//! A histogram as Prometheus prints it.

use std::fmt;

use crate::base::gonum::format_float_g;

use super::bounds::Bucket;
use super::one::{CountsRef, Histogram, HistogramRef};

/// A float as Go's `%g` and `%v` print it.
struct Go(f64);

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        format_float_g(&mut text, self.0);
        f.write_str(&text)
    }
}

/// The count of a bucket of either kind.
#[derive(Clone, Copy)]
enum Count {
    Integer(u64),
    Float(f64),
}

impl Count {
    fn is_zero(self) -> bool {
        match self {
            Self::Integer(count) => count == 0,
            Self::Float(count) => count == 0.0,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(count) => count.fmt(f),
            Self::Float(count) => Go(*count).fmt(f),
        }
    }
}

fn put(f: &mut fmt::Formatter<'_>, bucket: Bucket, count: Count) -> fmt::Result {
    if count.is_zero() {
        return Ok(());
    }
    let opening = if bucket.has_lower { '[' } else { '(' };
    let closing = if bucket.has_upper { ']' } else { ')' };
    write!(f, ", {opening}{},{}{closing}:{count}", Go(bucket.lower), Go(bucket.upper))
}

/// `{count:3, sum:1.5, [-0.001,0.001]:1, (0.5,1]:2}`, buckets without observations left out.
impl fmt::Display for HistogramRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, zero_count) = match self.counts {
            CountsRef::Integer { count, zero_count, .. } => {
                (Count::Integer(count), Count::Integer(zero_count))
            }
            CountsRef::Float { count, zero_count, .. } => {
                (Count::Float(count), Count::Float(zero_count))
            }
        };
        let bucket = |index: usize| match self.counts {
            CountsRef::Integer { buckets, .. } => {
                Count::Integer(buckets.get(index).copied().unwrap_or(0) as u64)
            }
            CountsRef::Float { buckets, .. } => {
                Count::Float(buckets.get(index).copied().unwrap_or(0.0))
            }
        };
        write!(f, "{{count:{count}, sum:{}", Go(self.sum))?;
        let len = self.counts.bucket_len();
        let positive = self.layout.positive_len().min(len);
        let negative: Vec<Bucket> = self.layout.negative_buckets().take(len - positive).collect();
        for (index, one) in negative.into_iter().enumerate().rev() {
            put(f, one, bucket(positive + index))?;
        }
        put(f, self.layout.zero_bucket(), zero_count)?;
        for (index, one) in self.layout.positive_buckets().take(positive).enumerate() {
            put(f, one, bucket(index))?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{CUSTOM_SCHEMA, Counts, Layout, ResetHint, Span};
    use super::*;

    #[test]
    fn a_histogram_is_printed_as_prometheus_prints_it() {
        let spans = vec![Span::new(-2, 3), Span::new(2, 2)];
        let (positive, negative) = (spans.clone(), spans);
        let layout =
            Layout { schema: 3, zero_threshold: 0.001, positive, negative, ..Layout::default() };
        let buckets = vec![3.0, 9.0, 0.0, 19.5, 24.0, 3.0, 9.0, 13.5, 19.5, 24.0];
        let counts = Counts::Float { count: 142.5, zero_count: 4.5, buckets };
        let layout = Arc::new(layout);
        let one = Histogram { layout, hint: ResetHint::Unknown, sum: 18.9, counts };
        assert_eq!(
            one.to_string(),
            "{count:142.5, sum:18.9, [-1.414213562373095,-1.2968395546510096):24, \
             [-1.2968395546510096,-1.189207115002721):19.5, [-1,-0.9170040432046711):13.5, \
             [-0.9170040432046711,-0.8408964152537144):9, \
             [-0.8408964152537144,-0.7711054127039704):3, [-0.001,0.001]:4.5, \
             (0.7711054127039704,0.8408964152537144]:3, \
             (0.8408964152537144,0.9170040432046711]:9, \
             (1.189207115002721,1.2968395546510096]:19.5, \
             (1.2968395546510096,1.414213562373095]:24}"
        );
    }

    #[test]
    fn whole_counts_and_listed_bounds_are_printed_plainly() {
        let layout = Layout {
            schema: CUSTOM_SCHEMA,
            positive: vec![Span::new(0, 3), Span::new(1, 2)],
            custom_bounds: vec![0.1, 0.5, 1.0, 2.5, 10.0],
            ..Layout::default()
        };
        let buckets = vec![2, 4, 1_000_000, 7, 8];
        let counts = Counts::Integer { count: 1_000_021, zero_count: 0, buckets };
        let layout = Arc::new(layout);
        let one = Histogram { layout, hint: ResetHint::Unknown, sum: 2.25, counts };
        assert_eq!(
            one.to_string(),
            "{count:1000021, sum:2.25, [-Inf,0.1]:2, (0.1,0.5]:4, (0.5,1]:1000000, \
             (2.5,10]:7, (10,+Inf]:8}"
        );
        assert_eq!(Histogram::stale(true).to_string(), "{count:0, sum:NaN}");
    }
}
