//! The shipper.

use std::collections::BTreeSet;

use super::*;
use crate::disk::{Disk, RealDisk};
use crate::longterm::bucket::{Fault, FaultyBucket};
use crate::model::histogram::{Histogram, HistogramRef, ResetHint};
use crate::series::{Queryable, Select, TimeRange};
use crate::storage::block::{Block, Tombstones};
use crate::storage::db::{BlockGuard, Tsdb, TsdbOptions};

fn options() -> ShipOptions {
    let mut options = ShipOptions::new(labels());
    options.clock = clock();
    options
}

fn ship(bucket: &Bucket, disk: &SharedDisk) -> Result<ShipReport, LongTermError> {
    ship_with(bucket, disk, options())
}

fn ship_with(
    bucket: &Bucket,
    disk: &SharedDisk,
    options: ShipOptions,
) -> Result<ShipReport, LongTermError> {
    let mut shipper = Shipper::new(bucket.clone(), disk.clone(), Path::new(DATA), options)?;
    shipper.sync(&|_| (), &|| false)
}

/// What a shipper that nothing disturbs leaves behind.
fn undisturbed() -> Vec<(String, bytes::Bytes)> {
    let (bucket, disk) = (Bucket::memory(), disk());
    for number in 1..=3 {
        write_block(&disk, number);
    }
    assert_eq!(ship(&bucket, &disk).unwrap().uploaded.len(), 3);
    contents(&bucket)
}

#[test]
fn blocks_are_shipped_oldest_first_and_once() {
    let (bucket, disk) = (Bucket::memory(), disk());
    for number in [2, 1] {
        write_block(&disk, number);
    }
    let report = ship(&bucket, &disk).unwrap();
    assert_eq!(report.uploaded, [ulid(1), ulid(2)]);
    let block = keys(&bucket).into_iter().filter(|key| key.starts_with(&ulid(1).to_string()));
    let names: Vec<String> = block.map(|key| key.split_once('/').unwrap().1.to_owned()).collect();
    assert_eq!(names, ["chunks/000001", "index", "meta.json"]);
    let view = Fetcher::new(bucket.clone(), &FetchOptions::default()).fetch().unwrap();
    let shipped = &view.blocks[0];
    assert_eq!((shipped.labels(), &shipped.thanos.source), (labels(), &Source::Receive));
    assert_eq!(shipped.thanos.upload_time_ms, Some(NOW_MS));
    assert_eq!(shipped.thanos.segment_files, ["000001"]);
    let files: Vec<_> = shipped.thanos.files.iter().map(|file| file.rel_path.as_str()).collect();
    assert_eq!(files, ["chunks/000001", "index", "meta.json"]);
    assert_whole_or_hidden(&bucket);

    let list = String::from_utf8(disk.read(&Path::new(DATA).join(SHIPPER_FILE)).unwrap()).unwrap();
    let wanted = format!(
        "{{\n\t\"version\": 1,\n\t\"uploaded\": [\n\t\t\"{}\",\n\t\t\"{}\"\n\t]\n}}\n",
        ulid(1),
        ulid(2)
    );
    assert_eq!(list, wanted);
    let before = bucket.stats();
    let again = ship(&bucket, &disk).unwrap();
    assert!(again.uploaded.is_empty() && again.found.is_empty());
    assert_eq!(bucket.stats(), before, "nothing is asked");

    disk.create(&Path::new(DATA).join(SHIPPER_FILE)).unwrap().write_all(b"{broken").unwrap();
    assert_eq!(ship(&bucket, &disk).unwrap().found, [ulid(1), ulid(2)]);
    assert!(disk.list(&Path::new(DATA).join("thanos/upload")).unwrap().is_empty());
}

#[test]
fn a_crash_between_any_two_requests_loses_and_doubles_nothing() {
    let wanted = undisturbed();
    for fault in [Fault::Crash, Fault::AnswerLost] {
        let mut crashes = 0;
        for count in 0.. {
            let (bucket, disk) = (Bucket::memory(), disk());
            for number in 1..=3 {
                write_block(&disk, number);
            }
            // A lost answer, and then the end: the store did what nobody knows of.
            let faulty = FaultyBucket::new(&bucket, move |request| match request.number {
                number if number == count => fault,
                number if number > count && fault == Fault::AnswerLost => Fault::Crash,
                _ => Fault::None,
            });
            let broken_off = ship(&faulty.bucket(), &disk);
            if !faulty.is_crashed() {
                assert!(broken_off.is_ok());
                break;
            }
            crashes += 1;
            assert!(broken_off.is_err());
            assert_whole_or_hidden(&bucket);
            let report = ship(&bucket, &disk).unwrap();
            assert!(report.refused.is_empty());
            assert_eq!(contents(&bucket), wanted, "after {count} requests");
        }
        assert!(crashes > 15, "{crashes}");
    }
}

