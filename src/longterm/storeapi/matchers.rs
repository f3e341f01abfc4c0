//! Conditions on the wire.

use crate::model::{Labels, MatchOp, Matcher};

use super::messages::{Label, LabelMatcher, LabelSet};
use super::refusal::Refusal;

/// Reads the conditions of a request.
///
/// # Errors
/// An operator that does not exist, or a regex that Go would refuse.
pub(super) fn read(conditions: &[LabelMatcher]) -> Result<Vec<Matcher>, Refusal> {
    let read = |one: &LabelMatcher| {
        let op = match one.kind {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            other => return Err(Refusal::Invalid(format!("unknown matcher type {other}"))),
        };
        Matcher::new(&one.name, op, &one.value)
            .map_err(|error| Refusal::Invalid(format!("matcher of label {:?}: {error}", one.name)))
    };
    conditions.iter().map(read).collect()
}

/// Writes conditions for a request.
pub(super) fn write(matchers: &[Matcher]) -> Vec<LabelMatcher> {
    let write = |matcher: &Matcher| LabelMatcher {
        kind: match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        },
        name: matcher.name().to_owned(),
        value: matcher.value().to_owned(),
    };
    matchers.iter().map(write).collect()
}

/// True if a source whose series all carry `labels` has no series that satisfies every condition.
pub(super) fn exclude(matchers: &[Matcher], labels: &Labels) -> bool {
    let excludes =
        |matcher: &Matcher| labels.get(matcher.name()).is_some_and(|value| !matcher.matches(value));
    matchers.iter().any(excludes)
}

/// True if some condition is on a label that `labels` does not have.
pub(super) fn ask_beyond(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().any(|matcher| labels.get(matcher.name()).is_none())
}

pub(super) fn write_labels(labels: &Labels) -> LabelSet {
    let write = |(name, value): (&str, &str)| Label { name: name.into(), value: value.into() };
    LabelSet { labels: labels.iter().map(write).collect() }
}
