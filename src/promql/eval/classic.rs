//! Quantiles and shares of histograms: native ones, and classic ones, which are series with a label
//! `le` that are buckets of one another.

use std::collections::HashMap;

use crate::base::gonum::parse_float;
use crate::base::quote::quoted;
use crate::model::histogram::float::{FloatRef, FloatRows, NanInfluence};
use crate::model::{Labels, LabelsBuf};
use crate::promql::ast::Span;
use crate::promql::engine::EngineError;
use crate::promql::functions::{Buckets, Repair};
use crate::promql::notes::{Detail, Note, Severity};
use crate::promql::plan::{Node, Steps};

use super::aggregate::LabelIndex;
use super::call::bad_quantile;
use super::operator::{Bound, Head, Operator, Work, without_metadata};
use super::remarks::{classic_and_native, nan_observed, of_metric};
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

/// The histograms of a vector: native ones first, then those that series are buckets of.
pub(super) struct Histograms<'r> {
    run: &'r Run<'r>,
    inner: Box<dyn Operator + 'r>,
    pub(super) heads: Vec<Head>,
    /// The metric's name, if notes tell it.
    names: Vec<Option<String>>,
    sources: Vec<Source>,
    span: Span,
}

/// Where a histogram comes from. If there are both kinds of one name at a step, neither counts.
enum Source {
    /// A series without a bound, and the bucket series of the same name.
    Native { series: usize, rivals: Vec<usize> },
    /// Bounds and indexes of the buckets, ascending by bound, and the native series of that name.
    Classic { buckets: BucketSeries, rivals: Vec<usize> },
}

/// Bounds and indexes of series.
type BucketSeries = Vec<(f64, usize)>;

/// A histogram at a step.
pub(super) enum Observed<'a> {
    Native(FloatRef<'a>),
    Classic(&'a mut Buckets),
}

impl Observed<'_> {
    pub(super) fn quantile(&mut self, q: f64, remarks: &mut Remarks, time_ms: i64) -> f64 {
        match self {
            Self::Native(one) => {
                let (quantile, influence) = one.quantile(q);
                remarks.influence(influence);
                quantile
            }
            Self::Classic(buckets) => {
                let (quantile, repair) = buckets.quantile(q);
                if let Some(repair) = repair {
                    remarks.repair(repair, time_ms);
                }
                quantile
            }
        }
    }

    fn fraction(&self, lower: f64, upper: f64, remarks: &mut Remarks) -> f64 {
        match self {
            Self::Native(one) => {
                let (share, influence) = one.fraction(lower, upper);
                remarks.influence(influence);
                share
            }
            Self::Classic(buckets) => buckets.fraction(lower, upper),
        }
    }
}

