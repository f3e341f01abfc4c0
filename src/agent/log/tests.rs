use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::metrics::{Registry, Value};
use crate::disk::{Crash, Disk, FaultyDisk, MemoryDisk, RealDisk, SharedDisk};
use crate::model::histogram::{Counts, Histogram, HistogramError};
use crate::model::{Exemplar, Labels, LabelsBuf, Value as Sample};
use crate::series::{Append, AppendError, Batch, OnReject, Outcome, SeriesRef, Verdict};
use crate::storage::wal::{
    Compression, Durability, Position, RecordKind, RowDecoder, Tail, WalOptions, decode_exemplars,
    decode_samples, decode_series, kind,
};
use crate::testkit::golden;

const HOUR_MS: i64 = 3_600_000;

fn options() -> AgentLogOptions {
    let wal = WalOptions {
        segment_bytes: 64 << 10,
        compression: Compression::Snappy,
        ..WalOptions::default()
    };
    AgentLogOptions { wal, ..AgentLogOptions::default() }
}

fn open_with(
    disk: &SharedDisk,
    options: AgentLogOptions,
    registry: &Registry,
) -> Result<AgentLog, AgentLogError> {
    let clock = Arc::new(ManualClock::at(0));
    AgentLog::open(disk.clone(), clock, Path::new("/agent"), options, registry)
}

fn open(disk: &SharedDisk) -> AgentLog {
    open_with(disk, options(), &Registry::new()).unwrap()
}

fn labels(number: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("n", number.to_string().as_str())]).unwrap()
}

/// One sample for each series in `numbers`.
fn batch(numbers: impl IntoIterator<Item = usize>, time_ms: i64) -> Batch {
    let mut batch = Batch::new();
    for number in numbers {
        batch.push_series(SeriesRef::UNKNOWN, labels(number).as_ref());
        batch.push_sample(time_ms, number as f64);
    }
    batch
}

fn append(log: &AgentLog, batch: &mut Batch) -> Outcome {
    log.append(batch, OnReject::KeepRest).unwrap()
}

fn reading(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name).unwrap();
    match family.members[0].1 {
        Value::Number(number) => number,
        Value::Histogram { sum, .. } => sum,
    }
}

/// What a sender keeps: the names of series, and what it has read.
#[derive(Default)]
struct Reader {
    names: HashMap<SeriesRef, Labels>,
    seen: Vec<(Labels, i64, f64)>,
}

impl Reader {
    /// Reads to the end; samples up to `sent` only teach it nothing.
    fn read(&mut self, tail: &mut Tail, sent: Option<Position>) -> Position {
        let (mut record, mut buf) = (Vec::new(), LabelsBuf::new());
        while let Some(position) = tail.next(&mut record).unwrap() {
            let is_new = !position.is_in_checkpoint() && sent.is_none_or(|sent| position > sent);
            match kind(&record) {
                RecordKind::Series => decode_series(&record, &mut buf, |series, labels| {
                    self.names.insert(series, labels.to_labels());
                })
                .unwrap(),
                _ => decode_samples(&record, |series, sample| {
                    let labels = self.names.get(&series).expect("its name stands before it");
                    if is_new {
                        self.seen.push((labels.clone(), sample.timestamp_ms, sample.value));
                    }
                })
                .unwrap(),
            }
        }
        tail.position()
    }
}

/// Everything that was logged but names, as text, in its order.
fn logged(disk: &SharedDisk) -> Vec<String> {
    let mut tail = Tail::open(disk.clone(), Path::new("/agent/wal"), None).unwrap();
    let (mut record, mut buf, mut found) = (Vec::new(), LabelsBuf::new(), Vec::new());
    while tail.next(&mut record).unwrap().is_some() {
        match kind(&record) {
            RecordKind::Series => {}
            RecordKind::Exemplars => decode_exemplars(&record, &mut buf, |row| {
                found.push(format!("{} e{} {}", row.series.0, row.timestamp_ms, row.value));
            })
            .unwrap(),
            _ => {
                let read = RowDecoder::new().decode(&record, |row| {
                    let kind = if matches!(row.value, Sample::Float(_)) { 'f' } else { 'h' };
                    found.push(format!("{} {kind}{}", row.series.0, row.timestamp_ms));
                });
                assert_eq!(read, Ok(0));
            }
        }
    }
    found
}

