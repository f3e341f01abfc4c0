//! Following a log that is being written, cut, folded and damaged.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::disk::{FaultyDisk, MemoryDisk};

fn drain(tail: &mut Tail) -> Vec<(Position, u64)> {
    let (mut got, mut record) = (Vec::new(), Vec::new());
    while let Some(position) = tail.next(&mut record).unwrap() {
        got.push((position, number_of(&record)));
    }
    got
}

fn numbers(got: &[(Position, u64)]) -> Vec<u64> {
    got.iter().map(|row| row.1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_record_is_seen_once_and_in_order(
        steps in vec((0_u8..6, 8_usize..40_000), 1..40), knows_progress: bool,
        resume in any::<prop::sample::Index>(),
    ) {
        let disk = MemoryDisk::shared();
        let mut tail = Tail::open(disk.clone(), dir(), None).unwrap();
        prop_assert!(tail.next(&mut Vec::new()).unwrap().is_none());
        let mut wal = open(&disk, options(Compression::Snappy));
        if knows_progress {
            tail = tail.behind(wal.progress());
        }
        let (mut got, mut logged) = (Vec::new(), 0);
        for (action, len) in steps {
            match action {
                0 => drop(wal.cut().unwrap()),
                1 | 2 => got.extend(drain(&mut tail)),
                _ => {
                    wal.log(&[&numbered(logged, len), &numbered(logged + 1, 9)]).unwrap();
                    logged += 2;
                }
            }
        }
        got.extend(drain(&mut tail));
        prop_assert_eq!(numbers(&got), (0..logged).collect::<Vec<_>>());
        prop_assert!(got.is_sorted());
        if let Some(last) = got.last() {
            let from = resume.get(&got);
            let mut again = Tail::open(disk.clone(), dir(), Some(from.0)).unwrap();
            prop_assert_eq!(numbers(&drain(&mut again)), (from.1 + 1..logged).collect::<Vec<_>>());
            prop_assert_eq!(again.position().segment, wal.current().segment);
            prop_assert!(last.0 <= wal.current());
        }
    }
}

#[test]
fn a_record_that_is_not_whole_yet_is_waited_for() {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(Compression::None));
    wal.log(&[&numbered(0, 100), &numbered(1, 50_000), &numbered(2, 20)]).unwrap();
    let bytes = disk.read(&dir().join("00000000")).unwrap();
    let mut tail = Tail::open(disk.clone(), dir(), None).unwrap();
    let mut got = Vec::new();
    disk.create(&dir().join("00000000")).unwrap();
    let mut out = disk.append(&dir().join("00000000")).unwrap();
    for (index, piece) in bytes.chunks(1_000).enumerate() {
        got.extend(drain(&mut tail));
        assert_eq!(got.len(), usize::from(index >= 1));
        out.write_all(piece).unwrap();
    }
    got.extend(drain(&mut tail));
    assert_eq!(numbers(&got), [0, 1, 2]);
}

#[test]
fn a_batch_that_may_be_taken_back_is_not_seen() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), options(Compression::None));
    wal.log(&[&numbered(0, 100)]).unwrap();
    let tail = Tail::open(shared(&disk), dir(), None).unwrap();
    let mut tail = tail.behind(wal.progress());
    // Somebody else's view of the moment between the write and its being taken back.
    let mut out = disk.append(&dir().join("00000000")).unwrap();
    let mut refused = Vec::new();
    let record = numbered(9, 50);
    let record = frame::Packed::new(&record, 0);
    frame::put_record(&mut refused, wal.current().offset_bytes, record);
    out.write_all(&refused).unwrap();
    assert_eq!(numbers(&drain(&mut tail)), [0]);
    out.set_len(wal.current().offset_bytes).unwrap();
    wal.log(&[&numbered(1, 100)]).unwrap();
    assert_eq!(numbers(&drain(&mut tail)), [1]);
}

