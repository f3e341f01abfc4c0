//! What a checkpoint keeps.

use super::*;
use crate::base::varint::{put_text, put_uvarint};
use crate::disk::{FaultyDisk, MemoryDisk};
use crate::model::LabelsBuf;

fn metadata_record(rows: &[(u64, &str)]) -> Vec<u8> {
    let mut out = vec![6];
    for (series, help) in rows {
        put_uvarint(&mut out, *series);
        out.push(1);
        put_uvarint(&mut out, 2);
        for text in ["UNIT", "", "HELP", help] {
            put_text(&mut out, text);
        }
    }
    out
}

fn fold(disk: &SharedDisk, upto: u32, min_time_ms: i64) -> CheckpointStats {
    let keep = |series: SeriesRef| series.0 < 10;
    checkpoint(disk, dir(), upto, &options(Compression::Snappy), &keep, min_time_ms).unwrap()
}

fn checkpoint_records(disk: &SharedDisk, index: u32) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    replay(disk, &dir().join(format!("checkpoint.{index:08}")), None, &mut |_, record| {
        records.push(record.to_vec());
        Ok(())
    })
    .unwrap();
    records
}

#[test]
fn only_what_is_still_needed_is_kept() {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(Compression::None));
    let (a, b) = (labels(&[("l", "a")]), labels(&[("l", "b")]));
    let mut tombstones = Vec::new();
    let rows = [(1, 0, 99), (1, 0, 100), (11, 0, 500)];
    let row = |&(series, min, max): &(u64, i64, i64)| (SeriesRef(series), min, max);
    encode_tombstones(&mut tombstones, rows.iter().map(row));
    let batch: [&[u8]; 7] = [
        &series_record(&[(1, &a), (11, &b)]),
        &samples_record(&[(1, 99, 0.5), (1, 100, 1.5), (11, 101, 2.5)]),
        &samples_record(&[(1, 50, 0.5)]),
        &metadata_record(&[(1, "old"), (11, "gone")]),
        &tombstones,
        &metadata_record(&[(2, "other"), (1, "new")]),
        &[200, 1, 2, 3],
    ];
    wal.log(&batch).unwrap();
    wal.cut().unwrap();
    wal.log(&[&samples_record(&[(1, 200, 0.0)])]).unwrap();

    let stats = fold(&disk, 0, 100);
    assert_eq!((stats.series, stats.dropped_series), (2, 1));
    assert_eq!((stats.samples, stats.dropped_samples), (4, 2));
    assert_eq!((stats.others, stats.dropped_others), (7, 4));
    assert!(stats.quarantined.is_empty());

    let records = checkpoint_records(&disk, 0);
    let kinds: Vec<u8> = records.iter().map(|record| record[0]).collect();
    assert_eq!(kinds, [1, 2, 3, 6]);
    assert_eq!(records[0], series_record(&[(1, &a)]));
    let mut samples = Vec::new();
    decode_samples(&records[1], |series, s| samples.push((series.0, s.timestamp_ms, s.value)))
        .unwrap();
    assert_eq!(samples, [(1, 100, 1.5), (11, 101, 2.5)]);
    let mut deleted = Vec::new();
    decode_tombstones(&records[2], |series, min, max| deleted.push((series.0, min, max))).unwrap();
    assert_eq!(deleted, [(1, 0, 100)]);
    assert_eq!(records[3], metadata_record(&[(1, "new"), (2, "other")]));
    // The log tells the checkpoint in place of the first segment.
    assert_eq!(replayed(&disk).unwrap().0.len(), 5);
}

#[test]
fn a_checkpoint_builds_on_the_one_before() {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(Compression::Zstd));
    let a = labels(&[("l", "a")]);
    wal.log(&[&series_record(&[(1, &a)])]).unwrap();
    for segment in 0..6 {
        wal.log(&[&samples_record(&[(1, segment, 0.0)])]).unwrap();
        wal.cut().unwrap();
    }
    fold(&disk, 1, 1);
    wal.remove_before(2).unwrap();
    let stats = fold(&disk, 3, 2);
    assert_eq!((stats.series, stats.samples, stats.dropped_samples), (1, 3, 1));
    wal.remove_before(4).unwrap();
    remove_checkpoints_before(&*disk, dir(), 3).unwrap();
    let names: Vec<String> =
        disk.list(dir()).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["00000004", "00000005", "00000006", "checkpoint.00000003"]);
    let mut buf = LabelsBuf::new();
    let (records, end) = replayed(&disk).unwrap();
    decode_series(&records[0], &mut buf, |_, found| assert_eq!(found, a.as_ref())).unwrap();
    assert_eq!((records.len(), end.checkpoint), (5, Some(3)));
    // A log whose segments are all folded in goes on behind the checkpoint.
    drop(wal);
    for name in &names[..3] {
        disk.remove_file(&dir().join(name)).unwrap();
    }
    assert_eq!(open(&disk, options(Compression::None)).current(), Position::start_of(4));
}

