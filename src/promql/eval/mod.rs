//! What are the values of an expression at each step?
//!
//! Every operation is bound once: it learns the label sets of its inputs and decides those of its
//! outputs, groups, partners and places. Then it computes one output series after the other, all
//! steps at once, as its parent asks for them. Steps touch numbers only.
//!
//! Useful for: turning a [`super::plan::Plan`] and a source into values.
//! Not useful for: the arithmetic of functions; see [`super::functions`].

mod absent;
mod aggregate;
mod binary;
mod call;
mod classic;
mod coarse;
mod column;
mod info;
mod merge;
mod newest;
mod operator;
mod profile;
mod quantiles;
mod range;
mod remarks;
mod root;
mod run;
mod select;
mod stats;
mod tally;

use super::engine::EngineError;
use super::plan::{Kind, Node};

pub(crate) use column::{StepColumn, StepValue};
pub(crate) use profile::{AskCost, Costs, NodeCost};
pub(crate) use root::{Evaluated, Manners, evaluate};
pub(crate) use tally::Counted;

use run::Run;

use operator::{Bound, Work};

/// Binds an operation and everything below it.
fn bind<'r>(run: &'r Run<'r>, node: &'r Node) -> Bound<'r> {
    run.limits.check()?;
    let bound = profile::measure(&run.profiles, node, || bind_kind(run, node))?;
    run.hold_heads(bound.heads())?;
    Ok(bound)
}

fn bind_kind<'r>(run: &'r Run<'r>, node: &'r Node) -> Bound<'r> {
    match &node.kind {
        Kind::Number(value) => Ok(operator::Steady::number(*value, node.steps)),
        Kind::Nothing => Ok(Box::new(operator::Nothing)),
        Kind::Time => Ok(call::time(node.steps)),
        Kind::Newest(reading) => {
            select::bind(run, *reading, node.steps, select::Answer::Value, node.span)
        }
        Kind::NewestTime(reading) => {
            select::bind(run, *reading, node.steps, select::Answer::Time, node.span)
        }
        Kind::NewestStart(reading) => {
            select::bind(run, *reading, node.steps, select::Answer::Start, node.span)
        }
        Kind::Smoothed(reading) => {
            select::bind(run, *reading, node.steps, select::Answer::Smoothed, node.span)
        }
        Kind::Once(inner) => {
            run.tallies.as_ref().inspect(|tallies| tallies.enter_once(inner.steps));
            let bound = bind(run, inner)?;
            run.tallies.as_ref().inspect(|tallies| tallies.leave());
            Ok(Box::new(operator::Once::new(bound, node.steps)))
        }
        Kind::Negate(inner) => call::negate(run, inner),
        Kind::Binary(binary) => binary::bind(run, binary, node),
        Kind::Aggregate(aggregate) => aggregate::bind(run, aggregate, node),
        Kind::OverTime { function, window, parameters } => {
            range::bind(run, *function, window, parameters)
        }
        Kind::AbsentOverTime { window, labels } => absent::over_time(run, window, labels),
        Kind::Absent { vector, labels } => absent::bind(run, vector, labels, node.steps),
        Kind::Math { function, vector, parameters } => {
            call::math(run, *function, vector, parameters)
        }
        Kind::Date { function, vector } => {
            call::date(run, *function, vector.as_deref(), node.steps)
        }
        Kind::Scalar(vector) => call::scalar(run, vector, node.steps),
        Kind::Vector(scalar) => bind(run, scalar),
        Kind::StepTime(vector) => call::step_time(run, vector, node.steps),
        Kind::Extreme { largest, scalars } => call::extreme(run, *largest, scalars, node.steps),
        Kind::HistogramStat { stat, vector } => call::stat(run, *stat, vector),
        Kind::HistogramQuantile { quantile, vector } => {
            classic::quantile(run, quantile, vector, node.steps)
        }
        Kind::HistogramQuantiles { vector, label, quantiles } => {
            quantiles::bind(run, vector, label, quantiles, node.steps)
        }
        Kind::Info(info) => info::bind(run, info, node.steps),
        Kind::HistogramFraction { bounds, vector } => {
            classic::fraction(run, bounds, vector, node.steps)
        }
        Kind::Relabel { change, vector } => call::relabel(run, change, vector),
        Kind::Sort { order, vector } => call::sort(run, order, vector, node),
    }
}

/// The value of a scalar at each step.
fn scalar<'r>(run: &'r Run<'r>, node: &'r Node) -> Result<Vec<f64>, EngineError> {
    if let Kind::Number(value) = node.kind {
        return Ok(vec![value; node.steps.count]);
    }
    let bound = bind(run, node)?;
    let (mut column, mut work) = (StepColumn::new(), Work::default());
    if bound.heads().is_empty() {
        column.reset(node.steps.count);
    } else {
        bound.column(0, &mut column, &mut work)?;
    }
    Ok(column.values().to_vec())
}
