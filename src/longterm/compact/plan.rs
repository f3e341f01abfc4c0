//! Which blocks of one group are merged next, from what they say of themselves alone.
//!
//! Decides as upstream's `tsdbBasedPlanner` does, so that it does not matter which compactor a
//! bucket had yesterday. Lengths grow 2 h, 8 h, 2 d, 14 d.

use std::collections::BTreeSet;

use ulid::Ulid;

use crate::storage::block::BlockMeta;

const HOUR_MS: i64 = 3_600_000;
/// Lengths of blocks, ascending. The first is never aimed at.
pub const RANGES_MS: [i64; 5] = [HOUR_MS, 2 * HOUR_MS, 8 * HOUR_MS, 48 * HOUR_MS, 336 * HOUR_MS];
/// A block of which more than this part of the series has deletions is worth rewriting.
const DELETED_MAX: f64 = 0.05;
/// So much of the largest index that is wanted may be planned, because symbols and postings of
/// several blocks may take more room together.
const INDEX_HEADROOM: f64 = 0.85;

/// Why a plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The blocks share time.
    Overlap,
    /// They fill a window of this length, or it will not get fuller.
    Window {
        /// Its length.
        range_ms: i64,
    },
    /// Much of the block is deleted.
    Deletions,
}

/// What is to be done with a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The blocks that become one, oldest first.
    pub blocks: Vec<Ulid>,
    /// The reason.
    pub why: Why,
}

/// What is merged next of a group; none if nothing is to be done. `metas` ascend by start time;
/// `excluded` are those that must stay as they are.
#[must_use]
pub fn plan(metas: &[&BlockMeta], excluded: &BTreeSet<Ulid>, ranges_ms: &[i64]) -> Option<Plan> {
    let is_free = |meta: &&&BlockMeta| !excluded.contains(&meta.ulid);
    let mut free: Vec<&BlockMeta> = metas.iter().filter(is_free).copied().collect();
    let overlapping = overlapping(&free);
    if !overlapping.is_empty() {
        return Some(Plan { blocks: names(&overlapping), why: Why::Overlap });
    }
    // The newest stays as it is, which gives whoever maintains the bucket a block's time.
    let (newest, settled) = metas.split_last()?;
    if !excluded.contains(&newest.ulid) {
        free.pop();
    }
    if let Some((blocks, range_ms)) = neighbours(settled, excluded, ranges_ms) {
        return Some(Plan { blocks, why: Why::Window { range_ms } });
    }
    let block = much_deleted(&free, ranges_ms)?;
    Some(Plan { blocks: vec![block.ulid], why: Why::Deletions })
}

fn names(metas: &[&BlockMeta]) -> Vec<Ulid> {
    metas.iter().map(|meta| meta.ulid).collect()
}

/// The first run of blocks that share time; `metas` ascend by start time.
#[must_use]
fn overlapping<'a>(metas: &[&'a BlockMeta]) -> Vec<&'a BlockMeta> {
    let mut run: Vec<&BlockMeta> = Vec::new();
    let mut end_ms = i64::MIN;
    for (index, meta) in metas.iter().enumerate() {
        if index > 0 && meta.min_time_ms < end_ms {
            if run.is_empty() {
                run.extend(metas.get(index - 1));
            }
            run.push(meta);
        } else if !run.is_empty() {
            break;
        }
        end_ms = end_ms.max(meta.max_time_ms);
    }
    run
}

/// The blocks of the first window that is full, or will not get fuller, and the window's length.
/// What must stay as it is cuts a window into pieces.
fn neighbours(
    metas: &[&BlockMeta],
    excluded: &BTreeSet<Ulid>,
    ranges_ms: &[i64],
) -> Option<(Vec<Ulid>, i64)> {
    let newest = metas.last()?;
    for range_ms in ranges_ms.iter().skip(1) {
        for window in windows(metas, *range_ms) {
            let (Some(first), Some(last)) = (window.first(), window.last()) else { continue };
            let is_full = last.max_time_ms.saturating_sub(first.min_time_ms) == *range_ms;
            let is_past = last.max_time_ms <= newest.min_time_ms;
            let has_failed = window.iter().any(|meta| meta.compaction.failed);
            if window.len() < 2 || has_failed || !(is_full || is_past) {
                continue;
            }
            let mut pieces = window.split(|meta| excluded.contains(&meta.ulid));
            if let Some(piece) = pieces.find(|piece| piece.len() > 1) {
                return Some((names(piece), *range_ms));
            }
        }
    }
    None
}

/// The blocks by windows of `range_ms`; those that lie in none are left out.
fn windows<'s, 'a>(metas: &'s [&'a BlockMeta], range_ms: i64) -> Vec<&'s [&'a BlockMeta]> {
    let mut found = Vec::new();
    let mut rest = metas;
    while let Some(first) = rest.first() {
        let start_ms = first.min_time_ms.div_euclid(range_ms).saturating_mul(range_ms);
        let end_ms = start_ms.saturating_add(range_ms);
        let count = rest.iter().position(|meta| meta.max_time_ms > end_ms).unwrap_or(rest.len());
        let (window, behind) = rest.split_at(count.max(1));
        if count > 0 {
            found.push(window);
        }
        rest = behind;
    }
    found
}

