//! Which blocks of one label set answer for a span of time, and for which part of it.

use crate::series::TimeRange;

/// The span of a block, and a number that names it to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) range: TimeRange,
    pub(super) block: usize,
}

/// The blocks of one resolution, by start, then by end, then by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) resolution_ms: i64,
    pub(super) spans: Vec<Span>,
}

/// A block that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) block: usize,
    /// What it answers for. Another block answers for what it has beyond, so that no time is
    /// answered for in two resolutions.
    pub(super) range: TimeRange,
    /// True if it is coarser than was asked for.
    pub(super) is_fallback: bool,
}

/// Takes the coarsest blocks that are not coarser than `max_resolution_ms`, fills their holes with
/// finer ones, and with `coarser_fallback` what is left with coarser ones (`bucketBlockSet.getFor`
/// without the last step). `levels` are given from fine to coarse.
pub(super) fn choose(
    levels: &[Level],
    range: TimeRange,
    max_resolution_ms: i64,
    coarser_fallback: bool,
) -> Vec<Choice> {
    let fine_count = levels.partition_point(|level| level.resolution_ms <= max_resolution_ms);
    let (fine, coarse) = levels.split_at_checked(fine_count).unwrap_or((levels, &[]));
    let coarse = if coarser_fallback { coarse } else { &[] };
    let order: Vec<(&Level, bool)> =
        fine.iter().rev().map(|l| (l, false)).chain(coarse.iter().map(|l| (l, true))).collect();
    let mut choices = Vec::new();
    fill(&order, range, &mut choices);
    choices
}

/// Goes one level deeper for every hole; there are three levels.
fn fill(levels: &[(&Level, bool)], range: TimeRange, choices: &mut Vec<Choice>) {
    let Some(((level, is_fallback), rest)) = levels.split_first() else { return };
    let mut start_ms = range.start_ms;
    let mut is_covered = false;
    for span in level.spans.iter().filter(|span| span.range.overlaps(range)) {
        if span.range.start_ms > start_ms && !is_covered {
            fill(rest, TimeRange::new(start_ms, span.range.start_ms - 1), choices);
        }
        let range = TimeRange::new(
            span.range.start_ms.max(range.start_ms),
            span.range.end_ms.min(range.end_ms),
        );
        choices.push(Choice { block: span.block, range, is_fallback: *is_fallback });
        match span.range.end_ms.checked_add(1) {
            Some(behind_ms) => start_ms = start_ms.max(behind_ms),
            None => is_covered = true,
        }
    }
    if start_ms <= range.end_ms && !is_covered {
        fill(rest, TimeRange::new(start_ms, range.end_ms), choices);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// Resolution, first millisecond, first millisecond behind.
    type Block = (i64, i64, i64);

    #[derive(Deserialize)]
    struct Table {
        blocks: Vec<Block>,
        gets: Vec<Get>,
    }

    #[derive(Deserialize)]
    struct Get {
        start_ms: i64,
        end_ms: i64,
        max_resolution_ms: i64,
        expected: Vec<Block>,
    }

    fn levels_of(blocks: &[Block]) -> Vec<Level> {
        let mut levels: Vec<Level> = [0, 300_000, 3_600_000]
            .map(|resolution_ms| Level { resolution_ms, spans: Vec::new() })
            .into();
        for (block, (resolution_ms, start_ms, end_ms)) in blocks.iter().enumerate() {
            let level = levels.iter_mut().find(|level| level.resolution_ms == *resolution_ms);
            let range = TimeRange::new(*start_ms, end_ms - 1);
            level.unwrap().spans.push(Span { range, block });
        }
        for level in &mut levels {
            level.spans.sort_by_key(|span| (span.range.start_ms, span.range.end_ms, span.block));
        }
        levels
    }

    #[test]
    fn blocks_are_chosen_as_thanos_chooses_them() {
        let text = include_str!("../../../testdata/thanos/gateway/block_set.json");
        let table: Table = serde_json::from_str(text).unwrap();
        assert_eq!((table.blocks.len(), table.gets.len()), (14, 4));
        let levels = levels_of(&table.blocks);
        for get in table.gets {
            let range = TimeRange::new(get.start_ms, get.end_ms);
            let choices = choose(&levels, range, get.max_resolution_ms, false);
            let blocks: Vec<Block> = choices.iter().map(|one| table.blocks[one.block]).collect();
            assert_eq!(blocks, get.expected, "{range:?} {}", get.max_resolution_ms);
        }
    }

    #[test]
    fn coarser_blocks_stand_in_where_nothing_finer_is_left() {
        let levels = levels_of(&[
            (0, 200, 300),
            (300_000, 100, 300),
            (3_600_000, 0, 300),
            (3_600_000, 300, 400),
        ]);
        let chosen = |max_resolution_ms, fallback| -> Vec<(usize, i64, i64, bool)> {
            choose(&levels, TimeRange::new(0, 350), max_resolution_ms, fallback)
                .into_iter()
                .map(|one| (one.block, one.range.start_ms, one.range.end_ms, one.is_fallback))
                .collect()
        };
        assert_eq!(chosen(0, false), [(0, 200, 299, false)]);
        let all =
            [(2, 0, 99, true), (1, 100, 199, true), (0, 200, 299, false), (3, 300, 350, true)];
        assert_eq!(chosen(0, true), all);
        assert_eq!(
            chosen(300_000, true),
            [(2, 0, 99, true), (1, 100, 299, false), (3, 300, 350, true)]
        );
        assert_eq!(chosen(3_600_000, true), [(2, 0, 299, false), (3, 300, 350, false)]);
    }

    #[test]
    fn spans_that_reach_the_end_of_time_do_not_wrap() {
        let span = Span { range: TimeRange::new(i64::MIN, i64::MAX), block: 0 };
        let level = Level { resolution_ms: 0, spans: vec![span] };
        let choices = choose(&[level], TimeRange::ALL, 0, true);
        assert_eq!(choices, [Choice { block: 0, range: TimeRange::ALL, is_fallback: false }]);
    }

    proptest! {
        #[test]
        fn each_instant_is_answered_for_in_the_best_resolution_that_covers_it(
            blocks in vec((0_usize..3, 0_i64..60, 1_i64..30), 0..14),
            start_ms in -5_i64..70, length_ms in 0_i64..70, max in 0_usize..3,
        ) {
            let resolutions = [0, 300_000, 3_600_000];
            let blocks: Vec<Block> = blocks
                .into_iter()
                .map(|(level, start, length)| (resolutions[level], start, start + length))
                .collect();
            let range = TimeRange::new(start_ms, start_ms + length_ms);
            let choices = choose(&levels_of(&blocks), range, resolutions[max], true);
            for time in start_ms..=start_ms + length_ms {
                let covers = |block: &Block| block.1 <= time && time < block.2;
                let best = (0..=max).rev().chain(max + 1..3).find(|level| {
                    blocks.iter().any(|block| block.0 == resolutions[*level] && covers(block))
                });
                let mut wanted: Vec<usize> = (0..blocks.len())
                    .filter(|i| best.is_some_and(|best| blocks[*i].0 == resolutions[best]))
                    .filter(|index| covers(&blocks[*index]))
                    .collect();
                let mut chosen: Vec<usize> = choices
                    .iter()
                    .filter(|choice| choice.range.contains(time))
                    .map(|choice| choice.block)
                    .collect();
                wanted.sort_unstable();
                chosen.sort_unstable();
                prop_assert_eq!(chosen, wanted, "at {}", time);
            }
        }
    }
}
