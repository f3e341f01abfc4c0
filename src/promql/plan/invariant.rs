//! Which parts of an expression are the same at every step?

use crate::promql::ast::{AtModifier, Expr, ExprKind, Modifiers};

/// Functions whose value depends on the step even if their arguments do not. `timestamp` is one,
/// except on a pinned selector.
const DEPEND_ON_STEP: [&str; 10] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "year",
];

/// True if one evaluation serves all steps. What a window holds does not count: a function over
/// it does. Matches `preprocessExprHelper`, which leaves the parameter of an aggregation out.
pub(super) fn is_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => true,
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => pinned(&selector.at),
        ExprKind::Subquery { at, .. } => pinned(at),
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => is_invariant(inner),
        ExprKind::Aggregate(aggregate) => is_invariant(&aggregate.expr),
        ExprKind::Binary(binary) => is_invariant(&binary.left) && is_invariant(&binary.right),
        ExprKind::Call { function, args } if &**function == "timestamp" => {
            args.iter().all(|arg| is_pinned_selector(unwrapped(arg)))
        }
        ExprKind::Call { function, args } => {
            !DEPEND_ON_STEP.contains(&&**function) && args.iter().all(is_invariant)
        }
    }
}

fn pinned(at: &Modifiers) -> bool {
    matches!(at.at, Some(AtModifier::Timestamp(_) | AtModifier::Start | AtModifier::End))
}

fn is_pinned_selector(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Vector(selector) if pinned(&selector.at))
}

/// The expression inside of parentheses.
pub(super) fn unwrapped(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}