#[test]
fn a_series_that_turns_to_histograms_is_logged_in_its_order() {
    let disk = MemoryDisk::shared();
    let registry = Registry::new();
    let log = open_with(&disk, options(), &registry).unwrap();
    let stale = Histogram::stale(true);
    let mut invalid = Histogram::stale(false);
    invalid.counts = Counts::Integer { count: 1, zero_count: 2, buckets: Vec::new() };
    let mut batch = batch(0..1, 1);
    batch.push_series(SeriesRef::UNKNOWN, labels(1).as_ref());
    batch.push_sample(1, 0.5);
    batch.push_histogram(2, stale.as_ref());
    batch.push_histogram(3, invalid.as_ref());
    batch.push_histogram(2, stale.as_ref());
    batch.push_sample(4, 0.5);
    batch.push_series(SeriesRef::UNKNOWN, labels(2).as_ref());
    batch.push_histogram(1, stale.as_ref());
    let outcome = append(&log, &mut batch);
    assert_eq!((outcome.accepted, outcome.rejected, outcome.created_series), (5, 2, 3));
    let invalid = Verdict::InvalidHistogram(HistogramError::CountTooLow);
    assert_eq!(batch.verdicts()[3..5], [invalid, Verdict::OutOfOrder]);
    assert_eq!(logged(&disk), ["1 f1", "2 f1", "2 h2", "2 f4", "3 h1"]);
    assert_eq!(reading(&registry, "prometheus_agent_out_of_order_samples_total"), 1.0);
    // None of a batch is logged that is to be taken whole or not at all.
    let refused = log.append(&mut batch, OnReject::RejectAll).unwrap();
    assert_eq!((refused.accepted, refused.rejected), (0, 7));
    assert_eq!(logged(&disk).len(), 5);
}

#[test]
fn an_exemplar_is_logged_once() {
    let disk = MemoryDisk::shared();
    let log = open(&disk);
    let exemplar = |timestamp_ms, value, text: &str| Exemplar {
        labels: Labels::from_pairs([("trace_id", text)]).unwrap(),
        value,
        timestamp_ms,
    };
    let scrape = |time_ms: i64, exemplars: &[Exemplar]| {
        let mut batch = batch(1..2, time_ms);
        exemplars.iter().for_each(|exemplar| batch.push_exemplar(exemplar.clone()));
        append(&log, &mut batch).rejected_exemplars
    };
    let first = exemplar(5, 0.5, "a");
    assert_eq!(scrape(10, std::slice::from_ref(&first)), 0);
    assert_eq!(scrape(20, &[first.clone(), exemplar(6, 1.5, "b"), exemplar(6, 1.5, "b")]), 0);
    // One that is older and one that is too long.
    assert_eq!(scrape(30, &[first, exemplar(40, 1.0, &"x".repeat(121))]), 2);
    assert_eq!(logged(&disk), ["1 f10", "1 e5 0.5", "1 f20", "1 e6 1.5", "1 f30"]);
    // Exemplars of a series that nobody knows go nowhere.
    let mut batch = Batch::new();
    batch.push_series(SeriesRef::UNKNOWN, labels(9).as_ref());
    batch.push_exemplar(exemplar(1, 1.0, "a"));
    assert_eq!(append(&log, &mut batch), Outcome::default());
    assert_eq!(logged(&disk).len(), 5);
}

#[test]
fn a_truncation_that_failed_is_tried_again_soon() {
    let disk = FaultyDisk::new();
    let clock = Arc::new(ManualClock::at(0));
    let registry = Registry::new();
    let log =
        AgentLog::open(disk.shared(), clock.clone(), Path::new("/agent"), options(), &registry);
    let log = log.unwrap();
    append(&log, &mut batch(0..10, 0));
    clock.set(5 * HOUR_MS);
    disk.set_full(true);
    assert!(log.maintain(None).is_err());
    assert!(log.maintain(None).unwrap().is_none());
    disk.set_full(false);
    clock.set(5 * HOUR_MS + 60_000);
    let done = log.maintain(None).unwrap().unwrap();
    assert_eq!(done.upto, Some(0));
    assert!(log.maintain(None).unwrap().is_none());
}

