//! From the body of a request to samples in the store.

use crate::model::{LabelsRef, METRIC_NAME};
use crate::series::{Append, AppendError, Batch, OnReject, SeriesRef, Verdict};
use crate::wire::remote_write::snappy::{self, SnappyError};
use crate::wire::remote_write::v1;

use super::ReceiveOptions;
use super::budget::Bench;
use super::receiver::{Desk, Refusal};

const TOO_FAR: &str = "out of bounds: timestamp is too far in the future";

/// Stores the samples of the request in `bench.body`, all or none.
///
/// What cannot be stored for reasons of its own (faulty labels, as with Prometheus; labels over a
/// limit; new series over a limit of the store) does not keep the rest out. For the latter two the
/// answer is a refusal all the same, so that the sender tells its user.
pub(super) fn store(desk: &Desk, bench: &mut Bench, into: &dyn Append) -> Result<(), Refusal> {
    let Bench { body, message, decoder, batch } = bench;
    let limit_bytes = desk.options.request_bytes_max;
    desk.metrics.body_bytes.add(body.len() as u64);
    snappy::decode(body, limit_bytes, message).map_err(|error| match error {
        SnappyError::TooLarge { .. } => {
            Refusal::new(400, format!("decoded size exceeds the {limit_bytes} bytes limit"))
        }
        // Prometheus names the library that unpacks.
        SnappyError::Corrupt(_) => Refusal::new(400, "s2: corrupt input"),
    })?;
    desk.metrics.message_bytes.add(message.len() as u64);
    let left_out = fill(desk, message, decoder, batch)?;
    let over_series_limit = append(desk, batch, into)?;
    let is_partial = batch.verdicts().iter().any(|verdict| verdict.is_accepted());
    match left_out.or(over_series_limit) {
        Some(text) => Err(Refusal { status: 400, text, is_partial }),
        None => Ok(()),
    }
}

/// Decodes the message into the batch. Answers why something was left out that the sender should
/// know of.
fn fill(
    desk: &Desk,
    message: &[u8],
    decoder: &mut v1::Decoder,
    batch: &mut Batch,
) -> Result<Option<String>, Refusal> {
    let latest_ms = desk.clock.now_ms().saturating_add(desk.options.future_ms);
    let mut left_out = None;
    let mut too_far = false;
    let decoded = decoder.decode(message, |series| {
        let labels = match series.labels {
            Ok(labels) => labels,
            Err(fault) => {
                tracing::debug!(%fault, "a received series was skipped");
                return;
            }
        };
        if let Some(text) = over_limit(&desk.options, labels) {
            desk.metrics.over_limit_series.inc();
            left_out.get_or_insert(text);
            return;
        }
        if series.is_empty() {
            return;
        }
        too_far |= series.samples.iter().any(|sample| sample.timestamp_ms > latest_ms);
        too_far |= series.histograms.timestamps.iter().any(|time_ms| *time_ms > latest_ms);
        batch.push_series(SeriesRef::UNKNOWN, labels);
        series.push_to(batch);
    });
    let contents = decoded.map_err(|error| Refusal::new(400, error.to_string()))?;
    let metrics = &desk.metrics;
    if contents.faulty_series > 0 {
        metrics.invalid_label_series.add(contents.faulty_series as u64);
        tracing::warn!(series = contents.faulty_series, "received series with invalid labels");
    }
    if too_far {
        metrics.reject_future(batch.sample_count());
        return Err(Refusal::new(400, TOO_FAR));
    }
    Ok(left_out)
}

