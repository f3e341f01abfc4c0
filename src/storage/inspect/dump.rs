//! All samples as text.

use std::io::Write;

use crate::base::gonum::format_float_g;
use crate::model::{Column, Matcher, Value};
use crate::series::{Queryable, Select, TimeRange, merge_sets};

use super::InspectError;

/// Writes the samples in `range` of all series that any of the matcher lists describes, as
/// `promtool tsdb dump` does: `{labels} value time`, a line each. Memory grows with the number of
/// series and with the samples of one series.
///
/// # Errors
/// The source's answer, or the writer's; lines before are written.
pub fn dump(
    source: &dyn Queryable,
    any_of: &[Vec<Matcher>],
    range: TimeRange,
    out: &mut dyn Write,
) -> Result<u64, InspectError> {
    let mut sets = Vec::new();
    for matchers in any_of {
        sets.push(source.select(&Select::new(matchers.clone(), range))?);
    }
    let mut column = Column::new();
    let mut text = String::new();
    let mut written = 0;
    for series in merge_sets(sets).series {
        column.clear();
        series.read(range, &mut column)?;
        let labels = series.labels().to_string();
        for (time_ms, _, value) in column.samples() {
            text.clear();
            match value {
                Value::Float(value) => format_float_g(&mut text, value),
                Value::Histogram(histogram) => text = histogram.to_string(),
            }
            writeln!(out, "{labels} {text} {time_ms}").map_err(InspectError::Write)?;
            written += 1;
        }
    }
    Ok(written)
}