#[test]
fn each_commit_is_on_disk_where_that_is_wanted() {
    for (durability, survive) in [(Durability::Process, 0), (Durability::EachCommit, 10)] {
        let disk = FaultyDisk::new();
        let mut options = options();
        options.wal.durability = durability;
        let log = open_with(&disk.shared(), options, &Registry::new()).unwrap();
        append(&log, &mut batch(0..10, 0));
        let next = open(&disk.crash(Crash::Power).shared());
        assert_eq!(next.stats().unwrap().series, survive);
    }
}

#[test]
fn a_series_is_named_once_and_found_by_its_name_afterwards() {
    let disk = MemoryDisk::shared();
    let log = open(&disk);
    let mut first = batch(0..3, 10);
    assert_eq!(
        append(&log, &mut first),
        Outcome { accepted: 3, created_series: 3, ..Outcome::default() }
    );
    let names: Vec<u64> = (0..3).map(|index| first.series_ref(index).0).collect();
    assert_eq!(names, [1, 2, 3]);

    let mut second = Batch::new();
    second.push_series(SeriesRef(2), labels(1).as_ref());
    second.push_sample(20, 5.0);
    second.push_series(SeriesRef::UNKNOWN, labels(2).as_ref());
    second.push_sample(20, 6.0);
    assert_eq!(append(&log, &mut second).created_series, 0);
    assert_eq!((second.series_ref(0), second.series_ref(1)), (SeriesRef(2), SeriesRef(3)));

    let mut reader = Reader::default();
    reader.read(&mut log.tail(None).unwrap(), None);
    assert_eq!(reader.names.len(), 3);
    assert_eq!(reader.seen[3..], [(labels(1), 20, 5.0), (labels(2), 20, 6.0)]);
}

#[test]
fn a_sample_must_be_newer_than_the_newest_of_its_series() {
    let log = open(&MemoryDisk::shared());
    append(&log, &mut batch([0], 100));
    let mut late = Batch::new();
    late.push_series(SeriesRef::UNKNOWN, labels(0).as_ref());
    for time in [99, 100, 101, 101, 102] {
        late.push_sample(time, 0.0);
    }
    let outcome = append(&log, &mut late);
    assert_eq!((outcome.accepted, outcome.rejected), (2, 3));
    let (no, yes) = (Verdict::OutOfOrder, Verdict::Accepted);
    assert_eq!(late.verdicts(), [no, no, yes, no, yes]);

    let mut mixed = batch([0, 1], 102);
    let refused = log.append(&mut mixed, OnReject::RejectAll).unwrap();
    assert_eq!(refused, Outcome { rejected: 1, ..Outcome::default() });
    assert_eq!(log.stats().unwrap().series, 1);
    assert_eq!(append(&log, &mut batch([0], 103)).accepted, 1);
}

#[test]
fn the_window_lets_older_samples_in() {
    let options = AgentLogOptions { out_of_order_window_ms: 50, ..options() };
    let log = open_with(&MemoryDisk::shared(), options, &Registry::new()).unwrap();
    for (time, accepted) in [(100, 1), (51, 1), (50, 0), (100, 1), (120, 1), (70, 0), (71, 1)] {
        assert_eq!(append(&log, &mut batch([0], time)).accepted, accepted, "{time}");
    }
}

#[test]
fn series_without_labels_and_too_many_series_are_refused() {
    let options = AgentLogOptions { max_series: 2, ..options() };
    let log = open_with(&MemoryDisk::shared(), options, &Registry::new()).unwrap();
    let mut empty = Batch::new();
    empty.push_series(SeriesRef::UNKNOWN, Labels::empty().as_ref());
    empty.push_sample(1, 1.0);
    let refused = log.append(&mut empty, OnReject::KeepRest);
    assert!(matches!(refused, Err(AppendError::EmptyLabels)));
    append(&log, &mut batch([0], 1));
    let refused = log.append(&mut batch([0, 1, 2], 2), OnReject::KeepRest);
    assert!(matches!(refused, Err(AppendError::TooManySeries { limit: 2 })));
    // Nothing of the refused batch is left behind.
    assert_eq!(append(&log, &mut batch([0, 1], 2)).accepted, 2);
}

