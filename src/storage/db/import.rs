//! Blocks from samples that are older than all others: backfill.
//!
//! The samples come from whoever can tell them more than once. A first pass finds out which blocks
//! there will be and how much is in each; every further pass fills as many of them as may be in
//! memory together, so that memory is bounded and a long history does not cost a pass a block.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::base::clock::Clock;
use crate::chunk::EncodeOptions;
use crate::disk::{SharedDisk, create_dir_synced};
use crate::model::{Column, Labels, LabelsRef};
use crate::storage::block::{Block, BlockError, BlockMeta, BlockWriter, encode_chunks};
use crate::storage::merge::{MergeError, Union, merge_blocks};

use super::levels::ranges_ms;
use super::maintain::new_ulid;

const BLOCK_RANGE_MS: i64 = 2 * 3_600_000;
/// So many different blocks may come out of one import: a thousand years of two hours.
const BLOCKS_MAX: usize = 4_400_000;

/// How samples become blocks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Blocks are as long as two hours times a power of three, but not longer than this; default
    /// two hours.
    pub max_block_range_ms: i64,
    /// So many samples, of 16 bytes each, are in memory at a time, about: all those of a series in
    /// a block at least. Default five million.
    pub samples_in_memory: u64,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { max_block_range_ms: BLOCK_RANGE_MS, samples_in_memory: 5_000_000 }
    }
}

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The blocks that were written, by time.
    pub blocks: Vec<BlockMeta>,
    /// Samples that were told more than once.
    pub duplicates: u64,
    /// How often the source was asked for its samples.
    pub passes: usize,
}