#[test]
fn what_has_arrived_is_not_sent_again() {
    let (bucket, disk) = (Bucket::memory(), disk());
    write_block(&disk, 1);
    let all = undisturbed().iter().take(3).map(|(_, bytes)| bytes.len()).sum::<usize>() as u64;
    // The list, meta.json's absence, the chunk file and its size, then the end.
    let crashed = FaultyBucket::crashing_after(&bucket, 3);
    ship(&crashed.bucket(), &disk).unwrap_err();
    let sent = bucket.stats().written_bytes;
    assert!(sent > 0 && sent < all);
    ship(&bucket, &disk).unwrap();
    assert_eq!(bucket.stats().written_bytes, all);
}

#[test]
fn an_object_that_somebody_changed_is_sent_again() {
    let (bucket, disk) = (Bucket::memory(), disk());
    write_block(&disk, 1);
    ship(&FaultyBucket::crashing_after(&bucket, 3).bucket(), &disk).unwrap_err();
    let key = keys(&bucket).pop().unwrap();
    let size = bucket.head(&key).unwrap().size_bytes as usize;
    bucket.put(&key, vec![7; size].into()).unwrap();
    ship(&bucket, &disk).unwrap();
    assert_eq!(contents(&bucket), undisturbed()[..3]);
}

#[test]
fn faults_that_pass_are_not_seen() {
    let wanted = undisturbed();
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::CutShort, Fault::ListedLate] {
        for phase in 0..3 {
            let (bucket, disk) = (Bucket::memory(), disk());
            for number in 1..=3 {
                write_block(&disk, number);
            }
            let faulty = FaultyBucket::new(&bucket, move |request| {
                if request.number % 3 == phase { fault } else { Fault::None }
            });
            ship(&faulty.bucket(), &disk).unwrap();
            assert_eq!(contents(&bucket), wanted);
        }
    }
}

#[test]
fn a_hole_ends_the_round_unless_order_does_not_matter() {
    let fails_at_second = |bucket: &Bucket| {
        let second = ulid(2).to_string();
        FaultyBucket::new(bucket, move |request| {
            if request.key.starts_with(&second) { Fault::Refused } else { Fault::None }
        })
    };
    let (bucket, disk) = (Bucket::memory(), disk());
    for number in 1..=3 {
        write_block(&disk, number);
    }
    let error = ship(&fails_at_second(&bucket).bucket(), &disk).unwrap_err();
    assert!(error.to_string().starts_with(&ulid(2).to_string()), "{error}");
    let folders = bucket.list_folders("").unwrap();
    assert_eq!(folders, [ulid(1).to_string()], "nothing behind the hole");
    let mut any_order = options();
    any_order.allow_out_of_order = true;
    ship_with(&fails_at_second(&bucket).bucket(), &disk, any_order).unwrap_err();
    assert_eq!(bucket.list_folders("").unwrap(), [ulid(1).to_string(), ulid(3).to_string()]);
    assert_eq!(ship(&bucket, &disk).unwrap().uploaded, [ulid(2)]);
}

#[test]
fn nothing_is_shipped_without_labels() {
    let options = ShipOptions::new(Labels::empty());
    let error = ship_with(&Bucket::memory(), &disk(), options).unwrap_err().to_string();
    assert!(error.contains("no external labels"), "{error}");
}

#[test]
fn labels_of_today_go_over_those_of_the_block() {
    let (bucket, disk) = (Bucket::memory(), disk());
    write_block_as(&disk, 1, &EncodeOptions::default(), |meta| {
        let old = Labels::from_pairs([("replica", "9"), ("zone", "z")]).unwrap();
        ThanosMeta::new(&old, Source::Sidecar).put_into(meta);
    });
    ship(&bucket, &disk).unwrap();
    let view = Fetcher::new(bucket, &FetchOptions::default()).fetch().unwrap();
    let wanted = [("cluster", "a"), ("replica", "0"), ("zone", "z")];
    assert_eq!(view.blocks[0].labels(), Labels::from_pairs(wanted).unwrap());
}

