//! `/status/…`: what this server is and what it holds.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::hub::metrics::API_VERSION;
use crate::hub::service::{Service, Store};
use crate::model::METRIC_NAME;
use crate::series::{Select, TimeRange};

use super::answer::{ApiError, Notes, success};
use super::form::Form;
use super::{json, params};

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// What the storage holds in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::hub) struct HeadStatus {
    pub(in crate::hub) series: u64,
    pub(in crate::hub) chunks: u64,
    /// First and last time of its samples.
    pub(in crate::hub) span: Option<TimeRange>,
}

/// Clients such as Grafana choose what to send by the version in it.
pub(in crate::hub) fn build_info() -> String {
    format!(
        "{{\"version\":\"{API_VERSION}\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\
         \"buildDate\":\"\",\"goVersion\":\"\"}}"
    )
}

pub(super) fn build() -> String {
    success(&Notes::default(), |out| out.push_str(&build_info()))
}

/// Counts of series, and which names and values have most of them.
pub(super) async fn tsdb(
    service: &Arc<Service>,
    store: Arc<Store>,
    form: &Form,
) -> Result<String, ApiError> {
    let limit = limit(form.get("limit"))?;
    let work = move |_| {
        let head = (store.status)();
        // Prometheus's words for "nothing yet".
        let span = head.span.unwrap_or(TimeRange::new(i64::MAX, i64::MIN));
        let set = store.local.select(&Select::new(Vec::new(), span))?;
        let mut census = Census::default();
        for series in &set.series {
            census.count(series.labels().iter());
        }
        Ok(success(&Notes::default(), |out| census.write(out, head, span, limit)))
    };
    service.lookups.run(PATIENCE, work).await
}

fn limit(text: &str) -> Result<usize, ApiError> {
    if text.is_empty() {
        return Ok(LIMIT_DEFAULT);
    }
    let limit = params::integer(text).ok().and_then(|limit| usize::try_from(limit).ok());
    match limit {
        None | Some(0) => Err(ApiError::bad_data("limit must be a positive number".into())),
        Some(limit) if limit > LIMIT_MAX => {
            Err(ApiError::bad_data(format!("limit must not exceed {LIMIT_MAX}")))
        }
        Some(limit) => Ok(limit),
    }
}

/// Series by label name and value.
#[derive(Default)]
struct Census(BTreeMap<String, HashMap<String, u64>>);

impl Census {
    fn count<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        for (name, value) in pairs {
            if !self.0.contains_key(name) {
                self.0.insert(name.to_owned(), HashMap::new());
            }
            let Some(values) = self.0.get_mut(name) else { continue };
            match values.get_mut(value) {
                Some(count) => *count += 1,
                None => drop(values.insert(value.to_owned(), 1)),
            }
        }
    }

    fn write(&self, out: &mut String, head: HeadStatus, span: TimeRange, limit: usize) {
        let pairs: usize = self.0.values().map(HashMap::len).sum();
        let HeadStatus { series, chunks, .. } = head;
        let TimeRange { start_ms, end_ms } = span;
        // Writing to a `String` cannot fail.
        let _ = write!(
            out,
            "{{\"headStats\":{{\"numSeries\":{series},\"numLabelPairs\":{pairs},\
             \"chunkCount\":{chunks},\"minTime\":{start_ms},\"maxTime\":{end_ms}}}"
        );
        let names = self.0.get(METRIC_NAME).into_iter().flatten();
        let metrics = names.map(|(name, count)| (name.clone(), *count));
        top(out, "seriesCountByMetricName", metrics.collect(), limit);
        let values = self.0.iter().map(|(name, values)| (name.clone(), values.len() as u64));
        top(out, "labelValueCountByLabelName", values.collect(), limit);
        // A byte for the length of each text.
        let bytes = |name: &str, values: &HashMap<String, u64>| {
            values.iter().map(|(value, count)| (name.len() + value.len() + 2) as u64 * count).sum()
        };
        let memory = self.0.iter().map(|(name, values)| (name.clone(), bytes(name, values)));
        top(out, "memoryInBytesByLabelName", memory.collect(), limit);
        let pair = |name: &str, value: &str| format!("{name}={value}");
        let pairs = self.0.iter().flat_map(|(name, values)| {
            values.iter().map(move |(value, count)| (pair(name, value), *count))
        });
        top(out, "seriesCountByLabelValuePair", pairs.collect(), limit);
        out.push('}');
    }
}

/// The largest, then by name.
fn top(out: &mut String, field: &str, mut rows: Vec<(String, u64)>, limit: usize) {
    rows.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rows.truncate(limit);
    let _ = write!(out, ",\"{field}\":");
    json::list(out, &rows, |out, (name, count)| {
        out.push_str("{\"name\":");
        json::html_safe_text(out, name);
        let _ = write!(out, ",\"value\":{count}}}");
    });
}
