//! `and`, `or` and `unless`.

use crate::promql::ast::{BinaryOp, Matching};
use crate::promql::engine::EngineError;
use crate::promql::plan::{BinaryNode, Node};

use super::super::StepColumn;
use super::super::operator::{Bound, Head, Operator, Work};
use super::super::run::Run;
use super::bind_node;
use super::signature::families;

/// Which steps of an element are kept.
#[derive(Debug, Clone, Copy)]
enum Mask {
    /// All of them.
    Nothing,
    /// Those at which the family of the other side, by index, has an element.
    With(usize),
    /// Those at which it has none.
    Without(usize),
}

struct Element {
    /// True if it is an element of the left operand.
    left: bool,
    index: usize,
    mask: Mask,
}

struct SetOperation<'r> {
    left: Box<dyn Operator + 'r>,
    right: Box<dyn Operator + 'r>,
    heads: Vec<Head>,
    elements: Vec<Element>,
    /// When the families of the side that decides have elements.
    presence: Vec<StepColumn>,
}

/// Binds a set operation. The elements of one operand are looked at first: the right one's for
/// `and` and `unless`, the left one's for `or`.
pub(super) fn bind<'r>(
    run: &'r Run<'r>,
    node: &'r BinaryNode,
    matching: &'r Matching,
    whole: &'r Node,
) -> Bound<'r> {
    let (left, right) = (bind_node(run, &node.left)?, bind_node(run, &node.right)?);
    let (mut elements, mut deciding) = (Vec::new(), Vec::new());
    for family in families(left.heads(), right.heads(), matching) {
        let (lefts, rights) = (family.many, family.one);
        let is_alone = lefts.is_empty() || rights.is_empty();
        let number = deciding.len();
        let element = |left, mask| move |index| Element { left, index, mask };
        match node.op {
            BinaryOp::And if is_alone => {}
            BinaryOp::And => {
                elements.extend(lefts.into_iter().map(element(true, Mask::With(number))));
                deciding.push(rights);
            }
            BinaryOp::Unless if !is_alone => {
                elements.extend(lefts.into_iter().map(element(true, Mask::Without(number))));
                deciding.push(rights);
            }
            BinaryOp::Or if !is_alone => {
                elements.extend(rights.into_iter().map(element(false, Mask::Without(number))));
                elements.extend(lefts.iter().copied().map(element(true, Mask::Nothing)));
                deciding.push(lefts);
            }
            op => {
                elements.extend(lefts.into_iter().map(element(true, Mask::Nothing)));
                if op == BinaryOp::Or {
                    elements.extend(rights.into_iter().map(element(false, Mask::Nothing)));
                }
            }
        }
    }
    // The left operand's elements first, each operand's in its order.
    elements.sort_unstable_by_key(|element| (!element.left, element.index));
    let decider = if node.op == BinaryOp::Or { &left } else { &right };
    let steps = whole.steps.count;
    let presence = run.collect(deciding.len(), |family, work| {
        let indexes = deciding.get(family).map(Vec::as_slice).unwrap_or_default();
        presence(decider.as_ref(), indexes, steps, work)
    })?;
    let heads = elements
        .iter()
        .filter_map(|element| {
            let side = if element.left { &left } else { &right };
            side.heads().get(element.index).cloned()
        })
        .collect();
    let operation = SetOperation { left, right, heads, elements, presence };
    run.unique(Box::new(operation), whole.steps)
}

fn presence(
    side: &(dyn Operator + '_),
    indexes: &[usize],
    steps: usize,
    work: &mut Work,
) -> Result<StepColumn, EngineError> {
    let (mut any, mut column) = (StepColumn::new(), work.take_column());
    any.reset(steps);
    for index in indexes {
        side.column(*index, &mut column, work)?;
        any.mark(column.words());
    }
    work.give_column(column);
    Ok(any)
}

impl Operator for SetOperation<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let Some(element) = self.elements.get(index) else {
            into.reset(0);
            return Ok(());
        };
        let side = if element.left { &self.left } else { &self.right };
        side.column(element.index, into, work)?;
        let words = |family: usize| self.presence.get(family).map(StepColumn::words);
        match element.mask {
            Mask::Nothing => {}
            Mask::With(family) => into.keep_where(words(family).unwrap_or_default()),
            Mask::Without(family) => into.drop_where(words(family).unwrap_or_default()),
        }
        Ok(())
    }
}
