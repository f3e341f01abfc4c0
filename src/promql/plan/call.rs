//! Plans of function calls.

use std::sync::Arc;

use crate::model::{Labels, METRIC_NAME, MatchOp};
use crate::promql::ast::{Expr, ExprKind, Span, VectorSelector};
use crate::promql::engine::EngineError;
use crate::promql::functions::{
    Function, HistogramStat, LabelChange, RangeFunction, SortOrder, not_extended, utf8,
};
use crate::series::Hints;

use super::build::{Builder, misplaced};
use super::duration::seconds;
use super::invariant::unwrapped;
use super::{Kind, Node, Steps};

type Kinded = Result<Kind, EngineError>;

impl Builder {
    /// Plans `name(args)` at `steps`. Each family of functions has a method of its own, since
    /// calls nest and frames add up.
    pub(super) fn call(
        &mut self,
        name: &Arc<str>,
        args: &[Expr],
        at: Span,
        steps: Steps,
    ) -> Kinded {
        let Some(function) = Function::find(name) else {
            return Err(EngineError::Unsupported(format!("function {name}()")));
        };
        self.hints.push(Hints { func: Some(Arc::clone(name)), ..Hints::default() });
        let kind = match function {
            Function::OverTime(function) => self.over_time(function, name, args, at, steps),
            Function::Absent | Function::AbsentOverTime => self.absence(function, args, at, steps),
            Function::Math(_) | Function::Date(_) => self.by_value(function, args, at, steps),
            Function::HistogramStat(stat) => self.histogram_stat(stat, args, at, steps),
            Function::HistogramQuantile
            | Function::HistogramQuantiles
            | Function::HistogramFraction => {
                self.buckets_wanted += 1;
                let kind = self.histogram(function, args, at, steps);
                self.buckets_wanted -= 1;
                kind
            }
            Function::Info => self.info(args, at, steps),
            Function::LabelReplace
            | Function::LabelJoin
            | Function::Sort { .. }
            | Function::SortByLabel { .. } => self.by_labels(function, args, at, steps),
            Function::Scalar
            | Function::Vector
            | Function::Timestamp
            | Function::StartTimestamp
            | Function::MaxOf
            | Function::MinOf => self.between_types(function, args, at, steps),
            _ => self.of_the_query(function, at),
        };
        self.hints.pop();
        kind
    }

    fn absence(&mut self, function: Function, args: &[Expr], at: Span, steps: Steps) -> Kinded {
        let [arg] = args else { return Err(misplaced(at)) };
        let labels = absent_labels(arg);
        match function {
            Function::Absent => Ok(Kind::Absent { vector: self.boxed(arg, steps)?, labels }),
            _ => {
                let window = self.window(arg, steps)?;
                if let Some(how) = window.extended {
                    return Err(not_extended(how, "absent_over_time"));
                }
                Ok(Kind::AbsentOverTime { window, labels })
            }
        }
    }

    fn by_value(&mut self, function: Function, args: &[Expr], at: Span, steps: Steps) -> Kinded {
        match (function, args) {
            (Function::Math(function), [vector, rest @ ..]) => {
                let vector = self.boxed(vector, steps)?;
                Ok(Kind::Math { function, vector, parameters: self.nodes(rest, steps)? })
            }
            (Function::Date(function), []) => Ok(Kind::Date { function, vector: None }),
            (Function::Date(function), [arg]) => {
                Ok(Kind::Date { function, vector: Some(self.boxed(arg, steps)?) })
            }
            _ => Err(misplaced(at)),
        }
    }

    fn histogram_stat(
        &mut self,
        stat: HistogramStat,
        args: &[Expr],
        at: Span,
        steps: Steps,
    ) -> Kinded {
        let [vector] = args else { return Err(misplaced(at)) };
        self.stats_wanted += usize::from(stat.is_without_buckets());
        let vector = self.boxed(vector, steps);
        self.stats_wanted -= usize::from(stat.is_without_buckets());
        Ok(Kind::HistogramStat { stat, vector: vector? })
    }

