//! Output series with equal label sets: one series if they never meet, else an error.

use std::collections::HashMap;

use crate::model::Labels;
use crate::promql::engine::EngineError;
use crate::promql::plan::Steps;

use super::StepColumn;
use super::operator::{Bound, Head, Operator, Work};
use super::run::Run;

/// The error for two elements of a vector that have the same labels.
pub(super) fn same_labels() -> EngineError {
    EngineError::Execution("vector cannot contain metrics with the same labelset".into())
}

/// Series that may hide behind one another.
struct Merged<'r> {
    inner: Box<dyn Operator + 'r>,
    heads: Vec<Head>,
    /// Series of `inner` by output series.
    parts: Vec<Vec<usize>>,
}

impl Run<'_> {
    /// Merges series with equal label sets after an operation that is evaluated step by step.
    /// For a single instant with names dropped at the end, the check is left to the end too.
    pub(super) fn unique<'r>(&self, inner: Box<dyn Operator + 'r>, steps: Steps) -> Bound<'r> {
        if steps.instant && self.delayed_name_removal {
            return Ok(inner);
        }
        merge(inner)
    }

    /// Refuses series with equal label sets even if they never meet.
    pub(super) fn unique_even_apart<'r>(
        &self,
        inner: Box<dyn Operator + 'r>,
        steps: Steps,
    ) -> Bound<'r> {
        if self.delayed_name_removal {
            return Ok(inner);
        }
        let Some(parts) = equal_sets(inner.heads()) else { return Ok(inner) };
        let (mut column, mut work) = (StepColumn::new(), Work::default());
        for part in parts.iter().filter(|part| part.len() > 1) {
            let mut inhabited = 0;
            for index in part {
                inner.column(*index, &mut column, &mut work)?;
                inhabited += usize::from(!column.is_empty());
            }
            if inhabited > 1 {
                return Err(same_labels());
            }
        }
        debug_assert!(steps.count > 0, "series exist only where there are steps");
        merge(inner)
    }
}

/// Merges series with equal label sets; an error at a step where two of them have a value.
pub(super) fn merge<'r>(inner: Box<dyn Operator + 'r>) -> Bound<'r> {
    let Some(parts) = equal_sets(inner.heads()) else { return Ok(inner) };
    let mut work = Work::default();
    let heads = parts.iter().filter_map(|part| head_of(&*inner, part, &mut work).transpose());
    let heads = heads.collect::<Result<_, _>>()?;
    Ok(Box::new(Merged { inner, heads, parts }))
}

/// The head of series with equal label sets. Where they do not agree whether the name is to be
/// dropped, the one with the earliest value decides, as in `rangeEval`. That is rare enough to
/// compute them once more.
fn head_of(
    inner: &(dyn Operator + '_),
    part: &[usize],
    work: &mut Work,
) -> Result<Option<Head>, EngineError> {
    let heads = || part.iter().filter_map(|index| inner.heads().get(*index));
    let Some(mut decisive) = heads().next() else { return Ok(None) };
    if heads().any(|head| head.drop_name != decisive.drop_name) {
        let (mut column, mut earliest) = (StepColumn::new(), usize::MAX);
        for (index, head) in part.iter().zip(heads()) {
            inner.column(*index, &mut column, work)?;
            if let Some((step, _)) = column.all().next().filter(|(step, _)| *step < earliest) {
                (decisive, earliest) = (head, step);
            }
        }
    }
    Ok(Some(decisive.clone()))
}

/// Indexes of series by label set, in order of appearance; `None` if all sets differ.
fn equal_sets(heads: &[Head]) -> Option<Vec<Vec<usize>>> {
    if heads.len() < 2 || ascending(heads) {
        return None;
    }
    let mut places: HashMap<&Labels, usize> = HashMap::with_capacity(heads.len());
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for (index, head) in heads.iter().enumerate() {
        let place = *places.entry(&head.labels).or_insert(parts.len());
        match parts.get_mut(place) {
            Some(part) => part.push(index),
            None => parts.push(vec![index]),
        }
    }
    (parts.len() < heads.len()).then_some(parts)
}

/// Sets in strictly ascending order differ; they mostly are, and that is cheaper to see.
fn ascending(heads: &[Head]) -> bool {
    heads.iter().zip(heads.iter().skip(1)).all(|(a, b)| a.labels < b.labels)
}

impl Operator for Merged<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let part = self.parts.get(index).map(Vec::as_slice).unwrap_or_default();
        let Some((first, rest)) = part.split_first() else {
            into.reset(0);
            return Ok(());
        };
        self.inner.column(*first, into, work)?;
        let mut other = work.take_column();
        for index in rest {
            self.inner.column(*index, &mut other, work)?;
            if !into.absorb(&other) {
                return Err(same_labels());
            }
        }
        work.give_column(other);
        Ok(())
    }
}