/// Hands the batch to the store. Answers in which words new series were refused, if some were.
fn append(desk: &Desk, batch: &mut Batch, into: &dyn Append) -> Result<Option<String>, Refusal> {
    if batch.sample_count() == 0 && batch.exemplars().is_empty() {
        return Ok(None);
    }
    let outcome = into.append(batch, OnReject::RejectAll).map_err(|error| {
        let status = match error {
            AppendError::TooManySeries { .. } => 429,
            AppendError::Unavailable(_) => 503,
            _ => 500,
        };
        Refusal::new(status, error.to_string())
    })?;
    let metrics = &desk.metrics;
    let is_over_limit = |verdict: &Verdict| *verdict == Verdict::SeriesLimit;
    let over_limit = batch.verdicts().iter().filter(|verdict| is_over_limit(verdict)).count();
    let others = outcome.rejected.saturating_sub(over_limit);
    if outcome.accepted == 0 && others > 0 {
        metrics.reject(batch.verdicts());
        return Err(Refusal::new(400, rejection(batch)));
    }
    let exemplars = batch.exemplars().len();
    metrics.accepted.add(outcome.accepted as u64);
    metrics.exemplars.add(exemplars.saturating_sub(outcome.rejected_exemplars) as u64);
    metrics.exemplars_rejected.add(outcome.rejected_exemplars as u64);
    if others > 0 {
        // Samples that only conflict with others of the same request do not fail it, as with
        // Prometheus; the store has left them out.
        metrics.conflicting.add(others as u64);
        let series = first_rejected(batch, |verdict| !is_over_limit(verdict));
        let series = series.map(|rejected| batch.labels(rejected.series));
        tracing::warn!(samples = others, ?series, "a request conflicts with itself");
    }
    metrics.series_limit.add(over_limit as u64);
    Ok(first_rejected(batch, is_over_limit).map(|first| {
        let (limit, series) = (Verdict::SeriesLimit, batch.labels(first.series));
        tracing::warn!(samples = over_limit, ?series, "new series are over a limit");
        format!("{limit}: {over_limit} samples of new series were not stored, such as of {series}")
    }))
}

/// Where the first sample that was refused stands in the batch.
struct Rejected {
    series: usize,
    sample: usize,
    verdict: Verdict,
}

fn first_rejected(batch: &Batch, wanted: impl Fn(&Verdict) -> bool) -> Option<Rejected> {
    let is_rejected = |verdict: &Verdict| !verdict.is_accepted() && wanted(verdict);
    let sample = batch.verdicts().iter().position(is_rejected)?;
    let verdict = *batch.verdicts().get(sample)?;
    let holds = |series: &usize| batch.sample_range(*series).contains(&sample);
    let series = (0..batch.series_count()).find(holds)?;
    Some(Rejected { series, sample, verdict })
}

/// Prometheus's text for the first sample that was refused. It does not name the series, so the
/// log does.
fn rejection(batch: &Batch) -> String {
    let is_reason = |verdict: &Verdict| *verdict != Verdict::SeriesLimit;
    let Some(Rejected { series, sample, verdict }) = first_rejected(batch, is_reason) else {
        return Verdict::OutOfBounds.to_string();
    };
    let timestamp_ms = batch.samples().get(sample).map_or(0, |sample| sample.timestamp_ms);
    let series = batch.labels(series);
    tracing::warn!(%verdict, ?series, timestamp_ms, "a received sample was refused");
    match verdict {
        Verdict::DuplicateTimestamp => {
            format!("{verdict} {timestamp_ms}; overrides not allowed")
        }
        verdict => verdict.to_string(),
    }
}

/// The text of a refusal in the manner of Prometheus's limits for scrapes.
fn over_limit(options: &ReceiveOptions, labels: LabelsRef<'_>) -> Option<String> {
    let (count_max, name_max, value_max) =
        (options.labels_max, options.label_name_bytes_max, options.label_value_bytes_max);
    if count_max == 0 && name_max == 0 && value_max == 0 {
        return None;
    }
    let metric = || shortened(labels.get(METRIC_NAME).unwrap_or_default());
    let count = labels.iter().count();
    if count_max > 0 && count > count_max {
        return Some(format!(
            "label_limit exceeded (metric: {}, number of labels: {count}, limit: {count_max})",
            metric()
        ));
    }
    labels.iter().find_map(|(name, value)| {
        let short_name = shortened(name);
        if name_max > 0 && name.len() > name_max {
            let length = name.len();
            return Some(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {short_name}, \
                 length: {length}, limit: {name_max})",
                metric()
            ));
        }
        if value_max > 0 && value.len() > value_max {
            let (length, value) = (value.len(), shortened(value));
            return Some(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {short_name}, \
                 value: {value:?}, length: {length}, limit: {value_max})",
                metric()
            ));
        }
        None
    })
}

/// The first 50 characters.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(50).map_or(text.len(), |(index, _)| index);
    text.get(..end).unwrap_or(text)
}
