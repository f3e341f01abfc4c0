//! Which blocks belong together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ulid::Ulid;
use xxhash_rust::xxh64::Xxh64;

use crate::longterm::BucketBlock;

use super::resolution::Resolution;

/// The value of the first replica label where nothing else would be left.
const DEDUPED: &str = "deduped";

/// Names and values of external labels.
pub type ExternalLabels = BTreeMap<String, String>;

/// `labels` without those that tell replicas apart; never empty unless `labels` is.
#[must_use]
pub(super) fn strip(labels: &ExternalLabels, replica_labels: &[String]) -> ExternalLabels {
    let is_kept = |name: &&String| !replica_labels.contains(name);
    let mut left: ExternalLabels = labels
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let (true, false, Some(first)) = (left.is_empty(), labels.is_empty(), replica_labels.first())
    {
        left.insert(first.clone(), DEDUPED.to_owned());
    }
    left
}

/// The blocks of level 1 that a block holds; one that does not say stands for itself.
#[must_use]
pub(super) fn lineage(block: &BucketBlock) -> Vec<Ulid> {
    if block.sources().is_empty() { vec![block.ulid()] } else { block.sources().to_vec() }
}

/// What the blocks of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// 0 for raw samples.
    pub resolution_ms: i64,
    /// External labels, without those of replicas.
    pub labels: ExternalLabels,
}

impl GroupKey {
    /// The group of a block.
    #[must_use]
    pub fn of(block: &BucketBlock, replica_labels: &[String]) -> Self {
        let labels = strip(&block.thanos.labels, replica_labels);
        Self { resolution_ms: block.resolution_ms(), labels }
    }

    /// A short name without characters that are special somewhere.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Xxh64::new(0);
        for (name, value) in &self.labels {
            for text in [name, value] {
                hash.update(text.as_bytes());
                hash.update(&[0xff]);
            }
        }
        format!("{}@{}", self.resolution_ms, hash.digest())
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Resolution::of(self.resolution_ms) {
            Some(resolution) => write!(f, "{resolution} {{")?,
            None => write!(f, "{} ms {{", self.resolution_ms)?,
        }
        for (place, (name, value)) in self.labels.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// Blocks by group, each group by start time.
pub type Groups = BTreeMap<GroupKey, Vec<Arc<BucketBlock>>>;

/// Puts blocks together that may become one.
#[must_use]
pub(super) fn groups(
    blocks: impl IntoIterator<Item = Arc<BucketBlock>>,
    replica_labels: &[String],
) -> Groups {
    let mut groups = Groups::new();
    for block in blocks {
        groups.entry(GroupKey::of(&block, replica_labels)).or_default().push(block);
    }
    for blocks in groups.values_mut() {
        blocks.sort_by_key(|block| (block.meta.min_time_ms, block.meta.ulid));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> ExternalLabels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_of_replicas_go_and_something_stays() {
        let replica = ["replica".to_owned(), "rule_replica".to_owned()];
        type Pairs = &'static [(&'static str, &'static str)];
        let cases: [(Pairs, Pairs); 4] = [
            (&[("cluster", "a"), ("replica", "0")], &[("cluster", "a")]),
            (&[("cluster", "a")], &[("cluster", "a")]),
            (&[("rule_replica", "1")], &[("replica", "deduped")]),
            (&[], &[]),
        ];
        for (before, after) in cases {
            assert_eq!(strip(&labels(before), &replica), labels(after));
        }
        assert_eq!(strip(&labels(&[("replica", "0")]), &[]), labels(&[("replica", "0")]));
    }

    #[test]
    fn names_of_groups_differ_where_labels_or_resolutions_do() {
        let key = |resolution_ms, pairs| GroupKey { resolution_ms, labels: labels(pairs) };
        let keys = [
            key(0, &[("a", "b")]),
            key(300_000, &[("a", "b")]),
            key(0, &[("ab", "")]),
            key(0, &[("a", "b"), ("c", "d")]),
        ];
        let mut ids: Vec<String> = keys.iter().map(GroupKey::id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        assert_eq!(keys[3].to_string(), r#"raw {a="b", c="d"}"#);
    }
}
