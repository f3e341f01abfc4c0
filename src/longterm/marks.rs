//! Small objects beside a block that say what must not, or will, be done with it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::LongTermError;
use super::bucket::{Bucket, BucketError, PutOutcome};

const VERSION: u32 = 1;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkKind {
    /// The block is replaced or too old and will be removed.
    Deletion,
    /// The block is not merged with others.
    NoCompact,
    /// The block is not downsampled.
    NoDownsample,
}

impl MarkKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Deletion, Self::NoCompact, Self::NoDownsample];

    /// The object's name below the block.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Deletion => "deletion-mark.json",
            Self::NoCompact => "no-compact-mark.json",
            Self::NoDownsample => "no-downsample-mark.json",
        }
    }

    /// The object's key.
    #[must_use]
    pub fn key(self, block: Ulid) -> String {
        format!("{block}/{}", self.file_name())
    }
}

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it says.
    pub kind: MarkKind,
    /// Of which block.
    pub block: Ulid,
    /// Why, for people; may be empty.
    pub details: String,
    /// When it was made, in seconds since the epoch.
    pub time_s: i64,
    /// Why, for programs: `manual`, `index-size-exceeding`, `block-index-out-of-order-chunk`,
    /// `downsample-vertical-compaction`. Empty for deletions.
    pub reason: String,
}

/// The object, with the keys of all kinds.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Text {
    id: String,
    version: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    details: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_compact_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_downsample_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Mark {
    /// The text as Thanos writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = Text {
            id: self.block.to_string(),
            version: VERSION,
            details: self.details.clone(),
            ..Text::default()
        };
        match self.kind {
            MarkKind::Deletion => text.deletion_time = Some(self.time_s),
            MarkKind::NoCompact => text.no_compact_time = Some(self.time_s),
            MarkKind::NoDownsample => text.no_downsample_time = Some(self.time_s),
        }
        text.reason = (self.kind != MarkKind::Deletion).then(|| self.reason.clone());
        serde_json::to_vec(&text).unwrap_or_default()
    }

    /// Reads a mark of `kind` on `block`. `None` if the text is no mark: it counts as absent, as
    /// in Thanos, since a mark that was half written must not stop everything.
    ///
    /// # Errors
    /// A version that is unknown.
    pub fn parse(kind: MarkKind, block: Ulid, text: &[u8]) -> Result<Option<Self>, LongTermError> {
        let key = kind.key(block);
        let read: Text = match serde_json::from_slice(text) {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(key, %error, "a mark that cannot be read counts as none");
                return Ok(None);
            }
        };
        if read.version != VERSION {
            let what = format!("version {} of this mark is unknown", read.version);
            return Err(LongTermError::corrupt(&key, what));
        }
        let time_s = match kind {
            MarkKind::Deletion => read.deletion_time,
            MarkKind::NoCompact => read.no_compact_time,
            MarkKind::NoDownsample => read.no_downsample_time,
        };
        let (details, reason) = (read.details, read.reason.unwrap_or_default());
        Ok(Some(Self { kind, block, details, time_s: time_s.unwrap_or_default(), reason }))
    }
}

/// The mark of `kind` on `block`, if there is one that can be read.
///
/// # Errors
/// The bucket's answer, or a version that is unknown.
pub fn read_mark(
    bucket: &Bucket,
    block: Ulid,
    kind: MarkKind,
) -> Result<Option<Mark>, LongTermError> {
    match bucket.get(&kind.key(block)) {
        Ok(text) => Mark::parse(kind, block, &text),
        Err(BucketError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts a mark; one that is there stays, so that its time is the first one. Says whether it was
/// put.
///
/// # Errors
/// The bucket's answer.
pub fn write_mark(bucket: &Bucket, mark: &Mark) -> Result<bool, LongTermError> {
    let key = mark.kind.key(mark.block);
    match bucket.put_if_absent(&key, Bytes::from(mark.encode()))? {
        PutOutcome::Done(_) => Ok(true),
        PutOutcome::Conflict => {
            tracing::info!(key, "the mark is there already");
            Ok(false)
        }
    }
}

/// Takes a mark away; that there is none is fine.
///
/// # Errors
/// The bucket's answer.
pub fn remove_mark(bucket: &Bucket, block: Ulid, kind: MarkKind) -> Result<(), LongTermError> {
    Ok(bucket.delete(&kind.key(block))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Ulid = Ulid::from_parts(3, 0);

    fn mark(kind: MarkKind) -> Mark {
        let reason = if kind == MarkKind::Deletion { "" } else { "index-size-exceeding" };
        let details = "yolo".to_owned();
        Mark { kind, block: BLOCK, details, time_s: 1_767_323_045, reason: reason.to_owned() }
    }

    #[test]
    fn marks_are_the_texts_of_thanos() {
        let mut deletion = mark(MarkKind::Deletion);
        deletion.details.clear();
        for (mark, text) in [
            (
                deletion,
                r#"{"id":"00000000030000000000000000","version":1,"deletion_time":1767323045}"#,
            ),
            (
                mark(MarkKind::NoCompact),
                r#"{"id":"00000000030000000000000000","version":1,"details":"yolo","no_compact_time":1767323045,"reason":"index-size-exceeding"}"#,
            ),
            (
                mark(MarkKind::NoDownsample),
                r#"{"id":"00000000030000000000000000","version":1,"details":"yolo","no_downsample_time":1767323045,"reason":"index-size-exceeding"}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(mark.encode()).unwrap(), text);
            assert_eq!(Mark::parse(mark.kind, BLOCK, text.as_bytes()).unwrap(), Some(mark));
        }
    }

    #[test]
    fn marks_are_absent_unreadable_foreign_or_there() {
        for kind in MarkKind::ALL {
            let bucket = Bucket::memory();
            assert_eq!(read_mark(&bucket, BLOCK, kind).unwrap(), None);
            bucket.put(&kind.key(BLOCK), Bytes::from_static(b"not a valid mark")).unwrap();
            assert_eq!(read_mark(&bucket, BLOCK, kind).unwrap(), None);
            let second = String::from_utf8(mark(kind).encode()).unwrap();
            let second = second.replace("\"version\":1", "\"version\":2");
            bucket.put(&kind.key(BLOCK), second.into()).unwrap();
            let error = read_mark(&bucket, BLOCK, kind).unwrap_err().to_string();
            assert!(error.ends_with("-mark.json: version 2 of this mark is unknown"), "{error}");
            remove_mark(&bucket, BLOCK, kind).unwrap();
            assert!(write_mark(&bucket, &mark(kind)).unwrap());
            let later = Mark { time_s: 9, ..mark(kind) };
            assert!(!write_mark(&bucket, &later).unwrap());
            assert_eq!(read_mark(&bucket, BLOCK, kind).unwrap(), Some(mark(kind)));
        }
    }
}
