//! Which series are sent, under which labels: decided once a series, not once a sample.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::relabel::{Relabel, relabel};
use crate::model::{Labels, LabelsBuf, LabelsRef};
use crate::series::SeriesRef;
use crate::wire::remote_write::v1::encode_labels;

/// The series of the log.
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    external_labels: Labels,
    rules: Vec<Relabel>,
    known: HashMap<SeriesRef, Entry>,
    merged: LabelsBuf,
    encoded: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    /// Labels as a request holds them; none for a series that the rules drop.
    labels: Option<Arc<[u8]>>,
    /// The last segment that names the series; for a checkpoint the first one behind it.
    segment: u32,
}

/// What becomes of a sample of a series.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate<'a> {
    /// It is sent with these labels.
    Send(&'a Arc<[u8]>),
    /// The rules drop it.
    Drop,
    /// The log never named the series.
    Unknown,
}

impl SeriesCache {
    pub(super) fn new(external_labels: Labels, rules: Vec<Relabel>) -> Self {
        Self { external_labels, rules, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The log names a series.
    pub(super) fn store(&mut self, series: SeriesRef, labels: LabelsRef<'_>, segment: u32) {
        if let Some(known) = self.known.get_mut(&series) {
            known.segment = known.segment.max(segment);
            return;
        }
        let labels = self.outgoing(labels);
        self.known.insert(series, Entry { labels, segment });
    }

    fn outgoing(&mut self, labels: LabelsRef<'_>) -> Option<Arc<[u8]>> {
        self.merged.clear();
        let missing = self.external_labels.iter().filter(|pair| labels.get(pair.0).is_none());
        for (name, value) in labels.iter().chain(missing) {
            self.merged.push(name, value);
        }
        let merged = self.merged.finish().ok()?.to_labels();
        let outgoing = relabel(&self.rules, &merged).filter(|labels| !labels.is_empty())?;
        self.encoded.clear();
        encode_labels(&mut self.encoded, outgoing.as_ref());
        Some(Arc::from(self.encoded.as_slice()))
    }

    pub(super) fn fate(&self, series: SeriesRef) -> Fate<'_> {
        match self.known.get(&series) {
            Some(Entry { labels: Some(labels), .. }) => Fate::Send(labels),
            Some(_) => Fate::Drop,
            None => Fate::Unknown,
        }
    }

    /// The checkpoint before `segment` names a series that may be known already.
    pub(super) fn touch(&mut self, series: SeriesRef, segment: u32) {
        if let Some(known) = self.known.get_mut(&series) {
            known.segment = known.segment.max(segment);
        }
    }

    /// Forgets series that neither the checkpoint before `segment` nor a later segment names.
    pub(super) fn forget_before(&mut self, segment: u32) {
        self.known.retain(|_, entry| entry.segment >= segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::relabel::Rule;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    fn encoded(pairs: &[(&str, &str)]) -> Arc<[u8]> {
        let mut out = Vec::new();
        encode_labels(&mut out, labels(pairs).as_ref());
        Arc::from(out)
    }

    #[test]
    fn external_labels_fill_gaps_before_the_rules_look() {
        let rules = [
            r#"{"source_labels":["__name__","cluster"],"regex":"noise;.*","action":"drop"}"#,
            r#"{"regex":"pod","action":"labeldrop"}"#,
        ];
        let rules = rules.map(|json| serde_json::from_str::<Relabel>(json).unwrap());
        let external = labels(&[("cluster", "eu"), ("replica", "a")]);
        let mut cache = SeriesCache::new(external, rules.to_vec());
        let own = labels(&[("__name__", "up"), ("cluster", "own"), ("pod", "p")]);
        cache.store(SeriesRef(1), own.as_ref(), 0);
        cache.store(SeriesRef(2), labels(&[("__name__", "noise")]).as_ref(), 0);
        let want = encoded(&[("__name__", "up"), ("cluster", "own"), ("replica", "a")]);
        assert_eq!(cache.fate(SeriesRef(1)), Fate::Send(&want));
        assert_eq!(cache.fate(SeriesRef(2)), Fate::Drop);
        assert_eq!(cache.fate(SeriesRef(3)), Fate::Unknown);
    }

    #[test]
    fn series_that_the_log_no_longer_names_are_forgotten() {
        let mut cache = SeriesCache::new(Labels::empty(), Vec::<Relabel>::new());
        for number in 1..=3 {
            cache.store(SeriesRef(number), labels(&[("__name__", "up")]).as_ref(), number as u32);
        }
        cache.touch(SeriesRef(1), 2);
        cache.store(SeriesRef(2), labels(&[("__name__", "up")]).as_ref(), 1);
        cache.forget_before(2);
        assert_eq!(cache.len(), 3);
        cache.forget_before(3);
        assert_eq!(cache.len(), 1);
        assert!(Rule::default().regex.is_none());
    }
}
