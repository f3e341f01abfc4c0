//! Which group does a series belong to?

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::model::{Labels, LabelsBuf, LabelsRef, METRIC_NAME};

use super::super::operator::Head;

/// So few sets are compared one by one.
const FEW: usize = 6;

/// Takes hashes as they are.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        // Not reached by keys that are numbers.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Label sets by number, each once, searched without allocating.
#[derive(Debug, Default)]
pub(in super::super) struct LabelIndex {
    sets: Vec<Labels>,
    /// The newest set with this hash, and the one before it with the same; empty while there are
    /// few.
    newest: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    before: Vec<Option<usize>>,
}

impl LabelIndex {
    /// The number of the set, a new one if it was not known.
    pub(in super::super) fn number(&mut self, labels: LabelsRef<'_>) -> usize {
        if self.sets.len() < FEW {
            let known = self.sets.iter().position(|known| known.as_ref() == labels);
            return known.unwrap_or_else(|| {
                self.sets.push(labels.to_labels());
                self.sets.len() - 1
            });
        }
        if self.before.is_empty() {
            for (number, set) in self.sets.iter().enumerate() {
                self.before.push(self.newest.insert(set.as_ref().hash(), number));
            }
        }
        let hash = labels.hash();
        let mut at = self.newest.get(&hash).copied();
        while let Some(number) = at {
            if self.sets.get(number).is_some_and(|known| known.as_ref() == labels) {
                return number;
            }
            at = self.before.get(number).copied().flatten();
        }
        let number = self.sets.len();
        self.before.push(self.newest.insert(hash, number));
        self.sets.push(labels.to_labels());
        number
    }

    /// The sets by number.
    pub(in super::super) fn sets(&self) -> &[Labels] {
        &self.sets
    }
}

/// Which labels make a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grouping<'a> {
    /// Ascending.
    pub(super) names: &'a [Arc<str>],
    pub(super) without: bool,
}

impl Grouping<'_> {
    pub(super) fn keeps(self, name: &str) -> bool {
        let named = self.names.iter().any(|known| **known == *name);
        if self.without { !named && name != METRIC_NAME } else { named }
    }

    /// The group's labels, in `buf`.
    pub(super) fn of<'b>(self, labels: &Labels, buf: &'b mut LabelsBuf) -> LabelsRef<'b> {
        buf.clear();
        if self.without || !self.names.is_empty() {
            for (name, value) in labels.iter().filter(|pair| self.keeps(pair.0)) {
                buf.push(name, value);
            }
        }
        // Pairs of a label set come in order and once, so that there is nothing to refuse.
        buf.finish().unwrap_or_else(|_| LabelsRef::from_encoded(""))
    }
}

/// The groups of an aggregation.
#[derive(Debug)]
pub(super) struct Groups {
    /// The group of each series.
    pub(super) of_series: Vec<usize>,
    pub(super) labels: Vec<Labels>,
}

impl Groups {
    pub(super) fn find(heads: &[Head], grouping: Grouping<'_>) -> Self {
        let (mut index, mut buf) = (LabelIndex::default(), LabelsBuf::new());
        let of_series: Vec<usize> =
            heads.iter().map(|head| index.number(grouping.of(&head.labels, &mut buf))).collect();
        Self { of_series, labels: index.sets }
    }

    pub(super) fn of(&self, series: usize) -> usize {
        self.of_series.get(series).copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }
}
