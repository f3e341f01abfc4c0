//! Test data, and a source that keeps chunks.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::chunk::{EncodeOptions, decode, encode_column};
use crate::disk::{Disk, RealDisk};
use crate::model::{Column, Labels, Matcher, ORDINARY_NAN_BITS, stale_nan};
use crate::series::dedup::{Dedup, Deduplicated};
use crate::series::{
    Chunk, QueryError, Queryable, Select, Series, SeriesSet, TimeRange, merge_runs,
};

pub(in crate::series::dedup) fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path);
    let bytes = RealDisk.read(&path).unwrap();
    let is_packed = path.extension().is_some_and(|extension| extension == "zst");
    let bytes = if is_packed { zstd::decode_all(&bytes[..]).unwrap() } else { bytes.to_vec() };
    String::from_utf8(bytes).unwrap()
}

pub(in crate::series::dedup) fn json_lines(path: &str) -> Vec<Json> {
    text(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Pairs of whole numbers.
pub(in crate::series::dedup) fn pairs(rows: &Json) -> Vec<(i64, i64)> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (row[0].as_i64().unwrap(), row[1].as_i64().unwrap())).collect()
}

pub(super) fn number(json: &Json) -> f64 {
    match json.as_str() {
        None => json.as_f64().unwrap(),
        Some("NaN") => f64::from_bits(ORDINARY_NAN_BITS),
        Some("StaleNaN") => stale_nan(),
        Some("+Inf") => f64::INFINITY,
        Some("-Inf") => f64::NEG_INFINITY,
        Some(text) => text.parse().unwrap(),
    }
}

pub(super) fn floats(rows: &Json) -> Column {
    let rows = rows.as_array().unwrap().iter();
    column(rows.map(|row| (row[0].as_i64().unwrap(), number(&row[1]))))
}

pub(super) fn labels(pairs: &Json) -> Labels {
    let pairs = pairs.as_object().unwrap().iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name, value.as_str().unwrap()))).unwrap()
}

pub(super) fn column(samples: impl IntoIterator<Item = (i64, f64)>) -> Column {
    let mut column = Column::new();
    samples.into_iter().for_each(|(time_ms, value)| column.push(time_ms, value));
    column
}

/// Times and the bits of values, all NaN but markers alike.
pub(super) fn bits(column: &Column) -> Vec<(i64, u64)> {
    let bits = |value: &f64| match value {
        nan if nan.is_nan() && nan.to_bits() != stale_nan().to_bits() => ORDINARY_NAN_BITS,
        value => value.to_bits(),
    };
    column.timestamps.iter().copied().zip(column.floats.iter().map(bits)).collect()
}

/// Fails at the first sample that differs.
pub(super) fn assert_same(found: &Column, want: &Column, what: &str) {
    let (found, want) = (bits(found), bits(want));
    let differs = (0..found.len().max(want.len())).find(|at| found.get(*at) != want.get(*at));
    if let Some(at) = differs {
        let near = |all: &[(i64, u64)]| -> Vec<(i64, f64)> {
            let near = all.iter().skip(at.saturating_sub(3)).take(7);
            near.map(|(time_ms, bits)| (*time_ms, f64::from_bits(*bits))).collect()
        };
        panic!("{what}, sample {at}: found {:?}, want {:?}", near(&found), near(&want));
    }
}

/// The column as chunks of so many samples each.
pub(super) fn chunks(column: &Column, lengths: impl IntoIterator<Item = usize>) -> Vec<Chunk> {
    let options = EncodeOptions { samples_max: u16::MAX, ..EncodeOptions::default() };
    let (mut chunks, mut from) = (Vec::new(), 0);
    for length in lengths {
        let range = from..from + length;
        encode_column(column, range, &options, &mut |chunk| chunks.push(chunk.into())).unwrap();
        from += length;
    }
    assert_eq!(from, column.len());
    chunks
}

pub(super) fn decoded(chunks: &[Chunk]) -> Column {
    let mut column = Column::new();
    for chunk in chunks {
        let all = (i64::MIN, i64::MAX);
        decode(chunk.encoding, &chunk.data, all, &mut column).unwrap();
    }
    column
}

/// Series that are kept as chunks.
#[derive(Clone, Default)]
pub(super) struct Store(pub(super) Vec<(Labels, Vec<Chunk>)>);

struct Stored(Labels, Vec<Chunk>);

impl Store {
    /// Replicas `a`, `b` and so on of one series, with chunks of 120 samples.
    pub(super) fn of(replicas: &[Column]) -> Self {
        let one = |(column, name): (&Column, char)| {
            let pairs = [("__name__", "m_total".to_owned()), ("replica", name.to_string())];
            let (full, rest) = (column.len() / 120, column.len() % 120);
            let lengths = std::iter::repeat_n(120, full).chain([rest]);
            (Labels::from_pairs(pairs).unwrap(), chunks(column, lengths))
        };
        Self(replicas.iter().zip('a'..).map(one).collect())
    }

    pub(super) fn merged(self, kind: Dedup) -> Deduplicated {
        Deduplicated::new(Arc::new(self), [Arc::from("replica")], kind)
    }
}

impl Queryable for Store {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let wanted = |labels: &Labels| {
            let holds = |m: &Matcher| m.matches(labels.get(m.name()).unwrap_or_default());
            ask.matchers.iter().all(holds)
        };
        let mut series: Vec<Box<dyn Series>> = Vec::new();
        for (labels, chunks) in self.0.iter().filter(|(labels, _)| wanted(labels)) {
            series.push(Box::new(Stored(labels.clone(), chunks.clone())));
        }
        Ok(SeriesSet { series, warnings: vec!["kept".into()] })
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(["__name__", "replica"].map(Arc::from).to_vec())
    }

    fn label_values(&self, name: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let values = self.0.iter().filter_map(|(labels, _)| labels.get(name));
        let mut values: Vec<Arc<str>> = values.map(Arc::from).collect();
        values.sort();
        values.dedup();
        Ok(values)
    }
}

impl Series for Stored {
    fn labels(&self) -> &Labels {
        &self.0
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let mut starts = Vec::new();
        for chunk in self.1.iter().filter(|chunk| chunk.range().overlaps(range)) {
            starts.push(into.len());
            let range = (range.start_ms, range.end_ms);
            decode(chunk.encoding, &chunk.data, range, into).unwrap();
        }
        merge_runs(into, &starts);
        Ok(())
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        into.extend(self.1.iter().filter(|chunk| chunk.range().overlaps(range)).cloned());
        Ok(())
    }
}

/// What is read of the replicas of one series.
pub(super) fn read(store: Store, kind: Dedup, func: Option<&str>, range: TimeRange) -> Column {
    let mut ask = Select::new(Vec::new(), range);
    ask.hints.func = func.map(Arc::from);
    let set = store.merged(kind).select(&ask).unwrap();
    let mut column = Column::new();
    if let [series] = set.series.as_slice() {
        series.read(range, &mut column).unwrap();
    } else {
        assert!(set.series.is_empty());
    }
    column
}
