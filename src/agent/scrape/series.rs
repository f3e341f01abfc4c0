//! Which labels does a series get that stands on a target's page?

use std::fmt;

use crate::model::relabel::relabel;
use crate::model::{LabelError, Labels, LabelsBuf, METRIC_NAME};
use crate::wire::config::ScrapeConfig;
use crate::wire::exposition::text::{RawSample, each_label};

const EXPORTED: &str = "exported_";

/// A series that cannot be stored; the texts are Prometheus's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SeriesError {
    NoName,
    InvalidName(String),
    Labels(LabelError),
}

impl fmt::Display for SeriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => write!(f, "missing metric name ({METRIC_NAME} label)"),
            Self::InvalidName(labels) => write!(f, "invalid metric name or label names: {labels}"),
            Self::Labels(error) => write!(f, "{error}: invalid sample"),
        }
    }
}

/// The labels of the page, those of the target and the job's rules together. Nothing if the rules
/// drop the series.
pub(super) fn final_labels(
    sample: RawSample<'_>,
    target: &Labels,
    config: &ScrapeConfig,
    buffer: &mut LabelsBuf,
) -> Result<Option<Labels>, SeriesError> {
    let mut exposed: Vec<(String, String)> = Vec::new();
    each_label(sample.series, sample.kind, |name, value| {
        exposed.push((name.to_owned(), value.to_owned()));
    });
    buffer.clear();
    if config.honor_labels {
        honor(&exposed, target, buffer);
    } else {
        rename(exposed, target, buffer);
    }
    let labels = buffer.finish().map_err(SeriesError::Labels)?.to_labels();
    let Some(labels) = relabel(&config.metric_relabel, &labels) else { return Ok(None) };
    if labels.is_empty() {
        return Ok(None);
    }
    if labels.metric_name().is_none() {
        return Err(SeriesError::NoName);
    }
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err(SeriesError::InvalidName(labels.to_string()));
    }
    Ok(Some(labels))
}

/// The page's labels win, even empty ones.
fn honor(exposed: &[(String, String)], target: &Labels, buffer: &mut LabelsBuf) {
    for (name, value) in exposed {
        buffer.push(name, value);
    }
    for (name, value) in target.iter() {
        if !exposed.iter().any(|pair| pair.0 == name) {
            buffer.push(name, value);
        }
    }
}

/// The target's labels win; those of the page that they hide are kept under another name.
fn rename(mut exposed: Vec<(String, String)>, target: &Labels, buffer: &mut LabelsBuf) {
    let is_hidden = |pair: &(String, String)| target.get(&pair.0).is_some();
    let (mut hidden, mut kept): (Vec<_>, Vec<_>) = exposed.drain(..).partition(is_hidden);
    hidden.retain(|pair| !pair.1.is_empty());
    hidden.sort_by_key(|pair| pair.0.len());
    for (name, value) in hidden {
        let mut name = format!("{EXPORTED}{name}");
        let is_taken = |name: &str, kept: &[(String, String)]| {
            target.get(name).is_some()
                || kept.iter().any(|pair| pair.0 == name && !pair.1.is_empty())
        };
        while is_taken(&name, &kept) {
            name.insert_str(0, EXPORTED);
        }
        kept.retain(|pair| pair.0 != name);
        kept.push((name, value));
    }
    for (name, value) in kept.iter().map(|pair| (&*pair.0, &*pair.1)).chain(target.iter()) {
        buffer.push(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::scrape::test_job;
    use crate::model::MetricKind;

    fn made(job: &str, series: &str, target: &[(&str, &str)]) -> String {
        let target = Labels::from_pairs(target.iter().copied()).unwrap();
        let sample =
            RawSample { series, value: 0.0, timestamp_ms: None, kind: MetricKind::Unknown };
        match final_labels(sample, &target, &test_job(job), &mut LabelsBuf::new()) {
            Ok(Some(labels)) => labels.to_string(),
            Ok(None) => "dropped".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn colliding_labels_are_renamed() {
        let cases = [
            ("m{a=\"1\"}", r#"{__name__="m", a="1", job="j"}"#),
            ("m{job=\"x\"}", r#"{__name__="m", exported_job="x", job="j"}"#),
            ("m{job=\"\"}", r#"{__name__="m", job="j"}"#),
            (
                "m{job=\"x\",exported_job=\"y\"}",
                r#"{__name__="m", exported_exported_job="x", exported_job="y", job="j"}"#,
            ),
            ("m{job=\"x\",exported_job=\"\"}", r#"{__name__="m", exported_job="x", job="j"}"#),
        ];
        for (series, expected) in cases {
            assert_eq!(made("job_name: a", series, &[("job", "j")]), expected, "{series}");
        }
        let target = [("job", "j"), ("exported_job", "e")];
        assert_eq!(
            made("job_name: a", "m{job=\"x\",exported_job=\"y\"}", &target),
            "{__name__=\"m\", exported_exported_exported_job=\"y\", \
             exported_exported_job=\"x\", exported_job=\"e\", job=\"j\"}"
        );
    }

    #[test]
    fn honored_labels_win_even_when_empty() {
        let job = "{job_name: a, honor_labels: true}";
        let target = [("job", "j"), ("b", "c")];
        assert_eq!(made(job, "m{job=\"x\"}", &target), r#"{__name__="m", b="c", job="x"}"#);
        assert_eq!(made(job, "m{job=\"\"}", &target), r#"{__name__="m", b="c"}"#);
    }

    #[test]
    fn rules_drop_and_rename() {
        let job = "job_name: a
metric_relabel_configs:
  - {source_labels: [__name__], regex: go_.*, action: drop}
  - {source_labels: [__name__], regex: bad, target_label: __name__, replacement: ''}
  - {regex: tmp_.*, action: labeldrop}
";
        assert_eq!(made(job, "go_x", &[("job", "j")]), "dropped");
        assert_eq!(made(job, "m{tmp_a=\"b\"}", &[]), r#"{__name__="m"}"#);
        assert_eq!(made(job, "bad", &[("job", "j")]), "missing metric name (__name__ label)");
    }

    #[test]
    fn a_label_twice_is_refused() {
        assert_eq!(
            made("job_name: a", "m{a=\"1\",a=\"2\"}", &[]),
            "label name \"a\" is not unique: invalid sample"
        );
    }
}
