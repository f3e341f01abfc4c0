//! Damaged logs: nothing panics, nothing before or behind the damage is lost.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::disk::{Crash, FaultyDisk, MemoryDisk};

/// Lengths that meet the borders of pages, and others.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![8_usize..300, 32_700_usize..32_800, 65_400_usize..65_600, 8_usize..40_000]
}

struct Logged {
    disk: SharedDisk,
    records: Vec<Vec<u8>>,
    /// Where each record starts at the earliest and ends.
    extents: Vec<(Position, Position)>,
}

fn logged(lengths: &[usize], compression: Compression) -> Logged {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(compression));
    let (mut records, mut extents) = (Vec::new(), Vec::new());
    for (number, len) in lengths.iter().enumerate() {
        let record = numbered(number as u64, *len);
        let before = wal.current();
        let after = wal.log(&[&record]).unwrap();
        let start = if after.segment == before.segment {
            before
        } else {
            Position::start_of(after.segment)
        };
        extents.push((start, after));
        records.push(record);
    }
    Logged { disk, records, extents }
}

fn rewrite(disk: &SharedDisk, segment: u32, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir().join(format!("{segment:08}"));
    let mut bytes = disk.read(&path).unwrap();
    change(&mut bytes);
    disk.create(&path).unwrap().write_all(&bytes).unwrap();
}

fn last_segment(disk: &SharedDisk) -> (u32, u64) {
    let entries = disk.list(dir()).unwrap();
    let last = entries.last().unwrap();
    (last.name.parse().unwrap(), last.len_bytes)
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Snappy), Just(Compression::Zstd)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_logged_is_read_back(
        lengths in vec(length(), 0..30), compression in compression(), group in 1_usize..5,
    ) {
        let disk = MemoryDisk::shared();
        let mut wal = open(&disk, options(compression));
        let record = |(number, len): (usize, &usize)| numbered(number as u64, *len);
        let records: Vec<Vec<u8>> = lengths.iter().enumerate().map(record).collect();
        for batch in records.chunks(group) {
            let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
            let end = wal.log(&batch).unwrap();
            prop_assert_eq!(end, wal.current());
        }
        let (got, end) = replayed(&disk).unwrap();
        prop_assert!(got == records && end.torn.is_none());
        wal.close().unwrap();
        prop_assert!(replayed(&disk).unwrap().0 == records);
    }

    #[test]
    fn a_cut_tail_is_an_ordinary_end(
        lengths in vec(length(), 1..20), compression in compression(), cut in any::<u64>(),
    ) {
        let log = logged(&lengths, compression);
        let (last, len) = last_segment(&log.disk);
        let left = cut % (len + 1);
        rewrite(&log.disk, last, |bytes| bytes.truncate(left as usize));
        let (got, end) = replayed(&log.disk).unwrap();
        let is_whole = |extent: &&(Position, Position)| {
            extent.1.segment < last || extent.1.offset_bytes <= left
        };
        let whole = log.extents.iter().filter(is_whole).count();
        // A page's padding may be cut without cutting a record.
        prop_assert!(got.len() >= whole && got[..] == log.records[..got.len()]);

        // Writing goes on behind it, and the log has no damage in its middle.
        let mut wal = open(&log.disk, options(compression));
        wal.log(&[b"something new"]).unwrap();
        let (again, new_end) = replayed(&log.disk).unwrap();
        prop_assert!(new_end.torn.is_none());
        prop_assert_eq!(again.len(), got.len() + 1);
        prop_assert_eq!(end.records, got.len() as u64);
    }

    #[test]
    fn flipped_bytes_cost_only_what_they_hit(
        lengths in vec(length(), 2..20), compression in compression(),
        flips in vec((any::<u64>(), 1_u8..), 1..4),
    ) {
        let log = logged(&lengths, compression);
        let (last, _) = last_segment(&log.disk);
        let mut hit = Vec::new();
        for (place, mask) in flips {
            let segment = (place >> 32) as u32 % (last + 1);
            rewrite(&log.disk, segment, |bytes| {
                if !bytes.is_empty() {
                    let offset = (place as u32) as usize % bytes.len();
                    bytes[offset] ^= mask;
                    hit.push(Position { segment, offset_bytes: offset as u64 });
                }
            });
        }
        let untouched = replayed(&log.disk);
        let first_hit = hit.iter().min();
        let before = |extent: &&(Position, Position)| {
            first_hit.is_none_or(|hit| extent.1 <= *hit)
        };
        let before = log.extents.iter().filter(before).count();
        if let Ok((got, _)) = untouched {
            prop_assert!(got.len() >= before && got[..before] == log.records[..before]);
        }
        let (got, recovery) = recovered(&log.disk);
        prop_assert!(got.len() >= before && got[..before] == log.records[..before]);
        let kept: Vec<u64> = got.iter().map(|record| number_of(record)).collect();
        prop_assert!(kept.is_sorted(), "{:?}", kept);
        for (number, (start, end)) in log.extents.iter().enumerate() {
            if hit.iter().all(|hit| hit.segment != end.segment) {
                prop_assert!(got.contains(&log.records[number]), "{} {:?}", number, start);
            }
        }
        // After the quarantine the log reads without damage and tells the same.
        let (again, end) = replayed(&log.disk).unwrap();
        prop_assert!(again == got);
        prop_assert!(recovery.quarantined.iter().all(|(_, kept)| log.disk.exists(kept)));
        prop_assert!(end.torn.is_none() || recovery.end.torn.is_some());
        let (last_again, second) = recovered(&log.disk);
        prop_assert!(last_again == got && second.is_clean());
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        pieces in vec(
            (vec(prop_oneof![Just(0_u8), 0_u8..32, any::<u8>()], 0..60), 0_usize..9_000), 0..16,
        ),
    ) {
        let disk = MemoryDisk::shared();
        disk.create_dir_all(dir()).unwrap();
        let mut out = disk.create(&dir().join("00000000")).unwrap();
        for (bytes, zeros) in &pieces {
            out.write_all(bytes).unwrap();
            out.write_all(&vec![0; *zeros]).unwrap();
        }
        let _ = replayed(&disk);
        let mut tail = Tail::open(disk.clone(), dir(), None).unwrap();
        let mut record = Vec::new();
        for _ in 0..100 {
            let _ = tail.next(&mut record);
        }
        let (got, _) = recovered(&disk);
        drop(open(&disk, options(Compression::None)));
        prop_assert!(replayed(&disk).unwrap().0 == got);
    }
}

