//! `meta.json` in a bucket: that of Prometheus with a section of Thanos.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::model::Labels;
use crate::series::TimeRange;
use crate::storage::block::BlockMeta;

use super::LongTermError;
use super::time_text::{NO_TIME, format_ms, parse_ms};

/// The name of the object.
pub(super) const META: &str = "meta.json";
const SECTION: &str = "thanos";
const VERSION: u32 = 1;

/// Who made a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// Nobody says.
    #[default]
    Unknown,
    /// A Prometheus with a sidecar; our agents and tools.
    Sidecar,
    /// A receiver of remote writes; our hubs.
    Receive,
    /// A compactor.
    Compactor,
    /// A compactor, to repair.
    CompactorRepair,
    /// A ruler.
    Ruler,
    /// A tool, to repair.
    BucketRepair,
    /// A tool, to rewrite.
    BucketRewrite,
    /// A tool, from a local folder.
    BucketUpload,
    /// A test.
    Test,
    /// A word that Thanos does not know.
    Other(String),
}

impl Source {
    const KNOWN: [(Self, &'static str); 10] = [
        (Self::Unknown, ""),
        (Self::Sidecar, "sidecar"),
        (Self::Receive, "receive"),
        (Self::Compactor, "compactor"),
        (Self::CompactorRepair, "compactor.repair"),
        (Self::Ruler, "ruler"),
        (Self::BucketRepair, "bucket.repair"),
        (Self::BucketRewrite, "bucket.rewrite"),
        (Self::BucketUpload, "bucket.upload"),
        (Self::Test, "test"),
    ];

    /// Thanos's word.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => {
                Self::KNOWN.iter().find(|(kind, _)| kind == known).map_or("", |(_, text)| text)
            }
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let known = Self::KNOWN.into_iter().find(|(_, known)| *known == text);
        Ok(known.map_or(Self::Other(text), |(kind, _)| kind))
    }
}

/// What Thanos says of a block beside what Prometheus says. Keys that it does not know are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThanosMeta {
    #[serde(default, skip_serializing_if = "is_zero")]
    version: u32,
    /// The labels that all series of the block have beside their own.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    downsample: Downsample,
    /// Who made the block.
    #[serde(default)]
    pub source: Source,
    /// The chunk files, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub segment_files: Vec<String>,
    /// All files, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub files: Vec<FileInfo>,
    /// What was deleted or renamed in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub rewrites: Vec<serde_json::Value>,
    /// How large its parts are.
    #[serde(default)]
    pub index_stats: IndexStats,
    /// Whatever others keep there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<serde_json::Value>,
    /// When it was written into the bucket, by the clock of who wrote it.
    #[serde(rename = "upload_time", default, with = "time")]
    pub upload_time_ms: Option<i64>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

impl Default for ThanosMeta {
    fn default() -> Self {
        Self {
            version: VERSION,
            labels: BTreeMap::new(),
            downsample: Downsample::default(),
            source: Source::default(),
            segment_files: Vec::new(),
            files: Vec::new(),
            rewrites: Vec::new(),
            index_stats: IndexStats::default(),
            extensions: None,
            upload_time_ms: None,
            other: serde_json::Map::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Downsample {
    resolution: i64,
}

/// A file of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its path below the block, such as `chunks/000001`.
    pub rel_path: String,
    /// Its length; 0 where it is not said, as of `meta.json`.
    #[serde(default, skip_serializing_if = "is_zero_bytes")]
    pub size_bytes: u64,
    /// What it holds, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
}

/// A hash of a file's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHash {
    /// `SHA256`.
    #[serde(rename = "hashFunc")]
    pub func: String,
    /// Hexadecimal digits.
    pub value: String,
}

/// How large parts of a block are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// The longest entry of a series in the index, in bytes; 0 if nobody knows.
    #[serde(skip_serializing_if = "is_zero_size")]
    pub series_max_size: i64,
    /// The longest chunk, in bytes; 0 if nobody knows.
    #[serde(skip_serializing_if = "is_zero_size")]
    pub chunk_max_size: i64,
}

impl ThanosMeta {
    /// A section for a block of these labels.
    #[must_use]
    pub fn new(labels: &Labels, source: Source) -> Self {
        let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { labels: labels.collect(), source, ..Self::default() }
    }

