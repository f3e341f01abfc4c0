use std::path::Path;
use std::sync::Arc;

use super::record::{Reader, put_exemplars, put_series, put_tombstones};
use super::*;
use crate::chunk::{self, Encoding};
use crate::disk::{MemoryDisk, RealDisk, SharedDisk};
use crate::model::{Column, Labels, Value};
use crate::series::{SeriesRef, TimeRange};
use crate::storage::wal::{self, ExemplarRow, Position, WalOptions};
use crate::testkit::golden;

const ROOT: &str = "data";

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)]).unwrap()
}

/// Writes a snapshot of two series, a deleted span and `exemplars` exemplars.
fn write(disk: &SharedDisk, upto: Position, exemplars: usize) {
    disk.create_dir_all(Path::new(ROOT)).unwrap();
    let (first, second) = (labels("a"), labels("b"));
    let mut writer =
        SnapshotWriter::begin(disk, Path::new(ROOT), upto, WalOptions::default()).unwrap();
    let open = OpenRow {
        min_time_ms: 1,
        max_time_ms: 9,
        encoding: Encoding::Xor,
        data: b"\0\x02chunk",
        last: Value::Float(-0.5),
    };
    let row = SeriesRow { series: SeriesRef(7), labels: first.as_ref(), open: Some(open) };
    writer.add_series(&row).unwrap();
    let row = SeriesRow { series: SeriesRef(8), labels: second.as_ref(), open: None };
    writer.add_series(&row).unwrap();
    writer.add_tombstones([(SeriesRef(8), TimeRange::new(-4, 4))].into_iter()).unwrap();
    let trace = labels("trace");
    let exemplar = |index: usize| ExemplarRow {
        series: SeriesRef(7),
        timestamp_ms: index as i64,
        value: 2.0,
        labels: trace.as_ref(),
    };
    let rows: Vec<_> = (0..exemplars).map(exemplar).collect();
    writer.add_exemplars(&rows).unwrap();
    writer.finish().unwrap();
}

fn told(disk: &SharedDisk, place: &SnapshotPlace) -> Vec<String> {
    let mut told = Vec::new();
    read_snapshot(disk, place, &mut |row| told.push(format!("{row:?}"))).unwrap();
    told
}

fn newest(disk: &SharedDisk) -> Option<SnapshotPlace> {
    newest_snapshot(&**disk, Path::new(ROOT)).unwrap()
}

#[test]
fn a_snapshot_says_what_was_put_into_it() {
    let disk = MemoryDisk::shared();
    let upto = Position { segment: 3, offset_bytes: 98_304 };
    write(&disk, upto, 10_001);
    let place = newest(&disk).unwrap();
    assert_eq!(place.dir, Path::new("data/chunk_snapshot.000003.0000098304"));
    assert_eq!(place.upto, upto);
    let told = told(&disk, &place);
    assert_eq!(told.len(), 3 + 10_001);
    assert!(told[0].contains("SeriesRef(7)") && told[0].contains("Float(-0.5)"), "{}", told[0]);
    assert!(told[1].contains("SeriesRef(8)") && told[1].contains("open: None"), "{}", told[1]);
    assert!(told[2].contains("Tombstone") && told[2].contains("start_ms: -4"), "{}", told[2]);
    assert!(told[10_003].contains("timestamp_ms: 10000"), "{}", told[10_003]);
}

#[test]
fn a_newer_snapshot_replaces_the_older_and_unfinished_ones() {
    let disk = MemoryDisk::shared();
    assert!(disk.create_dir_all(Path::new(ROOT)).is_ok() && newest(&disk).is_none());
    let upto = |segment| Position { segment, offset_bytes: 0 };
    write(&disk, upto(1), 0);
    disk.create_dir_all(Path::new("data/chunk_snapshot.000009.0000000000.tmp")).unwrap();
    disk.create_dir_all(Path::new("data/chunk_snapshot.notes")).unwrap();
    write(&disk, upto(2), 0);
    let names: Vec<String> =
        disk.list(Path::new(ROOT)).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["chunk_snapshot.000002.0000000000", "chunk_snapshot.notes"]);
    assert_eq!(newest(&disk).unwrap().upto, upto(2));
}

#[test]
fn a_flipped_bit_or_a_missing_end_is_an_error() {
    let disk = MemoryDisk::shared();
    write(&disk, Position::start_of(1), 1);
    let place = newest(&disk).unwrap();
    let path = place.dir.join("00000000");
    let whole = disk.read(&path).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in 0..used {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        disk.create(&path).unwrap().write_all(&flipped).unwrap();
        assert!(read_snapshot(&disk, &place, &mut |_| {}).is_err(), "flipped at {at}");
    }
    for length in [1, 8, used - 1] {
        disk.create(&path).unwrap().write_all(&whole[..length]).unwrap();
        assert!(read_snapshot(&disk, &place, &mut |_| {}).is_err(), "cut at {length}");
    }
}

#[test]
fn golden_records_are_written_again_byte_for_byte() {
    let disk: SharedDisk = Arc::new(RealDisk);
    let place = newest_snapshot(&*disk, &golden::data("snapshot")).unwrap().unwrap();
    let (mut series, mut chunks, mut others) = (0, 0, 0);
    let mut reader = Reader::default();
    wal::replay(&disk, &place.dir, None, &mut |_, record| {
        let (mut spans, mut exemplars) = (Vec::new(), Vec::new());
        let mut again = Vec::new();
        reader.read(record, &mut |row| match row {
            SnapshotRow::Series(row) => {
                series += 1;
                if let Some(open) = row.open {
                    chunks += 1;
                    let mut column = Column::new();
                    let all = (i64::MIN, i64::MAX);
                    chunk::decode(open.encoding as u8, open.data, all, &mut column).unwrap();
                    assert_eq!(column.timestamps.first(), Some(&open.min_time_ms));
                    assert_eq!(column.timestamps.last(), Some(&open.max_time_ms));
                }
                put_series(&mut again, &row);
            }
            SnapshotRow::Tombstone(series, span) => spans.push((series, span)),
            SnapshotRow::Exemplar(row) => {
                let ExemplarRow { series, timestamp_ms, value, labels } = row;
                exemplars.push((series, timestamp_ms, value, labels.to_labels()));
            }
        })?;
        if !spans.is_empty() {
            others += 1;
            put_tombstones(&mut again, spans.into_iter());
        }
        let rows = exemplars.iter().map(|(series, timestamp_ms, value, labels)| ExemplarRow {
            series: *series,
            timestamp_ms: *timestamp_ms,
            value: *value,
            labels: labels.as_ref(),
        });
        others += usize::from(!exemplars.is_empty());
        put_exemplars(&mut again, rows);
        assert_eq!(again, record);
        Ok(())
    })
    .unwrap();
    assert!(series > 20 && chunks > 10, "{series} series, {chunks} chunks");
    assert_eq!(others, 2, "deleted spans and exemplars");
}
