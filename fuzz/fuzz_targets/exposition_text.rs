//! Any bytes are a page or an error; what is a sample is one again after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promlite::model::{LabelsBuf, METRIC_NAME, MetricKind};
use promlite::wire::exposition::text::{Entry, Parser, RawSample, series_labels, unescape_help};
use promlite::wire::exposition::write::write_sample;

fn again(sample: RawSample<'_>) {
    let mut buf = LabelsBuf::new();
    if series_labels(sample.series, sample.kind, &mut buf).is_err() {
        return;
    }
    let labels = buf.finish().expect("finished before").to_labels();
    let Some(name) = labels.metric_name() else { return };
    // The lexer of Prometheus, and so ours, takes a zero byte in a quoted name only behind a
    // backslash, which it keeps: such names cannot be written.
    if name.contains('\0') || labels.iter().any(|(label, _)| label.contains('\0')) {
        return;
    }
    let mut line = String::new();
    write_sample(&mut line, name, labels.iter(), sample.value, sample.timestamp_ms);
    let entries: Vec<_> = Parser::new(line.as_bytes()).collect();
    let [Ok(Entry::Sample(read))] = entries.as_slice() else { panic!("{line:?}: {entries:?}") };
    series_labels(read.series, MetricKind::Unknown, &mut buf).expect("labels were read before");
    assert_eq!(buf.finish().expect("finished before").get(METRIC_NAME), Some(name));
    assert_eq!(buf.finish().expect("finished before").to_labels(), labels);
    assert_eq!(read.value.to_bits(), sample.value.to_bits());
    assert_eq!(read.timestamp_ms, sample.timestamp_ms);
}

fuzz_target!(|page: &[u8]| {
    for entry in Parser::new(page).map_while(Result::ok) {
        match entry {
            Entry::Sample(sample) => again(sample),
            Entry::Help { text, .. } => drop(unescape_help(text)),
            Entry::Type { .. } | Entry::Comment => {}
        }
    }
});