#[test]
fn segments_that_are_missing_do_not_stop_a_checkpoint() {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(Compression::None));
    for time in 0..6 {
        wal.log(&[&samples_record(&[(1, time, 0.5)])]).unwrap();
        wal.cut().unwrap();
    }
    fold(&disk, 1, 0);
    wal.remove_before(4).unwrap();
    let stats = fold(&disk, 5, 0);
    // The two of the checkpoint, and those of 4 and 5.
    assert_eq!((stats.missing_segments, stats.samples), (2, 4));
    assert_eq!(last_checkpoint(&*disk, dir()).unwrap(), Some(5));
}

#[test]
fn what_cannot_be_read_stops_a_checkpoint_until_it_is_told_to_go_on() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), options(Compression::None));
    for time in 0..900 {
        wal.log(&[&samples_record(&vec![(1, time, 0.5); 40])]).unwrap();
    }
    let last = wal.cut().unwrap();
    assert!(last > 4);
    let path = dir().join("00000002");
    let size = disk.read(&path).unwrap().len();
    disk.set_unreadable(&path, 33_000..33_001).unwrap();
    let (all, keep) = (shared(&disk), |_: SeriesRef| true);
    let kept = Kept { keep: &keep, min_time_ms: 0 };
    let fold = |unreadable| checkpoint_with(&all, dir(), 3, wal.options(), kept, unreadable);
    let failed = fold(Unreadable::Fail).unwrap_err();
    assert!(matches!(failed, WalError::Io { what: "read", .. }), "{failed}");
    assert_eq!(wal.segments().unwrap(), Some((0, last)));
    let stats = fold(Unreadable::PassOver).unwrap();
    let [(corruption, name)] = stats.quarantined.as_slice() else { panic!("{stats:?}") };
    assert_eq!((corruption.segment, name.as_path()), (2, dir().join("00000002.corrupt").as_path()));
    assert!(matches!(corruption.fault, Fault::Unreadable(_)), "{corruption}");
    assert_eq!(disk.read(name).unwrap().len(), size);
    // Segments before it went too, so that there is no hole.
    assert_eq!(wal.segments().unwrap(), Some((3, last)));
    // Of segment 2 only what touches the second of its two pages is gone.
    let lost = 33_000 / 480;
    let (got, end) = replayed(&all).unwrap();
    assert!(got.len() > 900 - 2 * lost && got.len() < 900, "{} {end:?}", got.len());
}

/// A checkpoint that fails on damage fails for ever, and the log fills the disk (issue 18552).
#[test]
fn damage_does_not_stop_a_checkpoint() {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(Compression::None));
    for number in 0..30 {
        let rows: Vec<_> = (0..200).map(|i| (1, number * 200 + i, 0.25)).collect();
        wal.log(&[&samples_record(&rows)]).unwrap();
    }
    // Framing and checksum are right, the content is not.
    wal.log(&[&[2, 0, 0]]).unwrap();
    wal.log(&[&samples_record(&[(1, 6000, 0.0)])]).unwrap();
    let last = wal.cut().unwrap();
    let path = dir().join("00000000");
    let mut bytes = disk.read(&path).unwrap();
    bytes[10_000] ^= 1;
    disk.create(&path).unwrap().write_all(&bytes).unwrap();
    let stats = fold(&disk, last - 1, 0);
    assert!((6001 - 400..6001).contains(&stats.samples), "{stats:?}");
    assert_eq!(stats.dropped_samples, 0);
    assert!(!stats.quarantined.is_empty());
    assert!(stats.quarantined.iter().all(|(_, kept)| disk.exists(kept)));
    assert!(stats.quarantined.iter().all(|(corruption, _)| !disk.exists(&corruption.path)));
    assert_eq!(wal.segments().unwrap().map(|segments| segments.1), Some(last));
    let mut newest = 0;
    for record in checkpoint_records(&disk, last - 1) {
        decode_times(&record, |_, time| newest = newest.max(time)).unwrap();
    }
    assert_eq!(newest, 6000);
}

#[test]
fn a_checkpoint_that_finds_no_room_leaves_the_log_as_it_was() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), options(Compression::None));
    for number in 0..100 {
        let rows: Vec<_> = (0..2_000).map(|i| (1, number * 2_000 + i, i as f64)).collect();
        wal.log(&[&samples_record(&rows)]).unwrap();
    }
    let last = wal.cut().unwrap();
    let before = replayed(&shared(&disk)).unwrap().0;
    disk.set_full(true);
    let keep = |_: SeriesRef| true;
    let disk_of_all = shared(&disk);
    let failed = checkpoint(&disk_of_all, dir(), last - 1, wal.options(), &keep, 0).unwrap_err();
    assert!(matches!(failed, WalError::Io { what: "write", .. }), "{failed}");
    assert!(replayed(&disk_of_all).unwrap().0 == before);
    assert!(disk.list(dir()).unwrap().iter().all(|entry| !entry.is_dir));
}

#[test]
fn two_thirds_of_the_closed_segments_may_go() {
    assert_eq!(truncatable(0, 0), None);
    assert_eq!(truncatable(0, 1), None);
    assert_eq!(truncatable(0, 2), None);
    assert_eq!(truncatable(0, 3), Some(1));
    assert_eq!(truncatable(10, 20), Some(16));
    assert_eq!(truncatable(0, u32::MAX), Some(2_863_311_529));
}
