//! All metas of a bucket in one object, so that a start is one read. The compactor writes it at the
//! end of each round, under its lease.
//!
//! `promlite/bucket-index.json.zst` is a Zstandard frame around one JSON object:
//!
//! | key          | holds                                                                 |
//! |--------------|-----------------------------------------------------------------------|
//! | `version`    | 1                                                                     |
//! | `updated_ms` | when it was written, by the clock of who wrote it                     |
//! | `blocks`     | for each block, `object`: its `meta.json` as listed, `meta`: its text |
//! | `marks`      | for each mark, `kind`, `block` and `text`                             |
//!
//! It is only a copy: who finds none, an old or a damaged one reads the metas themselves, and the
//! first listing after it was used tells which of its entries are true.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::bucket::{Bucket, BucketError, ObjectInfo};
use super::meta::META;
use super::{BucketBlock, BucketView, Fetcher, LongTermError, Mark, MarkKind};

/// The object's name.
pub const BUCKET_INDEX: &str = "promlite/bucket-index.json.zst";
const VERSION: u32 = 1;
/// A year of blocks of many hubs is a hundredth of this.
const LARGEST_BYTES: usize = 256 << 20;
const ZSTD_LEVEL: i32 = 3;

#[derive(Serialize, Deserialize)]
struct Text {
    version: u32,
    updated_ms: i64,
    blocks: Vec<Entry>,
    marks: Vec<MarkEntry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    object: ObjectInfo,
    meta: String,
}

#[derive(Serialize, Deserialize)]
struct MarkEntry {
    kind: String,
    block: String,
    text: String,
}

/// What the index says of a bucket.
#[derive(Debug)]
#[non_exhaustive]
pub struct BucketIndex {
    /// When it was written, by the clock of who wrote it.
    pub updated_ms: i64,
    /// The blocks and marks at that time; no partial blocks.
    pub view: BucketView,
    known: Vec<(ObjectInfo, Arc<BucketBlock>)>,
}

impl BucketIndex {
    /// Reads the index; `None` if there is none that can be read.
    ///
    /// # Errors
    /// Any answer of the bucket but "not there".
    pub fn read(bucket: &Bucket) -> Result<Option<Self>, LongTermError> {
        let frame = match bucket.get(BUCKET_INDEX) {
            Ok(frame) => frame,
            Err(BucketError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match Self::parse(&frame) {
            Ok(index) => Ok(Some(index)),
            Err(what) => {
                tracing::warn!(object = BUCKET_INDEX, what, "the bucket index is damaged");
                Ok(None)
            }
        }
    }

    fn parse(frame: &[u8]) -> Result<Self, String> {
        let text = zstd::bulk::decompress(frame, LARGEST_BYTES).map_err(|e| e.to_string())?;
        let text: Text = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if text.version != VERSION {
            return Err(format!("version {} is unknown", text.version));
        }
        let mut view = BucketView::default();
        let mut known = Vec::with_capacity(text.blocks.len());
        for entry in text.blocks {
            let key = &entry.object.key;
            let block = BucketBlock::parse(key, entry.meta.as_bytes());
            let block = Arc::new(block.map_err(|error| error.to_string())?);
            let is_of_it = block.key(META) == *key;
            if !is_of_it || block.meta.min_time_ms > block.meta.max_time_ms {
                return Err(format!("{key}: it is none of a block"));
            }
            view.modified_ms.insert(block.ulid(), entry.object.modified_ms);
            view.blocks.push(Arc::clone(&block));
            known.push((entry.object, block));
        }
        view.blocks.sort_by_key(|block| block.ulid());
        for entry in text.marks {
            entry.view(&mut view)?;
        }
        Ok(Self { updated_ms: text.updated_ms, view, known })
    }

    /// Writes the index of what `fetcher` has found last.
    ///
    /// # Errors
    /// The bucket's answer.
    pub fn write(fetcher: &Fetcher, view: &BucketView, now_ms: i64) -> Result<(), LongTermError> {
        let entry = |(object, block): (&ObjectInfo, &Arc<BucketBlock>)| Entry {
            object: object.clone(),
            meta: String::from_utf8(block.encode()).unwrap_or_default(),
        };
        let marks = [&view.deletion_marks, &view.no_compact, &view.no_downsample];
        let text = Text {
            version: VERSION,
            updated_ms: now_ms,
            blocks: fetcher.known(view).map(entry).collect(),
            marks: marks.into_iter().flat_map(|marks| marks.values()).map(MarkEntry::of).collect(),
        };
        let text = serde_json::to_vec(&text).unwrap_or_default();
        let frame = zstd::bulk::compress(&text, ZSTD_LEVEL)
            .map_err(|error| LongTermError::corrupt(BUCKET_INDEX, error.to_string()))?;
        Ok(fetcher.bucket().put(BUCKET_INDEX, Bytes::from(frame))?)
    }
}

impl MarkEntry {
    fn of(mark: &Mark) -> Self {
        Self {
            kind: mark.kind.file_name().to_owned(),
            block: mark.block.to_string(),
            text: String::from_utf8(mark.encode()).unwrap_or_default(),
        }
    }

    fn view(self, view: &mut BucketView) -> Result<(), String> {
        let kind = MarkKind::ALL.into_iter().find(|kind| kind.file_name() == self.kind);
        let (Some(kind), Ok(block)) = (kind, Ulid::from_string(&self.block)) else {
            return Err(format!("{:?} of {:?} is no mark", self.kind, self.block));
        };
        let mark = Mark::parse(kind, block, self.text.as_bytes()).map_err(|e| e.to_string())?;
        let Some(mark) = mark else { return Err(format!("the mark of {block} cannot be read")) };
        match kind {
            MarkKind::Deletion => view.deletion_marks.insert(block, mark),
            MarkKind::NoCompact => view.no_compact.insert(block, mark),
            MarkKind::NoDownsample => view.no_downsample.insert(block, mark),
        };
        Ok(())
    }
}

impl Fetcher {
    /// For a start: takes over what the bucket's index says, and returns its view if that is not
    /// older than `max_age_ms`. Who acts on a view must use [`fetch`](Self::fetch); it asks only
    /// for what the index did not tell.
    ///
    /// # Errors
    /// Any answer of the bucket but "not there".
    pub fn start_from_index(
        &mut self,
        now_ms: i64,
        max_age_ms: i64,
    ) -> Result<Option<BucketView>, LongTermError> {
        let Some(index) = BucketIndex::read(self.bucket())? else { return Ok(None) };
        self.learn(index.known);
        let age_ms = now_ms.saturating_sub(index.updated_ms);
        Ok((0..=max_age_ms).contains(&age_ms).then_some(index.view))
    }
}