/// The newest large block with many deletions.
fn much_deleted<'a>(metas: &[&'a BlockMeta], ranges_ms: &[i64]) -> Option<&'a BlockMeta> {
    let large_ms = ranges_ms.get(ranges_ms.len() / 2).copied()?;
    let span_ms = |meta: &BlockMeta| meta.max_time_ms.saturating_sub(meta.min_time_ms);
    let large = metas.iter().rev().take_while(|meta| span_ms(meta) >= large_ms);
    let part = |meta: &BlockMeta| {
        meta.stats.num_tombstones as f64 / meta.stats.num_series.saturating_add(1) as f64
    };
    large.copied().find(|meta| part(meta) > DELETED_MAX)
}

/// What is planned within limits, and which blocks are unfit for it.
pub type PlanWithin = (Option<Plan>, Vec<(Ulid, Unfit)>);

/// Why a block is taken out of all plans from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The index of what it would become is too large.
    IndexSize,
    /// It is downsampled and shares time with others: its numbers cannot be merged.
    DownsampledOverlap,
}

/// What a planner must know of a block beside its meta.
pub(super) trait Sizes {
    /// Why a size could not be had.
    type Error;
    /// The size of the block's index.
    ///
    /// # Errors
    /// It cannot be had.
    fn index_bytes(&self, block: Ulid) -> Result<u64, Self::Error>;
    /// 0 for raw samples.
    fn resolution_ms(&self, block: Ulid) -> i64;
}

/// As [`plan`], within limits: the indexes of a plan are together less than `index_bytes_max`, and
/// downsampled blocks that share time are left alone. `take_out` is told which blocks are unfit;
/// from then on they are among `excluded`.
///
/// # Errors
/// What `sizes` or `take_out` answer.
pub(super) fn plan_within<S: Sizes>(
    metas: &[&BlockMeta],
    excluded: &mut BTreeSet<Ulid>,
    ranges_ms: &[i64],
    index_bytes_max: u64,
    sizes: &S,
    take_out: &mut dyn FnMut(Ulid, Unfit) -> Result<(), S::Error>,
) -> Result<Option<Plan>, S::Error> {
    // Each round but the last takes a block out.
    loop {
        let Some(plan) = plan(metas, excluded, ranges_ms) else { return Ok(None) };
        let mut unfit = Vec::new();
        if let Some(block) = too_large(&plan.blocks, index_bytes_max, sizes)? {
            unfit.push((block, Unfit::IndexSize));
        } else if plan.why == Why::Overlap {
            let is_downsampled = |block: &&Ulid| sizes.resolution_ms(**block) != 0;
            let downsampled = plan.blocks.iter().filter(is_downsampled);
            unfit.extend(downsampled.map(|block| (*block, Unfit::DownsampledOverlap)));
        }
        if unfit.is_empty() {
            return Ok(Some(plan));
        }
        for (block, why) in unfit {
            take_out(block, why)?;
            excluded.insert(block);
        }
    }
}

