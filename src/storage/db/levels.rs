//! Which blocks are merged next, from what they say of themselves alone.
//!
//! Blocks grow by factors of three, from the range that is cut from memory up to a largest one:
//! 2 h, 6 h, 18 h. Each lies in a window of its length that begins at a multiple of it.

use ulid::Ulid;

use crate::storage::block::{BlockMeta, BlockParent, Compaction};

/// What makes a block something that is not simply a span of time of all series.
pub(super) const FROM_OUT_OF_ORDER: &str = "from-out-of-order";
const FROM_STALE_SERIES: &str = "from-stale-series";
const FROM_SELECTED_SERIES: &str = "from-selected-series";
/// Blocks with one of these hints lie beside the head's time, not before it.
const BESIDE_THE_HEAD: [&str; 3] = [FROM_OUT_OF_ORDER, FROM_STALE_SERIES, FROM_SELECTED_SERIES];

const LEVELS_MAX: usize = 10;
const FACTOR: i64 = 3;
/// A block of which more than this part of the series has deletions is worth rewriting.
const DELETED_MAX: f64 = 0.05;

fn has_hint(meta: &BlockMeta, hint: &str) -> bool {
    meta.compaction.hints.iter().any(|known| known == hint)
}

/// True if samples of the block's time may be in the log and nowhere else.
pub(super) fn is_beside_the_head(meta: &BlockMeta) -> bool {
    BESIDE_THE_HEAD.iter().any(|hint| has_hint(meta, hint))
}

/// Lengths of blocks, ascending: `smallest_ms`, and what follows up to `largest_ms`.
pub(super) fn ranges_ms(smallest_ms: i64, largest_ms: i64) -> Vec<i64> {
    let next = |range_ms: &i64| range_ms.checked_mul(FACTOR);
    let all = std::iter::successors(Some(smallest_ms), next).take(LEVELS_MAX);
    all.enumerate().take_while(|(i, ms)| *i == 0 || *ms <= largest_ms).map(|(_, ms)| ms).collect()
}

/// The blocks to be merged, or the one to be rewritten, oldest first; none if nothing is to be
/// done. Those that were made of some series only are never mixed with others.
pub(super) fn plan(metas: &[&BlockMeta], ranges_ms: &[i64]) -> Vec<Ulid> {
    let class_of = |meta: &BlockMeta| match () {
        () if has_hint(meta, FROM_STALE_SERIES) => 1,
        () if has_hint(meta, FROM_SELECTED_SERIES) => 2,
        () => 0,
    };
    for class in 0..3 {
        let mut metas: Vec<&BlockMeta> =
            metas.iter().copied().filter(|meta| class_of(meta) == class).collect();
        metas.sort_by_key(|meta| meta.min_time_ms);
        let chosen = plan_class(&metas, ranges_ms);
        if !chosen.is_empty() {
            return chosen.iter().map(|meta| meta.ulid).collect();
        }
    }
    Vec::new()
}

fn plan_class<'a>(metas: &[&'a BlockMeta], ranges_ms: &[i64]) -> Vec<&'a BlockMeta> {
    let overlapping = overlapping(metas);
    if !overlapping.is_empty() {
        return overlapping;
    }
    // The newest stays as it is, so that whoever copies new blocks sees each of them once.
    let Some((_, settled)) = metas.split_last() else { return Vec::new() };
    let neighbours = neighbours(settled, ranges_ms);
    if !neighbours.is_empty() {
        return neighbours;
    }
    much_deleted(settled, ranges_ms).into_iter().collect()
}

/// The first run of blocks that share time. One in which merging failed before is passed over.
fn overlapping<'a>(metas: &[&'a BlockMeta]) -> Vec<&'a BlockMeta> {
    let mut run: Vec<&BlockMeta> = Vec::new();
    let mut end_ms = i64::MIN;
    let is_wanted =
        |run: &[&BlockMeta]| run.len() > 1 && !run.iter().any(|meta| meta.compaction.failed);
    for meta in metas {
        if meta.min_time_ms >= end_ms {
            if is_wanted(&run) {
                return run;
            }
            run.clear();
        }
        run.push(meta);
        end_ms = end_ms.max(meta.max_time_ms);
    }
    if is_wanted(&run) { run } else { Vec::new() }
}