#[test]
fn names_and_times_survive_a_restart() {
    let disk = MemoryDisk::shared();
    let registry = Registry::new();
    let log = open_with(&disk, options(), &registry).unwrap();
    assert_eq!(reading(&registry, "prometheus_agent_clean_start"), 1.0);
    append(&log, &mut batch(0..5, 100));
    let busy = open_with(&disk, options(), &Registry::new());
    assert!(matches!(busy, Err(AgentLogError::Locked(_))));
    drop(log);

    let log = open_with(&disk, options(), &registry).unwrap();
    assert_eq!(reading(&registry, "prometheus_agent_clean_start"), 0.0);
    assert!(log.recovery().is_clean());
    let mut again = batch([4, 7], 100);
    let outcome = append(&log, &mut again);
    assert_eq!((outcome.accepted, outcome.rejected, outcome.created_series), (1, 1, 1));
    assert_eq!((again.series_ref(0), again.series_ref(1)), (SeriesRef(5), SeriesRef(6)));
    log.close().unwrap();
    let closed = log.append(&mut batch([4], 200), OnReject::KeepRest);
    assert!(matches!(closed, Err(AppendError::Unavailable(_))));

    let log = open_with(&disk, options(), &registry).unwrap();
    assert_eq!(reading(&registry, "prometheus_agent_clean_start"), 1.0);
    assert_eq!(reading(&registry, "prometheus_agent_active_series"), 6.0);
    assert_eq!(log.stats().unwrap().series, 6);
}

#[test]
fn a_log_of_prometheus_is_taken_over() {
    let from = golden::data(golden::AGENT).join("wal/00000000");
    let disk = MemoryDisk::shared();
    disk.create_dir_all(Path::new("/agent/wal")).unwrap();
    let mut out = disk.create(Path::new("/agent/wal/00000000")).unwrap();
    out.write_all(&RealDisk.read(&from).unwrap()).unwrap();
    let log = open(&disk);
    assert!(log.recovery().is_clean());
    assert_eq!(log.stats().unwrap().series, 22);
    let known = Labels::from_pairs([
        ("__name__", "awkward"),
        ("instance", "10.0.0.1:9100"),
        ("kind", "constant"),
    ]);
    let mut batch = Batch::new();
    batch.push_series(SeriesRef::UNKNOWN, known.unwrap().as_ref());
    batch.push_sample(1_767_571_200_000, 1.0);
    batch.push_sample(1_900_000_000_000, 1.0);
    let outcome = append(&log, &mut batch);
    assert_eq!((outcome.accepted, outcome.rejected, outcome.created_series), (1, 1, 0));
}

#[test]
fn a_full_disk_refuses_batches_and_forgets_their_series() {
    let disk = FaultyDisk::new();
    let log = open(&disk.shared());
    append(&log, &mut batch([0], 1));
    disk.set_full(true);
    let mut refused = batch([0, 1], 2);
    let error = log.append(&mut refused, OnReject::KeepRest).unwrap_err();
    assert!(matches!(error, AppendError::Log(_)));
    let kept_name = refused.series_ref(1);
    assert_eq!(log.stats().unwrap().series, 1);
    disk.set_full(false);
    // The caller may have kept the name that it was answered.
    let mut other = batch([2], 2);
    append(&log, &mut other);
    assert_ne!(other.series_ref(0), kept_name);
    assert_eq!(append(&log, &mut batch([0, 1], 2)).accepted, 2);
    let mut reader = Reader::default();
    reader.read(&mut log.tail(None).unwrap(), None);
    assert_eq!(reader.seen.len(), 4);
}

/// A log with a sample of series 0 and of one other series every minute of `hours`, in segments of
/// about an hour.
fn hours(log: &AgentLog, hours: i64) {
    for minute in 0..hours * 60 {
        append(log, &mut batch([0, 1 + minute as usize % 7], minute * 60_000));
        if minute % 60 == 59 {
            log.state.lock().wal.as_mut().unwrap().cut().unwrap();
        }
    }
}