#[test]
fn merged_blocks_are_shipped_only_on_request_and_only_into_a_gap() {
    let (bucket, disk) = (Bucket::memory(), disk());
    write_block(&disk, 1);
    ship(&bucket, &disk).unwrap();
    for number in [1, 5] {
        write_block_as(&disk, number + 10, &EncodeOptions::default(), |meta| {
            meta.min_time_ms = number as i64 * RANGE_MS;
            meta.max_time_ms = (number as i64 + 1) * RANGE_MS;
            meta.compaction.level = 2;
            meta.compaction.sources = vec![ulid(number)];
        });
    }
    assert!(ship(&bucket, &disk).unwrap().uploaded.is_empty());
    let mut merged_too = options();
    merged_too.upload_compacted = true;
    let report = ship_with(&bucket, &disk, merged_too).unwrap();
    assert_eq!(report.uploaded, [ulid(15)]);
    assert_eq!(report.refused[0].0, ulid(11));
    assert!(report.refused[0].1.contains("overlaps"), "{report:?}");
}

#[test]
fn what_would_harm_the_bucket_is_refused_and_stops_no_other_block() {
    let (bucket, disk) = (Bucket::memory(), disk());
    let starts = EncodeOptions { float_starts: true, ..EncodeOptions::default() };
    for deleted in [write_block_as(&disk, 1, &starts, |_| ()), write_block(&disk, 2)] {
        let mut tombstones = Tombstones::new();
        tombstones.add(16, TimeRange::new(0, i64::MAX));
        tombstones.write(&*disk, &deleted).unwrap();
    }
    let damaged = write_block(&disk, 3).join("chunks/000001");
    let mut bytes = disk.read(&damaged).unwrap();
    bytes[40] ^= 1;
    disk.create(&damaged).unwrap().write_all(&bytes).unwrap();
    let no_meta = write_block(&disk, 4).join("meta.json");
    disk.create(&no_meta).unwrap().write_all(b"{}").unwrap();
    write_block(&disk, 5);
    let report = ship(&bucket, &disk).unwrap();
    assert_eq!(report.uploaded, [ulid(5)]);
    let mut refused = report.refused;
    refused.sort();
    let wanted =
        ["deleted samples", "deleted samples", "000001: at offset 8: chunk checksum", "meta.json"];
    for (number, (what, wanted)) in (1..).zip(refused.iter().zip(wanted)) {
        assert_eq!(what.0, ulid(number));
        assert!(what.1.contains(wanted), "{}", what.1);
    }
    assert_eq!(bucket.list_folders("").unwrap(), [ulid(5).to_string()]);
}

/// A block of Prometheus with start times, in all encodings that Thanos cannot read.
fn write_starts(disk: &SharedDisk) -> (PathBuf, Ulid) {
    const NAME: &str = "01M83B5HYTZNQYR4SVYXMZWH6D";
    let golden = "testdata/golden/prometheus/start-timestamps/data";
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(golden).join(NAME);
    let dir = Path::new(DATA).join(NAME);
    disk.create_dir_all(&dir.join("chunks")).unwrap();
    for name in ["chunks/000001", "index", "meta.json"] {
        let bytes = RealDisk.read(&from.join(name)).unwrap();
        disk.create(&dir.join(name)).unwrap().write_all(&bytes).unwrap();
    }
    (dir, Ulid::from_string(NAME).unwrap())
}

/// Labels, encodings and samples of a block.
fn samples(disk: &SharedDisk, dir: &Path) -> Vec<(Labels, Vec<u8>, Column)> {
    let block = Block::open(disk, dir).unwrap();
    let set = block.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    let all = set.series.iter().map(|series| {
        let (mut chunks, mut column) = (Vec::new(), Column::new());
        series.chunks(TimeRange::ALL, &mut chunks).unwrap();
        series.read(TimeRange::ALL, &mut column).unwrap();
        let encodings = chunks.iter().map(|chunk| chunk.encoding).collect();
        (series.labels().clone(), encodings, column)
    });
    all.collect()
}

