//! Thanos's tables of what is too old, and of an index that is not well.

use std::convert::Infallible;
use std::path::Path;

use serde::Deserialize;
use ulid::Ulid;

use crate::disk::MemoryDisk;
use crate::longterm::compact::retention::fate;
use crate::longterm::compact::testing::block;
use crate::longterm::compact::{Fate, Retention, Sickness, examine};
use crate::storage::block::{Block, BlockMeta};

const HOUR_MS: i64 = 3_600_000;
const NOW_MS: i64 = 1_767_571_200_000;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Resolution, and how many hours ago they began and ended.
    blocks: Vec<(i64, i64, i64)>,
    retention_h: [i64; 3],
    kept: Vec<usize>,
}

#[test]
fn by_age_those_blocks_go_that_go_there() {
    let text = include_str!("../../../../testdata/thanos/compact/retention.jsonl");
    let cases: Vec<Case> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let [raw_ms, five_minutes_ms, hour_ms] = case.retention_h.map(|hours| hours * HOUR_MS);
        let retention = Retention { raw_ms, five_minutes_ms, hour_ms, needs_cover: false };
        let stays = |(resolution_ms, start_h, end_h): &(i64, i64, i64)| {
            let (start_ms, end_ms) = (NOW_MS - start_h * HOUR_MS, NOW_MS - end_h * HOUR_MS);
            let subject = block(1, start_ms, end_ms, *resolution_ms, &[1]);
            let mut readable = |_: &_| Ok::<_, Infallible>(true);
            // Upstream looks a moment after it made the blocks.
            let fate = fate(&subject, &[], &retention, NOW_MS + 1, &mut readable).unwrap();
            matches!(fate, Fate::Forever | Fate::Until { .. })
        };
        let numbers = case.blocks.iter().enumerate().filter(|(_, block)| stays(block));
        let kept: Vec<usize> = numbers.map(|(number, _)| number).collect();
        assert_eq!(kept, case.kept, "{}", case.name);
    }
}

#[test]
fn a_chunk_before_its_predecessor_is_found_in_the_index_of_thanos() {
    let disk = MemoryDisk::shared();
    let ulid = Ulid::from_parts(1, 1);
    let dir = Path::new("/blocks").join(ulid.to_string());
    disk.create_dir_all(&dir.join("chunks")).unwrap();
    let index = include_bytes!("../../../../testdata/thanos/compact/out_of_order_chunks.index");
    disk.create(&dir.join("index")).unwrap().write_all(index).unwrap();
    BlockMeta::new(ulid, 0, i64::MAX).write(&*disk, &dir).unwrap();
    let block = Block::open(&disk, &dir).unwrap();
    let health = examine(&block, &|| false).unwrap().unwrap();
    assert_eq!(health.out_of_order, 1);
    assert_eq!(health.sickness(), Some(Sickness::OutOfOrder(1)));
}
