//! Buckets of one resolution in another.

pub(super) use crate::model::histogram::powers::bound;

/// Where a bucket of `from` lies in the coarser schema `to`.
pub(super) const fn coarser(index: i32, from: i32, to: i32) -> i32 {
    let shift = if from > to { from - to } else { 0 };
    (index.wrapping_sub(1) >> if shift > 31 { 31 } else { shift }).wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarser_bucket_ends_where_one_of_its_parts_does() {
        for index in -40..40 {
            let end = coarser(index, 3, 1);
            assert!(bound(end, 1) >= bound(index, 3) && bound(end - 1, 1) < bound(index, 3));
        }
        assert_eq!(coarser(7, 2, 2), 7);
    }
}
