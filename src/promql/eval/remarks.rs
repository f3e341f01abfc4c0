//! Notes about histograms.

use crate::base::quote::quoted;
use crate::model::histogram::float::NanInfluence;
use crate::promql::ast::Span;
use crate::promql::functions::Findings;
use crate::promql::notes::{Detail, Note};

/// What histograms were put together for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// Counters that began anew and others that did not.
pub(super) fn collision(span: Span, operation: Operation) -> Note {
    let text = "conflicting counter resets during histogram";
    Note::warning(span, format!("{text} {}", operation.name()))
}

/// Listed bounds were dropped.
pub(super) fn reconciled(span: Span, operation: Operation) -> Note {
    let text = "mismatched custom buckets were reconciled during";
    Note::info(span, format!("{text} {}", operation.name()))
}

/// Exponential and listed bounds of one metric.
pub(super) fn incompatible_schemas(span: Span, metric: &str) -> Note {
    let text = "vector contains a mix of histograms with exponential and custom buckets schemas \
                for metric name";
    Note::warning(span, format!("{text} {}", quoted(metric)))
}

/// Floats and histograms in one aggregation.
pub(super) fn mixed_aggregation(span: Span) -> Note {
    Note::warning(span, "encountered a mix of histograms and floats for aggregation")
}

/// Floats and histograms of one metric.
pub(super) fn mixed_metric(span: Span, metric: &str) -> Note {
    let text = "encountered a mix of histograms and floats for metric name";
    Note::warning(span, format!("{text} {}", quoted(metric)))
}

/// An aggregation that has no use for histograms.
pub(super) fn ignored_in(span: Span, aggregation: &str) -> Note {
    Note::info(span, format!("ignored histogram in {aggregation} aggregation"))
}

/// An operator between values of kinds that it does not know.
pub(super) fn incompatible_types(span: Span, kinds: (&str, &str), op: &str) -> Note {
    let (left, right) = kinds;
    let text = "incompatible sample types encountered for binary operator";
    Note::info(span, format!("{text} \"{op}\": {left} {op} {right}"))
}

/// An operator between exponential and listed bounds.
pub(super) fn incompatible_layouts(span: Span, op: &str) -> Note {
    let text = "incompatible bucket layout encountered for binary operator";
    Note::warning(span, format!("{text} {op}"))
}

/// Classic and native histograms of one name.
pub(super) fn classic_and_native(span: Span, metric: Option<&str>) -> Note {
    let text = "vector contains a mix of classic and native histograms";
    Note::warning(span, format!("{text}{}", of_metric(metric)))
}

/// Observations of NaN.
pub(super) fn nan_observed(span: Span, influence: NanInfluence, metric: Option<&str>) -> Note {
    let text = match influence {
        NanInfluence::Result => "input to histogram_quantile has NaN observations, result is NaN",
        NanInfluence::Skew => {
            "input to histogram_quantile has NaN observations, result is skewed higher"
        }
        NanInfluence::Excluded => {
            "input to histogram_fraction has NaN observations, which are excluded from all \
             fractions"
        }
    };
    Note::info(span, format!("{text}{}", of_metric(metric)))
}

/// Samples that overlap by their starts, in so many windows.
pub(super) fn overlapping(span: Span, metric: &str, windows: u64) -> Note {
    let text = format!(
        "sample has start time that overlaps with previous sample timestamp for metric {}",
        quoted(metric)
    );
    Note { detail: Detail::Occurrences(windows), ..Note::warning(span, text) }
}

/// ` for metric name "…"` if there is one.
pub(super) fn of_metric(metric: Option<&str>) -> String {
    match metric.filter(|name| !name.is_empty()) {
        Some(name) => format!(" for metric name {}", quoted(name)),
        None => String::new(),
    }
}

/// The notes about the windows of one series. `first` is the place of the function's first
/// argument.
pub(super) fn of_windows(
    findings: Findings,
    (span, first): (Span, Span),
    metric: &str,
) -> Vec<Note> {
    let name = quoted(metric);
    let mut notes = Vec::new();
    let mut add = |is_found: bool, note: &dyn Fn() -> Note| {
        if is_found {
            notes.push(note());
        }
    };
    add(findings.mixed, &|| mixed_metric(span, metric));
    add(findings.incompatible, &|| incompatible_schemas(span, metric));
    add(findings.not_counter, &|| {
        Note::warning(span, format!("this native histogram metric is not a counter: {name}"))
    });
    add(findings.not_gauge, &|| {
        Note::warning(span, format!("this native histogram metric is not a gauge: {name}"))
    });
    add(findings.collides, &|| collision(span, Operation::Aggregation));
    add(findings.added, &|| reconciled(span, Operation::Addition));
    add(findings.subtracted, &|| reconciled(span, Operation::Subtraction));
    add(findings.aggregated, &|| reconciled(span, Operation::Aggregation));
    add(findings.overlapping > 0, &|| overlapping(span, metric, findings.overlapping));
    add(findings.ignored, &|| {
        let text = "ignored histograms in a range containing both floats and histograms for \
                    metric name";
        Note::info(first, format!("{text} {name}"))
    });
    notes
}
