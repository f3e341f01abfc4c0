//! From the tree of an expression to the plan of a query.

use std::sync::Arc;

use crate::base::quote::quoted;
use crate::model::Matcher;
use crate::promql::ast::{
    Aggregate, AtModifier, Binary, DurationExpr, Expr, ExprKind, Extended, Modifiers, Span,
    ValueType, VectorSelector,
};
use crate::promql::engine::EngineError;
use crate::promql::{NESTING_MAX, value_type};
use crate::series::{Hints, Select, TimeRange};

use super::duration::Lengths;
use super::invariant::{is_invariant, unwrapped};
use super::{
    AggregateNode, Ask, BinaryNode, Kind, Node, Parameter, Place, Plan, Reading, Root, Shift,
    Sides, Steps, Window, WindowSource,
};

/// When a query is asked for, and what its engine assumes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) steps: Steps,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
    pub(crate) lookback_ms: i64,
    /// The coarsest downsampled data that is wanted; 0 for raw samples.
    pub(crate) max_resolution_ms: i64,
    pub(crate) subquery_step_ms: i64,
    pub(crate) start_timestamps: bool,
    /// More steps than this are refused.
    pub(crate) steps_max: usize,
}

pub(super) type Planned = Result<Node, EngineError>;

/// Plans an expression.
pub(crate) fn plan(expr: &Expr, grid: Grid) -> Result<Plan, EngineError> {
    let range_ms = grid.end_ms.saturating_sub(grid.steps.start_ms);
    let lengths = Lengths { step_ms: grid.step_ms, range_ms };
    let mut builder = Builder {
        grid,
        lengths,
        asks: Vec::new(),
        hints: Vec::new(),
        stats_wanted: 0,
        buckets_wanted: 0,
        depth: 0,
        nodes: 0,
    };
    let steps = grid.steps;
    let root = match unwrapped(expr) {
        window @ Expr { kind: ExprKind::Matrix { .. } | ExprKind::Subquery { .. }, .. } => {
            Root::Window(builder.window(window, steps)?)
        }
        other => match value_type(other) {
            ValueType::Scalar => Root::Scalar(builder.node(other, steps)?),
            _ => Root::Vector(builder.node(other, steps)?),
        },
    };
    Ok(Plan { root, asks: builder.asks, nodes: builder.nodes })
}

pub(super) struct Builder {
    pub(super) grid: Grid,
    pub(super) lengths: Lengths,
    asks: Vec<Ask>,
    /// What the operations around the current expression say of the samples they want.
    pub(super) hints: Vec<Hints>,
    /// How many operations around the current expression want count and sum of histograms only.
    pub(super) stats_wanted: usize,
    /// How many operations around it need buckets all the same, if only to find resets.
    pub(super) buckets_wanted: usize,
    depth: usize,
    nodes: usize,
}

impl Builder {
    /// Plans an expression that is wanted at `steps`, once if that is enough.
    pub(super) fn node(&mut self, expr: &Expr, steps: Steps) -> Planned {
        let expr = unwrapped(expr);
        self.depth += 1;
        // The parser keeps to this; a tree built by hand may not.
        if self.depth > NESTING_MAX {
            return Err(EngineError::Invalid("expression is nested too deeply".into()));
        }
        let is_constant = matches!(expr.kind, ExprKind::Number { .. });
        let node = if steps.count > 1 && !is_constant && is_invariant(expr) {
            let inner = Box::new(self.every_step(expr, steps.first_only())?);
            self.numbered(Kind::Once(inner), expr.span, steps)
        } else {
            self.every_step(expr, steps)?
        };
        self.depth -= 1;
        Ok(node)
    }

    pub(super) fn boxed(&mut self, expr: &Expr, steps: Steps) -> Result<Box<Node>, EngineError> {
        Ok(Box::new(self.node(expr, steps)?))
    }

