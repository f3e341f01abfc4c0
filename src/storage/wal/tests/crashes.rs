//! The machine stops at every single operation; nothing acknowledged may be missing.

use super::*;
use crate::disk::{Crash, FaultyDisk};

/// What a workload was told.
#[derive(Default)]
struct Told {
    /// Numbers of acknowledged records.
    acknowledged: Vec<u64>,
    /// How many of them a sync covers.
    synced: usize,
    /// The batch that was not acknowledged, if any.
    failed: Vec<u64>,
}

/// Logs, cuts, syncs, folds and removes until done or until the disk fails for good.
fn work(disk: &SharedDisk, told: &mut Told, go_on_after_failure: bool) -> Result<(), WalError> {
    let mut wal = Wal::open(disk.clone(), dir(), options(Compression::None), &metrics())?;
    let mut next = 0;
    for round in 0..24_u64 {
        let lengths = [40, 9_000 + round as usize * 700, 33_000, 8];
        let batch: Vec<Vec<u8>> = lengths
            .iter()
            .take(1 + round as usize % 4)
            .enumerate()
            .map(|(index, len)| numbered(next + index as u64, *len))
            .collect();
        next += batch.len() as u64;
        let records: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        told.failed = batch.iter().map(|record| number_of(record)).collect();
        match wal.log(&records) {
            Ok(_) => told.acknowledged.append(&mut told.failed),
            Err(error) if !go_on_after_failure => return Err(error),
            Err(_) => told.failed.clear(),
        }
        let step = match round % 6 {
            2 => wal.sync().map(|()| told.synced = told.acknowledged.len()),
            4 => wal.cut().map(|_| told.synced = told.acknowledged.len()),
            _ => Ok(()),
        };
        if !go_on_after_failure {
            step?;
        }
    }
    let closed = wal.close();
    if closed.is_ok() {
        told.synced = told.acknowledged.len();
    }
    closed
}

fn numbers(records: &[Vec<u8>]) -> Vec<u64> {
    records.iter().map(|record| number_of(record)).collect()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    let whole = FaultyDisk::new();
    work(&shared(&whole), &mut Told::default(), false).unwrap();
    let operations = whole.counts().operations;
    assert!(operations > 80, "{operations}");
    for operation in 1..=operations {
        let disk = FaultyDisk::new();
        disk.freeze_at(operation);
        let mut told = Told::default();
        work(&shared(&disk), &mut told, false).unwrap_err();
        let mut most = told.acknowledged.clone();
        most.extend(&told.failed);

        let next = shared(&disk.crash(Crash::Process));
        let (got, end) = replayed(&next).unwrap();
        let got = numbers(&got);
        assert!(got.len() >= told.acknowledged.len() && most.starts_with(&got), "{operation}");
        let mut wal = open(&next, options(Compression::None));
        wal.log(&[&numbered(1_000, 50)]).unwrap();
        let (again, new_end) = replayed(&next).unwrap();
        assert!(new_end.torn.is_none(), "{operation} {end:?}");
        assert_eq!(numbers(&again), [&got[..], &[1_000]].concat());

        let next = shared(&disk.crash(Crash::Power));
        let (got, recovery) = recovered(&next);
        assert!(recovery.is_clean(), "{operation} {recovery:?}");
        let got = numbers(&got);
        assert!(got.len() >= told.synced && most.starts_with(&got), "{operation}");

        for seed in 0..5 {
            let next = shared(&disk.crash(Crash::PowerMixed(seed)));
            let got = numbers(&recovered(&next).0);
            let synced = &told.acknowledged[..told.synced];
            assert!(got.starts_with(synced), "{operation} {seed}: {got:?} {synced:?}");
            let strange = got.iter().any(|number| !most.contains(number));
            assert!(got.is_sorted() && !strange, "{operation} {seed}: {got:?}");
            let mut wal = open(&next, options(Compression::None));
            wal.log(&[&numbered(1_000, 50)]).unwrap();
            assert_eq!(numbers(&replayed(&next).unwrap().0), [&got[..], &[1_000]].concat());
        }
    }
}

/// Prometheus once left the first fragments of a refused record in its page buffer, wrote them
/// with the next flush, and could not read its own log any more (issue 13027).
#[test]
fn a_batch_that_found_no_room_leaves_no_trace() {
    let whole = FaultyDisk::new();
    work(&shared(&whole), &mut Told::default(), false).unwrap();
    let writes = whole.counts().writes;
    assert!(writes > 30);
    for write in 1..=writes {
        let disk = FaultyDisk::new();
        disk.fail_write(write);
        let mut told = Told::default();
        let done = work(&shared(&disk), &mut told, true);
        let (got, end) = replayed(&shared(&disk)).unwrap();
        assert_eq!(numbers(&got), told.acknowledged, "{write}");
        assert!(end.torn.is_none() || done.is_err());
    }
}

