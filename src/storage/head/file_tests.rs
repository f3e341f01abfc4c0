//! Heads with all their files: whatever happens to them, nothing that was taken is missing.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::state::{Head, HeadOptions};
use super::*;
use crate::base::metrics::Registry;
use crate::disk::{MemoryDisk, SharedDisk};
use crate::model::histogram::Histogram;
use crate::model::{Column, Exemplar, Labels, Matcher, Metadata};
use crate::series::{
    Append, Batch, Chunk, Exemplars, OnReject, Queryable, Select, SeriesRef, TimeRange, Verdict,
};
use crate::storage::wal::{WalMetrics, WalOptions};

const RANGE_MS: i64 = 1000;
const WINDOW_MS: i64 = 5000;
const SERIES: usize = 3;

fn options() -> HeadOptions {
    HeadOptions {
        late_window_ms: WINDOW_MS,
        late_samples_max: 4,
        exemplars_max: 10,
        metadata_records: true,
        ..HeadOptions::new(RANGE_MS)
    }
}

fn open_with(disk: &SharedDisk, options: HeadOptions) -> (Head, ReplayStats) {
    let root = Path::new("data");
    let place = LogPlace {
        disk: disk.clone(),
        root: root.to_owned(),
        dir: root.join("wal"),
        options: WalOptions { segment_bytes: 32 << 10, ..WalOptions::default() },
        metrics: WalMetrics::new(&Registry::new()),
    };
    disk.create_dir_all(root).unwrap();
    Head::open(place, options, i64::MIN, &Registry::new()).unwrap()
}

fn labels(number: usize) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("n", number.to_string())]).unwrap()
}

/// A sample's value follows from its time, so that it does not matter which of two is found.
fn value(time_ms: i64) -> f64 {
    time_ms as f64 * 0.5
}

fn append(head: &Head, series: usize, times: &[i64]) -> Vec<Verdict> {
    let mut batch = Batch::new();
    batch.push_series(SeriesRef::UNKNOWN, labels(series).as_ref());
    times.iter().for_each(|time_ms| batch.push_sample(*time_ms, value(*time_ms)));
    head.append(&mut batch, OnReject::KeepRest).unwrap();
    batch.verdicts().to_vec()
}

type Samples = BTreeMap<usize, BTreeMap<i64, u64>>;

fn add(samples: &mut Samples, labels: &Labels, column: &Column) {
    let number = labels.get("n").unwrap().parse().unwrap();
    let bits = column.floats.iter().map(|value| value.to_bits());
    samples.entry(number).or_default().extend(column.timestamps.iter().copied().zip(bits));
}

fn dump(head: &Head) -> Samples {
    let mut found = Samples::new();
    for series in head.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        assert!(column.timestamps.is_sorted_by(|a, b| a < b));
        add(&mut found, series.labels(), &column);
        let (mut chunks, mut again) = (Vec::new(), Samples::new());
        series.chunks(TimeRange::ALL, &mut chunks).unwrap();
        chunks.iter().for_each(|chunk| add(&mut again, series.labels(), &decoded(chunk)));
        let number = labels_number(series.labels());
        let of = |samples: &Samples| samples.get(&number).cloned().unwrap_or_default();
        assert_eq!(of(&again), of(&found), "chunks hold the same");
    }
    found.retain(|_, samples| !samples.is_empty());
    found
}

fn labels_number(labels: &Labels) -> usize {
    labels.get("n").unwrap().parse().unwrap()
}

fn decoded(chunk: &Chunk) -> Column {
    let mut column = Column::new();
    let all = (i64::MIN, i64::MAX);
    crate::chunk::decode(chunk.encoding, &chunk.data, all, &mut column).unwrap();
    column
}

#[derive(Debug, Clone)]
enum Step {
    /// To a series at distances from the newest time.
    Append(usize, Vec<i64>),
    Map,
    Delete(usize, i64, i64),
    CutLate,
    /// Clean, with or without a snapshot; or by a crash of the process.
    Restart {
        is_clean: bool,
        snapshot: bool,
    },
    /// A restart that finds a bit of a chunk file flipped.
    Damage(prop::sample::Index, prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let distance = prop_oneof![4 => 1_i64..150, 2 => -4000_i64..0];
    prop_oneof![
        12 => (0..SERIES, vec(distance, 1..6)).prop_map(|(series, at)| Step::Append(series, at)),
        2 => Just(Step::Map),
        1 => (0..SERIES, 0_i64..4000, 0_i64..300)
            .prop_map(|(series, back, length)| Step::Delete(series, back, length)),
        1 => Just(Step::CutLate),
        2 => any::<(bool, bool)>()
            .prop_map(|(is_clean, snapshot)| Step::Restart { is_clean, snapshot }),
        1 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(file, bit)| Step::Damage(file, bit)),
    ]
}

