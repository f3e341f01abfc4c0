//! Some elements of each group, whichever: `limitk` and `limit_ratio`.

use xxhash_rust::xxh64::xxh64;

use crate::model::Labels;
use crate::model::histogram::float::FloatRows;
use crate::promql::engine::EngineError;
use crate::promql::notes::Note;
use crate::promql::plan::{go_max, go_min};
use crate::promql::print::number::general;

use super::super::StepColumn;
use super::super::operator::{Bound, Held, Nothing};
use super::Task;
use super::groups::{Grouping, Groups};
use super::top::counts;

/// `limitk(k, vector)`: the first elements of each group.
pub(super) fn count<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
    let Some(counts) = counts(&task.parameter)? else { return Ok(Box::new(Nothing)) };
    let grouping = Grouping { names: &task.node.grouping, without: task.node.without };
    let groups = Groups::find(task.inner.heads(), grouping);
    task.run.limits.hold(groups.len().saturating_mul(task.steps()))?;
    let mut taken = vec![vec![0_usize; task.steps()]; groups.len()];
    filter(task, |index, step| {
        let Some(taken) = taken.get_mut(groups.of(index)).and_then(|steps| steps.get_mut(step))
        else {
            return false;
        };
        let is_free = *taken < counts.get(step).copied().unwrap_or_default();
        *taken += usize::from(is_free);
        is_free
    })
}

/// `limit_ratio(r, vector)`: elements whose hash lies in the lower part `r` of all hashes, or for
/// a negative `r` in the upper part.
pub(super) fn ratio<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
    let most = task.parameter.iter().copied().reduce(go_max).unwrap_or_default();
    let least = task.parameter.iter().copied().reduce(go_min).unwrap_or_default();
    if most == 0.0 && least == 0.0 {
        return Ok(Box::new(Nothing));
    }
    if task.parameter.iter().any(|ratio| ratio.is_nan()) {
        return Err(EngineError::Execution("Ratio value is NaN".into()));
    }
    let capped = [(most > 1.0, most, 1.0), (least < -1.0, least, -1.0)];
    for (_, got, to) in capped.into_iter().filter(|case| case.0) {
        let (got, to) = (general(got), general(to));
        let text = format!("ratio value should be between -1 and 1, got {got}, capping to {to}");
        task.run.note(Note::warning(task.parameter_span(), text));
    }
    let places: Vec<f64> = task.inner.heads().iter().map(|head| place(&head.labels)).collect();
    filter(task, |index, step| {
        let ratio = task.parameter.get(step).copied().unwrap_or_default().clamp(-1.0, 1.0);
        let place = places.get(index).copied().unwrap_or_default();
        if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
    })
}

/// The elements for which `keeps(series, step)` holds.
fn filter<'r>(task: &Task<'_, 'r>, mut keeps: impl FnMut(usize, usize) -> bool) -> Bound<'r> {
    let mut held = Held { heads: Vec::new(), columns: Vec::new() };
    task.each(|index, column| {
        let mut kept = StepColumn::new();
        kept.fill_with(task.steps(), |step| column.get(step).filter(|_| keeps(index, step)));
        for (step, one) in column.rows().into_iter().flat_map(FloatRows::iter) {
            if keeps(index, step) {
                kept.rows_mut().push(step, one);
            }
        }
        if let (Some(head), false) = (task.inner.heads().get(index), kept.is_empty()) {
            task.run.limits.hold(kept.size())?;
            held.heads.push(head.clone());
            held.columns.push(kept);
        }
        Ok(())
    })?;
    Ok(Box::new(held))
}

/// Where a label set stands among all hashes, from 0 to 1. The hash is that of Prometheus's own
/// encoding of labels, so that both choose the same series.
fn place(labels: &Labels) -> f64 {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < u8::MAX => bytes.push(length),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend(text.len().to_le_bytes().into_iter().take(3));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes, 0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_have_the_place_that_prometheus_gives_them() {
        let cases = [
            ("production", "0", 0x1835_1c04_9c0d_95e6_u64),
            ("production", "1", 0x1984_51ea_70e5_db8e),
            ("canary", "2", 0xdc90_a5ca_507c_8bb9),
            ("canary", "histogram_1", 0x87a3_ed55_a8c2_b3f8),
        ];
        for (group, instance, hash) in cases {
            let labels = Labels::from_pairs([
                ("__name__", "http_requests"),
                ("group", group),
                ("instance", instance),
                ("job", "api-server"),
            ]);
            assert_eq!(place(&labels.unwrap()), hash as f64 / u64::MAX as f64);
        }
    }
}
