//! Any bytes are a request or an error; what is a series is one again after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promlite::model::Sample;
use promlite::wire::remote_write::{snappy, v1};

type Series = (String, Vec<(i64, u64)>);

fn read(message: &[u8], mut each: impl FnMut(&v1::Series<'_>)) -> Option<Vec<Series>> {
    let mut found = Vec::new();
    let contents = v1::Decoder::new().decode(message, |series| {
        each(&series);
        let bits = |sample: &Sample| (sample.timestamp_ms, sample.value.to_bits());
        if let Ok(labels) = &series.labels {
            found.push((labels.to_string(), series.samples.iter().map(bits).collect()));
        }
    });
    contents.ok().map(|_| found)
}

fuzz_target!(|bytes: &[u8]| {
    let mut unpacked = Vec::new();
    let _ = snappy::decode(bytes, 1 << 20, &mut unpacked);
    for message in [bytes, &unpacked] {
        let _ = v1::metadata(message);
        let mut request = v1::Request::new();
        let first = read(message, |series| {
            if let Ok(labels) = series.labels {
                request.push(labels, series.samples);
            }
        });
        if let Some(first) = first {
            assert_eq!(read(request.message(), |_| ()), Some(first));
        }
    }
});
