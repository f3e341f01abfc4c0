//! Logs of real Prometheus: `testdata/wal`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::disk::{MemoryDisk, RealDisk};
use crate::model::{LabelsBuf, stale_nan};

const LOGS: [&str; 6] = ["none", "snappy", "zstd", "agent", "start-times", "checkpoint"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/wal").join(name)
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
    let text = RealDisk.read(&folder(&format!("{name}.floats.jsonl"))).unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut floats = Floats::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let pair = |(name, value): (&String, &serde_json::Value)| {
            (name.clone(), value.as_str().unwrap().to_owned())
        };
        let labels = Labels::from_pairs(row["labels"].as_object().unwrap().iter().map(pair));
        let series = floats.entry(labels.unwrap()).or_default();
        for sample in row["samples"].as_array().unwrap() {
            let value = match sample[1].as_str().unwrap() {
                "StaleNaN" => stale_nan(),
                "NaN" => f64::from_bits(crate::model::ORDINARY_NAN_BITS),
                text => text.parse().unwrap(),
            };
            series.insert(sample[0].as_i64().unwrap(), value.to_bits());
        }
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
    for name in ["none", "zstd", "agent"] {
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
    let records = records("none");
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
        let want = RealDisk.read(&folder("none").join(&entry.name)).unwrap();
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
