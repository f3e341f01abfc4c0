//! The tree of an expression. Every node knows the bytes of the query that it came from.

use std::sync::Arc;

use crate::model::Matcher;

/// Bytes of the query text, first inclusive, last exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
}

/// The type of an expression's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// One number a step.
    Scalar,
    /// A set of series with one sample each at a step.
    InstantVector,
    /// A set of series with a window of samples each at a step.
    RangeVector,
    /// A text.
    String,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number; `as_duration` if it was written as one and is to be printed as one.
    Number {
        /// The value; of a duration in seconds.
        value: f64,
        /// Written as a duration.
        as_duration: bool,
    },
    /// A text in quotes. It need not be UTF-8, as `"\xff"` is one byte.
    String(Arc<[u8]>),
    /// `metric{label="value"} @ … offset …`
    Vector(VectorSelector),
    /// `metric[5m] @ … offset …`
    Matrix {
        /// The selector, with the modifiers that stand behind the bracket.
        selector: VectorSelector,
        /// Length of the window.
        range: DurationExpr,
    },
    /// `expr[1h:5m] @ … offset …`
    Subquery {
        /// What is evaluated at each inner step.
        expr: Box<Expr>,
        /// Length of the window.
        range: DurationExpr,
        /// Distance of inner steps; without it the engine's default.
        step: Option<DurationExpr>,
        /// `@` and `offset`.
        at: Modifiers,
    },
    /// `(expr)`
    Paren(Box<Expr>),
    /// `-expr` or `+expr`
    Unary {
        /// True for `-`.
        negative: bool,
        /// The operand.
        expr: Box<Expr>,
    },
    /// `left op right`
    Binary(Box<Binary>),
    /// `sum by (label) (expr)`
    Aggregate(Box<Aggregate>),
    /// `function(args)`
    Call {
        /// The function's name as written.
        function: Arc<str>,
        /// The arguments.
        args: Vec<Expr>,
    },
}

/// Which series, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The name in front of the braces. It also stands last in `matchers`.
    pub name: Option<Arc<str>>,
    /// All conditions.
    pub matchers: Vec<Matcher>,
    /// `@` and `offset`.
    pub at: Modifiers,
    /// `anchored` or `smoothed`.
    pub extended: Option<Extended>,
}

/// How a window is completed at its edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// `anchored`: from the sample before the window.
    Anchored,
    /// `smoothed`: interpolated at both edges.
    Smoothed,
}

/// `@` and `offset` of a selector or a subquery.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Modifiers {
    /// The pinned instant.
    pub at: Option<AtModifier>,
    /// How far back; negative looks ahead.
    pub offset: Option<DurationExpr>,
}

/// What `@` pins to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AtModifier {
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// A length of time, written out or computed.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Where it stands.
    pub span: Span,
}

/// What a length of time is.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// A duration or a number of seconds, in milliseconds.
    Literal(i64),
    /// A number inside of arithmetic, in seconds or plain.
    Number(f64),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `-d` or `+d`
    Unary(bool, Box<DurationExpr>),
    /// `a op b`, one of `+ - * / % ^`
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `(d)`
    Paren(Box<DurationExpr>),
}

/// An operator between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the operators")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Unless,
    TrimUpper,
    TrimLower,
}

impl BinaryOp {
    /// The operator as PromQL writes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    /// True for `== != < <= > >=`.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }

    /// True for `</ >/`.
    #[must_use]
    pub const fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// True for `and or unless`.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// `left op right`
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left operand.
    pub left: Expr,
    /// The right operand.
    pub right: Expr,
    /// `bool`: a comparison answers 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How elements of two vectors find each other; `None` unless both sides are vectors.
    pub matching: Option<Matching>,
}

/// How elements of two vectors find each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// True for `on`, false for `ignoring` or nothing.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<Arc<str>>,
    /// How many partners an element may have.
    pub cardinality: Cardinality,
    /// The labels in `group_left(…)` or `group_right(…)`.
    pub include: Vec<Arc<str>>,
    /// Value for a missing left partner.
    pub fill_left: Option<f64>,
    /// Value for a missing right partner.
    pub fill_right: Option<f64>,
}

/// How many partners an element may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// One on each side.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// An aggregation's operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the operators")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// The operator as PromQL writes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// True if a parameter stands before the vector.
    #[must_use]
    pub const fn takes_parameter(self) -> bool {
        matches!(
            self,
            Self::Topk
                | Self::Bottomk
                | Self::CountValues
                | Self::Quantile
                | Self::Limitk
                | Self::LimitRatio
        )
    }
}

/// `op by (labels) (parameter, expr)`
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The parameter of topk and its like.
    pub parameter: Option<Expr>,
    /// Labels of `by` or `without`.
    pub grouping: Vec<Arc<str>>,
    /// True for `without`.
    pub without: bool,
}
