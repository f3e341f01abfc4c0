//! Lengths of time: in brackets and behind `offset`.

use crate::promql::ast::{BinaryOp, DurationExpr, DurationKind, Span};
use crate::promql::lex::{Keyword, TokenKind};

use super::{Parsed, Parser};

const fn precedence(op: BinaryOp) -> Option<u8> {
    match op {
        BinaryOp::Add | BinaryOp::Sub => Some(1),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => Some(2),
        BinaryOp::Pow => Some(POW),
        _ => None,
    }
}

const POW: u8 = 3;

/// Upstream counts in nanoseconds.
const LONGEST_SECONDS: f64 = i64::MAX as f64 / 1e9;

impl Parser<'_> {
    /// What stands in brackets. Arithmetic is looked at only when it is computed.
    pub(super) fn positive_duration(&mut self) -> Parsed<DurationExpr> {
        let duration = self.duration(0)?;
        self.look_ahead()?;
        if literal_seconds(&duration).is_some_and(|seconds| seconds <= 0.0) {
            return Err(self.error(duration.span, "duration must be greater than 0"));
        }
        self.settled(duration)
    }

    /// What stands behind `offset`. A single term ends there, so that `a offset 5m + b` is a sum
    /// of vectors; only behind an unsigned parenthesis or a second sign upstream goes on.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let sign = match self.peek().kind {
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => Some(op),
            _ => None,
        };
        let term = self.peek_at(usize::from(sign.is_some())).kind;
        let opens = term == TokenKind::LeftParen;
        if is_term(term) || (opens && sign.is_some()) {
            let signed = sign.map(|op| (op, self.advance().span));
            let duration = if opens { self.paren_duration(false)? } else { self.term(signed)? };
            return match signed {
                // The plus stays: without it what follows would be read as part of the offset.
                Some((BinaryOp::Add, sign)) if opens => {
                    let span = Span { start: sign.start, end: duration.span.end };
                    let kind = DurationKind::Unary(false, Box::new(duration));
                    Ok(DurationExpr { kind, span })
                }
                Some((op, sign)) => {
                    let duration = self.signed_duration(op, sign, duration)?;
                    self.settled(duration)
                }
                None => self.settled(duration),
            };
        }
        let duration = self.duration(0)?;
        self.look_ahead()?;
        let span = duration.span;
        // Printed without parentheses it would read as something else.
        if matches!(duration.kind, DurationKind::Binary(..)) && term != TokenKind::LeftParen {
            return Ok(DurationExpr { kind: DurationKind::Paren(Box::new(duration)), span });
        }
        self.settled(duration)
    }

    /// A number that stands alone is a length in seconds: rounded to nanoseconds, cut to
    /// milliseconds.
    fn settled(&self, duration: DurationExpr) -> Parsed<DurationExpr> {
        let span = duration.span;
        match duration.kind {
            DurationKind::Number(seconds) if seconds.is_nan() => {
                Err(self.error(span, "duration out of range"))
            }
            DurationKind::Number(seconds) => {
                let ms = (seconds * 1e9).round() as i64 / 1_000_000;
                Ok(DurationExpr { kind: DurationKind::Literal(ms), span })
            }
            _ => Ok(duration),
        }
    }

    /// Arithmetic whose operators outside of parentheses all bind at least as tight as `least`.
    fn duration(&mut self, least: u8) -> Parsed<DurationExpr> {
        self.enter()?;
        let mut left = self.unary_duration()?;
        let mut length = 0;
        while let TokenKind::Operator(op) = self.peek().kind {
            let Some(tightness) = precedence(op).filter(|found| *found >= least) else { break };
            length += 1;
            if length > super::NESTING_MAX {
                return Err(self.too_deep(left.span));
            }
            let operator = self.advance();
            let least = if op == BinaryOp::Pow { POW } else { tightness + 1 };
            let right = self.duration(least)?;
            self.look_ahead()?;
            left = self.combined(op, operator.span, left, right)?;
        }
        self.leave();
        Ok(left)
    }

    fn combined(
        &self,
        op: BinaryOp,
        operator: Span,
        left: DurationExpr,
        right: DurationExpr,
    ) -> Parsed<DurationExpr> {
        self.check_enabled(left.span)?;
        if literal_seconds(&right) == Some(0.0) {
            match op {
                BinaryOp::Div => return Err(self.error(operator, "division by zero")),
                BinaryOp::Mod => return Err(self.error(operator, "modulo by zero")),
                _ => {}
            }
        }
        let span = Span { start: left.span.start, end: right.span.end };
        Ok(DurationExpr { kind: DurationKind::Binary(op, Box::new(left), Box::new(right)), span })
    }

    fn unary_duration(&mut self) -> Parsed<DurationExpr> {
        match self.peek().kind {
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                let span = self.advance().span;
                let operand = self.duration(POW)?;
                self.signed_duration(op, span, operand)
            }
            TokenKind::LeftParen => self.paren_duration(true),
            _ => self.term(None),
        }
    }

    fn signed_duration(
        &self,
        op: BinaryOp,
        sign: Span,
        operand: DurationExpr,
    ) -> Parsed<DurationExpr> {
        let negative = op == BinaryOp::Sub;
        let span = Span { start: sign.start, end: operand.span.end };
        let kind = match operand.kind {
            DurationKind::Literal(ms) => DurationKind::Literal(if negative { -ms } else { ms }),
            DurationKind::Number(value) => {
                DurationKind::Number(if negative { -value } else { value })
            }
            _ if negative => DurationKind::Unary(true, Box::new(operand)),
            _ => return Ok(operand),
        };
        Ok(DurationExpr { kind, span })
    }

    fn paren_duration(&mut self, gated: bool) -> Parsed<DurationExpr> {
        let start = self.advance().span.start;
        let inner = self.duration(0)?;
        self.expect(TokenKind::RightParen)?;
        if gated {
            self.check_enabled(inner.span)?;
        }
        if matches!(inner.kind, DurationKind::Paren(_)) {
            return Ok(inner);
        }
        let span = self.span_from(start);
        Ok(DurationExpr { kind: DurationKind::Paren(Box::new(inner)), span })
    }

    /// A number, a duration or one of the four functions.
    fn term(&mut self, sign: Option<(BinaryOp, Span)>) -> Parsed<DurationExpr> {
        let token = self.peek();
        let start = token.span.start;
        let kind = match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let (seconds, is_duration) = self.number()?;
                if seconds.abs() > LONGEST_SECONDS {
                    let span = sign.map_or(token.span, |(_, span)| span);
                    return Err(self.error(span, "duration out of range"));
                }
                if is_duration {
                    DurationKind::Literal((seconds * 1000.0).round() as i64)
                } else {
                    DurationKind::Number(seconds)
                }
            }
            TokenKind::Keyword(word @ (Keyword::Step | Keyword::Range)) => {
                self.advance();
                self.expect(TokenKind::LeftParen)?;
                self.expect(TokenKind::RightParen)?;
                self.check_enabled(token.span)?;
                if word == Keyword::Step { DurationKind::Step } else { DurationKind::Range }
            }
            TokenKind::Keyword(word @ (Keyword::MinOf | Keyword::MaxOf)) => {
                self.advance();
                self.expect(TokenKind::LeftParen)?;
                let left = Box::new(self.duration(0)?);
                self.expect(TokenKind::Comma)?;
                let right = Box::new(self.duration(0)?);
                self.expect(TokenKind::RightParen)?;
                self.check_enabled(token.span)?;
                if word == Keyword::MinOf {
                    DurationKind::MinOf(left, right)
                } else {
                    DurationKind::MaxOf(left, right)
                }
            }
            _ => return Err(self.unexpected(self.context)),
        };
        Ok(DurationExpr { kind, span: self.span_from(start) })
    }

    fn check_enabled(&self, span: Span) -> Parsed<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(span, "experimental duration expression is not enabled"))
    }
}

const fn is_term(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Number
            | TokenKind::Duration
            | TokenKind::Keyword(Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf)
    )
}

fn literal_seconds(duration: &DurationExpr) -> Option<f64> {
    match duration.kind {
        DurationKind::Literal(ms) => Some(ms as f64 / 1000.0),
        DurationKind::Number(seconds) => Some(seconds),
        _ => None,
    }
}

impl DurationExpr {
    /// True for a literal of length zero.
    pub(super) const fn is_zero(&self) -> bool {
        matches!(self.kind, DurationKind::Literal(0))
    }
}