/// A head and what must be in it.
struct Life {
    disk: SharedDisk,
    head: Head,
    model: Samples,
    /// What was cut from the late samples.
    blocks: Samples,
    deleted: Vec<(usize, TimeRange)>,
    now_ms: i64,
}

impl Life {
    fn begin() -> Self {
        let disk = MemoryDisk::shared();
        let (head, _) = open_with(&disk, options());
        let (model, blocks, deleted) = Default::default();
        Self { disk, head, model, blocks, deleted, now_ms: 100_000 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(series, distances) => self.append(series, &distances),
            Step::Map => {
                self.head.map_closed_chunks();
            }
            Step::Delete(series, back_ms, length_ms) => {
                let start_ms = self.now_ms - back_ms;
                self.delete(series, TimeRange::new(start_ms, start_ms + length_ms));
            }
            Step::CutLate => self.cut_late(),
            Step::Restart { is_clean, snapshot } => {
                if is_clean {
                    self.head.close().unwrap();
                }
                self.reopen(HeadOptions { snapshot, ..options() });
            }
            Step::Damage(file, at) => self.damage(file, at),
        }
        let mut found = dump(&self.head);
        for (series, samples) in &self.blocks {
            found.entry(*series).or_default().extend(samples);
        }
        found.retain(|_, samples| !samples.is_empty());
        assert_eq!(found, self.model);
    }

    fn append(&mut self, series: usize, distances: &[i64]) {
        let mut newest_ms = self.now_ms;
        let mut times: Vec<i64> = Vec::new();
        for distance_ms in distances {
            let time_ms = newest_ms + distance_ms;
            let is_deleted =
                |gone: &&(usize, TimeRange)| gone.0 == series && gone.1.contains(time_ms);
            // Whether a late sample of a deleted time is seen depends on when it was deleted.
            if self.deleted.iter().find(is_deleted).is_none() {
                times.push(time_ms);
                newest_ms = newest_ms.max(time_ms);
            }
        }
        let verdicts = append(&self.head, series, &times);
        for (time_ms, verdict) in times.iter().zip(verdicts) {
            assert!(verdict.is_accepted(), "{time_ms}: {verdict:?}");
            let samples = self.model.entry(series).or_default();
            samples.insert(*time_ms, value(*time_ms).to_bits());
        }
        self.now_ms = newest_ms;
    }

    fn delete(&mut self, series: usize, range: TimeRange) {
        let matcher = Matcher::equal("n", &series.to_string());
        self.head.delete(&[matcher], range).unwrap();
        self.deleted.push((series, range));
        for samples in [&mut self.model, &mut self.blocks] {
            if let Some(samples) = samples.get_mut(&series) {
                samples.retain(|time_ms, _| !range.contains(*time_ms));
            }
            samples.retain(|_, samples| !samples.is_empty());
        }
    }

    fn cut_late(&mut self) {
        let cut = self.head.cut_ooo().unwrap();
        for series in cut.span.map_or(Vec::new(), |span| self.head.ooo_series_in(span)) {
            let mut chunks = Vec::new();
            series.copy_into(TimeRange::ALL, &mut chunks).unwrap();
            let disjoint = |pair: &[Chunk]| pair[0].max_time_ms < pair[1].min_time_ms;
            assert!(chunks.windows(2).all(disjoint));
            let labels = series.labels().to_labels();
            chunks.iter().for_each(|chunk| add(&mut self.blocks, &labels, &decoded(chunk)));
        }
        self.head.truncate_ooo(cut).unwrap();
        assert_eq!(self.head.ooo_span(), None);
    }

    fn reopen(&mut self, options: HeadOptions) -> ReplayStats {
        self.head = Head::empty(options.clone(), None, i64::MIN, &Registry::new());
        let (head, stats) = open_with(&self.disk, options);
        self.head = head;
        assert_eq!(stats.samples_unknown, 0);
        stats
    }

