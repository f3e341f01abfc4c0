//! Any bytes are a chunk or an error; what was read can be written and is read the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promlite::chunk::{EncodeOptions, decode, encode_column, sample_count};
use promlite::series::Column;

const ALL: (i64, i64) = (i64::MIN, i64::MAX);

fuzz_target!(|input: (u8, &[u8])| {
    let encoding = input.0 % 6 + 1;
    let mut column = Column::new();
    if decode(encoding, input.1, ALL, &mut column).is_err() {
        assert!(column.is_empty() && column.histograms.is_empty() && column.starts_ms.is_empty());
        return;
    }
    let count = sample_count(encoding, input.1);
    assert!(column.is_empty() || count == Ok(column.len() as u16));
    assert!(column.timestamps.is_sorted());
    let mut again = Column::new();
    let mut each = |chunk: promlite::chunk::EncodedChunk| {
        assert_eq!(decode(chunk.encoding, &chunk.data, ALL, &mut again), Ok(()));
    };
    // Spans that overlap are read, but not written.
    if encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut each).is_err() {
        return;
    }
    let bits = |column: &Column| column.floats.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(again.timestamps, column.timestamps);
    assert_eq!(bits(&again), bits(&column));
    assert_eq!(again.starts_ms, column.starts_ms);
    assert_eq!(again.histograms.len(), column.histograms.len());
});
