//! Is this label set within the bounds of its job?

use std::fmt;

use crate::base::quote::quoted;
use crate::model::Labels;
use crate::wire::config::ScrapeLimits;

/// A bound that a series exceeds; the texts are Prometheus's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LimitError {
    LabelCount { metric: String, count: usize, limit: usize },
    NameLength { metric: String, name: String, length: usize, limit: usize },
    ValueLength { metric: String, name: String, value: String, length: usize, limit: usize },
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LabelCount { metric, count, limit } => write!(
                f,
                "label_limit exceeded (metric: {metric:.50}, number of labels: {count}, \
                 limit: {limit})"
            ),
            Self::NameLength { metric, name, length, limit } => write!(
                f,
                "label_name_length_limit exceeded (metric: {metric:.50}, label name: {name:.50}, \
                 length: {length}, limit: {limit})"
            ),
            Self::ValueLength { metric, name, value, length, limit } => {
                let value: String = value.chars().take(50).collect();
                let value = quoted(value.as_bytes());
                write!(
                    f,
                    "label_value_length_limit exceeded (metric: {metric:.50}, \
                     label name: {name:.50}, value: {value}, length: {length}, limit: {limit})"
                )
            }
        }
    }
}

/// Checks a series once, when it is first seen.
pub(super) fn check(labels: &Labels, limits: &ScrapeLimits) -> Result<(), LimitError> {
    let metric = || labels.metric_name().unwrap_or_default().to_owned();
    let count = labels.len();
    if limits.label_count > 0 && count > limits.label_count {
        let limit = limits.label_count;
        return Err(LimitError::LabelCount { metric: metric(), count, limit });
    }
    for (name, value) in labels.iter() {
        let (name_limit, value_limit) = (limits.label_name_bytes, limits.label_value_bytes);
        if name_limit > 0 && name.len() > name_limit {
            let (name, length) = (name.to_owned(), name.len());
            let limit = name_limit;
            return Err(LimitError::NameLength { metric: metric(), name, length, limit });
        }
        if value_limit > 0 && value.len() > value_limit {
            let (name, length) = (name.to_owned(), value.len());
            let (value, limit) = (value.to_owned(), value_limit);
            return Err(LimitError::ValueLength { metric: metric(), name, value, length, limit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_has_its_message() {
        let labels = Labels::from_pairs([("__name__", "m"), ("abc", "d\"efg")]).unwrap();
        let none = ScrapeLimits::default();
        assert_eq!(check(&labels, &none), Ok(()));
        let cases = [
            (
                ScrapeLimits { label_count: 1, ..none },
                "label_limit exceeded (metric: m, number of labels: 2, limit: 1)",
            ),
            (
                ScrapeLimits { label_name_bytes: 7, ..none },
                "label_name_length_limit exceeded (metric: m, label name: __name__, length: 8, \
                 limit: 7)",
            ),
            (
                ScrapeLimits { label_value_bytes: 4, ..none },
                "label_value_length_limit exceeded (metric: m, label name: abc, \
                 value: \"d\\\"efg\", length: 5, limit: 4)",
            ),
        ];
        for (limits, expected) in cases {
            assert_eq!(check(&labels, &limits).unwrap_err().to_string(), expected);
        }
        let enough = ScrapeLimits {
            label_count: 2,
            label_name_bytes: 8,
            label_value_bytes: 5,
            ..ScrapeLimits::default()
        };
        assert_eq!(check(&labels, &enough), Ok(()));
    }
}
