//! Names, arguments and results of all functions.

use super::ast::ValueType;

use ValueType::{InstantVector as V, RangeVector as M, Scalar as S, String as T};

/// How many arguments a function takes beyond those that are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly the listed ones.
    Exact,
    /// The last one is optional and may appear up to this many times.
    UpTo(usize),
    /// The last one is optional and may appear any number of times.
    Any,
}

/// What a function is called, takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The name; names are case-sensitive.
    pub name: &'static str,
    /// Types of the arguments. The last one counts for all that follow.
    pub arguments: &'static [ValueType],
    /// Whether the last argument may be left out or repeated.
    pub arity: Arity,
    /// Type of the result.
    pub returns: ValueType,
    /// True if upstream keeps it behind a switch.
    pub experimental: bool,
}

impl Signature {
    const fn optional(self, up_to: usize) -> Self {
        Self { arity: Arity::UpTo(up_to), ..self }
    }

    const fn repeated(self) -> Self {
        Self { arity: Arity::Any, ..self }
    }

    const fn experimental(self) -> Self {
        Self { experimental: true, ..self }
    }
}

const fn is(name: &'static str, arguments: &'static [ValueType], returns: ValueType) -> Signature {
    Signature { name, arguments, arity: Arity::Exact, returns, experimental: false }
}

/// The function called `name`.
#[must_use]
pub fn signature(name: &str) -> Option<&'static Signature> {
    let index = SIGNATURES.binary_search_by(|signature| signature.name.cmp(name)).ok()?;
    SIGNATURES.get(index)
}

/// All functions, ascending by name.
pub const SIGNATURES: [Signature; 90] = [
    is("abs", &[V], V),
    is("absent", &[V], V),
    is("absent_over_time", &[M], V),
    is("acos", &[V], V),
    is("acosh", &[V], V),
    is("asin", &[V], V),
    is("asinh", &[V], V),
    is("atan", &[V], V),
    is("atanh", &[V], V),
    is("avg_over_time", &[M], V),
    is("ceil", &[V], V),
    is("changes", &[M], V),
    is("clamp", &[V, S, S], V),
    is("clamp_max", &[V, S], V),
    is("clamp_min", &[V, S], V),
    is("cos", &[V], V),
    is("cosh", &[V], V),
    is("count_over_time", &[M], V),
    is("day_of_month", &[V], V).optional(1),
    is("day_of_week", &[V], V).optional(1),
    is("day_of_year", &[V], V).optional(1),
    is("days_in_month", &[V], V).optional(1),
    is("deg", &[V], V),
    is("delta", &[M], V),
    is("deriv", &[M], V),
    is("double_exponential_smoothing", &[M, S, S], V).experimental(),
    is("end", &[], S).experimental(),
    is("exp", &[V], V),
    is("first_over_time", &[M], V),
    is("floor", &[V], V),
    is("histogram_avg", &[V], V),
    is("histogram_count", &[V], V),
    is("histogram_fraction", &[S, S, V], V),
    is("histogram_quantile", &[S, V], V),
    is("histogram_quantiles", &[V, T, S, S], V).optional(9).experimental(),
    is("histogram_stddev", &[V], V),
    is("histogram_stdvar", &[V], V),
    is("histogram_sum", &[V], V),
    is("hour", &[V], V).optional(1),
    is("idelta", &[M], V),
    is("increase", &[M], V),
    is("info", &[V, V], V).optional(1).experimental(),
    is("irate", &[M], V),
    is("label_join", &[V, T, T, T], V).repeated(),
    is("label_replace", &[V, T, T, T, T], V),
    is("last_over_time", &[M], V),
    is("ln", &[V], V),
    is("log10", &[V], V),
    is("log2", &[V], V),
    is("mad_over_time", &[M], V).experimental(),
    is("max_of", &[S, S], S).experimental(),
    is("max_over_time", &[M], V),
    is("min_of", &[S, S], S).experimental(),
    is("min_over_time", &[M], V),
    is("minute", &[V], V).optional(1),
    is("month", &[V], V).optional(1),
    is("pi", &[], S),
    is("predict_linear", &[M, S], V),
    is("present_over_time", &[M], V),
    is("quantile_over_time", &[S, M], V),
    is("rad", &[V], V),
    is("range", &[], S).experimental(),
    is("rate", &[M], V),
    is("resets", &[M], V),
    is("round", &[V, S], V).optional(1),
    is("scalar", &[V], S),
    is("sgn", &[V], V),
    is("sin", &[V], V),
    is("sinh", &[V], V),
    is("sort", &[V], V),
    is("sort_by_label", &[V, T], V).repeated().experimental(),
    is("sort_by_label_desc", &[V, T], V).repeated().experimental(),
    is("sort_desc", &[V], V),
    is("sqrt", &[V], V),
    is("start", &[], S).experimental(),
    is("start_timestamp", &[V], V).experimental(),
    is("stddev_over_time", &[M], V),
    is("stdvar_over_time", &[M], V),
    is("step", &[], S).experimental(),
    is("sum_over_time", &[M], V),
    is("tan", &[V], V),
    is("tanh", &[V], V),
    is("time", &[], S),
    is("timestamp", &[V], V),
    is("ts_of_first_over_time", &[M], V).experimental(),
    is("ts_of_last_over_time", &[M], V).experimental(),
    is("ts_of_max_over_time", &[M], V).experimental(),
    is("ts_of_min_over_time", &[M], V).experimental(),
    is("vector", &[S], V),
    is("year", &[V], V).optional(1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        assert!(SIGNATURES.windows(2).all(|pair| pair[0].name < pair[1].name));
        for known in &SIGNATURES {
            assert_eq!(signature(known.name), Some(known));
        }
        assert_eq!(signature("Rate"), None);
    }

    #[test]
    fn seventeen_are_experimental() {
        // The list that upstream calls experimental functions, and the scalars of the query's
        // own times.
        let count = SIGNATURES.iter().filter(|signature| signature.experimental).count();
        assert_eq!(count, 17);
    }
}
