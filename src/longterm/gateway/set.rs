//! The blocks that a gateway answers from, as they were at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::Labels;
use crate::series::TimeRange;

use super::block::GateBlock;
use super::choose::{Choice, Level, Span, choose};

/// All blocks. Questions hold on to one while others replace it.
#[derive(Debug, Default)]
pub(super) struct BlockSet {
    pub(super) blocks: Vec<Arc<GateBlock>>,
    pub(super) of_labels: Vec<OfLabels>,
}

/// The blocks of the same external labels.
#[derive(Debug)]
pub(super) struct OfLabels {
    pub(super) labels: Labels,
    /// From fine to coarse.
    levels: Vec<Level>,
}

/// What a gateway has of one set of external labels, without a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The external labels.
    pub labels: Labels,
    /// From the first block to the last one.
    pub range: TimeRange,
}

impl OfLabels {
    pub(super) fn choose(
        &self,
        range: TimeRange,
        max_resolution_ms: i64,
        coarser_fallback: bool,
    ) -> Vec<Choice> {
        choose(&self.levels, range, max_resolution_ms, coarser_fallback)
    }
}

impl BlockSet {
    pub(super) fn new(blocks: Vec<Arc<GateBlock>>) -> Self {
        let mut by_labels: BTreeMap<Labels, BTreeMap<i64, Vec<Span>>> = BTreeMap::new();
        for (index, block) in blocks.iter().enumerate() {
            let levels = by_labels.entry(block.about.labels.clone()).or_default();
            let span = Span { range: block.about.range, block: index };
            levels.entry(block.about.resolution_ms).or_default().push(span);
        }
        let name_of = |span: &Span| blocks.get(span.block).map(|block| block.about.ulid);
        let level = |(resolution_ms, mut spans): (i64, Vec<Span>)| {
            spans.sort_by_key(|span| (span.range.start_ms, span.range.end_ms, name_of(span)));
            Level { resolution_ms, spans }
        };
        let of_labels = by_labels
            .into_iter()
            .map(|(labels, levels)| OfLabels {
                labels,
                levels: levels.into_iter().map(level).collect(),
            })
            .collect();
        Self { blocks, of_labels }
    }

    /// From the first block to the last one.
    pub(super) fn range(&self) -> Option<TimeRange> {
        let ranges = self.blocks.iter().map(|block| block.about.range);
        ranges.reduce(|all, range| {
            let start_ms = all.start_ms.min(range.start_ms);
            TimeRange::new(start_ms, all.end_ms.max(range.end_ms))
        })
    }

    /// What there is, holes in it told apart.
    pub(super) fn coverage(&self) -> Vec<Coverage> {
        let mut all: Vec<Coverage> = Vec::new();
        for of_labels in &self.of_labels {
            let mut ranges: Vec<TimeRange> =
                of_labels.levels.iter().flat_map(|l| l.spans.iter().map(|s| s.range)).collect();
            ranges.sort_by_key(|range| range.start_ms);
            for range in ranges {
                match all.last_mut().filter(|last| last.labels == of_labels.labels) {
                    Some(last) if range.start_ms <= last.range.end_ms.saturating_add(1) => {
                        last.range.end_ms = last.range.end_ms.max(range.end_ms);
                    }
                    _ => all.push(Coverage { labels: of_labels.labels.clone(), range }),
                }
            }
        }
        all
    }
}
