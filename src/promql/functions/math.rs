//! Functions of one value.

/// A function of one value and of scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MathFunction {
    Abs,
    Ceil,
    Floor,
    Exp,
    Sqrt,
    Ln,
    Log2,
    Log10,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Deg,
    Rad,
    Sgn,
    Round,
    Clamp,
    ClampMin,
    ClampMax,
}

impl MathFunction {
    /// The function with this name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "ceil" => Self::Ceil,
            "floor" => Self::Floor,
            "exp" => Self::Exp,
            "sqrt" => Self::Sqrt,
            "ln" => Self::Ln,
            "log2" => Self::Log2,
            "log10" => Self::Log10,
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" => Self::Tan,
            "asin" => Self::Asin,
            "acos" => Self::Acos,
            "atan" => Self::Atan,
            "sinh" => Self::Sinh,
            "cosh" => Self::Cosh,
            "tanh" => Self::Tanh,
            "asinh" => Self::Asinh,
            "acosh" => Self::Acosh,
            "atanh" => Self::Atanh,
            "deg" => Self::Deg,
            "rad" => Self::Rad,
            "sgn" => Self::Sgn,
            "round" => Self::Round,
            "clamp" => Self::Clamp,
            "clamp_min" => Self::ClampMin,
            "clamp_max" => Self::ClampMax,
            _ => return None,
        })
    }

    /// The function of one value, if it takes no scalar.
    pub(crate) fn plain(self) -> Option<fn(f64) -> f64> {
        Some(match self {
            Self::Abs => f64::abs,
            Self::Ceil => f64::ceil,
            Self::Floor => f64::floor,
            Self::Exp => f64::exp,
            Self::Sqrt => f64::sqrt,
            Self::Ln => f64::ln,
            Self::Log2 => f64::log2,
            Self::Log10 => f64::log10,
            Self::Sin => f64::sin,
            Self::Cos => f64::cos,
            Self::Tan => f64::tan,
            Self::Asin => f64::asin,
            Self::Acos => f64::acos,
            Self::Atan => f64::atan,
            Self::Sinh => f64::sinh,
            Self::Cosh => f64::cosh,
            Self::Tanh => f64::tanh,
            Self::Asinh => f64::asinh,
            Self::Acosh => f64::acosh,
            Self::Atanh => f64::atanh,
            Self::Deg => |v| v * 180.0 / std::f64::consts::PI,
            Self::Rad => |v| v * std::f64::consts::PI / 180.0,
            Self::Sgn => |v| {
                if v < 0.0 {
                    -1.0
                } else if v > 0.0 {
                    1.0
                } else {
                    v
                }
            },
            Self::Round => |v| round(v, 1.0),
            Self::Clamp | Self::ClampMin | Self::ClampMax => return None,
        })
    }

    /// The function of one value and the scalars of a step; `None` if there is no answer.
    pub(crate) fn with(self, value: f64, scalar: impl Fn(usize) -> f64) -> Option<f64> {
        match self {
            Self::Round => Some(round(value, scalar(0))),
            Self::Clamp => clamp(value, scalar(0), scalar(1)),
            Self::ClampMin => clamp(value, scalar(0), f64::INFINITY),
            Self::ClampMax => clamp(value, f64::NEG_INFINITY, scalar(0)),
            _ => self.plain().map(|function| function(value)),
        }
    }
}

/// To the nearest multiple, halves up. Dividing by the inverse rounds less often than multiplying.
fn round(value: f64, to_nearest: f64) -> f64 {
    let inverse = 1.0 / to_nearest;
    (value * inverse + 0.5).floor() / inverse
}

fn clamp(value: f64, smallest: f64, largest: f64) -> Option<f64> {
    use crate::promql::plan::{go_max, go_min};
    if largest < smallest { None } else { Some(go_max(smallest, go_min(largest, value))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_up() {
        assert_eq!((round(2.5, 1.0), round(-2.5, 1.0), round(7.3, 5.0)), (3.0, -2.0, 5.0));
    }

    #[test]
    fn bounds_that_cross_leave_nothing() {
        assert_eq!(clamp(1.0, 2.0, 1.0), None);
        assert_eq!(clamp(5.0, 1.0, 3.0), Some(3.0));
        assert!(clamp(f64::NAN, 1.0, 3.0).is_some_and(f64::is_nan));
    }

    #[test]
    fn the_sign_of_zero_and_of_nothing_is_itself() {
        let sign = MathFunction::Sgn.plain().unwrap();
        assert_eq!((sign(-3.0), sign(2.0), sign(0.0)), (-1.0, 1.0, 0.0));
        assert!(sign(-0.0).is_sign_negative() && sign(f64::NAN).is_nan());
    }
}
