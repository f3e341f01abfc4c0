//! An example of what was counted.

use super::labels::Labels;

/// One observation that was counted into a sample, with a pointer to where it came from, such as
/// a trace's id.
#[derive(Debug, Clone)]
pub struct Exemplar {
    /// What tells where to look; at most 128 characters of names and values.
    pub labels: Labels,
    /// The value that was observed.
    pub value: f64,
    /// When it was observed.
    pub timestamp_ms: i64,
}

impl Exemplar {
    /// Longest allowed sum of the characters of all names and values.
    pub const CHARS_MAX: usize = 128;

    /// True if the labels are not longer than allowed.
    #[must_use]
    pub fn is_short_enough(&self) -> bool {
        let chars = |text: &str| text.chars().count();
        let all = self.labels.iter().map(|(name, value)| chars(name) + chars(value));
        all.sum::<usize>() <= Self::CHARS_MAX
    }
}

/// Values compare by their bits.
impl PartialEq for Exemplar {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
            && self.value.to_bits() == other.value.to_bits()
            && self.timestamp_ms == other.timestamp_ms
    }
}
