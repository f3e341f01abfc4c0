//! A group of targets, and its text in files and answers.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::Labels;

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetGroup {
    /// The labels of each target, its address among them.
    pub(crate) targets: Vec<Labels>,
    /// Labels of all of them.
    pub(crate) labels: Labels,
}

/// `[{targets: […], labels: {…}}]`, as files and servers write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupText {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl TargetGroup {
    pub(crate) fn of(addresses: &[String], labels: Labels) -> Self {
        let own = |address: &String| Labels::empty().with("__address__", address);
        Self { targets: addresses.iter().map(own).collect(), labels }
    }
}

impl GroupText {
    /// The group, with one more label that tells where it was found.
    pub(super) fn group(self, name: &str, place: &str) -> Result<TargetGroup, String> {
        let labels = Labels::from_pairs(self.labels.unwrap_or_default());
        let labels = labels.map_err(|error| error.to_string())?;
        Ok(TargetGroup::of(&self.targets, labels.with(name, place)))
    }
}
