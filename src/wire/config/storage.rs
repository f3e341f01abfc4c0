//! How long to keep what, and who may write.

use super::read::{At, Fields, Read};

/// Wishes about the storage. What is not said is left to the role's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageConfig {
    /// Blocks whose samples are all older than this are deleted.
    pub retention_ms: Option<i64>,
    /// The oldest blocks are deleted when all together are larger; 0 for no bound.
    pub retention_bytes: Option<u64>,
    /// How far behind the newest sample of a series late ones are taken.
    pub out_of_order_window_ms: Option<i64>,
    /// So many exemplars are kept; 0 for none.
    pub max_exemplars: Option<u64>,
    /// Compress the write-ahead log.
    pub wal_compression: Option<bool>,
    /// Take samples from others by remote write.
    pub remote_write_receiver: Option<bool>,
}

/// Reads `storage` of `prometheus.yml`.
pub(super) fn read(at: &At<'_>) -> Read<StorageConfig> {
    let mut fields = Fields::of(at)?;
    let mut storage = fields.read("tsdb", tsdb)?.unwrap_or_default();
    storage.max_exemplars = fields.read("exemplars", exemplars)?.flatten();
    fields.finish()?;
    Ok(storage)
}

fn exemplars(at: &At<'_>) -> Read<Option<u64>> {
    let mut fields = Fields::of(at)?;
    let count = fields.read("max_exemplars", At::unsigned)?;
    fields.finish()?;
    Ok(count)
}

fn tsdb(at: &At<'_>) -> Read<StorageConfig> {
    let mut fields = Fields::of(at)?;
    let mut storage = fields.read("retention", retention)?.unwrap_or_default();
    storage.out_of_order_window_ms = fields.read("out_of_order_time_window", At::duration_ms)?;
    fields.not_supported_yet(&["stale_series_compaction_threshold", "chunk_encoding"])?;
    fields.finish()?;
    Ok(storage)
}

fn retention(at: &At<'_>) -> Read<StorageConfig> {
    let mut fields = Fields::of(at)?;
    let storage = StorageConfig {
        retention_ms: fields.read("time", At::duration_ms)?,
        retention_bytes: fields.read("size", At::size_bytes)?,
        ..StorageConfig::default()
    };
    fields.not_supported_yet(&["percentage"])?;
    fields.finish()?;
    Ok(storage)
}

/// Reads the storage's keys of the operator's values.
pub(super) fn from_operator(fields: &mut Fields<'_>) -> Read<StorageConfig> {
    Ok(StorageConfig {
        retention_ms: fields.read("retention", At::duration_ms)?,
        retention_bytes: fields.read("retention_size", At::size_bytes)?,
        out_of_order_window_ms: fields.read("tsdb", operator_tsdb)?.flatten(),
        max_exemplars: fields.read("exemplars", operator_exemplars)?.flatten(),
        wal_compression: fields.read("wal_compression", At::boolean)?,
        remote_write_receiver: fields.read("enable_remote_write_receiver", At::boolean)?,
    })
}

fn operator_exemplars(at: &At<'_>) -> Read<Option<u64>> {
    let mut fields = Fields::of(at)?;
    let count = fields.read("max_size", At::unsigned)?;
    fields.finish()?;
    Ok(count)
}

fn operator_tsdb(at: &At<'_>) -> Read<Option<i64>> {
    let mut fields = Fields::of(at)?;
    let window_ms = fields.read("out_of_order_time_window", At::duration_ms)?;
    fields.not_supported_yet(&["stale_series_compaction_threshold"])?;
    fields.finish()?;
    Ok(window_ms)
}