/// The blocks of the first window that is full, or will not get fuller.
fn neighbours<'a>(metas: &[&'a BlockMeta], ranges_ms: &[i64]) -> Vec<&'a BlockMeta> {
    let Some(newest) = metas.last() else { return Vec::new() };
    for range_ms in ranges_ms.iter().skip(1) {
        for group in windows(metas, *range_ms) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let is_full = last.max_time_ms.saturating_sub(first.min_time_ms) == *range_ms;
            let is_past = last.max_time_ms <= newest.min_time_ms;
            let has_failed = group.iter().any(|meta| meta.compaction.failed);
            if group.len() > 1 && (is_full || is_past) && !has_failed {
                return group.to_vec();
            }
        }
    }
    Vec::new()
}

/// The blocks by windows of `range_ms`; those that lie in none are left out.
fn windows<'s, 'a>(metas: &'s [&'a BlockMeta], range_ms: i64) -> Vec<&'s [&'a BlockMeta]> {
    let mut groups = Vec::new();
    let mut rest = metas;
    while let Some(first) = rest.first() {
        let start_ms = first.min_time_ms.div_euclid(range_ms).saturating_mul(range_ms);
        let end_ms = start_ms.saturating_add(range_ms);
        let count = rest.iter().position(|meta| meta.max_time_ms > end_ms).unwrap_or(rest.len());
        let (group, behind) = rest.split_at(count.max(1));
        if count > 0 {
            groups.push(group);
        }
        rest = behind;
    }
    groups
}

/// The newest block that is worth rewriting because of its deletions: a large one with many, or
/// the first small one if all of it may be deleted.
fn much_deleted<'a>(metas: &[&'a BlockMeta], ranges_ms: &[i64]) -> Option<&'a BlockMeta> {
    let large_ms = ranges_ms.get(ranges_ms.len() / 2).copied().unwrap_or(i64::MAX);
    for meta in metas.iter().rev() {
        let (deletions, series) = (meta.stats.num_tombstones, meta.stats.num_series);
        if meta.max_time_ms.saturating_sub(meta.min_time_ms) < large_ms {
            let may_be_all = deletions > 0 && deletions >= series;
            return (may_be_all && !meta.compaction.failed).then_some(meta);
        }
        let is_much = deletions as f64 / (series + 1) as f64 > DELETED_MAX;
        if is_much && !meta.compaction.failed {
            return Some(meta);
        }
    }
    None
}