#[test]
fn what_was_sent_goes_except_the_youngest() {
    let disk = MemoryDisk::shared();
    let log = open(&disk);
    hours(&log, 3);
    let end = log.end().unwrap();
    let done = log.truncate(Some(end), 3 * HOUR_MS).unwrap();
    // The third hour holds samples of the last five minutes.
    assert_eq!((done.upto, done.dropped_samples), (Some(1), 0));
    let mut reader = Reader::default();
    reader.read(&mut log.tail(None).unwrap(), None);
    assert_eq!(reader.seen.len(), 120);
    assert!(disk.exists(Path::new("/agent/wal/checkpoint.00000001")));
    assert!(!disk.exists(Path::new("/agent/wal/00000001")));
}

#[test]
fn what_was_not_sent_stays_until_it_is_too_old() {
    let disk = MemoryDisk::shared();
    let registry = Registry::new();
    let log = open_with(&disk, options(), &registry).unwrap();
    let mut tail = log.tail(None).unwrap();
    let mut record = Vec::new();
    hours(&log, 3);
    // Series and samples of the first two batches.
    for _ in 0..4 {
        tail.next(&mut record).unwrap().unwrap();
    }
    let sent = Some(tail.position());
    for now_ms in [3 * HOUR_MS, 5 * HOUR_MS - 60_000] {
        let done = log.truncate(sent, now_ms).unwrap();
        assert_eq!((done.upto, done.dropped_samples), (None, 0));
    }
    let done = log.truncate(sent, 5 * HOUR_MS).unwrap();
    assert_eq!(done.upto, Some(0));
    assert_eq!(done.dropped_samples, 120 - 4);
    let dropped = reading(&registry, "prometheus_agent_unsent_samples_dropped_total");
    assert_eq!(dropped, 116.0);
    // A reader that comes back finds the names of all series and the samples that are left.
    let mut reader = Reader::default();
    let mut late = log.tail(sent).unwrap();
    reader.read(&mut late, sent);
    assert_eq!(reader.seen.len(), 240);
    assert_eq!(late.missed_segments(), 1);
}

#[test]
fn the_cap_on_size_takes_the_oldest() {
    let options = AgentLogOptions { max_wal_bytes: 40_000, ..options() };
    let disk = MemoryDisk::shared();
    let log = open_with(&disk, options, &Registry::new()).unwrap();
    let start = Position::start_of(0);
    let mut dropped = 0;
    for time in 0..400 {
        append(&log, &mut batch(0..40, time));
        if let Some(done) = log.maintain(Some(start)).unwrap() {
            dropped += done.dropped_samples;
        }
        assert!(log.stats().unwrap().wal_bytes < 80_000);
    }
    let mut reader = Reader::default();
    reader.read(&mut log.tail(None).unwrap(), None);
    assert!(dropped > 0);
    assert_eq!(reader.seen.len() as u64 + dropped, 400 * 40);
}

#[test]
fn an_idle_series_is_forgotten_and_comes_back_with_another_name() {
    let disk = MemoryDisk::shared();
    let log = open(&disk);
    append(&log, &mut batch([0, 1], 0));
    append(&log, &mut batch([0], HOUR_MS));
    let done = log.truncate(None, HOUR_MS).unwrap();
    assert_eq!((done.idle_series, log.stats().unwrap().series), (1, 1));
    let mut back = batch([0, 1], HOUR_MS + 1);
    let outcome = append(&log, &mut back);
    assert_eq!((outcome.created_series, back.series_ref(1)), (1, SeriesRef(3)));
    drop(log);
    let log = open(&disk);
    let mut again = batch([1], HOUR_MS + 2);
    append(&log, &mut again);
    assert_eq!(again.series_ref(0), SeriesRef(3));
}

