//! Functions that change labels and leave samples alone.

use std::sync::Arc;

use crate::base::quote::quoted;
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
    pub(crate) fn replace(args: &[Arc<[u8]>]) -> Result<Self, EngineError> {
        let [target, template, source, pattern] = args else {
            return Err(EngineError::Invalid("label_replace() lacks arguments".into()));
        };
        let regex = std::str::from_utf8(pattern).ok().and_then(|text| Regex::anchored(text).ok());
        let Some(regex) = regex else {
            let pattern = String::from_utf8_lossy(pattern);
            let text = format!("invalid regular expression in label_replace(): {pattern}");
            return Err(EngineError::Execution(text));
        };
        let target = label_name(target, "destination", "label_replace")?;
        Ok(Self::Replace { target, template: utf8(template)?, source: utf8(source)?, regex })
    }

    /// `label_join(vector, target, separator, sources…)` without its vector.
    pub(crate) fn join(args: &[Arc<[u8]>]) -> Result<Self, EngineError> {
        let [target, separator, sources @ ..] = args else {
            return Err(EngineError::Invalid("label_join() lacks arguments".into()));
        };
        let source = |name: &Arc<[u8]>| label_name(name, "source", "label_join");
        let sources = sources.iter().map(source).collect::<Result<_, _>>()?;
        let target = label_name(target, "destination", "label_join")?;
        Ok(Self::Join { target, separator: utf8(separator)?, sources })
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

/// A name that a label may have: UTF-8, and not empty.
fn label_name(name: &[u8], role: &str, function: &str) -> Result<Arc<str>, EngineError> {
    match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() => Ok(name.into()),
        _ => {
            let name = String::from_utf8_lossy(name);
            let text = format!("invalid {role} label name in {function}(): {name}");
            Err(EngineError::Execution(text))
        }
    }
}

/// A text that becomes part of a label. Labels are UTF-8.
pub(crate) fn utf8(text: &[u8]) -> Result<Arc<str>, EngineError> {
    std::str::from_utf8(text).map(Arc::from).map_err(|_| {
        let shown = quoted(text);
        EngineError::Execution(format!("labels are UTF-8, which {shown} is not"))
    })
}
