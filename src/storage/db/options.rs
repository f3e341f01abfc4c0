//! What the user of a data directory decides.

use crate::chunk::EncodeOptions;
use crate::storage::head::SeriesLimits;
use crate::storage::wal::WalOptions;

use super::TsdbError;

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

    /// How samples of chunks that share time become chunks again.
    pub(super) fn encoding(&self) -> EncodeOptions {
        EncodeOptions::default()
    }
}
