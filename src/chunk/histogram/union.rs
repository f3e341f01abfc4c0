//! Buckets of two layouts side by side.

use crate::chunk::ChunkError;
use crate::model::histogram::Span;

/// A bucket that one of two histograms has or both: its position in the counts of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) old: Option<usize>,
    pub(super) new: Option<usize>,
}

/// All buckets that at least one of two lists of spans has.
#[derive(Debug, Default)]
pub(super) struct Union {
    /// The buckets of both, in runs as long as can be.
    pub(super) spans: Vec<Span>,
    /// In order.
    pub(super) pairs: Vec<Pair>,
    /// True if the new ones have a bucket that the old ones have not.
    pub(super) old_lacks: bool,
    /// True if the old ones have a bucket that the new ones have not.
    pub(super) new_lacks: bool,
}

/// The bucket numbers that spans name.
fn buckets(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0_i64;
    spans.iter().flat_map(move |span| {
        let from = next + i64::from(span.offset);
        next = from + i64::from(span.length);
        from..next
    })
}

impl Union {
    /// Lays the buckets of both side by side. Each list names no more buckets than were counted,
    /// and ascends.
    pub(super) fn of(old: &[Span], new: &[Span]) -> Result<Self, ChunkError> {
        let mut union = Self::default();
        let (mut olds, mut news) = (buckets(old).enumerate(), buckets(new).enumerate());
        let (mut old, mut new) = (olds.next(), news.next());
        let mut end = 0_i64;
        loop {
            let order = match (old, new) {
                (None, None) => return Ok(union),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(old), Some(new)) => old.1.cmp(&new.1),
            };
            let old_here = old.filter(|_| order.is_le());
            let new_here = new.filter(|_| order.is_ge());
            union.old_lacks |= old_here.is_none();
            union.new_lacks |= new_here.is_none();
            if let Some((_, bucket)) = old_here.or(new_here) {
                union.add_bucket(bucket, end)?;
                end = bucket + 1;
            }
            let position = |at: Option<(usize, i64)>| at.map(|(position, _)| position);
            union.pairs.push(Pair { old: position(old_here), new: position(new_here) });
            old = if old_here.is_some() { olds.next() } else { old };
            new = if new_here.is_some() { news.next() } else { new };
        }
    }

    /// Adds a bucket behind the others, which end at `end`.
    fn add_bucket(&mut self, bucket: i64, end: i64) -> Result<(), ChunkError> {
        match self.spans.last_mut() {
            Some(last) if bucket == end => last.length += 1,
            _ => {
                let offset = i32::try_from(bucket - end);
                let offset = offset.map_err(|_| ChunkError::Malformed("buckets too far apart"))?;
                self.spans.push(Span { offset, length: 1 });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(parts: &[(i32, u32)]) -> Vec<Span> {
        parts.iter().map(|(offset, length)| Span::new(*offset, *length)).collect()
    }

    #[test]
    fn buckets_of_both_are_in_order() {
        // Buckets 0 1 4 against 1 2 3 4 7.
        let union = Union::of(&spans(&[(0, 2), (2, 1)]), &spans(&[(1, 4), (2, 1)])).unwrap();
        assert_eq!(union.spans, spans(&[(0, 5), (2, 1)]));
        assert!(union.old_lacks && union.new_lacks);
        let olds: Vec<_> = union.pairs.iter().map(|pair| pair.old).collect();
        let news: Vec<_> = union.pairs.iter().map(|pair| pair.new).collect();
        assert_eq!(olds, [Some(0), Some(1), None, None, Some(2), None]);
        assert_eq!(news, [None, Some(0), Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn the_same_buckets_in_other_spans_lack_nothing() {
        let union = Union::of(&spans(&[(-3, 2), (0, 0), (0, 2)]), &spans(&[(-3, 4)])).unwrap();
        assert_eq!(union.spans, spans(&[(-3, 4)]));
        assert!(!union.old_lacks && !union.new_lacks);
    }
}
