//! Directories that Prometheus wrote, held against what it read from them: every sample with its
//! hint and start, every exemplar, every chunk. What is listed in `testdata/golden/README.md` as
//! seen while they were made is all that is passed over here, each with its reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::chunk::{self, Encoding, HistogramAppender, Xor2Appender, XorAppender, sample_count};
use crate::disk::{MemoryDisk, RealDisk};
use crate::model::histogram::{Bucket, CountsRef, HistogramRef};
use crate::model::{Column, Labels, Value};
use crate::series::{Exemplars, Queryable, Select, SeriesExemplars, TimeRange};
use crate::storage::block::Block;
use crate::storage::db::{Tsdb, TsdbOptions};
use crate::storage::head::mapped::{ChunkFiles, MappedMetrics, MappedOptions};
use crate::storage::index::{SeriesScratch, select_postings};
use crate::testkit::golden::{self, ExpectedChunk};

/// The folders with blocks.
const WITH_BLOCKS: [&str; 3] = ["checkpoint", "start-timestamps", "blocks"];

/// The folders that are a server's, not an agent's.
fn servers() -> impl Iterator<Item = &'static str> {
    golden::FOLDERS.into_iter().filter(|name| *name != golden::AGENT)
}

fn options(name: &str) -> TsdbOptions {
    let keeps_starts = name == "start-timestamps";
    TsdbOptions {
        background: false,
        max_exemplars: 100_000,
        float_starts: keeps_starts,
        histogram_starts: keeps_starts,
        out_of_order_window_ms: if name == "out-of-order" { 3 * 3_600_000 } else { 0 },
        ..TsdbOptions::default()
    }
}

fn open(name: &str, dir: &Path) -> Tsdb {
    let clock = Arc::new(ManualClock::at(1_767_700_000_000));
    Tsdb::open(RealDisk::shared(), clock, dir, options(name), &Registry::new()).unwrap()
}

/// Samples that have the same observations in buckets that lie elsewhere: the folder, when, how
/// many, and why.
const OTHER_LAYOUTS: [(&str, (i64, i64), usize, &str); 1] = [(
    "blocks",
    (1_767_607_200_000, 1_767_614_399_999),
    23,
    "such a sample lies in two chunks, with more and with fewer empty buckets; which of the two \
     Prometheus reads depends on the order in a heap",
)];

/// Where something was observed, and how much.
fn observed(histogram: HistogramRef<'_>) -> Vec<(Bucket, i64)> {
    let CountsRef::Integer { buckets: counts, .. } = histogram.counts else { return Vec::new() };
    let buckets = histogram.layout.positive_buckets().chain(histogram.layout.negative_buckets());
    buckets.zip(counts.iter().copied()).filter(|(_, count)| *count != 0).collect()
}

/// Takes the samples of [`OTHER_LAYOUTS`] out of both, after a look at them; says how many.
fn pass_over_other_layouts(name: &str, expected: &mut Column, found: &mut Column) -> usize {
    let Some((_, (first_ms, last_ms), ..)) = OTHER_LAYOUTS.iter().find(|row| row.0 == name) else {
        return 0;
    };
    let mut passed = Vec::new();
    for (index, theirs) in expected.histograms.iter() {
        let time_ms = expected.timestamps[index];
        let place = found.timestamps.binary_search(&time_ms).ok();
        let ours = place.and_then(|place| found.histograms.get(place));
        let is_there = (*first_ms..=*last_ms).contains(&time_ms);
        let Some(ours) = ours.filter(|ours| is_there && ours.layout != theirs.layout) else {
            continue;
        };
        assert_eq!(observed(theirs), observed(ours), "{name} at {time_ms}");
        assert_eq!((theirs.hint, theirs.sum.to_bits()), (ours.hint, ours.sum.to_bits()));
        passed.push(time_ms);
    }
    for column in [expected, found] {
        column.retain_from(0, |time_ms| !passed.contains(&time_ms));
    }
    passed.len()
}

#[test]
fn every_sample_is_read_as_prometheus_read_it() {
    let (mut problems, mut other_layouts) = (Vec::new(), BTreeMap::new());
    for name in servers() {
        let dir = golden::copy_of(name);
        let db = open(name, dir.path());
        let mut expected: BTreeMap<Labels, Column> = golden::expected(name)
            .into_iter()
            .map(|series| (series.labels, series.column))
            .collect();
        let set = db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
        assert!(set.series.is_sorted_by(|a, b| a.labels() < b.labels()), "{name}");
        for series in set.series {
            let mut found = Column::new();
            series.read(TimeRange::ALL, &mut found).unwrap();
            // Of a series whose samples are all deleted nothing is expected.
            let mut wanted = expected.remove(series.labels()).unwrap_or_default();
            let passed = pass_over_other_layouts(name, &mut wanted, &mut found);
            *other_layouts.entry(name).or_insert(0) += passed;
            if let Some(difference) = golden::difference(&wanted, &found) {
                problems.push(format!("{name}: {}: {difference}", series.labels()));
            }
        }
        problems.extend(expected.keys().map(|labels| format!("{name}: {labels}: is missing")));
        db.close().unwrap();
    }
    assert!(problems.is_empty(), "{} differ:\n{}", problems.len(), problems.join("\n"));
    other_layouts.retain(|_, count| *count > 0);
    let explained = OTHER_LAYOUTS.iter().map(|(name, _, count, _)| (*name, *count));
    assert_eq!(other_layouts, explained.collect());
}

