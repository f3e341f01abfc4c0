//! The value of a whole query.

use crate::base::clock::Stopwatch;
use crate::model::histogram::float::{Answers, FloatRef};
use crate::model::{Sample, order_of};
use crate::promql::engine::{EngineError, MatrixSeries, StatsWanted, Value, VectorElement};
use crate::promql::functions::complete;
use crate::promql::limits::Limits;
use crate::promql::notes::Notes;
use crate::promql::plan::{Node, Plan, Root, Steps, Window};
use crate::series::{Column, Queryable};

use super::merge::merge;
use super::operator::{Bound, Head, Operator, Work, without_metadata};
use super::profile::{Costs, NodeProfile};
use super::range::{Source, cut, inside};
use super::run::Run;
use super::select::{Selection, size};
use super::tally::Counted;
use super::{StepColumn, StepValue, bind, scalar};

/// How an evaluation treats its data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    pub(crate) lookback_ms: i64,
    pub(crate) delayed_name_removal: bool,
    pub(crate) start_timestamps: bool,
    pub(crate) type_and_unit_labels: bool,
    pub(crate) stats: StatsWanted,
    /// The cost of every operation is wanted.
    pub(crate) profiled: bool,
}

/// A value and what is to be said of it.
pub(crate) struct Evaluated {
    pub(crate) value: Value,
    pub(crate) notes: Notes,
    /// Of the sources.
    pub(crate) warnings: Vec<String>,
    /// Of finding series, computing the answer, and bringing it in order.
    pub(crate) seconds: [f64; 3],
    /// If statistics were asked for.
    pub(crate) counted: Option<Counted>,
    /// If they were asked for.
    pub(crate) costs: Option<Costs>,
}

/// Evaluates a plan.
pub(crate) fn evaluate(
    plan: &Plan,
    source: &dyn Queryable,
    limits: &Limits,
    manners: Manners,
    pool: Option<&rayon::ThreadPool>,
) -> Result<Evaluated, EngineError> {
    let watch = Stopwatch::start();
    let mut selections = Vec::with_capacity(plan.asks.len());
    let mut warnings = Vec::new();
    for ask in &plan.asks {
        limits.check()?;
        let mut selection = Selection::ask(source, ask, manners.profiled)?;
        warnings.append(&mut selection.take_warnings());
        selections.push(selection);
    }
    let run = Run::new(selections, limits, manners, plan);
    let prepared = watch.seconds();
    let compute = || Ok::<_, EngineError>((root(&run, &plan.root)?, run.counted()?));
    let (mut value, counted) = match pool {
        Some(pool) if run.is_parallel() => pool.install(compute)?,
        _ => compute()?,
    };
    let computed = watch.seconds();
    // All others come in order.
    if let (Root::Window(_), Value::Matrix(matrix)) = (&plan.root, &mut value) {
        sort(matrix);
    }
    let seconds = [prepared, computed - prepared, watch.seconds() - computed];
    let costs = manners.profiled.then(|| run.costs());
    Ok(Evaluated { value, notes: run.notes.into_inner(), warnings, seconds, counted, costs })
}

impl Run<'_> {
    /// The samples that all selectors look at; also those that turned out not to matter.
    fn counted(&self) -> Result<Option<Counted>, EngineError> {
        let Some(tallies) = &self.tallies else { return Ok(None) };
        self.count_rest()?;
        Ok(Some(tallies.sum()))
    }

    fn costs(&self) -> Costs {
        Costs {
            nodes: self.profiles.iter().map(NodeProfile::cost).collect(),
            asks: self.selections.iter().map(Selection::cost).collect(),
        }
    }
}

fn root<'r>(run: &'r Run<'r>, root: &'r Root) -> Result<Value, EngineError> {
    match root {
        Root::Scalar(node) if node.steps.instant => {
            let value = scalar(run, node)?.first().copied().unwrap_or(f64::NAN);
            Ok(Value::Scalar(Sample { timestamp_ms: node.steps.start_ms, value }))
        }
        Root::Vector(node) if node.steps.instant => vector(run, node),
        Root::Scalar(node) | Root::Vector(node) => matrix(run, named(run, node)?, node.steps),
        Root::Window(window) => samples(run, window),
    }
}

/// Series without the names that were to be dropped at the end.
struct Cleaned<'r> {
    inner: Box<dyn Operator + 'r>,
    heads: Vec<Head>,
}

impl Operator for Cleaned<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        self.inner.column(index, into, work)
    }
}

fn named<'r>(run: &'r Run<'r>, node: &'r Node) -> Bound<'r> {
    let inner = bind(run, node)?;
    if !run.delayed_name_removal {
        return Ok(inner);
    }
    let clean = |head: &Head| {
        Head::new(if head.drop_name { without_metadata(&head.labels) } else { head.labels.clone() })
    };
    let heads = inner.heads().iter().map(clean).collect();
    merge(Box::new(Cleaned { inner, heads }))
}

