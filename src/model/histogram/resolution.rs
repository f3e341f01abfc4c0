//! Fewer, wider buckets.

use super::layout::{Layout, Span};

impl Layout {
    /// Brings computed buckets to a coarser schema: each becomes part of the one that covers it.
    /// The counts in `integers` and `floats` (the one of them that is used) follow; positive
    /// buckets stand first in them. Does nothing if the schema is not finer than `schema`, if the
    /// bounds are listed, or if there are more or fewer counts than the spans name.
    pub fn reduce(&mut self, schema: i32, integers: &mut Vec<i64>, floats: &mut Vec<f64>) {
        let Some(shift) = self.schema.checked_sub(schema).filter(|shift| *shift > 0) else {
            return;
        };
        // Counts that are not those of the spans cannot be put together.
        if self.is_custom() || self.bucket_len() != integers.len().max(floats.len()) {
            return;
        }
        self.schema = schema;
        let positive_len = self.positive_len();
        let mut out = 0;
        for (spans, from) in [(&mut self.positive, 0), (&mut self.negative, positive_len)] {
            let mut coarse: Vec<Span> = Vec::with_capacity(spans.len());
            let mut last_index = None;
            each_bucket(spans, |place, index| {
                let index = coarse_index(index, shift);
                let place = from + place;
                if last_index == Some(index) {
                    add(integers, floats, place, out - 1);
                    return;
                }
                match coarse.last_mut().filter(|_| last_index == index.checked_sub(1)) {
                    Some(span) => span.length += 1,
                    None => {
                        let offset = last_index.map_or(index, |last: i64| index - last - 1);
                        coarse.push(Span::new(offset as i32, 1));
                    }
                }
                last_index = Some(index);
                set(integers, floats, place, out);
                out += 1;
            });
            *spans = coarse;
        }
        integers.truncate(out);
        floats.truncate(out);
    }
}

/// The bucket of the coarser schema that covers this one. A bucket holds its upper bound.
const fn coarse_index(index: i64, shift: i32) -> i64 {
    let shift = if shift > 62 { 62 } else { shift };
    ((index - 1) >> shift) + 1
}

fn each_bucket(spans: &[Span], mut each: impl FnMut(usize, i64)) {
    let (mut place, mut index) = (0, 0_i64);
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            each(place, index);
            place += 1;
            index += 1;
        }
    }
}

fn set(integers: &mut [i64], floats: &mut [f64], from: usize, to: usize) {
    if let Some(value) = integers.get(from).copied()
        && let Some(slot) = integers.get_mut(to)
    {
        *slot = value;
    }
    if let Some(value) = floats.get(from).copied()
        && let Some(slot) = floats.get_mut(to)
    {
        *slot = value;
    }
}

fn add(integers: &mut [i64], floats: &mut [f64], from: usize, to: usize) {
    if let Some(value) = integers.get(from).copied()
        && let Some(slot) = integers.get_mut(to)
    {
        *slot = slot.wrapping_add(value);
    }
    if let Some(value) = floats.get(from).copied()
        && let Some(slot) = floats.get_mut(to)
    {
        *slot += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_added_and_gaps_shrink() {
        let mut layout = Layout {
            schema: 10,
            positive: vec![Span::new(-3, 4), Span::new(9, 2)],
            negative: vec![Span::new(1, 2)],
            ..Layout::default()
        };
        // Buckets -3..=0, 10, 11; of the other side 1, 2.
        let mut integers = vec![1, 2, 3, 4, 5, 6, 7, 8];
        layout.reduce(8, &mut integers, &mut Vec::new());
        assert_eq!(layout.schema, 8);
        // -3..=0 are bucket 0, 10 and 11 are bucket 3; 1 and 2 are bucket 1.
        assert_eq!(layout.positive, [Span::new(0, 1), Span::new(2, 1)]);
        assert_eq!(layout.negative, [Span::new(1, 1)]);
        assert_eq!(integers, [10, 11, 15]);
    }

    #[test]
    fn neighbours_in_the_coarser_schema_share_a_span() {
        let positive = vec![Span::new(1, 1), Span::new(1, 1), Span::new(1, 3)];
        let mut layout = Layout { schema: 9, positive, ..Layout::default() };
        // Buckets 1, 3, 5, 6, 7.
        let mut floats = vec![1.0, 2.0, 3.0, 4.0, 5.0];
        layout.reduce(8, &mut Vec::new(), &mut floats);
        assert_eq!(layout.positive, [Span::new(1, 4)]);
        assert_eq!(floats, [1.0, 2.0, 7.0, 5.0]);
        let before = layout.clone();
        layout.reduce(8, &mut Vec::new(), &mut floats);
        assert_eq!((layout, floats.len()), (before, 4));
    }
}
