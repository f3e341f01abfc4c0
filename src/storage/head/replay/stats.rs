//! What a start found.

use std::collections::BTreeMap;

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ReplayStats {
    /// Series that the log names.
    pub series: u64,
    /// Samples of the log that are in memory now.
    pub samples: u64,
    /// Samples that are older than the end of the newest block, and therefore in one.
    pub samples_in_blocks: u64,
    /// Samples that are no newer than the one before them in their series: late ones, which
    /// another log has, and those that a chunk file holds.
    pub samples_out_of_order: u64,
    /// Samples of the log of late samples that are in memory now.
    pub samples_late: u64,
    /// Samples whose series the log does not name.
    pub samples_unknown: u64,
    /// Histograms that have a meaning in no version of Prometheus.
    pub samples_invalid: u64,
    /// Finished chunks that lie in files.
    pub chunks_mapped: u64,
    /// Records of kinds that this version does not know, by the name of the kind.
    pub skipped_records: BTreeMap<String, u64>,
    /// True if a memory snapshot spared the log before it.
    pub from_snapshot: bool,
    /// What was found damaged and set aside.
    pub corruptions: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl ReplayStats {
    pub(super) fn tell(&self) {
        let Self { series, samples, chunks_mapped, seconds, .. } = self;
        tracing::info!(series, samples, chunks_mapped, seconds, "log replayed");
        for (kind, count) in &self.skipped_records {
            tracing::warn!(kind, count, "records of an unknown kind were skipped");
        }
        for corruption in &self.corruptions {
            tracing::warn!(corruption, "damage was set aside");
        }
        if self.samples_unknown > 0 {
            tracing::warn!(samples = self.samples_unknown, "samples of series without a name");
        }
        if self.samples_invalid > 0 {
            tracing::warn!(samples = self.samples_invalid, "histograms that are none");
        }
    }
}
