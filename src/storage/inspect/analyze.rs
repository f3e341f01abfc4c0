//! What makes a block large: which labels, which values, which metrics.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::model::{METRIC_NAME, Matcher};
use crate::storage::block::{Block, BlockMeta};
use crate::storage::index::{SeriesScratch, select_postings};

use super::InspectError;
use super::text::duration;

/// Things and their numbers, highest number first, then by name.
pub type Ranked = Vec<(u64, String)>;

/// What there is most of in a block.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Analysis {
    /// The block.
    pub meta: BlockMeta,
    /// Series that were looked at, if not all.
    pub matched_series: Option<usize>,
    /// Distinct names of labels.
    pub label_names: usize,
    /// Distinct pairs of name and value.
    pub label_pairs: usize,
    /// Pairs, counted once for each series.
    pub label_pair_entries: u64,
    /// Pairs by how many blocks' lengths of time their series were not there.
    pub churning_pairs: Ranked,
    /// Names likewise.
    pub churning_names: Ranked,
    /// Pairs by the number of their series.
    pub common_pairs: Ranked,
    /// Names by the bytes of their distinct values.
    pub longest_names: Ranked,
    /// Names by the number of their distinct values.
    pub highest_names: Ranked,
    /// Metrics by the number of their series.
    pub highest_metrics: Ranked,
}

#[derive(Debug, Default)]
struct Pair {
    series: u64,
    uncovered_ms: u64,
}

/// Looks at the series of a block that match; all if there are no matchers.
///
/// # Errors
/// An index that is not what it should be.
pub fn analyze(block: &Block, matchers: &[Matcher]) -> Result<Analysis, InspectError> {
    let meta = block.meta().clone();
    let span_ms = meta.max_time_ms.wrapping_sub(meta.min_time_ms) as u64;
    let of_index = |error| block.index_error(error);
    let index = block.index();
    let ids = select_postings(index, matchers).map_err(of_index)?;
    let mut names: BTreeMap<String, HashMap<String, Pair>> = BTreeMap::new();
    let mut scratch = SeriesScratch::default();
    for id in &ids {
        let labels = index.series(*id, &mut scratch).map_err(of_index)?.to_labels();
        let first = scratch.chunks.first().map_or(0, |chunk| chunk.min_time_ms);
        let last = scratch.chunks.last().map_or(0, |chunk| chunk.max_time_ms);
        let uncovered_ms = span_ms.saturating_sub(last.wrapping_sub(first) as u64);
        for (name, value) in labels.iter() {
            // Looked up before it is entered, so that known texts are not copied.
            if !names.contains_key(name) {
                names.insert(name.to_owned(), HashMap::new());
            }
            let Some(values) = names.get_mut(name) else { continue };
            if !values.contains_key(value) {
                values.insert(value.to_owned(), Pair::default());
            }
            if let Some(pair) = values.get_mut(value) {
                pair.series += 1;
                pair.uncovered_ms = pair.uncovered_ms.saturating_add(uncovered_ms);
            }
        }
    }
    let matched_series = (!matchers.is_empty()).then_some(ids.len());
    Ok(summary(meta, span_ms, matched_series, &names))
}

fn summary(
    meta: BlockMeta,
    span_ms: u64,
    matched_series: Option<usize>,
    names: &BTreeMap<String, HashMap<String, Pair>>,
) -> Analysis {
    let pairs = || {
        let of_name = |(name, values): (&String, _)| {
            let name = name.clone();
            let values: &HashMap<String, Pair> = values;
            values.iter().map(move |(value, pair)| (format!("{name}={value}"), pair))
        };
        names.iter().flat_map(of_name).collect::<Vec<_>>()
    };
    let spans = |uncovered_ms: u64| (uncovered_ms as f64 / span_ms as f64) as u64;
    let by_name = |number: &dyn Fn(&HashMap<String, Pair>) -> u64| {
        ranked(names.iter().map(|(name, values)| (number(values), name.clone())))
    };
    let metrics = names.get(METRIC_NAME).into_iter().flatten();
    Analysis {
        matched_series,
        label_names: names.len(),
        label_pairs: names.values().map(HashMap::len).sum(),
        label_pair_entries: names.values().flat_map(HashMap::values).map(|pair| pair.series).sum(),
        churning_pairs: ranked(
            pairs().into_iter().map(|(text, pair)| (spans(pair.uncovered_ms), text)),
        ),
        churning_names: by_name(&|values| {
            let all = values.values().map(|pair| pair.uncovered_ms);
            spans(all.fold(0, u64::saturating_add))
        }),
        common_pairs: ranked(pairs().into_iter().map(|(text, pair)| (pair.series, text))),
        longest_names: by_name(&|values| values.keys().map(|value| value.len() as u64).sum()),
        highest_names: by_name(&|values| values.len() as u64),
        highest_metrics: ranked(metrics.map(|(name, pair)| (pair.series, name.clone()))),
        meta,
    }
}

fn ranked(rows: impl Iterator<Item = (u64, String)>) -> Ranked {
    let mut rows: Ranked = rows.collect();
    rows.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    rows
}

impl Analysis {
    /// The analysis in the sections of `promtool tsdb analyze`, `limit` lines each.
    #[must_use]
    pub fn report(&self, limit: usize) -> String {
        Report { analysis: self, limit }.to_string()
    }
}

struct Report<'a> {
    analysis: &'a Analysis,
    limit: usize,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Analysis { meta, .. } = self.analysis;
        writeln!(f, "Block ID: {}", meta.ulid)?;
        writeln!(f, "Duration: {}", duration(meta.max_time_ms.saturating_sub(meta.min_time_ms)))?;
        writeln!(f, "Total Series: {}", meta.stats.num_series)?;
        writeln!(f, "Label names: {}", self.analysis.label_names)?;
        if let Some(count) = self.analysis.matched_series {
            writeln!(f, "Matched series: {count}")?;
        }
        writeln!(f, "Postings (unique label pairs): {}", self.analysis.label_pairs)?;
        writeln!(f, "Postings entries (total label pairs): {}", self.analysis.label_pair_entries)?;
        for (title, rows) in [
            ("Label pairs most involved in churning", &self.analysis.churning_pairs),
            ("Label names most involved in churning", &self.analysis.churning_names),
            ("Most common label pairs", &self.analysis.common_pairs),
            (
                "Label names with highest cumulative label value length",
                &self.analysis.longest_names,
            ),
            ("Highest cardinality labels", &self.analysis.highest_names),
            ("Highest cardinality metric names", &self.analysis.highest_metrics),
        ] {
            writeln!(f, "\n{title}:")?;
            for (number, name) in rows.iter().take(self.limit) {
                writeln!(f, "{number} {name}")?;
            }
        }
        Ok(())
    }
}