/// The block with the largest index, of those up to where the sum gets too large.
fn too_large<S: Sizes>(
    blocks: &[Ulid],
    index_bytes_max: u64,
    sizes: &S,
) -> Result<Option<Ulid>, S::Error> {
    let limit_bytes = (index_bytes_max as f64 * INDEX_HEADROOM) as u64;
    let mut sum_bytes = 0_u64;
    let mut largest: Option<(u64, Ulid)> = None;
    for block in blocks {
        let bytes = sizes.index_bytes(*block)?;
        if largest.is_none_or(|(most, _)| bytes > most) {
            largest = Some((bytes, *block));
        }
        sum_bytes = sum_bytes.saturating_add(bytes);
        if sum_bytes >= limit_bytes {
            return Ok(largest.map(|(_, block)| block));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde::Deserialize;

    const CASES: &str = include_str!("../../../testdata/thanos/compact/planner.jsonl");
    const RANGES: [i64; 5] = [20, 60, 180, 540, 1620];

    #[derive(Deserialize)]
    struct Case {
        case: String,
        blocks: Vec<Row>,
        plan: Vec<u128>,
        #[serde(default)]
        no_compact: Vec<u128>,
        marks: Option<usize>,
    }

    #[derive(Deserialize)]
    struct Row {
        ulid: u128,
        start: i64,
        end: i64,
        #[serde(default)]
        series: u64,
        #[serde(default)]
        tombstones: u64,
        #[serde(default)]
        failed: bool,
        #[serde(default)]
        index_bytes: u64,
    }

    #[derive(Default)]
    struct Table {
        index_bytes: BTreeMap<Ulid, u64>,
        resolution_ms: i64,
    }

    impl Sizes for Table {
        type Error = Infallible;
        fn index_bytes(&self, block: Ulid) -> Result<u64, Infallible> {
            Ok(self.index_bytes.get(&block).copied().unwrap_or_default())
        }
        fn resolution_ms(&self, _: Ulid) -> i64 {
            self.resolution_ms
        }
    }

    fn meta(row: &Row) -> BlockMeta {
        let mut meta = BlockMeta::new(Ulid(row.ulid), row.start, row.end);
        (meta.stats.num_series, meta.stats.num_tombstones) = (row.series, row.tombstones);
        meta.compaction.failed = row.failed;
        meta
    }

    fn ulids(numbers: &[u128]) -> Vec<Ulid> {
        numbers.iter().copied().map(Ulid).collect()
    }

    #[test]
    fn plans_are_those_of_upstreams_cases() {
        let mut count = 0;
        for line in CASES.lines() {
            let case: Case = serde_json::from_str(line).unwrap();
            let mut metas: Vec<BlockMeta> = case.blocks.iter().map(meta).collect();
            metas.sort_by_key(|meta| meta.min_time_ms);
            let metas: Vec<&BlockMeta> = metas.iter().collect();
            let mut excluded: BTreeSet<Ulid> = ulids(&case.no_compact).into_iter().collect();
            let rows = case.blocks.iter();
            let index_bytes = rows.map(|row| (Ulid(row.ulid), row.index_bytes)).collect();
            let table = Table { index_bytes, resolution_ms: 0 };
            let mut marks = 0;
            let planned = match case.marks {
                None => plan(&metas, &excluded, &RANGES),
                Some(_) => {
                    let mut take_out = |_, why| {
                        assert_eq!(why, Unfit::IndexSize);
                        marks += 1;
                        Ok(())
                    };
                    plan_within(&metas, &mut excluded, &RANGES, 100, &table, &mut take_out).unwrap()
                }
            };
            let planned = planned.map_or_else(Vec::new, |plan| plan.blocks);
            assert_eq!(planned, ulids(&case.plan), "{}", case.case);
            assert_eq!(marks, case.marks.unwrap_or_default(), "{}", case.case);
            count += 1;
        }
        assert_eq!(count, 42);
    }

    #[test]
    fn downsampled_blocks_that_share_time_are_taken_out() {
        let metas = [
            BlockMeta::new(Ulid(1), 0, 20),
            BlockMeta::new(Ulid(2), 10, 20),
            BlockMeta::new(Ulid(3), 20, 40),
            BlockMeta::new(Ulid(4), 40, 60),
            BlockMeta::new(Ulid(5), 60, 80),
        ];
        let metas: Vec<&BlockMeta> = metas.iter().collect();
        let table = Table { resolution_ms: 300_000, ..Table::default() };
        let (mut excluded, mut out) = (BTreeSet::new(), Vec::new());
        let mut take_out = |block, why| {
            out.push((block, why));
            Ok(())
        };
        let planned =
            plan_within(&metas, &mut excluded, &RANGES, 1000, &table, &mut take_out).unwrap();
        let wanted = Plan { blocks: ulids(&[3, 4]), why: Why::Window { range_ms: 60 } };
        assert_eq!(planned, Some(wanted));
        let why = Unfit::DownsampledOverlap;
        assert_eq!(out, [(Ulid(1), why), (Ulid(2), why)]);
    }

    #[test]
    fn no_blocks_give_no_plan() {
        assert_eq!(plan(&[], &BTreeSet::new(), &RANGES_MS), None);
    }

    proptest! {
        /// Whatever there is, merging as planned comes to an end, and then nothing shares time.
        #[test]
        fn planning_ends_with_blocks_apart(
            spans in vec((-40_i64..200, 1_i64..40), 0..20),
            excluded in vec(0_u128..20, 0..3),
        ) {
            let rows = (0_u128..).zip(spans);
            let mut metas: Vec<BlockMeta> = rows
                .map(|(n, (start, length))| (Ulid(n), start * 10, (start + length) * 10))
                .map(|(ulid, start, end)| BlockMeta::new(ulid, start, end))
                .collect();
            let excluded: BTreeSet<Ulid> = ulids(&excluded).into_iter().collect();
            for round in 0.. {
                prop_assert!(round < 50);
                metas.sort_by_key(|meta| meta.min_time_ms);
                let sorted: Vec<&BlockMeta> = metas.iter().collect();
                let Some(plan) = plan(&sorted, &excluded, &RANGES) else { break };
                prop_assert!(plan.blocks.len() > 1);
                prop_assert!(plan.blocks.iter().all(|block| !excluded.contains(block)));
                let parts: Vec<&BlockMeta> =
                    metas.iter().filter(|meta| plan.blocks.contains(&meta.ulid)).collect();
                let start = parts.iter().map(|meta| meta.min_time_ms).min().unwrap();
                let end = parts.iter().map(|meta| meta.max_time_ms).max().unwrap();
                metas.retain(|meta| !plan.blocks.contains(&meta.ulid));
                metas.push(BlockMeta::new(Ulid(1000 + round), start, end));
            }
            let free: Vec<&BlockMeta> =
                metas.iter().filter(|meta| !excluded.contains(&meta.ulid)).collect();
            prop_assert!(overlapping(&free).is_empty());
        }
    }
}