/// Why an import ended early. Blocks that were written before stay.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The source could not be read.
    Source(Box<dyn Error + Send + Sync>),
    /// The source does not tell the same each time.
    Changed,
    /// A series has two values for one time.
    Conflict {
        /// The series.
        labels: Labels,
        /// The time.
        timestamp_ms: i64,
    },
    /// Samples spread over more blocks than can be.
    TooLong,
    /// A block could not be written.
    Block(BlockError),
    /// The directory could not be made.
    Io(std::io::Error),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Changed => f.write_str("the input changed while it was read"),
            Self::Conflict { labels, timestamp_ms } => {
                write!(f, "{labels} has two values at {timestamp_ms}")
            }
            Self::TooLong => write!(f, "samples of more than {BLOCKS_MAX} blocks"),
            Self::Block(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for ImportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source(error) => Some(&**error),
            Self::Block(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BlockError> for ImportError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

/// Takes one sample after the other: labels, milliseconds since the epoch, value.
pub type Importer<'a> = dyn FnMut(LabelsRef<'_>, i64, f64) + 'a;

/// Writes all samples of `source` as blocks into `dir`, which may be a data directory that is not
/// open, or one that is: its next round of upkeep finds them. `source` is called several times and
/// must hand over the same samples each time, in any order.
///
/// # Errors
/// See [`ImportError`].
pub fn import<E: Into<Box<dyn Error + Send + Sync>>>(
    disk: &SharedDisk,
    clock: &dyn Clock,
    dir: &Path,
    options: &ImportOptions,
    mut source: impl FnMut(&mut Importer<'_>) -> Result<(), E>,
) -> Result<ImportReport, ImportError> {
    let failed = |error: E| ImportError::Source(error.into());
    create_dir_synced(&**disk, dir).map_err(ImportError::Io)?;
    let ranges = ranges_ms(BLOCK_RANGE_MS, options.max_block_range_ms);
    let range_ms = ranges.last().copied().unwrap_or(BLOCK_RANGE_MS);
    let window_of = |timestamp_ms: i64| timestamp_ms.div_euclid(range_ms);

    let mut report = ImportReport::default();
    let (mut counts, mut is_too_long) = (BTreeMap::<i64, u64>::new(), false);
    source(&mut |_, timestamp_ms, _| {
        is_too_long |= counts.len() >= BLOCKS_MAX;
        if !is_too_long {
            *counts.entry(window_of(timestamp_ms)).or_default() += 1;
        }
    })
    .map_err(failed)?;
    if is_too_long {
        return Err(ImportError::TooLong);
    }

    let (mut passes, told) = (1, Cell::new(0_u64));
    let mut gather = |wanted: Wanted| {
        passes += 1;
        let mut gathered = Gathered::default();
        source(&mut |labels, timestamp_ms, value| {
            let (window, hash) = (window_of(timestamp_ms), labels.hash());
            if wanted.windows.contains(&window) && hash % wanted.parts == wanted.part {
                gathered.add(window, hash, labels, timestamp_ms, value);
                told.set(told.get() + 1);
            }
        })
        .map_err(failed)?;
        Ok::<_, ImportError>(gathered)
    };
    let place = Place { disk, clock, dir };
    let mut windows = counts.into_iter().peekable();
    while let Some((first, mut expected)) = windows.next() {
        let mut last = first;
        let most = options.samples_in_memory.max(1);
        while let Some((window, count)) = windows.next_if(|(_, count)| expected + count <= most) {
            (last, expected) = (window, expected + count);
        }
        let parts = expected.div_ceil(most);
        let wanted = |part| Wanted { windows: first..=last, part, parts };
        let mut blocks = Vec::new();
        if parts == 1 {
            let gathered = gather(wanted(0))?;
            for (_, series) in gathered.columns {
                blocks.extend(place.write(dir, series, &gathered.labels)?);
            }
        } else {
            blocks.extend(place.write_in_parts(parts, &mut |part| gather(wanted(part)))?);
        }
        if told.take() != expected {
            return Err(ImportError::Changed);
        }
        let found: u64 = blocks.iter().map(|meta: &BlockMeta| meta.stats.num_samples).sum();
        report.duplicates += expected.saturating_sub(found);
        report.blocks.append(&mut blocks);
    }
    report.passes = passes;
    Ok(report)
}

/// What one pass looks for.
#[derive(Debug, Clone)]
struct Wanted {
    windows: RangeInclusive<i64>,
    /// Of series, those whose hash leaves this remainder.
    part: u64,
    parts: u64,
}

/// Samples of the blocks that are being filled.
#[derive(Default)]
struct Gathered {
    labels: Vec<Labels>,
    /// Numbers of the series with a hash.
    by_hash: HashMap<u64, Vec<usize>>,
    /// By window, and by number of the series.
    columns: BTreeMap<i64, HashMap<usize, Column>>,
}

impl Gathered {
    fn add(
        &mut self,
        window: i64,
        hash: u64,
        labels: LabelsRef<'_>,
        timestamp_ms: i64,
        value: f64,
    ) {
        let numbers = self.by_hash.entry(hash).or_default();
        let is_this = |number: &&usize| {
            self.labels.get(**number).is_some_and(|known| known.as_ref() == labels)
        };
        let known = numbers.iter().find(is_this).copied();
        let number = known.unwrap_or_else(|| {
            numbers.push(self.labels.len());
            self.labels.push(labels.to_labels());
            self.labels.len() - 1
        });
        let series = self.columns.entry(window).or_default();
        series.entry(number).or_default().push(timestamp_ms, value);
    }
}

/// Where blocks go.
struct Place<'a> {
    disk: &'a SharedDisk,
    clock: &'a dyn Clock,
    dir: &'a Path,
}

impl Place<'_> {
    /// Writes the samples of one window as a block into `dir`.
    fn write(
        &self,
        dir: &Path,
        series: HashMap<usize, Column>,
        labels: &[Labels],
    ) -> Result<Option<BlockMeta>, ImportError> {
        let mut series: Vec<(&Labels, Column)> = series
            .into_iter()
            .filter_map(|(number, column)| Some((labels.get(number)?, column)))
            .collect();
        series.sort_unstable_by_key(|(labels, _)| *labels);
        let (mut start_ms, mut end_ms) = (i64::MAX, i64::MIN);
        let mut texts = BTreeSet::from([""]);
        for (labels, column) in &mut series {
            sort_samples(labels, column)?;
            start_ms = column.timestamps.iter().copied().fold(start_ms, i64::min);
            end_ms = column.timestamps.iter().copied().fold(end_ms, i64::max);
            texts.extend(labels.iter().flat_map(|(name, value)| [name, value]));
        }
        let ulid = new_ulid(self.clock);
        let mut writer =
            BlockWriter::new(self.disk.clone(), dir, ulid, &mut texts.iter().copied())?;
        let mut chunks = Vec::new();
        for (labels, column) in &series {
            chunks.clear();
            encode_chunks(column, &EncodeOptions::default(), &mut chunks)
                .map_err(|error| BlockError::Refused(error.to_string()))?;
            writer.add_series(labels, &chunks)?;
        }
        Ok(writer.finish(BlockMeta::new(ulid, start_ms, end_ms.saturating_add(1)))?)
    }

    /// Writes the samples of one window, too many for memory, as blocks of some of the series
    /// each, and merges those.
    fn write_in_parts(
        &self,
        parts: u64,
        gather: &mut dyn FnMut(u64) -> Result<Gathered, ImportError>,
    ) -> Result<Option<BlockMeta>, ImportError> {
        // If this is broken off, the next opening of the directory removes it.
        let unfinished = self.dir.join(format!("{}.tmp-for-creation", new_ulid(self.clock)));
        self.disk.create_dir_all(&unfinished).map_err(ImportError::Io)?;
        let written = self.merge_parts(&unfinished, parts, gather);
        if let Err(error) = self.disk.remove_dir_all(&unfinished) {
            tracing::warn!(path = %unfinished.display(), %error, "temporary blocks are left");
        }
        written
    }

    fn merge_parts(
        &self,
        unfinished: &Path,
        parts: u64,
        gather: &mut dyn FnMut(u64) -> Result<Gathered, ImportError>,
    ) -> Result<Option<BlockMeta>, ImportError> {
        let mut blocks = Vec::new();
        for part in 0..parts {
            let gathered = gather(part)?;
            for (_, series) in gathered.columns {
                if let Some(meta) = self.write(unfinished, series, &gathered.labels)? {
                    let dir = unfinished.join(meta.ulid.to_string());
                    blocks.push(Block::open(self.disk, &dir)?);
                }
            }
        }
        let spans = || blocks.iter().map(|block| block.meta());
        let start_ms = spans().map(|meta| meta.min_time_ms).min().unwrap_or_default();
        let end_ms = spans().map(|meta| meta.max_time_ms).max().unwrap_or_default();
        let meta = BlockMeta::new(new_ulid(self.clock), start_ms, end_ms);
        let union = || Union::new(EncodeOptions::default());
        let merged = merge_blocks(self.disk, self.dir, &blocks, meta, &union, &|_| false);
        merged.map_err(|error| match error {
            MergeError::Block(error) => ImportError::Block(error),
            other => ImportError::Block(BlockError::Refused(other.to_string())),
        })
    }
}

