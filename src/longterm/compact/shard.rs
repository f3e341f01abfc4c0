//! Which blocks of a bucket a compactor works with.
//!
//! Several compactors share a bucket if each works with other external labels. Rules take out what
//! is not theirs; each set of rules has a lease of its own, so that those that share do not wait
//! for one another. That they do not overlap is up to the operator, as with Thanos.

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use crate::longterm::BucketView;
use crate::model::relabel::{Action, Relabel, RelabelError, Rule};

use super::lease::LEASE_KEY;

/// Which blocks a compactor works with, by their external labels; by default all.
#[derive(Debug, Clone, Default)]
pub struct Shard {
    rules: Vec<Relabel>,
    /// Of the rules, to tell them from others.
    hash: u64,
}

/// Why rules choose no blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardError {
    /// They are no list of rules.
    Yaml(String),
    /// One of them is not a rule.
    Rule(RelabelError),
    /// An action that chooses nothing.
    Action(Action),
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yaml(what) => write!(f, "rules that choose blocks: {what}"),
            Self::Rule(error) => write!(f, "rules that choose blocks: {error}"),
            Self::Action(action) => write!(
                f,
                "rules that choose blocks: keep, drop and hashmod do, {} does not",
                action.text()
            ),
        }
    }
}

impl std::error::Error for ShardError {}

impl Shard {
    /// The blocks that survive the rules, of which none is all blocks. Rules see external labels
    /// without those of replicas, and the block's name under
    /// [`BLOCK_ID_LABEL`](crate::longterm::BLOCK_ID_LABEL).
    ///
    /// # Errors
    /// See [`ShardError`].
    pub fn new(rules: &[Rule]) -> Result<Self, ShardError> {
        let chooses =
            |rule: &&Rule| matches!(rule.action, Action::Keep | Action::Drop | Action::HashMod);
        if let Some(rule) = rules.iter().find(|rule| !chooses(rule)) {
            return Err(ShardError::Action(rule.action));
        }
        let text = serde_json::to_vec(rules).unwrap_or_default();
        let rules = rules.iter().cloned().map(Relabel::try_from);
        let rules = rules.collect::<Result<_, _>>().map_err(ShardError::Rule)?;
        Ok(Self { rules, hash: xxh64(&text, 0) })
    }

    /// As [`new`](Self::new), of a list in YAML, which Thanos's `--selector.relabel-config` takes.
    ///
    /// # Errors
    /// See [`ShardError`].
    pub fn parse(yaml: &str) -> Result<Self, ShardError> {
        let rules: Result<Vec<Rule>, _> = serde_saphyr::from_str(yaml);
        Self::new(&rules.map_err(|error| ShardError::Yaml(error.to_string()))?)
    }

    /// The object that says who works with these blocks.
    pub(super) fn lease_key(&self) -> String {
        if self.rules.is_empty() {
            return LEASE_KEY.to_owned();
        }
        format!("promlite/compactor-lease-{:016x}.json", self.hash)
    }

    /// Takes blocks of others out of a view, with their marks; says how many.
    pub(super) fn apply(&self, view: &mut BucketView, replica_labels: &[String]) -> usize {
        if self.rules.is_empty() {
            return 0;
        }
        let replica_labels: Vec<Arc<str>> =
            replica_labels.iter().map(|label| label.as_str().into()).collect();
        let others = view.keep_shard(&self.rules, &replica_labels);
        for block in &others {
            view.deletion_marks.remove(block);
            view.no_compact.remove(block);
            view.no_downsample.remove(block);
            view.modified_ms.remove(block);
        }
        others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_choose_nothing_are_refused() {
        for (yaml, part) in [
            ("[{action: labeldrop, regex: x}]", "labeldrop does not"),
            ("[{action: hashmod, target_label: x}]", "non-zero modulus"),
            ("{action: keep}", "rules that choose blocks"),
            ("[{action: keep, colour: red}]", "colour"),
        ] {
            let error = Shard::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn each_set_of_rules_has_a_lease_of_its_own() {
        let key = |yaml: &str| Shard::parse(yaml).unwrap().lease_key();
        let a = "[{source_labels: [cluster], regex: a, action: keep}]";
        assert_eq!(key("[]"), LEASE_KEY);
        assert_eq!(key(a), key("- action: keep\n  regex: a\n  source_labels: [cluster]"));
        assert_ne!(key(a), key(&a.replace("keep", "drop")));
        assert_ne!(key(a), LEASE_KEY);
    }
}
