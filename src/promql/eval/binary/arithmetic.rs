//! Operators on two numbers, and on two columns of them.

use crate::promql::ast::BinaryOp;

use super::super::StepColumn;

/// Which operand a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Left,
    Right,
}

/// The value of `a op b`; a comparison gives 1 or 0.
pub(super) fn apply(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => f64::from(u8::from(holds(op, a, b))),
    }
}

/// True if the comparison `a op b` holds.
#[inline]
pub(super) fn holds(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        _ => false,
    }
}

/// The element that `a op b` leaves, if it leaves one.
pub(super) fn element(op: BinaryOp, return_bool: bool, a: f64, b: f64) -> Option<f64> {
    if op.is_trim() {
        return None;
    }
    if op.is_comparison() && !return_bool {
        holds(op, a, b).then_some(a)
    } else {
        Some(apply(op, a, b))
    }
}

/// Combines `column`, which stands at `place`, with `other`. Steps that `present` lacks are
/// dropped; without it `other` is a scalar. A comparison keeps the left value, or the vector's
/// beside a scalar.
pub(super) fn combine(
    op: BinaryOp,
    return_bool: bool,
    column: &mut StepColumn,
    place: Place,
    other: &[f64],
    present: Option<&[u64]>,
) {
    if op.is_trim() {
        // Only histograms have something to trim.
        column.reset(column.len());
        return;
    }
    if let Some(present) = present {
        column.keep_where(present);
    }
    if op.is_comparison() {
        let keeps_other = place == Place::Right && present.is_some();
        compare(op, return_bool, column, place, other, keeps_other);
        return;
    }
    match op {
        BinaryOp::Add => each(column, place, other, |a, b| a + b),
        BinaryOp::Sub => each(column, place, other, |a, b| a - b),
        BinaryOp::Mul => each(column, place, other, |a, b| a * b),
        BinaryOp::Div => each(column, place, other, |a, b| a / b),
        _ => each(column, place, other, |a, b| apply(op, a, b)),
    }
}

#[inline]
fn each(column: &mut StepColumn, place: Place, other: &[f64], op: impl Fn(f64, f64) -> f64) {
    let (values, _) = column.parts_mut();
    match place {
        Place::Left => values.iter_mut().zip(other).for_each(|(a, b)| *a = op(*a, *b)),
        Place::Right => values.iter_mut().zip(other).for_each(|(b, a)| *b = op(*a, *b)),
    }
}

fn compare(
    op: BinaryOp,
    return_bool: bool,
    column: &mut StepColumn,
    place: Place,
    other: &[f64],
    keeps_other: bool,
) {
    // `5 < x` is `x > 5`.
    let op = match (op, place) {
        (_, Place::Left) => op,
        (BinaryOp::Lt, _) => BinaryOp::Gt,
        (BinaryOp::Le, _) => BinaryOp::Ge,
        (BinaryOp::Gt, _) => BinaryOp::Lt,
        (BinaryOp::Ge, _) => BinaryOp::Le,
        (op, _) => op,
    };
    match op {
        BinaryOp::Eq => test(return_bool, column, other, keeps_other, |a, b| a == b),
        BinaryOp::Ne => test(return_bool, column, other, keeps_other, |a, b| a != b),
        BinaryOp::Lt => test(return_bool, column, other, keeps_other, |a, b| a < b),
        BinaryOp::Le => test(return_bool, column, other, keeps_other, |a, b| a <= b),
        BinaryOp::Gt => test(return_bool, column, other, keeps_other, |a, b| a > b),
        _ => test(return_bool, column, other, keeps_other, |a, b| a >= b),
    }
}

#[inline]
fn test(
    return_bool: bool,
    column: &mut StepColumn,
    other: &[f64],
    keeps_other: bool,
    holds: impl Fn(f64, f64) -> bool,
) {
    let (values, present) = column.parts_mut();
    if return_bool {
        for (value, other) in values.iter_mut().zip(other) {
            *value = f64::from(u8::from(holds(*value, *other)));
        }
        return;
    }
    for ((values, other), word) in values.chunks_mut(64).zip(other.chunks(64)).zip(present) {
        let mut bits = 0;
        for (bit, (value, other)) in values.iter_mut().zip(other).enumerate() {
            bits |= u64::from(holds(*value, *other)) << bit;
            if keeps_other {
                *value = *other;
            }
        }
        *word &= bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPS: [BinaryOp; 13] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Mod,
        BinaryOp::Pow,
        BinaryOp::Atan2,
        BinaryOp::Eq,
        BinaryOp::Ne,
        BinaryOp::Lt,
        BinaryOp::Le,
        BinaryOp::Gt,
        BinaryOp::Ge,
    ];

    fn column(cells: &[Option<f64>]) -> StepColumn {
        let mut column = StepColumn::new();
        column.fill_with(cells.len(), |step| cells[step]);
        column
    }

    fn cell() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            4 => (-3_i8..4).prop_map(|v| Some(f64::from(v))),
            1 => Just(None),
            1 => Just(Some(f64::NAN)),
        ]
    }

    fn same(a: Option<f64>, b: Option<f64>) -> bool {
        a.map(f64::to_bits) == b.map(f64::to_bits)
            || matches!((a, b), (Some(a), Some(b)) if a.is_nan() && b.is_nan())
    }

    proptest! {
        #[test]
        fn columns_combine_as_their_elements_do(
            cells in prop::collection::vec((cell(), cell()), 1..150),
            return_bool in any::<bool>(),
        ) {
            let (left, right): (Vec<_>, Vec<_>) = cells.iter().copied().unzip();
            let (a, b) = (column(&left), column(&right));
            for op in OPS {
                let expected = |step: usize| {
                    element(op, return_bool && op.is_comparison(), left[step]?, right[step]?)
                };
                let (mut from_left, mut from_right) = (a.clone(), b.clone());
                let both = (Some(b.words()), Some(a.words()));
                combine(op, return_bool, &mut from_left, Place::Left, b.values(), both.0);
                combine(op, return_bool, &mut from_right, Place::Right, a.values(), both.1);
                for step in 0..cells.len() {
                    prop_assert!(same(from_left.get(step), expected(step)), "{op:?}");
                    prop_assert!(same(from_right.get(step), expected(step)), "{op:?}");
                }
            }
        }
    }

    #[test]
    fn beside_a_scalar_the_vector_is_kept() {
        let mut some = column(&[Some(1.0), Some(9.0)]);
        combine(BinaryOp::Lt, false, &mut some, Place::Right, &[5.0, 5.0], None);
        assert_eq!((some.get(0), some.get(1)), (None, Some(9.0)));
    }
}
