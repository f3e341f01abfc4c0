//! Which blocks of a view concern somebody. Each filter takes blocks out of a view and says which.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ulid::Ulid;

use crate::model::Labels;
use crate::model::relabel::{Relabel, relabel};
use crate::series::TimeRange;

use super::{BucketBlock, BucketView, Source};

/// The label under which rules find the name of a block.
pub const BLOCK_ID_LABEL: &str = "__block_id";
/// What stands in the first replica label of a block that would have no labels without it.
const DEDUPED: &str = "deduped";
/// Clocks that differ by less are no news.
const CLOCK_SKEW_MS: i64 = 60_000;

impl BucketView {
    fn take_out(&mut self, is_out: impl Fn(&BucketBlock) -> bool) -> Vec<Ulid> {
        let mut out = Vec::new();
        self.blocks.retain(|block| {
            if is_out(block) {
                out.push(block.ulid());
            }
            !is_out(block)
        });
        out
    }

    /// Leaves the blocks that touch `range`; a block that ends where it begins touches it.
    pub fn keep_range(&mut self, range: TimeRange) -> Vec<Ulid> {
        self.take_out(|block| {
            block.meta.max_time_ms < range.start_ms || block.meta.min_time_ms > range.end_ms
        })
    }

    /// Leaves the blocks whose labels, with [`BLOCK_ID_LABEL`] and without replica labels, survive
    /// the rules with something left.
    pub fn keep_shard(&mut self, rules: &[Relabel], replica_labels: &[Arc<str>]) -> Vec<Ulid> {
        self.take_out(|block| {
            let is_replica = |name: &str| replica_labels.iter().any(|label| **label == *name);
            let own = block.thanos.labels.iter().filter(|(name, _)| !is_replica(name));
            let ulid = block.ulid().to_string();
            let pairs = own.map(|(name, value)| (name.as_str(), value.as_str()));
            let pairs = pairs.filter(|(name, _)| *name != BLOCK_ID_LABEL);
            let labels = Labels::from_pairs(pairs.chain([(BLOCK_ID_LABEL, ulid.as_str())]));
            let kept = labels.ok().and_then(|labels| relabel(rules, &labels));
            kept.is_none_or(|labels| labels.is_empty())
        })
    }

    /// Leaves the blocks that were written `delay_ms` ago or earlier, and those of compactors,
    /// which nobody waits for. A block from the future is told of once a call and judged by the
    /// store's clock; if that is no help, it is left, since it would be hidden for ever.
    pub fn keep_settled(&mut self, now_ms: i64, delay_ms: i64) -> Vec<Ulid> {
        let modified_ms = std::mem::take(&mut self.modified_ms);
        let out = self.take_out(|block| {
            let is_exempt = matches!(
                block.thanos.source,
                Source::Compactor | Source::CompactorRepair | Source::BucketRepair
            );
            let mut written_ms = block.written_ms();
            if written_ms > now_ms.saturating_add(CLOCK_SKEW_MS) {
                written_ms = modified_ms.get(&block.ulid()).copied().unwrap_or(i64::MIN);
            }
            let is_fresh = written_ms <= now_ms.saturating_add(CLOCK_SKEW_MS)
                && now_ms.saturating_sub(written_ms) < delay_ms;
            is_fresh && !is_exempt
        });
        self.modified_ms = modified_ms;
        out
    }

    /// The blocks that say that they were written in the future.
    #[must_use]
    pub fn from_the_future(&self, now_ms: i64) -> Vec<Ulid> {
        let limit_ms = now_ms.saturating_add(CLOCK_SKEW_MS);
        let late = self.blocks.iter().filter(|block| block.written_ms() > limit_ms);
        late.map(|block| block.ulid()).collect()
    }

    /// Leaves the blocks that were not marked for deletion more than `delay_ms` ago.
    pub fn keep_unmarked(&mut self, now_ms: i64, delay_ms: i64) -> Vec<Ulid> {
        let marks = std::mem::take(&mut self.deletion_marks);
        let out = self.take_out(|block| {
            let marked_ms = marks.get(&block.ulid()).map(|mark| mark.time_s.saturating_mul(1000));
            marked_ms.is_some_and(|marked_ms| now_ms.saturating_sub(marked_ms) > delay_ms)
        });
        self.deletion_marks = marks;
        out
    }