#[test]
fn damage_is_told_once_and_reading_goes_on() {
    let disk = MemoryDisk::shared();
    let mut wal = open(&disk, options(Compression::None));
    for number in 0..20 {
        wal.log(&[&numbered(number, 5_000)]).unwrap();
    }
    let path = dir().join("00000000");
    let mut bytes = disk.read(&path).unwrap();
    bytes[12_000] ^= 1;
    disk.create(&path).unwrap().write_all(&bytes).unwrap();
    let mut tail = Tail::open(disk.clone(), dir(), None).unwrap();
    let (mut got, mut damaged, mut record) = (Vec::new(), 0, Vec::new());
    loop {
        match tail.next(&mut record) {
            Ok(Some(_)) => got.push(number_of(&record)),
            Ok(None) => break,
            Err(WalError::Corrupt(_)) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let want: Vec<u64> = (0..20).filter(|number| *number != 2).collect();
    assert_eq!((got, damaged), (want, 1));
}

fn times(tail: &mut Tail) -> (usize, Vec<(bool, i64)>) {
    let (mut series, mut times, mut record) = (0, Vec::new(), Vec::new());
    while let Some(position) = tail.next(&mut record).unwrap() {
        match kind(&record) {
            RecordKind::Series => series += 1,
            _ => decode_times(&record, |_, time| times.push((position.is_in_checkpoint(), time)))
                .unwrap(),
        }
    }
    (series, times)
}

/// Segment `n` holds one sample at `n * 10`; segment 0 also the name of the series.
fn ten_segments(disk: &SharedDisk) -> Wal {
    let mut wal = open(disk, options(Compression::None));
    wal.log(&[&series_record(&[(1, &labels(&[("a", "b")]))])]).unwrap();
    for segment in 0..10 {
        wal.log(&[&samples_record(&[(1, segment * 10, 0.0)])]).unwrap();
        wal.cut().unwrap();
    }
    wal
}

fn fold(disk: &SharedDisk, wal: &mut Wal, upto: u32, min_time_ms: i64) {
    checkpoint(disk, dir(), upto, wal.options(), &|_| true, min_time_ms).unwrap();
    wal.remove_before(upto + 1).unwrap();
    remove_checkpoints_before(&**disk, dir(), upto).unwrap();
}

#[test]
fn the_beginning_is_the_checkpoint() {
    let disk = MemoryDisk::shared();
    let mut wal = ten_segments(&disk);
    fold(&disk, &mut wal, 5, 40);
    let mut tail = Tail::open(disk.clone(), dir(), None).unwrap();
    let (series, times) = times(&mut tail);
    assert_eq!(series, 1);
    let want = [(true, 40), (true, 50), (false, 60), (false, 70), (false, 80), (false, 90)];
    assert_eq!(times, want);
    assert_eq!((tail.missed_segments(), tail.position()), (0, wal.current()));
}

#[test]
fn a_reader_that_was_overtaken_reads_the_checkpoint_and_counts_what_it_missed() {
    let disk = MemoryDisk::shared();
    let mut wal = ten_segments(&disk);
    let mut tail = Tail::open(disk.clone(), dir(), None).unwrap();
    let mut record = Vec::new();
    for _ in 0..3 {
        tail.next(&mut record).unwrap().unwrap();
    }
    let place = tail.position();
    assert_eq!(place.segment, 1);
    fold(&disk, &mut wal, 5, 50);
    // What is open is read to its end; segments 2 to 5 are gone.
    let (series, seen) = times(&mut tail);
    assert_eq!(series, 1);
    assert_eq!(seen[..2], [(true, 50), (false, 60)]);
    assert_eq!(tail.missed_segments(), 4);

    let mut late = Tail::open(disk.clone(), dir(), Some(place)).unwrap();
    assert_eq!(times(&mut late).1[..2], [(true, 50), (false, 60)]);
    assert_eq!(late.missed_segments(), 5);
}

#[test]
fn a_place_of_another_log_means_the_beginning() {
    let disk = MemoryDisk::shared();
    let _wal = ten_segments(&disk);
    for place in [Position { segment: 99, offset_bytes: 5 }, Position::end_of(12)] {
        let mut tail = Tail::open(disk.clone(), dir(), Some(place)).unwrap();
        assert_eq!(times(&mut tail).1.len(), 10);
    }
    let after = Position { segment: 10, offset_bytes: 1 << 20 };
    let mut tail = Tail::open(disk.clone(), dir(), Some(after)).unwrap();
    assert_eq!(times(&mut tail).1.len(), 0);
    assert_eq!(tail.position(), Position::start_of(10));
}
