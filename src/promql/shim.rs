//! Temporary.
use super::*;
use crate::series::Queryable;
/// x
#[derive(Debug)]
pub struct Engine;
impl Engine {
    /// x
    pub fn new(_: EngineOptions) -> Self {
        Self
    }
    /// x
    pub fn instant(
        &self,
        _: &dyn Queryable,
        _: &str,
        _: i64,
        _: &RunOptions,
    ) -> Result<Answer, EngineError> {
        Err(EngineError::Unsupported("x".into()))
    }
    /// x
    pub fn range(
        &self,
        _: &dyn Queryable,
        _: &str,
        _: i64,
        _: i64,
        _: i64,
        _: &RunOptions,
    ) -> Result<Answer, EngineError> {
        Err(EngineError::Unsupported("x".into()))
    }
}
