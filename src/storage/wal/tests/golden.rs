//! Logs of real Prometheus: `testdata/golden`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;
use crate::disk::{MemoryDisk, RealDisk};
use crate::model::{Column, LabelsBuf, LabelsRef, Value};
use crate::testkit::golden;

/// Every log of the golden folders: `wal` and `wbl`, the latter where something is in it.
fn logs() -> Vec<PathBuf> {
    let wals = golden::FOLDERS.map(|name| golden::data(name).join("wal"));
    let wbls = golden::FOLDERS.map(|name| golden::data(name).join("wbl"));
    wals.into_iter().chain(wbls.into_iter().filter(|dir| RealDisk.exists(dir))).collect()
}

fn folder(name: &str) -> PathBuf {
    golden::data(name).join("wal")
}

fn records(dir: &Path) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let end = replay(&RealDisk::shared(), dir, None, &mut |_, record| {
        records.push(record.to_vec());
        Ok(())
    });
    assert!(end.unwrap().torn.is_none());
    records
}

fn all_records() -> Vec<Vec<u8>> {
    let all: Vec<Vec<u8>> = logs().iter().flat_map(|dir| records(dir)).collect();
    let kinds: BTreeSet<u8> = all.iter().map(|record| kind(record).byte()).collect();
    assert!(kinds.into_iter().eq(1..=13));
    all
}

/// The samples of every series, by what all records of a log say.
fn columns(records: &[Vec<u8>]) -> BTreeMap<Labels, Column> {
    let mut names: BTreeMap<SeriesRef, Labels> = BTreeMap::new();
    let mut columns: BTreeMap<Labels, Column> = BTreeMap::new();
    let (mut buf, mut decoder) = (LabelsBuf::new(), RowDecoder::new());
    for record in records {
        match kind(record) {
            RecordKind::Series => decode_series(record, &mut buf, |series, labels| {
                names.insert(series, labels.to_labels());
            })
            .unwrap(),
            kind if kind.is_samples() => {
                let left_out = decoder.decode(record, |row| {
                    let column = columns.entry(names[&row.series].clone()).or_default();
                    column.push_value(row.timestamp_ms, row.start_ms, row.value);
                });
                assert_eq!(left_out, Ok(0));
            }
            _ => {}
        }
    }
    columns
}

#[test]
fn every_sample_is_read() {
    for name in ["wal-none", "wal-zstd", "agent"] {
        let got = columns(&records(&folder(name)));
        let want = golden::expected(name);
        assert!(want.len() > 20 && got.len() == want.len());
        for golden::ExpectedSeries { labels, column: want } in want {
            let got = &got[&labels];
            assert_eq!(got.len(), want.len(), "{name}: {labels}");
            for (got, want) in got.samples().zip(want.samples()) {
                let is_same = match (got.2, want.2) {
                    (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
                    // A server that stores a stale histogram forgets all else of it.
                    (Value::Histogram(a), Value::Histogram(b)) if b.is_stale() => a.is_stale(),
                    (Value::Histogram(a), Value::Histogram(b)) => golden::same_meaning(a, b),
                    _ => false,
                };
                assert!(is_same && got.0 == want.0, "{name}: {labels} {got:?} {want:?}");
            }
        }
    }
}

/// Record 7 may be based on the first row of the record 9 behind it, and 8 on that of 10.
fn starts_elsewhere(record: &[u8]) -> bool {
    let base =
        |range: std::ops::Range<usize>| u64::from_be_bytes(record[range].try_into().unwrap());
    let (series, time) = (base(1..9), base(9..17) as i64);
    let mut first = None;
    decode_times(record, |series, time| {
        first.get_or_insert((series, time));
    })
    .unwrap();
    first != Some((SeriesRef(series), time))
}

#[test]
fn records_of_samples_are_encoded_byte_for_byte() {
    let (mut decoder, mut count, mut split) = (RowDecoder::new(), 0, 0);
    for dir in logs() {
        let mut records = records(&dir).into_iter().filter(|record| kind(record).is_samples());
        while let Some(record) = records.next() {
            let with_starts = kind(&record).has_starts();
            let mut wanted = vec![record];
            if !with_starts && starts_elsewhere(&wanted[0]) {
                wanted.push(records.next().unwrap());
                split += 1;
            }
            let mut encoder = RowEncoder::new(with_starts);
            // In one commit the histograms with listed bounds came first.
            for record in wanted.iter().rev() {
                let mut push = |row: SampleRow<'_>| {
                    count += 1;
                    encoder.push(row.series, row.timestamp_ms, row.start_ms, row.value);
                };
                assert_eq!(decoder.decode(record, &mut push), Ok(0));
            }
            let mut again = Vec::new();
            encoder.finish(|record| again.push(record.to_vec()));
            assert!(again == wanted, "{}: {:?}", dir.display(), kind(&wanted[0]));
        }
    }
    assert!(count > 50_000 && split > 0, "{count} rows, {split} records based on others");
}

