//! Partners that only the steps can tell: several series of the one side, several results with
//! the same labels, and fill values for partners that are missing.

use crate::promql::ast::Cardinality;
use crate::promql::engine::EngineError;

use super::super::aggregate::LabelIndex;
use super::super::column::ones;
use super::super::operator::{Head, Operator, Work};
use super::super::{StepColumn, StepValue};
use super::join::Join;
use super::mixed::{Combiner, Outcome, put};
use super::signature::{Family, shared_labels};

/// Steps at which two series of the one side had a value.
pub(super) type Doubles = StepColumn;

/// What became of one family.
#[derive(Default)]
pub(super) struct Resolved {
    /// Place in the output, series, values.
    pub(super) outputs: Vec<(usize, Head, StepColumn)>,
    /// `None` if there were none.
    pub(super) doubles: Option<Doubles>,
}

/// Computes all results of a family, step by step.
pub(super) fn resolve(
    join: &Join<'_>,
    family: &Family,
    work: &mut Work,
) -> Result<Resolved, EngineError> {
    let many = columns(join.many.as_ref(), &family.many, work)?;
    let one = columns(join.one.as_ref(), &family.one, work)?;
    let held = many.iter().chain(&one).map(StepColumn::size).sum();
    join.run.limits.hold(held)?;
    let mut resolver = Resolver::new(join, family);
    let mut doubles = StepColumn::new();
    doubles.reset(join.steps);
    for step in 0..join.steps {
        let mut present = one.iter().enumerate().filter(|(_, column)| column.has(step));
        let partner = present.next().and_then(|(j, column)| Some((j, column.value(step)?)));
        if present.next().is_some() {
            doubles.set(step, 1.0);
            continue;
        }
        resolver.step(step, &many, partner)?;
    }
    join.run.limits.release(held);
    let Resolver { outputs, combiner, .. } = resolver;
    combiner.note(join.run, join.span);
    Ok(Resolved { outputs, doubles: Some(doubles).filter(|doubles| !doubles.is_empty()) })
}

