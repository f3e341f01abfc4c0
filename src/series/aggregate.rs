//! Which number of a downsampled sample is wanted.

/// One of the numbers that stand for the samples of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Their sum divided by their count.
    #[default]
    Average,
    /// How many they were.
    Count,
    /// Their sum.
    Sum,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// How far a counter has come.
    Counter,
}

impl Aggregate {
    /// What the function or aggregation right above a selector wants, as Thanos chooses
    /// (`aggrsFromFunc`).
    #[must_use]
    pub fn wanted_by(func: Option<&str>) -> Self {
        let Some(func) = func else { return Self::Average };
        match func {
            "increase" | "rate" | "irate" | "resets" | "xincrease" | "xrate" => Self::Counter,
            "min" => Self::Min,
            "max" => Self::Max,
            "count" => Self::Count,
            _ if func.starts_with("min_") => Self::Min,
            _ if func.starts_with("max_") => Self::Max,
            // Counts of values are not counts of samples.
            "count_values" => Self::Average,
            _ if func.starts_with("count_") => Self::Count,
            _ if func.starts_with("sum_") => Self::Sum,
            _ => Self::Average,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_gets_the_number_that_it_is_about() {
        let cases = [
            (None, Aggregate::Average),
            (Some("sum"), Aggregate::Average),
            (Some("sum_over_time"), Aggregate::Sum),
            (Some("min"), Aggregate::Min),
            (Some("min_over_time"), Aggregate::Min),
            (Some("max_over_time"), Aggregate::Max),
            (Some("count"), Aggregate::Count),
            (Some("count_over_time"), Aggregate::Count),
            (Some("count_values"), Aggregate::Average),
            (Some("rate"), Aggregate::Counter),
            (Some("resets"), Aggregate::Counter),
            (Some("avg_over_time"), Aggregate::Average),
            (Some("last_over_time"), Aggregate::Average),
        ];
        for (func, wanted) in cases {
            assert_eq!(Aggregate::wanted_by(func), wanted, "{func:?}");
        }
    }
}
