//! Lengths of time that are computed, such as `[2 * step()]`.

use crate::promql::ast::{BinaryOp, DurationExpr, DurationKind};
use crate::promql::engine::EngineError;

/// A length of time of this many nanoseconds no longer fits Prometheus's type.
const LONGEST_SECONDS: f64 = 9_223_372_036.854_776;

/// What `step()` and `range()` are in this query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) step_ms: i64,
    pub(super) range_ms: i64,
}

/// Seconds as Go's `Duration.Seconds` computes them.
pub(crate) fn seconds(length_ms: i64) -> f64 {
    (length_ms / 1000) as f64 + (length_ms % 1000 * 1_000_000) as f64 / 1e9
}

impl Lengths {
    /// The length in milliseconds. One that has to be positive and is not is an error, except
    /// where it is written out: that the parser has seen.
    pub(super) fn of(self, expr: &DurationExpr, may_be_negative: bool) -> Result<i64, EngineError> {
        if let DurationKind::Literal(length_ms) = expr.kind {
            return Ok(length_ms);
        }
        let seconds = self.evaluate(expr)?;
        let complaint = if !seconds.is_finite() {
            "duration is NaN or infinite"
        } else if seconds <= 0.0 && !may_be_negative {
            "duration must be greater than 0"
        } else if seconds.abs() > LONGEST_SECONDS {
            "duration is out of range"
        } else {
            return Ok((seconds * 1000.0) as i64);
        };
        Err(refuse(expr, complaint))
    }

    fn evaluate(self, expr: &DurationExpr) -> Result<f64, EngineError> {
        Ok(match &expr.kind {
            DurationKind::Literal(length_ms) => seconds(*length_ms),
            DurationKind::Number(value) => *value,
            DurationKind::Step => seconds(self.step_ms),
            DurationKind::Range => seconds(self.range_ms),
            DurationKind::Unary(true, inner) => -self.evaluate(inner)?,
            DurationKind::Unary(false, inner) | DurationKind::Paren(inner) => {
                self.evaluate(inner)?
            }
            DurationKind::MinOf(a, b) => go_min(self.evaluate(a)?, self.evaluate(b)?),
            DurationKind::MaxOf(a, b) => go_max(self.evaluate(a)?, self.evaluate(b)?),
            DurationKind::Binary(op, a, b) => {
                let (left, right) = (self.evaluate(a)?, self.evaluate(b)?);
                match op {
                    BinaryOp::Add => left + right,
                    BinaryOp::Sub => left - right,
                    BinaryOp::Mul => left * right,
                    BinaryOp::Div if right == 0.0 => return Err(refuse(expr, "division by zero")),
                    BinaryOp::Div => left / right,
                    BinaryOp::Mod if right == 0.0 => return Err(refuse(expr, "modulo by zero")),
                    BinaryOp::Mod => left % right,
                    BinaryOp::Pow => left.powf(right),
                    _ => return Err(refuse(expr, "unexpected duration expression operator")),
                }
            }
        })
    }
}

fn refuse(expr: &DurationExpr, complaint: &str) -> EngineError {
    EngineError::Invalid(format!("{}:{}: {complaint}", expr.span.start, expr.span.end))
}

/// Go's `math.Max`: NaN wins unless there is an infinity, and zero beats negative zero.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's `math.Min`.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::ast::Span;

    fn expr(kind: DurationKind) -> DurationExpr {
        DurationExpr { kind, span: Span { start: 3, end: 9 } }
    }

    fn binary(op: BinaryOp, a: DurationKind, b: DurationKind) -> DurationExpr {
        expr(DurationKind::Binary(op, Box::new(expr(a)), Box::new(expr(b))))
    }

    const LENGTHS: Lengths = Lengths { step_ms: 15_000, range_ms: 0 };

    #[test]
    fn steps_and_numbers_mix_and_are_cut_to_milliseconds() {
        let twice = binary(BinaryOp::Mul, DurationKind::Step, DurationKind::Number(2.0));
        assert_eq!(LENGTHS.of(&twice, false).unwrap(), 30_000);
        let third = binary(BinaryOp::Div, DurationKind::Literal(10_000), DurationKind::Number(3.0));
        assert_eq!(LENGTHS.of(&third, false).unwrap(), 3333);
    }

    #[test]
    fn what_is_no_length_is_refused_with_its_place() {
        let zero = binary(BinaryOp::Sub, DurationKind::Step, DurationKind::Step);
        let got = LENGTHS.of(&zero, false).unwrap_err().to_string();
        assert_eq!(got, "3:9: duration must be greater than 0");
        assert_eq!(LENGTHS.of(&zero, true).unwrap(), 0);
        let by_zero = binary(BinaryOp::Div, DurationKind::Step, DurationKind::Range);
        let got = LENGTHS.of(&by_zero, true).unwrap_err().to_string();
        assert_eq!(got, "3:9: division by zero");
    }

    #[test]
    fn largest_and_smallest_treat_nan_and_zero_as_go_does() {
        assert!(go_max(f64::NAN, 1.0).is_nan() && go_min(1.0, f64::NAN).is_nan());
        assert_eq!(go_max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(go_min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(go_max(-0.0, 0.0).is_sign_positive() && go_min(0.0, -0.0).is_sign_negative());
        assert_eq!((go_max(1.0, 2.0), go_min(1.0, 2.0)), (2.0, 1.0));
    }
}