fn columns(
    side: &(dyn Operator + '_),
    indexes: &[usize],
    work: &mut Work,
) -> Result<Vec<StepColumn>, EngineError> {
    let mut column = |index: &usize| {
        let mut column = StepColumn::new();
        side.column(*index, &mut column, work)?;
        Ok(column)
    };
    indexes.iter().map(&mut column).collect()
}

/// A partner in a table of pairs.
type Slot = Option<usize>;

struct Resolver<'t, 'r> {
    join: &'t Join<'r>,
    family: &'t Family,
    labels: LabelIndex,
    outputs: Vec<(usize, Head, StepColumn)>,
    /// Output of each pair that was met: rows are the many side and its fill value, columns the
    /// one side and its fill value.
    pairs: Vec<Slot>,
    /// Outputs that have a value at the current step.
    met: Vec<usize>,
    combiner: Combiner,
}

impl<'t, 'r> Resolver<'t, 'r> {
    fn new(join: &'t Join<'r>, family: &'t Family) -> Self {
        let pairs = vec![None; (family.many.len() + 1) * (family.one.len() + 1)];
        let labels = LabelIndex::default();
        let combiner = Combiner::new(join.op, join.return_bool);
        Self { join, family, labels, outputs: Vec::new(), pairs, met: Vec::new(), combiner }
    }

    fn step(
        &mut self,
        step: usize,
        many: &[StepColumn],
        partner: Option<(usize, StepValue<'_>)>,
    ) -> Result<(), EngineError> {
        self.met.clear();
        // Upstream swaps the operands of `group_right` but not their fill values.
        let fill = self.join.matching.fill_right.map(StepValue::Float);
        let fill = fill.map(|value| (self.family.one.len(), value));
        for (i, column) in many.iter().enumerate() {
            if let (Some(value), Some(partner)) = (column.value(step), partner.or(fill)) {
                self.pair(step, (i, value), partner)?;
            }
        }
        if let (Some(value), Some(partner), true) =
            (self.join.matching.fill_left, partner, self.met.is_empty())
        {
            self.pair(step, (self.family.many.len(), StepValue::Float(value)), partner)?;
        }
        Ok(())
    }

    fn pair(
        &mut self,
        step: usize,
        many: (usize, StepValue<'_>),
        one: (usize, StepValue<'_>),
    ) -> Result<(), EngineError> {
        let output = self.output(many.0, one.0)?;
        let (left, right) = if self.join.swapped { (one.1, many.1) } else { (many.1, one.1) };
        let outcome = self.combiner.element(left, right);
        // Kinds that do not go together are no match at all.
        if matches!(outcome, Outcome::Nothing) {
            return Ok(());
        }
        let is_one_to_one = self.join.matching.cardinality == Cardinality::OneToOne;
        if is_one_to_one && !self.met.is_empty() {
            return Err(EngineError::Execution(
                "multiple matches for labels: many-to-one matching must be explicit \
                 (group_left/group_right)"
                    .into(),
            ));
        }
        if self.met.contains(&output) {
            return Err(EngineError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches".into(),
            ));
        }
        self.met.push(output);
        let column = self.outputs.get_mut(output).map(|(_, _, column)| column);
        if let (Outcome::Value(value), Some(column)) = (outcome, column) {
            put(column, step, value);
        }
        Ok(())
    }

    /// The output series of a pair, decided when it is met for the first time.
    fn output(&mut self, many: usize, one: usize) -> Result<usize, EngineError> {
        let at = many * (self.family.one.len() + 1) + one;
        if let Some(output) = self.pairs.get(at).copied().flatten() {
            return Ok(output);
        }
        let head_of = |side: &'t (dyn Operator + 'r), indexes: &[usize], i: usize| {
            indexes.get(i).and_then(|index| side.heads().get(*index))
        };
        let many_head = head_of(self.join.many.as_ref(), &self.family.many, many);
        let one_head = head_of(self.join.one.as_ref(), &self.family.one, one);
        let shared = many_head.or(one_head).map(|h| shared_labels(&h.labels, self.join.matching));
        let shared = shared.unwrap_or_default();
        let many_labels = many_head.map_or(&shared, |head| &head.labels);
        let one_labels = one_head.map_or(&shared, |head| &head.labels);
        let head = self.join.head(many_labels, one_labels);
        let output = self.labels.number(head.labels.as_ref());
        if output == self.outputs.len() {
            self.join.run.limits.hold(self.join.steps)?;
            let mut column = StepColumn::new();
            column.reset(self.join.steps);
            // Behind all series of the many side stand those that have no partner there.
            let filled = self.join.many.heads().len();
            let order = self.family.many.get(many).copied();
            let behind = self.family.one.get(one).map_or(filled, |one| filled + one);
            self.outputs.push((order.unwrap_or(behind), head, column));
        }
        if let Some(slot) = self.pairs.get_mut(at) {
            *slot = Some(output);
        }
        Ok(output)
    }
}

/// An error if a family had two series of the one side at a step at which the other side had any
/// sample at all, be it of another family.
pub(super) fn refuse_doubles(
    join: &Join<'_>,
    doubles: &[(Family, Doubles)],
) -> Result<(), EngineError> {
    if doubles.is_empty() {
        return Ok(());
    }
    let (mut inhabited, mut spare) = (StepColumn::new(), Vec::new());
    inhabited.reset(join.steps);
    if join.is_filled() {
        inhabited.fill(join.steps, 1.0);
    } else {
        let indexes: Vec<usize> = (0..join.many.heads().len()).collect();
        join.run.in_order(join.many.as_ref(), &indexes, join.steps, |_, column| {
            inhabited.mark(column.all_words(&mut spare));
            Ok(())
        })?;
    }
    let earliest = doubles
        .iter()
        .filter_map(|(family, doubles)| {
            let mut at = doubles.clone();
            at.keep_where(inhabited.words());
            ones(at.words()).next().map(|step| (step, family))
        })
        .min_by_key(|(step, _)| *step);
    match earliest {
        Some((step, family)) => Err(double(join, family, step)?),
        None => Ok(()),
    }
}

fn double(join: &Join<'_>, family: &Family, step: usize) -> Result<EngineError, EngineError> {
    let columns = columns(join.one.as_ref(), &family.one, &mut Work::default())?;
    let present = family.one.iter().zip(&columns).filter(|(_, column)| column.has(step));
    let heads: Vec<&Head> =
        present.filter_map(|(index, _)| join.one.heads().get(*index)).take(2).collect();
    let mut names: Vec<String> = heads.iter().map(|head| head.labels.to_string()).collect();
    names.sort_unstable();
    let group = heads.last().map(|head| shared_labels(&head.labels, join.matching));
    let side = if join.swapped { "left" } else { "right" };
    Ok(EngineError::Execution(format!(
        "found duplicate series for the match group {} on the {side} hand-side of the operation: \
         [{}];many-to-many matching not allowed: matching labels must be unique on one side",
        group.unwrap_or_default(),
        names.join(", "),
    )))
}
