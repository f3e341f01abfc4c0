//! Running queries.

use std::sync::Arc;

use crate::base::clock::Stopwatch;
use crate::model::histogram::Histogram;
use crate::model::{Labels, Sample};
use crate::promql::ast::{Expr, ExprKind, ValueType};
use crate::promql::eval::{Costs, Counted, Evaluated, Manners, evaluate};
use crate::promql::limits::Limits;
use crate::promql::plan::{Grid, Plan, Steps, plan};
use crate::promql::{parse_with, value_type};
use crate::series::{Column, Queryable};

use super::{
    Answer, EngineError, EngineOptions, MatrixSeries, QueryStats, RunOptions, SampleStats,
    StatsWanted, Timings, Value, VectorElement,
};

/// Answers PromQL queries over any source of series. Cheap to clone; queries run on the calling
/// thread, big ones with the help of a thread pool.
///
/// ```
/// use promlite::promql::{Engine, EngineOptions, RunOptions, Value};
/// use promlite::series::Merged;
///
/// let engine = Engine::new(EngineOptions::default());
/// let nothing = Merged::new(Vec::new());
/// let answer = engine.instant(&nothing, "1 + 1", 0, &RunOptions::default())?;
/// assert!(matches!(answer.value, Value::Scalar(sample) if sample.value == 2.0));
/// # Ok::<(), promlite::promql::EngineError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: Arc<EngineOptions>,
}

/// More steps than this are not counted one by one, whatever the limit on samples.
const STEPS_MIN: usize = 1_000_000;

impl Engine {
    /// An engine with these settings.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self { options: Arc::new(options) }
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The value of a query at one instant.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn instant(
        &self,
        source: &dyn Queryable,
        query: &str,
        time_ms: i64,
        run: &RunOptions,
    ) -> Result<Answer, EngineError> {
        let expr = parse_with(query, &self.options.parse)?;
        self.instant_of(source, &expr, query, time_ms, run)
    }

    /// The value of a query at `start_ms`, `start_ms + step_ms`, … up to `end_ms`.
    ///
    /// # Errors
    /// See [`EngineError`]. A query that gives a range vector or a text has no value at many
    /// steps.
    pub fn range(
        &self,
        source: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        run: &RunOptions,
    ) -> Result<Answer, EngineError> {
        let expr = parse_with(query, &self.options.parse)?;
        self.range_of(source, &expr, query, (start_ms, end_ms, step_ms), run)
    }