#[test]
fn all_other_records_are_encoded_byte_for_byte() {
    let mut counts = BTreeMap::<RecordKind, usize>::new();
    let mut buf = LabelsBuf::new();
    for record in all_records() {
        let mut again = Vec::new();
        match kind(&record) {
            RecordKind::Series => {
                let mut rows = Vec::new();
                let push = |series, labels: LabelsRef<'_>| rows.push((series, labels.to_labels()));
                decode_series(&record, &mut buf, push).unwrap();
                encode_series(&mut again, rows.iter().map(|row| (row.0, row.1.as_ref())));
            }
            RecordKind::Samples => {
                let mut rows = Vec::new();
                decode_samples(&record, |series, sample| rows.push((series, sample))).unwrap();
                encode_samples(&mut again, rows.iter().copied());
            }
            RecordKind::Tombstones => {
                let mut rows = Vec::new();
                let push = |series, min, max| rows.push((series, min, max));
                decode_tombstones(&record, push).unwrap();
                encode_tombstones(&mut again, rows.iter().copied());
            }
            RecordKind::Exemplars => {
                let mut rows = Vec::new();
                let push = |row: ExemplarRow<'_>| {
                    rows.push((row.series, row.timestamp_ms, row.value, row.labels.to_labels()));
                };
                decode_exemplars(&record, &mut buf, push).unwrap();
                let row =
                    |row: &(SeriesRef, i64, f64, Labels)| (row.0, row.1, row.2, row.3.clone());
                let rows: Vec<_> = rows.iter().map(row).collect();
                let rows = rows.iter().map(|row| ExemplarRow {
                    series: row.0,
                    timestamp_ms: row.1,
                    value: row.2,
                    labels: row.3.as_ref(),
                });
                encode_exemplars(&mut again, rows);
            }
            RecordKind::MmapMarkers => {
                let mut rows = Vec::new();
                decode_mmap_markers(&record, |series, chunk| rows.push((series, chunk))).unwrap();
                encode_mmap_markers(&mut again, rows.iter().copied());
            }
            RecordKind::Metadata => {
                let mut rows = Vec::new();
                decode_metadata(&record, |row| rows.push((row.series, row.to_metadata()))).unwrap();
                encode_metadata(&mut again, rows.iter().map(|row| MetadataRow::new(row.0, &row.1)));
            }
            _ => continue,
        }
        *counts.entry(kind(&record)).or_default() += 1;
        assert!(again == record, "{:?}", kind(&record));
    }
    assert_eq!(counts.len(), 6);
}

#[test]
fn an_unpacked_log_is_written_byte_for_byte() {
    let records = records(&folder("wal-none"));
    let disk = MemoryDisk::shared();
    let options = WalOptions {
        segment_bytes: 128 << 10,
        compression: Compression::None,
        ..WalOptions::default()
    };
    let mut wal = open(&disk, options);
    for batch in records.chunks(3) {
        let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        wal.log(&batch).unwrap();
    }
    wal.close().unwrap();
    let entries = disk.list(dir()).unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        let want = RealDisk.read(&folder("wal-none").join(&entry.name)).unwrap();
        assert!(disk.read(&dir().join(&entry.name)).unwrap() == want, "{}", entry.name);
    }
}

#[test]
fn a_log_in_any_packing_holds_the_same_records() {
    for dir in logs() {
        let records = records(&dir);
        for compression in ALL {
            let disk = MemoryDisk::shared();
            let mut wal = open(&disk, options(compression));
            for record in &records {
                wal.log(&[record]).unwrap();
            }
            assert_eq!(replayed(&disk).unwrap().0, records, "{} {compression:?}", dir.display());
        }
    }
}

#[test]
fn every_kind_of_row_is_found_and_kept_as_it_is() {
    let mut seen: BTreeMap<u8, u64> = BTreeMap::new();
    for record in all_records() {
        let kind = kind(&record);
        *seen.entry(kind.byte()).or_default() += 1;
        if !kind.is_samples() && kind != RecordKind::Exemplars {
            continue;
        }
        let mut all = Vec::new();
        let count = record::rows::keep_since(&record, i64::MIN, &mut all).unwrap();
        assert!(count.seen > 0 && count.seen == count.kept);
        assert!(all == record, "{kind:?}");
        let mut none = Vec::new();
        assert_eq!(record::rows::keep_since(&record, i64::MAX, &mut none).unwrap().kept, 0);
        assert!(none.is_empty());
        if kind == RecordKind::Exemplars {
            continue;
        }
        let mut times = Vec::new();
        decode_times(&record, |series, time| times.push((series, time))).unwrap();
        let middle = times[times.len() / 2].1;
        let mut half = Vec::new();
        record::rows::keep_since(&record, middle, &mut half).unwrap();
        let mut got = Vec::new();
        decode_times(&half, |series, time| got.push((series, time))).unwrap();
        times.retain(|row| row.1 >= middle);
        assert_eq!(got, times);
    }
    let kinds: Vec<u8> = seen.into_keys().collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
}
