//! Questions to the clouds' stand-ins, and their upkeep.

use std::sync::Arc;

use promlite::base::clock::{Clock, ManualClock, SystemClock};
use promlite::base::metrics::Registry;
use promlite::disk::RealDisk;
use promlite::longterm::bucket::Bucket;
use promlite::longterm::compact::{CompactOptions, Compactor, Watch};
use promlite::longterm::gateway::{Gateway, GatewayOptions};
use promlite::series::{Dedup, Deduplicated, Queryable};
use promlite::{Engine, RunOptions, Tsdb, TsdbOptions, Value};

use super::open;
use super::servers::{Cloud, Server};
use super::ship::{BLOCKS, HOUR_MS, ship, view, write_data};

const DAY_MS: i64 = 24 * HOUR_MS;
/// The last millisecond of the data.
const END_MS: i64 = (1000 + 2 * BLOCKS as i64) * HOUR_MS - 1;

/// What a function makes of all samples of a metric.
fn answers(source: &dyn Queryable, function: &str, max_resolution_ms: i64) -> Vec<(String, f64)> {
    let query = format!("{function}(metric_7[{}h])", 2 * BLOCKS);
    let run = RunOptions { max_source_resolution_ms: max_resolution_ms, ..Default::default() };
    let answer = Engine::default().instant(source, &query, END_MS, &run).unwrap();
    let Value::Vector(found) = answer.value else { panic!("no vector") };
    found.into_iter().map(|one| (one.labels.to_string(), one.sample.value)).collect()
}

const FUNCTIONS: [&str; 5] =
    ["count_over_time", "sum_over_time", "min_over_time", "max_over_time", "avg_over_time"];

fn asked(bucket: &Bucket, max_resolution_ms: i64) -> Vec<Vec<(String, f64)>> {
    let gateway = Gateway::open(bucket.clone(), GatewayOptions::default()).unwrap();
    let replica: Arc<[Arc<str>]> = Arc::from([Arc::from("replica")]);
    let source = Deduplicated::new(Arc::new(gateway), replica, Dedup::Identity);
    FUNCTIONS.map(|function| answers(&source, function, max_resolution_ms)).into()
}

fn is_looked_after(cloud: Cloud) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(cloud, dir.path());
    let bucket = open(&server, "upkeep");
    for replica in ["0", "1"] {
        let data = dir.path().join(replica);
        write_data(&data);
        assert_eq!(ship(&bucket, &data, replica).unwrap().uploaded.len(), BLOCKS);
    }
    let mut options = TsdbOptions::default();
    options.background = false;
    let db = Tsdb::open_at(dir.path().join("0"), options).unwrap();
    let local: Vec<_> = FUNCTIONS.map(|function| answers(&db, function, 0)).into();
    let outside = |answers: &[Vec<(String, f64)>]| -> Vec<Vec<(String, f64)>> {
        let with = |(_, value): &(String, f64)| (r#"{cluster="a"}"#.to_owned(), *value);
        answers.iter().map(|one| one.iter().map(with).collect()).collect()
    };
    let wanted = outside(&local);
    assert_eq!(wanted[0], [(r#"{cluster="a"}"#.to_owned(), 120.0 * BLOCKS as f64)]);
    assert_eq!(asked(&bucket, 0), wanted, "two replicas");

    let clock = Arc::new(ManualClock::at(SystemClock.now_ms() + DAY_MS));
    let mut options = CompactOptions::new(dir.path().join("work"));
    options.replica_labels = vec!["replica".to_owned()];
    options.retention.raw_ms = DAY_MS;
    let compactor = Compactor::new(
        bucket.clone(),
        RealDisk::shared(),
        clock.clone(),
        options,
        &Registry::new(),
    );
    for round in 0.. {
        let report = compactor.run_once(Watch::default()).unwrap();
        assert_eq!(report.failures, Vec::<String>::new(), "round {round}");
        clock.set(clock.now_ms() + 3 * DAY_MS);
        if report.changed_nothing() {
            break;
        }
        assert!(round < 10, "it never ends: {report:?}");
    }
    let blocks = view(&bucket).blocks;
    let mut resolutions: Vec<i64> = blocks.iter().map(|block| block.resolution_ms()).collect();
    resolutions.sort_unstable();
    assert!(!resolutions.is_empty() && resolutions.iter().all(|ms| *ms > 0), "{resolutions:?}");
    assert!(blocks.iter().all(|block| !block.thanos.labels.contains_key("replica")));
    let files: usize = blocks.iter().map(|block| block.thanos.files.len()).sum();
    let own =
        |object: &&promlite::longterm::bucket::ObjectInfo| object.key.starts_with("promlite/");
    let objects = bucket.list("").unwrap();
    assert_eq!(objects.len() - objects.iter().filter(own).count(), files, "nothing is left over");
    // Raw samples are gone, so that even who asks for them gets windows.
    for max_resolution_ms in [0, 300_000, HOUR_MS] {
        assert_eq!(asked(&bucket, max_resolution_ms), wanted, "at {max_resolution_ms} ms");
    }
}

#[test]
#[ignore = "needs moto_server"]
fn a_bucket_of_s3_is_asked_compacted_and_downsampled() {
    is_looked_after(Cloud::S3);
}

#[test]
#[ignore = "needs azurite"]
fn a_bucket_of_azure_is_asked_compacted_and_downsampled() {
    is_looked_after(Cloud::Azure);
}

#[test]
#[ignore = "needs gcp-storage-emulator"]
fn a_bucket_of_gcs_is_asked_compacted_and_downsampled() {
    is_looked_after(Cloud::Gcs);
}