#[test]
fn every_exemplar_is_read_as_prometheus_read_it() {
    let mut problems = Vec::new();
    for name in servers() {
        let expected = golden::exemplars(name);
        if expected.is_empty() {
            continue;
        }
        let dir = golden::copy_of(name);
        let db = open(name, dir.path());
        let found = db.exemplars(&[Vec::new()], TimeRange::ALL).unwrap();
        if found != expected {
            let count = |all: &[SeriesExemplars]| {
                all.iter().map(|series| series.exemplars.len()).collect::<Vec<_>>()
            };
            let (found, expected) = (count(&found), count(&expected));
            problems.push(format!("{name}: {found:?}, expected {expected:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Series of a block with their numbers and chunks: first and last time, encoding, bytes.
type StoredChunk = (i64, i64, u8, Vec<u8>);

fn stored(block: &Block) -> Vec<(u32, Labels, Vec<StoredChunk>)> {
    let mut scratch = SeriesScratch::default();
    let mut all = Vec::new();
    for id in select_postings(block.index(), &[]).unwrap() {
        let labels = block.index().series(id, &mut scratch).unwrap().to_labels();
        let chunk = |meta: &crate::storage::index::ChunkMeta| {
            let (encoding, data) = block.chunk(meta.reference).unwrap();
            (meta.min_time_ms, meta.max_time_ms, encoding, data.to_vec())
        };
        all.push((id, labels, scratch.chunks.iter().map(chunk).collect()));
    }
    all
}

#[test]
fn every_chunk_of_every_block_is_where_prometheus_lists_it() {
    let disk = RealDisk::shared();
    for name in WITH_BLOCKS {
        let mut listed = golden::chunks(name);
        for dir in golden::blocks(name) {
            let block = Block::open(&disk, &dir).unwrap();
            for (id, labels, chunks) in stored(&block) {
                let found = chunks.iter().map(|(min_time_ms, max_time_ms, encoding, data)| {
                    let (min_time_ms, max_time_ms) = (*min_time_ms, *max_time_ms);
                    let samples = sample_count(*encoding, data).unwrap();
                    let encoding = Encoding::try_from(*encoding).unwrap().to_string();
                    ExpectedChunk { min_time_ms, max_time_ms, samples, encoding, bytes: data.len() }
                });
                let is_this = |line: &golden::ExpectedChunks| {
                    line.block == block.meta().ulid && line.labels == labels
                };
                let place = listed.iter().position(is_this).unwrap();
                let line = listed.swap_remove(place);
                assert_eq!(line.series_ref, u64::from(id), "{name}: {labels}");
                assert_eq!(line.chunks, found.collect::<Vec<_>>(), "{name}: {labels}");
            }
        }
        assert!(listed.is_empty(), "{name}: {} series are not in their block", listed.len());
    }
}

/// The byte whose two highest bits say whether a counter began anew before the chunk.
fn flags_at(encoding: u8) -> usize {
    if encoding < Encoding::HistogramSt as u8 { 2 } else { 0 }
}

const RESET_BITS: u8 = 0b1100_0000;

/// What encoding the samples of a chunk again gives, and for histograms the appender, which knows
/// the chunk behind it.
fn encoded(
    encoding: u8,
    column: &Column,
    previous: Option<&HistogramAppender>,
) -> (Vec<u8>, Option<HistogramAppender>) {
    match Encoding::try_from(encoding).unwrap() {
        Encoding::Xor => {
            let mut appender = XorAppender::new();
            for (time_ms, value) in column.timestamps.iter().zip(&column.floats) {
                appender.append(*time_ms, *value).unwrap();
            }
            (appender.to_bytes().to_vec(), None)
        }
        Encoding::Xor2 => {
            let mut appender = Xor2Appender::new();
            for (time_ms, start_ms, value) in column.samples() {
                let Value::Float(value) = value else { panic!("a histogram among floats") };
                appender.append(time_ms, start_ms, value).unwrap();
            }
            (appender.bytes().to_vec(), None)
        }
        other => {
            let starts = matches!(other, Encoding::HistogramSt | Encoding::FloatHistogramSt);
            let mut appender: Option<HistogramAppender> = None;
            for (time_ms, start_ms, value) in column.samples() {
                let Value::Histogram(value) = value else { panic!("a float among histograms") };
                let Some(open) = &mut appender else {
                    let begun =
                        HistogramAppender::begin(time_ms, start_ms, value, previous, starts);
                    appender = Some(begun.unwrap());
                    continue;
                };
                let next = open.append(time_ms, start_ms, value).unwrap();
                assert!(next.is_none(), "the chunk ends before {time_ms}");
            }
            let appender = appender.unwrap();
            (appender.bytes().to_vec(), Some(appender))
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Again {
    chunks: usize,
    histograms: usize,
    /// Histogram chunks whose first sample says what no chunk here tells.
    beginnings: usize,
}

/// Encodes the chunks of a series again. Of late ones some follow one another, where 30 samples
/// became several chunks, and some begin anew.
fn encode_again(
    what: &str,
    is_late: bool,
    chunks: &[StoredChunk],
    again: &mut Again,
    bad: &mut Vec<String>,
) {
    let mut previous: Option<(u8, HistogramAppender)> = None;
    for (min_time_ms, _, encoding, data) in chunks {
        let mut column = Column::new();
        chunk::decode(*encoding, data, (i64::MIN, i64::MAX), &mut column).unwrap();
        let before = previous.take().filter(|(before, _)| before == encoding);
        let before = before.as_ref().map(|(_, before)| before);
        let (mut bytes, mut appender) = encoded(*encoding, &column, before);
        if is_late && bytes != *data {
            (bytes, appender) = encoded(*encoding, &column, None);
        }
        again.chunks += 1;
        if let Some(appender) = appender {
            again.histograms += 1;
            let at = flags_at(*encoding);
            if before.is_none() && (bytes[at] ^ data[at]) & RESET_BITS != 0 {
                // The chunk before is in another place, and what it says stays in the header.
                bytes[at] = bytes[at] & !RESET_BITS | data[at] & RESET_BITS;
                again.beginnings += 1;
            }
            previous = Some((*encoding, appender));
        }
        if bytes != *data {
            let place = bytes.iter().zip(data).position(|(a, b)| a != b);
            let (ours, theirs) = (bytes.len(), data.len());
            bad.push(format!(
                "{what} at {min_time_ms}, encoding {encoding}: {ours} bytes, {theirs} expected, \
                 first difference at {place:?}"
            ));
        }
    }
}

#[test]
fn every_chunk_of_every_block_is_encoded_again_byte_by_byte() {
    let disk = RealDisk::shared();
    let (mut again, mut bad) = (Again::default(), Vec::new());
    for name in WITH_BLOCKS {
        for dir in golden::blocks(name) {
            let block = Block::open(&disk, &dir).unwrap();
            let is_late = !block.meta().compaction.hints.is_empty();
            for (_, labels, chunks) in stored(&block) {
                let what = format!("{name}: {labels}");
                encode_again(&what, is_late, &chunks, &mut again, &mut bad);
            }
        }
    }
    assert!(bad.is_empty(), "{} of {}:\n{}", bad.len(), again.chunks, bad.join("\n"));
    assert!(again.chunks > 400 && again.histograms > 200, "{again:?}");
    assert!(again.beginnings * 4 < again.histograms, "{again:?}");
}

#[test]
fn every_head_chunk_is_encoded_again_byte_by_byte() {
    let (mut again, mut bad) = (Again::default(), Vec::new());
    for name in servers() {
        let disk = MemoryDisk::shared();
        let dir = Path::new("/chunks_head");
        golden::copy_to(&*disk, &golden::data(name).join("chunks_head"), dir);
        let mut found = Vec::new();
        let metrics = MappedMetrics::new(&Registry::new());
        let options = MappedOptions::default();
        let opened = ChunkFiles::open(&disk, dir, options, metrics, &mut |one| found.push(one));
        let (files, damaged) = opened.unwrap();
        assert_eq!(damaged, []);
        // Late chunks do not follow those in time.
        found.sort_by_key(|one| (one.is_out_of_order, one.series, one.at));
        for run in
            found.chunk_by(|a, b| (a.is_out_of_order, a.series) == (b.is_out_of_order, b.series))
        {
            let chunks: Vec<StoredChunk> = run
                .iter()
                .map(|one| {
                    let (encoding, data) = files.view().read(one.at).unwrap();
                    assert_eq!(encoding, one.encoding);
                    (one.min_time_ms, one.max_time_ms, encoding, data.to_vec())
                })
                .collect();
            let is_late = run[0].is_out_of_order;
            let what = format!("{name}: series {}, late {is_late}", run[0].series.0);
            encode_again(&what, is_late, &chunks, &mut again, &mut bad);
        }
    }
    assert!(bad.is_empty(), "{} of {}:\n{}", bad.len(), again.chunks, bad.join("\n"));
    assert!(again.chunks > 300 && again.histograms > 100, "{again:?}");
    assert!(again.beginnings * 4 < again.histograms, "{again:?}");
}