    /// What a local block says of itself; `None` if it has no such section.
    ///
    /// # Errors
    /// A section that is none of version 1.
    pub fn of(meta: &BlockMeta) -> Result<Option<Self>, LongTermError> {
        let key = format!("{}/{META}", meta.ulid);
        let corrupt = |what: String| LongTermError::corrupt(&key, what);
        let Some(section) = meta.other.get(SECTION) else { return Ok(None) };
        let section = Self::deserialize(section).map_err(|error| corrupt(error.to_string()))?;
        if section.version > VERSION {
            let what = format!("version {} of the thanos section is unknown", section.version);
            return Err(corrupt(what));
        }
        Ok(Some(section))
    }

    /// Milliseconds between samples: 0 for raw ones.
    #[must_use]
    pub const fn resolution_ms(&self) -> i64 {
        self.downsample.resolution
    }

    /// Changes [`resolution_ms`](Self::resolution_ms).
    pub fn set_resolution_ms(&mut self, resolution_ms: i64) {
        self.downsample.resolution = resolution_ms;
    }

    /// Puts the section into what a local block says of itself.
    pub fn put_into(&self, meta: &mut BlockMeta) {
        if let Ok(section) = serde_json::to_value(self) {
            meta.other.insert(SECTION.to_owned(), section);
        }
    }
}

/// A block in a bucket, as its `meta.json` tells.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketBlock {
    /// What Prometheus says of it; the section of Thanos is not in there.
    pub meta: BlockMeta,
    /// What Thanos says of it.
    pub thanos: ThanosMeta,
}

impl BucketBlock {
    /// Reads the object `key`.
    ///
    /// # Errors
    /// A text that is no `meta.json` of version 1, or one without labels.
    pub fn parse(key: &str, text: &[u8]) -> Result<Self, LongTermError> {
        let mut meta = BlockMeta::parse(Path::new(key), text)
            .map_err(|error| LongTermError::corrupt(key, without_name(key, &error.to_string())))?;
        let thanos = ThanosMeta::of(&meta)?;
        let thanos = thanos.ok_or_else(|| LongTermError::corrupt(key, "no thanos section"))?;
        meta.other.remove(SECTION);
        Ok(Self { meta, thanos })
    }

    /// The text as Thanos writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            meta: Cow<'a, BlockMeta>,
            thanos: &'a ThanosMeta,
        }
        let mut meta = Cow::Borrowed(&self.meta);
        if meta.other.contains_key(SECTION) {
            meta.to_mut().other.remove(SECTION);
        }
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        // Neither a vector nor these types can refuse.
        let _ = Whole { meta, thanos: &self.thanos }.serialize(&mut serializer);
        text.push(b'\n');
        text
    }

    /// The block's name.
    #[must_use]
    pub const fn ulid(&self) -> Ulid {
        self.meta.ulid
    }

    /// The span that it covers, both ends in it.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        self.meta.range()
    }

    /// The labels that all its series have beside their own.
    #[must_use]
    pub fn labels(&self) -> Labels {
        // The names come from a map and are unique; one of 256 MiB is none.
        Labels::from_pairs(&self.thanos.labels).unwrap_or_else(|_| Labels::empty())
    }

    /// Milliseconds between samples: 0 for raw ones.
    #[must_use]
    pub const fn resolution_ms(&self) -> i64 {
        self.thanos.resolution_ms()
    }

    /// The blocks of level 1 that it holds.
    #[must_use]
    pub fn sources(&self) -> &[Ulid] {
        &self.meta.compaction.sources
    }

    /// When it was written: what its meta says, or else its name.
    #[must_use]
    pub fn written_ms(&self) -> i64 {
        let named_ms = i64::try_from(self.meta.ulid.timestamp_ms()).unwrap_or(i64::MAX);
        self.thanos.upload_time_ms.unwrap_or(named_ms)
    }

    /// The key of one of its objects.
    #[must_use]
    pub fn key(&self, rel_path: &str) -> String {
        format!("{}/{rel_path}", self.meta.ulid)
    }
}

