//! Selectors and label sets.

use std::sync::Arc;

use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{BinaryOp, Modifiers, Span, VectorSelector};
use crate::promql::lex::{Token, TokenKind};

use super::expr::is_metric_name;
use super::{Context, Parsed, Parser};

const MATCHING: &str = "label matching";
const SET: &str = "label set";

const fn expected(place: &'static str, expected: &'static str) -> Context {
    Context { place, expected }
}

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`, and where it stands.
    pub(super) fn vector_selector(&mut self) -> Parsed<(VectorSelector, Span)> {
        let first = self.peek();
        let name = self.metric_name();
        let mut matchers = Vec::new();
        if self.peek().kind == TokenKind::LeftBrace {
            matchers = self.matchers()?;
        } else if name.is_none() {
            return Err(self.unexpected(self.context));
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let span = self.span_from(first.span.start);
        Ok((VectorSelector { name, matchers, at: Modifiers::default(), extended: None }, span))
    }

    fn metric_name(&mut self) -> Option<Arc<str>> {
        let token = self.peek();
        is_metric_name(token.kind).then(|| {
            self.advance();
            self.text(token.span).into()
        })
    }

    fn matchers(&mut self) -> Parsed<Vec<Matcher>> {
        self.advance();
        let mut matchers = Vec::new();
        if self.accept(TokenKind::RightBrace).is_some() {
            return Ok(matchers);
        }
        loop {
            matchers.push(self.matcher()?);
            if self.accept(TokenKind::RightBrace).is_some() {
                return Ok(matchers);
            }
            if self.accept(TokenKind::Comma).is_none() {
                return Err(self.unexpected(expected(MATCHING, "\",\" or \"}\"")));
            }
            if self.accept(TokenKind::RightBrace).is_some() {
                return Ok(matchers);
            }
        }
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let name = self.peek();
        let text = match name.kind {
            TokenKind::Identifier => {
                self.advance();
                self.text(name.span).to_owned()
            }
            TokenKind::String => {
                self.advance();
                self.string(name)?
            }
            _ => return Err(self.unexpected(expected(MATCHING, "identifier or \"}\""))),
        };
        let op = match self.peek().kind {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::Ne) => MatchOp::NotEqual,
            TokenKind::EqualRegex => MatchOp::Regex,
            TokenKind::NotRegex => MatchOp::NotRegex,
            // A text alone is the name of the metric.
            _ if name.kind == TokenKind::String => {
                self.look_ahead()?;
                return Ok(Matcher::equal(METRIC_NAME, &text));
            }
            _ => return Err(self.unexpected(expected(MATCHING, "label matching operator"))),
        };
        self.advance();
        let Some(value) = self.accept(TokenKind::String) else {
            return Err(self.unexpected(expected(MATCHING, "string")));
        };
        let pattern = self.string(value)?;
        Matcher::new(&text, op, &pattern).map_err(|error| {
            let span = Span { start: name.span.start, end: value.span.end };
            self.error(span, error.to_string())
        })
    }

    /// `name{label="value"}`, the label set of one series.
    pub(super) fn label_set(&mut self) -> Parsed<Labels> {
        let first = self.peek();
        let mut pairs = Vec::new();
        let name = self.metric_name();
        if self.accept(TokenKind::LeftBrace).is_some() {
            self.label_pairs(&mut pairs)?;
        }
        if let Some(name) = name {
            // As in upstream's builder, the name in front wins.
            pairs.retain(|(known, _): &(String, String)| known != METRIC_NAME);
            pairs.push((METRIC_NAME.to_owned(), name.to_string()));
        }
        Labels::from_pairs(pairs)
            .map_err(|error| self.error(self.span_from(first.span.start), error.to_string()))
    }

    fn label_pairs(&mut self, pairs: &mut Vec<(String, String)>) -> Parsed<()> {
        loop {
            if self.accept(TokenKind::RightBrace).is_some() {
                return Ok(());
            }
            pairs.push(self.label_pair()?);
            if self.accept(TokenKind::RightBrace).is_some() {
                return Ok(());
            }
            if self.accept(TokenKind::Comma).is_none() {
                return Err(self.unexpected(expected(SET, "\",\" or \"}\"")));
            }
        }
    }

    fn label_pair(&mut self) -> Parsed<(String, String)> {
        let name: Token = self.peek();
        let text = match name.kind {
            TokenKind::Identifier => {
                self.advance();
                self.text(name.span).to_owned()
            }
            TokenKind::String => {
                self.advance();
                self.string(name)?
            }
            _ => return Err(self.unexpected(expected(SET, "identifier or \"}\""))),
        };
        if self.accept(TokenKind::Equal).is_none() {
            if name.kind == TokenKind::String {
                return Ok((METRIC_NAME.to_owned(), text));
            }
            return Err(self.unexpected(expected(SET, "\"=\"")));
        }
        let Some(value) = self.accept(TokenKind::String) else {
            return Err(self.unexpected(expected(SET, "string")));
        };
        Ok((text, self.string(value)?))
    }
}
