//! Operations with two operands: which elements go together, and what comes out.

mod arithmetic;
mod clash;
mod join;
mod mixed;
mod set;
mod signature;

use crate::promql::ast::{BinaryOp, Span};
use crate::promql::engine::EngineError;
use crate::promql::plan::{BinaryNode, Node, Sides};

use super::operator::{Bound, Head, Operator, Steady, Work};
use super::run::Run;
use super::{StepColumn, StepValue, bind as bind_node, scalar};

use arithmetic::{Place, apply, combine};
use mixed::Combiner;

/// Binds a binary operation.
pub(super) fn bind<'r>(run: &'r Run<'r>, node: &'r BinaryNode, whole: &'r Node) -> Bound<'r> {
    match &node.sides {
        Sides::Scalars => {
            let (left, right) = (scalar(run, &node.left)?, scalar(run, &node.right)?);
            let values = left.iter().zip(&right).map(|(a, b)| apply(node.op, *a, *b));
            Ok(Steady::values(values.collect()))
        }
        Sides::VectorScalar => {
            with_scalar(run, node, (&node.left, &node.right), Place::Left, whole.span)
        }
        Sides::ScalarVector => {
            with_scalar(run, node, (&node.right, &node.left), Place::Right, whole.span)
        }
        Sides::Vectors(matching) if node.op.is_set() => set::bind(run, node, matching, whole),
        Sides::Vectors(matching) => join::bind(run, node, matching, whole),
    }
}

/// True if the result is no longer the metric that went in.
const fn is_arithmetic(op: BinaryOp) -> bool {
    !op.is_comparison() && !op.is_set() && !op.is_trim()
}

/// A vector and a scalar.
struct WithScalar<'r> {
    inner: Box<dyn Operator + 'r>,
    heads: Vec<Head>,
    op: BinaryOp,
    return_bool: bool,
    scalar: Vec<f64>,
    place: Place,
    run: &'r Run<'r>,
    span: Span,
}

fn with_scalar<'r>(
    run: &'r Run<'r>,
    node: &'r BinaryNode,
    (vector, scalar_node): (&'r Node, &'r Node),
    place: Place,
    span: Span,
) -> Bound<'r> {
    // Both operands are evaluated from left to right, for the order of their errors.
    let (inner, scalar) = match place {
        Place::Left => {
            let inner = bind_node(run, vector)?;
            (inner, scalar(run, scalar_node)?)
        }
        Place::Right => {
            let scalar = scalar(run, scalar_node)?;
            (bind_node(run, vector)?, scalar)
        }
    };
    let changes = is_arithmetic(node.op) || node.return_bool;
    let head = |head: &Head| if changes { run.nameless(head) } else { head.clone() };
    let heads = inner.heads().iter().map(head).collect();
    let (op, return_bool) = (node.op, node.return_bool);
    let bound = WithScalar { inner, heads, op, return_bool, scalar, place, run, span };
    run.unique(Box::new(bound), vector.steps)
}

impl Operator for WithScalar<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        self.inner.column(index, into, work)?;
        if into.rows().is_none() && !self.op.is_trim() {
            combine(self.op, self.return_bool, into, self.place, &self.scalar, None);
            return Ok(());
        }
        let mut combiner = Combiner::new(self.op, self.return_bool);
        let scalar = |step: usize| self.scalar.get(step).copied().map(StepValue::Float);
        combiner.combine(into, self.place, true, scalar);
        combiner.note(self.run, self.span);
        Ok(())
    }
}
