//! What an engine may do, and what one run may change.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::promql::{ParseOptions, SHOWN_MAX};

use super::{ActiveQueries, StatsWanted};

/// Settings of an engine. The defaults are those of a Prometheus server.
#[derive(Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// How long a sample stays valid for an instant selector.
    pub lookback_ms: i64,
    /// How many samples a query may hold at once.
    pub max_samples: u64,
    /// About how many bytes of samples and label sets a query may hold at once; without it only
    /// samples are limited.
    pub max_memory_bytes: Option<u64>,
    /// How long a query may run.
    pub timeout_ms: i64,
    /// Distance of the steps of a subquery that names none.
    pub subquery_step_ms: i64,
    /// `promql-delayed-name-removal`: drop metric names once, at the end, instead of at each
    /// operation.
    pub delayed_name_removal: bool,
    /// What of the language is switched on.
    pub parse: ParseOptions,
    /// `use-start-timestamps`: the times since when counters count tell of their resets, and
    /// `start_timestamp()` answers them.
    pub start_timestamps: bool,
    /// `type-and-unit-labels`: what a metric is stands in its label `__type__`, so that its name
    /// need not tell.
    pub type_and_unit_labels: bool,
    /// `promql-per-step-stats`: statistics tell the samples of each step to who asks for all.
    pub per_step_stats: bool,
    /// Where queries are noted while they run, so that it can be seen which did not end.
    pub active_queries: Option<Arc<ActiveQueries>>,
    /// At most this many warnings, and as many infos, are told one by one.
    pub shown_notes_max: usize,
    /// Threads that big queries spread over; without them rayon's own.
    pub pool: Option<Arc<rayon::ThreadPool>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            max_memory_bytes: None,
            timeout_ms: 120_000,
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            parse: ParseOptions::default(),
            start_timestamps: false,
            type_and_unit_labels: false,
            per_step_stats: false,
            active_queries: None,
            shown_notes_max: SHOWN_MAX,
            pool: None,
        }
    }
}

impl EngineOptions {
    /// Switches on what a Prometheus server's `--enable-feature` of this name switches on in its
    /// engine. False if it is no feature of the engine.
    ///
    /// ```
    /// let mut options = promlite::EngineOptions::default();
    /// assert!(options.enable_feature("promql-extended-range-selectors"));
    /// assert!(options.parse.extended_range_selectors);
    /// assert!(!options.enable_feature("native-histograms"));
    /// ```
    pub fn enable_feature(&mut self, name: &str) -> bool {
        let switch = match name {
            "promql-experimental-functions" => &mut self.parse.experimental_functions,
            "promql-duration-expr" => &mut self.parse.duration_expressions,
            "promql-extended-range-selectors" => &mut self.parse.extended_range_selectors,
            "promql-binop-fill-modifiers" => &mut self.parse.fill_modifiers,
            "promql-delayed-name-removal" => &mut self.delayed_name_removal,
            "promql-per-step-stats" => &mut self.per_step_stats,
            "use-start-timestamps" => &mut self.start_timestamps,
            "type-and-unit-labels" => &mut self.type_and_unit_labels,
            _ => return false,
        };
        *switch = true;
        true
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions")
            .field("lookback_ms", &self.lookback_ms)
            .field("max_samples", &self.max_samples)
            .field("max_memory_bytes", &self.max_memory_bytes)
            .field("timeout_ms", &self.timeout_ms)
            .field("subquery_step_ms", &self.subquery_step_ms)
            .field("delayed_name_removal", &self.delayed_name_removal)
            .field("parse", &self.parse)
            .field("start_timestamps", &self.start_timestamps)
            .field("type_and_unit_labels", &self.type_and_unit_labels)
            .field("per_step_stats", &self.per_step_stats)
            .field("active_queries", &self.active_queries)
            .field("shown_notes_max", &self.shown_notes_max)
            .field("threads", &self.pool.as_ref().map(|pool| pool.current_num_threads()))
            .finish()
    }
}

/// What one run changes.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Instead of [`EngineOptions::lookback_ms`].
    pub lookback_ms: Option<i64>,
    /// Instead of [`EngineOptions::timeout_ms`], if it is shorter.
    pub timeout_ms: Option<i64>,
    /// The coarsest downsampled data that may be read, by the length of its windows; 0 for raw
    /// samples. Where there is nothing finer, coarser data is read all the same, and a note says
    /// so.
    pub max_source_resolution_ms: i64,
    /// What is to be told of the cost.
    pub stats: StatsWanted,
    /// Set it to give up.
    pub cancel: Option<Arc<AtomicBool>>,
}
