//! Which elements of two vectors belong together?

use std::sync::Arc;

use crate::model::{Labels, METRIC_NAME};
use crate::promql::ast::Matching;

use super::super::aggregate::LabelIndex;
use super::super::operator::Head;

/// The series of both sides with the same values of the labels that count.
#[derive(Debug, Default, Clone)]
pub(super) struct Family {
    /// Indexes of series on the side that may have many, ascending.
    pub(super) many: Vec<usize>,
    /// Indexes of series on the other side, ascending.
    pub(super) one: Vec<usize>,
}

/// Finds the families of two sets of series.
pub(super) fn families(many: &[Head], one: &[Head], matching: &Matching) -> Vec<Family> {
    let (mut index, mut spare) = (LabelIndex::default(), String::new());
    let mut families: Vec<Family> = Vec::new();
    for (heads, is_many) in [(many, true), (one, false)] {
        for (series, head) in heads.iter().enumerate() {
            let labels = head.labels.as_ref().filter(|name| counts(matching, name), &mut spare);
            let family = index.number(labels);
            if family == families.len() {
                families.push(Family::default());
            }
            if let Some(family) = families.get_mut(family) {
                let side = if is_many { &mut family.many } else { &mut family.one };
                side.push(series);
            }
        }
    }
    families
}

fn names(labels: &[Arc<str>], name: &str) -> bool {
    labels.iter().any(|known| **known == *name)
}

fn counts(matching: &Matching, name: &str) -> bool {
    if matching.on {
        names(&matching.labels, name)
    } else {
        name != METRIC_NAME && !names(&matching.labels, name)
    }
}

/// The labels that a series shares with its partners.
pub(super) fn shared_labels(labels: &Labels, matching: &Matching) -> Labels {
    labels.filter(|name| counts(matching, name))
}
