//! Damage is an error that says where it is; it is never a panic and never another's sample.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::base::varint::Cursor;
use crate::disk::MemoryDisk;
use crate::model::{MatchOp, Matcher};
use crate::series::QueryError;
use crate::storage::block::{Block, BlockError, BlockScan};
use crate::testkit::golden;

/// Where a checksum is, and of what.
struct Seal {
    body: std::ops::Range<usize>,
    checksum: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn seal(body: std::ops::Range<usize>) -> Seal {
    Seal { checksum: body.end, body }
}

/// All checksums of a sound index.
fn seals(index: &[u8]) -> Vec<Seal> {
    let toc = index.len() - 52;
    let offset = |slot: usize| u32_at(index, toc + slot * 8 + 4);
    let section = |at: usize| seal(at + 4..at + 4 + u32_at(index, at));
    let mut seals = vec![section(offset(0)), section(offset(5)), seal(toc..toc + 48)];
    let mut at = offset(1).next_multiple_of(16);
    while at < offset(2) {
        let mut cursor = Cursor::new(&index[at..]);
        let length = cursor.uvarint().unwrap() as usize;
        let start = index.len() - cursor.len();
        seals.push(seal(start..start + length));
        at = (start + length + 4).next_multiple_of(16);
    }
    let mut at = offset(4).next_multiple_of(4);
    while at < offset(5) {
        seals.push(section(at));
        at = (at + 4 + u32_at(index, at) + 4).next_multiple_of(4);
    }
    seals
}

/// Reads everything there is to read; what it says does not matter.
fn walk(index: Bytes) {
    let Ok(index) = IndexReader::open(index) else { return };
    let mut scratch = SeriesScratch::default();
    for id in select_postings(&index, &[]).unwrap_or_default().into_iter().take(1000) {
        let _ = index.series(id, &mut scratch);
        let _ = index.check_label(id, "instance", &mut |value| !value.is_empty());
    }
    for (name, op, value) in [
        ("instance", MatchOp::Equal, "10.0.0.1:9100"),
        ("instance", MatchOp::Regex, "10.*"),
        ("job", MatchOp::NotEqual, ""),
        ("kind", MatchOp::NotRegex, "g.*"),
    ] {
        let _ = select_postings(&index, &[Matcher::new(name, op, value).unwrap()]);
    }
    let _ = index.label_values("instance", &mut |_| true);
    assert!(index.label_names().count() < 1000);
    index.symbols().take(1000).for_each(drop);
}

fn index_bytes() -> Vec<u8> {
    RealDisk.read(&golden_blocks()[1].join("index")).unwrap()
}

fn flips() -> impl Strategy<Value = Vec<(usize, u8)>> {
    proptest::collection::vec(any::<(usize, u8)>(), 1..4)
}

proptest! {
    #[test]
    fn flipped_bits_of_an_index_never_panic(flips in flips()) {
        let mut index = index_bytes();
        for (at, flip) in flips {
            let at = at % index.len();
            index[at] ^= flip;
        }
        walk(index.into());
    }

    #[test]
    fn an_index_that_lies_under_a_true_checksum_never_panics(
        flips in flips(), cut in 0_usize..100,
    ) {
        let mut index = index_bytes();
        let seals = seals(&index);
        for (at, flip) in flips {
            let at = at % index.len();
            index[at] ^= flip;
        }
        for seal in seals {
            let checksum = crc32c::crc32c(&index[seal.body]);
            index[seal.checksum..seal.checksum + 4].copy_from_slice(&checksum.to_be_bytes());
        }
        walk(Bytes::from(index.clone()));
        index.truncate(index.len() - cut);
        walk(index.into());
    }
}

#[test]
fn the_checksums_of_an_index_are_where_they_are_looked_for() {
    let index = index_bytes();
    let seals = seals(&index);
    assert!(seals.len() > 50);
    for seal in seals {
        assert_eq!(crc32c::crc32c(&index[seal.body]) as usize, u32_at(&index, seal.checksum));
    }
}

fn copy_of(block: &Path, to: &Path) {
    RealDisk.create_dir_all(&to.join("chunks")).unwrap();
    for name in ["meta.json", "index", "chunks/000001", "tombstones"] {
        let mut file = RealDisk.create(&to.join(name)).unwrap();
        file.write_all(&RealDisk.read(&block.join(name)).unwrap()).unwrap();
    }
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = RealDisk.read(path).unwrap();
    change(&mut bytes);
    RealDisk.create(path).unwrap().write_all(&bytes).unwrap();
}

#[test]
fn a_damaged_chunk_is_named_by_block_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("01M83B5J6D55256XHX7TQ9VNE2");
    copy_of(&golden_blocks()[0], &copy);
    rewrite(&copy.join("chunks/000001"), |bytes| bytes[30] ^= 1);
    let block = Block::open(&disk(), &copy).unwrap();
    let set = block.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    let mut column = Column::new();
    let error = set.series[0].read(TimeRange::ALL, &mut column).unwrap_err();
    let QueryError::Corrupt(what) = &error else { panic!("{error}") };
    assert!(what.contains("01M83B5J6D55256XHX7TQ9VNE2/chunks/000001: at offset 8: "), "{what}");
    assert!(column.is_empty());
    // The others are still there.
    set.series[1].read(TimeRange::ALL, &mut column).unwrap();
    assert!(!column.is_empty());
}

