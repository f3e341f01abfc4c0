//! `and`, `or` and `unless`.

use crate::promql::ast::{BinaryOp, Matching};
use crate::promql::engine::EngineError;
use crate::promql::plan::{BinaryNode, Node};

use super::super::StepColumn;
use super::super::operator::{Bound, Head, Operator, Work};
use super::super::run::Run;
use super::bind_node;
use super::signature::{Family, families};

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
    /// Its values, if they are known because it decides over others: family and place in it.
    known: Option<(usize, usize)>,
}

/// The elements of the side that decides over the other.
struct Decider {
    /// Steps at which there is any.
    present: StepColumn,
    /// Their values, if they are elements of the answer too. They may be costly to compute twice:
    /// in a chain of operations each would double the work of those before it.
    columns: Vec<StepColumn>,
}

struct SetOperation<'r> {
    left: Box<dyn Operator + 'r>,
    right: Box<dyn Operator + 'r>,
    heads: Vec<Head>,
    elements: Vec<Element>,
    deciders: Vec<Decider>,
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
    let found = families(left.heads(), right.heads(), matching);
    let (mut elements, deciding) = elements(node.op, found);
    // The left operand's elements first, each operand's in its order.
    elements.sort_unstable_by_key(|element| (!element.left, element.index));
    let is_or = node.op == BinaryOp::Or;
    let side = if is_or { &left } else { &right };
    let steps = whole.steps.count;
    let deciders = run.collect(deciding.len(), |family, work| {
        let indexes = deciding.get(family).map(Vec::as_slice).unwrap_or_default();
        let decider = decide(side.as_ref(), indexes, steps, is_or, work)?;
        run.limits.hold(decider.columns.len().saturating_mul(steps))?;
        Ok(decider)
    })?;
    let heads = elements
        .iter()
        .filter_map(|element| {
            let side = if element.left { &left } else { &right };
            side.heads().get(element.index).cloned()
        })
        .collect();
    let operation = SetOperation { left, right, heads, elements, deciders };
    run.unique(Box::new(operation), whole.steps)
}

/// The elements that may be in the answer, and the families that decide over them.
fn elements(op: BinaryOp, families: Vec<Family>) -> (Vec<Element>, Vec<Vec<usize>>) {
    let (mut elements, mut deciding) = (Vec::new(), Vec::new());
    for Family { many: lefts, one: rights } in families {
        let is_alone = lefts.is_empty() || rights.is_empty();
        let number = deciding.len();
        let element = |left, mask| move |index| Element { left, index, mask, known: None };
        match op {
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
                let known = lefts.iter().copied().map(element(true, Mask::Nothing)).enumerate();
                elements
                    .extend(known.map(|(place, e)| Element { known: Some((number, place)), ..e }));
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
    (elements, deciding)
}

fn decide(
    side: &(dyn Operator + '_),
    indexes: &[usize],
    steps: usize,
    keeps: bool,
    work: &mut Work,
) -> Result<Decider, EngineError> {
    let mut decider = Decider { present: StepColumn::new(), columns: Vec::new() };
    decider.present.reset(steps);
    let (mut column, mut spare) = (work.take_column(), Vec::new());
    for index in indexes {
        side.column(*index, &mut column, work)?;
        decider.present.mark(column.all_words(&mut spare));
        if keeps {
            decider.columns.push(std::mem::take(&mut column));
        }
    }
    work.give_column(column);
    Ok(decider)
}

impl SetOperation<'_> {
    fn known(&self, element: &Element) -> Option<&StepColumn> {
        let (family, place) = element.known?;
        self.deciders.get(family)?.columns.get(place)
    }
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
        if let Some(column) = self.known(element) {
            into.copy_from(column);
            return Ok(());
        }
        let side = if element.left { &self.left } else { &self.right };
        side.column(element.index, into, work)?;
        let words = |family: usize| self.deciders.get(family).map(|d| d.present.words());
        match element.mask {
            Mask::Nothing => {}
            Mask::With(family) => into.keep_where(words(family).unwrap_or_default()),
            Mask::Without(family) => into.drop_where(words(family).unwrap_or_default()),
        }
        Ok(())
    }
}
