//! What stands behind an expression: brackets, `offset`, `@`, `anchored`, `smoothed`.

use crate::promql::ast::{
    AtModifier, BinaryOp, DurationExpr, Expr, ExprKind, Extended, Modifiers, Span,
};
use crate::promql::lex::{Keyword, TokenKind};

use super::{Context, Node, Parsed, Parser};

const AT: Context = Context { place: "@", expected: "timestamp" };
const OFFSET: Context =
    Context { place: "offset", expected: "number, duration, step(), or range()" };
const BRACKET: Context = Context {
    place: "subquery or range selector",
    expected: "number, duration, step(), or range()",
};
const BEHIND_RANGE: Context = Context { place: "subquery or range", expected: "\":\" or \"]\"" };
const STEP: Context =
    Context { place: "subquery selector", expected: "number, duration, step(), range(), or \"]\"" };
const BEHIND_STEP: Context = Context { place: "subquery selector", expected: "\"]\"" };

impl Parser<'_> {
    /// Takes all that binds to `node` from behind.
    pub(super) fn postfix(&mut self, mut node: Node) -> Parsed<Node> {
        loop {
            match self.peek().kind {
                TokenKind::LeftBracket => node = self.bracket(node)?,
                TokenKind::At => self.at_modifier(&mut node.expr)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(&mut node.expr)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.advance();
                    self.extend(&mut node.expr, Extended::Anchored)?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.advance();
                    self.extend(&mut node.expr, Extended::Smoothed)?;
                }
                _ => return Ok(node),
            }
        }
    }

    fn bracket(&mut self, node: Node) -> Parsed<Node> {
        let opening = self.advance();
        let range = self.length(BRACKET)?;
        if self.accept(TokenKind::RightBracket).is_some() {
            return self.matrix(node, range, self.span_from(opening.span.start));
        }
        if self.accept(TokenKind::Colon).is_none() {
            return Err(self.unexpected(BEHIND_RANGE));
        }
        let mut step = None;
        if self.accept(TokenKind::RightBracket).is_none() {
            step = Some(self.length(STEP)?);
            if self.accept(TokenKind::RightBracket).is_none() {
                return Err(self.unexpected(BEHIND_STEP));
            }
        }
        let span = self.span_from(node.expr.span.start);
        let (expr, at) = (node.expr, Modifiers::default());
        self.node(Expr { kind: ExprKind::Subquery { expr, range, step, at }, span }, node.height)
    }

    fn length(&mut self, context: Context) -> Parsed<DurationExpr> {
        let outer = self.set_context(context);
        let length = self.positive_duration()?;
        self.set_context(outer);
        Ok(length)
    }

    fn matrix(&self, node: Node, range: DurationExpr, bracket: Span) -> Parsed<Node> {
        let span = self.span_from(node.expr.span.start);
        let ExprKind::Vector(selector) = node.expr.kind else {
            return Err(self.error(bracket, "ranges only allowed for vector selectors"));
        };
        if selector.at.offset.is_some() {
            return Err(self.error(bracket, "no offset modifiers allowed before range"));
        }
        if selector.at.at.is_some() {
            return Err(self.error(bracket, "no @ modifiers allowed before range"));
        }
        self.node(Expr { kind: ExprKind::Matrix { selector, range }, span }, 0)
    }

    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.advance();
        let outer = self.set_context(OFFSET);
        let offset = self.offset_duration()?;
        self.set_context(outer);
        let end = self.span_from(0).end;
        let span = expr.span;
        let Some(at) = modifiers(expr) else {
            let message = "offset modifier must be preceded by an instant vector selector or \
                           range vector selector or a subquery";
            return Err(self.error(span, message));
        };
        if at.offset.is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        // Upstream cannot tell an offset of nothing from no offset.
        at.offset = Some(offset).filter(|offset| !offset.is_zero());
        expr.span.end = end;
        Ok(())
    }

    fn at_modifier(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.advance();
        let outer = self.set_context(AT);
        let pinned = self.pinned()?;
        self.set_context(outer);
        let end = self.span_from(0).end;
        let span = expr.span;
        let instant = match pinned {
            Pinned::At(instant) => instant,
            Pinned::Seconds(seconds) => {
                let bound = -(i64::MIN as f64);
                if seconds.is_nan() || seconds.abs() >= bound {
                    let shown = go_fixed(seconds);
                    let message = format!("timestamp out of bounds for @ modifier: {shown}");
                    return Err(self.error(span, message));
                }
                AtModifier::Timestamp((seconds * 1000.0).round() as i64)
            }
        };
        let Some(at) = modifiers(expr) else {
            let message = "@ modifier must be preceded by an instant vector selector or range \
                           vector selector or a subquery";
            return Err(self.error(span, message));
        };
        if at.at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        at.at = Some(instant);
        expr.span.end = end;
        Ok(())
    }

    fn pinned(&mut self) -> Parsed<Pinned> {
        let instant = match self.peek().kind {
            TokenKind::Keyword(Keyword::Start) => AtModifier::Start,
            TokenKind::Keyword(Keyword::End) => AtModifier::End,
            TokenKind::Number
            | TokenKind::Duration
            | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub) => {
                return self.signed_number().map(Pinned::Seconds);
            }
            _ => return Err(self.unexpected(AT)),
        };
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        self.expect(TokenKind::RightParen)?;
        Ok(Pinned::At(instant))
    }

    fn extend(&self, expr: &mut Expr, how: Extended) -> Parsed<()> {
        let name = match how {
            Extended::Anchored => "anchored",
            Extended::Smoothed => "smoothed",
        };
        let failed = |what: &str| Err(self.error(expr.span, format!("{name} modifier {what}")));
        if !self.options.extended_range_selectors {
            return failed("is experimental and not enabled");
        }
        let extended = match &mut expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                &mut selector.extended
            }
            ExprKind::Subquery { .. } => return failed("is not supported for subqueries"),
            _ => return failed("not implemented"),
        };
        if extended.is_some_and(|known| known != how) {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.error(expr.span, message));
        }
        *extended = Some(how);
        Ok(())
    }
}

enum Pinned {
    At(AtModifier),
    Seconds(f64),
}

const fn modifiers(expr: &mut Expr) -> Option<&mut Modifiers> {
    match &mut expr.kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => Some(&mut selector.at),
        ExprKind::Subquery { at, .. } => Some(at),
        _ => None,
    }
}

/// Go's `%f`.
fn go_fixed(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value:.6}")
    }
}
