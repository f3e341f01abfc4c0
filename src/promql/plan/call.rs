//! Plans of function calls.

use std::sync::Arc;

use crate::model::{Labels, METRIC_NAME, MatchOp};
use crate::promql::ast::{Expr, ExprKind, Span, VectorSelector};
use crate::promql::engine::EngineError;
use crate::promql::functions::{Function, LabelChange, RangeFunction, SortOrder};

use super::build::{Builder, misplaced};
use super::duration::seconds;
use super::invariant::unwrapped;
use super::{Kind, Node, Steps};

type Kinded = Result<Kind, EngineError>;

impl Builder {
    /// Plans `name(args)` at `steps`.
    pub(super) fn call(&mut self, name: &str, args: &[Expr], at: Span, steps: Steps) -> Kinded {
        let Some(function) = Function::find(name) else {
            return Err(EngineError::Unsupported(format!("function {name}()")));
        };
        let number = |value: f64| Ok(Kind::Number(value));
        match (function, args) {
            (Function::OverTime(function), _) => self.over_time(function, args, at, steps),
            (Function::AbsentOverTime, [arg]) => {
                let labels = absent_labels(arg);
                Ok(Kind::AbsentOverTime { window: self.window(arg, steps)?, labels })
            }
            (Function::Absent, [arg]) => {
                let labels = absent_labels(arg);
                Ok(Kind::Absent { vector: self.boxed(arg, steps)?, labels })
            }
            (Function::Math(function), [vector, rest @ ..]) => {
                let vector = self.boxed(vector, steps)?;
                Ok(Kind::Math { function, vector, parameters: self.nodes(rest, steps)? })
            }
            (Function::Date(function), []) => Ok(Kind::Date { function, vector: None }),
            (Function::Date(function), [arg]) => {
                Ok(Kind::Date { function, vector: Some(self.boxed(arg, steps)?) })
            }
            (Function::Scalar, [arg]) => Ok(Kind::Scalar(self.boxed(arg, steps)?)),
            (Function::Vector, [arg]) => Ok(Kind::Vector(self.boxed(arg, steps)?)),
            (Function::Time, []) => Ok(Kind::Time),
            (Function::Pi, []) => number(std::f64::consts::PI),
            (Function::Timestamp, [arg]) => self.timestamp(arg, steps),
            (Function::StartTimestamp, _) if self.grid.start_timestamps => {
                Err(EngineError::Unsupported("function start_timestamp()".into()))
            }
            // Without start times no element has one.
            (Function::StartTimestamp, [arg]) => self.boxed(arg, steps).map(|_| Kind::Nothing),
            (Function::QueryStart, []) => number(self.grid.steps.start_ms as f64 / 1000.0),
            (Function::QueryEnd, []) => number(self.grid.end_ms as f64 / 1000.0),
            (Function::QueryRange, []) => number(seconds(self.lengths.range_ms)),
            (Function::QueryStep, []) if self.grid.steps.instant => number(0.0),
            (Function::QueryStep, []) => number(seconds(self.grid.step_ms)),
            (Function::MaxOf, [a, b]) => self.extreme(true, a, b, steps),
            (Function::MinOf, [a, b]) => self.extreme(false, a, b, steps),
            (Function::HistogramQuantile, [quantile, vector]) => {
                let quantile = self.boxed(quantile, steps)?;
                Ok(Kind::HistogramQuantile { quantile, vector: self.boxed(vector, steps)? })
            }
            (Function::HistogramFraction, [lower, upper, vector]) => {
                let bounds = Box::new([self.node(lower, steps)?, self.node(upper, steps)?]);
                Ok(Kind::HistogramFraction { bounds, vector: self.boxed(vector, steps)? })
            }
            (Function::LabelReplace, [vector, texts @ ..]) => {
                let change = LabelChange::replace(&strings(texts, at)?)?;
                Ok(Kind::Relabel { change, vector: self.boxed(vector, steps)? })
            }
            (Function::LabelJoin, [vector, texts @ ..]) => {
                let change = LabelChange::join(&strings(texts, at)?)?;
                Ok(Kind::Relabel { change, vector: self.boxed(vector, steps)? })
            }
            (Function::Sort { descending }, [vector]) => {
                let order = SortOrder::Value { descending };
                Ok(Kind::Sort { order, vector: self.boxed(vector, steps)? })
            }
            (Function::SortByLabel { descending }, [vector, texts @ ..]) => {
                let order = SortOrder::Labels { names: strings(texts, at)?, descending };
                Ok(Kind::Sort { order, vector: self.boxed(vector, steps)? })
            }
            _ => Err(misplaced(at)),
        }
    }

    fn boxed(&mut self, expr: &Expr, steps: Steps) -> Result<Box<Node>, EngineError> {
        Ok(Box::new(self.node(expr, steps)?))
    }

    fn nodes(&mut self, exprs: &[Expr], steps: Steps) -> Result<Vec<Node>, EngineError> {
        exprs.iter().map(|expr| self.node(expr, steps)).collect()
    }

    /// The window is the argument that is no scalar.
    fn over_time(
        &mut self,
        function: RangeFunction,
        args: &[Expr],
        at: Span,
        steps: Steps,
    ) -> Kinded {
        let (mut window, mut parameters) = (None, Vec::new());
        for arg in args {
            match unwrapped(arg).kind {
                ExprKind::Matrix { .. } | ExprKind::Subquery { .. } => {
                    window = Some(self.window(arg, steps)?);
                }
                _ => parameters.push(self.node(arg, steps)?),
            }
        }
        match window {
            Some(window) if parameters.len() == function.parameter_count() => {
                Ok(Kind::OverTime { function, window, parameters })
            }
            _ => Err(misplaced(at)),
        }
    }

    /// Only a selector knows when its samples were taken.
    fn timestamp(&mut self, arg: &Expr, steps: Steps) -> Kinded {
        match &unwrapped(arg).kind {
            ExprKind::Vector(selector) => Ok(Kind::NewestTime(self.reading(selector, steps)?)),
            _ => Ok(Kind::StepTime(self.boxed(arg, steps)?)),
        }
    }

    fn extreme(&mut self, largest: bool, a: &Expr, b: &Expr, steps: Steps) -> Kinded {
        let scalars = Box::new([self.node(a, steps)?, self.node(b, steps)?]);
        Ok(Kind::Extreme { largest, scalars })
    }
}

fn strings(args: &[Expr], at: Span) -> Result<Vec<Arc<str>>, EngineError> {
    let text = |arg: &Expr| match &unwrapped(arg).kind {
        ExprKind::String(text) => Ok(Arc::clone(text)),
        _ => Err(misplaced(at)),
    };
    args.iter().map(text).collect()
}

/// What a series that is absent would have been labelled: the labels that the selector names
/// once, with `=`. The metric's name is left out.
fn absent_labels(arg: &Expr) -> Labels {
    let selector: &VectorSelector = match &unwrapped(arg).kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => selector,
        _ => return Labels::empty(),
    };
    let mut labels = Labels::empty();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            labels = labels.with(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            labels = labels.with(matcher.name(), "");
        }
    }
    labels
}
