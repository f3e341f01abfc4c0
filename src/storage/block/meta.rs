//! `meta.json`: what a block covers and where it comes from.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::disk::{Disk, write_atomic, write_synced};
use crate::series::TimeRange;

use super::BlockError;

pub(super) const META: &str = "meta.json";
const VERSION: u32 = 1;

/// What a block says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// The block's name.
    #[serde(with = "ulid_text")]
    pub ulid: Ulid,
    /// First millisecond that the block covers.
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    /// First millisecond behind the block.
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
    /// How much is in it.
    #[serde(default)]
    pub stats: BlockStats,
    /// Where it comes from.
    pub compaction: Compaction,
    version: u32,
    /// What others wrote into the file, such as Thanos's section. Kept when the file is rewritten.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// How much is in a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples of any kind.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Float samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Histogram samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Deleted spans of time, counted over all series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// Where a block comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for a block that was cut from the head, one more for each merge.
    pub level: u32,
    /// The blocks of level 1 that it holds.
    #[serde(with = "ulid_texts", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// True if the block holds nothing and can go.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks that it was merged from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockParent>,
    /// True if merging it failed before.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Words such as `from-out-of-order`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block that another was merged from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockParent {
    /// Its name.
    #[serde(with = "ulid_text")]
    pub ulid: Ulid,
    /// First millisecond that it covered.
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    /// First millisecond behind it.
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
}

impl BlockMeta {
    /// A block of level 1 for the span from `min_time_ms` up to, not including, `max_time_ms`.
    #[must_use]
    pub fn new(ulid: Ulid, min_time_ms: i64, max_time_ms: i64) -> Self {
        let compaction = Compaction { level: 1, sources: vec![ulid], ..Compaction::default() };
        Self {
            ulid,
            min_time_ms,
            max_time_ms,
            stats: BlockStats::default(),
            compaction,
            version: VERSION,
            other: serde_json::Map::new(),
        }
    }

    /// The span that the block covers, both ends in it.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time_ms, self.max_time_ms.saturating_sub(1))
    }

    /// The length of the windows that its samples stand for, from Thanos's section; 0 of raw
    /// samples.
    #[must_use]
    pub fn resolution_ms(&self) -> i64 {
        let thanos = self.other.get("thanos");
        let resolution = thanos.and_then(|thanos| thanos.get("downsample")?.get("resolution"));
        resolution.and_then(serde_json::Value::as_i64).unwrap_or(0)
    }

    /// Says that its samples stand for windows of this length. What Thanos's section tells of the
    /// files of the block is forgotten, as they are others then.
    pub fn set_resolution_ms(&mut self, resolution_ms: i64) {
        let thanos = self.other.entry("thanos").or_insert_with(|| serde_json::json!({}));
        if let Some(thanos) = thanos.as_object_mut() {
            thanos.insert("downsample".into(), serde_json::json!({ "resolution": resolution_ms }));
            thanos.insert("source".into(), "compactor".into());
            for of_files in ["segment_files", "files", "index_stats", "upload_time"] {
                thanos.remove(of_files);
            }
        }
    }

    /// Reads the file of the block in `dir`.
    ///
    /// # Errors
    /// The disk's answer, or a text that is no `meta.json` of version 1.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, BlockError> {
        let path = dir.join(META);
        let text = disk.read(&path).map_err(BlockError::io(&path))?;
        Self::parse(&path, &text)
    }

    /// Reads a text that stands, or could stand, in the file `path`.
    ///
    /// # Errors
    /// A text that is no `meta.json` of version 1.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, BlockError> {
        let meta: Self = serde_json::from_slice(text)
            .map_err(|error| BlockError::corrupt(path, 0, error.to_string()))?;
        if meta.version != VERSION {
            let what = format!("meta version {} is not supported", meta.version);
            return Err(BlockError::Unsupported { path: path.to_owned(), what });
        }
        Ok(meta)
    }

    /// Writes the file of the block in `dir`, in one step.
    ///
    /// # Errors
    /// The disk's answer; the old file is then still there.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), BlockError> {
        let path = dir.join(META);
        write_atomic(disk, &path, &self.encode()).map_err(BlockError::io(&path))
    }

    /// As [`write`](Self::write), to a folder that nobody reads and that is to be synced.
    pub(super) fn write_new(&self, disk: &dyn Disk, dir: &Path) -> Result<(), BlockError> {
        let path = dir.join(META);
        write_synced(disk, &path, &self.encode()).map_err(BlockError::io(&path))
    }

    /// The text as Prometheus writes it.
    fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        // Neither a vector nor these types can refuse.
        let _ = self.serialize(&mut serializer);
        text
    }
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}

fn parse<E: serde::de::Error>(text: &str) -> Result<Ulid, E> {
    Ulid::from_string(text).map_err(|error| E::custom(format!("{text:?} is no ULID: {error}")))
}

mod ulid_text {
    use super::{Deserialize, Deserializer, Serializer, Ulid, parse};

    pub(super) fn serialize<S: Serializer>(ulid: &Ulid, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(ulid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ulid, D::Error> {
        parse(&String::deserialize(from)?)
    }
}

mod ulid_texts {
    use super::{Deserialize, Deserializer, Serializer, Ulid, parse};

    pub(super) fn serialize<S: Serializer>(ulids: &[Ulid], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(ulids.iter().map(Ulid::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Ulid>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| parse(text)).collect()
    }
}
