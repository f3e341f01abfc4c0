//! Rules that rewrite label sets.

use crate::model::relabel::{Action, Relabel, RelabelError, Rule};

use super::read::{At, Fields, Read};
use super::tree::Kind;

pub(super) fn list(at: &At<'_>) -> Read<Vec<Relabel>> {
    at.list(|at| rule(at).map(|(_, relabel)| relabel))
}

/// As they are written, all of them sound.
pub(super) fn written(at: &At<'_>) -> Read<Vec<Rule>> {
    at.list(|at| rule(at).map(|(rule, _)| rule))
}

fn rule(at: &At<'_>) -> Read<(Rule, Relabel)> {
    if matches!(at.node.kind, Kind::Null) {
        return Err(at.fail("empty or null relabeling rule"));
    }
    let mut fields = Fields::of(at)?;
    let action = fields.read("action", |at| {
        Action::try_from(at.string()?).map_err(|error| at.fail(error.to_string()))
    })?;
    let regex = fields.written("regex");
    let rule = Rule {
        source_labels: fields.read("source_labels", |at| at.list(At::string))?,
        separator: fields.written("separator").map(|at| at.text_or_empty()).transpose()?,
        regex: regex.map(|at| at.text_or_empty().map(Some)).transpose()?,
        modulus: fields.read("modulus", At::unsigned)?,
        target_label: fields.read("target_label", At::string)?,
        replacement: fields.written("replacement").map(|at| at.text_or_empty()).transpose()?,
        action: action.unwrap_or_default(),
    };
    fields.finish()?;
    let relabel = Relabel::try_from(rule.clone()).map_err(|error| match (&error, regex) {
        (RelabelError::Regex(_), Some(at)) => at.fail(error.to_string()),
        _ => at.fail(error.to_string()),
    })?;
    Ok((rule, relabel))
}
