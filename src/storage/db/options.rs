//! What the user of a data directory decides.

use crate::chunk::EncodeOptions;
use crate::storage::head::{HeadOptions, SeriesLimits};
use crate::storage::wal::WalOptions;

use super::{BlockGuard, TsdbError};

const HOUR_MS: i64 = 3_600_000;
const LARGEST_RANGE_MS: i64 = 31 * 24 * HOUR_MS;

/// Settings of a data directory. `Default` is what Prometheus's own server does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TsdbOptions {
    /// Length in milliseconds of the blocks that are cut from memory; default two hours.
    pub block_range_ms: i64,
    /// Blocks are merged up to this length; default 0, for a tenth of the retention, but at most
    /// 31 days. Not below `block_range_ms` in any case.
    pub max_block_range_ms: i64,
    /// Blocks that end so many milliseconds before the newest one are removed; default 15 days,
    /// 0 for never.
    pub retention_ms: i64,
    /// The oldest blocks are removed while log and blocks take more bytes; default 0, for never.
    pub retention_bytes: u64,
    /// How the log is written.
    pub wal: WalOptions,
    /// How many series there may be in memory; samples of further ones are refused. Default none.
    pub limits: SeriesLimits,
    /// How much older than the newest sample of all a sample may be that is older than the newest
    /// of its series; default 0: such samples are refused.
    pub out_of_order_window_ms: i64,
    /// So many exemplars are kept; default 0.
    pub max_exemplars: usize,
    /// The log keeps what series mean, in records that agents of Prometheus refuse to read.
    /// Default false.
    pub metadata_records: bool,
    /// What is in memory is written down when the directory is closed, so that the next start
    /// need not read the log. Default false.
    pub snapshot_on_close: bool,
    /// Floats are kept with the time since when they count, in chunks and log records that only
    /// Prometheus 3.13 and later read. Default false: such times are dropped.
    pub float_starts: bool,
    /// As `float_starts`, for histograms; Prometheus reads them from 3.14 on.
    pub histogram_starts: bool,
    /// Blocks that somebody else still needs; default none.
    pub guard: BlockGuard,
    /// True, the default: a thread calls [`Tsdb::maintain`](super::Tsdb::maintain) each minute.
    /// False: the user does.
    pub background: bool,
}

impl Default for TsdbOptions {
    fn default() -> Self {
        Self {
            block_range_ms: 2 * HOUR_MS,
            max_block_range_ms: 0,
            retention_ms: 15 * 24 * HOUR_MS,
            retention_bytes: 0,
            wal: WalOptions::default(),
            limits: SeriesLimits::default(),
            out_of_order_window_ms: 0,
            max_exemplars: 0,
            metadata_records: false,
            snapshot_on_close: false,
            float_starts: false,
            histogram_starts: false,
            guard: BlockGuard::default(),
            background: true,
        }
    }
}

impl TsdbOptions {
    pub(super) fn check(&self) -> Result<(), TsdbError> {
        if self.block_range_ms <= 0 {
            return Err(TsdbError::Options("block_range_ms must be above 0"));
        }
        if self.max_block_range_ms < 0 {
            return Err(TsdbError::Options("max_block_range_ms must not be below 0"));
        }
        if self.out_of_order_window_ms < 0 {
            return Err(TsdbError::Options("out_of_order_window_ms must not be below 0"));
        }
        if self.retention_ms < 0 {
            return Err(TsdbError::Options("retention_ms must not be below 0"));
        }
        Ok(())
    }

    /// The length up to which blocks are merged.
    pub(super) fn largest_range_ms(&self) -> i64 {
        let default_ms = match self.retention_ms {
            0 => LARGEST_RANGE_MS,
            retention_ms => (retention_ms / 10).min(LARGEST_RANGE_MS),
        };
        let chosen_ms =
            if self.max_block_range_ms > 0 { self.max_block_range_ms } else { default_ms };
        chosen_ms.max(self.block_range_ms)
    }

    /// What of it the head must know.
    pub(super) fn head(&self) -> HeadOptions {
        HeadOptions {
            limits: self.limits.clone(),
            float_starts: self.float_starts,
            histogram_starts: self.histogram_starts,
            late_window_ms: self.out_of_order_window_ms,
            exemplars_max: self.max_exemplars,
            metadata_records: self.metadata_records,
            snapshot: self.snapshot_on_close,
            ..HeadOptions::new(self.block_range_ms)
        }
    }

    /// How samples of chunks that share time become chunks again.
    pub(super) fn encoding(&self) -> EncodeOptions {
        EncodeOptions { float_starts: self.float_starts, ..EncodeOptions::default() }
    }
}
