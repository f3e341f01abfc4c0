//! Operators on histograms, and on floats beside histograms.

use crate::model::histogram::ResetHint;
use crate::model::histogram::float::{FloatHistogram, FloatRef, Incompatible, Merged, Overlays};
use crate::promql::ast::{BinaryOp, Span};

use super::super::remarks::{
    Operation, collision, incompatible_layouts, incompatible_types, reconciled,
};
use super::super::run::Run;
use super::super::{StepColumn, StepValue};
use super::arithmetic::{Place, element};

/// Computes elements and remembers what is to be said of them.
pub(super) struct Combiner {
    op: BinaryOp,
    return_bool: bool,
    scratch: FloatHistogram,
    overlays: Overlays,
    /// Kinds that the operator does not know, by whether each operand was a histogram.
    unknown: Vec<(bool, bool)>,
    incompatible: bool,
    collides: bool,
    reconciled: bool,
}

/// What becomes of two elements.
pub(super) enum Outcome<'c> {
    /// There is no such operation, and nothing ever happened.
    Nothing,
    /// The comparison does not hold.
    Dropped,
    Value(StepValue<'c>),
}

impl Combiner {
    pub(super) fn new(op: BinaryOp, return_bool: bool) -> Self {
        Self {
            op,
            return_bool,
            scratch: FloatHistogram::default(),
            overlays: Overlays::default(),
            unknown: Vec::new(),
            incompatible: false,
            collides: false,
            reconciled: false,
        }
    }

    /// `a op b`. Matches `vectorElemBinop`.
    pub(super) fn element<'c>(&'c mut self, a: StepValue<'c>, b: StepValue<'c>) -> Outcome<'c> {
        use BinaryOp::{Add, Div, Eq, Mul, Ne, Sub, TrimLower, TrimUpper};
        use StepValue::{Float, Histogram};
        match (self.op, a, b) {
            (TrimLower | TrimUpper, Float(_), Float(_)) => self.refuse(false, false),
            (op, Float(a), Float(b)) => match element(op, self.return_bool, a, b) {
                Some(value) => Outcome::Value(Float(value)),
                None => Outcome::Dropped,
            },
            (Mul, Float(factor), Histogram(one)) | (Mul, Histogram(one), Float(factor)) => {
                self.change(one, |one| one.scale(factor))
            }
            (Div, Histogram(one), Float(by)) => self.change(one, |one| one.divide(by)),
            (TrimUpper, Histogram(one), Float(at)) => self.change(one, |one| one.trim(at, true)),
            (TrimLower, Histogram(one), Float(at)) => self.change(one, |one| one.trim(at, false)),
            (Add, Histogram(a), Histogram(b)) => {
                self.scratch.set(a);
                let merged = self.scratch.add(b, &mut self.overlays);
                self.merged(merged)
            }
            (Sub, Histogram(a), Histogram(b)) => {
                self.scratch.set(a);
                let merged = self.scratch.subtract(b, &mut self.overlays);
                self.scratch.hint = ResetHint::Gauge;
                self.merged(merged)
            }
            (Eq | Ne, Histogram(a), Histogram(b)) => {
                let holds = a.is_same_as(&b) == (self.op == Eq);
                match (self.return_bool, holds) {
                    (true, holds) => Outcome::Value(Float(f64::from(u8::from(holds)))),
                    (false, true) => Outcome::Value(Histogram(a)),
                    (false, false) => Outcome::Dropped,
                }
            }
            (_, a, b) => self.refuse(matches!(a, Histogram(_)), matches!(b, Histogram(_))),
        }
    }

    fn refuse(&mut self, left: bool, right: bool) -> Outcome<'_> {
        if !self.unknown.contains(&(left, right)) {
            self.unknown.push((left, right));
        }
        Outcome::Nothing
    }

    fn change(
        &mut self,
        one: FloatRef<'_>,
        change: impl FnOnce(&mut FloatHistogram),
    ) -> Outcome<'_> {
        self.scratch.set(one);
        change(&mut self.scratch);
        self.scratch.is_loose = true;
        Outcome::Value(StepValue::Histogram(self.scratch.as_ref()))
    }

    fn merged(&mut self, merged: Result<Merged, Incompatible>) -> Outcome<'_> {
        let Ok(merged) = merged else {
            self.incompatible = true;
            return Outcome::Nothing;
        };
        // Upstream loses the sum on the way of the warning.
        if merged.collides {
            self.collides = true;
            return Outcome::Nothing;
        }
        self.reconciled |= merged.is_reconciled;
        self.scratch.is_loose = true;
        Outcome::Value(StepValue::Histogram(self.scratch.as_ref()))
    }

    /// Tells what was found.
    pub(super) fn note(self, run: &Run<'_>, span: Span) {
        let op = self.op.text();
        let operation = match self.op {
            BinaryOp::Sub => Operation::Subtraction,
            _ => Operation::Addition,
        };
        let name = |is_histogram: bool| if is_histogram { "histogram" } else { "float" };
        for (left, right) in self.unknown {
            run.note(incompatible_types(span, (name(left), name(right)), op));
        }
        if self.incompatible {
            run.note(incompatible_layouts(span, op));
        }
        if self.collides {
            run.note(collision(span, operation));
        }
        if self.reconciled {
            run.note(reconciled(span, operation));
        }
    }

    /// Combines `column`, which stands at `place`, with the element of each step that `other`
    /// gives. Beside a scalar a comparison keeps the vector's value.
    pub(super) fn combine<'c>(
        &mut self,
        column: &mut StepColumn,
        place: Place,
        is_scalar: bool,
        other: impl Fn(usize) -> Option<StepValue<'c>>,
    ) {
        let mut result = StepColumn::new();
        result.reset(column.len());
        let keeps_vector = is_scalar && place == Place::Right && self.op.is_comparison();
        let keeps_vector = keeps_vector && !self.return_bool;
        for (step, mine) in column.all() {
            let Some(other) = other(step) else { continue };
            let outcome = match place {
                Place::Left => self.element(mine, other),
                Place::Right => self.element(other, mine),
            };
            if let Outcome::Value(value) = outcome {
                put(&mut result, step, if keeps_vector { mine } else { value });
            }
        }
        *column = result;
    }
}

/// Sets the value of a step behind all others.
pub(super) fn put(column: &mut StepColumn, step: usize, value: StepValue<'_>) {
    match value {
        StepValue::Float(value) => column.set(step, value),
        StepValue::Histogram(one) => column.rows_mut().push(step, one),
    }
}
