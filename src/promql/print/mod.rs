//! An expression as canonical text, as upstream's `String` prints it.

pub(crate) mod number;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter, Write as _};
use std::sync::Arc;

use crate::base::duration::format_duration;
use crate::base::quote::quoted;
use crate::model::{METRIC_NAME, MatchOp, is_legacy_label_name};

use super::ast::{
    Aggregate, AtModifier, Binary, Cardinality, DurationExpr, DurationKind, Expr, ExprKind,
    Extended, Matching, Modifiers, VectorSelector,
};

use number::{general, plain};

/// The expression as canonical text. Reading it again gives an equal tree, apart from places.
impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number { value, as_duration: true } => {
                f.write_str(&format_duration((value * 1e9) as i64 / 1_000_000))
            }
            ExprKind::Number { value, .. } => f.write_str(&plain(*value)),
            ExprKind::String(text) => f.write_str(&quoted(text)),
            ExprKind::Vector(selector) => vector(f, selector),
            ExprKind::Matrix { selector, range } => {
                name_and_matchers(f, selector)?;
                write!(f, "[{range}]")?;
                extended(f, selector.extended)?;
                pinned(f, &selector.at)?;
                offset(f, &selector.at)
            }
            ExprKind::Subquery { expr, range, step, at } => {
                write!(f, "{expr}[{range}:")?;
                if let Some(step) = step {
                    write!(f, "{step}")?;
                }
                f.write_char(']')?;
                pinned(f, at)?;
                offset(f, at)
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Unary { negative: true, expr } => write!(f, "-{expr}"),
            ExprKind::Unary { expr, .. } => write!(f, "+{expr}"),
            ExprKind::Binary(inner) => binary(f, inner),
            ExprKind::Aggregate(inner) => aggregate(f, inner),
            ExprKind::Call { function, args } => {
                write!(f, "{function}(")?;
                for (index, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if index == 0 { "" } else { ", " })?;
                }
                f.write_char(')')
            }
        }
    }
}

fn vector(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    name_and_matchers(f, selector)?;
    pinned(f, &selector.at)?;
    extended(f, selector.extended)?;
    offset(f, &selector.at)
}

/// Matchers stand in the order of their texts; the one for the name in front is left out.
fn name_and_matchers(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref().unwrap_or_default();
    f.write_str(name)?;
    let mut texts: Vec<String> = selector
        .matchers
        .iter()
        .filter(|matcher| {
            let names = matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
            !names || matcher.value().is_empty() || matcher.value() != name
        })
        .map(ToString::to_string)
        .collect();
    if texts.is_empty() {
        return Ok(());
    }
    texts.sort_unstable();
    write!(f, "{{{}}}", texts.join(","))
}

fn pinned(f: &mut Formatter<'_>, at: &Modifiers) -> fmt::Result {
    match at.at {
        None => Ok(()),
        Some(AtModifier::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
    }
}

fn extended(f: &mut Formatter<'_>, extended: Option<Extended>) -> fmt::Result {
    f.write_str(match extended {
        None => "",
        Some(Extended::Anchored) => " anchored",
        Some(Extended::Smoothed) => " smoothed",
    })
}

fn offset(f: &mut Formatter<'_>, at: &Modifiers) -> fmt::Result {
    match &at.offset {
        Some(offset) if offset.kind != DurationKind::Literal(0) => write!(f, " offset {offset}"),
        _ => Ok(()),
    }
}

fn aggregate(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.text())?;
    if aggregate.without || !aggregate.grouping.is_empty() {
        f.write_str(if aggregate.without { " without (" } else { " by (" })?;
        labels(f, &aggregate.grouping)?;
        f.write_str(") ")?;
    }
    f.write_char('(')?;
    if let Some(parameter) = &aggregate.parameter {
        write!(f, "{parameter}, ")?;
    }
    write!(f, "{})", aggregate.expr)
}

fn labels(f: &mut Formatter<'_>, labels: &[Arc<str>]) -> fmt::Result {
    for (index, label) in labels.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        if is_legacy_label_name(label) {
            f.write_str(label)?;
        } else {
            f.write_str(&quoted(&**label))?;
        }
    }
    Ok(())
}

fn binary(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    write!(f, "{} {}", binary.left, binary.op.text())?;
    if binary.return_bool {
        f.write_str(" bool")?;
    }
    if let Some(how) = &binary.matching {
        matching(f, how)?;
    }
    write!(f, " {}", binary.right)
}

fn matching(f: &mut Formatter<'_>, matching: &Matching) -> fmt::Result {
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some(" group_left ("),
        Cardinality::OneToMany => Some(" group_right ("),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if matching.on || !matching.labels.is_empty() || group.is_some() {
        f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        labels(f, &matching.labels)?;
        f.write_char(')')?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        labels(f, &matching.include)?;
        f.write_char(')')?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", general(left)),
        (left, right) => {
            for (side, value) in [("left", left), ("right", right)] {
                if let Some(value) = value {
                    write!(f, " fill_{side} ({})", general(value))?;
                }
            }
            Ok(())
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Literal(ms) => f.write_str(&format_duration(*ms)),
            DurationKind::Number(value) => f.write_str(&plain(*value)),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Unary(negative, inner) => {
                write!(f, "{}{inner}", if *negative { "-" } else { "+" })
            }
            DurationKind::Binary(op, left, right) => write!(f, "{left} {} {right}", op.text()),
            DurationKind::MinOf(left, right) => write!(f, "min_of({left}, {right})"),
            DurationKind::MaxOf(left, right) => write!(f, "max_of({left}, {right})"),
            DurationKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}
