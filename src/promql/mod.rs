//! What does this expression say of these series?
//!
//! Useful for: parsing, printing and evaluating PromQL over any [`crate::series::Queryable`].
//! Not useful for: knowing where series come from; this folder never imports `storage`.

pub mod ast;
mod check;
mod engine;
mod eval;
mod functions;
mod lex;
mod limits;
mod notes;
mod parse;
mod plan;
pub mod pretty;
mod print;
mod quantile;
mod signature;

pub use check::value_type;
pub use engine::{
    ActiveQueries, Answer, Engine, EngineError, EngineOptions, Explanation, MatrixSeries,
    MeasuredNode, MeasuredRead, PlannedNode, PlannedRead, QueryStats, QueryTimes, RunOptions,
    SampleStats, StatsWanted, Timings, UnfinishedQuery, Value, VectorElement,
};
pub use notes::{Detail, Note, Notes, SHOWN_MAX, Severity};
#[cfg(any(test, feature = "testkit"))]
pub(crate) use parse::parse_number;
pub use parse::{
    NESTING_MAX, ParseError, ParseOptions, line_and_column, parse, parse_metric, parse_selector,
    parse_with,
};
pub use signature::{Arity, SIGNATURES, Signature, signature};
