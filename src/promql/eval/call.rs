//! Functions that change values or labels series by series.

use crate::model::{Labels, METRIC_NAME};
use crate::promql::ast::Span;
use crate::promql::engine::EngineError;
use crate::promql::functions::{DateFunction, HistogramStat, LabelChange, MathFunction, SortOrder};
use crate::promql::notes::Note;
use crate::promql::plan::{Node, Steps, go_max, go_min};

use super::merge::merge;
use super::operator::{Bound, Head, Held, Nothing, Operator, Steady, Work};
use super::run::Run;
use super::{StepColumn, StepValue, bind, scalar as scalar_values};

/// A change of every column, whatever series it belongs to.
type Change<'r> = Box<dyn Fn(&mut StepColumn) + Send + Sync + 'r>;

/// The series of another operation with other heads and changed columns.
struct Changed<'r> {
    inner: Box<dyn Operator + 'r>,
    heads: Vec<Head>,
    change: Option<Change<'r>>,
}

impl Operator for Changed<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        self.inner.column(index, into, work)?;
        if let Some(change) = &self.change {
            change(into);
        }
        Ok(())
    }
}

/// Changes all values of `vector`, which are values of the metric no longer.
fn changed<'r>(run: &'r Run<'r>, vector: &'r Node, change: Change<'r>) -> Bound<'r> {
    let inner = bind(run, vector)?;
    let heads = inner.heads().iter().map(|head| run.nameless(head)).collect();
    let changed = Changed { inner, heads, change: Some(change) };
    run.unique(Box::new(changed), vector.steps)
}

/// `-vector`
pub(super) fn negate<'r>(run: &'r Run<'r>, vector: &'r Node) -> Bound<'r> {
    let inner = bind(run, vector)?;
    let heads = inner.heads().iter().map(|head| run.nameless(head)).collect();
    let change: Change<'r> = Box::new(|column| {
        column.map(|value| -value);
        if column.rows().is_some() {
            column.rows_mut().scale(|_| -1.0);
        }
    });
    let negated = Box::new(Changed { inner, heads, change: Some(change) });
    if run.delayed_name_removal { Ok(negated) } else { merge(negated) }
}

/// A function of one value.
pub(super) fn math<'r>(
    run: &'r Run<'r>,
    function: MathFunction,
    vector: &'r Node,
    parameters: &'r [Node],
) -> Bound<'r> {
    if let (Some(plain), []) = (function.plain(), parameters) {
        return changed(
            run,
            vector,
            Box::new(move |column| {
                column.drop_histograms();
                column.map(plain);
            }),
        );
    }
    let parameters: Vec<Vec<f64>> =
        parameters.iter().map(|node| scalar_values(run, node)).collect::<Result<_, _>>()?;
    let change = move |column: &mut StepColumn| {
        column.drop_histograms();
        for step in 0..column.len() {
            let Some(value) = column.get(step) else { continue };
            let scalar = |index: usize| {
                let by_step = parameters.get(index);
                by_step.and_then(|by_step| by_step.get(step)).copied().unwrap_or(f64::NAN)
            };
            match function.with(value, scalar) {
                Some(value) => column.set(step, value),
                None => column.unset(step),
            }
        }
    };
    changed(run, vector, Box::new(change))
}

/// A part of the date that each value is, or that the step is.
pub(super) fn date<'r>(
    run: &'r Run<'r>,
    function: DateFunction,
    vector: Option<&'r Node>,
    steps: Steps,
) -> Bound<'r> {
    match vector {
        Some(vector) => {
            let change: Change<'r> = Box::new(move |column| {
                column.drop_histograms();
                column.map(|v| function.of(v));
            });
            changed(run, vector, change)
        }
        None => {
            // Go's division cuts towards zero.
            let part = |step| function.of_whole(steps.at(step) / 1000);
            Ok(Steady::values((0..steps.count).map(part).collect()))
        }
    }
}

/// `time()`
pub(super) fn time<'r>(steps: Steps) -> Box<dyn Operator + 'r> {
    Steady::values((0..steps.count).map(|step| steps.at(step) as f64 / 1000.0).collect())
}

/// The time of the step, for each element.
pub(super) fn step_time<'r>(run: &'r Run<'r>, vector: &'r Node, steps: Steps) -> Bound<'r> {
    let change = move |column: &mut StepColumn| {
        if let Some(rows) = column.rows() {
            let steps: Vec<usize> = rows.steps().collect();
            column.drop_histograms();
            steps.into_iter().for_each(|step| column.set(step, 0.0));
        }
        let (values, _) = column.parts_mut();
        for (step, value) in values.iter_mut().enumerate() {
            *value = steps.at(step) as f64 / 1000.0;
        }
    };
    changed(run, vector, Box::new(change))
}

