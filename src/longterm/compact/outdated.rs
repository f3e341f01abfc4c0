//! Blocks whose data another block has as well, because it was merged from them.
//!
//! After a merge the new block and its sources are in the bucket together, and they stay so if the
//! one who merged them does not come to mark the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ulid::Ulid;

use crate::longterm::BucketBlock;

/// A block that another one makes superfluous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outdated {
    /// The block.
    pub block: Ulid,
    /// The one that has all of it.
    pub by: Ulid,
}

/// The superfluous blocks of a group. Those of `no_shelter` make no other one superfluous.
///
/// Upstream looks at sources alone; here the other block must reach over the same time as well, so
/// that one that was cut by time is not taken for the whole.
#[must_use]
pub(super) fn outdated(group: &[Arc<BucketBlock>], no_shelter: &BTreeSet<Ulid>) -> Vec<Outdated> {
    let mut blocks: Vec<&BucketBlock> = group.iter().map(|block| &**block).collect();
    let count = |block: &BucketBlock| block.meta.compaction.sources.len();
    // Blocks that cannot be read come last, so that of two with the same sources the sound stays.
    blocks.sort_by_key(|block| {
        let ulid = block.meta.ulid;
        (no_shelter.contains(&ulid), std::cmp::Reverse(count(block)), ulid)
    });
    let mut found = Vec::new();
    let mut kept_by_source: BTreeMap<Ulid, Vec<&BucketBlock>> = BTreeMap::new();
    for block in blocks {
        let sources = &block.meta.compaction.sources;
        // Without sources nothing can be said.
        let Some(first) = sources.first() else { continue };
        let candidates = kept_by_source.get(first).map_or(&[][..], Vec::as_slice);
        let has_all = |kept: &&&BucketBlock| {
            let theirs = &kept.meta.compaction.sources;
            kept.meta.min_time_ms <= block.meta.min_time_ms
                && block.meta.max_time_ms <= kept.meta.max_time_ms
                && sources.iter().all(|source| theirs.contains(source))
        };
        if let Some(by) = candidates.iter().find(has_all) {
            found.push(Outdated { block: block.meta.ulid, by: by.meta.ulid });
        } else if !no_shelter.contains(&block.meta.ulid) {
            for source in sources {
                kept_by_source.entry(*source).or_default().push(block);
            }
        }
    }
    found.sort_by_key(|outdated| outdated.block);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longterm::compact::testing::block;

    fn found(group: &[Arc<BucketBlock>], sick: &[u128]) -> Vec<(u128, u128)> {
        let sick = sick.iter().copied().map(Ulid).collect();
        outdated(group, &sick).iter().map(|one| (one.block.0, one.by.0)).collect()
    }

    #[test]
    fn sources_of_a_merged_block_are_superfluous() {
        let group = [
            block(1, 0, 10, 0, &[1]),
            block(2, 10, 20, 0, &[2]),
            block(3, 0, 20, 0, &[1, 2]),
            block(4, 20, 30, 0, &[4]),
        ];
        assert_eq!(found(&group, &[]), [(1, 3), (2, 3)]);
        // One that cannot be read makes nothing superfluous, but may be so itself.
        assert_eq!(found(&group, &[3]), []);
        assert_eq!(found(&group, &[1]), [(1, 3), (2, 3)]);
    }

    /// Of blocks that reach over the same time, upstream finds the same ones.
    #[test]
    fn upstreams_cases_are_decided_alike() {
        #[derive(serde::Deserialize)]
        struct Case {
            name: String,
            blocks: Vec<Row>,
            kept: Vec<u128>,
        }
        #[derive(serde::Deserialize)]
        struct Row {
            block: u128,
            sources: Vec<u128>,
            resolution: i64,
        }
        let cases = include_str!("../../../testdata/thanos/duplicates.json");
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert!(cases.len() > 5);
        for case in cases {
            let rows = case.blocks.iter();
            let blocks = rows.map(|row| block(row.block, 0, 10, row.resolution, &row.sources));
            let groups = super::super::group::groups(blocks, &[]);
            let mut kept: Vec<u128> = case.blocks.iter().map(|row| row.block).collect();
            for group in groups.values() {
                let out = found(group, &[]);
                kept.retain(|block| !out.iter().any(|(outdated, _)| outdated == block));
            }
            kept.sort_unstable();
            assert_eq!(kept, case.kept, "{}", case.name);
        }
    }

    #[test]
    fn of_two_with_the_same_sources_the_older_stays() {
        let twice = [block(8, 0, 10, 0, &[1, 2]), block(7, 0, 10, 0, &[1, 2])];
        assert_eq!(found(&twice, &[]), [(8, 7)]);
        assert_eq!(found(&twice, &[7]), [(7, 8)]);
    }

    #[test]
    fn a_part_of_the_time_or_of_the_sources_is_not_enough() {
        let by_time = [block(1, 0, 20, 0, &[1]), block(2, 0, 10, 0, &[1, 2])];
        assert_eq!(found(&by_time, &[]), []);
        let shared = [block(3, 0, 20, 0, &[1, 2]), block(4, 0, 20, 0, &[2, 3])];
        assert_eq!(found(&shared, &[]), []);
        let unknown = [block(5, 0, 20, 0, &[1, 2]), block(6, 0, 20, 0, &[])];
        assert_eq!(found(&unknown, &[]), []);
    }
}
