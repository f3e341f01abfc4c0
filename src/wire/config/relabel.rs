//! Rules that rewrite label sets, as they are written.

use crate::model::regex::Regex;

use super::read::{At, Fields, Read};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelabelText {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: String,
    /// What the joined value must look like.
    pub regex: String,
    /// For `hashmod`.
    pub modulus: u64,
    /// The label that is set or compared.
    pub target_label: String,
    /// What it is set to.
    pub replacement: String,
    /// What is done, in lower case.
    pub action: String,
}

const ACTIONS: [&str; 11] = [
    "dropequal",
    "drop",
    "hashmod",
    "keep",
    "keepequal",
    "labeldrop",
    "labelkeep",
    "labelmap",
    "lowercase",
    "replace",
    "uppercase",
];

pub(super) fn list(at: &At<'_>) -> Read<Vec<RelabelText>> {
    at.list(rule)
}

fn rule(at: &At<'_>) -> Read<RelabelText> {
    let mut fields = Fields::of(at)?;
    let action = fields.read("action", |at| {
        let action = at.text()?.to_lowercase();
        if ACTIONS.contains(&action.as_str()) {
            return Ok(action);
        }
        let known = ACTIONS.join(", ");
        Err(at.fail(format!("unknown relabel action {:?}, expected one of {known}", at.text()?)))
    })?;
    let regex = fields.read("regex", |at| {
        let regex = at.text()?;
        Regex::anchored(regex).map_err(|error| at.fail(error.to_string()))?;
        Ok(regex.to_owned())
    })?;
    let rule = RelabelText {
        source_labels: fields.read("source_labels", |at| at.list(At::string))?.unwrap_or_default(),
        separator: fields.read("separator", At::string)?.unwrap_or_else(|| ";".into()),
        regex: regex.unwrap_or_else(|| "(.*)".into()),
        modulus: fields.read("modulus", At::unsigned)?.unwrap_or_default(),
        target_label: fields.read("target_label", At::string)?.unwrap_or_default(),
        replacement: fields.read("replacement", At::string)?.unwrap_or_else(|| "$1".into()),
        action: action.unwrap_or_else(|| "replace".into()),
    };
    fields.finish()?;
    check(&rule).map_err(|what| at.fail(what))?;
    Ok(rule)
}

/// Refuses what Prometheus refuses, in its words.
fn check(rule: &RelabelText) -> Result<(), String> {
    let action = rule.action.as_str();
    if action == "hashmod" && rule.modulus == 0 {
        return Err("relabel configuration for hashmod requires non-zero modulus".into());
    }
    let writes = ["replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal"];
    if writes.contains(&action) && rule.target_label.is_empty() {
        return Err(format!(
            "relabel configuration for {action} action requires 'target_label' value"
        ));
    }
    let plain = rule.modulus == 0 && rule.separator == ";" && rule.replacement == "$1";
    let by_regex_only = ["labeldrop", "labelkeep"].contains(&action);
    if by_regex_only && !(plain && rule.source_labels.is_empty() && rule.target_label.is_empty()) {
        return Err(format!("{action} action requires only 'regex', and no other fields"));
    }
    if ["keepequal", "dropequal"].contains(&action) && !(plain && rule.regex == "(.*)") {
        return Err(format!(
            "{action} action requires only 'source_labels' and 'target_label', and no other fields"
        ));
    }
    if ["lowercase", "uppercase"].contains(&action) && rule.replacement != "$1" {
        return Err(format!("'replacement' can not be set for {action} action"));
    }
    if action == "labelmap" && rule.replacement.is_empty() {
        return Err("\"\" is invalid 'replacement' for labelmap action".into());
    }
    Ok(())
}
