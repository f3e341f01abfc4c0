//! One layout for all histograms that have an equal one.

use std::sync::Arc;

use super::layout::{Layout, Span};

/// Layouts that were seen, at the place that their hash names: the histograms of one scrape
/// repeat with the next, and all of them share what stands here. A bounded memory; what it forgets
/// is only made anew.
#[derive(Debug, Default)]
pub struct SharedLayouts(Vec<Option<Arc<Layout>>>);

/// Layouts that are kept.
const KEPT: usize = 1024;

impl SharedLayouts {
    /// None seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An equal layout that others share.
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    pub fn share(&mut self, layout: &Layout) -> &Arc<Layout> {
        if self.0.is_empty() {
            self.0.resize(KEPT, None);
        }
        let slot = &mut self.0[(hash(layout) % KEPT as u64) as usize];
        if slot.as_deref().is_none_or(|known| known != layout) {
            *slot = None;
        }
        slot.get_or_insert_with(|| Arc::new(layout.clone()))
    }
}

fn hash(layout: &Layout) -> u64 {
    let mix =
        |hash: u64, value: u64| (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let span = |span: &Span| u64::from(span.offset as u32) << 32 | u64::from(span.length);
    let mut found = mix(layout.schema as u64, layout.zero_threshold.to_bits());
    for spans in [&layout.positive, &layout.negative] {
        found = mix(found, spans.len() as u64);
        found = spans.iter().map(span).fold(found, mix);
    }
    let bounds = layout.custom_bounds.iter().map(|bound| bound.to_bits());
    let found = bounds.fold(found, mix);
    found ^ (found >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_layouts_are_one_and_others_are_not() {
        let mut shared = SharedLayouts::new();
        let layouts: Vec<Layout> = (0..5000)
            .map(|number| Layout { positive: vec![Span::new(number, 3)], ..Layout::default() })
            .collect();
        let first = Arc::clone(shared.share(&layouts[0]));
        assert!(Arc::ptr_eq(&first, shared.share(&layouts[0].clone())));
        for layout in &layouts {
            assert_eq!(**shared.share(layout), *layout);
        }
    }
}