    /// Takes replica labels off the blocks; returns how many. A block that would have none left
    /// keeps the first of them, with the value `deduped`.
    pub fn remove_replica_labels(&mut self, replica_labels: &[Arc<str>]) -> usize {
        let Some(first) = replica_labels.first() else { return 0 };
        let mut removed = 0;
        for block in &mut self.blocks {
            let is_replica = |name: &String| replica_labels.iter().any(|label| **label == **name);
            let count = block.thanos.labels.keys().filter(|name| is_replica(name)).count();
            if count == 0 && !block.thanos.labels.is_empty() {
                continue;
            }
            removed += count;
            let labels = &mut Arc::make_mut(block).thanos.labels;
            labels.retain(|name, _| !is_replica(name));
            if labels.is_empty() {
                labels.insert(first.to_string(), DEDUPED.to_owned());
            }
        }
        removed
    }

    /// Leaves the blocks whose sources no other block of the same resolution and labels holds as
    /// well: those that a merge has replaced go. Of equal ones the lowest name stays.
    pub fn remove_duplicates(&mut self) -> Vec<Ulid> {
        let mut groups: BTreeMap<_, Vec<&BucketBlock>> = BTreeMap::new();
        for block in &self.blocks {
            let group = (block.resolution_ms(), &block.thanos.labels);
            groups.entry(group).or_default().push(block);
        }
        let mut out = HashSet::new();
        for mut group in groups.into_values() {
            group.sort_by_key(|block| (std::cmp::Reverse(block.sources().len()), block.ulid()));
            covered(&group, &mut out);
        }
        self.take_out(|block| out.contains(&block.ulid()))
    }
}