    fn damage(&mut self, file: prop::sample::Index, at: prop::sample::Index) {
        self.head.close().unwrap();
        let dir = Path::new("data/chunks_head");
        let mut files = self.disk.list(dir).unwrap();
        files.retain(|entry| entry.len_bytes > 8 && !entry.name.ends_with("corrupt"));
        if files.is_empty() {
            self.reopen(options());
            return;
        }
        let path = dir.join(&files[file.index(files.len())].name);
        let mut bytes = self.disk.read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 16;
        self.disk.create(&path).unwrap().write_all(&bytes).unwrap();
        let stats = self.reopen(options());
        assert_eq!(stats.corruptions.len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_head_holds_what_it_took_whatever_happens_to_its_files(steps in vec(step(), 1..40)) {
        let mut life = Life::begin();
        steps.into_iter().for_each(|step| life.step(step));
    }
}

#[test]
fn late_samples_are_told_from_too_old_ones() {
    let head = Life::begin().head;
    assert_eq!(append(&head, 0, &[100_000]), [Verdict::Accepted]);
    let times = [99_000, 95_000, 94_999, 100_000];
    let wanted = [Verdict::Accepted, Verdict::Accepted, Verdict::TooOld, Verdict::Accepted];
    assert_eq!(append(&head, 0, &times), wanted);
    assert_eq!(dump(&head)[&0].len(), 3);
    assert_eq!(head.ooo_span(), Some(TimeRange::new(95_000, 99_000)));
    assert_eq!(head.span(), Some(TimeRange::new(100_000, 100_000)));
}

#[test]
fn exemplars_and_metadata_survive_a_restart() {
    let disk = MemoryDisk::shared();
    let (head, _) = open_with(&disk, options());
    let mut batch = Batch::new();
    batch.push_series(SeriesRef::UNKNOWN, labels(1).as_ref());
    batch.push_sample(1000, 1.0);
    let exemplar = Exemplar { labels: labels(9), value: 0.5, timestamp_ms: 999 };
    batch.push_exemplar(exemplar.clone());
    batch.push_exemplar(Exemplar { timestamp_ms: 999 - WINDOW_MS, ..exemplar.clone() });
    let metadata = Metadata { help: "words".into(), ..Metadata::default() };
    batch.push_metadata(metadata.clone());
    let outcome = head.append(&mut batch, OnReject::KeepRest).unwrap();
    assert_eq!(outcome.rejected_exemplars, 1);
    let check = |head: &Head| {
        let found = head.exemplars(&[vec![]], TimeRange::ALL).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&found[0].labels, &found[0].exemplars[..]),
            (&labels(1), &[exemplar.clone()][..])
        );
        assert_eq!(*head.metadata_of(SeriesRef(1)).unwrap(), metadata);
    };
    check(&head);
    head.close().unwrap();
    drop(head);
    check(&open_with(&disk, options()).0);
}

#[test]
fn a_repeated_sample_is_recognised_though_its_chunk_is_in_a_file() {
    let disk = MemoryDisk::shared();
    let with_snapshot = HeadOptions { snapshot: true, ..options() };
    let (head, _) = open_with(&disk, with_snapshot.clone());
    append(&head, 0, &[1000]);
    let mut stale = Batch::new();
    stale.push_series(SeriesRef::UNKNOWN, labels(1).as_ref());
    stale.push_histogram(1000, Histogram::stale(false).as_ref());
    head.append(&mut stale, OnReject::KeepRest).unwrap();
    head.close().unwrap();
    drop(head);
    let (head, stats) = open_with(&disk, HeadOptions { late_window_ms: 0, ..with_snapshot });
    assert!(stats.from_snapshot && stats.samples == 0);
    assert_eq!(append(&head, 0, &[1000, 999]), [Verdict::Accepted, Verdict::OutOfOrder]);
    assert_eq!(dump(&head)[&0].len(), 1);
    head.append(&mut stale, OnReject::KeepRest).unwrap();
    assert_eq!(stale.verdicts(), [Verdict::Accepted]);
    let mut other = Batch::new();
    other.push_series(SeriesRef::UNKNOWN, labels(0).as_ref());
    other.push_sample(1000, 7.0);
    head.append(&mut other, OnReject::KeepRest).unwrap();
    assert_eq!(other.verdicts(), [Verdict::DuplicateTimestamp]);
}
