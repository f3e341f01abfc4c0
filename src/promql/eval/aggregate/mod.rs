//! Aggregations: what becomes of the series of a group?
//!
//! Groups are found once, by labels. Then the series come one after the other, in order, and are
//! folded into their groups; none of them is kept.

mod count_values;
mod fold;
mod groups;
mod histograms;
mod limit;
mod quantile;
mod top;

use crate::promql::ast::AggregateOp;
use crate::promql::engine::EngineError;
use crate::promql::plan::{AggregateNode, Node, Parameter};

use super::operator::Bound;

use super::run::Run;
use super::{bind as bind_node, scalar};
pub(super) use groups::LabelIndex;

/// Binds an aggregation and computes its groups.
pub(super) fn bind<'r>(run: &'r Run<'r>, node: &'r AggregateNode, whole: &'r Node) -> Bound<'r> {
    // The parameter comes first, so that its errors and notes do.
    let parameter = parameter(run, node)?;
    let inner = bind_node(run, &node.vector)?;
    let task = Task { run, node, inner: inner.as_ref(), parameter, whole };
    match node.op {
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Count
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Group
        | AggregateOp::Stddev
        | AggregateOp::Stdvar => fold::bind(&task),
        AggregateOp::Topk | AggregateOp::Bottomk => top::bind(&task),
        AggregateOp::Quantile => quantile::bind(&task),
        AggregateOp::CountValues => count_values::bind(&task),
        AggregateOp::Limitk => limit::count(&task),
        AggregateOp::LimitRatio => limit::ratio(&task),
    }
}

/// What every aggregation works with.
struct Task<'t, 'r> {
    run: &'r Run<'r>,
    node: &'r AggregateNode,
    inner: &'t (dyn super::operator::Operator + 'r),
    /// The scalar parameter at each step; empty without one.
    parameter: Vec<f64>,
    whole: &'r Node,
}

impl Task<'_, '_> {
    fn steps(&self) -> usize {
        self.whole.steps.count
    }

    /// Hands over all series in order.
    fn each(
        &self,
        each: impl FnMut(usize, &super::StepColumn) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let indexes: Vec<usize> = (0..self.inner.heads().len()).collect();
        self.run.in_order(self.inner, &indexes, self.steps(), each)
    }

    /// Where the parameter stands.
    fn parameter_span(&self) -> crate::promql::ast::Span {
        match &self.node.parameter {
            Some(Parameter::Scalar(node)) => node.span,
            _ => self.whole.span,
        }
    }
}

fn parameter<'r>(run: &'r Run<'r>, node: &'r AggregateNode) -> Result<Vec<f64>, EngineError> {
    match &node.parameter {
        Some(Parameter::Scalar(parameter)) => scalar(run, parameter),
        _ => Ok(Vec::new()),
    }
}
