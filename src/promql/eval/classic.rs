//! Classic histograms: series with a label `le` that are buckets of one another.

use crate::base::gonum::parse_float;
use crate::base::quote::quoted;
use crate::model::{Labels, LabelsBuf};
use crate::promql::ast::Span;
use crate::promql::engine::EngineError;
use crate::promql::functions::{Buckets, Repair};
use crate::promql::notes::{Detail, Note, Severity};
use crate::promql::plan::{Node, Steps};

use super::aggregate::LabelIndex;
use super::call::bad_quantile;
use super::operator::{Bound, Head, Operator, Work, without_metadata};
use super::run::Run;
use super::{StepColumn, bind as bind_node, scalar};

const BUCKET_BOUND: &str = "le";

/// `histogram_quantile(quantile, vector)`
pub(super) fn quantile<'r>(
    run: &'r Run<'r>,
    quantile: &'r Node,
    vector: &'r Node,
    steps: Steps,
) -> Bound<'r> {
    let quantiles = scalar(run, quantile)?;
    for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        run.note(bad_quantile(*q, quantile.span));
    }
    bind(run, vector, steps, Wanted::Quantile(quantiles))
}

/// `histogram_fraction(lower, upper, vector)`
pub(super) fn fraction<'r>(
    run: &'r Run<'r>,
    bounds: &'r [Node; 2],
    vector: &'r Node,
    steps: Steps,
) -> Bound<'r> {
    let [lower, upper] = bounds;
    let wanted = Wanted::Fraction(scalar(run, lower)?, scalar(run, upper)?);
    bind(run, vector, steps, wanted)
}

/// What is asked of each histogram, by step.
enum Wanted {
    Quantile(Vec<f64>),
    Fraction(Vec<f64>, Vec<f64>),
}

struct Answers<'r> {
    histograms: Histograms<'r>,
    wanted: Wanted,
    steps: Steps,
}

fn bind<'r>(run: &'r Run<'r>, vector: &'r Node, steps: Steps, wanted: Wanted) -> Bound<'r> {
    let histograms = Histograms::bind(run, vector)?;
    run.unique(Box::new(Answers { histograms, wanted, steps }), steps)
}

/// The histograms that the series of a vector are buckets of.
pub(super) struct Histograms<'r> {
    run: &'r Run<'r>,
    inner: Box<dyn Operator + 'r>,
    pub(super) heads: Vec<Head>,
    /// The metric's name, if notes tell it.
    names: Vec<Option<String>>,
    /// Bounds and indexes of the buckets of each histogram, ascending by bound.
    buckets: Vec<Vec<(f64, usize)>>,
    span: Span,
}