fn vector<'r>(run: &'r Run<'r>, node: &'r Node) -> Result<Value, EngineError> {
    let bound = named(run, node)?;
    let timestamp_ms = node.steps.start_ms;
    let mut elements = Vec::with_capacity(bound.heads().len());
    let indexes: Vec<usize> = (0..bound.heads().len()).collect();
    run.in_order(bound.as_ref(), &indexes, 1, |index, column| {
        let (value, histogram) = match column.all().next() {
            Some((_, StepValue::Float(value))) => (value, None),
            Some((_, StepValue::Histogram(one))) => {
                (one.sum, Some(Box::new(one.to_histogram(None))))
            }
            None => return Ok(()),
        };
        if let Some(head) = bound.heads().get(index) {
            run.limits.hold(column.size())?;
            let (labels, sample) = (head.labels.clone(), Sample { timestamp_ms, value });
            elements.push(VectorElement { labels, sample, histogram });
        }
        Ok(())
    })?;
    Ok(Value::Vector(elements))
}

fn matrix<'r>(
    run: &'r Run<'r>,
    bound: Box<dyn Operator + 'r>,
    steps: Steps,
) -> Result<Value, EngineError> {
    let heads = bound.heads();
    // Series are many times as large as their places: these are what is sorted.
    let order = order_of(&heads.iter().map(|head| head.labels.as_ref()).collect::<Vec<_>>());
    let place = |index| order.as_ref().and_then(|order| order.get(index)).map_or(index, |at| *at);
    // All series of the answer that are there at every step have the same times.
    let shared = if heads.len() > 1 { steps.count } else { 0 };
    let times: Vec<i64> = (0..shared).map(|step| steps.at(step)).collect();
    let columns = run.collect(heads.len(), |index, work| {
        let mut values = work.take_column();
        bound.column(place(index), &mut values, work)?;
        let count = values.count();
        run.limits.hold(values.size())?;
        let mut column = Column::new();
        if values.rows().is_none() && count == steps.count {
            column.timestamps.reserve_exact(count);
            column.timestamps.extend_from_slice(&times);
            column.timestamps.extend((shared..count).map(|step| steps.at(step)));
            column.floats = values.take_values();
        } else {
            column.timestamps.reserve_exact(count);
            column.floats.reserve_exact(count);
            push_all(&values, steps, &mut column);
        }
        work.give_column(values);
        Ok(column)
    })?;
    let series = columns.into_iter().enumerate().filter(|(_, column)| !column.is_empty());
    let labels = |index| heads.get(place(index)).map(|head| head.labels.clone());
    Ok(collected(series.filter_map(|(index, column)| Some((labels(index)?, column)))))
}

fn push_all(values: &StepColumn, steps: Steps, into: &mut Column) {
    let Some(rows) = values.rows() else {
        return values.iter().for_each(|(step, value)| into.push(steps.at(step), value));
    };
    into.histograms.reserve_floats(rows.len(), rows.bucket_len());
    let mut answers = Answers::default();
    if values.float_count() == 0 {
        rows.iter().for_each(|(step, one)| answers.push(steps.at(step), one, into));
        return;
    }
    for (step, value) in values.all() {
        match value {
            StepValue::Float(value) => into.push(steps.at(step), value),
            StepValue::Histogram(one) => answers.push(steps.at(step), one, into),
        }
    }
}

/// The samples of a window as they are.
fn samples<'r>(run: &'r Run<'r>, window: &'r Window) -> Result<Value, EngineError> {
    let source = Source::bind_bare(run, window)?;
    let heads = source.heads();
    let tally = run.tallies.as_ref().map(|tallies| tallies.current());
    let is_stored = source.is_stored();
    let columns = run.collect(heads.len(), |index, work| {
        let samples = source.read(index, work)?;
        let (times, values) = cut(samples.column(), source.range());
        let range = inside(samples.column(), source.range());
        let mut histograms = samples.column().histograms.range(range.clone()).peekable();
        let has_histograms = histograms.peek().is_some();
        let (timestamps, floats) = match source.edges() {
            Some(edges) if has_histograms => {
                let how = if edges.smoothed { "smoothed" } else { "anchored" };
                let text = format!("{how} modifier is not supported with histograms");
                return Err(EngineError::Execution(text));
            }
            Some(edges) => {
                let end_ms = window.shift.of(window.steps.start_ms);
                complete(edges, (times, values), window.range_ms, end_ms)
            }
            None => (times.to_vec(), values.to_vec()),
        };
        let mut column = Column { timestamps, floats, ..Column::new() };
        let mut before = None;
        for (index, one) in histograms {
            let one = FloatRef::from(one).to_histogram(before.as_ref());
            column.histograms.push(index - range.start, one.as_ref());
            before = Some(one.layout);
        }
        let size = size(&column);
        run.limits.hold(size)?;
        if let (Some(tally), true) = (&tally, is_stored) {
            tally.add_first(size);
        }
        samples.give_back(work);
        Ok(column)
    })?;
    let labels = heads.iter().map(|head| {
        let drops = run.delayed_name_removal && head.drop_name;
        if drops { without_metadata(&head.labels) } else { head.labels.clone() }
    });
    Ok(collected(labels.zip(columns).filter(|(_, column)| !column.is_empty())))
}

fn collected(series: impl Iterator<Item = (crate::model::Labels, Column)>) -> Value {
    Value::Matrix(series.map(|(labels, column)| MatrixSeries { labels, column }).collect())
}

fn sort(matrix: &mut [MatrixSeries]) {
    if !matrix.is_sorted_by(|a, b| a.labels <= b.labels) {
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
}