#[test]
fn a_series_is_small() {
    let log = open(&MemoryDisk::shared());
    let pairs = |number: usize| {
        Labels::from_pairs([
            ("__name__", "container_network_receive_bytes_total".to_owned()),
            ("cluster", "production-eu-1".to_owned()),
            ("container", "api".to_owned()),
            ("instance", format!("10.4.{}.{}:9100", number / 250, number % 250)),
            ("interface", "eth0".to_owned()),
            ("job", "kubelet".to_owned()),
            ("namespace", "payments".to_owned()),
            ("pod", format!("api-7d9c5b8f6-{number:05}")),
        ])
        .unwrap()
    };
    let mut text_bytes = 0;
    for chunk in 0..20 {
        let mut batch = Batch::new();
        for number in chunk * 1_000..(chunk + 1) * 1_000 {
            let labels = pairs(number);
            text_bytes += labels.as_ref().encoded().len();
            batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
            batch.push_sample(1, 1.0);
        }
        append(&log, &mut batch);
    }
    let stats = log.stats().unwrap();
    assert_eq!(stats.series, 20_000);
    let beside_text = (stats.series_bytes - text_bytes) / stats.series;
    assert!(beside_text < 80, "{beside_text}");
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    Fail(Vec<usize>),
    Read,
    RestartReader,
    Truncate,
    RestartLog(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(0_usize..30, 1..12).prop_map(Step::Append),
        1 => vec(0_usize..60, 1..12).prop_map(Step::Fail),
        2 => Just(Step::Read),
        1 => Just(Step::RestartReader),
        2 => Just(Step::Truncate),
        1 => any::<bool>().prop_map(Step::RestartLog),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The whole life of a spoke: batches come, the disk is full at times, the reader and the log
    /// restart, old segments go. Every accepted sample is read exactly once, under its own labels.
    #[test]
    fn every_accepted_sample_is_read_once(steps in vec(step(), 1..60)) {
        // The caps are about losing samples.
        let options = AgentLogOptions { max_wal_ms: 1_000 * HOUR_MS, ..options() };
        let open = |disk: &FaultyDisk| {
            open_with(&disk.shared(), options.clone(), &Registry::new()).unwrap()
        };
        let mut disk = FaultyDisk::new();
        let mut log = Some(open(&disk));
        let mut reader = Reader::default();
        let mut tail = log.as_ref().unwrap().tail(None).unwrap();
        let mut sent = None;
        let mut accepted: Vec<(Labels, i64, f64)> = Vec::new();
        let mut cache: BTreeMap<usize, SeriesRef> = BTreeMap::new();
        for (minute, step) in steps.into_iter().enumerate() {
            let now_ms = minute as i64 * 400_000;
            let running = log.as_ref().unwrap();
            match step {
                Step::Append(numbers) | Step::Fail(numbers) if numbers.is_empty() => {}
                Step::Append(ref numbers) | Step::Fail(ref numbers) => {
                    disk.set_full(matches!(step, Step::Fail(_)));
                    let mut batch = Batch::new();
                    for number in numbers {
                        let known = cache.get(number).copied().unwrap_or_default();
                        batch.push_series(known, labels(*number).as_ref());
                        batch.push_sample(now_ms, *number as f64);
                    }
                    let appended = running.append(&mut batch, OnReject::KeepRest);
                    prop_assert_eq!(appended.is_ok(), matches!(step, Step::Append(_)));
                    disk.set_full(false);
                    for (index, number) in numbers.iter().enumerate() {
                        cache.insert(*number, batch.series_ref(index));
                        if appended.is_ok() && batch.verdicts()[index].is_accepted() {
                            accepted.push((labels(*number), now_ms, *number as f64));
                        }
                    }
                }
                Step::Read => sent = Some(reader.read(&mut tail, sent)),
                Step::RestartReader => {
                    reader.names.clear();
                    tail = running.tail(None).unwrap();
                    sent = Some(reader.read(&mut tail, sent));
                }
                Step::Truncate => {
                    let unsent = Some(sent.unwrap_or(Position::start_of(0)));
                    let done = running.truncate(unsent, now_ms).unwrap();
                    prop_assert_eq!(done.dropped_samples, 0);
                }
                Step::RestartLog(is_clean) => {
                    if is_clean {
                        running.close().unwrap();
                    }
                    drop(log.take());
                    disk = disk.crash(Crash::Process);
                    log = Some(open(&disk));
                    let running = log.as_ref().unwrap();
                    prop_assert!(running.recovery().is_clean());
                    // Names given to a refused batch are not remembered over a restart.
                    cache.clear();
                    reader.names.clear();
                    tail = running.tail(None).unwrap();
                }
            }
        }
        reader.read(&mut tail, sent);
        prop_assert_eq!(reader.seen, accepted);
    }
}
