//! Where a bucket begins and ends, computed as Prometheus computes it, to the bit.

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

/// Upper bounds of the buckets of schema 8 between a half and one, in that order. Those of every
/// lower schema are among them.
const FRACTIONS: [f64; 256] = fractions();

/// What a bound is above the one before it, in schema 1 to 8. Not the nearest numbers in each
/// case, but those from which the bounds of every client and server were computed.
#[expect(clippy::approx_constant, reason = "one below the nearest number to the root of 2")]
const FACTORS: [f64; 8] = [
    1.414213562373095,
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

#[expect(clippy::indexing_slicing, reason = "runs when the crate is compiled")]
const fn fractions() -> [f64; 256] {
    let mut bounds = [0.5; 256];
    let mut schema = 0;
    // Every other bound of a schema is one of the schema below, which was computed in fewer steps.
    while schema < FACTORS.len() {
        let step = 128 >> schema;
        let mut place = step;
        while place < bounds.len() {
            bounds[place] = bounds[place - step] * FACTORS[schema];
            place += 2 * step;
        }
        schema += 1;
    }
    bounds
}

/// `fraction * 2^exponent`, rounded once.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    let power = |exponent: i64| f64::from_bits(((exponent + 1023) as u64) << 52);
    match exponent {
        1024.. => fraction * power(1023) * power((exponent - 1023).min(1023)),
        -1022.. => fraction * power(exponent),
        -2022.. => fraction * power(-1000) * power(exponent + 1000),
        _ => 0.0,
    }
}

/// The upper bound of the positive bucket `index` of a schema from -4 to 8.
fn exponential_bound(schema: i32, index: i64) -> f64 {
    let (fraction, exponent) = if schema < 0 {
        (0.5, (index << schema.unsigned_abs().min(4)).saturating_add(1))
    } else {
        let schema = schema.min(8);
        let place = (index & ((1 << schema) - 1)) << (8 - schema);
        let fraction = FRACTIONS.get(place as usize).copied().unwrap_or(0.5);
        (fraction, (index >> schema) + 1)
    };
    // The last bucket of finite numbers ends with the largest of them; the one behind it holds
    // the infinite ones.
    if fraction == 0.5 && exponent == 1025 { f64::MAX } else { scaled(fraction, exponent) }
}

impl Layout {
    fn bound(&self, index: i64) -> f64 {
        if !self.is_custom() {
            return exponential_bound(self.schema, index);
        }
        match usize::try_from(index) {
            Ok(index) => self.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }

    /// The positive buckets in the order of their counts, which ascends.
    pub fn positive_buckets(&self) -> impl Iterator<Item = Bucket> {
        indices(&self.positive).map(|index| {
            let (lower, upper) = (self.bound(index - 1), self.bound(index));
            let is_custom = self.is_custom();
            Bucket { lower, upper, has_lower: is_custom && index == 0, has_upper: true }
        })
    }

    /// The negative buckets in the order of their counts, which descends.
    pub fn negative_buckets(&self) -> impl Iterator<Item = Bucket> {
        indices(&self.negative).map(|index| Bucket {
            lower: -self.bound(index),
            upper: -self.bound(index - 1),
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

    #[test]
    fn bounds_are_those_that_prometheus_shows() {
        let close = |schema: i32, index: i64, exact: f64| {
            let bound = exponential_bound(schema, index);
            assert!((bound / exact - 1.0).abs() < 1e-13, "{schema} {index}: {bound} {exact}");
        };
        for schema in 0..=8 {
            for index in -300..300 {
                close(schema, index, (index as f64 / f64::from(1 << schema)).exp2());
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
        assert_eq!(exponential_bound(-4, i64::from(i32::MAX)), f64::INFINITY);
        assert_eq!(exponential_bound(-4, i64::from(i32::MIN)), 0.0);
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