/// The file's name stands before the error already.
fn without_name(key: &str, text: &str) -> String {
    let text = text.strip_prefix(key).unwrap_or(text);
    let text = text.trim_start_matches(": ");
    text.strip_prefix("at offset 0: ").unwrap_or(text).to_owned()
}

const fn is_zero(number: &u32) -> bool {
    *number == 0
}

const fn is_zero_bytes(number: &u64) -> bool {
    *number == 0
}

const fn is_zero_size(number: &i64) -> bool {
    *number == 0
}

/// Go writes empty lists and maps as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

mod time {
    use super::{Deserialize, Deserializer, NO_TIME, Serializer, format_ms, parse_ms};

    pub(super) fn serialize<S: Serializer>(
        time_ms: &Option<i64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time_ms {
            None => to.serialize_str(NO_TIME),
            Some(time_ms) => to.serialize_str(&format_ms(*time_ms)),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        let text = Option::<String>::deserialize(from)?.unwrap_or_default();
        if text.is_empty() || text == NO_TIME {
            return Ok(None);
        }
        let wrong = || serde::de::Error::custom(format!("upload_time {text:?} is no time"));
        parse_ms(&text).map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! golden {
        ($name:literal) => {
            include_str!(concat!("../../testdata/thanos/meta/", $name, ".json"))
        };
    }

    fn read(text: &str) -> Result<BucketBlock, String> {
        BucketBlock::parse("x/meta.json", text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn metas_of_thanos_are_read_and_written_again() {
        for text in [golden!("full"), golden!("extensions"), golden!("no_extensions")] {
            assert_eq!(String::from_utf8(read(text).unwrap().encode()).unwrap(), text);
        }
        let block = read(golden!("full")).unwrap();
        assert_eq!(block.ulid(), Ulid::from_parts(5, 0));
        assert_eq!(block.sources(), [Ulid::from_parts(1, 0), Ulid::from_parts(2, 0)]);
        assert_eq!(block.labels().get("ext"), Some("lset1"));
        assert_eq!((block.resolution_ms(), block.written_ms()), (123_144, 5));
        assert_eq!(block.thanos.source, Source::Receive);
        assert_eq!(block.thanos.files[0].size_bytes, 3751);
        assert_eq!(block.thanos.index_stats.series_max_size, 2000);
    }

    #[test]
    fn labels_that_are_null_are_none() {
        let block = read(golden!("no_labels")).unwrap();
        assert!(block.labels().is_empty());
        let written = String::from_utf8(block.encode()).unwrap();
        assert_eq!(written, golden!("no_labels").replace("null", "{}"));
    }

    #[test]
    fn what_is_no_meta_is_refused_by_name() {
        for (text, want) in [
            (golden!("zero").to_owned(), "meta version 0 is not supported"),
            (golden!("full").replace("\"thanos\"", "\"other\""), "no thanos section"),
            (
                golden!("full").replace("\"version\": 1,\n\t\t\"l", "\"version\": 2,\n\t\t\"l"),
                "version 2 of the thanos",
            ),
            (golden!("full").replace("0001-01-01T", "yesterday"), "is no time"),
            (golden!("full").replace("24225", "\"a\""), "invalid type"),
            ("{".to_owned(), "EOF"),
            ("null".to_owned(), "invalid type"),
            (String::new(), "EOF"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains("meta.json: ") && error.contains(want), "{error}");
        }
    }

    #[test]
    fn a_section_goes_into_a_local_meta_and_comes_back() {
        let mut local = BlockMeta::new(Ulid::from_parts(7, 7), 0, 7_200_000);
        let labels = Labels::from_pairs([("cluster", "a"), ("replica", "0")]).unwrap();
        let mut thanos = ThanosMeta::new(&labels, Source::Sidecar);
        thanos.set_resolution_ms(300_000);
        thanos.upload_time_ms = Some(1_767_323_045_123);
        assert_eq!(ThanosMeta::of(&local).unwrap(), None);
        thanos.put_into(&mut local);
        assert_eq!(ThanosMeta::of(&local).unwrap().unwrap(), thanos);
        let block = BucketBlock { meta: local, thanos };
        assert_eq!(block.labels(), labels);
        let again = read(&String::from_utf8(block.encode()).unwrap()).unwrap();
        assert_eq!((again.thanos, again.meta.ulid), (block.thanos, block.meta.ulid));
    }
}
