//! Where buckets lie.

/// The schema whose bucket bounds are listed instead of computed.
pub const CUSTOM_SCHEMA: i32 = -53;

/// A run of neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Distance from the end of the run before, or of the first run from bucket 0.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

impl Span {
    /// A run of `length` buckets, `offset` behind the one before.
    #[must_use]
    pub const fn new(offset: i32, length: u32) -> Self {
        Self { offset, length }
    }
}

/// Everything about a histogram's buckets but their counts.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// Resolution: −4 to 8 buckets a doubling as powers of two; [`CUSTOM_SCHEMA`] for listed
    /// bounds.
    pub schema: i32,
    /// Observations of at most this size count as zero.
    pub zero_threshold: f64,
    /// Buckets of observations above zero; those of listed bounds too.
    pub positive: Vec<Span>,
    /// Buckets of observations below zero.
    pub negative: Vec<Span>,
    /// Upper bounds of the buckets of [`CUSTOM_SCHEMA`], ascending, without +Inf.
    pub custom_bounds: Vec<f64>,
}

/// Floats compare by their bits.
impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive == other.positive
            && self.negative == other.negative
            && self.has_bounds_of(other)
    }
}

impl Eq for Layout {}

impl Layout {
    /// True if the bounds are listed.
    #[must_use]
    pub const fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// True if both list the same bounds, bit for bit.
    #[must_use]
    pub fn has_bounds_of(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.custom_bounds, &other.custom_bounds);
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
    }

    /// How many positive buckets the spans name; saturates.
    #[must_use]
    pub fn positive_len(&self) -> usize {
        bucket_count(&self.positive)
    }

    /// How many negative buckets the spans name; saturates.
    #[must_use]
    pub fn negative_len(&self) -> usize {
        bucket_count(&self.negative)
    }

    /// How many buckets there are.
    #[must_use]
    pub fn bucket_len(&self) -> usize {
        self.positive_len().saturating_add(self.negative_len())
    }
}

fn bucket_count(spans: &[Span]) -> usize {
    spans.iter().fold(0, |count: usize, span| count.saturating_add(span.length as usize))
}
