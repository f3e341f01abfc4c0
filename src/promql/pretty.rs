//! An expression over several lines, as upstream's `Prettify` writes it.
//!
//! A part that is longer than a line is broken at its operands, and these are indented. What
//! stands between operands is taken from the expression's own text, so that it is written in one
//! place only.

use super::ast::{Expr, ExprKind};

const LINE_BYTES_MAX: usize = 100;
const INDENT: &str = "  ";

/// The expression with lines that are short where that can be.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    put(&mut out, expr, 0);
    out
}

fn put(out: &mut String, expr: &Expr, level: usize) {
    let text = expr.to_string();
    match &expr.kind {
        // Prometheus looks at the length of what the sign stands before.
        ExprKind::Unary { expr: inner, .. } => {
            let mut child = String::new();
            put(&mut child, inner, level);
            put_indent(out, level);
            out.push_str(text.strip_suffix(&inner.to_string()).unwrap_or_default());
            out.push_str(child.trim());
        }
        // A subquery that fits is not indented by Prometheus.
        ExprKind::Subquery { .. } if text.len() <= LINE_BYTES_MAX => out.push_str(&text),
        ExprKind::Subquery { expr: inner, .. } => {
            put(out, inner, level);
            out.push_str(text.strip_prefix(&inner.to_string()).unwrap_or_default());
        }
        _ if text.len() <= LINE_BYTES_MAX => put_line(out, &text, level),
        ExprKind::Paren(inner) => put_list(out, "", &[inner], level),
        ExprKind::Call { function, args } => {
            put_list(out, function, &args.iter().collect::<Vec<_>>(), level);
        }
        ExprKind::Aggregate(aggregate) => {
            let operands: Vec<_> = aggregate.parameter.iter().chain([&aggregate.expr]).collect();
            let texts: Vec<_> = operands.iter().map(ToString::to_string).collect();
            let tail = format!("({})", texts.join(", "));
            put_list(out, text.strip_suffix(&tail).unwrap_or_default(), &operands, level);
        }
        ExprKind::Binary(binary) => {
            let (left, right) = (binary.left.to_string(), binary.right.to_string());
            let operator = text.strip_prefix(&left).and_then(|text| text.strip_suffix(&right));
            put(out, &binary.left, level + 1);
            out.push('\n');
            put_line(out, operator.unwrap_or_default().trim(), level);
            out.push('\n');
            put(out, &binary.right, level + 1);
        }
        ExprKind::Number { .. }
        | ExprKind::String(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix { .. } => put_line(out, &text, level),
    }
}

/// `head(`, each operand on lines of its own, `)`
fn put_list(out: &mut String, head: &str, operands: &[&Expr], level: usize) {
    put_line(out, head, level);
    out.push_str("(\n");
    for (index, operand) in operands.iter().enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "" });
        put(out, operand, level + 1);
    }
    out.push('\n');
    put_line(out, ")", level);
}

fn put_line(out: &mut String, text: &str, level: usize) {
    put_indent(out, level);
    out.push_str(text);
}

fn put_indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n(INDENT, level));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{ParseOptions, parse_with};

    fn lines(query: &str) -> String {
        pretty(&parse_with(query, &ParseOptions::all()).unwrap())
    }

    #[test]
    fn what_fits_stays_on_one_line() {
        assert_eq!(lines("sum(  rate(a[5m]))by(job)"), "sum by (job) (rate(a[5m]))");
        assert_eq!(lines("max_over_time(rate(a[5m])[1h:5m])"), "max_over_time(rate(a[5m])[1h:5m])");
    }

    #[test]
    fn what_is_longer_is_broken_at_its_operands() {
        let long = "a".repeat(60);
        let query =
            format!("-sum by (x) ({long} + on (y) {long}) / quantile(0.9, {long}{{b='c'}})");
        let want = format!(
            "  -sum by (x) (\n      {long}\n    + on (y)\n      {long}\n  )\n/\n  \
             quantile(0.9, {long}{{b=\"c\"}})"
        );
        assert_eq!(lines(&query), want);
        let call = format!("label_replace({long}, \"{long}\", \"\\xff\", \"s\", \"r\")");
        let want =
            format!("label_replace(\n  {long},\n  \"{long}\",\n  \"\\xff\",\n  \"s\",\n  \"r\"\n)");
        assert_eq!(lines(&call), want);
    }

    #[test]
    fn a_long_subquery_is_broken_inside() {
        let long = "a".repeat(90);
        let query = format!("max_over_time((sum({long}) > 1)[1h:5m] offset 3m)");
        let want = format!("max_over_time(\n  (\n    sum({long}) > 1\n  )[1h:5m] offset 3m\n)");
        assert_eq!(lines(&query), want);
    }
}
