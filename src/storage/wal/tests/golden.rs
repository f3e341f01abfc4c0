//! Logs of real Prometheus: `testdata/golden`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::disk::{MemoryDisk, RealDisk};
use crate::model::{LabelsBuf, Value};
use crate::testkit::golden::{self, ExpectedSeries};

const LOGS: [&str; 6] =
    ["wal-none", "wal-snappy", "wal-zstd", "agent", "start-timestamps", "checkpoint"];

fn folder(name: &str) -> PathBuf {
    golden::data(name).join("wal")
}

fn records(name: &str) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let end = replay(&RealDisk::shared(), &folder(name), None, &mut |_, record| {
        records.push(record.to_vec());
        Ok(())
    });
    assert!(end.unwrap().torn.is_none());
    assert!(!records.is_empty());
    records
}

type Floats = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn expected_floats(name: &str) -> Floats {
    let mut floats = Floats::new();
    let series = golden::expected(name).into_iter();
    let has_floats = |one: &ExpectedSeries| one.column.histograms.len() < one.column.len();
    for ExpectedSeries { labels, column } in series.filter(has_floats) {
        let samples = column.samples().filter_map(|(time_ms, _, value)| match value {
            Value::Float(value) => Some((time_ms, value.to_bits())),
            Value::Histogram(_) => None,
        });
        floats.insert(labels, samples.collect());
    }
    floats
}

fn floats(records: &[Vec<u8>]) -> Floats {
    let mut names: BTreeMap<SeriesRef, Labels> = BTreeMap::new();
    let mut floats = Floats::new();
    let mut buf = LabelsBuf::new();
    for record in records {
        match kind(record) {
            RecordKind::Series => decode_series(record, &mut buf, |series, labels| {
                names.insert(series, labels.to_labels());
            })
            .unwrap(),
            RecordKind::Samples | RecordKind::SamplesV2 => {
                decode_samples(record, |series, sample| {
                    let series = floats.entry(names[&series].clone()).or_default();
                    series.insert(sample.timestamp_ms, sample.value.to_bits());
                })
                .unwrap();
            }
            _ => {}
        }
    }
    floats
}

#[test]
fn every_float_sample_is_read() {
    for name in ["wal-none", "wal-zstd", "agent"] {
        let (got, want) = (floats(&records(name)), expected_floats(name));
        assert!(want.len() > 10);
        for (labels, samples) in &want {
            let got = got.get(labels).unwrap_or_else(|| panic!("{name}: {labels} is missing"));
            for (time, bits) in samples {
                assert_eq!(got.get(time), Some(bits), "{name}: {labels} at {time}");
            }
        }
    }
}

#[test]
fn an_unpacked_log_is_written_byte_for_byte() {
    let records = records("wal-none");
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
    for name in LOGS {
        let records = records(name);
        for compression in ALL {
            let disk = MemoryDisk::shared();
            let mut wal = open(&disk, options(compression));
            for record in &records {
                wal.log(&[record]).unwrap();
            }
            assert_eq!(replayed(&disk).unwrap().0, records, "{name} {compression:?}");
        }
    }
}

#[test]
fn series_and_samples_are_encoded_byte_for_byte() {
    let (mut series_count, mut sample_count) = (0, 0);
    let mut buf = LabelsBuf::new();
    for record in LOGS.iter().flat_map(|name| records(name)) {
        let mut again = Vec::new();
        match kind(&record) {
            RecordKind::Series => {
                let mut rows = Vec::new();
                decode_series(&record, &mut buf, |series, labels| {
                    rows.push((series, labels.to_labels()));
                })
                .unwrap();
                encode_series(&mut again, rows.iter().map(|row| (row.0, row.1.as_ref())));
                series_count += rows.len();
            }
            RecordKind::Samples => {
                let mut rows = Vec::new();
                decode_samples(&record, |series, sample| rows.push((series, sample))).unwrap();
                encode_samples(&mut again, rows.iter().copied());
                sample_count += rows.len();
            }
            RecordKind::Tombstones => {
                let mut rows = Vec::new();
                decode_tombstones(&record, |series, min, max| rows.push((series, min, max)))
                    .unwrap();
                encode_tombstones(&mut again, rows.iter().copied());
            }
            _ => continue,
        }
        assert!(again == record, "{:?}", kind(&record));
    }
    assert!(series_count > 100 && sample_count > 10_000, "{series_count} {sample_count}");
}

#[test]
fn every_kind_of_row_is_found_and_kept_as_it_is() {
    let mut seen: BTreeMap<u8, u64> = BTreeMap::new();
    for record in LOGS.iter().flat_map(|name| records(name)) {
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
    assert_eq!(kinds, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13]);
}
