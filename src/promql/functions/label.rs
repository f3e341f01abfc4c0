//! Functions that change labels and leave samples alone.

use std::sync::Arc;

use crate::model::regex::Regex;
use crate::model::{Labels, METRIC_NAME};
use crate::promql::engine::EngineError;

/// A change of one label, computed from others.
#[derive(Debug, Clone)]
pub(crate) enum LabelChange {
    /// `label_replace`
    Replace { target: Arc<str>, template: Arc<str>, source: Arc<str>, regex: Regex },
    /// `label_join`
    Join { target: Arc<str>, separator: Arc<str>, sources: Vec<Arc<str>> },
}

impl LabelChange {
    /// `label_replace(vector, target, template, source, regex)` without its vector.
    pub(crate) fn replace(args: &[Arc<str>]) -> Result<Self, EngineError> {
        let [target, template, source, pattern] = args else {
            return Err(EngineError::Invalid("label_replace() lacks arguments".into()));
        };
        let regex = Regex::anchored(pattern).map_err(|_| {
            let text = format!("invalid regular expression in label_replace(): {pattern}");
            EngineError::Execution(text)
        })?;
        check_target(target, "label_replace")?;
        let (target, template) = (Arc::clone(target), Arc::clone(template));
        Ok(Self::Replace { target, template, source: Arc::clone(source), regex })
    }

    /// `label_join(vector, target, separator, sources…)` without its vector.
    pub(crate) fn join(args: &[Arc<str>]) -> Result<Self, EngineError> {
        let [target, separator, sources @ ..] = args else {
            return Err(EngineError::Invalid("label_join() lacks arguments".into()));
        };
        if sources.iter().any(|source| source.is_empty()) {
            let text = "invalid source label name in label_join(): ";
            return Err(EngineError::Execution(text.into()));
        }
        check_target(target, "label_join")?;
        let (target, separator) = (Arc::clone(target), Arc::clone(separator));
        Ok(Self::Join { target, separator, sources: sources.to_vec() })
    }

    /// The label set after the change; `None` if the change does not apply to it.
    pub(crate) fn apply(&self, labels: &Labels) -> Option<Labels> {
        match self {
            Self::Replace { target, template, source, regex } => {
                let value = labels.get(source).unwrap_or_default();
                regex.replace(value, template).map(|value| labels.with(target, &value))
            }
            Self::Join { target, separator, sources } => {
                let values: Vec<_> =
                    sources.iter().map(|name| labels.get(name).unwrap_or_default()).collect();
                Some(labels.with(target, &values.join(separator)))
            }
        }
    }

    /// True if the change gives the series a new name, which is then not to be dropped.
    pub(crate) fn sets_name(&self) -> bool {
        let (Self::Replace { target, .. } | Self::Join { target, .. }) = self;
        &**target == METRIC_NAME
    }
}

fn check_target(target: &str, function: &str) -> Result<(), EngineError> {
    if target.is_empty() {
        let text = format!("invalid destination label name in {function}(): {target}");
        return Err(EngineError::Execution(text));
    }
    Ok(())
}