#[test]
fn writing_goes_on_when_the_full_disk_has_room_again() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), options(Compression::None));
    wal.log(&[&numbered(1, 40_000)]).unwrap();
    let before = wal.current();
    disk.set_full(true);
    for _ in 0..3 {
        // The second record needs a new segment, which must not stay behind.
        assert!(wal.log(&[&numbered(2, 20_000), &numbered(3, 60_000)]).is_err());
        assert!(wal.cut().is_err());
        assert_eq!((wal.current(), wal.segments().unwrap()), (before, Some((0, 0))));
    }
    disk.set_full(false);
    wal.log(&[&numbered(4, 20_000), &numbered(5, 60_000)]).unwrap();
    assert_eq!(numbers(&replayed(&shared(&disk)).unwrap().0), [1, 4, 5]);
}

#[test]
fn a_segment_that_a_refused_batch_began_is_removed() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), options(Compression::None));
    wal.log(&[&numbered(1, 40_000)]).unwrap();
    let before = wal.current();
    // The first write goes to the end of the segment, the second to a new one.
    disk.fail_write(disk.counts().writes + 2);
    assert!(wal.log(&[&numbered(2, 20_000), &numbered(3, 60_000)]).is_err());
    assert_eq!((wal.current(), wal.segments().unwrap()), (before, Some((0, 0))));
    let (got, end) = replayed(&shared(&disk)).unwrap();
    assert!(numbers(&got) == [1] && end.torn.is_none());
}

#[test]
fn a_truncation_may_crash_anywhere() {
    let begin = |disk: &FaultyDisk| -> Result<Wal, WalError> {
        let mut wal = Wal::open(shared(disk), dir(), options(Compression::Snappy), &metrics())?;
        let name = labels(&[("__name__", "up")]);
        wal.log(&[&series_record(&[(1, &name), (2, &name)])])?;
        for time in 0..40 {
            let rows: Vec<_> = (0..40).map(|i| (1, time * 40 + i, (i * 7 + time) as f64)).collect();
            wal.log(&[&samples_record(&rows)])?;
            if time % 5 == 4 {
                wal.cut()?;
            }
        }
        Ok(wal)
    };
    let truncate = |disk: &FaultyDisk, wal: &mut Wal| -> Result<(), WalError> {
        let shared = shared(disk);
        for upto in [2, 5] {
            let keep = |series: SeriesRef| series.0 == 1;
            checkpoint(&shared, dir(), upto, &options(Compression::Snappy), &keep, 300)?;
            wal.remove_before(upto + 1)?;
            remove_checkpoints_before(&*shared, dir(), upto)?;
        }
        Ok(())
    };
    let told = |disk: &SharedDisk| {
        let (records, recovery) = recovered(disk);
        assert!(recovery.is_clean(), "{recovery:?}");
        let (mut series, mut times) = (0, Vec::new());
        for record in &records {
            let mut buf = crate::model::LabelsBuf::new();
            match kind(record) {
                RecordKind::Series => decode_series(record, &mut buf, |name, _| {
                    series += usize::from(name.0 == 1);
                }),
                _ => decode_samples(record, |_, sample| times.push(sample.timestamp_ms)),
            }
            .unwrap();
        }
        assert_eq!(series, 1);
        assert!(times.is_sorted());
        times.retain(|time| *time >= 300);
        times
    };
    let whole = FaultyDisk::new();
    let mut wal = begin(&whole).unwrap();
    wal.sync().unwrap();
    let before = whole.counts().operations;
    let twin = whole.crash(Crash::Process);
    checkpoint(&shared(&twin), dir(), 2, &options(Compression::None), &|_| true, 300).unwrap();
    let survived = last_checkpoint(&twin.crash(Crash::Power), dir()).unwrap();
    assert_eq!(survived, Some(2));
    truncate(&whole, &mut wal).unwrap();
    let after = whole.counts().operations;
    let want: Vec<i64> = (300..1600).collect();
    assert_eq!(told(&shared(&whole)), want);
    assert_eq!(wal.segments().unwrap(), Some((6, 8)));
    for operation in before + 1..=after {
        let disk = FaultyDisk::new();
        let mut wal = begin(&disk).unwrap();
        wal.sync().unwrap();
        disk.freeze_at(operation);
        truncate(&disk, &mut wal).unwrap_err();
        for crash in [Crash::Process, Crash::Power] {
            let next = shared(&disk.crash(crash));
            assert_eq!(told(&next), want, "{operation} {crash:?}");
            drop(open(&next, options(Compression::None)));
            let left = next.list(dir()).unwrap();
            assert!(left.iter().all(|entry| !entry.name.ends_with(".tmp")));
            assert_eq!(told(&next), want, "{operation} {crash:?}");
        }
    }
}
