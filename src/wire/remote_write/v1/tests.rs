use std::sync::Arc;

use super::*;
use crate::base::varint::put_uvarint;
use crate::model::histogram::{
    CUSTOM_SCHEMA, Counts, Histogram, HistogramError, Layout, ResetHint, Span,
};
use crate::wire::prompb;
use crate::wire::remote_write::{MAX_DECODED_BYTES, snappy};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

fn label(name: &str, value: &str) -> prompb::Label {
    prompb::Label { name: name.into(), value: value.into() }
}

fn series(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> prompb::TimeSeries {
    prompb::TimeSeries {
        labels: pairs.iter().map(|(name, value)| label(name, value)).collect(),
        samples: samples.iter().map(|s| prompb::Sample { timestamp: s.0, value: s.1 }).collect(),
        ..Default::default()
    }
}

fn request(timeseries: Vec<prompb::TimeSeries>) -> Vec<u8> {
    prompb::WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec()
}

type Decoded = Vec<(Result<String, SeriesFault>, Vec<Sample>)>;

fn decode(message: &[u8]) -> Result<(Decoded, Contents), DecodeError> {
    let mut found = Vec::new();
    let contents = Decoder::new().decode(message, |series| {
        found.push((series.labels.map(|labels| labels.to_string()), series.samples.to_vec()));
    })?;
    Ok((found, contents))
}

#[test]
fn unsorted_labels_are_sorted_and_empty_ones_left_out() {
    let message = request(vec![series(&[("z", "1"), ("__name__", "up"), ("e", "")], &[(5, 1.5)])]);
    let (found, contents) = decode(&message).unwrap();
    let sample = Sample { timestamp_ms: 5, value: 1.5 };
    assert_eq!(found, [(Ok(r#"{__name__="up", z="1"}"#.into()), vec![sample])]);
    assert_eq!(contents, Contents { series: 1, samples: 1, ..Contents::default() });
}

#[test]
fn a_faulty_series_is_told_and_the_rest_taken() {
    let mut invalid = request(vec![series(&[("__name__", "up"), ("a", "xy")], &[(1, 1.0)])]);
    let at = invalid.windows(2).position(|pair| pair == b"xy").unwrap();
    invalid[at] = 0xff;
    let duplicate = LabelError::Duplicate("a".into());
    let mut message = request(vec![
        series(&[("a", "1")], &[(1, 1.0), (2, 1.0)]),
        series(&[("__name__", ""), ("a", "1")], &[]),
        series(&[("__name__", "up"), ("", "1")], &[]),
        series(&[("__name__", "up"), ("a", "1"), ("a", "1")], &[]),
        series(&[], &[]),
    ]);
    message.extend(invalid);
    message.extend(request(vec![series(&[("__name__", "up")], &[(1, 1.0)])]));
    let (found, contents) = decode(&message).unwrap();
    let found: Vec<_> = found.into_iter().map(|series| series.0).collect();
    let want = [
        Err(SeriesFault::NoMetricName),
        Err(SeriesFault::NoMetricName),
        Err(SeriesFault::EmptyLabelName),
        Err(SeriesFault::Labels(duplicate)),
        Err(SeriesFault::NoMetricName),
        Err(SeriesFault::InvalidUtf8),
        Ok(r#"{__name__="up"}"#.into()),
    ];
    assert_eq!(found, want);
    assert_eq!((contents.faulty_series, contents.faulty_samples, contents.samples), (6, 3, 4));
    let mut batch = Batch::new();
    Decoder::new().decode_into(&message, &mut batch).unwrap();
    assert_eq!((batch.series_count(), batch.sample_count()), (1, 1));
}

#[test]
fn histograms_exemplars_and_metadata_are_counted() {
    let mut timeseries = series(&[("__name__", "up")], &[]);
    timeseries.histograms = vec![prompb::Histogram { sum: 1.0, ..Default::default() }; 2];
    timeseries.exemplars = vec![prompb::Exemplar::default()];
    let metadata = vec![MetricMetadata { kind: 1, help: "h".into(), ..Default::default() }];
    let message = prompb::WriteRequest { timeseries: vec![timeseries], metadata: metadata.clone() };
    let message = message.encode_to_vec();
    let (_, contents) = decode(&message).unwrap();
    let want =
        Contents { series: 1, histograms: 2, exemplars: 1, metadata: 1, ..Default::default() };
    assert_eq!(contents, want);
    let mut batch = Batch::new();
    Decoder::new().decode_into(&message, &mut batch).unwrap();
    assert_eq!((batch.series_count(), batch.sample_count()), (1, 2));
    assert_eq!((batch.histograms().len(), batch.exemplars().len()), (2, 1));
    assert_eq!(super::metadata(&message), Ok(metadata));
}

prop_compose! {
    fn histogram()(
        schema in prop_oneof![-4_i32..=8, Just(CUSTOM_SCHEMA)],
        zero_threshold: f64,
        positive in vec((any::<i32>(), 0_u32..4), 0..4),
        negative in vec((any::<i32>(), 0_u32..4), 0..4),
        custom_bounds in vec(any::<f64>(), 0..4),
        hint in 0_u8..4,
        sum: f64,
        is_float: bool,
        count: u64,
        zero_count: u64,
        buckets in vec(any::<u64>(), 24),
    ) -> Histogram {
        let spans = |spans: Vec<(i32, u32)>| -> Vec<Span> {
            spans.into_iter().map(|span| Span::new(span.0, span.1)).collect()
        };
        let (positive, negative) = (spans(positive), spans(negative));
        let layout = Layout { schema, zero_threshold, positive, negative, custom_bounds };
        let buckets = buckets.iter().take(layout.bucket_len());
        let float = f64::from_bits;
        let counts = if is_float {
            let buckets = buckets.map(|bits| float(*bits)).collect();
            Counts::Float { count: float(count), zero_count: float(zero_count), buckets }
        } else {
            let buckets = buckets.map(|bits| *bits as i64).collect();
            Counts::Integer { count, zero_count, buckets }
        };
        Histogram { layout: Arc::new(layout), hint: ResetHint::from_byte(hint), sum, counts }
    }
}

fn differences(buckets: &[i64]) -> Vec<i64> {
    let before = std::iter::once(&0).chain(buckets);
    buckets.iter().zip(before).map(|(bucket, before)| bucket.wrapping_sub(*before)).collect()
}

/// The message as the library writes it.
fn message_of(timestamp: i64, histogram: &Histogram) -> prompb::Histogram {
    let spans = |spans: &[Span]| -> Vec<prompb::BucketSpan> {
        let span = |span: &Span| prompb::BucketSpan { offset: span.offset, length: span.length };
        spans.iter().map(span).collect()
    };
    let layout = &histogram.layout;
    let mut message = prompb::Histogram {
        sum: histogram.sum,
        schema: layout.schema,
        zero_threshold: layout.zero_threshold,
        negative_spans: spans(&layout.negative),
        positive_spans: spans(&layout.positive),
        reset_hint: histogram.hint as i32,
        timestamp,
        custom_values: layout.custom_bounds.clone(),
        ..prompb::Histogram::default()
    };
    match &histogram.counts {
        Counts::Integer { count, zero_count, buckets } => {
            let (positive, negative) = buckets.split_at(layout.positive_len());
            message.count = Some(prompb::HistogramCount::Int(*count));
            message.zero_count = Some(prompb::HistogramZeroCount::Int(*zero_count));
            message.positive_deltas = differences(positive);
            message.negative_deltas = differences(negative);
        }
        Counts::Float { count, zero_count, buckets } => {
            let (positive, negative) = buckets.split_at(layout.positive_len());
            message.count = Some(prompb::HistogramCount::Float(*count));
            message.zero_count = Some(prompb::HistogramZeroCount::Float(*zero_count));
            message.positive_counts = positive.to_vec();
            message.negative_counts = negative.to_vec();
        }
    }
    message
}

/// What the decoder finds of histograms and exemplars in a message of one series.
fn decoded_parts(message: &[u8]) -> (Vec<(i64, Histogram)>, Vec<Exemplar>) {
    let (mut histograms, mut exemplars) = (Vec::new(), Vec::new());
    let found = Decoder::new().decode(message, |series| {
        for (time, _, value) in series.histograms.samples() {
            let Value::Histogram(one) = value else { panic!("a float") };
            histograms.push((time, one.to_owned()));
        }
        exemplars.extend_from_slice(series.exemplars);
    });
    found.unwrap();
    (histograms, exemplars)
}

/// Zeros lose their sign in the library's messages.
fn with_positive_zeros(histogram: &Histogram) -> Histogram {
    let mut plain = histogram.clone();
    let fix = |value: &mut f64| *value += if *value == 0.0 { 0.0 } else { -0.0 };
    let mut layout = Layout::clone(&plain.layout);
    fix(&mut plain.sum);
    fix(&mut layout.zero_threshold);
    plain.layout = Arc::new(layout);
    plain
}

proptest! {
    #[test]
    fn histograms_are_read_and_written_as_the_library_does(
        all in vec((any::<i64>(), histogram()), 1..5),
    ) {
        let mut oracle = series(&[("__name__", "h")], &[]);
        oracle.histograms = all.iter().map(|(time, one)| message_of(*time, one)).collect();
        let (read, _) = decoded_parts(&request(vec![oracle]));
        let want: Vec<_> =
            all.iter().map(|(time, one)| (*time, with_positive_zeros(one))).collect();
        prop_assert_eq!(read, want);

        let mut fields = Vec::new();
        for (time, one) in &all {
            encode_histogram(&mut fields, *time, one.as_ref());
        }
        let mut labels = Vec::new();
        encode_labels(&mut labels, Labels::from_pairs([("__name__", "h")]).unwrap().as_ref());
        let mut out = Request::new();
        out.push_fields(&labels, &fields, all.len());
        let (read, _) = decoded_parts(out.message());
        prop_assert_eq!(read, all.clone());
        let got = prompb::WriteRequest::decode(out.message()).unwrap();
        let bytes = |one: &prompb::Histogram| one.encode_to_vec();
        let got: Vec<_> = got.timeseries[0].histograms.iter().map(bytes).collect();
        let want: Vec<_> = all.iter().map(|(time, one)| bytes(&message_of(*time, one))).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn exemplars_are_read_and_written_as_the_library_does(
        all in vec((any::<i64>(), any::<i32>(), "\\PC{1,40}"), 1..5),
    ) {
        let exemplar = |row: &(i64, i32, String)| {
            let labels = Labels::from_pairs([("trace_id", row.2.as_str()), ("x", "y")]).unwrap();
            Exemplar { labels, value: f64::from(row.1), timestamp_ms: row.0 }
        };
        let want: Vec<Exemplar> = all.iter().map(exemplar).collect();
        let mut fields = Vec::new();
        for row in &want {
            encode_exemplar(&mut fields, row.timestamp_ms, row.value, row.labels.as_ref());
        }
        let mut out = Request::new();
        out.push_fields(&[], &fields, 0);
        prop_assert_eq!(&decoded_parts(out.message()).1, &want);
        let mut oracle = series(&[], &[]);
        oracle.exemplars = want
            .iter()
            .map(|row| prompb::Exemplar {
                labels: row.labels.iter().map(|(name, value)| label(name, value)).collect(),
                value: row.value,
                timestamp: row.timestamp_ms,
            })
            .collect();
        prop_assert_eq!(request(vec![oracle]), out.message());
    }
}

#[test]
fn numbers_of_a_histogram_may_come_one_by_one() {
    // Buckets 3 and 5 as two unpacked fields, the span between them, and count 8.
    let histogram = [0x60, 0x06, 0x5a, 0x02, 0x10, 0x02, 0x60, 0x04, 0x08, 0x08];
    let message = [&[0x0a, 12, 0x22, 10], &histogram[..]].concat();
    let (found, _) = decoded_parts(&message);
    assert_eq!(found[0].1.as_ref().check(), Ok(()));
    let Counts::Integer { count, buckets, .. } = &found[0].1.counts else { panic!("floats") };
    assert_eq!((*count, buckets.as_slice()), (8, &[3, 5][..]));
}

#[test]
fn buckets_on_the_wrong_side_make_a_histogram_invalid() {
    let spans = vec![prompb::BucketSpan { offset: 0, length: 2 }];
    let mut one = prompb::Histogram {
        count: Some(prompb::HistogramCount::Int(0)),
        positive_spans: spans.clone(),
        negative_spans: spans,
        positive_deltas: vec![0; 3],
        negative_deltas: vec![0; 1],
        ..prompb::Histogram::default()
    };
    let parts = |one: &prompb::Histogram| {
        let mut timeseries = series(&[("__name__", "h")], &[]);
        timeseries.histograms = vec![one.clone()];
        decoded_parts(&request(vec![timeseries])).0.remove(0).1.as_ref().check()
    };
    assert_eq!(parts(&one), Err(HistogramError::BucketCount));
    one.positive_deltas = vec![0; 2];
    assert_eq!(parts(&one), Err(HistogramError::BucketCount));
    one.negative_deltas = vec![0; 2];
    assert_eq!(parts(&one), Ok(()));
    // A schema of a later version is brought to the finest known, one without meaning is not.
    for (schema, is_known) in [(9, true), (52, true), (53, false), (-5, false)] {
        one.schema = schema;
        assert_eq!(parts(&one).is_ok(), is_known, "{schema}");
    }
}

#[test]
fn fields_may_come_in_any_order_and_unknown_ones_are_passed_over() {
    // A sample before the labels, a label's value before its name, and between them field 99
    // as a varint, eight bytes, text, a group with a field in it, and four bytes.
    let unknown = [
        &[0x98, 0x06, 0x01][..],
        &[0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x9a, 0x06, 0x02, 0xff, 0xff],
        &[0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06],
        &[0x9d, 0x06, 1, 2, 3, 4],
    ]
    .concat();
    let sample = [&[0x10, 0x07][..], &unknown, &[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]].concat();
    let label = [&unknown[..], b"\x12\x02up", &unknown, b"\x0a\x08__name__"].concat();
    let mut series = unknown.clone();
    for (tag, part) in [(0x12, &sample), (0x0a, &label)] {
        series.extend([tag, part.len() as u8]);
        series.extend(part);
    }
    let mut message = unknown.clone();
    message.push(0x0a);
    put_uvarint(&mut message, series.len() as u64);
    message.extend(series);
    let (found, _) = decode(&message).unwrap();
    let sample = Sample { timestamp_ms: 7, value: 1.0 };
    assert_eq!(found, [(Ok(r#"{__name__="up"}"#.into()), vec![sample])]);
}

#[test]
fn what_is_no_message_is_refused() {
    let table: [(&[u8], DecodeError); 9] = [
        (&[0x0a], DecodeError::Truncated),
        (&[0x0a, 0x05, 0x00], DecodeError::Truncated),
        (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], DecodeError::Truncated),
        (&[0x08, 0x00], DecodeError::WireType { field: 1, wire_type: 0 }),
        (&[0x0e], DecodeError::WireType { field: 1, wire_type: 6 }),
        (&[0x02, 0x00], DecodeError::FieldNumber),
        (&[0x0b, 0x08, 0x01], DecodeError::Group),
        (&[0x0c], DecodeError::Group),
        (&[0x0a, 0x03, 0x12, 0x01, 0x09], DecodeError::Truncated),
    ];
    for (message, want) in table {
        assert_eq!(decode(message), Err(want), "{message:?}");
    }
    assert_eq!(decode(&[0x0b; 100]), Err(DecodeError::Group));
}

#[test]
fn requests_of_prometheus_are_read() {
    let samples = include_bytes!("../../../../testdata/remote_write/samples.snappy");
    let mut message = Vec::new();
    snappy::decode(samples, MAX_DECODED_BYTES, &mut message).unwrap();
    let (found, contents) = decode(&message).unwrap();
    assert_eq!(contents, Contents { series: 38, samples: 38, ..Contents::default() });
    let oracle = prompb::WriteRequest::decode(&*message).unwrap();
    for ((labels, samples), want) in found.iter().zip(&oracle.timeseries) {
        let pairs = want.labels.iter().map(|label| (&label.name, &label.value));
        assert_eq!(labels.as_ref().unwrap(), &Labels::from_pairs(pairs).unwrap().to_string());
        let got: Vec<_> = samples.iter().map(|s| (s.timestamp_ms, s.value.to_bits())).collect();
        let want = want.samples.iter().map(|s| (s.timestamp, s.value.to_bits()));
        assert_eq!(got, want.collect::<Vec<_>>());
    }
    let job = r#"cluster="eu-1", instance="127.0.0.1:19102", job="odd""#;
    let heat = format!(r#"{{__name__="odd_summary", a="b", {job}, quantile="1.0"}}"#);
    let value = found.iter().find(|series| series.0.as_ref() == Ok(&heat)).unwrap().1[0].value;
    assert_eq!(value, 8.0);
    let described = include_bytes!("../../../../testdata/remote_write/metadata.snappy");
    snappy::decode(described, MAX_DECODED_BYTES, &mut message).unwrap();
    let described = metadata(&message).unwrap();
    let help = |name: &str| described.iter().find(|entry| entry.metric_family_name == name);
    assert_eq!(help("odd_summary").unwrap().help, "Help with \\ and \n in it.");
    assert_eq!(help("odd_seconds").unwrap().kind, 3);
}

#[test]
fn a_request_of_the_second_protocol_looks_empty() {
    // Its symbols and series are fields 4 and 5.
    let (found, contents) = decode(b"\x22\x02up\x2a\x02\x0a\x00").unwrap();
    assert!(found.is_empty());
    assert_eq!(contents, Contents::default());
}

#[test]
fn a_negative_zero_and_a_stale_marker_arrive() {
    let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
    let values = [-0.0, crate::model::stale_nan(), 0.0];
    let samples = values.map(|value| Sample { timestamp_ms: -1, value });
    let mut out = Request::new();
    out.push(labels.as_ref(), &samples);
    let (found, _) = decode(out.message()).unwrap();
    let got: Vec<_> = found[0].1.iter().map(|sample| sample.value.to_bits()).collect();
    assert_eq!(got, values.map(f64::to_bits));
    assert_eq!((out.series_count(), out.sample_count()), (1, 3));
}

type AnySeries = (Vec<(String, String)>, Vec<(i64, u64)>);

fn any_series() -> impl Strategy<Value = AnySeries> {
    (vec(("\\PC{1,12}|[a-z]{1,140}", "\\PC{1,300}"), 0..6), vec(any::<(i64, u64)>(), 0..5))
}

proptest! {
    #[test]
    fn what_prost_writes_is_read(all in vec(any_series(), 0..5)) {
        let timeseries = |(pairs, samples): &AnySeries| {
            let pairs: Vec<_> = pairs.iter().map(|p| (p.0.as_str(), p.1.as_str())).collect();
            let samples: Vec<_> = samples.iter().map(|s| (s.0, f64::from_bits(s.1))).collect();
            series(&pairs, &samples)
        };
        let message = request(all.iter().map(timeseries).collect());
        let (found, contents) = decode(&message).unwrap();
        prop_assert_eq!(contents.series, all.len());
        for ((labels, samples), (pairs, want)) in found.iter().zip(&all) {
            let bits = |value: f64| if value == 0.0 { 0 } else { value.to_bits() };
            let got: Vec<_> = samples.iter().map(|s| (s.timestamp_ms, bits(s.value))).collect();
            let want: Vec<_> = want.iter().map(|s| (s.0, bits(f64::from_bits(s.1)))).collect();
            prop_assert_eq!(got, want);
            match Labels::from_pairs(pairs.iter().map(|p| (&p.0, &p.1))) {
                Ok(want) if want.metric_name().is_some() => {
                    prop_assert_eq!(labels.as_ref().unwrap(), &want.to_string());
                }
                Ok(_) => prop_assert_eq!(labels, &Err(SeriesFault::NoMetricName)),
                Err(error) => prop_assert_eq!(labels, &Err(SeriesFault::Labels(error))),
            }
        }
    }

    #[test]
    fn what_is_written_prost_reads(all in vec(any_series(), 0..5)) {
        let mut out = Request::new();
        let mut want = Vec::new();
        for (pairs, samples) in &all {
            let pairs = pairs.iter().map(|p| (&p.0, &p.1));
            let Ok(labels) = Labels::from_pairs(pairs) else { continue };
            let samples = samples.iter();
            let sample = |s: &(i64, u64)| Sample { timestamp_ms: s.0, value: f64::from_bits(s.1) };
            let samples: Vec<_> = samples.map(sample).collect();
            out.push(labels.as_ref(), &samples);
            want.push((labels, samples));
        }
        let got = prompb::WriteRequest::decode(out.message()).unwrap();
        prop_assert_eq!(got.timeseries.len(), want.len());
        for (got, (labels, samples)) in got.timeseries.iter().zip(&want) {
            let pairs = got.labels.iter().map(|label| (&*label.name, &*label.value));
            prop_assert!(pairs.eq(labels.iter()));
            let bits = got.samples.iter().map(|s| (s.timestamp, s.value.to_bits()));
            prop_assert!(bits.eq(samples.iter().map(|s| (s.timestamp_ms, s.value.to_bits()))));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, cut: prop::sample::Index) {
        let _ = decode(&bytes);
        let message = request(vec![series(&[("__name__", "up"), ("a", "b")], &[(1, 1.0); 3])]);
        let cut = cut.index(message.len());
        prop_assert!(decode(&message[..cut]).is_err() || cut == 0);
        let mut broken = message.clone();
        broken[cut] ^= bytes.first().copied().unwrap_or(1);
        let _ = decode(&broken);
    }
}
