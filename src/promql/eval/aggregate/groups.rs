//! Which group does a series belong to?

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Labels, LabelsBuf, LabelsRef, METRIC_NAME};

use super::super::operator::Head;

/// Label sets by number, each once, searched without allocating.
#[derive(Debug, Default)]
pub(in super::super) struct LabelIndex {
    sets: Vec<Labels>,
    /// The newest set with this hash, and the one before it with the same.
    newest: HashMap<u64, usize>,
    before: Vec<Option<usize>>,
}

impl LabelIndex {
    /// The number of the set, a new one if it was not known.
    pub(in super::super) fn number(&mut self, labels: LabelsRef<'_>) -> usize {
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