impl<'r> Histograms<'r> {
    /// Finds them by their labels.
    pub(super) fn bind(run: &'r Run<'r>, vector: &'r Node) -> Result<Self, EngineError> {
        let inner = bind_node(run, vector)?;
        let (mut index, mut buf) = (LabelIndex::default(), LabelsBuf::new());
        let mut buckets: Vec<Vec<(f64, usize)>> = Vec::new();
        for (series, head) in inner.heads().iter().enumerate() {
            let label = head.labels.get(BUCKET_BOUND).unwrap_or_default();
            let Some(bound) = parse_bound(label) else {
                note_bad_bound(run, inner.as_ref(), series, vector.span)?;
                continue;
            };
            buf.clear();
            let others = head.labels.iter().filter(|(name, _)| *name != BUCKET_BOUND);
            others.for_each(|(name, value)| buf.push(name, value));
            let Ok(labels) = buf.finish() else { continue };
            let histogram = index.number(labels);
            if histogram == buckets.len() {
                buckets.push(Vec::new());
            }
            if let Some(buckets) = buckets.get_mut(histogram) {
                buckets.push((bound, series));
            }
        }
        for buckets in &mut buckets {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let delayed = run.delayed_name_removal;
        let head = |labels: &Labels| {
            let labels = if delayed { labels.clone() } else { without_metadata(labels) };
            Head { labels, drop_name: true }
        };
        let name = |labels: &Labels| labels.metric_name().filter(|_| delayed).map(str::to_owned);
        let heads = index.sets().iter().map(head).collect();
        let names = index.sets().iter().map(name).collect();
        let span = vector.span;
        Ok(Histograms { run, inner, heads, names, buckets, span })
    }

    /// Hands over the buckets of one histogram, step by step, where it has any.
    pub(super) fn each(
        &self,
        index: usize,
        steps: Steps,
        work: &mut Work,
        mut each: impl FnMut(usize, &mut Buckets),
    ) -> Result<(), EngineError> {
        let bounds = self.buckets.get(index).map(Vec::as_slice).unwrap_or_default();
        let mut columns = Vec::with_capacity(bounds.len());
        for (bound, series) in bounds {
            let mut column = work.take_column();
            self.inner.column(*series, &mut column, work)?;
            columns.push((*bound, column));
        }
        let mut buckets = Buckets::default();
        for step in 0..steps.count {
            buckets.clear();
            for (bound, column) in &columns {
                if let Some(count) = column.get(step) {
                    buckets.push(*bound, count);
                }
            }
            if !buckets.is_empty() {
                each(step, &mut buckets);
            }
        }
        columns.into_iter().for_each(|(_, column)| work.give_column(column));
        Ok(())
    }
}

fn parse_bound(text: &str) -> Option<f64> {
    parse_float(text).ok()
}

/// Warns of a bucket without a bound if it has any sample.
fn note_bad_bound(
    run: &Run<'_>,
    inner: &(dyn Operator + '_),
    series: usize,
    span: Span,
) -> Result<(), EngineError> {
    let mut column = StepColumn::new();
    inner.column(series, &mut column, &mut Work::default())?;
    let Some(head) = inner.heads().get(series).filter(|_| !column.is_empty()) else {
        return Ok(());
    };
    let label = quoted(head.labels.get(BUCKET_BOUND).unwrap_or_default());
    let name = head.labels.metric_name().filter(|_| run.delayed_name_removal);
    run.note(Note::warning(
        span,
        format!(
            "bucket label \"le\" is missing or has a malformed value of {label}{}",
            of_metric(name)
        ),
    ));
    Ok(())
}

fn of_metric(name: Option<&str>) -> String {
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!(" for metric name {}", quoted(name)),
        None => String::new(),
    }
}

impl Operator for Answers<'_> {
    fn heads(&self) -> &[Head] {
        &self.histograms.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let mut repairs = Repairs::default();
        into.reset(self.steps.count);
        self.histograms.each(index, self.steps, work, |step, buckets| {
            let at = |values: &[f64]| values.get(step).copied().unwrap_or(f64::NAN);
            let answer = match &self.wanted {
                Wanted::Quantile(quantiles) => {
                    let (quantile, repair) = buckets.quantile(at(quantiles));
                    if let Some(repair) = repair {
                        repairs.add(repair, self.steps.at(step));
                    }
                    quantile
                }
                Wanted::Fraction(lower, upper) => buckets.fraction(at(lower), at(upper)),
            };
            into.set(step, answer);
        })?;
        self.histograms.note_repairs(index, repairs);
        Ok(())
    }
}

impl Histograms<'_> {
    pub(super) fn hold(&self, samples: usize) -> Result<(), EngineError> {
        self.run.limits.hold(samples)
    }

    pub(super) fn note_repairs(&self, index: usize, repairs: Repairs) {
        let Some(detail) = repairs.0 else { return };
        let name = self.names.get(index).and_then(Option::as_deref);
        let text = format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/\
             #histogram_quantile){}",
            of_metric(name)
        );
        let severity = Severity::Info;
        self.run.note(Note { severity, span: self.span, text: text.into(), detail });
    }
}

/// The repairs of one histogram at all steps.
#[derive(Default)]
pub(super) struct Repairs(Option<Detail>);

impl Repairs {
    pub(super) fn add(&mut self, repair: Repair, time_ms: i64) {
        let Repair { lowest_bound, highest_bound, max_difference: difference } = repair;
        match &mut self.0 {
            Some(Detail::Monotonicity { buckets, max_difference, sample_count, times_ms }) => {
                buckets.0 = buckets.0.min(lowest_bound);
                buckets.1 = buckets.1.max(highest_bound);
                *max_difference = max_difference.max(difference);
                *sample_count += 1;
                times_ms.0 = times_ms.0.min(time_ms);
                times_ms.1 = times_ms.1.max(time_ms);
            }
            _ => {
                self.0 = Some(Detail::Monotonicity {
                    buckets: (lowest_bound, highest_bound),
                    max_difference: difference,
                    sample_count: 1,
                    times_ms: (time_ms, time_ms),
                });
            }
        }
    }
}
