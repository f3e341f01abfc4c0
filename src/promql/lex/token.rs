//! What the lexer gives.

use crate::base::quote::quoted;
use crate::promql::ast::{AggregateOp, BinaryOp, Span};

/// A word or sign of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Where it stands.
    pub(crate) span: Span,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Equal,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    /// An operator between expressions; `!=` is also one between label and value.
    Operator(BinaryOp),
    At,
    Keyword(Keyword),
    Aggregator(AggregateOp),
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    Number,
    Duration,
    String,
    /// The end of the text.
    End,
    /// The text cannot be read from here on.
    Failed,
}

impl TokenKind {
    pub(super) const EQ: Self = Self::Operator(BinaryOp::Eq);
    pub(super) const NE: Self = Self::Operator(BinaryOp::Ne);
    pub(super) const LT: Self = Self::Operator(BinaryOp::Lt);
    pub(super) const LE: Self = Self::Operator(BinaryOp::Le);
    pub(super) const GT: Self = Self::Operator(BinaryOp::Gt);
    pub(super) const GE: Self = Self::Operator(BinaryOp::Ge);
    pub(super) const TRIM_UPPER: Self = Self::Operator(BinaryOp::TrimUpper);
    pub(super) const TRIM_LOWER: Self = Self::Operator(BinaryOp::TrimLower);
}

/// A word with a meaning of its own where it stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Keyword {
    /// True for words that are functions if a parenthesis follows.
    pub(crate) const fn is_function(self) -> bool {
        matches!(
            self,
            Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf
        )
    }

    const fn is_fill(self) -> bool {
        matches!(self, Self::Fill | Self::FillLeft | Self::FillRight)
    }
}

const KEYWORDS: [(&str, Keyword); 19] = [
    ("offset", Keyword::Offset),
    ("smoothed", Keyword::Smoothed),
    ("anchored", Keyword::Anchored),
    ("by", Keyword::By),
    ("without", Keyword::Without),
    ("on", Keyword::On),
    ("ignoring", Keyword::Ignoring),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("bool", Keyword::Bool),
    ("start", Keyword::Start),
    ("end", Keyword::End),
    ("step", Keyword::Step),
    ("range", Keyword::Range),
    ("max_of", Keyword::MaxOf),
    ("min_of", Keyword::MinOf),
];

/// What a word outside of braces and brackets is; `rest` is what follows it.
pub(super) fn classify(word: &str, rest: &str) -> TokenKind {
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    if let Some((_, keyword)) = KEYWORDS.iter().find(|(name, _)| is(name)) {
        // These came late; as names of metrics they must stay what they were.
        if keyword.is_fill() && !rest.trim_start_matches(super::is_space).starts_with('(') {
            return TokenKind::Identifier;
        }
        return TokenKind::Keyword(*keyword);
    }
    if let Some(op) = AggregateOp::ALL.into_iter().find(|op| is(op.text())) {
        return TokenKind::Aggregator(op);
    }
    let named = [BinaryOp::And, BinaryOp::Or, BinaryOp::Unless, BinaryOp::Atan2];
    if let Some(op) = named.into_iter().find(|op| is(op.text())) {
        return TokenKind::Operator(op);
    }
    if is("inf") || is("nan") {
        return TokenKind::Number;
    }
    if word.contains(':') { TokenKind::MetricIdentifier } else { TokenKind::Identifier }
}

/// One of the four words that may stand in a duration.
pub(super) fn duration_word(word: &str) -> Option<TokenKind> {
    let known = ["step", "range", "max_of", "min_of"];
    known.iter().any(|known| word.eq_ignore_ascii_case(known)).then(|| classify(word, ""))
}

/// `+ - * / % ^`
pub(super) const fn arithmetic(c: char) -> Option<TokenKind> {
    Some(TokenKind::Operator(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    }))
}

impl Token {
    /// The token as messages name it.
    pub(crate) fn describe(self, query: &str) -> String {
        let text = query.get(self.span.start..self.span.end).unwrap_or_default();
        let kind = match self.kind {
            TokenKind::End | TokenKind::Failed => return "end of input".into(),
            TokenKind::Identifier => return format!("identifier {}", quoted(text)),
            TokenKind::MetricIdentifier => return format!("metric identifier {}", quoted(text)),
            TokenKind::Keyword(keyword) if !keyword.is_function() => return format!("<{text}>"),
            TokenKind::Aggregator(_) => return format!("<aggr:{text}>"),
            TokenKind::Operator(_)
            | TokenKind::At
            | TokenKind::EqualRegex
            | TokenKind::NotRegex => return format!("<op:{text}>"),
            TokenKind::Number => "number ",
            TokenKind::Duration => "duration ",
            TokenKind::String => "string ",
            _ => "",
        };
        if text.len() <= 10 {
            return format!("{kind}{}", quoted(text));
        }
        let cut: String = text.chars().take(10).collect();
        format!("{kind}{}...", quoted(&cut))
    }
}
