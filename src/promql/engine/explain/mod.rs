//! What a query is going to do, and what each part of it has cost.

mod json;
mod text;

use std::time::Duration;

use crate::promql::ast::{Expr, ExprKind, Span};
use crate::promql::eval::{AskCost, Costs, NodeCost};
use crate::promql::parse_with;
use crate::promql::plan::{Ask, Described, Plan, Steps, describe, plan};
use crate::series::Queryable;

use super::{Answer, Engine, EngineError, RunOptions};

/// When a query is asked for, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryTimes {
    /// At one instant.
    Instant(i64),
    /// At many.
    Range {
        /// The first instant.
        start_ms: i64,
        /// No instant lies behind it.
        end_ms: i64,
        /// Their distance.
        step_ms: i64,
    },
}

/// The plan of a query. Displays as a tree with one operation a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The query, into which the spans point.
    pub query: String,
    /// How many instants are asked for.
    pub steps: usize,
    /// The outermost operation.
    pub root: PlannedNode,
    /// What is asked of the source, each question once.
    pub reads: Vec<PlannedRead>,
    /// How long it all took, if it was run.
    pub spent: Option<Duration>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedNode {
    /// What it does, such as `sum by (job)` or `rate [5m]`.
    pub operation: String,
    /// The part of the query.
    pub span: Span,
    /// At how many instants it is computed.
    pub steps: usize,
    /// The question whose answer it reads; index in [`Explanation::reads`].
    pub read: Option<usize>,
    /// What it has cost, if it was run.
    pub measured: Option<MeasuredNode>,
    /// The operations whose results it uses.
    pub children: Vec<PlannedNode>,
}

/// What an operation has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredNode {
    /// Series in its result, be they empty or not.
    pub series: u64,
    /// How often one of them was computed.
    pub columns: u64,
    /// Samples in these.
    pub samples: u64,
    /// The time it took with everything below it, added up over all threads.
    pub spent: Duration,
}

/// A question to the source.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRead {
    /// Which series.
    pub selector: String,
    /// The first millisecond of their samples.
    pub start_ms: i64,
    /// The last one.
    pub end_ms: i64,
    /// How many operations read the answer.
    pub readers: u32,
    /// What it has cost, if it was asked.
    pub measured: Option<MeasuredRead>,
}

/// What a question to the source has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredRead {
    /// Series in the answer.
    pub series: u64,
    /// Chunks that they have in the span; nothing if the source keeps none.
    pub chunks: Option<u64>,
    /// How often the samples of a series were read.
    pub reads: u64,
    /// Samples that were read.
    pub samples: u64,
    /// The time that finding the series took.
    pub select: Duration,
    /// The time that reading samples took, added up over all threads.
    pub read: Duration,
}

impl Engine {
    /// The plan of a query. Nothing is read.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn explain(
        &self,
        query: &str,
        times: QueryTimes,
        run: &RunOptions,
    ) -> Result<Explanation, EngineError> {
        let expr = parse_with(query, &self.options().parse)?;
        let grid = match times {
            QueryTimes::Instant(time_ms) => self.grid(Steps::once(time_ms), time_ms, 0, run),
            QueryTimes::Range { start_ms, end_ms, step_ms } => {
                self.range_grid(&expr, (start_ms, end_ms, step_ms), run)?
            }
        };
        match literal(&expr) {
            Some(literal) => Ok(literal_explanation(query, literal)),
            None => Ok(explanation(query, &plan(&expr, grid)?, None)),
        }
    }

    /// Answers a query and tells what each part of it has cost. Measuring takes time itself, most
    /// where many operations compute few steps.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn analyze(
        &self,
        source: &dyn Queryable,
        query: &str,
        times: QueryTimes,
        run: &RunOptions,
    ) -> Result<(Answer, Explanation), EngineError> {
        let expr = parse_with(query, &self.options().parse)?;
        let grid = match times {
            QueryTimes::Instant(time_ms) => {
                if let Some(literal) = literal(&expr) {
                    let answer = self.instant_of(source, &expr, query, time_ms, run)?;
                    return Ok((answer, literal_explanation(query, literal)));
                }
                self.grid(Steps::once(time_ms), time_ms, 0, run)
            }
            QueryTimes::Range { start_ms, end_ms, step_ms } => {
                self.range_grid(&expr, (start_ms, end_ms, step_ms), run)?
            }
        };
        let (mut answer, costs) = self.run(source, &expr, query, grid, run, true)?;
        if matches!(times, QueryTimes::Range { .. }) {
            answer.value = super::query::over_time(answer.value);
        }
        let explanation = match costs {
            Some((plan, costs)) => explanation(query, &plan, Some(&costs)),
            None => self.explain(query, times, run)?,
        };
        Ok((answer, explanation))
    }
}

fn literal(mut expr: &Expr) -> Option<&Expr> {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    matches!(expr.kind, ExprKind::String(_)).then_some(expr)
}

fn literal_explanation(query: &str, expr: &Expr) -> Explanation {
    let root = PlannedNode {
        operation: expr.to_string(),
        span: expr.span,
        steps: 1,
        read: None,
        measured: None,
        children: Vec::new(),
    };
    Explanation { query: query.into(), steps: 1, root, reads: Vec::new(), spent: None }
}

fn explanation(query: &str, plan: &Plan, costs: Option<&Costs>) -> Explanation {
    let read = |(index, ask): (usize, &Ask)| {
        let matchers: Vec<String> = ask.select.matchers.iter().map(ToString::to_string).collect();
        PlannedRead {
            selector: format!("{{{}}}", matchers.join(",")),
            start_ms: ask.select.range.start_ms,
            end_ms: ask.select.range.end_ms,
            readers: ask.readers,
            measured: costs.and_then(|costs| costs.asks.get(index)).map(MeasuredRead::of),
        }
    };
    let root = node(describe(&plan.root, query), costs);
    let spent = costs.map(|costs| {
        let selects = costs.asks.iter().map(|ask| ask.select).sum::<Duration>();
        root.measured.map_or(selects, |root| root.spent + selects)
    });
    Explanation {
        query: query.into(),
        steps: plan.root.steps().count,
        root,
        reads: plan.asks.iter().enumerate().map(read).collect(),
        spent,
    }
}

fn node(described: Described, costs: Option<&Costs>) -> PlannedNode {
    let Described { id, operation, span, steps, read, children } = described;
    let cost = id.and_then(|id| costs?.nodes.get(id));
    PlannedNode {
        operation,
        span,
        steps,
        read,
        measured: cost.map(MeasuredNode::of),
        children: children.into_iter().map(|child| node(child, costs)).collect(),
    }
}

impl MeasuredNode {
    const fn of(cost: &NodeCost) -> Self {
        let NodeCost { series, columns, values, spent } = *cost;
        Self { series, columns, samples: values, spent }
    }
}

impl MeasuredRead {
    const fn of(cost: &AskCost) -> Self {
        let AskCost { series, chunks, reads, samples, select, read } = *cost;
        Self { series, chunks, reads, samples, select, read }
    }
}