/// `scalar(vector)`: the one element of each step, NaN if there is none or more than one.
pub(super) fn scalar<'r>(run: &'r Run<'r>, vector: &'r Node, steps: Steps) -> Bound<'r> {
    let inner = bind(run, vector)?;
    let mut values = vec![f64::NAN; steps.count];
    let mut seen = StepColumn::new();
    seen.reset(steps.count);
    let indexes: Vec<usize> = (0..inner.heads().len()).collect();
    run.in_order(inner.as_ref(), &indexes, steps.count, |_, column| {
        for (step, value) in column.iter() {
            if let Some(slot) = values.get_mut(step) {
                *slot = if seen.has(step) { f64::NAN } else { value };
                seen.set(step, value);
            }
        }
        Ok(())
    })?;
    Ok(Steady::values(values))
}

/// A number about each histogram; floats have none.
pub(super) fn stat<'r>(run: &'r Run<'r>, stat: HistogramStat, vector: &'r Node) -> Bound<'r> {
    let inner = bind(run, vector)?;
    // Unlike other functions these keep type and unit where names are dropped at once.
    let head = |head: &Head| match run.delayed_name_removal {
        true => run.nameless(head),
        false => Head { labels: head.labels.with(METRIC_NAME, ""), drop_name: true },
    };
    let heads = inner.heads().iter().map(head).collect();
    let change: Change<'r> = Box::new(move |column| {
        let mut rows = column.take_rows();
        column.reset(column.len());
        for (step, one) in rows.iter() {
            column.set(step, stat.of(&one));
        }
        rows.clear();
        column.put_rows(rows);
    });
    let changed = Changed { inner, heads, change: Some(change) };
    run.unique(Box::new(changed), vector.steps)
}

/// `max_of` and `min_of`
pub(super) fn extreme<'r>(
    run: &'r Run<'r>,
    largest: bool,
    scalars: &'r [Node; 2],
    _: Steps,
) -> Bound<'r> {
    let [a, b] = scalars;
    let (a, b) = (scalar_values(run, a)?, scalar_values(run, b)?);
    let pick = if largest { go_max } else { go_min };
    Ok(Steady::values(a.iter().zip(&b).map(|(a, b)| pick(*a, *b)).collect()))
}

/// `label_replace` and `label_join`
pub(super) fn relabel<'r>(
    run: &'r Run<'r>,
    change: &'r LabelChange,
    vector: &'r Node,
) -> Bound<'r> {
    let inner = bind(run, vector)?;
    let relabelled = |head: &Head| match change.apply(&head.labels) {
        Some(labels) => Head { labels, drop_name: head.drop_name && !change.sets_name() },
        None => head.clone(),
    };
    let heads = inner.heads().iter().map(relabelled).collect();
    merge(Box::new(Changed { inner, heads, change: None }))
}

/// `sort` and its like: of use only where the order is kept, which is at a single instant.
pub(super) fn sort<'r>(
    run: &'r Run<'r>,
    order: &'r SortOrder,
    vector: &'r Node,
    call: &'r Node,
) -> Bound<'r> {
    let inner = bind(run, vector)?;
    if !call.steps.instant {
        run.note(Note::warning(
            call.span,
            "sort is ineffective for range queries since results are always ordered by labels",
        ));
        let heads = inner.heads().to_vec();
        let drop: Change<'r> = Box::new(StepColumn::drop_histograms);
        let change = Some(drop).filter(|_| matches!(order, SortOrder::Value { .. }));
        return run.unique(Box::new(Changed { inner, heads, change }), call.steps);
    }
    let mut elements: Vec<(Head, StepColumn, f64)> = Vec::new();
    let indexes: Vec<usize> = (0..inner.heads().len()).collect();
    run.in_order(inner.as_ref(), &indexes, 1, |index, column| {
        let value = match (order, column.all().next()) {
            (_, Some((_, StepValue::Float(value)))) => value,
            // Histograms have an order by label only.
            (SortOrder::Labels { .. }, Some(_)) => 0.0,
            _ => return Ok(()),
        };
        if let Some(head) = inner.heads().get(index) {
            run.limits.hold(column.size())?;
            elements.push((head.clone(), column.clone(), value));
        }
        Ok(())
    })?;
    let key = |element: &(Head, StepColumn, f64)| -> (Labels, f64) {
        (element.0.labels.clone(), element.2)
    };
    elements.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        order.compare((&a.0, a.1), (&b.0, b.1))
    });
    if elements.is_empty() {
        return Ok(Box::new(Nothing));
    }
    let (heads, columns) = elements.into_iter().map(|(head, column, _)| (head, column)).unzip();
    run.unique(Box::new(Held { heads, columns }), call.steps)
}

/// The warning about a quantile that is none.
pub(super) fn bad_quantile(q: f64, span: Span) -> Note {
    let q = crate::promql::print::number::general(q);
    Note::warning(span, format!("quantile value should be between 0 and 1, got {q}"))
}
