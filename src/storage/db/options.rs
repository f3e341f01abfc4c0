//! What the user of a data directory decides.

use crate::storage::head::SeriesLimits;
use crate::storage::wal::WalOptions;

use super::DbError;

const HOUR_MS: i64 = 3_600_000;

/// Settings of a data directory. `Default` is what Prometheus's own server does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DbOptions {
    /// Length in milliseconds of the blocks that are cut from memory; default two hours.
    pub block_range_ms: i64,
    /// Blocks that end so many milliseconds before the newest one are removed; default 15 days,
    /// 0 for never.
    pub retention_ms: i64,
    /// The oldest blocks are removed while log and blocks take more bytes; default 0, for never.
    pub retention_bytes: u64,
    /// How the log is written.
    pub wal: WalOptions,
    /// How many series there may be in memory; samples of further ones are refused. Default none.
    pub limits: SeriesLimits,
    /// True, the default: a thread calls [`Db::maintain`](super::Db::maintain) each minute. False:
    /// the user does.
    pub background: bool,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            block_range_ms: 2 * HOUR_MS,
            retention_ms: 15 * 24 * HOUR_MS,
            retention_bytes: 0,
            wal: WalOptions::default(),
            limits: SeriesLimits::default(),
            background: true,
        }
    }
}

impl DbOptions {
    pub(super) fn check(&self) -> Result<(), DbError> {
        if self.block_range_ms <= 0 {
            return Err(DbError::Options("block_range_ms must be above 0"));
        }
        if self.retention_ms < 0 {
            return Err(DbError::Options("retention_ms must not be below 0"));
        }
        Ok(())
    }
}