    fn every_step(&mut self, expr: &Expr, steps: Steps) -> Planned {
        let kind = match &expr.kind {
            ExprKind::Number { value, .. } => Kind::Number(*value),
            ExprKind::Vector(selector) if selector.extended == Some(Extended::Smoothed) => {
                Kind::Smoothed(self.reading(selector, steps)?)
            }
            ExprKind::Vector(selector) => Kind::Newest(self.reading(selector, steps)?),
            ExprKind::Paren(inner) => return self.node(inner, steps),
            ExprKind::Unary { negative: false, expr } => return self.node(expr, steps),
            ExprKind::Unary { negative: true, expr } => Kind::Negate(self.boxed(expr, steps)?),
            ExprKind::Binary(binary) => Kind::Binary(self.binary(binary, steps)?),
            ExprKind::Aggregate(aggregate) => Kind::Aggregate(self.aggregate(aggregate, steps)?),
            ExprKind::Call { function, args } => self.call(function, args, expr.span, steps)?,
            ExprKind::String(_) | ExprKind::Matrix { .. } | ExprKind::Subquery { .. } => {
                return Err(misplaced(expr.span));
            }
        };
        Ok(self.numbered(kind, expr.span, steps))
    }

    const fn numbered(&mut self, kind: Kind, span: Span, steps: Steps) -> Node {
        self.nodes += 1;
        Node { id: self.nodes - 1, kind, span, steps }
    }

    fn binary(&mut self, binary: &Binary, steps: Steps) -> Result<Box<BinaryNode>, EngineError> {
        let types = (value_type(&binary.left), value_type(&binary.right));
        let sides = match types {
            (ValueType::Scalar, ValueType::Scalar) => Sides::Scalars,
            (ValueType::InstantVector, ValueType::Scalar) => Sides::VectorScalar,
            (ValueType::Scalar, ValueType::InstantVector) => Sides::ScalarVector,
            (ValueType::InstantVector, ValueType::InstantVector) => {
                Sides::Vectors(binary.matching.clone().unwrap_or_default())
            }
            _ => return Err(misplaced(binary.left.span)),
        };
        if binary.op.is_trim() && matches!(sides, Sides::Scalars) {
            let op = binary.op.text();
            let text = format!("operator \"{op}\" not allowed for Scalar operations");
            return Err(EngineError::Execution(text));
        }
        self.hints.push(Hints::default());
        self.buckets_wanted += usize::from(binary.op.is_trim());
        let left = self.boxed(&binary.left, steps)?;
        let right = self.boxed(&binary.right, steps)?;
        self.buckets_wanted -= usize::from(binary.op.is_trim());
        self.hints.pop();
        let (op, return_bool) = (binary.op, binary.return_bool);
        Ok(Box::new(BinaryNode { op, sides, left, right, return_bool }))
    }

    fn aggregate(
        &mut self,
        of: &Aggregate,
        steps: Steps,
    ) -> Result<Box<AggregateNode>, EngineError> {
        let mut grouping = of.grouping.clone();
        grouping.sort_unstable();
        grouping.dedup();
        let parameter = match &of.parameter {
            None => None,
            Some(expr) => match &unwrapped(expr).kind {
                ExprKind::String(text) => Some(Parameter::Text(label_name(text)?)),
                _ => Some(Parameter::Scalar(self.boxed(expr, steps)?)),
            },
        };
        self.hints.push(Hints {
            func: Some(of.op.text().into()),
            grouping: of.grouping.clone(),
            by: !of.without,
            ..Hints::default()
        });
        let vector = self.boxed(&of.expr, steps)?;
        self.hints.pop();
        let (op, without) = (of.op, of.without);
        Ok(Box::new(AggregateNode { op, vector, parameter, grouping, without }))
    }

    /// Plans the window of a function, or of the whole query.
    pub(super) fn window(&mut self, expr: &Expr, steps: Steps) -> Result<Window, EngineError> {
        let expr = unwrapped(expr);
        match &expr.kind {
            ExprKind::Matrix { selector, range } => {
                let range_ms = self.length(range)?;
                let shift = self.shift(&selector.at)?;
                let (before_ms, behind_ms) = match selector.extended {
                    None => (0, 0),
                    Some(Extended::Anchored) => (self.grid.lookback_ms, 0),
                    Some(Extended::Smoothed) => (self.grid.lookback_ms, self.grid.lookback_ms),
                };
                let asked =
                    window_range(shift.span(steps), range_ms.saturating_add(before_ms), behind_ms);
                let place = self.ask(&selector.matchers, asked, range_ms, steps);
                let (source, extended) = (WindowSource::Series(place), selector.extended);
                let stats_only = self.is_stats_only();
                Ok(Window { source, range_ms, steps, shift, extended, stats_only, span: expr.span })
            }
            ExprKind::Subquery { expr: inner, range, step, at } => {
                let range_ms = self.length(range)?;
                let step_ms = match step {
                    Some(step) => self.length(step)?.max(1),
                    None => self.grid.subquery_step_ms.max(1),
                };
                let shift = self.shift(at)?;
                self.buckets_wanted += 1;
                let source = match self.inner_steps(steps, shift, range_ms, step_ms)? {
                    inner_steps if inner_steps.count == 0 => WindowSource::Nothing,
                    inner_steps => WindowSource::Subquery(self.boxed(inner, inner_steps)?),
                };
                self.buckets_wanted -= 1;
                let (extended, stats_only, span) = (None, false, expr.span);
                Ok(Window { source, range_ms, steps, shift, extended, stats_only, span })
            }
            _ => Err(misplaced(expr.span)),
        }
    }