#[test]
fn a_damaged_series_entry_is_named_by_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("01M83B5J6D55256XHX7TQ9VNE2");
    copy_of(&golden_blocks()[0], &copy);
    let (_, series) = contents(&copy);
    let offset = u64::from(series[3].0) * 16;
    rewrite(&copy.join("index"), |bytes| bytes[offset as usize + 5] ^= 1);
    let block = Block::open(&disk(), &copy).unwrap();
    let error = block.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap_err();
    let place = format!("/index: at offset {offset}: series entry");
    assert!(matches!(&error, QueryError::Corrupt(what) if what.contains(&place)), "{error}");
}

#[test]
fn what_is_missing_or_foreign_does_not_open() {
    type Damage = (&'static str, fn(&Path));
    let damage: [Damage; 6] = [
        ("meta.json", |path| RealDisk.remove_file(path).unwrap()),
        ("meta.json", |path| rewrite(path, |bytes| bytes.truncate(20))),
        ("index", |path| rewrite(path, |bytes| bytes[4] = 1)),
        ("index", |path| rewrite(path, |bytes| bytes.truncate(100))),
        ("chunks/000001", |path| rewrite(path, |bytes| bytes[0] = 0)),
        ("tombstones", |path| rewrite(path, |bytes| bytes.truncate(5))),
    ];
    for (name, damage) in damage {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("01M83B5J6D55256XHX7TQ9VNE2");
        copy_of(&golden_blocks()[0], &copy);
        damage(&copy.join(name));
        let error = Block::open(&disk(), &copy).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let missing = Block::open(&disk(), Path::new("/does/not/exist")).unwrap_err();
    assert!(matches!(missing, BlockError::Io { .. }));
}

/// Everything that the block answers, or why it does not.
fn answers(disk: &SharedDisk, block: &Path) -> Result<Vec<(Labels, Column)>, String> {
    let block = Block::open(disk, block).map_err(|error| error.to_string())?;
    let text = |error: QueryError| error.to_string();
    let mut all = Vec::new();
    for series in block.select(&Select::new(Vec::new(), TimeRange::ALL)).map_err(text)?.series {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).map_err(text)?;
        all.push((series.labels().clone(), column));
    }
    for name in block.label_names(&Select::new(Vec::new(), TimeRange::ALL)).map_err(text)? {
        let ask = Select::new(vec![Matcher::equal(&name, "none")], TimeRange::ALL);
        block.label_values(&name, &ask).map_err(text)?;
    }
    let (numbers, mut chunks) = ((0..block.symbol_count() as u32).collect(), Vec::new());
    let mut scan = BlockScan::new(&block, numbers).map_err(|error| error.to_string())?;
    while scan.advance().map_err(|error| error.to_string())? {
        scan.chunks(&mut chunks).map_err(|error| error.to_string())?;
    }
    Ok(all)
}

fn is_same(a: &[(Labels, Column)], b: &[(Labels, Column)]) -> bool {
    let same = |(a, b): (&(Labels, Column), &(Labels, Column))| {
        a.0 == b.0 && golden::difference(&a.1, &b.1).is_none()
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

proptest! {
    #[test]
    fn damage_to_any_file_is_an_error_with_its_place_and_changes_nothing(
        block in 0_usize..8, name in 0_usize..4, at: usize, bit in 0_u8..8, cuts: bool,
    ) {
        let blocks = [golden_blocks(), golden::blocks("start-timestamps")].concat();
        let memory = MemoryDisk::shared();
        let dir = Path::new("01M83B5J6D55256XHX7TQ9VNE2");
        golden::copy_to(&*memory, &blocks[block % blocks.len()], dir);
        let sound = answers(&memory, dir).unwrap();
        let name = ["meta.json", "index", "tombstones", "chunks/000001"][name];
        let path = dir.join(name);
        let mut bytes = memory.read(&path).unwrap();
        let at = at % bytes.len();
        if cuts {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        memory.create(&path).unwrap().write_all(&bytes).unwrap();
        match answers(&memory, dir) {
            // Some bytes say nothing: padding, and numbers for the reader of `meta.json`.
            Ok(found) => prop_assert!(name == "meta.json" || is_same(&found, &sound), "{}", name),
            Err(error) => {
                let is_named = error.contains(name);
                let is_placed = error.contains("offset") || error.contains("version");
                prop_assert!(is_named && is_placed, "{} {} {}: {}", name, at, cuts, error);
            }
        }
        prop_assert_eq!(memory.read(&path).unwrap(), bytes);
    }
}