    fn histogram(&mut self, function: Function, args: &[Expr], at: Span, steps: Steps) -> Kinded {
        match (function, args) {
            (Function::HistogramQuantile, [quantile, vector]) => {
                let quantile = self.boxed(quantile, steps)?;
                Ok(Kind::HistogramQuantile { quantile, vector: self.boxed(vector, steps)? })
            }
            (Function::HistogramQuantiles, [vector, label, quantiles @ ..]) => {
                let [label] = strings(std::slice::from_ref(label), at)?
                    .try_into()
                    .map_err(|_| misplaced(at))?;
                let label = utf8(&label)?;
                let quantiles = self.nodes(quantiles, steps)?;
                let vector = self.boxed(vector, steps)?;
                Ok(Kind::HistogramQuantiles { vector, label, quantiles })
            }
            (Function::HistogramFraction, [lower, upper, vector]) => {
                let bounds = Box::new([self.node(lower, steps)?, self.node(upper, steps)?]);
                Ok(Kind::HistogramFraction { bounds, vector: self.boxed(vector, steps)? })
            }
            _ => Err(misplaced(at)),
        }
    }

    fn by_labels(&mut self, function: Function, args: &[Expr], at: Span, steps: Steps) -> Kinded {
        let [vector, texts @ ..] = args else { return Err(misplaced(at)) };
        let texts = strings(texts, at)?;
        let order = match function {
            Function::LabelReplace => {
                let change = LabelChange::replace(&texts)?;
                return Ok(Kind::Relabel { change, vector: self.boxed(vector, steps)? });
            }
            Function::LabelJoin => {
                let change = LabelChange::join(&texts)?;
                return Ok(Kind::Relabel { change, vector: self.boxed(vector, steps)? });
            }
            Function::Sort { descending } => SortOrder::Value { descending },
            Function::SortByLabel { descending } => {
                let names = texts.iter().map(|name| utf8(name)).collect::<Result<_, _>>()?;
                SortOrder::Labels { names, descending }
            }
            _ => return Err(misplaced(at)),
        };
        Ok(Kind::Sort { order, vector: self.boxed(vector, steps)? })
    }

    fn between_types(
        &mut self,
        function: Function,
        args: &[Expr],
        at: Span,
        steps: Steps,
    ) -> Kinded {
        match (function, args) {
            (Function::Scalar, [arg]) => Ok(Kind::Scalar(self.boxed(arg, steps)?)),
            (Function::Vector, [arg]) => Ok(Kind::Vector(self.boxed(arg, steps)?)),
            (Function::Timestamp, [arg]) => self.timestamp(arg, steps),
            (Function::StartTimestamp, [arg]) => self.start_timestamp(arg, steps),
            (Function::MaxOf, [a, b]) => self.extreme(true, a, b, steps),
            (Function::MinOf, [a, b]) => self.extreme(false, a, b, steps),
            _ => Err(misplaced(at)),
        }
    }

    /// Functions without arguments.
    fn of_the_query(&self, function: Function, at: Span) -> Kinded {
        Ok(Kind::Number(match function {
            Function::Time => return Ok(Kind::Time),
            Function::Pi => std::f64::consts::PI,
            Function::QueryStart => self.grid.steps.start_ms as f64 / 1000.0,
            Function::QueryEnd => self.grid.end_ms as f64 / 1000.0,
            Function::QueryRange => seconds(self.lengths.range_ms),
            Function::QueryStep if self.grid.steps.instant => 0.0,
            Function::QueryStep => seconds(self.grid.step_ms),
            _ => return Err(misplaced(at)),
        }))
    }

    fn nodes(&mut self, exprs: &[Expr], steps: Steps) -> Result<Vec<Node>, EngineError> {
        exprs.iter().map(|expr| self.node(expr, steps)).collect()
    }

    /// The window is the argument that is no scalar.
    fn over_time(
        &mut self,
        function: RangeFunction,
        name: &str,
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
        if let Some(how) = window.as_ref().and_then(|window| window.extended) {
            function.check_extended(how, name)?;
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

    /// Only samples have starts, what is computed from them does not.
    fn start_timestamp(&mut self, arg: &Expr, steps: Steps) -> Kinded {
        match &unwrapped(arg).kind {
            ExprKind::Vector(selector) if self.grid.start_timestamps => {
                Ok(Kind::NewestStart(self.reading(selector, steps)?))
            }
            _ => self.boxed(arg, steps).map(|_| Kind::Nothing),
        }
    }

    fn extreme(&mut self, largest: bool, a: &Expr, b: &Expr, steps: Steps) -> Kinded {
        let scalars = Box::new([self.node(a, steps)?, self.node(b, steps)?]);
        Ok(Kind::Extreme { largest, scalars })
    }
}

fn strings(args: &[Expr], at: Span) -> Result<Vec<Arc<[u8]>>, EngineError> {
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