    /// The grid of a subquery: multiples of its step behind the start of the first window, up to
    /// the end of the last.
    fn inner_steps(
        &self,
        steps: Steps,
        shift: Shift,
        range_ms: i64,
        step_ms: i64,
    ) -> Result<Steps, EngineError> {
        let (first, end_ms) = shift.span(steps);
        let open_ms = first.saturating_sub(range_ms);
        let start_ms = open_ms.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        let inner = Steps::between(start_ms, end_ms, step_ms);
        inner.filter(|inner| inner.count <= self.grid.steps_max).ok_or(EngineError::TooManySamples)
    }

    pub(super) fn reading(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
    ) -> Result<Reading, EngineError> {
        let shift = self.shift(&selector.at)?;
        let lookback_ms = self.grid.lookback_ms;
        let behind_ms = match selector.extended {
            Some(Extended::Smoothed) => lookback_ms,
            _ => 0,
        };
        let asked = window_range(shift.span(steps), lookback_ms, behind_ms);
        let place = self.ask(&selector.matchers, asked, 0, steps);
        Ok(Reading { place, shift, stats_only: self.is_stats_only() })
    }

    /// Matches `detectHistogramStatsDecoding`.
    const fn is_stats_only(&self) -> bool {
        self.stats_wanted > 0 && self.buckets_wanted == 0
    }

    /// Asks for the series of a selector; one that is asked for already is asked for a longer
    /// time instead, if the times meet.
    pub(super) fn ask(
        &mut self,
        matchers: &[Matcher],
        range: TimeRange,
        range_ms: i64,
        steps: Steps,
    ) -> Place {
        let step_ms = if steps.instant { 0 } else { steps.step_ms };
        let around = self.hints.last().cloned().unwrap_or_default();
        let max_resolution_ms =
            max_resolution(self.grid.max_resolution_ms, range_ms, around.func.as_deref());
        let hints = Hints { step_ms, range_ms, max_resolution_ms, ..around };
        let wanted = hints.aggregate();
        let mut reach_ms = if range_ms > 0 { range_ms } else { self.grid.lookback_ms };
        let mut range = range;
        if reach_ms < 2 * max_resolution_ms {
            // What a downsampled sample stands for may be all that there is.
            range.start_ms = range.start_ms.saturating_sub(2 * max_resolution_ms - reach_ms);
            reach_ms = 2 * max_resolution_ms;
        }
        let known =
            self.asks.iter_mut().enumerate().find(|(_, ask)| {
                ask.select.matchers == matchers && ask.select.range.overlaps(range)
            });
        if let Some((index, ask)) = known {
            let select = &mut ask.select;
            select.range.start_ms = select.range.start_ms.min(range.start_ms);
            select.range.end_ms = select.range.end_ms.max(range.end_ms);
            ask.readers += 1;
            ask.reach_ms = ask.reach_ms.min(reach_ms);
            let goes_with = |known: &Hints| {
                known.aggregate() == wanted && known.max_resolution_ms == max_resolution_ms
            };
            let variant = ask.variants.iter().position(goes_with).unwrap_or_else(|| {
                ask.variants.push(hints.clone());
                ask.variants.len() - 1
            });
            if select.hints != hints {
                let max_resolution_ms = select.hints.max_resolution_ms.max(max_resolution_ms);
                select.hints = Hints { max_resolution_ms, ..Hints::default() };
            }
            return Place { ask: index, variant, wanted };
        }
        let variants = vec![hints.clone()];
        let select = Select { matchers: matchers.to_vec(), range, hints };
        self.asks.push(Ask { select, readers: 1, reach_ms, variants });
        Place { ask: self.asks.len() - 1, variant: 0, wanted }
    }

