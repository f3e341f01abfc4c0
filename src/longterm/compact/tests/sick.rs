//! One block is not what it should be, and the others go on.

use super::*;

/// Two streams: of one a block is damaged, the other is well.
fn world() -> (World, Vec<Ulid>) {
    let world = World::new();
    let blocks = two_hours(&world, 10);
    for number in 0..6 {
        let span = (T0 + number * 2 * HOUR, T0 + (number + 1) * 2 * HOUR);
        world.upload(number as u64 + 100, span, &[("cluster", "well")], 10 * MINUTE);
    }
    (world, blocks)
}

fn assert_set_aside(world: &World, report: &Report, block: Ulid, reason: Reason, words: &str) {
    assert_eq!(report.quarantined.len(), 1, "{report:?}");
    let (found, why, details) = &report.quarantined[0];
    assert_eq!((*found, *why), (block, reason), "{details}");
    assert!(details.contains(words), "{details}");
    assert!(details.contains(&block.to_string()), "{details}");
    assert_eq!(report.failures, Vec::<String>::new());
    // The other stream is merged, and the rest of this one.
    assert!(report.merged.len() >= 2, "{report:?}");
    assert!(world.shown().iter().any(|shown| shown.ulid() == block));
    let text = world.bucket.get(&format!("promlite/quarantine/{block}.json")).unwrap();
    assert!(String::from_utf8(text.to_vec()).unwrap().contains(&format!("\"{reason}\"")));
    assert_eq!(world.marks("no-compact-mark.json")[0].0, block);
    assert_eq!(world.marks("no-downsample-mark.json")[0].0, block);
    assert_eq!(world.number("thanos_compact_halted"), 0.0);
    assert_eq!(world.number("promlite_compact_quarantined_blocks"), 1.0);
    let again = world.run();
    assert!(again.changed_nothing(), "{again:?}");
    let explained = world.compactor().explain().unwrap();
    let explained = explained.iter().find(|one| one.block == block).unwrap();
    assert!(explained.merging.contains("set aside"), "{explained}");
}

#[test]
fn a_missing_chunk_file() {
    let (world, blocks) = world();
    world.bucket.delete(&format!("{}/chunks/000001", blocks[1])).unwrap();
    let report = world.run();
    assert_set_aside(&world, &report, blocks[1], Reason::ObjectMissing, "chunks/000001");
    assert_eq!(world.spans(0)[..2], [(0, 2), (0, 8)]);
}

#[test]
fn an_index_that_is_not_what_the_meta_says() {
    let (world, blocks) = world();
    overwrite(&world, &format!("{}/index", blocks[2]), |bytes| bytes[60] ^= 1);
    let report = world.run();
    assert_set_aside(&world, &report, blocks[2], Reason::ObjectMissing, "index");
}

/// Without hashes in the meta, the damage is found where the file is read.
fn forget_hashes(world: &World, block: Ulid) {
    overwrite(world, &format!("{block}/meta.json"), |text| {
        let mut meta: serde_json::Value = serde_json::from_slice(text).unwrap();
        for file in meta["thanos"]["files"].as_array_mut().unwrap() {
            file.as_object_mut().unwrap().remove("hash");
        }
        *text = serde_json::to_vec_pretty(&meta).unwrap();
    });
}

#[test]
fn a_damaged_chunk_and_a_damaged_index() {
    for (name, place) in [("chunks/000001", 40), ("index", 40)] {
        let (world, blocks) = world();
        forget_hashes(&world, blocks[1]);
        overwrite(&world, &format!("{}/{name}", blocks[1]), |bytes| bytes[place] ^= 1);
        let report = world.run();
        assert_set_aside(&world, &report, blocks[1], Reason::Damaged, name);
    }
}

/// Puts a block of two hours among the others whose chunks are these.
fn world_with(chunks: Vec<Chunk>) -> (World, Ulid) {
    let (world, blocks) = world();
    for key in world.keys().into_iter().filter(|key| key.starts_with(&blocks[1].to_string())) {
        world.bucket.delete(&key).unwrap();
    }
    let span = (T0 + 2 * HOUR, T0 + 4 * HOUR);
    let series = BTreeMap::from([(7, chunks)]);
    let ulid = world.upload_chunks(99, span, &CLUSTER, &series);
    (world, ulid)
}

#[test]
fn chunks_outside_of_the_block() {
    let start = T0 + 2 * HOUR;
    let (world, ulid) = world_with(vec![chunk(&[(start - 5, 1.0), (start, 2.0)])]);
    let report = world.run();
    assert_set_aside(&world, &report, ulid, Reason::ChunksOutside, "index");
}

#[test]
fn a_block_that_was_set_aside_makes_nothing_superfluous() {
    let (world, blocks) = world();
    let merged = world.run().merged;
    let of_these = merged.iter().find(|one| one.sources.contains(&blocks[0])).unwrap();
    let merged = of_these.block.unwrap();
    // The marks of the sources are gone, as after a crash, and the merged block is damaged.
    for (block, _) in world.marks("deletion-mark.json") {
        world.bucket.delete(&format!("{block}/deletion-mark.json")).unwrap();
    }
    world.bucket.delete(&format!("{merged}/chunks/000001")).unwrap();
    let before = of_these.sources.clone();
    let report = world.run();
    assert!(report.outdated.iter().all(|block| !before.contains(block)), "{report:?}");
    assert_eq!(report.quarantined[0].0, merged, "{report:?}");
    // They are merged again, and then the damaged one is superfluous, for Thanos too.
    let report = world.run();
    let again = report.merged.iter().find(|one| one.sources == before).unwrap().block.unwrap();
    assert_eq!(world.run().outdated, [merged]);
    let shown = world.shown();
    let again = shown.iter().find(|block| block.ulid() == again).unwrap();
    assert!(again.sources().len() > before.len());
}

#[test]
fn blocks_of_which_nothing_is_known_do_not_stop_others() {
    let (world, _) = world();
    let broken = Ulid::from_parts(1, 1);
    world.bucket.put(&format!("{broken}/meta.json"), Bytes::from_static(b"not json")).unwrap();
    world.bucket.put("hello/world", Bytes::from_static(b"?")).unwrap();
    assert_eq!(world.run().merged.len(), 3);
}