#[test]
fn damage_is_reported_with_segment_and_offset() {
    let log = logged(&[100, 20_000, 20_000, 20_000, 100], Compression::None);
    let start = log.extents[1].0;
    rewrite(&log.disk, start.segment, |bytes| bytes[start.offset_bytes as usize + 50] ^= 1);
    let Err(WalError::Corrupt(found)) = replayed(&log.disk) else { panic!("not found") };
    assert_eq!((found.segment, found.offset_bytes), (0, start.offset_bytes));
    assert!(matches!(found.fault, Fault::Checksum { .. }));
}

#[test]
fn a_bad_record_costs_only_itself() {
    let log = logged(&[500; 300], Compression::None);
    let start = log.extents[20].0;
    rewrite(&log.disk, start.segment, |bytes| bytes[start.offset_bytes as usize + 50] ^= 1);
    let before = disk_bytes(&log.disk, start.segment);
    let (got, recovery) = recovered(&log.disk);
    let mut want = log.records.clone();
    want.remove(20);
    assert!(got == want);
    let [(corruption, kept)] = &recovery.quarantined[..] else { panic!("{recovery:?}") };
    assert_eq!(corruption.offset_bytes, start.offset_bytes);
    assert_eq!(kept, &dir().join("00000000.corrupt"));
    assert!(log.disk.read(kept).unwrap() == before[start.offset_bytes as usize..]);
}

fn disk_bytes(disk: &SharedDisk, segment: u32) -> Vec<u8> {
    disk.read(&dir().join(format!("{segment:08}"))).unwrap()
}

#[test]
fn a_record_that_its_receiver_refuses_is_put_aside() {
    let log = logged(&[500; 10], Compression::Snappy);
    let mut got = 0;
    let recovery = recover(&log.disk, dir(), None, &mut |_, record| {
        got += 1;
        let is_bad = number_of(record) == 4 || number_of(record) == 7;
        if is_bad { Err(RecordError::Truncated) } else { Ok(()) }
    });
    assert_eq!(got, 10);
    assert_eq!(recovery.unwrap().quarantined.len(), 1);
    let numbers: Vec<u64> =
        replayed(&log.disk).unwrap().0.iter().map(|record| number_of(record)).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 5, 6, 8, 9]);
}

#[test]
fn empty_segments_and_zeros_behind_the_records_are_no_damage() {
    let log = logged(&[500; 10], Compression::Snappy);
    rewrite(&log.disk, 0, |bytes| bytes.resize(KIB_64 as usize * 2, 0));
    log.disk.create(&dir().join("00000001")).unwrap();
    let (got, end) = replayed(&log.disk).unwrap();
    assert!(got == log.records && end.torn.is_none());
    let wal = open(&log.disk, options(Compression::None));
    assert_eq!(wal.current(), Position::start_of(2));
}

