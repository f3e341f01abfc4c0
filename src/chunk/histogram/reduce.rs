//! Resolutions that only newer versions know, made coarser.
//!
//! Prometheus reserves the schemas 9 to 52 and reads them as 8: each bucket goes into the one
//! that holds it there.

use std::sync::Arc;

use crate::chunk::ChunkError;
use crate::model::histogram::{Counts, CountsRef, Layout, Span};

use super::layout::UNKNOWN_SCHEMA;

/// The finest resolution that is known.
const SCHEMA_MAX: i32 = 8;

/// A layout of a reserved schema in the finest known one.
pub(super) struct Reduction {
    layout: Arc<Layout>,
    /// For each bucket the position of the one that it goes into.
    positions: Vec<usize>,
}

impl Reduction {
    /// What is to be done with samples of a layout; `None` if nothing.
    pub(super) fn of(layout: &Layout) -> Result<Option<Self>, ChunkError> {
        let schema = layout.schema;
        if layout.is_custom() || (-4..=SCHEMA_MAX).contains(&schema) {
            return Ok(None);
        }
        if !(SCHEMA_MAX + 1..=52).contains(&schema) {
            return Err(UNKNOWN_SCHEMA);
        }
        let shift = (schema - SCHEMA_MAX) as u32;
        let mut positions = Vec::new();
        let positive = reduce(&layout.positive, shift, 0, &mut positions)?;
        let offset = positive.iter().map(|span| span.length as usize).sum();
        let negative = reduce(&layout.negative, shift, offset, &mut positions)?;
        let zero_threshold = layout.zero_threshold;
        let layout = Layout {
            schema: SCHEMA_MAX,
            zero_threshold,
            positive,
            negative,
            custom_bounds: Vec::new(),
        };
        Ok(Some(Self { layout: Arc::new(layout), positions }))
    }

    pub(super) fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    /// The counts in the coarser buckets.
    pub(super) fn counts(&self, counts: CountsRef<'_>) -> Counts {
        let bucket_len = self.layout.bucket_len();
        match counts {
            CountsRef::Integer { count, zero_count, buckets: fine } => {
                let mut buckets = vec![0_i64; bucket_len];
                for (from, position) in fine.iter().zip(&self.positions) {
                    if let Some(into) = buckets.get_mut(*position) {
                        *into = into.wrapping_add(*from);
                    }
                }
                Counts::Integer { count, zero_count, buckets }
            }
            CountsRef::Float { count, zero_count, buckets: fine } => {
                let mut buckets = vec![0.0; bucket_len];
                for (from, position) in fine.iter().zip(&self.positions) {
                    if let Some(into) = buckets.get_mut(*position) {
                        *into += *from;
                    }
                }
                Counts::Float { count, zero_count, buckets }
            }
        }
    }
}

/// The spans of the coarser buckets; adds where each bucket goes, counted from `offset`.
fn reduce(
    spans: &[Span],
    shift: u32,
    offset: usize,
    positions: &mut Vec<usize>,
) -> Result<Vec<Span>, ChunkError> {
    const TOO_FAR: ChunkError = ChunkError::Malformed("spans out of order");
    let mut reduced: Vec<Span> = Vec::new();
    let (mut bucket, mut end, mut count) = (0_i64, 0_i64, 0_usize);
    for (index, span) in spans.iter().enumerate() {
        if index > 0 && span.offset < 0 {
            return Err(TOO_FAR);
        }
        bucket += i64::from(span.offset);
        for _ in 0..span.length {
            // Bucket 0 ends at 1 in every schema, so numbers are counted from 1.
            let coarse = ((bucket - 1) >> shift) + 1;
            match reduced.last_mut() {
                Some(_) if coarse + 1 == end => count -= 1,
                Some(last) if coarse == end => last.length += 1,
                _ => {
                    let offset = i32::try_from(coarse - end).map_err(|_| TOO_FAR)?;
                    reduced.push(Span { offset, length: 1 });
                }
            }
            positions.push(offset + count);
            (end, count) = (coarse + 1, count + 1);
            bucket += 1;
        }
    }
    Ok(reduced)
}
