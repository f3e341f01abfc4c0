//! What does Prometheus read from the directories that it wrote?
//!
//! The folders are `testdata/golden/prometheus/*`; its README says what is in each.
//!
//! Useful for: any test of storage that wants real data and the real answer.
//! Not useful for: outside of this crate's own tests.

mod compare;
mod json;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use ulid::Ulid;

use crate::disk::{Disk, RealDisk};
use crate::model::{Column, Labels};
use crate::series::SeriesExemplars;

pub use compare::{difference, differences, same_meaning};

/// Every folder that is a data directory; `agent` is one of an agent.
pub const FOLDERS: [&str; 9] = [
    "wal-none",
    "wal-snappy",
    "wal-zstd",
    "checkpoint",
    "out-of-order",
    "snapshot",
    "start-timestamps",
    "blocks",
    AGENT,
];

/// The folder whose data is an agent's.
pub const AGENT: &str = "agent";

/// A series as Prometheus read it.
#[derive(Debug, Clone)]
pub struct ExpectedSeries {
    /// The series.
    pub labels: Labels,
    /// Its samples.
    pub column: Column,
}

/// The chunks of a series in a block, as Prometheus listed them.
#[derive(Debug, Clone)]
pub struct ExpectedChunks {
    /// The block.
    pub block: Ulid,
    /// The series.
    pub labels: Labels,
    /// Its number in the index.
    pub series_ref: u64,
    /// In the order of the index.
    pub chunks: Vec<ExpectedChunk>,
}

/// One chunk as Prometheus listed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedChunk {
    /// First time.
    pub min_time_ms: i64,
    /// Last time.
    pub max_time_ms: i64,
    /// How many samples.
    pub samples: u16,
    /// Prometheus's name of the encoding, as `chunk::Encoding` displays it.
    pub encoding: String,
    /// Size without length, encoding byte and checksum.
    pub bytes: usize,
}

/// The folder itself.
pub fn folder(name: &str) -> PathBuf {
    assert!(FOLDERS.contains(&name), "{name} is no golden folder");
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/prometheus").join(name)
}

/// The data directory in the folder. Only to be read: see [`copy_of`].
pub fn data(name: &str) -> PathBuf {
    folder(name).join(if name == AGENT { "data-agent" } else { "data" })
}

/// The blocks of the data directory, by name.
pub fn blocks(name: &str) -> Vec<PathBuf> {
    let entries = RealDisk.list(&data(name)).unwrap().into_iter();
    let blocks = entries.filter(|entry| Ulid::from_string(&entry.name).is_ok());
    blocks.map(|entry| data(name).join(entry.name)).collect()
}

/// A copy of the data directory that may be opened and changed.
pub fn copy_of(name: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    copy_to(&RealDisk, &data(name), dir.path());
    dir
}

/// Copies a real folder with all that is in it to a folder of any disk.
pub fn copy_to(disk: &dyn Disk, from: &Path, to: &Path) {
    disk.create_dir_all(to).unwrap();
    for entry in RealDisk.list(from).unwrap() {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        if entry.is_dir {
            copy_to(disk, &from, &to);
        } else {
            let mut file = disk.create(&to).unwrap();
            file.write_all(&RealDisk.read(&from).unwrap()).unwrap();
            file.sync().unwrap();
        }
    }
}

/// What Prometheus read from the data directory, in label order.
pub fn expected(name: &str) -> Vec<ExpectedSeries> {
    lines(name, "expected").iter().map(json::series).collect()
}

/// The exemplars that Prometheus read from the data directory; none for folders without them.
pub fn exemplars(name: &str) -> Vec<SeriesExemplars> {
    if !folder(name).join("exemplars.jsonl.zst").exists() {
        return Vec::new();
    }
    lines(name, "exemplars").iter().map(json::exemplars).collect()
}

/// The chunks that Prometheus listed in the blocks of the data directory.
pub fn chunks(name: &str) -> Vec<ExpectedChunks> {
    lines(name, "chunks").iter().map(json::chunks).collect()
}

fn lines(name: &str, kind: &str) -> Vec<serde_json::Value> {
    let packed = RealDisk.read(&folder(name).join(format!("{kind}.jsonl.zst"))).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Value, is_stale};

    #[test]
    fn every_folder_is_read_and_holds_what_its_readme_says() {
        for name in FOLDERS {
            let expected = expected(name);
            assert!(expected.len() >= 22, "{name}: {}", expected.len());
            assert!(expected.is_sorted_by(|a, b| a.labels < b.labels), "{name}");
            let columns = || expected.iter().map(|series| &series.column);
            assert!(columns().all(|column| column.timestamps.is_sorted_by(|a, b| a < b)));
            let has_starts = columns().any(|column| !column.starts_ms.is_empty());
            assert_eq!(has_starts, name == "start-timestamps", "{name}");
            let histograms = || columns().flat_map(|column| column.histograms.iter());
            assert!(histograms().count() > 100, "{name}");
            let not_stale = histograms().map(|(_, one)| one).filter(|one| !one.is_stale());
            not_stale.for_each(|one| one.check().unwrap());
        }
        let with_blocks = FOLDERS.map(|name| blocks(name).len());
        assert_eq!(with_blocks, [0, 0, 0, 4, 0, 0, 1, 6, 0]);
        let exemplars = FOLDERS.map(|name| exemplars(name).len());
        assert!(exemplars.iter().filter(|count| **count > 0).count() == 6, "{exemplars:?}");
    }

    #[test]
    fn both_kinds_of_staleness_markers_are_told_apart() {
        let all = expected("wal-none");
        let samples = || all.iter().flat_map(|series| series.column.samples());
        let stale_floats = samples()
            .filter(|(_, _, value)| matches!(value, Value::Float(value) if is_stale(*value)));
        let stale_histograms = samples()
            .filter(|(_, _, value)| matches!(value, Value::Histogram(one) if one.is_stale()));
        assert!(stale_floats.count() > 0 && stale_histograms.count() > 0);
    }

    #[test]
    fn a_difference_of_one_bit_is_named() {
        let one = expected("wal-none").swap_remove(0);
        let mut other = one.column.clone();
        assert_eq!(difference(&one.column, &other), None);
        other.floats[3] = f64::from_bits(other.floats[3].to_bits() ^ 1);
        let named = difference(&one.column, &other).unwrap();
        assert!(named.contains(&one.column.timestamps[3].to_string()), "{named}");
        other.truncate(3);
        assert!(difference(&one.column, &other).is_some());
    }
}