    pub(super) fn shift(&self, at: &Modifiers) -> Result<Shift, EngineError> {
        let at_ms = at.at.map(|at| match at {
            AtModifier::Timestamp(time_ms) => time_ms,
            AtModifier::Start => self.grid.steps.start_ms,
            AtModifier::End => self.grid.end_ms,
        });
        let offset_ms = match &at.offset {
            Some(offset) => self.lengths.of(offset, true)?,
            None => 0,
        };
        Ok(Shift { at_ms, offset_ms })
    }

    fn length(&self, expr: &DurationExpr) -> Result<i64, EngineError> {
        self.lengths.of(expr, false)
    }
}

/// The coarsest data that a selector can do with: functions that compare samples need two in a
/// window. Matches `maxResolutionFromSelectHints`.
fn max_resolution(max_resolution_ms: i64, range_ms: i64, func: Option<&str>) -> i64 {
    let needs_two = matches!(
        func,
        Some(
            "rate"
                | "irate"
                | "increase"
                | "delta"
                | "idelta"
                | "deriv"
                | "predict_linear"
                | "holt_winters"
                | "double_exponential_smoothing"
        )
    );
    if needs_two && range_ms > 0 { max_resolution_ms.min(range_ms / 2) } else { max_resolution_ms }
}

/// The span of windows that begin `before_ms` before an instant, which does not count, and end
/// `behind_ms` behind it.
pub(crate) fn window_range(
    (first_ms, last_ms): (i64, i64),
    before_ms: i64,
    behind_ms: i64,
) -> TimeRange {
    let start_ms = first_ms.saturating_sub(before_ms).saturating_add(1);
    TimeRange::new(start_ms, last_ms.saturating_add(behind_ms))
}

fn label_name(text: &[u8]) -> Result<Arc<str>, EngineError> {
    let refused = || EngineError::Execution(format!("invalid label name {}", quoted(text)));
    std::str::from_utf8(text).map(Arc::from).map_err(|_| refused())
}

/// An operand of a type that the parser's check would have refused.
pub(super) fn misplaced(span: Span) -> EngineError {
    let (start, end) = (span.start, span.end);
    EngineError::Invalid(format!("{start}:{end}: operand of an unexpected type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `TestMaxResolutionFromSelectHints` of Thanos.
    #[test]
    fn a_range_bounds_the_resolution_of_functions_that_need_two_samples() {
        const TWO_MINUTES_MS: i64 = 120_000;
        const FIVE_MINUTES_MS: i64 = 300_000;
        let cases = [
            (0, None, FIVE_MINUTES_MS),
            (TWO_MINUTES_MS, None, FIVE_MINUTES_MS),
            (TWO_MINUTES_MS, Some("max_over_time"), FIVE_MINUTES_MS),
            (TWO_MINUTES_MS, Some("rate"), TWO_MINUTES_MS / 2),
            (0, Some("rate"), FIVE_MINUTES_MS),
            (TWO_MINUTES_MS, Some("irate"), TWO_MINUTES_MS / 2),
            (TWO_MINUTES_MS, Some("increase"), TWO_MINUTES_MS / 2),
            (TWO_MINUTES_MS, Some("delta"), TWO_MINUTES_MS / 2),
            (TWO_MINUTES_MS, Some("idelta"), TWO_MINUTES_MS / 2),
            (TWO_MINUTES_MS, Some("deriv"), TWO_MINUTES_MS / 2),
            (TWO_MINUTES_MS, Some("predict_linear"), TWO_MINUTES_MS / 2),
            (TWO_MINUTES_MS, Some("holt_winters"), TWO_MINUTES_MS / 2),
            (TWO_MINUTES_MS, Some("double_exponential_smoothing"), TWO_MINUTES_MS / 2),
        ];
        for (range_ms, func, wanted) in cases {
            assert_eq!(max_resolution(FIVE_MINUTES_MS, range_ms, func), wanted, "{func:?}");
        }
    }
}