/// The blocks of a group, most sources first, that one before them covers. Blocks that can cover
/// one hold its first source: with them found by source, a year of blocks is no square.
fn covered(group: &[&BucketBlock], out: &mut HashSet<Ulid>) {
    let mut holders: HashMap<Ulid, Vec<&BucketBlock>> = HashMap::new();
    let mut is_first = true;
    for block in group {
        let is_covered = match block.sources().first() {
            // Nothing is part of anything: Thanos takes such a block for a duplicate.
            None => !is_first,
            Some(source) => holders.get(source).into_iter().flatten().any(|holder| {
                let held: HashSet<&Ulid> = holder.sources().iter().collect();
                block.sources().iter().all(|source| held.contains(source))
            }),
        };
        is_first = false;
        if is_covered {
            out.insert(block.ulid());
            continue;
        }
        for source in block.sources() {
            holders.entry(*source).or_default().push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::longterm::{MarkKind, ThanosMeta};
    use crate::model::relabel::{Action, Rule};
    use crate::storage::block::BlockMeta;

    fn ulid(number: u64) -> Ulid {
        Ulid::from_parts(number, 0)
    }

    fn block(number: u64, labels: &[(&str, &str)]) -> BucketBlock {
        let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
        let meta = BlockMeta::new(ulid(number), 0, 0);
        BucketBlock { meta, thanos: ThanosMeta::new(&labels, Source::Unknown) }
    }

    fn view(mut blocks: Vec<BucketBlock>) -> BucketView {
        blocks.sort_by_key(BucketBlock::ulid);
        let blocks = blocks.into_iter().map(Arc::new).collect();
        BucketView { blocks, ..BucketView::default() }
    }

    fn numbers(view: &BucketView) -> Vec<u64> {
        view.blocks.iter().map(|block| block.ulid().timestamp_ms()).collect()
    }

    fn rule(action: Action, source: &str, regex: &str, target: &str) -> Relabel {
        let hashes = action == Action::HashMod;
        Relabel::try_from(Rule {
            source_labels: Some(vec![source.to_owned()]),
            regex: (!hashes).then(|| Some(regex.to_owned())),
            modulus: hashes.then_some(3),
            target_label: hashes.then(|| target.to_owned()),
            action,
            ..Rule::default()
        })
        .unwrap()
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        blocks: Vec<CaseBlock>,
        kept: Vec<u64>,
    }

    #[derive(Deserialize)]
    struct CaseBlock {
        block: u64,
        sources: Vec<u64>,
        resolution: i64,
    }

    #[test]
    fn duplicates_are_those_of_thanos() {
        let text = include_str!("../../testdata/thanos/duplicates.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert_eq!(cases.len(), 12);
        for case in cases {
            let count = case.blocks.len();
            let mut view = view(
                case.blocks
                    .into_iter()
                    .map(|given| {
                        let mut block = block(given.block, &[]);
                        let sources = given.sources.into_iter().map(ulid);
                        block.meta.compaction.sources = sources.collect();
                        block.thanos.set_resolution_ms(given.resolution);
                        block
                    })
                    .collect(),
            );
            let out = view.remove_duplicates();
            assert_eq!(numbers(&view), case.kept, "{}", case.name);
            assert_eq!(out.len() + case.kept.len(), count);
        }
    }

    #[test]
    fn a_block_without_sources_is_a_duplicate_of_any_other() {
        let mut foreign = block(1, &[]);
        foreign.meta.compaction.sources.clear();
        let mut both = view(vec![foreign.clone(), block(2, &[])]);
        assert_eq!(both.remove_duplicates(), [ulid(1)]);
        assert_eq!(view(vec![foreign]).remove_duplicates(), []);
    }

    #[test]
    fn labels_decide_on_the_shard() {
        let rules =
            [rule(Action::Drop, "cluster", "A", ""), rule(Action::Keep, "message", "keepme", "")];
        let mut all = view(vec![
            block(1, &[("cluster", "B"), ("message", "keepme")]),
            block(2, &[("something", "A"), ("message", "keepme")]),
            block(3, &[("cluster", "A"), ("message", "keepme")]),
            block(4, &[("cluster", "A"), ("something", "B"), ("message", "keepme")]),
            block(5, &[("cluster", "B")]),
            block(6, &[("cluster", "B"), ("message", "keepme")]),
        ]);
        assert_eq!(all.keep_shard(&rules, &[]), [ulid(3), ulid(4), ulid(5)]);
        assert_eq!(numbers(&all), [1, 2, 6]);
    }

    #[test]
    fn both_replicas_are_in_one_shard() {
        let rules = [rule(Action::Keep, "replica", "r1", "")];
        let blocks = vec![
            block(1, &[("cluster", "A"), ("replica", "r1")]),
            block(2, &[("cluster", "A"), ("replica", "r2")]),
        ];
        let mut apart = view(blocks.clone());
        apart.keep_shard(&rules, &[]);
        assert_eq!(numbers(&apart), [1]);
        let mut together = view(blocks);
        together.keep_shard(&rules, &["replica".into()]);
        assert_eq!(numbers(&together), [0; 0]);
    }

    #[test]
    fn shards_by_name_are_those_of_thanos() {
        let wanted: [&[u64]; 3] = [&[2, 6, 11, 13], &[5, 7, 10, 12, 14, 15], &[1, 3, 4, 8, 9]];
        for (shard, wanted) in wanted.into_iter().enumerate() {
            let rules = [
                rule(Action::HashMod, BLOCK_ID_LABEL, "", "shard"),
                rule(Action::Keep, "shard", &shard.to_string(), ""),
            ];
            let mut all = view((1..=15).map(|number| block(number, &[])).collect());
            all.keep_shard(&rules, &[]);
            assert_eq!(numbers(&all), wanted);
        }
    }

    #[test]
    fn blocks_that_touch_the_range_stay() {
        let spans = [(0, 1), (1, 10), (2, 30), (0, 30), (-1, 0), (20, 30)];
        let mut all = view(
            spans
                .iter()
                .zip(1..)
                .map(|((start_ms, end_ms), number)| BucketBlock {
                    meta: BlockMeta::new(ulid(number), *start_ms, *end_ms),
                    ..block(number, &[])
                })
                .collect(),
        );
        assert_eq!(all.keep_range(TimeRange::new(1, 10)), [ulid(5), ulid(6)]);
    }

    #[test]
    fn replica_labels_go_but_never_all_labels() {
        let something = ("message", "something");
        let mut all = view(vec![
            block(1, &[something]),
            block(2, &[("replica", "cluster1"), something]),
            block(3, &[("replica", "cluster1"), ("rule_replica", "rule1"), something]),
            block(4, &[("replica", "cluster1"), ("rule_replica", "rule1")]),
        ]);
        let labels: [Arc<str>; 2] = ["replica".into(), "rule_replica".into()];
        assert_eq!(all.clone().remove_replica_labels(&[]), 0);
        assert_eq!(all.remove_replica_labels(&labels), 5);
        let left: Vec<_> = all.blocks.iter().map(|block| block.labels()).collect();
        let something = Labels::from_pairs([something]).unwrap();
        let deduped = Labels::from_pairs([("replica", "deduped")]).unwrap();
        assert_eq!(left, [something.clone(), something.clone(), something, deduped]);
    }

    const MINUTE_MS: i64 = 60_000;
    const NOW_MS: i64 = 1_767_323_045_000;
    const DELAY_MS: i64 = 30 * MINUTE_MS;

    #[test]
    fn fresh_blocks_wait_unless_a_compactor_made_them() {
        let sources = [
            Source::Sidecar,
            Source::Receive,
            Source::Ruler,
            Source::BucketRepair,
            Source::Compactor,
            Source::CompactorRepair,
        ];
        let mut blocks = Vec::new();
        let mut waiting = Vec::new();
        for age_min in [0, 1, 29, 30, 1200] {
            for (index, source) in sources.iter().enumerate() {
                let name_ms = (NOW_MS - age_min * MINUTE_MS) as u64;
                let mut block = block(0, &[]);
                block.meta.ulid = Ulid::from_parts(name_ms, index as u128);
                block.thanos.source = source.clone();
                if age_min < 30 && index < 3 {
                    waiting.push(block.ulid());
                }
                blocks.push(block);
            }
        }
        let mut uploaded_long_ago = block(0, &[]);
        uploaded_long_ago.meta.ulid = Ulid::from_parts(NOW_MS as u64, 99);
        uploaded_long_ago.thanos.upload_time_ms = Some(NOW_MS - 1200 * MINUTE_MS);
        blocks.push(uploaded_long_ago);
        waiting.sort();
        let mut all = view(blocks);
        assert_eq!(all.clone().keep_settled(NOW_MS, 0), []);
        assert_eq!(all.keep_settled(NOW_MS, DELAY_MS), waiting);
    }

    #[test]
    fn a_block_from_the_future_is_judged_by_the_clock_of_the_store() {
        let mut future = block(1, &[]);
        future.thanos.upload_time_ms = Some(NOW_MS + 600 * MINUTE_MS);
        let mut all = view(vec![future]);
        assert_eq!(all.from_the_future(NOW_MS), [ulid(1)]);
        all.modified_ms.insert(ulid(1), NOW_MS - MINUTE_MS);
        assert_eq!(all.clone().keep_settled(NOW_MS, DELAY_MS), [ulid(1)]);
        all.modified_ms.insert(ulid(1), NOW_MS - DELAY_MS);
        assert_eq!(all.clone().keep_settled(NOW_MS, DELAY_MS), []);
        all.modified_ms.clear();
        assert_eq!(all.keep_settled(NOW_MS, DELAY_MS), [], "not hidden for ever");
    }

    #[test]
    fn marked_blocks_go_after_the_delay() {
        let hour_ms = 60 * MINUTE_MS;
        let mut all = view((1..=3).map(|number| block(number, &[])).collect());
        for (number, age_h) in [(1, 15), (2, 60)] {
            let time_s = (NOW_MS - age_h * hour_ms) / 1000;
            let (kind, block) = (MarkKind::Deletion, ulid(number));
            let (details, reason) = (String::new(), String::new());
            let mark = crate::longterm::Mark { kind, block, details, time_s, reason };
            all.deletion_marks.insert(block, mark);
        }
        assert_eq!(all.keep_unmarked(NOW_MS, 48 * hour_ms), [ulid(2)]);
        assert_eq!(numbers(&all), [1, 3]);
        assert_eq!(all.deletion_marks.len(), 2, "marks stay for whoever removes the blocks");
    }
}
