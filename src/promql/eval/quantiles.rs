//! `histogram_quantiles`: several quantiles of each histogram, told apart by a label.

use std::collections::BTreeMap;

use crate::base::gonum::format_open_metrics;
use crate::promql::engine::EngineError;
use crate::promql::plan::{Node, Steps};

use super::call::bad_quantile;
use super::classic::{Histograms, Remarks};
use super::operator::{Bound, Head, Held, Work};
use super::run::Run;
use super::{StepColumn, scalar};

/// One of the quantiles, by step.
struct Wanted {
    values: Vec<f64>,
    /// The values as the label has them, each once.
    texts: Vec<String>,
    /// Index in `texts`, by step.
    text_of: Vec<usize>,
}

impl Wanted {
    fn new(values: Vec<f64>) -> Self {
        let (mut texts, mut known) = (Vec::new(), BTreeMap::new());
        let number = |value: &f64| {
            // All NaNs are written alike.
            let key = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
            *known.entry(key).or_insert_with(|| {
                let mut text = String::new();
                format_open_metrics(&mut text, *value);
                texts.push(text);
                texts.len() - 1
            })
        };
        let text_of = values.iter().map(number).collect();
        Self { values, texts, text_of }
    }
}

/// Computes all quantiles of a histogram while its buckets are at hand.
pub(super) fn bind<'r>(
    run: &'r Run<'r>,
    vector: &'r Node,
    label: &str,
    quantiles: &'r [Node],
    steps: Steps,
) -> Bound<'r> {
    let histograms = Histograms::bind(run, vector)?;
    let mut wanted = Vec::with_capacity(quantiles.len());
    for node in quantiles {
        let values = scalar(run, node)?;
        for q in values.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            run.note(bad_quantile(*q, node.span));
        }
        wanted.push(Wanted::new(values));
    }
    let heads = &histograms.heads;
    let mut columns =
        run.collect(heads.len(), |index, work| columns(&histograms, index, &wanted, steps, work))?;
    let mut held = Held { heads: Vec::new(), columns: Vec::new() };
    // Histogram by histogram within a quantile, as upstream answers them.
    for (number, wanted) in wanted.iter().enumerate() {
        for (head, columns) in heads.iter().zip(&mut columns) {
            let columns = columns.get_mut(number).map(std::mem::take).unwrap_or_default();
            for (text, column) in wanted.texts.iter().zip(columns) {
                held.heads.push(Head { labels: head.labels.with(label, text), drop_name: true });
                held.columns.push(column);
            }
        }
    }
    run.unique(Box::new(held), steps)
}

/// The answers of one histogram: for each quantile, a column for each of its values.
fn columns(
    histograms: &Histograms<'_>,
    index: usize,
    wanted: &[Wanted],
    steps: Steps,
    work: &mut Work,
) -> Result<Vec<Vec<StepColumn>>, EngineError> {
    let mut empty = StepColumn::new();
    empty.reset(steps.count);
    let cells: usize = wanted.iter().map(|wanted| wanted.texts.len() * steps.count).sum();
    histograms.hold(cells)?;
    let mut columns: Vec<Vec<StepColumn>> =
        wanted.iter().map(|wanted| vec![empty.clone(); wanted.texts.len()]).collect();
    let mut remarks = Remarks::default();
    histograms.each(index, steps, work, |step, mut observed| {
        for (wanted, columns) in wanted.iter().zip(&mut columns) {
            let (value, text) = (wanted.values.get(step), wanted.text_of.get(step));
            let column = text.and_then(|text| columns.get_mut(*text));
            if let (Some(value), Some(column)) = (value, column) {
                // Buckets that were repaired for one quantile stay so for the next.
                column.set(step, observed.quantile(*value, &mut remarks, steps.at(step)));
            }
        }
    })?;
    histograms.note(index, remarks);
    Ok(columns)
}
