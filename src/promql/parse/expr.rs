//! Expressions: literals, parentheses, calls, unary and binary operators.

use std::sync::Arc;

use crate::base::quote::quoted;
use crate::promql::ast::{
    Binary, BinaryOp, Cardinality, Expr, ExprKind, Matching, Span, VectorSelector,
};
use crate::promql::lex::{Keyword, Token, TokenKind, unquote};
use crate::promql::signature::signature;

use super::{Node, Parsed, Parser};

/// How tight an operator binds; a higher one binds tighter.
const fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Eq
        | BinaryOp::Ne
        | BinaryOp::Lt
        | BinaryOp::Le
        | BinaryOp::Gt
        | BinaryOp::Ge
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => POW,
    }
}

const POW: u8 = 6;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Node> {
        self.binary(0)
    }

    /// An expression whose operators outside of parentheses all bind at least as tight as `least`.
    fn binary(&mut self, least: u8) -> Parsed<Node> {
        self.enter()?;
        let mut left = self.unary()?;
        while let TokenKind::Operator(op) = self.peek().kind {
            if precedence(op) < least {
                break;
            }
            self.advance();
            left = self.binary_rest(left, op)?;
        }
        self.leave();
        Ok(left)
    }

    fn binary_rest(&mut self, left: Node, op: BinaryOp) -> Parsed<Node> {
        let return_bool = self.accept_keyword(Keyword::Bool);
        let matching = self.matching()?;
        // Only the power operator is right-associative.
        let least = if op == BinaryOp::Pow { POW } else { precedence(op) + 1 };
        let right = self.binary(least)?;
        self.look_ahead()?;
        self.joined(op, return_bool, *matching, left, right)
    }

    fn joined(
        &self,
        op: BinaryOp,
        return_bool: bool,
        matching: Matching,
        left: Node,
        right: Node,
    ) -> Parsed<Node> {
        let span = Span { start: left.expr.span.start, end: right.expr.span.end };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return Err(self.error(span, message));
        }
        let below = left.height.max(right.height);
        let (left, right) = (*left.expr, *right.expr);
        let binary = Binary { op, left, right, return_bool, matching: Some(matching) };
        self.node(Expr { kind: ExprKind::Binary(Box::new(binary)), span }, below)
    }

    /// What may stand between an operator and its right operand, behind `bool`.
    fn matching(&mut self) -> Parsed<Box<Matching>> {
        let mut matching = Box::<Matching>::default();
        if let TokenKind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.peek().kind {
            self.advance();
            matching.on = word == Keyword::On;
            matching.labels = self.grouping_labels()?;
            let many = match self.peek().kind {
                TokenKind::Keyword(Keyword::GroupLeft) => Some(Cardinality::ManyToOne),
                TokenKind::Keyword(Keyword::GroupRight) => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(cardinality) = many {
                self.advance();
                matching.cardinality = cardinality;
                let next = self.peek();
                if next.kind == TokenKind::LeftParen || !starts_expression(next) {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fills(&mut matching)?;
        Ok(matching)
    }

    fn fills(&mut self, matching: &mut Matching) -> Parsed<()> {
        if self.accept_keyword(Keyword::Fill) {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.accept_keyword(Keyword::FillLeft) {
            matching.fill_left = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillRight) {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.accept_keyword(Keyword::FillRight) {
            matching.fill_right = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillLeft) {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(TokenKind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(value)
    }

    fn unary(&mut self) -> Parsed<Node> {
        let negative = match self.peek().kind {
            TokenKind::Operator(BinaryOp::Sub) => true,
            TokenKind::Operator(BinaryOp::Add) => false,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        let start = self.advance().span.start;
        let operand = self.binary(POW)?;
        self.signed(negative, start, operand)
    }

    fn signed(&self, negative: bool, start: usize, mut operand: Node) -> Parsed<Node> {
        let span = Span { start, end: operand.expr.span.end };
        // A sign in front of a number is part of the number.
        if let ExprKind::Number { value, .. } = &mut operand.expr.kind {
            *value = if negative { -*value } else { *value };
            operand.expr.span = span;
            return Ok(operand);
        }
        let kind = ExprKind::Unary { negative, expr: operand.expr };
        self.node(Expr { kind, span }, operand.height)
    }

    fn primary(&mut self) -> Parsed<Node> {
        let opens = self.peek_at(1).kind == TokenKind::LeftParen;
        match self.peek().kind {
            TokenKind::Number | TokenKind::Duration | TokenKind::String => self.literal(),
            TokenKind::LeftParen => self.paren(),
            TokenKind::Identifier if opens => self.call(),
            TokenKind::Keyword(word) if word.is_function() && opens => self.call(),
            TokenKind::Aggregator(op) if self.opens_aggregation() => self.aggregation(op),
            _ => self.plain_selector(),
        }
    }

    fn literal(&mut self) -> Parsed<Node> {
        let token = self.peek();
        let kind = if token.kind == TokenKind::String {
            self.advance();
            ExprKind::String(unquote(self.text(token.span)).into())
        } else {
            let (value, as_duration) = self.number()?;
            ExprKind::Number { value, as_duration }
        };
        self.node(Expr { kind, span: token.span }, 0)
    }

    fn plain_selector(&mut self) -> Parsed<Node> {
        let (selector, span) = self.vector_selector()?;
        self.node(Expr { kind: ExprKind::Vector(selector), span }, 0)
    }

    fn paren(&mut self) -> Parsed<Node> {
        let start = self.advance().span.start;
        let inner = self.expression()?;
        let end = self.expect(TokenKind::RightParen)?.span.end;
        let kind = ExprKind::Paren(inner.expr);
        self.node(Expr { kind, span: Span { start, end } }, inner.height)
    }

    fn call(&mut self) -> Parsed<Node> {
        let name = self.advance();
        let (args, below) = self.arguments()?;
        self.known_call(name, args, below)
    }

    fn known_call(&self, name: Token, args: Vec<Expr>, below: usize) -> Parsed<Node> {
        let span = self.span_from(name.span.start);
        let function = self.text(name.span);
        match signature(function) {
            None => {
                let message = format!("unknown function with name {}", quoted(function));
                return Err(self.error(name.span, message));
            }
            Some(known) if known.experimental && !self.options.experimental_functions => {
                let message = format!("function {} is not enabled", quoted(function));
                return Err(self.error(name.span, message));
            }
            Some(_) => {}
        }
        let kind = ExprKind::Call { function: Arc::from(function), args };
        self.node(Expr { kind, span }, below)
    }

    /// `(expr, expr)`, and how deep the deepest one is.
    pub(super) fn arguments(&mut self) -> Parsed<(Vec<Expr>, usize)> {
        self.expect(TokenKind::LeftParen)?;
        let (mut args, mut below) = (Vec::new(), 0);
        let mut more = self.accept(TokenKind::RightParen).is_none();
        while more {
            let arg = self.expression()?;
            below = below.max(arg.height);
            args.push(*arg.expr);
            more = self.goes_on()?;
        }
        Ok((args, below))
    }

    /// True behind a comma, false behind the closing parenthesis.
    fn goes_on(&mut self) -> Parsed<bool> {
        if self.accept(TokenKind::RightParen).is_some() {
            return Ok(false);
        }
        let comma = self.expect(TokenKind::Comma)?;
        if starts_expression(self.peek()) {
            return Ok(true);
        }
        self.look_ahead()?;
        let message = "trailing commas not allowed in function call args";
        Err(self.error(comma.span, message))
    }

    /// From `start` to the end of the token that was taken last.
    pub(super) fn span_from(&self, start: usize) -> Span {
        let last = self.at.checked_sub(1).and_then(|index| self.lexed.tokens.get(index));
        Span { start, end: last.map_or(start, |token| token.span.end) }
    }

    /// A selector that stands alone.
    pub(super) fn bare_selector(&mut self) -> Parsed<VectorSelector> {
        self.vector_selector().map(|(selector, _)| selector)
    }
}

const fn starts_expression(token: Token) -> bool {
    matches!(
        token.kind,
        TokenKind::LeftParen
            | TokenKind::Number
            | TokenKind::Duration
            | TokenKind::String
            | TokenKind::LeftBrace
            | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)
    ) || is_metric_name(token.kind)
}

/// True for what may stand as the name of a metric, keywords among it.
pub(super) const fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregator(_) => true,
        TokenKind::Operator(op) => op.is_set(),
        TokenKind::Keyword(word) => !matches!(
            word,
            Keyword::On
                | Keyword::Ignoring
                | Keyword::GroupLeft
                | Keyword::GroupRight
                | Keyword::Bool
        ),
        _ => false,
    }
}
