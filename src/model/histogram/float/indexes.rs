//! From spans to the indexes of buckets and back.

use crate::model::histogram::Span;

/// The indexes of the buckets that spans name, in the order of their counts. There may be far
/// more than counts: take no more than those.
pub(super) fn indexes(spans: &[Span]) -> impl Iterator<Item = i32> + '_ {
    let mut next = 0_i64;
    spans.iter().flat_map(move |span| {
        let from = next + i64::from(span.offset);
        next = from + i64::from(span.length);
        (from..next).map(|index| index.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
    })
}

/// The index of the bucket whose count stands at `position`.
pub(super) fn index_at(spans: &[Span], position: usize) -> i32 {
    let (mut next, mut rest) = (0_i64, position as u64);
    for span in spans {
        next += i64::from(span.offset);
        if rest < u64::from(span.length) {
            next += rest as i64;
            break;
        }
        rest -= u64::from(span.length);
        next += i64::from(span.length);
    }
    next.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// The fewest spans that name these buckets, which ascend.
pub(super) fn spans(indexes: impl IntoIterator<Item = i32>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut end = 0_i32;
    for index in indexes {
        match spans.last_mut() {
            Some(span) if index == end => span.length += 1,
            _ => spans.push(Span::new(index.wrapping_sub(end), 1)),
        }
        end = index.wrapping_add(1);
    }
    spans
}

/// True if these are the fewest spans for what they name.
pub(super) fn are_fewest(spans: &[Span]) -> bool {
    spans.iter().all(|span| span.length > 0) && spans.iter().skip(1).all(|span| span.offset != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_name_what_they_were_made_of(
            set in prop::collection::btree_set(-50_i32..50, 0..40)
        ) {
            let made = spans(set.iter().copied());
            prop_assert!(are_fewest(&made));
            prop_assert!(indexes(&made).eq(set.iter().copied()));
            for (position, index) in set.iter().enumerate() {
                prop_assert_eq!(index_at(&made, position), *index);
            }
        }
    }

    #[test]
    fn absurd_spans_do_no_harm() {
        let absurd = [Span::new(i32::MAX, u32::MAX), Span::new(i32::MAX, u32::MAX)];
        assert_eq!(indexes(&absurd).nth(3), Some(i32::MAX));
        assert_eq!(index_at(&absurd, usize::MAX), i32::MAX);
    }
}