/// Brings the samples of a series into the order of time, each once.
fn sort_samples(labels: &Labels, column: &mut Column) -> Result<(), ImportError> {
    if column.timestamps.is_sorted_by(|before, time_ms| before < time_ms) {
        return Ok(());
    }
    let mut samples: Vec<(i64, f64)> =
        column.timestamps.iter().copied().zip(column.floats.iter().copied()).collect();
    samples.sort_by_key(|(time_ms, _)| *time_ms);
    column.clear();
    for (timestamp_ms, value) in samples {
        let last = (column.timestamps.last(), column.floats.last());
        match last {
            (Some(time_ms), Some(known)) if *time_ms == timestamp_ms => {
                if known.to_bits() != value.to_bits() {
                    let labels = labels.clone();
                    return Err(ImportError::Conflict { labels, timestamp_ms });
                }
            }
            _ => column.push(timestamp_ms, value),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::disk::MemoryDisk;
    use crate::series::{Merged, Queryable, Select, TimeRange};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::Arc;

    const HOUR_MS: i64 = 3_600_000;

    type Rows = Vec<(u8, i64, u8)>;

    fn labels(series: u8) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("n", &series.to_string())]).unwrap()
    }

    fn import_rows(
        disk: &SharedDisk,
        rows: &Rows,
        options: &ImportOptions,
    ) -> Result<ImportReport, ImportError> {
        let clock = ManualClock::at(1);
        import(disk, &clock, Path::new("data"), options, |each| {
            for (series, timestamp_ms, value) in rows {
                each(labels(*series).as_ref(), *timestamp_ms, f64::from(*value));
            }
            Ok::<_, std::io::Error>(())
        })
    }

    fn contents(disk: &SharedDisk, metas: &[BlockMeta]) -> BTreeMap<(Labels, i64), f64> {
        let blocks = metas.iter().map(|meta| {
            let dir = Path::new("data").join(meta.ulid.to_string());
            Block::open(disk, &dir).unwrap() as Arc<dyn Queryable>
        });
        let merged = Merged::new(blocks.collect());
        let mut found = BTreeMap::new();
        for series in merged.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
            let mut column = Column::new();
            series.read(TimeRange::ALL, &mut column).unwrap();
            for (timestamp_ms, value) in column.timestamps.iter().zip(&column.floats) {
                found.insert((series.labels().clone(), *timestamp_ms), *value);
            }
        }
        found
    }

    proptest! {
        #[test]
        fn all_samples_come_in_whatever_may_be_in_memory(
            rows in vec((0_u8..9, -10_i64..60, 0_i64..9), 0..150),
            samples_in_memory in 0_u64..60, long: bool,
        ) {
            // The value follows from the rest, so that rows that are the same time agree.
            let rows: Rows = rows
                .into_iter()
                .map(|(series, hour, tick)| (series, hour * HOUR_MS + tick, (hour + 10) as u8))
                .collect();
            let max_block_range_ms = if long { 18 * HOUR_MS } else { 0 };
            let options = ImportOptions { max_block_range_ms, samples_in_memory };
            let disk = MemoryDisk::shared();
            let report = import_rows(&disk, &rows, &options).unwrap();
            let wanted: BTreeMap<(Labels, i64), f64> = rows
                .iter()
                .map(|(series, time_ms, value)| ((labels(*series), *time_ms), f64::from(*value)))
                .collect();
            prop_assert_eq!(report.duplicates, (rows.len() - wanted.len()) as u64);
            prop_assert_eq!(contents(&disk, &report.blocks), wanted);
            let range_ms = if long { 18 * HOUR_MS } else { 2 * HOUR_MS };
            for meta in &report.blocks {
                let window = |time_ms: i64| time_ms.div_euclid(range_ms);
                prop_assert_eq!(window(meta.min_time_ms), window(meta.max_time_ms - 1));
                prop_assert_eq!(meta.compaction.level, 1);
                prop_assert_eq!(&meta.compaction.sources, &[meta.ulid]);
            }
            let windows: Vec<i64> =
                report.blocks.iter().map(|meta| meta.min_time_ms.div_euclid(range_ms)).collect();
            prop_assert!(windows.is_sorted_by(|a, b| a < b));
            let left = disk.list(Path::new("data")).unwrap();
            prop_assert_eq!(left.len(), report.blocks.len());
        }
    }

    #[test]
    fn few_passes_do_if_there_is_memory() {
        let rows: Rows = (0..100).map(|hour| (1, i64::from(hour) * HOUR_MS, hour)).collect();
        let passes = |samples_in_memory| {
            let options = ImportOptions { samples_in_memory, ..ImportOptions::default() };
            let report = import_rows(&MemoryDisk::shared(), &rows, &options).unwrap();
            assert_eq!(report.blocks.len(), 50);
            report.passes
        };
        assert_eq!((passes(100), passes(50), passes(2), passes(1)), (2, 3, 51, 101));
    }

    #[test]
    fn two_values_for_one_time_are_refused_by_name() {
        let error = import_rows(
            &MemoryDisk::shared(),
            &vec![(1, 5, 1), (1, 4, 1), (1, 5, 2)],
            &ImportOptions::default(),
        );
        let text = error.unwrap_err().to_string();
        assert_eq!(text, r#"{__name__="m", n="1"} has two values at 5"#);
    }

    #[test]
    fn a_source_that_fails_or_changes_is_noticed() {
        let (disk, clock) = (MemoryDisk::shared(), ManualClock::at(1));
        let mut calls = 0;
        let changed = import(&disk, &clock, Path::new("data"), &ImportOptions::default(), |each| {
            calls += 1;
            (0..calls).for_each(|time_ms| each(labels(1).as_ref(), time_ms, 1.0));
            Ok::<_, std::io::Error>(())
        });
        assert!(matches!(changed, Err(ImportError::Changed)), "{changed:?}");
        let failed = import(&disk, &clock, Path::new("data"), &ImportOptions::default(), |_| {
            Err::<(), _>("line 7: no value")
        });
        assert_eq!(failed.unwrap_err().to_string(), "line 7: no value");
    }
}
