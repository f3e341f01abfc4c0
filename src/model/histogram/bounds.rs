//! Where the buckets of a layout begin and end.

use super::layout::{Layout, Span};

/// One bucket and its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// True if the lower bound itself is in the bucket.
    pub has_lower: bool,
    /// True if the upper bound itself is in the bucket.
    pub has_upper: bool,
}

impl Layout {
    /// As [`Layout::bound`]; spans may lead beyond what an index can be.
    fn bound_at(&self, index: i64) -> f64 {
        self.bound(index.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
    }

    /// The positive buckets in the order of their counts, which ascends.
    pub fn positive_buckets(&self) -> impl Iterator<Item = Bucket> {
        indices(&self.positive).map(|index| {
            let (lower, upper) = (self.bound_at(index - 1), self.bound_at(index));
            let is_custom = self.is_custom();
            Bucket { lower, upper, has_lower: is_custom && index == 0, has_upper: true }
        })
    }

    /// The negative buckets in the order of their counts, which descends.
    pub fn negative_buckets(&self) -> impl Iterator<Item = Bucket> {
        indices(&self.negative).map(|index| Bucket {
            lower: -self.bound_at(index),
            upper: -self.bound_at(index - 1),
            has_lower: true,
            has_upper: false,
        })
    }

    /// The bucket around zero.
    #[must_use]
    pub fn zero_bucket(&self) -> Bucket {
        let (lower, upper) = (-self.zero_threshold, self.zero_threshold);
        Bucket { lower, upper, has_lower: true, has_upper: true }
    }
}

/// Numbers of the buckets of some spans.
fn indices(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut end = 0_i64;
    spans.iter().flat_map(move |span| {
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        start..end
    })
}

#[cfg(test)]
mod tests {
    use super::super::CUSTOM_SCHEMA;
    use super::*;

    fn exponential_bound(schema: i32, index: i32) -> f64 {
        Layout { schema, ..Layout::default() }.bound(index)
    }

    #[test]
    fn bounds_are_those_that_prometheus_shows() {
        let close = |schema: i32, index: i32, exact: f64| {
            let bound = exponential_bound(schema, index);
            assert!((bound / exact - 1.0).abs() < 1e-13, "{schema} {index}: {bound} {exact}");
        };
        for schema in 0..=8 {
            for index in -300..300 {
                close(schema, index, (f64::from(index) / f64::from(1 << schema)).exp2());
            }
        }
        assert_eq!(exponential_bound(1, 1), 0.7071067811865475 * 2.0);
        assert_eq!(exponential_bound(3, -1), 0.9170040432046711);
        assert_eq!(exponential_bound(3, 3), 1.2968395546510096);
        assert_eq!(exponential_bound(8, 255), 0.9972960560854698 * 2.0);
        assert_eq!(exponential_bound(0, 3), 8.0);
        assert_eq!(exponential_bound(-2, 2), 256.0);
        assert_eq!(exponential_bound(-4, -1), 1.0 / 65536.0);
    }

    #[test]
    fn bounds_at_the_ends_of_floats_are_kept_apart() {
        assert_eq!(exponential_bound(0, 1024), f64::MAX);
        assert_eq!(exponential_bound(0, 1025), f64::INFINITY);
        assert_eq!(exponential_bound(-1, 512), f64::MAX);
        assert_eq!(exponential_bound(8, 1024 << 8), f64::MAX);
        assert_eq!(exponential_bound(0, -1074), 5e-324);
        assert_eq!(exponential_bound(0, -1080), 0.0);
        assert_eq!(exponential_bound(-4, i32::MAX), f64::INFINITY);
        assert_eq!(exponential_bound(-4, i32::MIN), 0.0);
    }

    #[test]
    fn listed_bounds_begin_below_everything() {
        let layout = Layout {
            schema: CUSTOM_SCHEMA,
            positive: vec![Span::new(0, 1), Span::new(1, 1)],
            custom_bounds: vec![1.0, 2.0],
            ..Layout::default()
        };
        let buckets: Vec<Bucket> = layout.positive_buckets().collect();
        let (first, last) = (buckets[0], buckets[1]);
        assert_eq!((first.lower, first.upper, first.has_lower), (f64::NEG_INFINITY, 1.0, true));
        assert_eq!((last.lower, last.upper, last.has_lower), (2.0, f64::INFINITY, false));
    }
}