    /// [`Engine::instant`] of an expression that is parsed already. `query` is the text that its
    /// spans point into.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn instant_of(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        query: &str,
        time_ms: i64,
        run: &RunOptions,
    ) -> Result<Answer, EngineError> {
        let mut expr = expr;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        if let ExprKind::String(text) = &expr.kind {
            let text = String::from_utf8_lossy(text).into();
            let value = Value::String { timestamp_ms: time_ms, text };
            return Ok(self.answer_without_data(value, Steps::once(time_ms), run));
        }
        let grid = self.grid(Steps::once(time_ms), time_ms, 0, run);
        self.run(source, expr, query, grid, run, false).map(|(answer, _)| answer)
    }

    /// [`Engine::range`] of an expression that is parsed already, at start, end and step in
    /// milliseconds.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn range_of(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        query: &str,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        run: &RunOptions,
    ) -> Result<Answer, EngineError> {
        let grid = self.range_grid(expr, (start_ms, end_ms, step_ms), run)?;
        if grid.steps.count == 0 {
            return Ok(self.answer_without_data(Value::Matrix(Vec::new()), grid.steps, run));
        }
        let (answer, _) = self.run(source, expr, query, grid, run, false)?;
        Ok(Answer { value: over_time(answer.value), ..answer })
    }

    /// The steps of a range query, if the expression can be asked at many.
    pub(super) fn range_grid(
        &self,
        expr: &Expr,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        run: &RunOptions,
    ) -> Result<Grid, EngineError> {
        let type_name = match value_type(expr) {
            ValueType::Scalar | ValueType::InstantVector => None,
            ValueType::RangeVector => Some("range vector"),
            ValueType::String => Some("string"),
        };
        if let Some(name) = type_name {
            return Err(EngineError::Invalid(format!(
                "invalid expression type {name:?} for range query, must be Scalar or instant Vector"
            )));
        }
        if step_ms <= 0 {
            return Err(EngineError::Invalid("step must be greater than 0".into()));
        }
        let steps = Steps::between(start_ms, end_ms, step_ms);
        let steps = steps.ok_or(EngineError::TooManySamples)?;
        Ok(self.grid(steps, end_ms, step_ms, run))
    }

    /// What needs neither data nor computing.
    fn answer_without_data(&self, value: Value, steps: Steps, run: &RunOptions) -> Answer {
        let by_step = if self.stats_wanted(run) == StatsWanted::All { steps.count } else { 0 };
        let zeros = vec![0; by_step];
        let counted =
            Counted { total_by_step: zeros.clone(), read_by_step: zeros, ..Counted::default() };
        let samples = SampleStats::new(&counted, steps, 0);
        let wanted = run.stats != StatsWanted::None;
        let stats = wanted.then(|| QueryStats { samples, ..QueryStats::default() });
        Answer { value, warnings: Vec::new(), infos: Vec::new(), samples_read: 0, stats }
    }

    fn stats_wanted(&self, run: &RunOptions) -> StatsWanted {
        match run.stats {
            StatsWanted::All if !self.options.per_step_stats => StatsWanted::Totals,
            wanted => wanted,
        }
    }

    pub(super) fn grid(&self, steps: Steps, end_ms: i64, step_ms: i64, run: &RunOptions) -> Grid {
        let most = usize::try_from(self.options.max_samples).unwrap_or(usize::MAX);
        Grid {
            steps,
            end_ms,
            step_ms,
            lookback_ms: run.lookback_ms.unwrap_or(self.options.lookback_ms),
            max_resolution_ms: run.max_source_resolution_ms.max(0),
            subquery_step_ms: self.options.subquery_step_ms,
            start_timestamps: self.options.start_timestamps,
            steps_max: most.max(STEPS_MIN),
        }
    }

    /// Plans and evaluates; `profiled`: also tells what each operation cost.
    pub(super) fn run(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        query: &str,
        grid: Grid,
        run: &RunOptions,
        profiled: bool,
    ) -> Result<(Answer, Option<(Plan, Costs)>), EngineError> {
        let watch = Stopwatch::start();
        if grid.steps.count > grid.steps_max {
            return Err(EngineError::TooManySamples);
        }
        let options = &self.options;
        let _active = options.active_queries.as_ref().map(|queries| queries.enter(query));
        let timeout_ms = run.timeout_ms.map_or(options.timeout_ms, |t| t.min(options.timeout_ms));
        let (max_samples, max_bytes) = (options.max_samples, options.max_memory_bytes);
        let limits = Limits::start(max_samples, max_bytes, timeout_ms, run.cancel.clone());
        limits.check()?;
        let plan = plan(expr, grid)?;
        let manners = Manners {
            lookback_ms: grid.lookback_ms,
            delayed_name_removal: options.delayed_name_removal,
            start_timestamps: options.start_timestamps,
            type_and_unit_labels: options.type_and_unit_labels,
            stats: self.stats_wanted(run),
            profiled,
        };
        let pool = options.pool.as_deref();
        let evaluated = evaluate(&plan, source, &limits, manners, pool)?;
        let Evaluated { value, notes, mut warnings, seconds, counted, costs } = evaluated;
        let (mut noted, infos) = notes.render(query, options.shown_notes_max);
        warnings.append(&mut noted);
        let stats = counted.map(|counted| QueryStats {
            timings: timings(seconds, watch.seconds()),
            samples: SampleStats::new(&counted, grid.steps, limits.samples_peak()),
        });
        let samples_read = limits.samples_read();
        Ok((Answer { value, warnings, infos, samples_read, stats }, costs.map(|c| (plan, c))))
    }
}

fn timings([prepare, compute, sort]: [f64; 3], total: f64) -> Timings {
    Timings {
        eval_total_seconds: prepare + compute + sort,
        result_sort_seconds: sort,
        query_preparation_seconds: prepare,
        inner_eval_seconds: compute,
        exec_queue_seconds: 0.0,
        exec_total_seconds: total,
    }
}

/// The value of a range query over a span without length, which is evaluated like an instant but
/// answered like any other range.
pub(super) fn over_time(value: Value) -> Value {
    let series = |labels, sample: Sample, histogram: Option<Box<Histogram>>| {
        let mut column = Column::new();
        match histogram {
            Some(one) => column.push_histogram(sample.timestamp_ms, one.as_ref().as_ref()),
            None => column.push(sample.timestamp_ms, sample.value),
        }
        MatrixSeries { labels, column }
    };
    match value {
        Value::Scalar(sample) => Value::Matrix(vec![series(Labels::empty(), sample, None)]),
        Value::Vector(elements) => {
            let one =
                |element: VectorElement| series(element.labels, element.sample, element.histogram);
            let mut matrix: Vec<_> = elements.into_iter().map(one).collect();
            matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
            Value::Matrix(matrix)
        }
        value => value,
    }
}
