//! What a bucket says of an object.

use object_store::{ObjectMeta, PutResult, UpdateVersion};
use serde::{Deserialize, Serialize};

/// Which of its contents an object has: changes whenever it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    e_tag: Option<String>,
    version: Option<String>,
}

impl Version {
    pub(super) fn new(e_tag: Option<String>, version: Option<String>) -> Option<Self> {
        (e_tag.is_some() || version.is_some()).then_some(Self { e_tag, version })
    }

    pub(super) fn of_put(result: PutResult) -> Option<Self> {
        Self::new(result.e_tag, result.version)
    }

    pub(super) fn to_update(&self) -> UpdateVersion {
        UpdateVersion { e_tag: self.e_tag.clone(), version: self.version.clone() }
    }

    /// The same for the same contents, and another for others.
    #[must_use]
    pub fn text(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{} {}", part(&self.e_tag), part(&self.version))
    }
}

/// An object, without its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Its name below the bucket's prefix, such as `01J…/meta.json`.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written last, by the store's clock.
    pub modified_ms: i64,
    /// Which of its contents it has, where the store says it.
    pub version: Option<Version>,
}

impl ObjectInfo {
    pub(super) fn new(key: String, meta: ObjectMeta) -> Self {
        Self {
            key,
            size_bytes: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
            version: Version::new(meta.e_tag, meta.version),
        }
    }
}

/// How a conditional write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is written.
    Done(Version),
    /// The condition does not hold; nothing is written.
    Conflict,
}
