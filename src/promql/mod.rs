//! What does this expression say of these series?
//!
//! Useful for: parsing, printing and evaluating PromQL over any [`crate::series::Queryable`].
//! Not useful for: knowing where series come from; this folder never imports `storage`.

pub mod ast;
mod engine;
mod eval;
mod functions;

pub use engine::{
    Answer, EngineError, EngineOptions, MatrixSeries, RunOptions, Value, VectorElement,
};
mod shim;
pub use shim::*;
