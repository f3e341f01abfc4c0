//! The log in batches, against the log record by record.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::disk::MemoryDisk;
use crate::model::stale_nan;

fn logged(lengths: &[usize], compression: Compression) -> SharedDisk {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(compression));
    for (number, length) in lengths.iter().enumerate() {
        wal.log(&[&numbered(number as u64, *length)]).unwrap();
    }
    wal.close().unwrap();
    disk
}

/// A copy of the log's folder on a disk of its own.
fn copy(disk: &SharedDisk) -> SharedDisk {
    let copy = MemoryDisk::shared();
    copy.create_dir_all(dir()).unwrap();
    for entry in disk.list(dir()).unwrap() {
        let path = dir().join(&entry.name);
        copy.create(&path).unwrap().write_all(&disk.read(&path).unwrap()).unwrap();
    }
    copy
}

fn zero(disk: &SharedDisk, segment: u32, range: Range<usize>) {
    let path = dir().join(format!("{segment:08}"));
    let mut bytes = disk.read(&path).unwrap();
    let end = range.end.min(bytes.len());
    bytes[range.start.min(end)..end].fill(0x55);
    disk.create(&path).unwrap().write_all(&bytes).unwrap();
}

fn in_batches(disk: &SharedDisk, refuse: Option<u64>) -> (Vec<Vec<u8>>, Recovery) {
    let mut records = Vec::new();
    let mut reader = BatchReader::new();
    let recovery = recover_batches(disk, dir(), None, &mut |batch| {
        let mut refused = Refused::new();
        for index in 0..batch.len() {
            match reader.record(batch, index) {
                Ok(record) if Some(number_of(record)) == refuse => {
                    refused.push((index, RecordError::Text));
                }
                Ok(record) => records.push(record.to_vec()),
                Err(error) => refused.push((index, error)),
            }
        }
        assert_eq!(reader.record(batch, batch.len()), Err(RecordError::Truncated));
        refused
    });
    (records, recovery.unwrap())
}

fn names(disk: &SharedDisk) -> Vec<(String, Vec<u8>)> {
    let entries = disk.list(dir()).unwrap().into_iter();
    entries.map(|entry| (entry.name.clone(), disk.read(&dir().join(entry.name)).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn batches_tell_what_the_records_tell(
        lengths in vec(8_usize..9000, 1..120),
        damage in vec((0_u32..4, 0_usize..70_000, 1_usize..50), 0..3),
        compression in prop::sample::select(ALL.to_vec()),
        refuse in prop::option::of(0_u64..40),
    ) {
        let disk = logged(&lengths, compression);
        for (segment, at, len) in damage {
            if disk.exists(&dir().join(format!("{segment:08}"))) {
                zero(&disk, segment, at..at + len);
            }
        }
        let other = copy(&disk);
        let mut wanted = Vec::new();
        let recovery = recover(&disk, dir(), None, &mut |_, record| {
            if Some(number_of(record)) == refuse {
                return Err(RecordError::Text);
            }
            wanted.push(record.to_vec());
            Ok(())
        })
        .unwrap();
        let (got, in_batches) = in_batches(&other, refuse);
        prop_assert!(got == wanted);
        let places = |recovery: &Recovery| -> Vec<(u32, u64)> {
            recovery.quarantined.iter().map(|(it, _)| (it.segment, it.offset_bytes)).collect()
        };
        prop_assert_eq!(places(&in_batches), places(&recovery));
        prop_assert_eq!(in_batches.end.end.is_some(), recovery.end.end.is_some());
        prop_assert!(names(&other) == names(&disk));
    }
}

#[test]
fn a_checkpoint_and_the_segments_behind_it_come_in_order() {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(Compression::Snappy));
    let up = labels(&[("__name__", "up")]);
    wal.log(&[&series_record(&[(1, &up)])]).unwrap();
    for time in 0..4000 {
        wal.log(&[&samples_record(&[(1, time, stale_nan())])]).unwrap();
        if time % 1000 == 999 {
            wal.cut().unwrap();
        }
    }
    checkpoint(&disk, dir(), 1, &options(Compression::None), &|_| true, 1500).unwrap();
    wal.remove_before(2).unwrap();
    drop(wal);
    let (records, end) = replayed(&disk).unwrap();
    let (mut got, mut places) = (Vec::new(), Vec::new());
    let mut reader = BatchReader::new();
    let recovery = recover_batches(&disk, dir(), None, &mut |batch| {
        for index in 0..batch.len() {
            got.push(reader.record(batch, index).unwrap().to_vec());
            places.push(batch.position(index).unwrap());
        }
        Refused::new()
    })
    .unwrap();
    assert!(got == records && recovery.is_clean());
    assert_eq!((recovery.end.end, recovery.end.records), (end.end, end.records));
    assert!(places.is_sorted() && places[0].is_in_checkpoint());
}

#[test]
fn a_log_that_is_not_there_is_empty() {
    let (records, recovery) = in_batches(&MemoryDisk::shared(), None);
    assert!(records.is_empty() && recovery.is_clean());
}