/// What the block that is merged from `sources` says of itself.
#[must_use]
pub fn merged_meta(ulid: Ulid, sources: &[&BlockMeta]) -> BlockMeta {
    let start_ms = sources.iter().map(|meta| meta.min_time_ms).min().unwrap_or_default();
    let end_ms = sources.iter().map(|meta| meta.max_time_ms).max().unwrap_or_default();
    let mut merged = BlockMeta::new(ulid, start_ms, end_ms);
    let levels = sources.iter().map(|meta| meta.compaction.level);
    let firsts = sources.iter().flat_map(|meta| meta.compaction.sources.iter().copied());
    let mut firsts: Vec<Ulid> = firsts.collect();
    firsts.sort_unstable();
    firsts.dedup();
    let parent = |meta: &&BlockMeta| BlockParent {
        ulid: meta.ulid,
        min_time_ms: meta.min_time_ms,
        max_time_ms: meta.max_time_ms,
    };
    let is_kept = |hint: &&&str| {
        let mut sources = sources.iter();
        // A late block among others makes a block of all that was there. A block of some series
        // does not become one of all series by being merged.
        if **hint == FROM_OUT_OF_ORDER {
            sources.all(|meta| has_hint(meta, hint))
        } else {
            sources.any(|meta| has_hint(meta, hint))
        }
    };
    merged.compaction = Compaction {
        level: levels.max().unwrap_or_default().saturating_add(1),
        sources: firsts,
        parents: sources.iter().map(parent).collect(),
        hints: BESIDE_THE_HEAD.iter().filter(is_kept).map(|hint| (*hint).to_owned()).collect(),
        ..Compaction::default()
    };
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [i64; 4] = [20, 60, 180, 540];

    fn block(number: u128, start_ms: i64, end_ms: i64) -> BlockMeta {
        let mut meta = BlockMeta::new(Ulid(number), start_ms, end_ms);
        meta.stats.num_series = 100;
        meta
    }

    /// Spans of blocks, and which of them are chosen.
    type Case = (&'static [(i64, i64)], &'static [u128]);

    /// Plans over blocks of these spans, numbered from 0.
    fn planned(metas: &[BlockMeta]) -> Vec<u128> {
        plan(&metas.iter().collect::<Vec<_>>(), &RANGES).iter().map(|ulid| ulid.0).collect()
    }

    fn blocks(spans: &[(i64, i64)]) -> Vec<BlockMeta> {
        (0..).zip(spans).map(|(number, (start, end))| block(number, *start, *end)).collect()
    }

    #[test]
    fn lengths_grow_by_three_up_to_the_largest() {
        let hour_ms = 3_600_000;
        let hours = |smallest, largest| -> Vec<i64> {
            let ranges = ranges_ms(smallest * hour_ms, largest * hour_ms);
            ranges.iter().map(|range_ms| range_ms / hour_ms).collect()
        };
        assert_eq!(hours(2, 36), [2, 6, 18]);
        assert_eq!(hours(2, 54), [2, 6, 18, 54]);
        assert_eq!(hours(2, 1), [2]);
        assert_eq!(ranges_ms(1 << 60, i64::MAX).len(), 2);
    }

    #[test]
    fn windows_that_are_full_or_past_are_merged_and_the_newest_block_is_not() {
        let cases: [Case; 14] = [
            (&[], &[]),
            (&[(0, 20)], &[]),
            (&[(0, 20), (20, 40)], &[]),
            (&[(0, 20), (20, 40), (40, 60)], &[]),
            // Full once the newest is not one of them.
            (&[(0, 20), (20, 40), (40, 60), (60, 80)], &[0, 1, 2]),
            // With a hole at its end, but newer blocks are there.
            (&[(0, 20), (20, 40), (60, 80), (80, 100)], &[0, 1]),
            (&[(0, 20), (60, 80), (80, 100), (100, 120), (120, 140)], &[2 - 1, 2, 3]),
            // The smaller windows come first.
            (
                &[(0, 60), (60, 120), (120, 180), (180, 200), (200, 220), (220, 240), (240, 260)],
                &[3, 4, 5],
            ),
            (&[(0, 60), (60, 120), (120, 180), (180, 240), (240, 260)], &[0, 1, 2]),
            // A window of several lengths.
            (&[(0, 60), (60, 120), (120, 140), (140, 160), (180, 200), (200, 220)], &[2, 3]),
            // What crosses a window's end lies in none.
            (&[(0, 20), (50, 70), (80, 100), (100, 120), (120, 140), (140, 160)], &[2, 3]),
            // Below zero, windows begin at multiples too.
            (&[(-60, -40), (-40, -20), (-20, 0), (0, 20)], &[0, 1, 2]),
            // Nothing is left to merge.
            (&[(0, 180), (180, 360), (360, 420), (420, 440)], &[]),
            (&[(0, 180), (180, 360), (360, 540), (540, 560)], &[0, 1, 2]),
        ];
        for (spans, wanted) in cases {
            assert_eq!(planned(&blocks(spans)), wanted, "{spans:?}");
        }
    }

    #[test]
    fn blocks_that_share_time_come_first_the_newest_too() {
        let cases: [Case; 5] = [
            (&[(0, 20), (19, 40), (40, 60)], &[0, 1]),
            (&[(0, 20), (20, 40), (30, 50), (45, 60), (60, 80)], &[1, 2, 3]),
            (&[(0, 20), (20, 40), (40, 60), (60, 80), (70, 90)], &[3, 4]),
            (&[(0, 100), (10, 20), (30, 40), (100, 120)], &[0, 1, 2]),
            // The first such run alone.
            (&[(0, 20), (10, 30), (40, 60), (50, 70)], &[0, 1]),
        ];
        for (spans, wanted) in cases {
            assert_eq!(planned(&blocks(spans)), wanted, "{spans:?}");
        }
    }

    #[test]
    fn what_failed_is_left_alone() {
        let mut neighbours =
            blocks(&[(0, 20), (20, 40), (40, 60), (60, 80), (80, 100), (120, 140), (140, 160)]);
        assert_eq!(planned(&neighbours), [0, 1, 2]);
        neighbours[1].compaction.failed = true;
        assert_eq!(planned(&neighbours), [3, 4]);
        let mut overlapping = blocks(&[(0, 20), (10, 30), (40, 60), (50, 70)]);
        overlapping[1].compaction.failed = true;
        assert_eq!(planned(&overlapping), [2, 3]);
        let mut deleted = blocks(&[(0, 180), (180, 200)]);
        deleted[0].stats.num_tombstones = 6;
        assert_eq!(planned(&deleted), [0]);
        deleted[0].compaction.failed = true;
        assert_eq!(planned(&deleted), []);
    }

    #[test]
    fn blocks_of_some_series_stay_among_themselves() {
        let mut metas = blocks(&[(0, 20), (0, 20), (10, 30), (5, 15), (20, 40)]);
        for number in [1, 2] {
            metas[number].compaction.hints = vec![FROM_STALE_SERIES.to_owned()];
        }
        metas[3].compaction.hints = vec![FROM_SELECTED_SERIES.to_owned()];
        assert_eq!(planned(&metas), [1, 2]);
        metas[4].min_time_ms = 19;
        assert_eq!(planned(&metas), [0, 4]);
        // Late ones are not kept apart.
        metas[4].compaction.hints = vec![FROM_OUT_OF_ORDER.to_owned()];
        assert_eq!(planned(&metas), [0, 4]);
    }

    #[test]
    fn a_block_with_many_deletions_is_rewritten_alone() {
        type Case = (&'static [(i64, i64, u64)], &'static [u128]);
        let cases: [Case; 6] = [
            (&[(0, 180, 5), (180, 200, 0)], &[]),
            (&[(0, 180, 6), (180, 200, 0)], &[0]),
            // The newest of those.
            (&[(0, 180, 6), (180, 360, 6), (360, 380, 0)], &[1]),
            // A small one only if all may be gone, and the others are not looked at.
            (&[(0, 180, 6), (180, 240, 99), (240, 260, 0)], &[]),
            (&[(0, 180, 6), (180, 240, 100), (240, 260, 0)], &[1]),
            (&[(0, 180, 6), (180, 240, 0), (240, 260, 100)], &[]),
        ];
        for (spans, wanted) in cases {
            let metas = (0..).zip(spans).map(|(number, (start, end, deletions))| {
                let mut meta = block(number, *start, *end);
                meta.stats.num_tombstones = *deletions;
                meta
            });
            assert_eq!(planned(&metas.collect::<Vec<_>>()), wanted, "{spans:?}");
        }
    }

    #[test]
    fn a_merged_block_says_where_it_comes_from() {
        let (mut first, mut second) = (block(7, 0, 20), block(5, 10, 60));
        first.compaction.level = 3;
        first.compaction.sources = vec![Ulid(1), Ulid(4)];
        second.compaction.sources = vec![Ulid(2), Ulid(4)];
        first.compaction.hints = vec![FROM_OUT_OF_ORDER.to_owned(), FROM_STALE_SERIES.to_owned()];
        let merged = merged_meta(Ulid(9), &[&first, &second]);
        assert_eq!((merged.min_time_ms, merged.max_time_ms), (0, 60));
        assert_eq!(merged.compaction.level, 4);
        assert_eq!(merged.compaction.sources, [Ulid(1), Ulid(2), Ulid(4)]);
        assert_eq!(merged.compaction.hints, [FROM_STALE_SERIES]);
        let parents = merged.compaction.parents.iter().map(|parent| parent.ulid);
        assert_eq!(parents.collect::<Vec<_>>(), [Ulid(7), Ulid(5)]);
        second.compaction.hints = vec![FROM_OUT_OF_ORDER.to_owned()];
        let merged = merged_meta(Ulid(9), &[&first, &second]);
        assert_eq!(merged.compaction.hints, [FROM_OUT_OF_ORDER, FROM_STALE_SERIES]);
        assert!(is_beside_the_head(&merged) && !is_beside_the_head(&block(1, 0, 1)));
    }
}
