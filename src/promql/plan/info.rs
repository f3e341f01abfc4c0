//! The plan of `info()`: where the labels come from that it adds.

use crate::model::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{Expr, ExprKind, Modifiers, Span};
use crate::promql::engine::EngineError;

use super::build::{Builder, misplaced, window_range};
use super::invariant::unwrapped;
use super::{InfoNode, Kind, Reading, Shift, Steps};

/// The metric whose labels are taken if none is named.
const TARGET_INFO: &str = "target_info";

impl Builder {
    /// Plans `info(vector)` or `info(vector, {…})`.
    pub(super) fn info(
        &mut self,
        args: &[Expr],
        at: Span,
        steps: Steps,
    ) -> Result<Kind, EngineError> {
        let (vector, matchers) = match args {
            [vector] => (vector, Vec::new()),
            [vector, labels] => match &unwrapped(labels).kind {
                ExprKind::Vector(selector) => (vector, selector.matchers.clone()),
                _ => return Err(misplaced(at)),
            },
            _ => return Err(misplaced(at)),
        };
        let (names, labels): (Vec<_>, Vec<_>) =
            matchers.into_iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let names = info_names(names);
        let shift = self.info_shift(vector)?;
        let asked = window_range(shift.span(steps), self.grid.lookback_ms, 0);
        let wanted: Vec<Matcher> = labels.iter().chain(&names).cloned().collect();
        let vector = self.node(vector, steps)?;
        let place = self.ask(&wanted, asked, 0, steps);
        let reading = Reading { place, shift, stats_only: false };
        Ok(Kind::Info(Box::new(InfoNode { vector, reading, names, labels })))
    }

    /// The labels are those of the time at which the first selector of the vector is read.
    fn info_shift(&self, vector: &Expr) -> Result<Shift, EngineError> {
        let mut around = Vec::new();
        if !first_selector(vector, &mut around) {
            return Ok(Shift::default());
        }
        let mut shift = Shift::default();
        // The selector comes last, the subqueries around it before, the innermost one first.
        for at in around.into_iter().rev() {
            let Shift { at_ms, offset_ms } = self.shift(at)?;
            shift.offset_ms = shift.offset_ms.saturating_add(offset_ms);
            shift.at_ms = at_ms;
            if at_ms.is_some() {
                break;
            }
        }
        Ok(shift)
    }
}

/// What the metrics with labels are called. Names that are only excluded are excluded from those
/// that end in `_info`. Matches `effectiveInfoNameMatchers`.
fn info_names(names: Vec<Matcher>) -> Vec<Matcher> {
    if names.is_empty() {
        return vec![Matcher::equal(METRIC_NAME, TARGET_INFO)];
    }
    let is_positive = |name: &Matcher| matches!(name.op(), MatchOp::Equal | MatchOp::Regex);
    if names.iter().any(is_positive) {
        return names;
    }
    let any = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info");
    any.into_iter().chain(names).collect()
}

/// Finds the first selector: its modifiers, and before them those of the subqueries around it.
fn first_selector<'a>(expr: &'a Expr, around: &mut Vec<&'a Modifiers>) -> bool {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => false,
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            around.push(&selector.at);
            true
        }
        ExprKind::Subquery { expr, at, .. } => {
            around.push(at);
            let found = first_selector(expr, around);
            if !found {
                around.pop();
            }
            found
        }
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => {
            first_selector(inner, around)
        }
        ExprKind::Binary(binary) => {
            first_selector(&binary.left, around) || first_selector(&binary.right, around)
        }
        ExprKind::Aggregate(aggregate) => {
            first_selector(&aggregate.expr, around)
                || aggregate.parameter.as_ref().is_some_and(|expr| first_selector(expr, around))
        }
        ExprKind::Call { args, .. } => args.iter().any(|arg| first_selector(arg, around)),
    }
}