#[test]
fn a_record_that_lost_its_last_pages_to_zeros_is_torn() {
    let log = logged(&[100, 50_000], Compression::None);
    rewrite(&log.disk, 0, |bytes| bytes[40_000..].fill(0));
    let (got, end) = replayed(&log.disk).unwrap();
    assert!(got == log.records[..1]);
    assert_eq!(end.torn.unwrap().offset_bytes, log.extents[1].0.offset_bytes);
}

#[test]
fn a_lost_page_inside_of_a_record_is_damage_when_something_follows() {
    let log = logged(&[100, 80_000, 100], Compression::None);
    assert_eq!(log.extents[1].0, Position::start_of(1));
    rewrite(&log.disk, 1, |bytes| bytes[32_768..65_536].fill(0));
    let Err(WalError::Corrupt(found)) = replayed(&log.disk) else { panic!("not found") };
    assert_eq!((found.segment, found.fault), (1, Fault::Torn));
    assert!(recovered(&log.disk).0 == [&log.records[..1], &log.records[2..]].concat());
}

#[test]
fn a_hole_in_the_numbers_is_refused_and_then_closed() {
    let log = logged(&[30_000; 12], Compression::None);
    log.disk.remove_file(&dir().join("00000002")).unwrap();
    let hole =
        |error: Option<WalError>| matches!(error, Some(WalError::Gap { after: 1, found: 3 }));
    assert!(hole(replayed(&log.disk).err()));
    let opened = Wal::open(log.disk.clone(), dir(), WalOptions::default(), &metrics());
    assert!(hole(opened.err()));
    let (got, recovery) = recovered(&log.disk);
    assert_eq!((got.len(), recovery.missing_segments), (10, 1));
    assert!(replayed(&log.disk).unwrap().0 == got);
}

#[test]
fn a_hole_behind_the_checkpoint_is_closed_too() {
    let log = logged(&[30_000; 12], Compression::None);
    let keep = |_: SeriesRef| true;
    checkpoint(&log.disk, dir(), 1, &options(Compression::None), &keep, 0).unwrap();
    for segment in ["00000000", "00000001", "00000002"] {
        log.disk.remove_file(&dir().join(segment)).unwrap();
    }
    let refused = replayed(&log.disk).err();
    assert!(matches!(refused, Some(WalError::Gap { after: 1, found: 3 })));
    let (got, recovery) = recovered(&log.disk);
    assert_eq!((got.len(), recovery.missing_segments), (6, 1));
    assert!(replayed(&log.disk).unwrap().0 == got);
}

#[test]
fn a_recovery_may_crash_anywhere() {
    let damage = |disk: &FaultyDisk| {
        let handle = shared(disk);
        let mut wal = open(&handle, options(Compression::None));
        for number in 0..30 {
            wal.log(&[&numbered(number, 9_000)]).unwrap();
        }
        wal.sync().unwrap();
        for segment in [0, 2] {
            rewrite(&handle, segment, |bytes| bytes[20_000] ^= 1);
            disk.append(&dir().join(format!("{segment:08}"))).unwrap().sync().unwrap();
        }
        handle
    };
    let whole = FaultyDisk::new();
    let handle = damage(&whole);
    let before = whole.counts().operations;
    let (want, recovery) = recovered(&handle);
    assert_eq!((want.len(), recovery.quarantined.len()), (28, 2));
    for operation in before + 1..=whole.counts().operations {
        let disk = FaultyDisk::new();
        let handle = damage(&disk);
        disk.freeze_at(operation);
        recover(&handle, dir(), None, &mut |_, _| Ok(())).unwrap_err();
        for crash in [Crash::Process, Crash::Power, Crash::PowerMixed(operation)] {
            let next = shared(&disk.crash(crash));
            assert!(recovered(&next).0 == want, "{operation} {crash:?}");
            assert!(replayed(&next).unwrap().0 == want, "{operation} {crash:?}");
        }
    }
}

#[test]
fn what_an_interrupted_repair_moved_away_is_found_again() {
    for segment in ["00000002", "00000005"] {
        let log = logged(&[30_000; 12], Compression::None);
        let path = dir().join(segment);
        log.disk.rename(&path, &path.with_extension("repair")).unwrap();
        let (got, recovery) = recovered(&log.disk);
        assert!(got == log.records && recovery.missing_segments == 1, "{segment}");
    }
}