impl<'r> Histograms<'r> {
    /// Finds them by their labels.
    pub(super) fn bind(run: &'r Run<'r>, vector: &'r Node) -> Result<Self, EngineError> {
        let inner = bind_node(run, vector)?;
        let (mut index, mut buf) = (LabelIndex::default(), LabelsBuf::new());
        let (mut buckets, mut natives): (Vec<BucketSeries>, Vec<usize>) = Default::default();
        for (series, head) in inner.heads().iter().enumerate() {
            let label = head.labels.get(BUCKET_BOUND).unwrap_or_default();
            let Some(bound) = parse_bound(label) else {
                natives.push(series);
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
        let classic = index.sets().to_vec();
        let native: Vec<Labels> = natives
            .iter()
            .filter_map(|series| Some(inner.heads().get(*series)?.labels.clone()))
            .collect();
        let sources = sources((&natives, &native), (buckets, &classic));
        let delayed = run.delayed_name_removal;
        let head = |labels: &Labels| {
            let labels = if delayed { labels.clone() } else { without_metadata(labels) };
            Head { labels, drop_name: true }
        };
        let name = |labels: &Labels| labels.metric_name().filter(|_| delayed).map(str::to_owned);
        let heads = native.iter().chain(&classic).map(head).collect();
        let names = native.iter().chain(&classic).map(name).collect();
        Ok(Histograms { run, inner, heads, names, sources, span: vector.span })
    }

    /// Hands over one histogram, step by step, where it is there.
    pub(super) fn each(
        &self,
        index: usize,
        steps: Steps,
        work: &mut Work,
        each: impl FnMut(usize, Observed<'_>),
    ) -> Result<(), EngineError> {
        match self.sources.get(index) {
            Some(Source::Native { series, rivals }) => {
                self.each_native((index, *series), rivals, work, each)
            }
            Some(Source::Classic { buckets, rivals }) => {
                self.each_classic(index, (buckets, rivals), steps, work, each)
            }
            None => Ok(()),
        }
    }

    fn each_native(
        &self,
        (index, series): (usize, usize),
        rivals: &[usize],
        work: &mut Work,
        mut each: impl FnMut(usize, Observed<'_>),
    ) -> Result<(), EngineError> {
        let mut column = work.take_column();
        self.inner.column(series, &mut column, work)?;
        if column.float_count() > 0 {
            self.note_bad_bound(series);
        }
        if let Some(rows) = column.rows() {
            let mut rival = work.take_column();
            let mut taken: Vec<u64> = Vec::new();
            for other in rivals {
                self.inner.column(*other, &mut rival, work)?;
                add_words(&mut taken, rival.words());
            }
            work.give_column(rival);
            for (step, one) in rows.iter() {
                if has_bit(&taken, step) {
                    self.note_rivals(index);
                } else {
                    each(step, Observed::Native(one));
                }
            }
        }
        work.give_column(column);
        Ok(())
    }

    fn each_classic(
        &self,
        index: usize,
        (bounds, rivals): (&[(f64, usize)], &[usize]),
        steps: Steps,
        work: &mut Work,
        mut each: impl FnMut(usize, Observed<'_>),
    ) -> Result<(), EngineError> {
        let mut columns = Vec::with_capacity(bounds.len());
        for (bound, series) in bounds {
            let mut column = work.take_column();
            self.inner.column(*series, &mut column, work)?;
            if column.rows().is_some() {
                let text = "native histograms in a series with a label \"le\"";
                return Err(EngineError::Unsupported(text.into()));
            }
            columns.push((*bound, column));
        }
        let mut taken: Vec<u64> = Vec::new();
        for other in rivals {
            let mut rival = work.take_column();
            self.inner.column(*other, &mut rival, work)?;
            rival.rows().into_iter().flat_map(FloatRows::steps).for_each(|step| {
                add_bit(&mut taken, step);
            });
            work.give_column(rival);
        }
        let mut buckets = Buckets::default();
        for step in 0..steps.count {
            buckets.clear();
            for (bound, column) in &columns {
                if let Some(count) = column.get(step) {
                    buckets.push(*bound, count);
                }
            }
            if buckets.is_empty() {
                continue;
            }
            if has_bit(&taken, step) {
                self.note_rivals(index);
            } else {
                each(step, Observed::Classic(&mut buckets));
            }
        }
        columns.into_iter().for_each(|(_, column)| work.give_column(column));
        Ok(())
    }

    /// A float without a bound is no bucket.
    fn note_bad_bound(&self, series: usize) {
        let Some(head) = self.inner.heads().get(series) else { return };
        let label = quoted(head.labels.get(BUCKET_BOUND).unwrap_or_default());
        let name = head.labels.metric_name().filter(|_| self.run.delayed_name_removal);
        let name = of_metric(name);
        self.run.note(Note::warning(
            self.span,
            format!("bucket label \"le\" is missing or has a malformed value of {label}{name}"),
        ));
    }

    fn note_rivals(&self, index: usize) {
        let name = self.names.get(index).and_then(Option::as_deref);
        self.run.note(classic_and_native(self.span, name));
    }
}

/// All histograms, each with those of the other kind that have the same labels.
fn sources(
    (natives, native_labels): (&[usize], &[Labels]),
    (buckets, classic_labels): (Vec<BucketSeries>, &[Labels]),
) -> Vec<Source> {
    let mut by_labels: HashMap<&Labels, Vec<usize>> = HashMap::new();
    if !natives.is_empty() && !buckets.is_empty() {
        for (series, labels) in natives.iter().zip(native_labels) {
            by_labels.entry(labels).or_default().push(*series);
        }
    }
    let mut classics: HashMap<&Labels, Vec<usize>> = HashMap::new();
    let classic: Vec<Source> = buckets
        .into_iter()
        .zip(classic_labels)
        .map(|(mut buckets, labels)| {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let rivals = by_labels.get(labels).cloned().unwrap_or_default();
            if !rivals.is_empty() {
                classics.insert(labels, buckets.iter().map(|(_, series)| *series).collect());
            }
            Source::Classic { buckets, rivals }
        })
        .collect();
    let native = natives.iter().zip(native_labels).map(|(series, labels)| {
        let rivals = classics.get(labels).cloned().unwrap_or_default();
        Source::Native { series: *series, rivals }
    });
    native.chain(classic).collect()
}

fn add_words(words: &mut Vec<u64>, other: &[u64]) {
    words.resize(words.len().max(other.len()), 0);
    words.iter_mut().zip(other).for_each(|(mine, other)| *mine |= other);
}

fn add_bit(words: &mut Vec<u64>, step: usize) {
    words.resize(words.len().max(step / 64 + 1), 0);
    if let Some(word) = words.get_mut(step / 64) {
        *word |= 1 << (step % 64);
    }
}

fn has_bit(words: &[u64], step: usize) -> bool {
    words.get(step / 64).is_some_and(|word| word >> (step % 64) & 1 == 1)
}

fn parse_bound(text: &str) -> Option<f64> {
    parse_float(text).ok()
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
        let mut remarks = Remarks::default();
        into.reset(self.steps.count);
        self.histograms.each(index, self.steps, work, |step, mut observed| {
            let at = |values: &[f64]| values.get(step).copied().unwrap_or(f64::NAN);
            let answer = match &self.wanted {
                Wanted::Quantile(quantiles) => {
                    observed.quantile(at(quantiles), &mut remarks, self.steps.at(step))
                }
                Wanted::Fraction(lower, upper) => {
                    observed.fraction(at(lower), at(upper), &mut remarks)
                }
            };
            into.set(step, answer);
        })?;
        self.histograms.note(index, remarks);
        Ok(())
    }
}

impl Histograms<'_> {
    pub(super) fn hold(&self, samples: usize) -> Result<(), EngineError> {
        self.run.limits.hold(samples)
    }

    pub(super) fn note(&self, index: usize, remarks: Remarks) {
        let name = self.names.get(index).and_then(Option::as_deref);
        for influence in remarks.influences {
            self.run.note(nan_observed(self.span, influence, name));
        }
        let Some(detail) = remarks.repairs else { return };
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

/// What is to be said of one histogram at all steps.
#[derive(Default)]
pub(super) struct Remarks {
    repairs: Option<Detail>,
    influences: Vec<NanInfluence>,
}

impl Remarks {
    fn influence(&mut self, influence: Option<NanInfluence>) {
        if let Some(new) = influence.filter(|influence| !self.influences.contains(influence)) {
            self.influences.push(new);
        }
    }

    fn repair(&mut self, repair: Repair, time_ms: i64) {
        let Repair { lowest_bound, highest_bound, max_difference: difference } = repair;
        match &mut self.repairs {
            Some(Detail::Monotonicity { buckets, max_difference, sample_count, times_ms }) => {
                buckets.0 = buckets.0.min(lowest_bound);
                buckets.1 = buckets.1.max(highest_bound);
                *max_difference = max_difference.max(difference);
                *sample_count += 1;
                times_ms.0 = times_ms.0.min(time_ms);
                times_ms.1 = times_ms.1.max(time_ms);
            }
            repairs => {
                *repairs = Some(Detail::Monotonicity {
                    buckets: (lowest_bound, highest_bound),
                    max_difference: difference,
                    sample_count: 1,
                    times_ms: (time_ms, time_ms),
                });
            }
        }
    }
}
