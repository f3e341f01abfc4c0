//! The same samples become the same bytes as in Prometheus.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    encoding: u8,
    samples: Vec<Sample>,
    chunks: Vec<String>,
}

#[derive(Deserialize)]
struct Sample {
    t: i64,
    #[serde(default)]
    st: i64,
    v: String,
    #[serde(default)]
    cut: bool,
    h: Option<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    float: bool,
    #[serde(default)]
    hint: u8,
    schema: i32,
    zt: String,
    count: String,
    zero: String,
    #[serde(default)]
    p: Vec<(i32, u32)>,
    #[serde(default)]
    n: Vec<(i32, u32)>,
    #[serde(default)]
    custom: Vec<String>,
    #[serde(default)]
    b: Vec<String>,
}

fn bits(text: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(text, 16).unwrap())
}

fn histogram(listed: &Listed, sum: f64) -> Histogram {
    let spans = |spans: &[(i32, u32)]| {
        spans.iter().map(|(offset, length)| Span::new(*offset, *length)).collect()
    };
    let layout = Layout {
        schema: listed.schema,
        zero_threshold: bits(&listed.zt),
        positive: spans(&listed.p),
        negative: spans(&listed.n),
        custom_bounds: listed.custom.iter().map(|bound| bits(bound)).collect(),
    };
    let counts = if listed.float {
        let buckets = listed.b.iter().map(|bucket| bits(bucket)).collect();
        Counts::Float { count: bits(&listed.count), zero_count: bits(&listed.zero), buckets }
    } else {
        let buckets = listed.b.iter().map(|bucket| bucket.parse().unwrap()).collect();
        let (count, zero_count) = (listed.count.parse().unwrap(), listed.zero.parse().unwrap());
        Counts::Integer { count, zero_count, buckets }
    };
    let hint = ResetHint::from_byte(listed.hint);
    Histogram { layout: Arc::new(layout), hint, sum, counts }
}

fn write(case: &Case) -> Vec<Bytes> {
    let starts = case.encoding > 4;
    let mut chunks = Vec::new();
    let mut open: Option<OpenChunk> = None;
    for sample in &case.samples {
        let value = bits(&sample.v);
        let Some(listed) = &sample.h else {
            if open.is_none() || sample.cut {
                chunks.extend(open.take().map(OpenChunk::finish));
                open = Some(if case.encoding == 1 {
                    OpenChunk::Xor(XorAppender::new())
                } else {
                    OpenChunk::Xor2(Box::default())
                });
            }
            match &mut open {
                Some(OpenChunk::Xor(open)) => open.append(sample.t, value).unwrap(),
                Some(OpenChunk::Xor2(open)) => open.append(sample.t, sample.st, value).unwrap(),
                _ => unreachable!(),
            }
            continue;
        };
        let histogram = histogram(listed, value);
        let histogram = histogram.as_ref();
        let next = match &mut open {
            Some(OpenChunk::Histogram(open)) if !sample.cut => {
                let next = open.append(sample.t, sample.st, histogram).unwrap();
                assert!(next.is_some() || open.repeats_last(histogram));
                next
            }
            before => {
                let before = before.as_ref().and_then(OpenChunk::as_histogram);
                let next = HistogramAppender::begin(sample.t, sample.st, histogram, before, starts);
                Some(next.unwrap())
            }
        };
        if let Some(next) = next {
            assert!(next.repeats_last(histogram));
            chunks.extend(open.take().map(OpenChunk::finish));
            open = Some(OpenChunk::Histogram(Box::new(next)));
        }
    }
    chunks.extend(open.map(OpenChunk::finish));
    chunks
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn samples_become_the_chunks_of_prometheus() {
    let mut written = [0; 7];
    for (line, text) in packed_lines(&testdata("chunk/cases.jsonl.zst")).iter().enumerate() {
        let case: Case = serde_json::from_str(text).unwrap();
        let chunks = write(&case);
        for (index, (chunk, wanted)) in chunks.iter().zip(&case.chunks).enumerate() {
            assert_eq!(hex(chunk), *wanted, "line {line} chunk {index} of {}", case.encoding);
            written[usize::from(case.encoding)] += 1;
        }
        assert_eq!(chunks.len(), case.chunks.len(), "line {line}");
    }
    assert!(written[1..].iter().all(|count| *count >= 10), "{written:?}");
}
