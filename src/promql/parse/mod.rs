//! Tokens into a tree: precedence climbing over the token slice.
//!
//! The grammar, the order in which mistakes are found and the words for them match upstream's
//! generated parser: where it would have read one token further before it decides, so does this
//! one, and a mistake inside of an aggregation, an offset or a bracket is told in their terms.

mod aggregate;
mod duration;
mod error;
mod expr;
mod literal;
mod postfix;
mod selector;
#[cfg(test)]
pub(super) mod table_tests;
#[cfg(test)]
mod tests;

pub use error::{ParseError, line_and_column};
#[cfg(any(test, feature = "testkit"))]
pub(crate) use literal::number as parse_number;

use crate::base::quote::quoted;
use crate::model::{Labels, Matcher};

use super::ast::{Expr, Span};
use super::check::check;
use super::lex::{Keyword, Lexed, Token, TokenKind, lex, unquote};

/// How deep expressions may be nested, so that reading and evaluating them does with the 2 MiB of
/// stack that a thread has by default. A chain of left-associative operators counts as nesting,
/// since its tree is that deep. Builds without optimisation need several times the stack.
pub const NESTING_MAX: usize = if cfg!(debug_assertions) { 90 } else { 300 };

/// What of the language is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseOptions {
    /// `promql-experimental-functions`: the functions that `SIGNATURES` marks experimental,
    /// `limitk` and `limit_ratio`.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: arithmetic, `step()`, `range()`, `min_of()` and `max_of()` in
    /// durations.
    pub duration_expressions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

/// What a Prometheus 3.14 server reads without further flags.
impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            fill_modifiers: false,
        }
    }
}

impl ParseOptions {
    /// The whole language.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
        }
    }
}

/// Reads a query and checks its types, with the default [`ParseOptions`].
///
/// # Errors
/// The first mistake that Prometheus would report, in its words.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, &ParseOptions::default())
}

/// Reads a query and checks its types.
///
/// # Errors
/// The first mistake that Prometheus would report, in its words.
pub fn parse_with(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let lexed = lex(query);
    let mut parser = Parser::new(query, &lexed, *options);
    if parser.peek().kind == TokenKind::End {
        return Err(parser.error(Span::default(), "no expression found in input"));
    }
    let mut expr = parser.expression()?.expr;
    parser.expect_end()?;
    check(query, &mut expr)?;
    Ok(*expr)
}

/// Reads what stands in a `match[]` parameter: a selector without modifiers. It may match all
/// series, which the caller may want to refuse.
///
/// # Errors
/// The first mistake that Prometheus would report, in its words.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let lexed = lex(text);
    let mut parser = Parser::new(text, &lexed, ParseOptions::default());
    let selector = parser.bare_selector()?;
    parser.expect_end()?;
    Ok(selector.matchers)
}

/// Reads the label set of one series, `name{label="value"}`.
///
/// # Errors
/// The first mistake that Prometheus would report, in its words; a label that stands there twice.
pub fn parse_metric(text: &str) -> Result<Labels, ParseError> {
    let lexed = lex(text);
    let mut parser = Parser::new(text, &lexed, ParseOptions::default());
    let labels = parser.label_set()?;
    parser.expect_end()?;
    Ok(labels)
}

type Parsed<T> = Result<T, ParseError>;

/// A finished part of the tree and how deep it is. Boxed, as recursion keeps many on the stack.
struct Node {
    expr: Box<Expr>,
    height: usize,
}

/// In whose terms an unexpected token is told: the place, and what was expected there.
#[derive(Clone, Copy)]
struct Context {
    place: &'static str,
    expected: &'static str,
}

impl Context {
    const TOP: Self = Self { place: "", expected: "" };
}

struct Parser<'a> {
    query: &'a str,
    lexed: &'a Lexed,
    at: usize,
    options: ParseOptions,
    context: Context,
    depth: usize,
}

impl<'a> Parser<'a> {
    const fn new(query: &'a str, lexed: &'a Lexed, options: ParseOptions) -> Self {
        Self { query, lexed, at: 0, options, context: Context::TOP, depth: 0 }
    }

    /// The next token; behind the last one, the last one again.
    fn peek(&self) -> Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Token {
        let end = Token { kind: TokenKind::End, span: Span::default() };
        let tokens = &self.lexed.tokens;
        tokens.get(self.at + ahead).or(tokens.last()).copied().unwrap_or(end)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Takes the next token if it is of this kind.
    fn accept(&mut self, kind: TokenKind) -> Option<Token> {
        (self.peek().kind == kind).then(|| self.advance())
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> bool {
        self.accept(TokenKind::Keyword(keyword)).is_some()
    }

    /// Takes the next token, which must be of this kind.
    fn expect(&mut self, kind: TokenKind) -> Parsed<Token> {
        self.accept(kind).ok_or_else(|| self.unexpected(self.context))
    }

    fn expect_end(&self) -> Parsed<()> {
        if self.peek().kind == TokenKind::End { Ok(()) } else { Err(self.unexpected(Context::TOP)) }
    }

    fn text(&self, span: Span) -> &'a str {
        self.query.get(span.start..span.end).unwrap_or_default()
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, span, message.into())
    }

    /// The error for the next token. What the lexer could not read is told in its own words.
    fn unexpected(&self, context: Context) -> ParseError {
        let token = self.peek();
        if let Some(error) = self.lexer_error() {
            return error;
        }
        let mut message = format!("unexpected {}", token.describe(self.query));
        if !context.place.is_empty() {
            message.push_str(" in ");
            message.push_str(context.place);
        }
        if !context.expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(context.expected);
        }
        self.error(token.span, message)
    }

    fn lexer_error(&self) -> Option<ParseError> {
        let token = self.peek();
        let message = self.lexed.error.as_ref()?;
        (token.kind == TokenKind::Failed).then(|| self.error(token.span, message.as_str()))
    }

    /// Upstream has read the next token before it decides what comes now; if the lexer failed on
    /// it, that was the first mistake.
    fn look_ahead(&self) -> Parsed<()> {
        self.lexer_error().map_or(Ok(()), Err)
    }

    /// From now on, an unexpected token is told in terms of `context`; gives the former one.
    const fn set_context(&mut self, context: Context) -> Context {
        std::mem::replace(&mut self.context, context)
    }

    /// Goes one level deeper; [`Parser::leave`] comes back.
    fn enter(&mut self) -> Parsed<()> {
        if self.depth >= NESTING_MAX {
            return Err(self.too_deep(self.peek().span));
        }
        self.depth += 1;
        Ok(())
    }

    const fn leave(&mut self) {
        self.depth -= 1;
    }

    fn too_deep(&self, span: Span) -> ParseError {
        self.error(span, format!("expression is nested more than {NESTING_MAX} levels deep"))
    }

    /// A part of the tree on top of parts that are at most `below` deep.
    fn node(&self, expr: Expr, below: usize) -> Parsed<Node> {
        if below >= NESTING_MAX {
            return Err(self.too_deep(expr.span));
        }
        Ok(Node { expr: Box::new(expr), height: below + 1 })
    }

    /// The text of a string token.
    fn string(&self, token: Token) -> Parsed<String> {
        String::from_utf8(unquote(self.text(token.span))).map_err(|error| {
            let shown = quoted(error.as_bytes());
            self.error(token.span, format!("string literal is not valid UTF-8: {shown}"))
        })
    }
}
