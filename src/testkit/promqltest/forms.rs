//! The forms in which one evaluation is asked.

use crate::promql::ast::{AtModifier, Expr, ExprKind, VectorSelector};

/// An instant query that must answer the same as the one it was made from.
pub(super) struct Form {
    pub(super) query: String,
    pub(super) at_ms: i64,
}

/// The query with everything pinned to `at_ms`, asked at other times. Nothing if its answer
/// depends on more than its selectors.
pub(super) fn pinned(mut query: Expr, at_ms: i64) -> Vec<Form> {
    let mut stable = true;
    pin(&mut query, at_ms, &mut stable);
    if !stable {
        return Vec::new();
    }
    let text = query.to_string();
    let others = match at_ms {
        0 => vec![-1000, 0, 1000],
        _ => vec![at_ms.saturating_mul(-10), 0, at_ms / 5, at_ms, at_ms.saturating_mul(10)],
    };
    others.into_iter().map(|at_ms| Form { query: text.clone(), at_ms }).collect()
}

/// Functions whose value changes with the time of the evaluation even if their argument is pinned.
const UNSTABLE: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// Pins all selectors and subqueries that are not pinned to a time yet; what stands inside of a
/// pinned subquery stays as it is.
fn pin(expr: &mut Expr, at_ms: i64, stable: &mut bool) {
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            pin_selector(selector, at_ms);
        }
        ExprKind::Subquery { at, .. } => set(&mut at.at, at_ms),
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => pin(inner, at_ms, stable),
        ExprKind::Binary(binary) => {
            pin(&mut binary.left, at_ms, stable);
            pin(&mut binary.right, at_ms, stable);
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(parameter) = &mut aggregate.parameter {
                pin(parameter, at_ms, stable);
            }
            pin(&mut aggregate.expr, at_ms, stable);
        }
        ExprKind::Call { function, args } => {
            *stable &= !UNSTABLE.contains(&&**function);
            args.iter_mut().for_each(|arg| pin(arg, at_ms, stable));
        }
    }
}

fn pin_selector(selector: &mut VectorSelector, at_ms: i64) {
    set(&mut selector.at.at, at_ms);
}

/// `@ start()` and `@ end()` are no fixed times, so they are replaced.
const fn set(at: &mut Option<AtModifier>, at_ms: i64) {
    if !matches!(at, Some(AtModifier::Timestamp(_))) {
        *at = Some(AtModifier::Timestamp(at_ms));
    }
}

/// True if a query asks for the times of the query itself, so that a range query answers
/// something else.
pub(super) fn knows_its_times(query: &str) -> bool {
    ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call))
}
