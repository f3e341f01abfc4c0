//! Tests that need more than one file of this folder.

mod batches;
mod checkpoints;
mod crashes;
mod damage;
mod golden;
mod syncs;
mod tails;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::metrics::Registry;
use crate::disk::{Disk, SharedDisk};
use crate::model::{Labels, Sample};
use crate::series::SeriesRef;

const DIR: &str = "/data/wal";

const KIB_64: u64 = 64 << 10;

const ALL: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Zstd];

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn options(compression: Compression) -> WalOptions {
    WalOptions { segment_bytes: KIB_64, compression, ..WalOptions::default() }
}

fn metrics() -> WalMetrics {
    WalMetrics::new(&Registry::new())
}

fn open(disk: &SharedDisk, options: WalOptions) -> Wal {
    Wal::open(disk.clone(), dir(), options, &metrics()).unwrap()
}

fn shared<D: Disk + Clone + 'static>(disk: &D) -> SharedDisk {
    Arc::new(disk.clone())
}

fn replayed(disk: &SharedDisk) -> Result<(Vec<Vec<u8>>, ReplayEnd), WalError> {
    let mut records = Vec::new();
    let end = replay(disk, dir(), None, &mut |_, record| {
        records.push(record.to_vec());
        Ok(())
    })?;
    Ok((records, end))
}

fn recovered(disk: &SharedDisk) -> (Vec<Vec<u8>>, Recovery) {
    let mut records = Vec::new();
    let recovery = recover(disk, dir(), None, &mut |_, record| {
        records.push(record.to_vec());
        Ok(())
    });
    (records, recovery.unwrap())
}

/// A record that says its number and has the given length, 8 bytes at least.
fn numbered(number: u64, len: usize) -> Vec<u8> {
    let mut record = number.to_be_bytes().to_vec();
    let noise = |index: usize| (number as usize).wrapping_mul(31).wrapping_add(index * 7) as u8;
    record.extend((8..len).map(noise));
    record
}

fn number_of(record: &[u8]) -> u64 {
    u64::from_be_bytes(record[..8].try_into().unwrap())
}

fn series_record(rows: &[(u64, &Labels)]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_series(&mut out, rows.iter().map(|row| (SeriesRef(row.0), row.1.as_ref())));
    out
}

fn samples_record(rows: &[(u64, i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    let row = |&(series, timestamp_ms, value): &(u64, i64, f64)| {
        (SeriesRef(series), Sample { timestamp_ms, value })
    };
    encode_samples(&mut out, rows.iter().map(row));
    out
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}
