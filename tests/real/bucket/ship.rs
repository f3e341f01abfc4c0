//! Blocks of our own store into the clouds' stand-ins, with everything failing.

use std::path::Path;

use promlite::disk::{RealDisk, SharedDisk};
use promlite::longterm::bucket::{Bucket, Fault, FaultyBucket};
use promlite::longterm::{
    BucketView, FetchOptions, Fetcher, LongTermError, ShipOptions, ShipReport, Shipper,
    delete_block, download_block,
};
use promlite::storage::block::Block;
use promlite::{Append, Batch, Labels, OnReject, SeriesRef, Tsdb, TsdbOptions};

use super::faults::{Break, Proxy};
use super::open;
use super::servers::{Cloud, Server};

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const BLOCKS: usize = 2;

/// A data directory with some blocks of two hours.
pub(super) fn write_data(dir: &Path) {
    let mut options = TsdbOptions::default();
    options.background = false;
    let db = Tsdb::open_at(dir, options).unwrap();
    let mut batch = Batch::new();
    for minute in 0..(120 * BLOCKS as i64) {
        batch.clear();
        for series in 0..20 {
            let name = format!("metric_{series}");
            let labels = Labels::from_pairs([("__name__", name.as_str())]).unwrap();
            batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
            batch.push_sample(1000 * HOUR_MS + minute * 60_000, (minute * series) as f64);
        }
        db.append(&mut batch, OnReject::KeepRest).unwrap();
    }
    db.flush().unwrap();
    db.close().unwrap();
}

pub(super) fn ship(
    bucket: &Bucket,
    dir: &Path,
    replica: &str,
) -> Result<ShipReport, LongTermError> {
    let labels = Labels::from_pairs([("cluster", "a"), ("replica", replica)]).unwrap();
    let disk: SharedDisk = RealDisk::shared();
    let mut shipper = Shipper::new(bucket.clone(), disk, dir, ShipOptions::new(labels))?;
    shipper.sync(&|_| (), &|| false)
}

pub(super) fn view(bucket: &Bucket) -> BucketView {
    Fetcher::new(bucket.clone(), &FetchOptions::default()).fetch().unwrap()
}

/// Every block comes back whole, and nothing else is there.
fn assert_complete(bucket: &Bucket) {
    let view = view(bucket);
    assert_eq!((view.blocks.len(), view.partial.len()), (BLOCKS, 0), "{view:?}");
    let disk: SharedDisk = RealDisk::shared();
    let into = tempfile::tempdir().unwrap();
    for block in &view.blocks {
        let dir = download_block(bucket, block, &disk, into.path(), &|_| ()).unwrap();
        let samples = Block::open(&disk, &dir).unwrap().meta().stats.num_samples;
        assert_eq!(samples, 20 * 120);
    }
    let files: usize = view.blocks.iter().map(|block| block.thanos.files.len()).sum();
    assert_eq!(bucket.list("").unwrap().len(), files, "nothing is doubled or left over");
}

fn survives(cloud: Cloud) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write_data(&data);
    let server = Server::start(cloud, dir.path());
    let bucket = open(&server, "crashes");
    let mut crashes = 0;
    for count in 0.. {
        let faulty = FaultyBucket::crashing_after(&bucket, count);
        let outcome = ship(&faulty.bucket(), &data, "0");
        // Whatever shows itself is whole.
        for block in view(&bucket).blocks {
            for file in block.thanos.files.iter().filter(|file| file.size_bytes > 0) {
                let object = bucket.head(&block.key(&file.rel_path)).unwrap();
                assert_eq!(object.size_bytes, file.size_bytes);
            }
        }
        if outcome.is_ok() {
            break;
        }
        crashes += 1;
        ship(&bucket, &data, "0").unwrap();
        assert_complete(&bucket);
        // From the start again.
        for block in view(&bucket).blocks {
            delete_block(&bucket, block.ulid()).unwrap();
        }
        assert!(bucket.list("").unwrap().is_empty());
        std::fs::remove_file(data.join("thanos.shipper.json")).unwrap();
    }
    assert!(crashes > 8, "{crashes}");
    assert_complete(&bucket);
}

#[test]
#[ignore = "needs moto_server"]
fn a_crash_between_any_two_requests_to_s3_loses_and_doubles_nothing() {
    survives(Cloud::S3);
}

#[test]
#[ignore = "needs azurite"]
fn a_crash_between_any_two_requests_to_azure_loses_and_doubles_nothing() {
    survives(Cloud::Azure);
}

#[test]
#[ignore = "needs gcp-storage-emulator"]
fn a_crash_between_any_two_requests_to_gcs_loses_and_doubles_nothing() {
    survives(Cloud::Gcs);
}

fn bears_faults(cloud: Cloud) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(cloud, dir.path());
    let faults = [Fault::Refused, Fault::AnswerLost, Fault::CutShort, Fault::ListedLate];
    for (index, fault) in faults.into_iter().enumerate() {
        let data = dir.path().join(format!("data-{index}"));
        write_data(&data);
        let bucket = open(&server, &format!("faults-{index}"));
        let faulty =
            FaultyBucket::new(
                &bucket,
                move |request| {
                    if request.number % 3 == 0 { fault } else { Fault::None }
                },
            );
        assert_eq!(ship(&faulty.bucket(), &data, "0").unwrap().uploaded.len(), BLOCKS);
        // A late listing does not lose blocks for ever, but it may not show the newest.
        if fault != Fault::ListedLate {
            assert_complete(&faulty.bucket());
        }
        assert_complete(&bucket);
    }
    let breaks =
        [Break::Unavailable, Break::AnswerAfter(0), Break::AnswerAfter(400), Break::Refused];
    for (index, how) in breaks.into_iter().enumerate() {
        let data = dir.path().join(format!("data-through-{index}"));
        write_data(&data);
        let bucket = open(&server, &format!("breaks-{index}"));
        let breaks = move |number| if number % 3 == 2 { how } else { Break::Never };
        let proxy = Proxy::start(server.address, breaks);
        let config = server.config_through(proxy.address, &format!("breaks-{index}"));
        ship(&Bucket::open(&config).unwrap(), &data, "0").unwrap();
        assert!(proxy.broken() > 2);
        assert_complete(&bucket);
    }
}

#[test]
#[ignore = "needs moto_server"]
fn faults_between_us_and_s3_lose_and_double_nothing() {
    bears_faults(Cloud::S3);
}

#[test]
#[ignore = "needs azurite"]
fn faults_between_us_and_azure_lose_and_double_nothing() {
    bears_faults(Cloud::Azure);
}

#[test]
#[ignore = "needs gcp-storage-emulator"]
fn faults_between_us_and_gcs_lose_and_double_nothing() {
    bears_faults(Cloud::Gcs);
}
