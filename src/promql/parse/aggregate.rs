//! Aggregations and label lists.

use std::sync::Arc;

use crate::base::quote::quoted;
use crate::promql::ast::{Aggregate, AggregateOp, Expr, ExprKind, Span};
use crate::promql::lex::{Keyword, TokenKind, unquote};

use super::{Context, Node, Parsed, Parser};

const AGGREGATION: Context = Context { place: "aggregation", expected: "" };
const GROUPING_OPENS: Context = Context { place: "grouping opts", expected: "\"(\"" };
const GROUPING_LABEL: Context = Context { place: "grouping opts", expected: "label" };
const GROUPING_GOES_ON: Context = Context { place: "grouping opts", expected: "\",\" or \")\"" };

/// True for `without`, and the labels.
type Grouping = (bool, Vec<Arc<str>>);

impl Parser<'_> {
    /// True if the aggregator at hand is no name of a metric.
    pub(super) fn opens_aggregation(&self) -> bool {
        matches!(
            self.peek_at(1).kind,
            TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without)
        )
    }

    pub(super) fn aggregation(&mut self, op: AggregateOp) -> Parsed<Node> {
        let start = self.advance().span.start;
        let outer = self.set_context(AGGREGATION);
        let before = self.grouping()?;
        let (args, below) = self.arguments()?;
        self.set_context(outer);
        self.aggregated(op, start, before, args, below)
    }

    fn aggregated(
        &mut self,
        op: AggregateOp,
        start: usize,
        before: Option<Grouping>,
        args: Vec<Expr>,
        below: usize,
    ) -> Parsed<Node> {
        let after = if before.is_none() { self.grouping()? } else { None };
        let span = self.span_from(start);
        if before.is_none() && after.is_none() {
            self.look_ahead()?;
        }
        let (without, grouping) = before.or(after).unwrap_or_default();
        let (parameter, expr) = self.operands(op, args, span)?;
        let aggregate = Aggregate { op, expr, parameter, grouping, without };
        self.node(Expr { kind: ExprKind::Aggregate(Box::new(aggregate)), span }, below)
    }

    /// `by (…)` or `without (…)`; true for the latter.
    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.peek().kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some((without, self.grouping_labels()?)))
    }

    fn operands(
        &self,
        op: AggregateOp,
        args: Vec<Expr>,
        span: Span,
    ) -> Parsed<(Option<Expr>, Expr)> {
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        let is_experimental = matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio);
        if is_experimental && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
                op.text()
            );
            return Err(self.error(span, message));
        }
        let wanted = 1 + usize::from(op.takes_parameter());
        let found = args.len();
        let mut args = args.into_iter();
        match (args.next(), args.next(), args.next()) {
            (Some(expr), None, None) if wanted == 1 => Ok((None, expr)),
            (Some(parameter), Some(expr), None) if wanted == 2 => Ok((Some(parameter), expr)),
            _ => {
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, \
                     expected {wanted}, got {found}"
                );
                Err(self.error(span, message))
            }
        }
    }

    /// `(label, "label", …)`
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<Arc<str>>> {
        if self.accept(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected(GROUPING_OPENS));
        }
        let mut labels = Vec::new();
        loop {
            if self.accept(TokenKind::RightParen).is_some() {
                return Ok(labels);
            }
            labels.push(self.grouping_label()?);
            if self.accept(TokenKind::RightParen).is_some() {
                return Ok(labels);
            }
            if self.accept(TokenKind::Comma).is_none() {
                return Err(self.unexpected(GROUPING_GOES_ON));
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<Arc<str>> {
        let token = self.peek();
        if token.kind == TokenKind::String {
            self.advance();
            let name = String::from_utf8(unquote(self.text(token.span)));
            return match name {
                Ok(name) if !name.is_empty() => Ok(name.into()),
                name => {
                    let bytes = name.map_or_else(|error| error.into_bytes(), String::into_bytes);
                    let shown = quoted(&bytes);
                    let message = format!("invalid label name for grouping: {shown}");
                    Err(self.error(token.span, message))
                }
            };
        }
        let is_label = match token.kind {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregator(_) => true,
            TokenKind::Operator(op) => op.text().starts_with(|c: char| c.is_alphabetic()),
            // The one keyword that upstream forgot.
            TokenKind::Keyword(word) => word != Keyword::Without,
            _ => false,
        };
        if !is_label {
            return Err(self.unexpected(GROUPING_LABEL));
        }
        self.advance();
        Ok(self.text(token.span).into())
    }
}
