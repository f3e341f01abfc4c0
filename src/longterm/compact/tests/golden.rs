//! What Thanos's compactor made of two replicas.

use super::*;
use crate::disk::RealDisk;
use crate::series::Dedup;
use crate::storage::block::BlockScan;

const FOLDER: &str = "testdata/golden/thanos/dedup-compact";

fn only_block(folder: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(folder);
    let blocks = RealDisk::shared().list(&dir).unwrap();
    dir.join(&blocks[0].name)
}

type Pairs = Vec<(String, String)>;

/// Series by label texts, with all chunks.
fn chunks(block: &Block) -> Vec<(Pairs, Vec<Chunk>)> {
    let symbols: Vec<String> = block.symbols().map(|symbol| symbol.unwrap().to_owned()).collect();
    let numbers = (0..symbols.len() as u32).collect();
    let mut scan = BlockScan::new(block, numbers).unwrap();
    let mut all = Vec::new();
    while scan.advance().unwrap() {
        let text = |number: u32| symbols[number as usize].clone();
        let labels: Vec<_> =
            scan.labels().iter().map(|(name, value)| (text(*name), text(*value))).collect();
        let mut chunks = Vec::new();
        scan.chunks(&mut chunks).unwrap();
        all.push((labels, chunks));
    }
    all
}

#[test]
fn penalty_gives_the_block_of_thanos() {
    let mut world = World::new();
    world.disk = RealDisk::shared();
    let work = tempfile::tempdir().unwrap();
    world.options = CompactOptions::new(work.path().join("work"));
    world.options.replica_labels = vec!["replica".to_owned()];
    world.options.dedup = Dedup::Penalty;
    world.options.downsampling = false;
    for folder in ["a", "b"] {
        let dir = only_block(folder);
        let meta = BlockMeta::read(&*world.disk, &dir).unwrap();
        let thanos = ThanosMeta::of(&meta).unwrap().unwrap();
        let options = UploadOptions::default();
        upload_block(&world.bucket, &world.disk, &dir, &thanos, &options).unwrap();
    }
    world.options.consistency_delay_ms = i64::MIN;
    let report = world.run();
    assert_eq!(report.merged.len(), 1, "{report:?}");
    let shown = world.shown();
    let merged = &shown[0];
    let dir = work.path().join("read");
    download_block(&world.bucket, merged, &world.disk, &dir, &|_| ()).unwrap();
    let ours = Block::open(&world.disk, &dir.join(merged.ulid().to_string())).unwrap();
    let theirs = Block::open(&world.disk, &only_block("penalty")).unwrap();
    assert_eq!(chunks(&ours), chunks(&theirs));
    let section = ThanosMeta::of(theirs.meta()).unwrap().unwrap();
    assert_eq!(merged.thanos.labels, section.labels);
    assert_eq!(merged.thanos.index_stats, section.index_stats);
    assert_eq!(merged.meta.stats, theirs.meta().stats);
    assert_eq!(merged.meta.compaction.level, theirs.meta().compaction.level);
    assert_eq!(merged.meta.compaction.sources, theirs.meta().compaction.sources);
    let bytes = |block: &Block, name: &str| world.disk.read(&block.dir().join(name)).unwrap();
    assert!(bytes(&ours, "chunks/000001") == bytes(&theirs, "chunks/000001"), "chunk files differ");
    assert!(bytes(&ours, "index") == bytes(&theirs, "index"), "indexes differ");
}
