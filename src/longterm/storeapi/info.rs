//! What a store says of itself.

use std::fmt;

use crate::model::{LabelError, Labels, Matcher};
use crate::series::TimeRange;

use super::matchers::{exclude, write_labels};
use super::messages::{InfoResponse, LabelSet, StoreMessage, TsdbMessage};

/// What kind of program a store is part of. Queriers show it, and warn of two `Sidecar`s or
/// `Rule`s with the same labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Component {
    /// Beside one Prometheus.
    Sidecar,
    /// In front of a bucket.
    Store,
    /// Takes remote writes.
    Receive,
    /// Evaluates rules.
    Rule,
    /// Asks other stores.
    Query,
    /// A tool.
    Debug,
    /// Something else.
    Unknown,
}

const COMPONENTS: [Component; 7] = [
    Component::Sidecar,
    Component::Store,
    Component::Receive,
    Component::Rule,
    Component::Query,
    Component::Debug,
    Component::Unknown,
];

impl Component {
    fn read(text: &str) -> Self {
        let found = COMPONENTS.into_iter().find(|component| component.text() == text);
        found.unwrap_or(Self::Unknown)
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Store => "store",
            Self::Receive => "receive",
            Self::Rule => "rule",
            Self::Query => "query",
            Self::Debug => "debug",
            Self::Unknown => "unknown",
        }
    }
}

/// Thanos's name of the component.
impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What a store holds, as far as queriers must know it to leave it out where it has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// What kind of program it is part of.
    pub component: Component,
    /// The external labels of its streams. Every series carries one of these sets. If there are
    /// none, or one is empty, the store is asked whatever the matchers are.
    pub label_sets: Vec<Labels>,
    /// From its oldest sample to its newest; a store that takes samples says `i64::MAX`.
    pub range: TimeRange,
    /// The same for each of its databases, for queriers that spread the work of a query.
    pub tsdbs: Vec<TsdbInfo>,
}

/// One database of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsdbInfo {
    /// Its external labels.
    pub labels: Labels,
    /// From its oldest sample to its newest.
    pub range: TimeRange,
}

impl StoreInfo {
    /// A store with one database, all of whose series carry `labels`.
    #[must_use]
    pub fn of_one(component: Component, labels: Labels, range: TimeRange) -> Self {
        if labels.is_empty() {
            return Self { component, label_sets: Vec::new(), range, tsdbs: Vec::new() };
        }
        let tsdbs = vec![TsdbInfo { labels: labels.clone(), range }];
        Self { component, label_sets: vec![labels], range, tsdbs }
    }

    /// The labels that every series carries, if all carry the same.
    pub(super) fn only_labels(&self) -> Option<&Labels> {
        match self.label_sets.as_slice() {
            [labels] => Some(labels),
            _ => None,
        }
    }

    /// False if the store can have no answer.
    pub(super) fn may_have(&self, matchers: &[Matcher], range: TimeRange) -> bool {
        let sets = &self.label_sets;
        self.range.overlaps(range)
            && (sets.is_empty() || sets.iter().any(|labels| !exclude(matchers, labels)))
    }

    pub(super) fn write(&self) -> InfoResponse {
        let tsdb = |tsdb: &TsdbInfo| TsdbMessage {
            labels: Some(write_labels(&tsdb.labels)),
            min_time_ms: tsdb.range.start_ms,
            max_time_ms: tsdb.range.end_ms,
        };
        InfoResponse {
            label_sets: self.label_sets.iter().map(write_labels).collect(),
            component: self.component.to_string(),
            store: Some(StoreMessage {
                min_time_ms: self.range.start_ms,
                max_time_ms: self.range.end_ms,
                supports_sharding: true,
                supports_without_replica_labels: true,
                tsdbs: self.tsdbs.iter().map(tsdb).collect(),
            }),
        }
    }

    /// None if the program offers no StoreAPI.
    ///
    /// # Errors
    /// Labels that are no label set.
    pub(super) fn read(message: InfoResponse) -> Result<Option<Self>, LabelError> {
        let Some(store) = message.store else { return Ok(None) };
        let tsdb = |tsdb: TsdbMessage| {
            let labels = read_labels(tsdb.labels.unwrap_or_default())?;
            Ok(TsdbInfo { labels, range: TimeRange::new(tsdb.min_time_ms, tsdb.max_time_ms) })
        };
        Ok(Some(Self {
            component: Component::read(&message.component),
            label_sets: message
                .label_sets
                .into_iter()
                .map(read_labels)
                .collect::<Result<_, _>>()?,
            range: TimeRange::new(store.min_time_ms, store.max_time_ms),
            tsdbs: store.tsdbs.into_iter().map(tsdb).collect::<Result<_, _>>()?,
        }))
    }
}

fn read_labels(set: LabelSet) -> Result<Labels, LabelError> {
    Labels::from_pairs(set.labels.iter().map(|label| (&label.name, &label.value)))
}
