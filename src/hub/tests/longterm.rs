//! Hubs that share a bucket.

use std::path::Path;
use std::time::Duration;

use super::fleet::{ALL_MS, START_MS, fill, get, range, values};
use super::*;
use crate::disk::{Disk, MemoryDisk, RealDisk, SharedDisk};
use crate::hub::{Hub, HubConfig, HubOptions};
use crate::longterm::bucket::Bucket;
use crate::longterm::compact::{CompactOptions, Compactor, Watch};
use crate::wire::config::Config;

/// Late enough that what was taken in is cut into blocks.
const LATER_MS: i64 = START_MS + ALL_MS + 6 * 3_600_000;

fn hub(runtime: &Runtime, disk: &MemoryDisk, bucket: &Path, replica: &str) -> Hub {
    let text = format!(
        "global: {{external_labels: {{replica: {replica}}}}}\n\
         thanos:\n  objstore: {{type: FILESYSTEM, config: {{directory: '{}'}}}}\n  \
         replica_labels: [replica]\n",
        bucket.display()
    );
    let config = Config::parse(&text, Path::new("hub.yml"), &|_| None).unwrap();
    let config = HubConfig::from_config(&config).unwrap();
    let disk: SharedDisk = Arc::new(disk.clone());
    let clock: SharedClock = Arc::new(ManualClock::at(LATER_MS));
    let options = HubOptions::new(config, "data", "127.0.0.1:0");
    runtime.block_on(Hub::start(HubOptions { disk, clock, ..options })).unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

fn blocks(bucket: &Bucket) -> usize {
    let keys = bucket.list("").unwrap();
    keys.iter().filter(|object| object.key.ends_with("/meta.json")).count()
}

/// A hub that takes an hour in, cuts it into a block, and ships this when it is started again.
fn shipped(runtime: &Runtime, bucket: &Path, replica: &str, late_ms: i64, stopped: bool) {
    let disk = MemoryDisk::default();
    let first = hub(runtime, &disk, bucket, replica);
    fill(&first, late_ms, stopped);
    // The newest samples stay in memory, so that some must be newer for an hour to be cut.
    let labels = crate::model::Labels::from_pairs([("__name__", "later")]).unwrap();
    let mut batch = crate::series::Batch::new();
    batch.push_series(crate::series::SeriesRef::UNKNOWN, labels.as_ref());
    batch.push_sample(START_MS + 5 * 3_600_000, 1.0);
    first.db().append(&mut batch, crate::series::OnReject::KeepRest).unwrap();
    first.db().maintain().unwrap();
    assert_eq!(first.db().stats().blocks.len(), 1);
    runtime.block_on(first.stop()).unwrap();
    let (store, before) =
        (Bucket::folder(bucket).unwrap(), blocks(&Bucket::folder(bucket).unwrap()));
    let again = hub(runtime, &disk, bucket, replica);
    wait_until("the block is shipped", || blocks(&store) == before + 1);
    runtime.block_on(again.stop()).unwrap();
}

/// A hub without data of its own, once it has found so many blocks.
fn reader(runtime: &Runtime, bucket: &Path) -> Hub {
    let hub = hub(runtime, &MemoryDisk::default(), bucket, "c");
    let target = format!("/api/v1/query?query=requests_total&time={}", START_MS / 1000 + 600);
    wait_until("the bucket is read", || {
        get(&hub, &target)["data"]["result"].as_array().is_some_and(|found| !found.is_empty())
    });
    hub
}

const QUESTIONS: [&str; 3] =
    ["rate(requests_total%5B1m%5D)", "count_over_time(requests_total%5B1m%5D)", "requests_total"];

#[test]
fn what_two_hubs_shipped_is_read_as_one_before_and_after_it_is_compacted() {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("bucket");
    RealDisk.create_dir_all(&folder).unwrap();
    shipped(&runtime, &folder, "a", 0, true);
    shipped(&runtime, &folder, "b", 3_000, false);
    let hub = reader(&runtime, &folder);
    let before: Vec<Vec<f64>> =
        QUESTIONS.iter().map(|question| values(&range(&hub, question, ""))).collect();
    for rate in &before[0] {
        assert!((rate - 2.0).abs() < 0.4, "{rate}");
    }
    assert_eq!(range(&hub, "requests_total", "&dedup=false").len(), 2);
    runtime.block_on(hub.stop()).unwrap();
    let mut options = CompactOptions::new(dir.path().join("work"));
    options.replica_labels = vec!["replica".to_owned()];
    options.consistency_delay_ms = 0;
    options.delete_delay_ms = 0;
    let clock = Arc::new(ManualClock::at(LATER_MS));
    let compactor = Compactor::new(
        Bucket::folder(&folder).unwrap(),
        RealDisk::shared(),
        clock.clone(),
        options,
        &Registry::new(),
    );
    let report = compactor.run_once(Watch::default()).unwrap();
    assert_eq!((report.merged.len(), &report.failures[..]), (1, &[][..]), "{report:?}");
    clock.set(LATER_MS + 3_600_000);
    compactor.run_once(Watch::default()).unwrap();
    assert_eq!(blocks(&Bucket::folder(&folder).unwrap()), 1);
    let hub = reader(&runtime, &folder);
    for (question, before) in QUESTIONS.iter().zip(&before) {
        assert_eq!(values(&range(&hub, question, "")), *before, "{question}");
    }
    let apart = range(&hub, "requests_total", "&dedup=false");
    assert_eq!(apart.len(), 1, "{apart:?}");
    runtime.block_on(hub.stop()).unwrap();
}

#[test]
fn a_hub_serves_while_its_bucket_is_away() {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("bucket");
    RealDisk.create_dir_all(&folder).unwrap();
    let disk = MemoryDisk::default();
    let hub = hub(&runtime, &disk, &folder, "a");
    RealDisk.remove_dir_all(&folder).unwrap();
    fill(&hub, 0, false);
    let found = range(&hub, "requests_total", "");
    assert_eq!(
        values(&found).len(),
        values(&range(&hub, "rate(requests_total%5B1m%5D)", "")).len()
    );
    runtime.block_on(hub.stop()).unwrap();
}