#[test]
fn start_times_stay_at_home_so_that_thanos_can_read_the_block() {
    let (bucket, disk) = (Bucket::memory(), disk());
    let (local, with_starts) = write_starts(&disk);
    write_block(&disk, 2);
    let before = samples(&disk, &local);
    let is_newer = |encoding: &&u8| **encoding > 3;
    let newer: BTreeSet<u8> =
        before.iter().flat_map(|series| series.1.iter().filter(is_newer)).copied().collect();
    assert_eq!(newer.len(), 3, "{newer:?}");
    let report = ship(&bucket, &disk).unwrap();
    assert_eq!(report.uploaded, [ulid(2), with_starts]);
    assert_eq!(report.reencoded, [with_starts]);
    assert_whole_or_hidden(&bucket);
    let view = Fetcher::new(bucket.clone(), &FetchOptions::default()).fetch().unwrap();
    let shipped = view.blocks.iter().find(|block| block.ulid() == with_starts).unwrap();
    assert_eq!(shipped.meta.stats.num_samples, 8345);
    let dir = download_block(&bucket, shipped, &disk, Path::new("/download"), &|_| ()).unwrap();
    let found = samples(&disk, &dir);
    assert_eq!(found.len(), before.len());
    let bits = |column: &Column| -> (Vec<u64>, Vec<(usize, Histogram)>) {
        let hint = ResetHint::Unknown;
        let whole = |(index, one): (usize, HistogramRef<'_>)| {
            // Markers of staleness are no numbers, which equal nothing.
            let sum = if one.is_stale() { -1.0 } else { one.sum };
            (index, Histogram { hint, sum, ..one.to_owned() })
        };
        let floats = column.floats.iter().map(|value| value.to_bits()).collect();
        (floats, column.histograms.iter().map(whole).collect())
    };
    for ((labels, encodings, column), (_, _, wanted)) in found.iter().zip(&before) {
        assert!(encodings.iter().all(|encoding| *encoding <= 3), "{labels}: {encodings:?}");
        assert!(column.starts_ms.is_empty(), "{labels}");
        assert_eq!(column.timestamps, wanted.timestamps, "{labels}");
        assert_eq!(bits(column), bits(wanted), "{labels}");
    }
    // At home they are still there, and the next round sees that the block has arrived.
    assert!(samples(&disk, &local).iter().any(|(_, _, column)| !column.starts_ms.is_empty()));
    disk.remove_file(&Path::new(DATA).join(SHIPPER_FILE)).unwrap();
    assert_eq!(ship(&bucket, &disk).unwrap().found, [ulid(2), with_starts]);
    assert!(disk.list(&Path::new(DATA).join("thanos/upload")).unwrap().is_empty());
}

#[test]
fn a_crash_on_the_way_changes_nothing_of_what_arrives_encoded_anew() {
    let wanted = {
        let (bucket, disk) = (Bucket::memory(), disk());
        write_starts(&disk);
        ship(&bucket, &disk).unwrap();
        contents(&bucket)
    };
    for count in 0..6 {
        let (bucket, disk) = (Bucket::memory(), disk());
        write_starts(&disk);
        ship(&FaultyBucket::crashing_after(&bucket, count).bucket(), &disk).unwrap_err();
        assert_whole_or_hidden(&bucket);
        ship(&bucket, &disk).unwrap();
        assert_eq!(contents(&bucket), wanted, "after {count} requests");
    }
}

#[test]
fn blocks_of_late_samples_are_shipped_and_counted() {
    let (bucket, disk) = (Bucket::memory(), disk());
    write_block(&disk, 1);
    write_block_as(&disk, 7, &EncodeOptions::default(), |meta| {
        meta.min_time_ms = RANGE_MS;
        meta.compaction.hints = vec!["from-out-of-order".to_owned()];
    });
    let options = options();
    let registry = options.registry.clone();
    let report = ship_with(&bucket, &disk, options).unwrap();
    assert_eq!((report.uploaded, report.late), (vec![ulid(1), ulid(7)], vec![ulid(7)]));
    let page = registry.gather();
    let late = page.iter().find(|family| family.name == "promlite_shipper_late_uploads_total");
    assert!(format!("{:?}", late.unwrap().members).contains('1'), "{late:?}");
    let view = Fetcher::new(bucket, &FetchOptions::default()).fetch().unwrap();
    assert_eq!(view.blocks[1].meta.compaction.hints, ["from-out-of-order"]);
}

#[test]
fn a_block_is_neither_merged_nor_removed_before_it_is_shipped() {
    let (bucket, disk) = (Bucket::memory(), disk());
    let guard = BlockGuard::closed();
    let db_options = TsdbOptions {
        background: false,
        retention_ms: RANGE_MS,
        guard: guard.clone(),
        ..TsdbOptions::default()
    };
    for number in 1..=6 {
        write_block(&disk, number);
    }
    let registry = crate::base::metrics::Registry::new();
    let db = Tsdb::open(disk.clone(), clock(), Path::new(DATA), db_options, &registry).unwrap();
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks.len(), 6, "all are needed");
    let mut ship_options = options();
    ship_options.guard = guard;
    ship_with(&bucket, &disk, ship_options).unwrap();
    db.maintain().unwrap();
    assert!(db.stats().blocks.len() < 6);
    assert_eq!(bucket.list_folders("").unwrap().len(), 6);
    db.close().unwrap();
}
